//! A presentation: the slides in their order, each with its title, its text, its tables
//! and the speaker's notes. Hidden slides and shapes and comments are evidence.

use context::parse::{Error, Format, Kind, Piece, Table, Why};

use crate::Sink;
use crate::package::{DEPTH_MAX, main_part, relations, title};
use crate::xml::{Element, Token, Xml};
use crate::zip::Archive;

const FORMAT: Format = Format::Pptx;
/// Of one presentation.
const SLIDES_MAX: usize = 5_000;

pub fn read(bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Error> {
    let mut archive = Archive::open(bytes, FORMAT)?;
    if let Some(title) = title(&mut archive, FORMAT)? {
        sink.add(Piece::Title(title))?;
    }
    let main = main_part(&mut archive, "ppt/presentation.xml", FORMAT)?;
    let order = slide_order(&archive.needed(&main)?)?;
    let related = relations(&mut archive, &main, FORMAT)?;
    for (number, id) in order.iter().enumerate() {
        let Some(slide) = related.iter().find(|r| r.id == *id) else { continue };
        let Some(bytes) = archive.part(&slide.target)? else { continue };
        sink.part(1, &format!("Slide {}", number + 1))?;
        let hidden = Shapes::read(&bytes, None, sink)?;
        for beside in relations(&mut archive, &slide.target, FORMAT)? {
            let why = match beside.kind.as_str() {
                "notesSlide" => hidden,
                "comments" | "comment" => Some(Why::Comment),
                _ => continue,
            };
            let Some(bytes) = archive.part(&beside.target)? else { continue };
            if beside.kind == "notesSlide" && why.is_none() {
                sink.part(2, "Notes")?;
            }
            Shapes::read(&bytes, why, sink)?;
        }
    }
    Ok(())
}

/// A slide, and an order of slides, by themselves.
pub fn fuzz(bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Error> {
    let _ = slide_order(bytes);
    Shapes::read(bytes, None, sink).map(drop)
}

fn slide_order(bytes: &[u8]) -> Result<Vec<String>, Error> {
    let mut xml = Xml::new(bytes, FORMAT, DEPTH_MAX);
    let mut order = Vec::new();
    loop {
        match xml.next()? {
            Token::Open(element) if element.is("sldId") => {
                if order.len() == SLIDES_MAX {
                    return Err(Error::Broken {
                        format: FORMAT,
                        why: format!("more than {SLIDES_MAX} slides"),
                    });
                }
                order.extend(element.relation());
            }
            Token::End => return Ok(order),
            _ => {}
        }
    }
}

/// The shapes of a slide, or of what stands beside it.
struct Shapes {
    hidden: Option<Why>,
    /// The depth of groups and shapes that are open, and of the one that is hidden.
    open: usize,
    hidden_at: Option<usize>,
    role: Role,
    /// Of the paragraph at hand.
    text: String,
    in_text: bool,
    cells: Option<Cells>,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Body,
    Title,
    /// Its number, its date, its footer: on each slide.
    Repeated,
}

#[derive(Default)]
struct Cells {
    table: Table,
    row: Vec<String>,
    cell: String,
}

impl Shapes {
    /// Whether the slide itself is hidden.
    fn read(bytes: &[u8], hidden: Option<Why>, sink: &mut Sink<'_>) -> Result<Option<Why>, Error> {
        let mut xml = Xml::new(bytes, FORMAT, DEPTH_MAX);
        let mut shapes = Shapes {
            hidden,
            open: 0,
            hidden_at: None,
            role: Role::Body,
            text: String::new(),
            in_text: false,
            cells: None,
        };
        loop {
            match xml.next()? {
                Token::Open(element) if element.is("Fallback") => xml.skip()?,
                Token::Open(element) => shapes.open(&element),
                Token::Close(name) => shapes.close(&name, sink)?,
                Token::Text(text) if shapes.in_text => shapes.text.push_str(&text),
                Token::Text(_) => {}
                Token::End => return Ok(shapes.hidden),
            }
        }
    }

    fn open(&mut self, element: &Element<'_>) {
        match element.name().as_str() {
            "sld" if element.get("show").as_deref().is_some_and(|show| matches!(show, "0" | "false")) => {
                self.hidden = Some(Why::Display);
            }
            "sp" | "grpSp" | "graphicFrame" | "pic" | "cxnSp" => {
                self.open += 1;
                self.role = Role::Body;
            }
            "cNvPr" if element.flag("hidden") && self.hidden_at.is_none() => self.hidden_at = Some(self.open),
            "ph" => {
                self.role = match element.get("type").as_deref() {
                    Some("title" | "ctrTitle") => Role::Title,
                    Some("sldNum" | "dt" | "ftr" | "hdr") => Role::Repeated,
                    _ => Role::Body,
                };
            }
            "tbl" => self.cells = Some(Cells::default()),
            // A comment's words are in `text`, a slide's in `t`.
            "t" | "text" => self.in_text = true,
            "br" => self.text.push('\n'),
            "tab" => self.text.push('\t'),
            _ => {}
        }
    }

    fn close(&mut self, name: &str, sink: &mut Sink<'_>) -> Result<(), Error> {
        match name {
            "t" => self.in_text = false,
            "p" | "text" => {
                self.in_text = false;
                return self.paragraph(sink);
            }
            "tc" => {
                if let Some(cells) = &mut self.cells {
                    cells.row.push(std::mem::take(&mut cells.cell).trim().to_owned());
                }
            }
            "tr" => {
                let row =
                    self.cells.as_mut().and_then(|c| crate::row(&mut c.table, std::mem::take(&mut c.row)));
                return self.row(row, sink);
            }
            "tbl" => {
                let row = self.cells.take().and_then(|cells| cells.table.alone());
                return self.row(row, sink);
            }
            "sp" | "grpSp" | "graphicFrame" | "pic" | "cxnSp" => {
                if self.hidden_at == Some(self.open) {
                    self.hidden_at = None;
                }
                self.open = self.open.saturating_sub(1);
                self.role = Role::Body;
            }
            _ => {}
        }
        Ok(())
    }

    fn why(&self) -> Option<Why> {
        let repeated = (self.role == Role::Repeated).then_some(Why::Metadata);
        self.hidden.or(self.hidden_at.map(|_| Why::Display)).or(repeated)
    }

    fn paragraph(&mut self, sink: &mut Sink<'_>) -> Result<(), Error> {
        let text = std::mem::take(&mut self.text);
        if text.trim().is_empty() {
            return Ok(());
        }
        if let Some(why) = self.why() {
            return sink.add(Piece::Hidden { why, text });
        }
        if let Some(cells) = &mut self.cells {
            cells.cell.push_str(text.trim());
            cells.cell.push(' ');
            return Ok(());
        }
        match self.role {
            Role::Title => sink.add(Piece::Heading { level: 2, text }),
            _ => sink.add(Piece::Block { kind: Kind::Paragraph, text }),
        }
    }

    fn row(&mut self, row: Option<String>, sink: &mut Sink<'_>) -> Result<(), Error> {
        match row {
            Some(text) => sink.add(Piece::Block { kind: Kind::Row, text }),
            None => Ok(()),
        }
    }
}
