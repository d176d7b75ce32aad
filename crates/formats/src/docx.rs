//! A Word document: headings, paragraphs, lists and tables in the order of reading, with
//! footnotes behind them. What Word does not show (hidden text, deletions, white on
//! white, comments) and what repeats on each page is evidence.

mod paragraph;
mod styles;

use context::parse::{Error, Format, Kind, Piece, Table, Why};

use crate::Sink;
use crate::package::{DEPTH_MAX, main_part, relations, title};
use crate::xml::{Element, Token, Xml};
use crate::zip::Archive;
use paragraph::Paragraph;
use styles::Styles;

const FORMAT: Format = Format::Docx;

pub fn read(bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Error> {
    let mut archive = Archive::open(bytes, FORMAT)?;
    if let Some(title) = title(&mut archive, FORMAT)? {
        sink.add(Piece::Title(title))?;
    }
    let main = main_part(&mut archive, "word/document.xml", FORMAT)?;
    let related = relations(&mut archive, &main, FORMAT)?;
    let of = |kind: &'static str| related.iter().filter(move |r| r.kind == kind).map(|r| r.target.as_str());
    let mut styles = Styles::default();
    for part in of("styles") {
        if let Some(bytes) = archive.part(part)? {
            styles = styles::read(&bytes)?;
        }
    }
    let body = archive.needed(&main)?;
    Body::new(&body, &styles).read(sink)?;
    drop(body);
    for (kind, name) in [("footnotes", "Footnotes"), ("endnotes", "Endnotes")] {
        for part in of(kind) {
            let Some(bytes) = archive.part(part)? else { continue };
            sink.part(1, name)?;
            Body::new(&bytes, &styles).read(sink)?;
        }
    }
    for (kind, why) in [("comments", Why::Comment), ("header", Why::Metadata), ("footer", Why::Metadata)] {
        for part in of(kind) {
            let Some(bytes) = archive.part(part)? else { continue };
            let mut body = Body::new(&bytes, &styles);
            body.hidden = Some(why);
            body.read(sink)?;
        }
    }
    Ok(())
}

/// A body by itself.
pub fn fuzz(bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Error> {
    let styles = styles::read(bytes).unwrap_or_default();
    Body::new(bytes, &styles).read(sink)
}

/// The reading of one part.
struct Body<'x> {
    xml: Xml<'x>,
    styles: &'x Styles,
    /// Those that are open: a text box stands inside of a paragraph.
    paragraphs: Vec<Paragraph>,
    /// Those that are open: a table stands inside of a cell.
    tables: Vec<Rows>,
    /// Everything of this part is evidence.
    hidden: Option<Why>,
    /// Elements that were moved away from here.
    moved: usize,
    text: Text,
}

/// What the characters of the element at hand are.
#[derive(Clone, Copy, PartialEq)]
enum Text {
    No,
    Run,
    Deleted,
}

#[derive(Default)]
struct Rows {
    table: Table,
    cells: Vec<String>,
    cell: String,
    /// Cells have a colour of their own, in which white may be read.
    shaded: bool,
}

impl<'x> Body<'x> {
    fn new(bytes: &'x [u8], styles: &'x Styles) -> Body<'x> {
        Body {
            xml: Xml::new(bytes, FORMAT, DEPTH_MAX),
            styles,
            paragraphs: Vec::new(),
            tables: Vec::new(),
            hidden: None,
            moved: 0,
            text: Text::No,
        }
    }

    fn read(&mut self, sink: &mut Sink<'_>) -> Result<(), Error> {
        loop {
            match self.xml.next()? {
                // The same again for readers that do not know the first.
                Token::Open(element) if element.is("Fallback") => self.xml.skip()?,
                Token::Open(element) => self.open(&element),
                Token::Close(name) => self.close(&name, sink)?,
                Token::Text(text) => self.say(&text),
                Token::End => return Ok(()),
            }
        }
    }

    fn open(&mut self, element: &Element<'_>) {
        let name = element.name();
        match name.as_str() {
            "p" => self.paragraphs.push(Paragraph::default()),
            "tbl" => self.tables.push(Rows::default()),
            "tc" => {
                if let Some(rows) = self.tables.last_mut() {
                    rows.shaded = false;
                }
            }
            "moveFrom" => self.moved += 1,
            "t" => self.text = Text::Run,
            "delText" => self.text = Text::Deleted,
            "shd" => self.shade(element),
            _ => {}
        }
        if let Some(paragraph) = self.paragraphs.last_mut() {
            paragraph.open(&name, element, self.styles);
        }
    }

    fn close(&mut self, name: &str, sink: &mut Sink<'_>) -> Result<(), Error> {
        match name {
            "p" => {
                if let Some(paragraph) = self.paragraphs.pop() {
                    self.end(paragraph, sink)?;
                }
            }
            "tc" => {
                if let Some(rows) = self.tables.last_mut() {
                    rows.cells.push(std::mem::take(&mut rows.cell).trim().to_owned());
                    rows.shaded = false;
                }
            }
            "tr" => {
                if let Some(rows) = self.tables.last_mut() {
                    let row = crate::row(&mut rows.table, std::mem::take(&mut rows.cells));
                    self.row(row, sink)?;
                }
            }
            "tbl" => {
                if let Some(rows) = self.tables.pop() {
                    // Of one row only: it names nothing.
                    let row = rows.table.alone();
                    self.row(row, sink)?;
                }
            }
            "moveFrom" => self.moved = self.moved.saturating_sub(1),
            "t" | "delText" => self.text = Text::No,
            _ => {
                if let Some(paragraph) = self.paragraphs.last_mut() {
                    paragraph.close(name);
                }
            }
        }
        Ok(())
    }

    fn say(&mut self, text: &str) {
        let (shaded, moved) = (self.tables.last().is_some_and(|rows| rows.shaded), self.moved > 0);
        let Some(paragraph) = self.paragraphs.last_mut() else { return };
        match self.text {
            Text::No => {}
            Text::Run if moved => paragraph.hide(Why::Display, text),
            Text::Run => paragraph.say(text, shaded),
            Text::Deleted => paragraph.hide(Why::Display, text),
        }
    }

    /// A background other than the page's: of a cell, of a paragraph, of a run.
    fn shade(&mut self, element: &Element<'_>) {
        let fill = element.get("fill").unwrap_or_default();
        if matches!(fill.to_ascii_lowercase().as_str(), "" | "auto" | "ffffff") {
            return;
        }
        match (self.paragraphs.last_mut(), self.tables.last_mut()) {
            (Some(paragraph), _) => paragraph.shaded(),
            (None, Some(rows)) => rows.shaded = true,
            (None, None) => {}
        }
    }

    fn end(&mut self, paragraph: Paragraph, sink: &mut Sink<'_>) -> Result<(), Error> {
        let Paragraph { text, level, item, hidden, is_title, .. } = paragraph;
        for (why, text) in hidden {
            sink.add(Piece::Hidden { why: self.hidden.unwrap_or(why), text })?;
        }
        if let Some(why) = self.hidden {
            return sink.add(Piece::Hidden { why, text });
        }
        if let Some(rows) = self.tables.last_mut() {
            if !text.trim().is_empty() {
                rows.cell.push_str(text.trim());
                rows.cell.push(' ');
            }
            return Ok(());
        }
        if is_title {
            sink.add(Piece::Title(text.clone()))?;
        }
        match level {
            Some(level) => sink.add(Piece::Heading { level, text }),
            None if item => sink.add(Piece::Block { kind: Kind::Item, text }),
            None => sink.add(Piece::Block { kind: Kind::Paragraph, text }),
        }
    }

    /// A row of a table is a block; of a table in a cell, a part of the cell.
    fn row(&mut self, row: Option<String>, sink: &mut Sink<'_>) -> Result<(), Error> {
        let Some(row) = row else { return Ok(()) };
        // While the row's own table is open, it is the last one.
        match self.tables.len().checked_sub(2).and_then(|outer| self.tables.get_mut(outer)) {
            Some(outer) => {
                outer.cell.push_str(&row);
                outer.cell.push('\n');
                Ok(())
            }
            None => sink.add(Piece::Block { kind: Kind::Row, text: row }),
        }
    }
}
