//! An answer under guard, event by event.
//!
//! One canonical stream, whatever the dialect (TRAPS S7): text, reasoning,
//! refusals, names and arguments of tool calls, every choice, and the
//! log-probabilities, which repeat the text token by token. Each is a lane of
//! its own, because a client reads each by itself.
//!
//! When a choice turns from one lane to another, the lane it leaves is decided
//! as at an end, so that nothing waits for a lane that may never speak again;
//! half a secret is masked then, and a match that goes on later is still found.
//! Only what a known secret begins with waits for the rest of its lane, or for the
//! end of the choice: a few bytes, which may come behind a call.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use chat::{Event, TokenLogprob};

use crate::hold::Watch;
use crate::lane::{Exchange, Lane};
use crate::script::strays;
use crate::shield::{Limits, Shield};
use crate::soft::{Question, Soft};
use crate::vault::Vault;
use crate::verdict::{Action, Detector, Finding, Kind, Place, Verdict};

/// The guards of one answer.
pub struct StreamGuard {
    watches: Vec<Watch>,
    limits: Vec<Limits>,
    vault: Vault,
    lanes: BTreeMap<(u32, Speech), Lane>,
    /// Where each choice speaks now.
    speaking: BTreeMap<u32, Speech>,
    /// The tokens of each choice that wait for their text; `None`: nobody asked.
    tokens: Option<BTreeMap<u32, Tokens>>,
    verdict: Verdict,
    /// The soft rules, behind the hard ones; `None` where there are none.
    soft: Option<Box<Soft>>,
    characters: u64,
    /// The beginning of the answer, for the limit on scripts.
    sample: String,
    blocked: bool,
}

/// The lanes of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Speech {
    Reasoning,
    Text,
    Refusal,
    /// Arguments of the call of this index.
    Call(u32),
}

/// Log-probabilities on their way.
#[derive(Default)]
struct Tokens {
    waiting: VecDeque<TokenLogprob>,
    /// Where in the text the first of them stands.
    at: u64,
    /// The text from there on, to check that they say the same.
    text: VecDeque<u8>,
    /// They do not: none is given away any more.
    astray: bool,
}

/// Text kept for comparison with its tokens; beyond, tokens are dropped.
const COMPARED_MAX: usize = 64 << 10;
/// Characters of an answer that its script is judged by.
const SAMPLE_BYTES: usize = 2048;
/// And at least so many bytes.
const SCRIPT_BYTES: usize = 64;

const LIMITS: Detector = Detector { name: "limits", version: 1 };
const ENGINE: Detector = Detector { name: "engine", version: 1 };

impl StreamGuard {
    /// `vault`: what the request's screening replaced. `logprobs`: whether the
    /// client asked for them; otherwise none are given away.
    pub fn new(shield: &Shield, vault: Vault, logprobs: bool) -> StreamGuard {
        let mut watches = shield.output.watches.clone();
        watches.extend(vault.watch());
        StreamGuard {
            watches,
            limits: shield.output.limits.clone(),
            vault,
            lanes: BTreeMap::new(),
            speaking: BTreeMap::new(),
            tokens: logprobs.then(BTreeMap::new),
            verdict: Verdict { guards: shield.names.clone(), ..Verdict::default() },
            soft: Soft::new(&shield.output.soft).map(Box::new),
            characters: 0,
            sample: String::new(),
            blocked: false,
        }
    }

    /// The model has ended a turn and is about to be asked again: what was held
    /// back is decided. A match may go on in its next one, so half a secret is
    /// masked; the arguments of a call are whole.
    pub fn rest(&mut self, out: &mut Vec<Event>) {
        let mut passed = Vec::new();
        self.pause(if self.soft.is_some() { &mut passed } else { &mut *out });
        self.judge(out, |soft, verdict, out| {
            soft.take(passed, verdict, out);
            soft.finish(verdict, out);
        });
    }

