//! A workbook: its sheets in their order, a row each, with the names of its columns where
//! the first row names them. Hidden sheets, rows and columns and comments are evidence.

mod cells;

use context::parse::{Error, Format, Kind, Piece, Table, Why};

use crate::Sink;
use crate::package::{DEPTH_MAX, main_part, relations, title};
use crate::xml::{Element, Token, Xml};
use crate::zip::Archive;
use cells::{Book, column_of};

const FORMAT: Format = Format::Xlsx;
/// Of one workbook.
const SHEETS_MAX: usize = 1_000;
/// Excel's own last column is XFD.
const COLUMNS_MAX: usize = 16_384;

struct Sheet {
    name: String,
    relation: String,
    hidden: bool,
}

pub fn read(bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Error> {
    let mut archive = Archive::open(bytes, FORMAT)?;
    if let Some(title) = title(&mut archive, FORMAT)? {
        sink.add(Piece::Title(title))?;
    }
    let main = main_part(&mut archive, "xl/workbook.xml", FORMAT)?;
    let related = relations(&mut archive, &main, FORMAT)?;
    let mut book = Book::default();
    let sheets = workbook(&archive.needed(&main)?, &mut book)?;
    for relation in &related {
        match relation.kind.as_str() {
            "sharedStrings" => {
                if let Some(bytes) = archive.part(&relation.target)? {
                    book.strings(&bytes)?;
                }
            }
            "styles" => {
                if let Some(bytes) = archive.part(&relation.target)? {
                    book.styles(&bytes)?;
                }
            }
            _ => {}
        }
    }
    for sheet in sheets {
        let Some(relation) = related.iter().find(|r| r.id == sheet.relation && r.kind == "worksheet") else {
            continue;
        };
        let Some(bytes) = archive.part(&relation.target)? else { continue };
        if !sheet.hidden {
            sink.part(1, &sheet.name)?;
        }
        Rows::new(&bytes, &book, sheet.hidden).read(sink)?;
        drop(bytes);
        for beside in relations(&mut archive, &relation.target, FORMAT)? {
            if matches!(beside.kind.as_str(), "comments" | "threadedComment")
                && let Some(bytes) = archive.part(&beside.target)?
            {
                comments(&bytes, sink)?;
            }
        }
    }
    Ok(())
}

/// Each kind of part by itself.
pub fn fuzz(bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Error> {
    let mut book = Book::default();
    let _ = workbook(bytes, &mut book);
    let _ = book.strings(bytes);
    let _ = book.styles(bytes);
    let _ = comments(bytes, sink);
    Rows::new(bytes, &book, false).read(sink)
}

fn workbook(bytes: &[u8], book: &mut Book) -> Result<Vec<Sheet>, Error> {
    let mut xml = Xml::new(bytes, FORMAT, DEPTH_MAX);
    let mut sheets = Vec::new();
    loop {
        match xml.next()? {
            Token::Open(element) if element.is("sheet") => {
                if sheets.len() == SHEETS_MAX {
                    return Err(Error::Broken {
                        format: FORMAT,
                        why: format!("more than {SHEETS_MAX} sheets"),
                    });
                }
                let hidden = matches!(element.get("state").as_deref(), Some("hidden" | "veryHidden"));
                let name = element.get("name").unwrap_or_default();
                sheets.push(Sheet { name, relation: element.relation().unwrap_or_default(), hidden });
            }
            Token::Open(element) if element.is("workbookPr") => book.from_1904 = element.flag("date1904"),
            Token::End => return Ok(sheets),
            _ => {}
        }
    }
}

fn comments(bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Error> {
    let mut xml = Xml::new(bytes, FORMAT, DEPTH_MAX);
    let (mut inside, mut words) = (0, String::new());
    loop {
        match xml.next()? {
            Token::Open(element) if element.is("t") || element.is("text") => inside += 1,
            Token::Text(text) if inside > 0 => words.push_str(&text),
            Token::Close(name) if name == "t" || name == "text" => {
                inside -= 1;
                if inside == 0 {
                    sink.add(Piece::Hidden { why: Why::Comment, text: std::mem::take(&mut words) })?;
                }
            }
            Token::End => return Ok(()),
            _ => {}
        }
    }
}

/// The rows of a sheet.
struct Rows<'x> {
    xml: Xml<'x>,
    book: &'x Book,
    hidden: bool,
    /// First and last column of those that are hidden, from 0.
    hidden_columns: Vec<(usize, usize)>,
    table: Table,
    /// Where the table at hand begins.
    left: usize,
    /// The number of the last row that had something.
    last: u64,
    row: Row,
}

#[derive(Default)]
struct Row {
    number: u64,
    hidden: bool,
    /// By their columns, from 0.
    cells: Vec<(usize, String)>,
    next: usize,
    cell: Cell,
}

#[derive(Default)]
struct Cell {
    column: usize,
    kind: String,
    style: usize,
    value: String,
    /// Inside of `v` or `t`, and not of a reading aid.
    inside: bool,
}

impl<'x> Rows<'x> {
    fn new(bytes: &'x [u8], book: &'x Book, hidden: bool) -> Rows<'x> {
        Rows {
            xml: Xml::new(bytes, FORMAT, DEPTH_MAX),
            book,
            hidden,
            hidden_columns: Vec::new(),
            table: Table::default(),
            left: 0,
            last: 0,
            row: Row::default(),
        }
    }

    fn read(mut self, sink: &mut Sink<'_>) -> Result<(), Error> {
        loop {
            match self.xml.next()? {
                // How a word is read aloud, in the way of it.
                Token::Open(element) if element.is("rPh") => self.xml.skip()?,
                Token::Open(element) => self.open(&element)?,
                Token::Text(text) if self.row.cell.inside => self.row.cell.value.push_str(&text),
                Token::Text(_) => {}
                Token::Close(name) => match name.as_str() {
                    "v" | "t" => self.row.cell.inside = false,
                    "c" => {
                        let cell = std::mem::take(&mut self.row.cell);
                        let value = self.book.shown(&cell.kind, cell.style, &cell.value);
                        if !value.trim().is_empty() {
                            self.row.cells.push((cell.column, value.trim().to_owned()));
                        }
                    }
                    "row" => {
                        let row = std::mem::take(&mut self.row);
                        self.row.number = row.number;
                        self.end(row, sink)?;
                    }
                    _ => {}
                },
                Token::End => return self.alone(sink),
            }
        }
    }

    fn open(&mut self, element: &Element<'_>) -> Result<(), Error> {
        match element.name().as_str() {
            "col" if element.flag("hidden") => {
                let of = |name| element.get(name).and_then(|n| n.parse::<usize>().ok());
                if let (Some(first), Some(last)) = (of("min"), of("max"))
                    && self.hidden_columns.len() < COLUMNS_MAX
                {
                    self.hidden_columns.push((first.saturating_sub(1), last.saturating_sub(1)));
                }
            }
            "row" => {
                let number = element.get("r").and_then(|n| n.parse().ok()).unwrap_or(self.row.number + 1);
                self.row = Row { number, hidden: element.flag("hidden"), ..Row::default() };
            }
            "c" => {
                let column = element.get("r").and_then(|r| column_of(&r)).unwrap_or(self.row.next);
                if column >= COLUMNS_MAX {
                    let why = format!("more than {COLUMNS_MAX} columns");
                    return Err(Error::Broken { format: FORMAT, why });
                }
                self.row.next = column + 1;
                self.row.cell = Cell {
                    column,
                    kind: element.get("t").unwrap_or_default(),
                    style: element.get("s").and_then(|s| s.parse().ok()).unwrap_or(0),
                    ..Cell::default()
                };
            }
            "v" | "t" => self.row.cell.inside = true,
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, row: Row, sink: &mut Sink<'_>) -> Result<(), Error> {
        let unseen = |column: usize| {
            self.hidden || row.hidden || self.hidden_columns.iter().any(|(a, b)| (*a..=*b).contains(&column))
        };
        let (hidden, seen): (Vec<_>, Vec<_>) = row.cells.into_iter().partition(|(column, _)| unseen(*column));
        let any = !hidden.is_empty();
        if any {
            let words: Vec<String> = hidden.into_iter().map(|(_, text)| text).collect();
            sink.add(Piece::Hidden { why: Why::Display, text: words.join(" | ") })?;
        }
        let Some(first) = seen.iter().map(|(column, _)| *column).min() else {
            // A row that is hidden is in its table all the same.
            if self.last > 0 && row.number == self.last + 1 && any {
                self.last = row.number;
            }
            return Ok(());
        };
        // An empty row ends a table; the next one may name its columns.
        if row.number > self.last + 1 || self.last == 0 {
            self.alone(sink)?;
            (self.table, self.left) = (Table::default(), first);
        }
        self.last = row.number;
        match self.table.row(dense(seen, self.left)) {
            Some(text) => sink.add(Piece::Block { kind: Kind::Row, text }),
            None => Ok(()),
        }
    }

    fn alone(&self, sink: &mut Sink<'_>) -> Result<(), Error> {
        match self.table.alone() {
            Some(text) => sink.add(Piece::Block { kind: Kind::Row, text }),
            None => Ok(()),
        }
    }
}

/// Cells side by side from a table's first column on. What stands left of it has no
/// name, and goes behind.
fn dense(cells: Vec<(usize, String)>, left: usize) -> Vec<String> {
    let width = cells.iter().map(|(column, _)| (column + 1).saturating_sub(left)).max().unwrap_or(0);
    let mut row = vec![String::new(); width];
    let mut before = Vec::new();
    for (column, text) in cells {
        match column.checked_sub(left).and_then(|at| row.get_mut(at)) {
            Some(cell) => *cell = text,
            None => before.push(text),
        }
    }
    row.extend(before);
    row
}
