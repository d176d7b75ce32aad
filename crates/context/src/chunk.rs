//! From a document to the pieces that are searched and quoted.
//!
//! A chunk is a span of the document's visible text: what is quoted is what stands
//! there. Chunks end where blocks end; a heading goes with what it heads; a block
//! that is too long is cut at a sentence. The headings above a chunk are not part of
//! its span, but of what an embedder is given ([`embedded_text`]).

use std::ops::Range;

use crate::parse::{Kind, Parsed};
use crate::text::{Script, script_of};

/// How large chunks are, in *widths*: a character counts one, one of a language without
/// spaces three, so that a chunk has about as many tokens in any script (four widths each).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// No block is added beyond it. 1,200 widths are about 300 tokens: most of what
    /// small embedders read.
    pub target: usize,
    /// A block up to here stays whole.
    pub max: usize,
    /// Of the chunk before, repeated at the start of the next one in the same section.
    pub overlap: usize,
}

impl Default for Size {
    fn default() -> Size {
        Size { target: 1_200, max: 2_000, overlap: 150 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Bytes of [`Parsed::text`]; neither begins nor ends with white space.
    pub span: Range<usize>,
    /// The nearest heading above its first own block, in [`Parsed::headings`].
    pub heading: Option<u32>,
}

/// The chunks of a document, in order: each starts behind the start of the one before,
/// and together they cover all of its text that is not white space. None is wider than
/// the largest of `max` and `target`, plus `overlap` and a quarter of `target` for headings.
pub fn chunks(parsed: &Parsed, size: &Size) -> Vec<Chunk> {
    let size = Size { target: size.target.max(16), max: size.max.max(size.target.max(16)), ..*size };
    let units = units(parsed, &size);
    let mut chunks: Vec<Chunk> = Vec::new();
    let (mut from, mut width) = (0, 0);
    for at in 0..units.len() {
        let unit = &units[at];
        let full = width + unit.width > size.target;
        // Small sections share a chunk; others begin one.
        let section = unit.kind == Kind::Heading && width * 3 >= size.target;
        if at > from && (full || section) {
            let end = before_headings(&units, from..at, size.target / 4);
            push(parsed, &units, from..end, &size, &mut chunks);
            from = end;
            width = units[from..at].iter().map(|unit| unit.width).sum();
        }
        width += unit.width;
    }
    if from < units.len() {
        push(parsed, &units, from..units.len(), &size, &mut chunks);
    }
    chunks
}

/// What an embedder and full text are given of a chunk beside its text: the
/// document's title and the headings above, then the text.
pub fn embedded_text(parsed: &Parsed, chunk: &Chunk) -> String {
    let mut path = parsed.heading_path(chunk.heading);
    if let Some(title) = &parsed.title
        && path.first() != Some(&title.as_str())
    {
        path.insert(0, title);
    }
    let text = &parsed.text[chunk.span.clone()];
    if path.is_empty() { text.to_owned() } else { format!("{}\n{text}", path.join(" > ")) }
}

/// A block or a piece of one.
struct Unit {
    span: Range<usize>,
    width: usize,
    kind: Kind,
    heading: Option<u32>,
}

fn units(parsed: &Parsed, size: &Size) -> Vec<Unit> {
    let mut units = Vec::with_capacity(parsed.blocks.len());
    for block in &parsed.blocks {
        let mut add = |span: Range<usize>, width| {
            units.push(Unit { span, width, kind: block.kind, heading: block.heading });
        };
        let width = width_of(&parsed.text[block.span.clone()]);
        if width <= size.max {
            add(block.span.clone(), width);
            continue;
        }
        let mut start = block.span.start;
        while start < block.span.end {
            let (length, width) = cut(&parsed.text[start..block.span.end], size.target);
            add(start..start + length, width);
            start += length;
        }
    }
    units
}

/// Where units end without the headings at their end, if those are short and not all.
fn before_headings(units: &[Unit], range: Range<usize>, width_max: usize) -> usize {
    let mut end = range.end;
    let mut width = 0;
    while end > range.start && units[end - 1].kind == Kind::Heading {
        width += units[end - 1].width;
        end -= 1;
    }
    if end == range.start || width > width_max { range.end } else { end }
}

fn push(parsed: &Parsed, units: &[Unit], range: Range<usize>, size: &Size, chunks: &mut Vec<Chunk>) {
    let text = parsed.text.as_str();
    let first = &units[range.start];
    let mut span = first.span.start..units[range.end - 1].span.end;
    let goes_on = !matches!(first.kind, Kind::Heading | Kind::Row)
        && range.start > 0
        && units[range.start - 1].heading == first.heading;
    if let Some(before) = chunks.last()
        && goes_on
    {
        span.start = overlapped(text, before.span.start + 1, span.start, size.overlap);
    }
    let shown = &text[span.clone()];
    span.start += shown.len() - shown.trim_start().len();
    span.end -= shown.len() - shown.trim_end().len();
    if span.start < span.end {
        chunks.push(Chunk { span, heading: first.heading });
    }
}

/// A start up to `overlap` before `start`, not before `floor`, at the beginning of a word.
fn overlapped(text: &str, floor: usize, start: usize, overlap: usize) -> usize {
    let mut width = 0;
    let mut best = start;
    let mut after = None;
    for (at, c) in text[..start].char_indices().rev() {
        width += width_of_char(c);
        if at < floor || width > overlap {
            break;
        }
        let begins = !c.is_whitespace() && text[..at].chars().next_back().is_none_or(char::is_whitespace);
        if begins || width_of_char(c) > 1 {
            best = at;
        }
        // A sentence that begins within the second half is a better start than a word.
        if matches!(c, '.' | '!' | '?' | '\n' | '。' | '！' | '？') && width * 2 >= overlap && after.is_none()
        {
            after = Some(at + c.len_utf8());
        }
    }
    match after {
        Some(at)
            if text[at..start].starts_with(char::is_whitespace) && !text[at..start].trim().is_empty() =>
        {
            at + (text[at..start].len() - text[at..start].trim_start().len())
        }
        _ => best,
    }
}

/// How much of a text of more than `target` widths comes into its first piece, in bytes,
/// and its width: up to the last sentence that ends in the second half of `target`, else
/// the last word, else `target`.
fn cut(text: &str, target: usize) -> (usize, usize) {
    let (mut width, mut sentence, mut word) = (0, None, None);
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        let next = width + width_of_char(c);
        if next > target {
            let whole = (at.max(c.len_utf8()), width);
            return sentence.or(word).filter(|(at, _)| *at > 0).unwrap_or(whole);
        }
        if width * 2 >= target {
            let ended = matches!(before, '.' | '!' | '?' | ':' | ';' | '"' | ')') && c.is_whitespace();
            if ended || c == '\n' || matches!(before, '。' | '！' | '？') {
                sentence = Some((at, width));
            } else if c.is_whitespace() {
                word = Some((at, width));
            }
        }
        width = next;
        before = c;
    }
    (text.len(), width)
}

fn width_of(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(width_of_char).sum() }
}

fn width_of_char(c: char) -> usize {
    if c.is_ascii() {
        return 1;
    }
    match script_of(c) {
        Some(Script::Cjk | Script::Thai) => 3,
        _ => 1,
    }
}

#[cfg(test)]
mod tests;