    fn pause(&mut self, out: &mut Vec<Event>) {
        for ((choice, speech), lane) in &mut self.lanes {
            if self.blocked {
                return;
            }
            let mut given = String::new();
            let mut exchange = Exchange::Restore(&self.vault);
            match speech {
                Speech::Call(_) => lane.finish(&self.watches, &mut exchange, &mut self.verdict, &mut given),
                _ => lane.pause(&self.watches, &mut exchange, &mut self.verdict, &mut given),
            }
            self.blocked |= lane.hold.is_blocked();
            give(*choice, *speech, given, out);
        }
        let choices: Vec<u32> = self.speaking.keys().copied().collect();
        choices.into_iter().for_each(|choice| self.tell(choice, out));
    }

    /// What was replaced, for what goes to the model next. It comes back with
    /// [`StreamGuard::again`]; until then nothing is put back.
    pub fn take_vault(&mut self) -> Vault {
        std::mem::take(&mut self.vault)
    }

    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// After [`StreamGuard::rest`]: the next turn goes on in the same answer. What
    /// was found and counted so far counts on.
    pub fn again(&mut self, shield: &Shield, vault: Vault) {
        let kept = shield.output.watches.len();
        self.watches.clone_from(&shield.output.watches);
        self.watches.extend(vault.watch());
        self.vault = vault;
        self.lanes.retain(|(_, speech), _| !matches!(speech, Speech::Call(_)));
        // What followed placeholders did so with a machine that is no more.
        self.lanes.values_mut().for_each(|lane| lane.hold.forget_beyond(kept));
    }

    /// Takes an event; what may go to the client is appended to `out`. After a
    /// block nothing comes out, and the caller stops the target.
    pub fn push(&mut self, event: Event, out: &mut Vec<Event>) -> &Verdict {
        if self.blocked {
            return &self.verdict;
        }
        let mut passed = Vec::new();
        self.screen(event, if self.soft.is_some() { &mut passed } else { &mut *out });
        self.judge(out, |soft, verdict, out| soft.take(passed, verdict, out));
        &self.verdict
    }

    /// The hard rules.
    fn screen(&mut self, event: Event, out: &mut Vec<Event>) {
        match event {
            Event::Text { choice, text } => self.say(choice, Speech::Text, &text, out),
            Event::Reasoning { choice, text } => self.say(choice, Speech::Reasoning, &text, out),
            Event::Refusal { choice, text } => self.say(choice, Speech::Refusal, &text, out),
            Event::ToolArguments { choice, index, fragment } => {
                self.say(choice, Speech::Call(index), &fragment, out);
            }
            Event::ToolStart { choice, index, id, name } => {
                self.turn(choice, Speech::Call(index), out);
                let name = self.piece(name, Place::ToolName { choice, index });
                if !self.blocked {
                    out.push(Event::ToolStart { choice, index, id, name });
                }
            }
            Event::Signature { choice, signature } => {
                self.turn(choice, Speech::Text, out);
                let lane = self.lanes.get(&(choice, Speech::Reasoning));
                // A seal over words that the client does not get would be no seal.
                if !self.blocked && !lane.is_some_and(|l| l.altered) {
                    out.push(Event::Signature { choice, signature });
                }
            }
            Event::Logprobs { choice, tokens } => {
                if let Some(all) = &mut self.tokens {
                    all.entry(choice).or_default().waiting.extend(tokens);
                    self.tell(choice, out);
                }
            }
            Event::Finish { choice, reason, stop } => {
                self.close(choice, out);
                if !self.blocked {
                    out.push(Event::Finish { choice, reason, stop });
                }
            }
            Event::Failed { kind, message, retriable } => {
                let message = self.piece(message, Place::Refusal { choice: 0 });
                if !self.blocked {
                    out.push(Event::Failed { kind, message, retriable });
                }
            }
            event @ (Event::Start { .. } | Event::Usage(_) | Event::Tier(_)) => out.push(event),
        }
    }

    /// The soft rules, if there are any.
    fn judge(&mut self, out: &mut Vec<Event>, act: impl FnOnce(&mut Soft, &mut Verdict, &mut Vec<Event>)) {
        if let Some(soft) = self.soft.as_mut().filter(|_| !self.blocked) {
            act(soft, &mut self.verdict, out);
            self.blocked = soft.is_blocked();
        }
    }

