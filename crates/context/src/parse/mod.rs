//! From the bytes of a document to what a person sees of it.
//!
//! A parser gives the **visible text**, in blocks with the headings above them, and
//! **evidence** of what is in the document and not seen: comments, elements that are
//! not displayed, characters without width. Evidence is never indexed. Most orders
//! that are hidden in documents are hidden there.
//!
//! Formats whose readers are large and often attacked (PDF, office files) are
//! recognised and refused here: `formats` reads them in a child process with limits,
//! and hands the [`Piece`]s to an [`Assembly`].

mod build;
mod email;
mod error;
mod format;
mod html;
mod markdown;
mod pieces;
mod plain;
mod style;
mod table;

use std::ops::Range;

pub use error::Error;
pub use format::{Declared, Format, format};
pub use pieces::{Assembly, Piece};
pub use table::Table;

use build::Builder;

#[cfg(test)]
mod tests;

/// What one document may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of the document as it came.
    pub bytes: usize,
    /// Paragraphs, rows, items.
    pub blocks: usize,
    /// Elements, lists, quotes, messages within each other.
    pub depth: usize,
    /// Of the visible text.
    pub text_bytes: usize,
    /// Of the evidence that is kept; more is counted.
    pub hidden_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { bytes: 32 << 20, blocks: 100_000, depth: 256, text_bytes: 16 << 20, hidden_bytes: 64 << 10 }
    }
}

/// A document as it is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    pub format: Format,
    /// What it calls itself; at most 200 characters.
    pub title: Option<String>,
    /// The visible text: all blocks, one or two line ends between them. What spans are of.
    pub text: String,
    pub headings: Vec<Heading>,
    /// In the order of the text; none is empty.
    pub blocks: Vec<Block>,
    /// Where its visible links lead within the same place; in the order of the text.
    pub links: Vec<Link>,
    pub hidden: Vec<Hidden>,
    /// Bytes of evidence beyond the limit, not kept.
    pub hidden_dropped: usize,
}

/// A heading, and the one that it stands under (always an earlier one).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    /// From 1.
    pub level: u8,
    /// At most 200 characters.
    pub text: String,
    pub parent: Option<u32>,
}

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Heading,
    Paragraph,
    /// Of a list.
    Item,
    Quote,
    Code,
    /// Of a table, or a record.
    Row,
    /// The lines at the top of a message.
    Header,
}

/// A piece of the visible text that belongs together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub kind: Kind,
    /// The nearest heading above it (its own, for a heading), in [`Parsed::headings`].
    pub heading: Option<u32>,
    /// Bytes of [`Parsed::text`].
    pub span: Range<usize>,
    /// Bytes of the document as it came, where they are known.
    pub source: Option<Range<usize>>,
}

/// A link to another document of the same place: `../pay/grades.md#seven`, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The block that it stands in, in [`Parsed::blocks`].
    pub block: u32,
    /// At most 500 bytes.
    pub to: String,
}

/// Something that is in the document and that nobody sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    pub why: Why,
    /// What it says, as far as it says something.
    pub text: String,
    pub source: Option<Range<usize>>,
}

/// Why it is not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// Characters without width.
    Invisible,
    /// Characters that turn the direction of writing.
    Bidi,
    /// A hidden alphabet.
    Tags,
    /// Control characters.
    Control,
    Comment,
    /// Not displayed: by an attribute, a style, or its element.
    Display,
    /// Of no size, or outside of the page.
    Size,
    /// In the colour of its background.
    Colour,
    /// Attributes, front matter, link titles.
    Metadata,
    /// Another version of the text that is shown instead (of an e-mail).
    Alternative,
}

impl Parsed {
    /// The headings above something, from the outermost.
    pub fn heading_path(&self, heading: Option<u32>) -> Vec<&str> {
        let mut path = Vec::new();
        let mut next = heading;
        while let Some(heading) = next.and_then(|at| self.headings.get(at as usize)) {
            path.push(heading.text.as_str());
            next = heading.parent;
        }
        path.reverse();
        path
    }
}

