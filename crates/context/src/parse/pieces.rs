//! What a reader outside of this process says of a document, put together here.
//!
//! The reader of a hostile format is not believed: its pieces are cleaned and counted
//! like those of the parsers of this crate.

use super::build::{Builder, line};
use super::{Error, Format, Kind, Limits, Parsed, Why};

/// One thing that stands in a document, in the order of reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// What the document calls itself; the first one stays.
    Title(String),
    /// A part that the text itself does not name: a page, a slide, a sheet. From 1.
    Part {
        level: u8,
        name: String,
    },
    /// A heading that is part of the text.
    Heading {
        level: u8,
        text: String,
    },
    Block {
        kind: Kind,
        text: String,
    },
    /// What is there and not seen.
    Hidden {
        why: Why,
        text: String,
    },
}

/// A document in the making.
pub struct Assembly<'l>(Builder<'l>);

impl<'l> Assembly<'l> {
    pub fn new(format: Format, limits: &'l Limits) -> Assembly<'l> {
        let mut builder = Builder::new(format, limits);
        // Positions in what was unpacked are not those of the document.
        builder.sources(None);
        Assembly(builder)
    }

    /// # Errors
    /// When a limit is reached.
    pub fn add(&mut self, piece: &Piece) -> Result<(), Error> {
        match piece {
            Piece::Title(text) => self.0.title(text),
            Piece::Part { level, name } => {
                let name = line(name);
                if !name.is_empty() {
                    self.0.part((*level).max(1), name)?;
                }
            }
            Piece::Heading { level, text } => self.0.heading((*level).max(1), text, 0..0)?,
            Piece::Block { kind: Kind::Heading, text } => self.0.heading(1, text, 0..0)?,
            Piece::Block { kind, text } => self.0.block(*kind, text, 0..0)?,
            Piece::Hidden { why, text } => self.0.hide(*why, text, 0..0),
        }
        Ok(())
    }

    /// # Errors
    /// [`Error::Empty`] when nothing is visible.
    pub fn finish(self) -> Result<Parsed, Error> {
        self.0.finish()
    }
}
