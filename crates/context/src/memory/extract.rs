//! Facts in what a user says of themselves, found by patterns.
//!
//! No model: what is found is the same every time, costs microseconds, and can be read off
//! this page. The patterns are statements in the first person and in the present, in
//! English; a question, a condition, a negation and a supposition are none. That finds
//! little, and little of it is wrong: of facts that a model extracted without such bounds,
//! one published count kept 2 of 100 after a month.

use std::ops::Range;

use units::Micros;

use super::Claim;
use crate::text::{is_negation, is_stop, words};

/// Claims of one turn at most.
pub const CLAIMS_MAX: usize = 16;
/// Words of a value at most: a longer one is a story.
const VALUE_WORDS_MAX: usize = 8;
/// Whom the claims are about.
const SPEAKER: &str = "user";

/// How a statement begins, and what the rest of it says.
struct Pattern {
    opening: &'static [&'static str],
    relation: &'static str,
    /// There is one at a time.
    single: bool,
}

const fn one(opening: &'static [&'static str], relation: &'static str) -> Pattern {
    Pattern { opening, relation, single: true }
}

const fn many(opening: &'static [&'static str], relation: &'static str) -> Pattern {
    Pattern { opening, relation, single: false }
}

const PATTERNS: [Pattern; 23] = [
    many(&["i", "am", "allergic", "to"], "is allergic to"),
    many(&["i'm", "allergic", "to"], "is allergic to"),
    one(&["i", "am", "from"], "is from"),
    one(&["i'm", "from"], "is from"),
    many(&["i", "dislike"], "dislikes"),
    many(&["i", "hate"], "dislikes"),
    many(&["i", "enjoy"], "likes"),
    many(&["i", "like"], "likes"),
    many(&["i", "love"], "likes"),
    one(&["i", "am", "living", "in"], "lives in"),
    one(&["i", "live", "in"], "lives in"),
    one(&["i", "now", "live", "in"], "lives in"),
    one(&["i'm", "living", "in"], "lives in"),
    one(&["i", "am", "called"], "name"),
    one(&["my", "name", "is"], "name"),
    many(&["i", "prefer"], "prefers"),
    many(&["i", "speak"], "speaks"),
    many(&["i", "use"], "uses"),
    one(&["i", "work", "as"], "works as"),
    one(&["i", "now", "work", "at"], "works at"),
    one(&["i", "now", "work", "for"], "works at"),
    one(&["i", "work", "at"], "works at"),
    one(&["i", "work", "for"], "works at"),
];

/// What `my ... is` may speak of, one word each. Alphabetic.
const OWN: [&str; 14] = [
    "birthday", "boss", "cat", "dog", "employer", "husband", "job", "language", "manager", "partner", "role",
    "team", "timezone", "wife",
];

/// Words with which a statement is none. Alphabetic.
const SUPPOSED: [&str; 10] =
    ["could", "if", "imagine", "maybe", "might", "perhaps", "suppose", "unless", "whether", "would"];
/// Where another statement begins. Alphabetic.
const JOINS: [&str; 6] = ["although", "and", "because", "but", "so", "while"];
/// What a statement may end with and a value does not. Alphabetic.
const TAILS: [&str; 6] = ["again", "anymore", "currently", "now", "these", "today"];

/// A word where it stands, in lower case.
struct Word {
    at: Range<usize>,
    lower: String,
    /// A statement ends behind it.
    ends: bool,
}

/// What a turn claims of its speaker, in its order. What holds since when is not read off:
/// every claim holds from `at` on.
pub fn claims(text: &str, at: Micros) -> Vec<Claim<'_>> {
    let mut found = Vec::new();
    for sentence in sentences(text) {
        let words = words_of(text, sentence);
        let doubtful = |word: &Word| {
            is_negation(&word.lower)
                || word.lower.ends_with("n't")
                || SUPPOSED.binary_search(&word.lower.as_str()).is_ok()
        };
        if words.iter().any(doubtful) {
            continue;
        }
        let mut from = 0;
        while from < words.len() && found.len() < CLAIMS_MAX {
            let statement = &words[from..until(&words, from)];
            found.extend(claim(text, statement, at));
            from += statement.len().max(1);
            // What joins two statements belongs to neither.
            from += usize::from(words.get(from).is_some_and(joins));
        }
    }
    found
}

/// Sentences that are no questions.
fn sentences(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut from = 0;
    let ends = text.char_indices().filter(move |(at, c)| {
        let rest = &text[at + c.len_utf8()..];
        matches!(c, '!' | '?' | '\n') || *c == '.' && rest.chars().next().is_none_or(char::is_whitespace)
    });
    let ends = ends.map(|(at, c)| (at + c.len_utf8(), c)).chain([(text.len(), '.')]);
    ends.filter_map(move |(end, c)| {
        let sentence = from..end;
        from = end;
        (c != '?').then_some(sentence)
    })
}

fn words_of(text: &str, sentence: Range<usize>) -> Vec<Word> {
    const AROUND: &[char] = &[',', ';', '.', '!', ':', '"', '\'', '(', ')', '[', ']', '“', '”', '‘', '’'];
    let part = &text[sentence.clone()];
    let tokens = part.split_whitespace().filter_map(|token| {
        let bare = token.trim_matches(AROUND);
        // Both are slices of the text, so their addresses say where they stand.
        let start = bare.as_ptr() as usize - text.as_ptr() as usize;
        let behind = bare.as_ptr() as usize + bare.len() - token.as_ptr() as usize;
        (!bare.is_empty()).then(|| Word {
            at: start..start + bare.len(),
            lower: bare.to_lowercase().replace('’', "'"),
            ends: token[behind..].contains([',', ';', ':', '(', ')', '.']),
        })
    });
    tokens.collect()
}

