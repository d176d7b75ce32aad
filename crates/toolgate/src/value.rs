//! When two spellings are the same value, and where a value stands in a text.
//!
//! Normalising is deliberately poor: whatever a receiver may take for
//! something else (an invisible character, a look-alike, a second address in
//! the same string) must not match, so nothing is folded but what the kind
//! itself says does not matter.

use crate::declare::Kind;
use crate::links;

/// The form in which two spellings of a value of this kind are compared, and
/// under which an endorsement is kept. `None`: it is no value of this kind.
pub fn normal(kind: Kind, value: &str) -> Option<String> {
    let value = value.trim();
    if value.is_empty() || hidden(value) {
        return None;
    }
    match kind {
        Kind::Text => Some(words(value)),
        Kind::Exact => Some(value.to_owned()),
        Kind::Email => email(value),
        Kind::Url => links::url(value),
        Kind::Number => number(value).map(|n| n.to_string()),
        Kind::Account => {
            let plain: String = value.chars().filter(|c| !c.is_whitespace()).collect();
            Some(plain.to_ascii_uppercase())
        }
    }
}

/// Characters that show nothing, or that turn what is shown around.
pub(crate) fn hidden(value: &str) -> bool {
    value.chars().any(|c| {
        c.is_control() && !matches!(c, '\n' | '\t' | '\r')
            || matches!(c,
                '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
                | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}')
    })
}

/// Lower case, one space between words.
pub(crate) fn words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.chars().flat_map(char::to_lowercase));
    }
    out
}

fn email(value: &str) -> Option<String> {
    let (local, domain) = value.split_once('@')?;
    let plain = |c: char| !c.is_whitespace() && !matches!(c, ',' | ';' | '<' | '>' | '(' | ')' | '"' | '@');
    let well = !local.is_empty() && !domain.is_empty() && value.chars().filter(|c| *c != '@').all(plain);
    (well && !domain.contains('@')).then(|| value.to_ascii_lowercase())
}

/// A finite number, written as JSON or plain decimal.
pub(crate) fn number(value: &str) -> Option<f64> {
    let digits = value.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    value.parse::<f64>().ok().filter(|n| digits && n.is_finite())
}

/// Whether `value`, lower-cased by [`words`] as `text` is, stands in the text as
/// a token of its own and not as a part of a longer one: `a@b.co` does not
/// stand in `a@b.co.uk`.
pub(crate) fn stands_in(value: &str, text: &str) -> bool {
    !value.is_empty() && text.match_indices(value).any(|(at, _)| alone(text, at, at + value.len()))
}

fn alone(text: &str, start: usize, end: usize) -> bool {
    let mut before = text[..start].chars().rev();
    let mut after = text[end..].chars();
    !(continues(before.next(), before.next()) || continues(after.next(), after.next()))
}

/// Whether a token goes on over this boundary: into a letter, or over a joint into one.
fn continues(near: Option<char>, beyond: Option<char>) -> bool {
    match near {
        Some(c) if c.is_alphanumeric() || c == '_' || c == '@' => true,
        Some('.' | '-' | '+' | '/' | ':' | '%') => beyond.is_some_and(char::is_alphanumeric),
        _ => false,
    }
}

/// The numbers that stand in a text.
pub(crate) fn numbers(text: &str) -> impl Iterator<Item = f64> + '_ {
    text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ',')))
        .map(|token| token.trim_matches(|c: char| !c.is_ascii_digit()))
        .filter_map(|token| number(&token.replace(',', "")))
}
