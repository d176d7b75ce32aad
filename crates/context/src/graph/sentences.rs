//! A text as words with what stands between them.

use crate::text::{Script, script_of};

/// A word as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub text: &'t str,
    /// What stands before it and behind the word before.
    pub gap: &'t str,
    /// Whether a sentence, a line, a cell or a quotation begins with it.
    pub begins: bool,
    /// Its end in the text.
    pub end: usize,
}

/// What ends a sentence or a part that stands by itself.
const ENDS: [char; 18] =
    ['.', '!', '?', ':', ';', '\n', '|', '(', '[', '"', '“', '”', '„', '«', '»', '•', '。', '：'];

/// The words of a text. `&`, `-`, `_`, `/` and apostrophes between two letters or digits are a
/// part of one, as in `R&D` and `O'Brien`.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut all: Vec<Token<'_>> = Vec::new();
    let (mut start, mut before) = (None, 0);
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, c)| *c);
        let joint = matches!(c, '&' | '-' | '_' | '\'' | '’' | '\u{2010}' | '\u{2011}');
        let inside = is_word(c) || joint && start.is_some() && next.is_some_and(is_word);
        if inside {
            start.get_or_insert(at);
        }
        let end = at + c.len_utf8();
        let ended = if inside { next.is_none().then_some(end) } else { Some(at) };
        if let (Some(end), Some(from)) = (ended, start) {
            let gap = &text[before..from];
            let begins = all.is_empty() || gap.contains(ENDS);
            all.push(Token { text: &text[from..end], gap, begins, end });
            (start, before) = (None, end);
        }
    }
    all
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || unicode_normalization::char::is_combining_mark(c)
}

/// `key: value` on a line: the key of few words, the value short and with a letter in it.
pub(super) fn pair(line: &str) -> Option<(&str, &str)> {
    const KEY_WORDS: usize = 4;
    const VALUE_WORDS: usize = 8;
    let line = line.trim_start_matches(['-', '*', '•', ' ']).trim();
    // Without spaces between words there is none behind the colon (`：`, which reading folds) either.
    let unspaced = |(key, _): &(&str, &str)| key.chars().next_back().and_then(script_of) == Some(Script::Cjk);
    let (key, value) = line.split_once(": ").or_else(|| line.split_once(':').filter(unspaced))?;
    let (key, value) = (key.trim(), value.trim().trim_end_matches(['.', ';', '。']));
    let words = |text: &str| text.split_whitespace().count();
    let sound = (1..=KEY_WORDS).contains(&words(key))
        && (1..=VALUE_WORDS).contains(&words(value))
        && !key.contains(['.', '!', '?', '"', '|'])
        && !value.contains(['.', '!', '?', '|', '。'])
        && value.chars().any(char::is_alphabetic);
    sound.then_some((key, value))
}