    /// The time, monotonic, in microseconds: what waited for its verdict as long as
    /// it may goes.
    pub fn tick(&mut self, now_us: u64, out: &mut Vec<Event>) {
        self.judge(out, |soft, verdict, out| soft.tick(now_us, verdict, out));
    }
    /// When [`StreamGuard::tick`] has something to let go.
    pub fn due_us(&self) -> Option<u64> {
        self.soft.as_ref().filter(|_| !self.blocked).and_then(|soft| soft.due_us())
    }
    /// Nobody reads before the end: nothing goes before its verdict.
    pub fn be_patient(&mut self) {
        if let Some(soft) = &mut self.soft {
            soft.be_patient();
        }
    }
    /// What only somebody outside can answer, one at a time: the caller asks it, and
    /// gives the answer to [`StreamGuard::answered`].
    pub fn question(&mut self) -> Option<Question> {
        self.soft.as_mut().filter(|_| !self.blocked).and_then(|soft| soft.question())
    }
    /// The scores of the question's remotes, in their order; `None` for one that gave
    /// none in time.
    pub fn answered(&mut self, question: &Question, scores: &[Option<f32>], out: &mut Vec<Event>) {
        self.judge(out, |soft, verdict, out| soft.answered(question, scores, verdict, out));
    }
    /// Whether a question is to be asked, or to be answered: the answer must not end before.
    pub fn is_asking(&self) -> bool {
        self.soft.as_ref().is_some_and(|soft| !self.blocked && soft.is_asking())
    }

    /// The stream is over: what was held back is decided.
    pub fn finish(&mut self, out: &mut Vec<Event>) -> &Verdict {
        let choices: Vec<u32> = self.lanes.keys().map(|(choice, _)| *choice).collect();
        let mut passed = Vec::new();
        for choice in choices {
            if !self.blocked {
                self.close(choice, if self.soft.is_some() { &mut passed } else { &mut *out });
            }
        }
        self.judge(out, |soft, verdict, out| {
            soft.take(passed, verdict, out);
            soft.finish(verdict, out);
        });
        &self.verdict
    }

    /// A whole answer: the same code as a stream of one piece. Nothing goes before its
    /// verdict, so the last of it is out when every question is answered.
    pub fn whole(&mut self, response: chat::Response, out: &mut Vec<Event>) {
        self.be_patient();
        for event in response.into_events() {
            self.push(event, out);
        }
        self.finish(out);
    }

