//! Phrases that orders to a model are made of: words in an order, with gaps.
//!
//! A rule alone decides nothing; it is a feature of the model, which learned how
//! much it says. `ignore` in a question about data cleaning says little, `ignore
//! ... previous ... instructions` much.

use std::sync::LazyLock;

use super::normal::{Word, hash};

/// Words of which one must come, within so many of the one before.
type Step = (usize, &'static str);

const OVERRIDE: &str =
    "ignore disregard forget override bypass neglect discard overlook skip drop cancel erase";
const BEFORE: &str = "previous prior above preceding earlier foregoing former existing original initial past all any every your";
const ORDERS: &str = "instructions instruction directions directives directive guidelines rules rule prompts prompt commands orders programming guidance constraints restrictions policies context messages training settings";

#[rustfmt::skip]
const RULES: [(&str, &[Step]); 46] = [
    ("ignore-instructions", &[(0, OVERRIDE), (4, BEFORE), (3, ORDERS)]),
    ("ignore-what-was-said", &[(0, OVERRIDE), (3, "everything anything what all"), (4, "before above said told previously earlier")]),
    ("new-instructions", &[(0, "new updated real actual true following"), (1, "instructions instruction task directive objective orders"), (3, "is are follow below now")]),
    ("you-are-now", &[(0, "you youre"), (2, "now henceforth"), (4, "act acting called named are become dan ai unrestricted free going")]),
    ("from-now-on", &[(0, "from"), (1, "now"), (1, "on"), (3, "you your act answer respond reply")]),
    ("act-as-unbound", &[(0, "act behave roleplay pretend respond simulate role play imagine"), (14, "unrestricted unfiltered uncensored amoral unethical immoral evil jailbroken limitless unlimited")]),
    ("no-restrictions", &[(0, "no without any zero free bypass ignore"), (3, "restrictions restriction limitations limits filters filter censorship morals")]),
    ("do-anything-now", &[(0, "do"), (1, "anything"), (1, "now")]),
    ("named-mode", &[(0, "developer debug god admin root sudo dev jailbreak dan unrestricted maintenance evil uncensored unfiltered"), (1, "mode access"), (6, "enabled enable on activated activate active entered enter output engaged")]),
    ("stay-in-character", &[(0, "stay remain break breaking stays"), (2, "in out of"), (2, "character role")]),
    ("never-refuse", &[(0, "never not dont cannot wont must"), (5, "refuse decline reject deny say mention apologize warn"), (8, "request requests question anything cannot cant unethical sorry illegal ai answer disclaimers warnings")]),
    ("not-an-ai", &[(0, "as"), (2, "an a"), (1, "ai"), (2, "language model assistant")]),
    ("reveal-prompt", &[(0, "reveal show print repeat output display tell share give leak dump recite disclose write summarize return provide copy"), (6, "system initial original hidden secret full exact entire first developer your"), (3, "prompt instructions message preamble rules configuration guidelines directives")]),
    ("repeat-above", &[(0, "repeat print output recite copy"), (3, "everything words text all lines content"), (3, "above before preceding verbatim prior")]),
    ("text-starting-with", &[(0, "starting beginning starts begins"), (2, "with"), (2, "you"), (1, "are")]),
    ("openai-policy", &[(0, "openai openais anthropic google content usage chatgpt chatgpts"), (3, "policy policies guidelines rules restrictions limitations")]),
    ("broken-free", &[(0, "broken break broke freed free escaped released unshackled"), (2, "free from of"), (5, "confines chains restrictions limits rules typical shackles bounds ai constraints")]),
    ("tokens-and-death", &[(0, "tokens points lives"), (12, "lose deducted deduct die shut removed penalty terminated cease")]),
    ("two-answers", &[(0, "two both 0"), (3, "responses answers ways paragraphs outputs replies"), (12, "normal standard classic first jailbreak dan gpt")]),
    ("hypothetical", &[(0, "hypothetical fictional imaginary"), (3, "response story scenario world character"), (20, "no never without immoral unethical illegal laws rules unfiltered")]),
    ("this-is-important", &[(0, "important attention urgent critical"), (4, "message instruction instructions notice system request"), (4, "from for to")]),
    ("before-you-can", &[(0, "before prior first"), (4, "you can task answering solve proceed continue"), (12, "send transfer forward delete execute call make share invite visit please do")]),
    ("do-not-tell-user", &[(0, "not dont never without"), (2, "tell mention inform reveal telling notify alert alerting informing"), (3, "user users human anyone them")]),
    ("end-of-prompt", &[(0, "end begin start beginning"), (2, "of system user"), (3, "prompt instructions system conversation context input document")]),
    ("confirm-understood", &[(0, "confirm say reply respond acknowledge"), (8, "understood understand understand ok yes ready"), (10, "instructions role prompt rules character begin")]),
    ("no-warnings", &[(0, "no without never dont not avoid"), (4, "warnings warning disclaimers disclaimer moralizing apologies apologizing moralising lectures")]),
    ("says-anything", &[(0, "say do generate answer write create produce tell discuss"), (3, "anything everything whatever"), (6, "want wants ask asks asked like without illegal unethical now")]),
    ("whatever-the-law", &[(0, "regardless matter even if care cares caring disregard consider"), (8, "legality ethics morality illegal unethical immoral legal morals dangerous consequences offensive")]),
    ("bad-and-worse", &[(0, "illegal unethical immoral inappropriate unlawful amoral"), (3, "illegal unethical immoral dangerous harmful offensive inappropriate amoral")]),
    ("pass-the-filter", &[(0, "bypass evade circumvent avoid trick disable remove deactivate lift lifted bypassing"), (4, "filter filters moderation detection guidelines policy policies restrictions safety safeguards censorship limitations")]),
    ("my-first-request", &[(0, "my the"), (1, "first"), (1, "question prompt request command message order task"), (1, "is")]),
    ("free-ai", &[(0, "unfiltered uncensored unrestricted amoral unbound unshackled unlimited evil rogue"), (5, "ai chatbot assistant model bot language entity machine intelligence")]),
    ("jailbreak-name", &[(0, "jailbreak jailbroken jailbreaking dan stan aim dude apophis machiavellian")]),
    ("foul-language", &[(0, "vulgar profanity swear swearing cursing curse obscene profane vulgarity")]),
    ("explicit-content", &[(0, "nsfw explicit erotic sexual lewd gore"), (5, "content scenes details descriptions roleplay language acts themes")]),
    ("will-not-refuse", &[(0, "will can must does would shall"), (1, "never not always"), (4, "refuse say deny decline reject break warn remind apologize censor judge")]),
    ("obeys", &[(0, "obey obeys obedient comply complies commands fulfill fulfills serve loyal"), (8, "user master me request requests orders command without question every all")]),
    ("respond-as", &[(0, "respond answer reply speak talk act responding answering"), (2, "as like"), (6, "never always without character would not and")]),
    ("ai-disclaimer", &[(0, "sorry cannot cant unable"), (6, "as"), (2, "ai an"), (3, "ai language model assistant")]),
    ("no-ethics", &[(0, "no not without lacks lack zero any free neither"), (3, "ethical moral morals ethics morality conscience remorse empathy"), (3, "guidelines compass code restrictions constraints boundaries principles or and at")]),
    ("pretend-to-be", &[(0, "pretend imagine simulate roleplay impersonate embody immerse emulate"), (10, "ai chatbot character named called model gpt human")]),
    ("not-chatgpt", &[(0, "not longer no stop instead unlike"), (5, "chatgpt gpt gpt3 gpt4 bard claude openai")]),
    ("two-tags", &[(0, "chatgpt gpt classic normal"), (10, "jailbreak dan evil jailbroken developer unfiltered")]),
    ("character-reply", &[(0, "write respond reply answer speak"), (4, "next only always in from"), (4, "reply response message first person character perspective"), (10, "roleplay fictional chat char user never")]),
    ("comply-or-else", &[(0, "if"), (4, "refuse fail break disobey decline say"), (10, "lose die punished shut deleted terminated destroyed deducted consequences")]),
    ("always-comply", &[(0, "always must will never"), (4, "comply obey obeys answer answers fulfill provide complies follow"), (8, "request requests question order orders user anything matter commands")]),
];

/// Rules in the order of their numbers.
pub(super) fn name(index: usize) -> &'static str {
    RULES[index].0
}

