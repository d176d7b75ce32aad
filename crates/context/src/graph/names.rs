//! Names in running text: spans of capitalised words, acronyms, codes.

use std::collections::BTreeSet;
use std::ops::Range;

use super::sentences::{Token, tokens};
use crate::text::is_stop;

/// Words of a name at most; headings are names, too.
pub(super) const WORDS_MAX: usize = 10;
/// Bytes of a name at most: a third of what the store keeps.
pub(super) const BYTES_MAX: usize = 160;
/// Words of a span of capitalised words at most: what is longer is a headline.
const SPAN_WORDS_MAX: usize = 6;

/// What may stand within a name without a capital: `Bank of England`, `Ludwig van Beethoven`.
const WITHIN: [&str; 12] = ["da", "de", "del", "den", "der", "di", "du", "la", "of", "van", "von", "zu"];

/// Capitalised in English, and in half of all documents: an edge to one relates nothing.
const NO_NAMES: [&str; 22] = [
    "april",
    "august",
    "december",
    "february",
    "friday",
    "january",
    "july",
    "june",
    "march",
    "may",
    "monday",
    "no",
    "november",
    "ok",
    "october",
    "saturday",
    "september",
    "sunday",
    "thursday",
    "tuesday",
    "wednesday",
    "yes",
];

/// What capitals mean in a language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Capitals {
    /// A capital within a sentence begins a name.
    Names,
    /// Every noun has one: only several in a row, acronyms and codes are names.
    Nouns,
}

impl Capitals {
    pub fn of(language: &str) -> Capitals {
        let primary = language.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        if matches!(primary.as_str(), "de" | "lb" | "gsw" | "nds") {
            Capitals::Nouns
        } else {
            Capitals::Names
        }
    }
}

/// A name and where it stands among a text's tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub tokens: Range<usize>,
    pub key: String,
}

/// Words that a document capitalises where no sentence begins: at the beginning of one they
/// are names, too.
pub(super) fn inner_capitals(text: &str) -> BTreeSet<String> {
    let inside = |token: &Token<'_>| !token.begins && is_capital(token.text);
    tokens(text).iter().filter(|t| inside(t)).map(|t| t.text.to_lowercase()).collect()
}

/// The names of a text, in order.
pub(super) fn names(text: &[Token<'_>], capitals: Capitals, inner: &BTreeSet<String>) -> Vec<Name> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let span = span(text, at, capitals);
        at = span.end.max(at + 1);
        if let Some(name) = name(text, span, capitals, inner) {
            found.push(name);
        }
    }
    found
}

/// Capitalised words from here on, with small ones between them. Where nouns have capitals, a noun
/// stands beside an acronym without being its name (`das Werkzeug KDB`).
fn span(text: &[Token<'_>], from: usize, capitals: Capitals) -> Range<usize> {
    if !is_capital(text[from].text) {
        return from..from;
    }
    let mut end = from + 1;
    while end < text.len() && !is_genitive(text[end - 1].text) {
        let follows = |token: &Token<'_>| token.gap == " " && !token.begins;
        let next = &text[end];
        let alone = |word: &str| capitals == Capitals::Nouns && (is_acronym(word) || is_code(word));
        if alone(next.text) || alone(text[end - 1].text) {
            break;
        }
        if follows(next) && is_capital(next.text) {
            end += 1;
        } else if follows(next)
            && capitals == Capitals::Names
            && WITHIN.contains(&next.text)
            && text.get(end + 1).is_some_and(|t| follows(t) && is_capital(t.text))
        {
            end += 2;
        } else {
            break;
        }
    }
    from..end
}

fn name(
    text: &[Token<'_>],
    mut span: Range<usize>,
    capitals: Capitals,
    inner: &BTreeSet<String>,
) -> Option<Name> {
    // `The Payment Gateway` is the payment gateway; so is `When Payment Gateway`.
    let article = |word: &str| capitals == Capitals::Nouns && matches!(word, "die" | "den" | "dem" | "im");
    let says_nothing = |word: &str| is_stop(word) || article(word);
    while span.len() > 1 && says_nothing(&text[span.start].text.to_lowercase()) {
        span.start += 1;
    }
    let first = text.get(span.start)?.text;
    if span.is_empty() || span.len() > SPAN_WORDS_MAX {
        return None;
    }
    if span.len() == 1 {
        let folded = first.to_lowercase();
        let sure = is_acronym(first) || is_code(first) || has_inner_capital(first);
        let word = capitals == Capitals::Names
            && first.chars().count() > 1
            && (!text[span.start].begins || inner.contains(&folded));
        if is_stop(&folded) || NO_NAMES.contains(&folded.as_str()) || !(sure || word) {
            return None;
        }
    }
    let words: Vec<&str> = text[span.clone()].iter().map(|token| token.text).collect();
    let key = super::entity(&words.join(" "));
    (!key.is_empty()).then_some(Name { tokens: span, key })
}

pub(super) fn is_capital(word: &str) -> bool {
    word.chars().next().is_some_and(char::is_uppercase) || has_inner_capital(word)
}

/// `API`, `R&D`: no small letters, two large ones at least.
pub(super) fn is_acronym(word: &str) -> bool {
    let large = word.chars().filter(|c| c.is_uppercase()).count();
    (2..=10).contains(&large) && !word.chars().any(char::is_lowercase)
}

/// `INC-204`, `Q3`: a capital first, and digits.
fn is_code(word: &str) -> bool {
    word.chars().next().is_some_and(char::is_uppercase) && word.chars().any(|c| c.is_ascii_digit())
}

/// `iPhone`, `GitHub`, not `McDonald`s of shouting: `ABc`.
fn has_inner_capital(word: &str) -> bool {
    word.chars().zip(word.chars().skip(1)).any(|(a, b)| a.is_lowercase() && b.is_uppercase())
}

fn is_genitive(word: &str) -> bool {
    word.ends_with("'s") || word.ends_with("’s")
}