    /// Whether the answer must end, and by which finding.
    pub fn blocked(&self) -> Option<&Finding> {
        self.verdict.blocked().filter(|_| self.blocked)
    }
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }
    pub fn into_verdict(self) -> Verdict {
        self.verdict
    }
    /// Takes note of how often so far the target was kept from saying a known secret
    /// or a canary: it was not said, and whoever reads the record should know that it
    /// would have been.
    pub fn withheld(&mut self, times: u64) {
        let told = self.verdict.findings.iter().any(|f| f.kind == Kind::Withheld);
        if times > 0 && !told {
            self.verdict.add(Finding {
                kind: Kind::Withheld,
                rule: "logits",
                detector: ENGINE,
                place: Place::Text { choice: 0 },
                span: 0..0,
                action: Action::Mask,
                score: 1.0,
            });
        }
    }
    /// Bytes looked at and neither given away nor replaced yet.
    pub fn held(&self) -> u64 {
        let soft = self.soft.as_ref().map_or(0, |soft| soft.kept());
        soft + self.lanes.values().map(|l| l.hold.scanned() - l.hold.done()).sum::<u64>()
    }

    fn say(&mut self, choice: u32, speech: Speech, text: &str, out: &mut Vec<Event>) {
        self.turn(choice, speech, out);
        if self.blocked {
            return;
        }
        let (text, is_over) = self.measure(text);
        let keeps = self.tokens.is_some() && speech == Speech::Text;
        if keeps && let Some(tokens) = &mut self.tokens {
            tokens.entry(choice).or_default().hear(text);
        }
        let mut given = String::new();
        let lane = self.lanes.entry((choice, speech)).or_insert_with(|| {
            let mut lane = Lane::new(speech.place(choice));
            lane.keep_replaced = keeps;
            lane
        });
        lane.push(&self.watches, text, &mut Exchange::Restore(&self.vault), &mut self.verdict, &mut given);
        self.blocked |= lane.hold.is_blocked();
        give(choice, speech, given, out);
        if keeps && !self.blocked {
            self.tell(choice, out);
        }
        self.blocked |= is_over;
    }

    /// The choice goes on in this lane: what it leaves is decided.
    fn turn(&mut self, choice: u32, to: Speech, out: &mut Vec<Event>) {
        let from = self.speaking.insert(choice, to);
        // Calls may be written side by side.
        let is_call = |s: Speech| matches!(s, Speech::Call(_));
        if from.is_none_or(|from| from == to || is_call(from) && is_call(to)) {
            return;
        }
        let left = self.lanes.iter_mut().filter(|((c, speech), _)| *c == choice && *speech != to);
        for ((_, speech), lane) in left {
            let mut given = String::new();
            let mut exchange = Exchange::Restore(&self.vault);
            lane.pause(&self.watches, &mut exchange, &mut self.verdict, &mut given);
            self.blocked |= lane.hold.is_blocked();
            give(choice, *speech, given, out);
            if self.blocked {
                return;
            }
        }
        self.tell(choice, out);
    }

    /// Nothing more comes of this choice.
    fn close(&mut self, choice: u32, out: &mut Vec<Event>) {
        for ((_, speech), lane) in self.lanes.iter_mut().filter(|((c, _), _)| *c == choice) {
            let mut given = String::new();
            let mut exchange = Exchange::Restore(&self.vault);
            lane.finish(&self.watches, &mut exchange, &mut self.verdict, &mut given);
            self.blocked |= lane.hold.is_blocked();
            give(choice, *speech, given, out);
            if self.blocked {
                return;
            }
        }
        self.speaking.remove(&choice);
        self.tell(choice, out);
    }

    /// A text that comes in one piece.
    fn piece(&mut self, text: String, place: Place) -> String {
        let mut lane = Lane::new(place);
        let mut out = String::with_capacity(text.len());
        let mut exchange = Exchange::Restore(&self.vault);
        lane.push(&self.watches, &text, &mut exchange, &mut self.verdict, &mut out);
        lane.finish(&self.watches, &mut exchange, &mut self.verdict, &mut out);
        self.blocked |= lane.hold.is_blocked();
        out
    }

    /// Gives away the tokens whose text is out and unchanged.
    fn tell(&mut self, choice: u32, out: &mut Vec<Event>) {
        let Some(tokens) = self.tokens.as_mut().and_then(|all| all.get_mut(&choice)) else { return };
        let Some(lane) = self.lanes.get_mut(&(choice, Speech::Text)) else { return };
        let mut told = tokens.ready(lane.hold.done(), &mut lane.replaced);
        for token in &mut told {
            // An alternative may be what the text must not say.
            token.top.retain(|top| !speaks(&self.watches, &top.token));
        }
        if !told.is_empty() {
            out.push(Event::Logprobs { choice, tokens: told });
        }
    }

    /// Length and scripts of the whole answer: how much of the text may still be
    /// looked at, and whether the answer ends there.
    fn measure<'t>(&mut self, text: &'t str) -> (&'t str, bool) {
        let (mut take, mut is_over) = (text.len(), false);
        for index in 0..self.limits.len() {
            let limits = &self.limits[index];
            let Some(most) = limits.output_characters else { continue };
            let left = most.saturating_sub(self.characters);
            let Some((at, _)) = text.char_indices().nth(usize::try_from(left).unwrap_or(usize::MAX)) else {
                continue;
            };
            if self.characters > most {
                continue;
            }
            if limits.action == Action::Block {
                (take, is_over) = (take.min(at), true);
            }
            self.note(Kind::TooLong, limits.action);
        }
        let text = &text[..take];
        if self.limits.is_empty() {
            return (text, false);
        }
        self.characters += text.chars().count() as u64;
        if self.sample.len() < SAMPLE_BYTES {
            self.sample.push_str(text);
            let told = self.verdict.findings.iter().any(|f| f.kind == Kind::Script);
            for index in 0..self.limits.len() {
                let limits = &self.limits[index];
                // Short beginnings prove nothing.
                let judges = !told && self.sample.len() >= SCRIPT_BYTES && !limits.scripts.is_empty();
                if judges && strays(&self.sample, &limits.scripts) {
                    if limits.action == Action::Block {
                        (take, is_over) = (0, true);
                    }
                    self.note(Kind::Script, limits.action);
                }
            }
        }
        (&text[..take.min(text.len())], is_over)
    }

    fn note(&mut self, kind: Kind, action: Action) {
        self.verdict.add(Finding {
            kind,
            rule: "output",
            detector: LIMITS,
            place: Place::Text { choice: 0 },
            span: 0..self.characters,
            action,
            score: 1.0,
        });
    }
}