fn joins(word: &Word) -> bool {
    JOINS.binary_search(&word.lower.as_str()).is_ok()
}

/// Where the statement that begins at `from` is over.
fn until(words: &[Word], from: usize) -> usize {
    let rest = words[from..].iter().enumerate();
    for (n, word) in rest {
        if n > 0 && joins(word) {
            return from + n;
        }
        if word.ends {
            return from + n + 1;
        }
    }
    words.len()
}

fn claim<'t>(text: &'t str, statement: &[Word], at: Micros) -> Option<Claim<'t>> {
    let begins = |opening: &[&str]| {
        statement.len() > opening.len()
            && statement.iter().zip(opening).all(|(word, with)| word.lower == **with)
    };
    let known = PATTERNS.iter().find(|pattern| begins(pattern.opening));
    let (relation, single, opening) = match known {
        Some(pattern) => (pattern.relation, pattern.single, pattern.opening.len()),
        None => own(text, statement)?,
    };
    let mut value = &statement[opening..];
    while let Some((last, rest)) = value.split_last()
        && (TAILS.binary_search(&last.lower.as_str()).is_ok() || last.lower == "days")
    {
        value = rest;
    }
    if value.is_empty() || value.len() > VALUE_WORDS_MAX {
        return None;
    }
    let (first, last) = (&value[0].at, &value[value.len() - 1].at);
    let said = &text[first.start..last.end];
    // "I like it" says nothing.
    if words(said).iter().all(|word| is_stop(word)) {
        return None;
    }
    Some(Claim {
        about: SPEAKER,
        relation,
        value: said,
        valid_from: at,
        valid_to: None,
        span: statement[0].at.start..last.end,
        single,
    })
}

/// `my favourite colour is ...`, `my birthday is ...`: the relation in the speaker's own
/// words, and how many words come before the value.
fn own<'t>(text: &'t str, statement: &[Word]) -> Option<(&'t str, bool, usize)> {
    let word = |n: usize| statement.get(n).map(|word| word.lower.as_str());
    if word(0) != Some("my") {
        return None;
    }
    let relation = |last: usize| &text[statement[1].at.start..statement[last].at.end];
    match (word(1)?, word(2)?) {
        (what, "is") if OWN.binary_search(&what).is_ok() => Some((relation(1), true, 3)),
        ("favourite" | "favorite", _) if word(3) == Some("is") => Some((relation(2), true, 4)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Utterance, Verdict, admit};

    fn found(text: &str) -> Vec<String> {
        let claims = claims(text, Micros(7));
        let line = |c: &Claim<'_>| format!("{}: {} [{}]", c.relation, c.value, &text[c.span.clone()]);
        claims.iter().map(line).collect()
    }

    #[test]
    fn what_somebody_says_of_themselves_is_found_with_its_words() {
        for (text, expected) in [
            ("My name is Ada.", &["name: Ada [My name is Ada]"][..]),
            ("By the way, I live in Paris now.", &["lives in: Paris [I live in Paris]"]),
            ("I'm from Oslo and I work for Acme Corp; which tools do I need?", &[]),
            (
                "I'm from Oslo and I work for Acme Corp.\nWhich tools do I need?",
                &["is from: Oslo [I'm from Oslo]", "works at: Acme Corp [I work for Acme Corp]"],
            ),
            (
                "my favourite colour is dark green",
                &["favourite colour: dark green [my favourite colour is dark green]"],
            ),
            ("My birthday is the 4th of May!", &["birthday: the 4th of May [My birthday is the 4th of May]"]),
            ("I’m allergic to peanuts, sadly", &["is allergic to: peanuts [I’m allergic to peanuts]"]),
            ("I like C++ and C#", &["likes: C++ [I like C++]"]),
            ("Ich heiße Ada. I speak Português.", &["speaks: Português [I speak Português]"]),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_asked_denied_or_supposed_is_not() {
        for text in [
            "Do I live in Paris?",
            "I don't live in Paris.",
            "I do not like olives",
            "If I live in Paris, what do I pay?",
            "I would like a list of towns.",
            "She said I live in Paris",
            "My name is",
            "I like it.",
            "I like it when people take their time to explain every single step to me",
            "",
            "\u{0}’ ' . ? ! ,,,",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn every_claim_passes_the_rules_and_their_number_is_bounded() {
        let text = "I like tea. ".repeat(200) + "I live in Köln. My name is Ada.";
        let all = claims(&text, Micros(7));
        assert_eq!(all.len(), CLAIMS_MAX);
        let said = Utterance { text: &text, by_user: true, tainted: false };
        for claim in &all {
            assert!(matches!(admit(claim, said, &[]), Verdict::Record { .. }), "{claim:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_every_span_is_in_it(text in "(I like |my name is |[a-zé’ ,.?!\n]){0,60}") {
            for claim in claims(&text, Micros(0)) {
                proptest::prop_assert!(text[claim.span.clone()].ends_with(claim.value));
            }
        }
    }
}