/// Reads a document.
///
/// # Errors
/// See [`Error`]; [`Error::Empty`] also when nothing of it is visible.
pub fn parse(bytes: &[u8], format: Format, limits: &Limits) -> Result<Parsed, Error> {
    if bytes.len() > limits.bytes {
        return Err(Error::TooLarge { bytes: bytes.len(), max: limits.bytes });
    }
    if bytes.is_empty() {
        return Err(Error::Empty);
    }
    let mut builder = Builder::new(format, limits);
    if format == Format::Email {
        email::read(bytes, &mut builder)?;
        return builder.finish();
    }
    if !format.is_text() {
        return Err(Error::Unsupported(format));
    }
    let (text, start) = plain::decode(bytes)?;
    // Positions in a text that was decoded are not those of the document.
    builder.sources(start);
    match format {
        Format::Text => plain::paragraphs(&text, &mut builder)?,
        Format::Code => plain::code(&text, &mut builder)?,
        Format::Markdown => markdown::read(&text, &mut builder)?,
        Format::Html => html::read(&text, &mut builder)?,
        Format::Csv => table::csv(&text, &mut builder)?,
        Format::Jsonl => table::json_lines(&text, &mut builder)?,
        Format::Email | Format::Pdf | Format::Docx | Format::Pptx | Format::Xlsx => {}
    }
    builder.finish()
}

/// Every format over the same bytes, and what must hold of whatever comes out: what
/// the fuzz target runs.
pub fn fuzz(bytes: &[u8]) {
    let limits =
        Limits { bytes: 64 << 10, blocks: 2_000, depth: 64, text_bytes: 256 << 10, hidden_bytes: 4 << 10 };
    let _ = format(Declared::default(), bytes);
    for format in Format::ALL {
        let Ok(parsed) = parse(bytes, format, &limits) else { continue };
        parsed.check(bytes.len());
        let size = crate::chunk::Size { target: 200, max: 300, overlap: 40 };
        for chunk in crate::chunk::chunks(&parsed, &size) {
            assert!(!parsed.text[chunk.span.clone()].trim().is_empty());
            crate::embed::lexical_hash(&crate::chunk::embedded_text(&parsed, &chunk));
        }
        let chunks = crate::chunk::chunks(&parsed, &size);
        let about = crate::graph::About { source: "a/b.md", title: "B", language: "und" };
        let related = crate::graph::relations(&parsed, &chunks, &about);
        assert_eq!(related.len(), chunks.len());
        for relation in related.iter().flatten() {
            relation.check();
        }
    }
}

impl Parsed {
    /// Panics where a parser broke its promises.
    pub(crate) fn check(&self, bytes: usize) {
        let mut end = 0;
        assert!(!self.blocks.is_empty(), "something is visible");
        for block in &self.blocks {
            assert!(block.span.start >= end && block.span.end > block.span.start, "blocks are in order");
            assert!(self.text[end..block.span.start].chars().all(|c| c == '\n'), "nothing is between blocks");
            assert!(!self.text[block.span.clone()].trim().is_empty(), "no block is empty");
            assert!(
                block.source.as_ref().is_none_or(|s| s.start <= s.end && s.end <= bytes),
                "sources are there"
            );
            assert!(block.heading.is_none_or(|h| (h as usize) < self.headings.len()));
            end = block.span.end;
        }
        assert_eq!(end, self.text.len(), "nothing is behind the last block");
        for (at, heading) in self.headings.iter().enumerate() {
            assert!(
                heading.parent.is_none_or(|parent| (parent as usize) < at),
                "headings stand under earlier ones"
            );
        }
        assert!(
            self.links.iter().all(|link| (link.block as usize) < self.blocks.len()),
            "links stand in blocks"
        );
        assert_eq!(crate::text::clean(&self.text).removed_chars, 0, "what is visible is visible");
    }
}
