//! Tables and records: a row or a record is a block that can be read by itself, with
//! the names of its columns.

use csv_core::{ReadRecordResult, ReaderBuilder};
use serde_json::Value;

use super::build::Builder;
use super::{Error, Format, Kind, plain};

/// Columns of a table at most.
const COLUMNS_MAX: usize = 1_000;

/// A table that is read row by row: its first row may name the columns.
#[derive(Clone, Debug, Default)]
pub struct Table {
    names: Option<Vec<String>>,
    begun: bool,
    rows: usize,
}

impl Table {
    /// A row as it is read by itself, `column: value` where columns have names; `None`
    /// for the row that names them, and for one of empty cells.
    pub fn row(&mut self, cells: Vec<String>) -> Option<String> {
        if !self.begun && cells.iter().all(|cell| is_name(cell)) && cells.len() > 1 {
            (self.begun, self.names) = (true, Some(cells));
            return None;
        }
        self.begun = true;
        self.rows += 1;
        let row = shown(&cells, self.names.as_deref());
        (!row.is_empty()).then_some(row)
    }

    /// The row that was taken for names, when no other one came: it names nothing.
    pub fn alone(&self) -> Option<String> {
        self.names.as_ref().filter(|_| self.rows == 0).map(|names| names.join(" | "))
    }
}

/// Rows as `column: value` pairs, one block each, if the first one names columns; else the
/// values between bars. Empty cells are left out.
pub(super) fn csv(text: &str, builder: &mut Builder<'_>) -> Result<(), Error> {
    let mut reader = ReaderBuilder::new().delimiter(delimiter(text)).build();
    let mut table = Table::default();
    let (mut at, mut start) = (0, 0);
    // A field is never longer than the bytes that it is read from.
    let mut fields = vec![0; text.len() + 1];
    let mut ends = vec![0; COLUMNS_MAX + 1];
    let (mut written, mut ended) = (0, 0);
    loop {
        let (result, read, wrote, columns) =
            reader.read_record(&text.as_bytes()[at..], &mut fields[written..], &mut ends[ended..]);
        (at, written, ended) = (at + read, written + wrote, ended + columns);
        match result {
            ReadRecordResult::InputEmpty => continue,
            ReadRecordResult::End => return Ok(()),
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                let line = text[..start].lines().count() + 1;
                let why = format!("more than {COLUMNS_MAX} columns");
                return Err(Error::Malformed { format: Format::Csv, line, why });
            }
            ReadRecordResult::Record => {}
        }
        if let Some(row) = table.row(row(&fields[..written], &ends[..ended])) {
            builder.block(Kind::Row, &row, start..at)?;
        }
        (start, written, ended) = (at, 0, 0);
    }
}

fn row(fields: &[u8], ends: &[usize]) -> Vec<String> {
    let mut start = 0;
    ends.iter()
        .map(|end| {
            let field = String::from_utf8_lossy(&fields[start..*end]).trim().to_owned();
            start = *end;
            field
        })
        .collect()
}

fn shown(row: &[String], names: Option<&[String]>) -> String {
    let cells = row.iter().enumerate().filter(|(_, cell)| !cell.is_empty());
    match names {
        None => cells.map(|(_, cell)| cell.as_str()).collect::<Vec<_>>().join(" | "),
        Some(names) => cells
            .map(|(at, cell)| match names.get(at) {
                Some(name) => format!("{name}: {cell}"),
                None => cell.clone(),
            })
            .collect::<Vec<_>>()
            .join("; "),
    }
}

/// Whether a cell of the first row can be the name of a column.
fn is_name(field: &str) -> bool {
    !field.is_empty() && field.len() <= 100 && field.parse::<f64>().is_err()
}

/// Of comma, semicolon, tab and bar the one that the first lines have most of, and
/// most evenly.
fn delimiter(text: &str) -> u8 {
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).take(20).collect();
    let score = |delimiter: u8| {
        let counts = lines.iter().map(|line| line.bytes().filter(|b| *b == delimiter).count());
        let (least, most) = counts.fold((usize::MAX, 0), |(least, most), n| (least.min(n), most.max(n)));
        if lines.is_empty() { (0, 0) } else { (least, most) }
    };
    // Of equals the last: a comma.
    *[b'\t', b'|', b';', b','].iter().max_by_key(|d| score(**d)).unwrap_or(&b',')
}

/// One JSON value a line, as `path: value` lines.
pub(super) fn json_lines(text: &str, builder: &mut Builder<'_>) -> Result<(), Error> {
    for (number, span) in plain::lines(text).enumerate() {
        let line = text[span.clone()].trim();
        if line.is_empty() {
            continue;
        }
        let value: Value = serde_json::from_str(line).map_err(|error| Error::Malformed {
            format: Format::Jsonl,
            line: number + 1,
            why: error.to_string(),
        })?;
        let mut shown = String::new();
        flatten(&value, &mut String::new(), &mut shown, builder.limits.text_bytes)?;
        builder.block(Kind::Row, &shown, span)?;
    }
    Ok(())
}

/// Depth is bounded by the parser's own limit of 128; a path is repeated for every
/// value below it, so what comes out is bounded here.
fn flatten(value: &Value, path: &mut String, out: &mut String, max: usize) -> Result<(), Error> {
    if out.len() > max {
        return Err(Error::TooMuchText { max });
    }
    let mut leaf = |text: &str| {
        if !path.is_empty() {
            out.push_str(path);
            out.push_str(": ");
        }
        out.push_str(text);
        out.push('\n');
    };
    match value {
        Value::Null => {}
        Value::Bool(value) => leaf(if *value { "true" } else { "false" }),
        Value::Number(value) => leaf(&value.to_string()),
        Value::String(value) => leaf(value),
        Value::Array(values) => {
            for value in values {
                flatten(value, path, out, max)?;
            }
        }
        Value::Object(values) => {
            let length = path.len();
            for (name, value) in values {
                if length > 0 {
                    path.push('.');
                }
                path.extend(name.chars().take(100));
                flatten(value, path, out, max)?;
                path.truncate(length);
            }
        }
    }
    Ok(())
}
