//! What a question asks full text for.

use super::clean::clean;
use super::script::{self, Lexing, Script, script};
use super::stop::is_stop;
use super::words::for_each_word;

/// Bytes of a question that are read: beyond, its first and last half of this. A
/// pasted page with a question under it still asks the question.
pub const QUERY_BYTES_MAX: usize = 8 << 10;
/// Terms of one query at most. Each is a list that full text walks; 64 keep the
/// slowest query at 100k chunks within its 50 ms.
pub const TERMS_MAX: usize = 64;
/// Trigrams of one query at most: a run of 100 characters has 98.
const TRIGRAMS_MAX: usize = 128;

/// A question as both arms see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// What was read of it, without what is not seen: what an embedder is given.
    pub text: String,
    pub script: Option<Script>,
    /// For `store::documents::TextQuery`, as they are: words, or phrases of several.
    pub terms: Vec<String>,
    /// What of it was not read; to be said in the reply.
    pub cut: Option<Cut>,
    /// Characters that nobody sees, taken out.
    pub removed: usize,
    /// The same question in other words: what any of them covers is covered.
    pub also: Vec<Query>,
}

/// A question was longer than is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Of the question, in bytes.
    pub bytes: usize,
    pub bytes_read: usize,
    /// Terms that were found and left out.
    pub terms_left_out: usize,
}

impl Query {
    /// Reads a question. It may have no terms: full text then finds nothing.
    pub fn read(text: &str, lexing: Lexing) -> Query {
        let (read, bytes_read) = ends(text);
        let cleaned = clean(&read);
        let text_read = cleaned.text.trim().to_owned();
        let (terms, terms_left_out) = match lexing {
            Lexing::Stemmed | Lexing::Words => terms(&text_read),
            Lexing::Trigrams => trigrams(&text_read),
        };
        let cut = (bytes_read < text.len() || terms_left_out > 0).then_some(Cut {
            bytes: text.len(),
            bytes_read,
            terms_left_out,
        });
        Query {
            script: script(&text_read),
            text: text_read,
            terms,
            cut,
            removed: cleaned.removed_chars,
            also: Vec::new(),
        }
    }

    /// The question, then its other phrasings.
    pub fn phrasings(&self) -> impl Iterator<Item = &Query> {
        std::iter::once(self).chain(&self.also)
    }

    /// The terms as an FTS5 `MATCH` expression: each quoted, any may fit. Nothing in
    /// a term is syntax, whoever wrote it. `None` without terms.
    pub fn match_expression(&self) -> Option<String> {
        if self.terms.is_empty() {
            return None;
        }
        let quoted: Vec<String> =
            self.terms.iter().map(|term| format!("\"{}\"", term.replace('"', "\"\""))).collect();
        Some(quoted.join(" OR "))
    }
}

/// A text, or its two ends, and how many bytes that are.
fn ends(text: &str) -> (String, usize) {
    if text.len() <= QUERY_BYTES_MAX {
        return (text.into(), text.len());
    }
    let head = text.floor_char_boundary(QUERY_BYTES_MAX / 2);
    let tail = text.ceil_char_boundary(text.len() - QUERY_BYTES_MAX / 2);
    (format!("{}\n{}", &text[..head], &text[tail..]), head + text.len() - tail)
}

/// The words that say what a question is about; all of them if none do. Returns how
/// many were left out beyond [`TERMS_MAX`].
fn terms(text: &str) -> (Vec<String>, usize) {
    let (mut about, mut stops) = (Vec::new(), Vec::new());
    for_each_word(text, usize::MAX, |word| {
        // `I'm`, `don't`, `you're`: full text has their halves as words.
        let contracted = word.split_once('\'').is_some_and(|(_, rest)| rest.chars().count() < 3);
        let list = if contracted || is_stop(word) { &mut stops } else { &mut about };
        list.push(word.replace('\'', " "));
    });
    bounded(if about.is_empty() { stops } else { about }, TERMS_MAX)
}

/// Three characters each of runs without spaces, and other words whole. A word of two
/// characters is in no trigram: the store finds it by no index, so it is left out
/// unless it is all there is, and then nothing is found.
fn trigrams(text: &str) -> (Vec<String>, usize) {
    let mut all = Vec::new();
    for_each_word(text, usize::MAX, |word| {
        let chars: Vec<char> = word.chars().collect();
        let unspaced = |c: &char| matches!(script::of(*c), Some(Script::Cjk | Script::Thai | Script::Other));
        if chars.len() > 3 && chars.iter().any(unspaced) {
            all.extend(chars.windows(3).map(|three| three.iter().collect::<String>()));
        } else if chars.len() >= 3 && !is_stop(word) {
            all.push(word.to_owned());
        }
    });
    bounded(all, TRIGRAMS_MAX)
}

/// Each once; if there are too many, those with digits and the longest: they are the
/// rarest as a rule, and rare ones decide.
fn bounded(all: Vec<String>, max: usize) -> (Vec<String>, usize) {
    let mut seen = std::collections::BTreeSet::new();
    let mut terms: Vec<String> = all.into_iter().filter(|term| seen.insert(term.clone())).collect();
    let left_out = terms.len().saturating_sub(max);
    if left_out > 0 {
        let weight = |term: &String| (term.bytes().any(|b| b.is_ascii_digit()), term.chars().count());
        // Stable: among equals the first stay.
        terms.sort_by_key(|term| std::cmp::Reverse(weight(term)));
        terms.truncate(max);
    }
    (terms, left_out)
}
