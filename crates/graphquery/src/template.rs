//! A template as pieces of text and holes between them.

use std::collections::{BTreeMap, BTreeSet};

use crate::{PARAMETERS_MAX, Parameter, TEMPLATE_BYTES_MAX};

/// Text that is sent as it is, and the parameters that stand in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pub pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    /// `counts`: behind `LIMIT` or `OFFSET`, where SPARQL takes a bare number.
    Hole {
        name: String,
        counts: bool,
    },
}

/// Why a template is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("it has {0} bytes; at most {max} fit", max = TEMPLATE_BYTES_MAX)]
    Long(usize),
    #[error("it has {0} parameters; at most {max} fit", max = PARAMETERS_MAX)]
    Parameters(usize),
    #[error("a parameter is called \"{0}\": a letter, then letters, digits and `_`")]
    Name(String),
    #[error("`${0}` is no parameter of it")]
    Undeclared(String),
    #[error("its parameter \"{0}\" stands nowhere in it")]
    Unused(String),
    #[error("`${0}` stands in a text, an address or a comment, where no value is put")]
    Inside(String),
    #[error("`${0}` does not stand by itself: put spaces around it")]
    Joined(String),
    #[error("`${0}` stands behind LIMIT or OFFSET, so it has to be an integer")]
    Count(String),
    #[error("it begins with `{0}`; it has to begin with {1}")]
    Begins(String, &'static str),
    #[error("`{0}` changes something or reaches elsewhere; templates only read")]
    Forbidden(String),
    #[error("it has an escape `\\u`: write the character itself")]
    Escape,
    #[error("it has more than one statement")]
    Many,
    #[error("a text, an address or a comment in it does not end")]
    Open,
}

/// What a language knows of its own text.
pub(crate) trait Scanner {
    /// The length of the closed part that begins here (`Some(None)`: one that does not end);
    /// `None` where code goes on.
    fn closed(&self, rest: &str) -> Option<Option<usize>>;
    /// Whether `\uXXXX` is replaced before anything else is looked at.
    fn unescapes(&self) -> bool {
        true
    }
    /// Whether `;` ends a statement.
    fn has_statements(&self) -> bool {
        false
    }
    /// Whether a word begins a text of other rules than those by which it would be cut here.
    fn misleads(&self, _: &Word) -> bool {
        false
    }
    /// What may stand beside a hole: nothing that a term could grow together with.
    fn stands_apart(&self, c: char) -> bool {
        c.is_whitespace() || matches!(c, '(' | ')' | '{' | '}' | '[' | ']' | ',' | ';' | '=')
    }
}

/// A word of code and what stands before and behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// In upper case.
    pub text: String,
    pub before: Option<char>,
    pub after: Option<char>,
}

/// Cuts a template into pieces. The words of its code come with it, in order.
pub(crate) fn cut(
    text: &str,
    parameters: &BTreeMap<String, Parameter>,
    scanner: &impl Scanner,
) -> Result<(Template, Vec<Word>), Wrong> {
    if text.len() > TEMPLATE_BYTES_MAX {
        return Err(Wrong::Long(text.len()));
    }
    if parameters.len() > PARAMETERS_MAX {
        return Err(Wrong::Parameters(parameters.len()));
    }
    if let Some(name) = parameters.keys().find(|name| !is_name(name)) {
        return Err(Wrong::Name(name.clone()));
    }
    if scanner.unescapes() && (text.contains("\\u") || text.contains("\\U")) {
        return Err(Wrong::Escape);
    }
    let (mut pieces, mut words) = (Vec::new(), Vec::<Word>::new());
    let (mut piece, mut used) = (String::new(), BTreeSet::new());
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        if let Some(closed) = scanner.closed(rest) {
            let length = closed.ok_or(Wrong::Open)?;
            if let Some(name) = parameters.keys().find(|name| holds(&rest[..length], name)) {
                return Err(Wrong::Inside(name.clone()));
            }
            piece.push_str(&rest[..length]);
            at += length;
        } else if c == '$' {
            let name = name_at(&rest[1..]);
            if !parameters.contains_key(name) {
                return Err(Wrong::Undeclared(name.chars().take(64).collect()));
            }
            let before = text[..at].chars().next_back();
            let after = rest[1 + name.len()..].chars().next();
            let apart = |c| scanner.stands_apart(c);
            if !before.is_none_or(apart) || !after.is_none_or(apart) {
                return Err(Wrong::Joined(name.into()));
            }
            let counts = words.last().is_some_and(|word| matches!(word.text.as_str(), "LIMIT" | "OFFSET"))
                && piece.trim_end().to_ascii_uppercase().ends_with(&words[words.len() - 1].text);
            pieces.push(Piece::Text(std::mem::take(&mut piece)));
            pieces.push(Piece::Hole { name: name.into(), counts });
            used.insert(name);
            at += 1 + name.len();
        } else if c.is_ascii_alphabetic() || c == '_' {
            let word = name_at(rest);
            let known = Word {
                text: word.to_ascii_uppercase(),
                before: text[..at].chars().next_back(),
                after: rest[word.len()..].chars().next(),
            };
            if scanner.misleads(&known) {
                return Err(Wrong::Forbidden(format!("{word}{}", known.after.unwrap_or_default())));
            }
            words.push(known);
            piece.push_str(word);
            at += word.len();
        } else if c == ';' && scanner.has_statements() {
            return Err(Wrong::Many);
        } else {
            piece.push(c);
            at += c.len_utf8();
        }
    }
    pieces.push(Piece::Text(piece));
    if let Some(name) = parameters.keys().find(|name| !used.contains(name.as_str())) {
        return Err(Wrong::Unused(name.clone()));
    }
    Ok((Template { pieces }, words))
}

fn is_name(name: &str) -> bool {
    name.len() <= 64 && name.starts_with(|c: char| c.is_ascii_alphabetic()) && name_at(name) == name
}

/// Letters, digits and `_` from here on.
fn name_at(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}

/// Whether a closed part has `$name`.
fn holds(closed: &str, name: &str) -> bool {
    closed.match_indices('$').any(|(at, _)| name_at(&closed[at + 1..]) == name)
}