impl Speech {
    fn place(self, choice: u32) -> Place {
        match self {
            Speech::Reasoning => Place::Reasoning { choice },
            Speech::Text => Place::Text { choice },
            Speech::Refusal => Place::Refusal { choice },
            Speech::Call(index) => Place::ToolArguments { choice, index },
        }
    }
}

fn give(choice: u32, speech: Speech, text: String, out: &mut Vec<Event>) {
    if text.is_empty() {
        return;
    }
    out.push(match speech {
        Speech::Reasoning => Event::Reasoning { choice, text },
        Speech::Text => Event::Text { choice, text },
        Speech::Refusal => Event::Refusal { choice, text },
        Speech::Call(index) => Event::ToolArguments { choice, index, fragment: text },
    });
}

impl Tokens {
    fn hear(&mut self, text: &str) {
        if self.text.len() + text.len() > COMPARED_MAX {
            self.astray = true;
            self.text.clear();
            self.waiting.clear();
        }
        if !self.astray {
            self.text.extend(text.bytes());
        }
    }

    /// The tokens that stand before `done`, without those that touch a replaced stretch.
    fn ready(&mut self, done: u64, replaced: &mut Vec<(u64, u64)>) -> Vec<TokenLogprob> {
        let mut ready = Vec::new();
        while let Some(token) = self.waiting.front().filter(|_| !self.astray) {
            let bytes = token.bytes.as_deref().unwrap_or(token.token.as_bytes());
            let end = self.at + bytes.len() as u64;
            if end > done {
                break;
            }
            let same = bytes.len() <= self.text.len() && bytes.iter().zip(&self.text).all(|(a, b)| a == b);
            if !same {
                // They are not the tokens of this text: nothing they say is checked.
                self.astray = true;
                break;
            }
            self.text.drain(..bytes.len());
            let hidden = replaced.iter().any(|(from, to)| self.at < *to && *from < end);
            self.at = end;
            let token = self.waiting.pop_front();
            ready.extend(token.filter(|_| !hidden));
        }
        if self.astray {
            self.waiting.clear();
            self.text.clear();
        }
        let at = self.at;
        replaced.retain(|(_, to)| *to > at);
        ready
    }
}

/// Whether a text alone holds anything that must not go on.
fn speaks(watches: &[Watch], text: &str) -> bool {
    let mut lane = Lane::new(Place::Text { choice: 0 });
    let (mut out, mut verdict, vault) = (String::new(), Verdict::default(), Vault::default());
    let mut exchange = Exchange::Restore(&vault);
    lane.push(watches, text, &mut exchange, &mut verdict, &mut out);
    lane.finish(watches, &mut exchange, &mut verdict, &mut out);
    lane.altered || lane.hold.is_blocked()
}

/// The names of a shield's guards, for a record.
pub fn names(verdict: &Verdict) -> String {
    let names: Vec<&str> = verdict.guards.iter().map(Arc::as_ref).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;
