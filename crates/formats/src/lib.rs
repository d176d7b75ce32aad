//! PDF and office files, read where they can do no harm.
//!
//! Readers of these formats are large, and documents are written by strangers. So each
//! document is read by a process of its own: this same binary, which gets the bytes over
//! a socket that is its standard input, and before it reads one gives up what it does not
//! need. It may open no file and no socket (`RLIMIT_NOFILE` is 0), write none, start
//! nothing (what a root starts finds no libraries); its memory and its time are bounded;
//! its environment is empty. It answers
//! with [`Piece`](context::parse::Piece)s, which the parent cleans, counts and puts
//! together like those of its own parsers. A crash, a bomb or a loop costs that document.
//!
//! Invariants: the parent parses nothing of these formats; whatever the child does, the
//! parent has an answer or an error when the time is over, and no child is left; no text
//! of a document is in an error or on standard error.

mod child;
mod docx;
mod package;
mod pdf;
mod pptx;
mod reader;
mod sink;
mod wire;
mod xlsx;
mod xml;
mod zip;

#[cfg(test)]
mod tests;

use context::parse::{Assembly, Error, Format, Limits, Table};

pub use child::run;
pub use reader::{Bounds, Launch, Reader};
pub use sink::Sink;
pub use xml::{Element, Fault, Token, Tokens};

/// Reads a document here: what the child does.
fn read(bytes: &[u8], format: Format, sink: &mut Sink<'_>) -> Result<(), Error> {
    match format {
        Format::Docx => docx::read(bytes, sink),
        Format::Pptx => pptx::read(bytes, sink),
        Format::Xlsx => xlsx::read(bytes, sink),
        Format::Pdf => pdf::read(bytes, sink),
        other => Err(Error::Unsupported(other)),
    }
}

/// A row of a table in running text. Two columns are as often a name and its value as a
/// table with a head, and are left as they stand.
fn row(table: &mut Table, cells: Vec<String>) -> Option<String> {
    if cells.len() > 2 {
        return table.row(cells);
    }
    let cells: Vec<String> = cells.into_iter().filter(|cell| !cell.is_empty()).collect();
    (!cells.is_empty()).then(|| cells.join(" | "))
}

/// One parser over the same bytes, as a whole document and as the part that matters of
/// one: what the fuzz targets run.
pub fn fuzz(bytes: &[u8], format: Format) {
    let limits =
        Limits { bytes: 1 << 20, blocks: 2_000, depth: 64, text_bytes: 256 << 10, hidden_bytes: 4 << 10 };
    type Parser = fn(&[u8], &mut Sink<'_>) -> Result<(), Error>;
    let parts: &[Parser] = match format {
        Format::Docx => &[docx::read, docx::fuzz],
        Format::Pptx => &[pptx::read, pptx::fuzz],
        Format::Xlsx => &[xlsx::read, xlsx::fuzz],
        _ => &[pdf::read, pdf::fuzz],
    };
    for parser in parts {
        let mut assembly = Assembly::new(format, &limits);
        let mut add = |piece| assembly.add(&piece);
        let _ = parser(bytes, &mut Sink::new(&limits, &mut add));
        let _ = assembly.finish();
    }
}

/// What a child may answer, however broken it is: what the fuzz target runs.
pub fn fuzz_frames(bytes: &[u8]) {
    let limits = Limits { blocks: 2_000, text_bytes: 256 << 10, ..Limits::default() };
    let _ = wire::read_answer(&mut std::io::Cursor::new(bytes), Format::Pdf, &limits);
}
