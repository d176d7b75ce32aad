//! Where a parser puts what it reads, within the limits of a document.

use context::parse::{Error, Limits, Piece};

/// Evidence beyond the limit that is still handed on, so that it is counted.
const HIDDEN_FACTOR: usize = 4;

pub struct Sink<'s> {
    out: &'s mut dyn FnMut(Piece) -> Result<(), Error>,
    text_bytes: usize,
    text_left: usize,
    hidden_left: usize,
}

impl<'s> Sink<'s> {
    pub fn new(limits: &Limits, out: &'s mut dyn FnMut(Piece) -> Result<(), Error>) -> Sink<'s> {
        Sink {
            out,
            text_bytes: limits.text_bytes,
            text_left: limits.text_bytes,
            hidden_left: limits.hidden_bytes.saturating_mul(HIDDEN_FACTOR),
        }
    }

    /// A page, a slide, a sheet.
    pub fn part(&mut self, level: u8, name: &str) -> Result<(), Error> {
        self.add(Piece::Part { level, name: name.chars().take(1_000).collect() })
    }

    pub fn add(&mut self, mut piece: Piece) -> Result<(), Error> {
        match &mut piece {
            Piece::Title(text) => {
                text.truncate(text.floor_char_boundary(4_000));
            }
            Piece::Part { .. } => {}
            Piece::Heading { text, .. } | Piece::Block { text, .. } => {
                let left = self.text_left.checked_sub(text.len());
                self.text_left = left.ok_or(Error::TooMuchText { max: self.text_bytes })?;
                if text.trim().is_empty() {
                    return Ok(());
                }
            }
            Piece::Hidden { text, .. } => {
                text.truncate(text.floor_char_boundary(self.hidden_left));
                self.hidden_left -= text.len();
                if text.trim().is_empty() {
                    return Ok(());
                }
            }
        }
        (self.out)(piece)
    }
}
