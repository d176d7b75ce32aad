//! Rows of a PostgreSQL server in its text format, read by the types of their columns.

use serde_json::Value;

use crate::answer::each_once;
use crate::{COLUMNS_MAX, Table};

/// A column as the server describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// Its type's number in `pg_type`.
    pub oid: u32,
}

/// A table in the making.
#[derive(Debug)]
pub struct Rows {
    columns: Vec<Column>,
    rows_max: usize,
    rows: Vec<Vec<Value>>,
    left_out: usize,
}

/// The types that are read, by their numbers, which PostgreSQL never changes.
pub(crate) const READ: [u32; 23] = [
    BOOL,
    CHAR,
    NAME,
    INT8,
    INT2,
    INT4,
    TEXT,
    OID,
    JSON,
    FLOAT4,
    FLOAT8,
    UNKNOWN,
    BPCHAR,
    VARCHAR,
    DATE,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    INTERVAL,
    TIMETZ,
    NUMERIC,
    UUID,
    JSONB,
];
const BOOL: u32 = 16;
const CHAR: u32 = 18;
const NAME: u32 = 19;
const INT8: u32 = 20;
const INT2: u32 = 21;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const OID: u32 = 26;
const JSON: u32 = 114;
const FLOAT4: u32 = 700;
const FLOAT8: u32 = 701;
const UNKNOWN: u32 = 705;
const BPCHAR: u32 = 1042;
const VARCHAR: u32 = 1043;
const DATE: u32 = 1082;
const TIME: u32 = 1083;
const TIMESTAMP: u32 = 1114;
const TIMESTAMPTZ: u32 = 1184;
const INTERVAL: u32 = 1186;
const TIMETZ: u32 = 1266;
const NUMERIC: u32 = 1700;
const UUID: u32 = 2950;
const JSONB: u32 = 3802;

impl Rows {
    /// None yet, of these columns.
    ///
    /// # Errors
    /// Which column cannot be read, for whoever wrote the query.
    pub fn new(columns: Vec<Column>, rows_max: usize) -> Result<Rows, String> {
        if columns.len() > COLUMNS_MAX {
            return Err(format!("it gives {} columns; at most {COLUMNS_MAX} are read", columns.len()));
        }
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        if !each_once(&names) {
            return Err("two of its columns have one name; give each its own with AS".into());
        }
        if let Some(Column { name, oid }) = columns.iter().find(|column| !READ.contains(&column.oid)) {
            let how = if *oid == 17 { "encode(.., 'base64')" } else { "::text or to_jsonb(..)" };
            return Err(format!(
                "its column \"{name:.64}\" is of a type that is not read (number {oid}); make it a text with {how}"
            ));
        }
        Ok(Rows { columns, rows_max, rows: Vec::new(), left_out: 0 })
    }

    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// One more row; beyond `rows_max` it is counted and left out.
    ///
    /// # Errors
    /// What of it is not as its columns say.
    pub fn push(&mut self, fields: &[Option<&[u8]>]) -> Result<(), String> {
        if fields.len() != self.columns.len() {
            return Err(format!(
                "a row of it has {} values for {} columns",
                fields.len(),
                self.columns.len()
            ));
        }
        if self.rows.len() == self.rows_max {
            self.left_out += 1;
            return Ok(());
        }
        let row = self.columns.iter().zip(fields).map(|(column, field)| match field {
            None => Ok(Value::Null),
            Some(bytes) => value(column.oid, bytes)
                .ok_or_else(|| format!("a value of its column \"{:.64}\" is not of its type", column.name)),
        });
        self.rows.push(row.collect::<Result<_, _>>()?);
        Ok(())
    }

    pub fn end(self) -> Table {
        let columns = self.columns.into_iter().map(|column| column.name).collect();
        Table { columns, rows: self.rows, left_out: self.left_out }
    }
}

/// A number that JSON holds exactly is one; others, and what has no type in JSON, stay texts.
fn value(oid: u32, bytes: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(bytes).ok()?;
    match oid {
        BOOL => match text {
            "t" => Some(true.into()),
            "f" => Some(false.into()),
            _ => None,
        },
        INT2 | INT4 | INT8 | OID => {
            let n: i64 = text.parse().ok()?;
            Some(if n.unsigned_abs() <= 1 << 53 { n.into() } else { text.into() })
        }
        FLOAT4 | FLOAT8 => {
            let n: f64 = text.parse().ok()?;
            Some(if n.is_finite() { n.into() } else { text.into() })
        }
        NUMERIC => is_numeric(text).then(|| text.into()),
        JSON | JSONB => serde_json::from_str(text).ok(),
        UUID => is_uuid(text).then(|| text.into()),
        TIMESTAMPTZ => Some(utc(text).unwrap_or_else(|| text.to_owned()).into()),
        DATE | TIME | TIMETZ | TIMESTAMP | INTERVAL => text.is_ascii().then(|| text.into()),
        _ => Some(text.into()),
    }
}

fn is_numeric(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let number = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') && digits.bytes().any(|b| b != b'.');
    number && digits.matches('.').count() <= 1 || matches!(text, "NaN" | "Infinity" | "-Infinity")
}

fn is_uuid(text: &str) -> bool {
    let parts = text.split('-').map(|part| part.bytes().all(|b| b.is_ascii_hexdigit()).then_some(part.len()));
    parts.eq([Some(8), Some(4), Some(4), Some(4), Some(12)])
}

/// `2026-11-28 06:00:00.5+00`, as a session in UTC writes it, in the form of RFC 3339. What has no
/// such form (`infinity`, a year before Christ) stays as it is.
fn utc(text: &str) -> Option<String> {
    let (day, clock) = text.strip_suffix("+00")?.split_once(' ')?;
    let plain = |text: &str, signs: &[u8]| text.bytes().all(|b| b.is_ascii_digit() || signs.contains(&b));
    (day.len() == 10 && clock.len() >= 8 && plain(day, b"-") && plain(clock, b":."))
        .then(|| format!("{day}T{clock}Z"))
}