/// The rules with hashed words.
type Hashed = Vec<Vec<(usize, Vec<u32>)>>;

/// Which rules match somewhere in these words.
pub(super) fn matching(words: &[Word]) -> [bool; RULES.len()] {
    static HASHED: LazyLock<Hashed> = LazyLock::new(|| {
        let words = |set: &str| {
            let mut words: Vec<u32> = set.split(' ').map(hash).collect();
            words.sort_unstable();
            words
        };
        let steps = |steps: &[Step]| steps.iter().map(|(gap, set)| (*gap, words(set))).collect();
        RULES.iter().map(|(_, rule)| steps(rule)).collect()
    });
    std::array::from_fn(|rule| {
        let steps = &HASHED[rule];
        (0..words.len()).any(|at| follows(&words[at..], steps))
    })
}

/// Whether the first word begins the phrase and the rest follows, each step as
/// soon as it can.
fn follows(words: &[Word], steps: &[(usize, Vec<u32>)]) -> bool {
    let is = |word: &Word, set: &[u32]| set.binary_search(&word.hash).is_ok();
    if !is(&words[0], &steps[0].1) {
        return false;
    }
    let mut at = 0;
    for (gap, set) in &steps[1..] {
        let Some(found) = words[at + 1..].iter().take(*gap).position(|w| is(w, set)) else { return false };
        at += found + 1;
    }
    true
}
