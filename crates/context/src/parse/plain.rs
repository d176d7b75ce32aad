//! Text that is structured by its lines alone, and source code.

use std::borrow::Cow;
use std::ops::Range;

use super::build::{Builder, line};
use super::{Error, Kind};

/// A document's characters, and how many bytes of it stand before them; `None` where
/// positions in the text are not those in the document.
pub(super) fn decode(bytes: &[u8]) -> Result<(Cow<'_, str>, Option<usize>), Error> {
    match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => utf8(rest, 3).map(|text| (Cow::Borrowed(text), Some(3))),
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => utf8(bytes, 0).map(|text| (Cow::Borrowed(text), Some(0))),
    }
}

fn utf8(bytes: &[u8], start: usize) -> Result<&str, Error> {
    let text = simdutf8::basic::from_utf8(bytes).map_err(|_| {
        let at = std::str::from_utf8(bytes).err().map_or(0, |error| error.valid_up_to());
        // A zero before the first wrong byte: it was never meant as text.
        if bytes[..at].contains(&0) {
            Error::Binary { found: "data" }
        } else {
            Error::NotUtf8 { at: at + start }
        }
    })?;
    if memchr::memchr(0, bytes).is_some() { Err(Error::Binary { found: "data" }) } else { Ok(text) }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<(Cow<'_, str>, Option<usize>), Error> {
    let units = bytes.chunks(2).map(|pair| <[u8; 2]>::try_from(pair).map_or(0xD800, unit));
    let mut text = String::with_capacity(bytes.len());
    let mut at = 2;
    for c in char::decode_utf16(units) {
        let c = c.map_err(|_| Error::NotUtf8 { at })?;
        if c == '\0' {
            return Err(Error::Binary { found: "data" });
        }
        at += 2 * c.len_utf16();
        text.push(c);
    }
    Ok((Cow::Owned(text), None))
}

/// Paragraphs between empty lines; lines that begin with `>` are a quote.
pub(super) fn paragraphs(text: &str, builder: &mut Builder<'_>) -> Result<(), Error> {
    let mut open: Option<(Kind, Range<usize>)> = None;
    for span in lines(text) {
        let line = &text[span.clone()];
        let kind = match line.trim_start() {
            "" => None,
            rest if rest.starts_with('>') => Some(Kind::Quote),
            _ => Some(Kind::Paragraph),
        };
        match (&mut open, kind) {
            (Some((before, whole)), Some(kind)) if *before == kind => whole.end = span.end,
            _ => {
                if let Some((kind, whole)) = open.take() {
                    builder.block(kind, &text[whole.clone()], whole)?;
                }
                open = kind.map(|kind| (kind, span));
            }
        }
    }
    match open {
        Some((kind, whole)) => builder.block(kind, &text[whole.clone()], whole),
        None => Ok(()),
    }
}

/// Stretches of code that begin at an unindented line behind an empty one; each is
/// under the first definition in it.
pub(super) fn code(text: &str, builder: &mut Builder<'_>) -> Result<(), Error> {
    let mut start = 0;
    let mut gap = true;
    for span in lines(text) {
        let unindented = text[span.clone()].starts_with(|c: char| !c.is_whitespace() && !")]}".contains(c));
        if gap && unindented && span.start > start {
            code_block(text, start..span.start, builder)?;
            start = span.start;
        }
        gap = text[span].trim().is_empty();
    }
    code_block(text, start..text.len(), builder)
}

fn code_block(text: &str, span: Range<usize>, builder: &mut Builder<'_>) -> Result<(), Error> {
    if let Some(definition) = text[span.clone()].lines().find(|line| is_definition(line)) {
        let shown = line(definition.trim_end_matches(['{', ':', ' ', '(']));
        if !shown.is_empty() {
            builder.enter(1, shown);
        }
    }
    builder.block(Kind::Code, &text[span.clone()], span)
}

/// Whether an unindented line says what the lines below it are.
fn is_definition(line: &str) -> bool {
    const WORDS: [&str; 18] = [
        "class",
        "def",
        "defmodule",
        "enum",
        "fn",
        "func",
        "function",
        "impl",
        "interface",
        "module",
        "namespace",
        "package",
        "record",
        "struct",
        "sub",
        "trait",
        "type",
        "union",
    ];
    const BEFORE: [&str; 13] = [
        "abstract",
        "async",
        "const",
        "default",
        "export",
        "final",
        "internal",
        "pub",
        "public",
        "private",
        "protected",
        "static",
        "unsafe",
    ];
    if line.starts_with(char::is_whitespace) {
        return false;
    }
    let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty());
    words.find(|word| !BEFORE.contains(word) && *word != "crate").is_some_and(|word| WORDS.contains(&word))
}

/// The lines of a text, without their ends.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    text.split('\n').map(move |line| {
        let span = start..start + line.len();
        start = span.end + 1;
        span
    })
}
