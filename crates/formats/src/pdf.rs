//! A PDF: the text of its pages in the order of their content, by paragraphs, with page
//! numbers. Text that no eye meets (invisible, white on white, tiny, beside the page) is
//! evidence, except where it is the text of a scanned picture.

mod cmap;
mod encoding;
mod font;
mod layout;
mod walk;

use context::parse::{Error, Format, Kind, Piece, Why};
use hayro_syntax::{DecryptionError, LoadPdfError, Pdf};

use crate::Sink;
use layout::{Paragraph, paragraphs};
use walk::Walk;

const FORMAT: Format = Format::Pdf;
/// Of one document.
const PAGES_MAX: usize = 20_000;
/// How much larger than the body a heading is set.
const HEADING_SCALE: f64 = 1.15;
/// Longer ones are text in large letters.
const HEADING_CHARS: usize = 200;

pub fn read(bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Error> {
    let pdf = Pdf::new(bytes.to_vec()).map_err(|why| match why {
        LoadPdfError::Decryption(DecryptionError::PasswordProtected) => Error::Encrypted,
        LoadPdfError::Decryption(_) => broken("it is encrypted in a way that is not read"),
        LoadPdfError::Invalid => broken("its objects cannot be found"),
    })?;
    if let Some(title) = &pdf.metadata().title {
        sink.add(Piece::Title(encoding::text_string(title)))?;
    }
    let pages = pdf.pages();
    if pages.len() > PAGES_MAX {
        return Err(broken(&format!("it has more than {PAGES_MAX} pages")));
    }
    let mut walk = Walk::new();
    let mut read: Vec<Vec<Paragraph>> = Vec::with_capacity(pages.len());
    let mut pictures = false;
    for page in pages.iter() {
        let seen = walk.page(page)?;
        pictures |= seen.pictures;
        for (why, text) in seen.hidden() {
            sink.add(Piece::Hidden { why, text })?;
        }
        read.push(paragraphs(seen.visible()));
    }
    if read.iter().all(Vec::is_empty) {
        return Err(if pictures { broken("it has pictures of text, and no text") } else { Error::Empty });
    }
    let body = body_size(read.iter().flatten());
    for (number, page) in read.into_iter().enumerate() {
        if page.is_empty() {
            continue;
        }
        sink.part(1, &format!("Page {}", number + 1))?;
        for paragraph in page {
            let large = paragraph.size >= body * HEADING_SCALE && paragraph.text.len() <= HEADING_CHARS;
            sink.add(match large {
                true => Piece::Heading { level: 2, text: paragraph.text },
                false => Piece::Block { kind: Kind::Paragraph, text: paragraph.text },
            })?;
        }
    }
    Ok(())
}

/// The size in which most characters are set.
fn body_size<'p>(paragraphs: impl Iterator<Item = &'p Paragraph>) -> f64 {
    let mut sizes: Vec<(i64, usize)> = Vec::new();
    for paragraph in paragraphs {
        let tenths = (paragraph.size * 10.0).round() as i64;
        match sizes.iter().position(|(size, _)| *size == tenths) {
            Some(at) => sizes[at].1 += paragraph.text.len(),
            None if sizes.len() < 1_000 => sizes.push((tenths, paragraph.text.len())),
            None => {}
        }
    }
    sizes.iter().max_by_key(|(_, count)| *count).map_or(0.0, |(size, _)| *size as f64 / 10.0)
}

fn broken(why: &str) -> Error {
    Error::Broken { format: FORMAT, why: why.into() }
}

/// A content stream and a character map by themselves.
pub fn fuzz(bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Error> {
    let map = cmap::CMap::read(bytes);
    for code in [0, 1, 0x41, 0x20AC, u32::MAX] {
        if let Some(text) = map.text(code) {
            sink.add(Piece::Hidden { why: Why::Metadata, text })?;
        }
    }
    let seen = Walk::new().bare(bytes)?;
    for paragraph in paragraphs(seen.visible()) {
        sink.add(Piece::Block { kind: Kind::Paragraph, text: paragraph.text })?;
    }
    Ok(())
}
