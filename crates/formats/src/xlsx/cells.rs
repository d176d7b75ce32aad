//! What a cell shows: a shared text, a number, a date.

use context::parse::Error;

use super::FORMAT;
use crate::package::DEPTH_MAX;
use crate::xml::{Token, Xml};

/// Texts that cells share; a workbook of a million rows has about as many.
const STRINGS_MAX: usize = 4_000_000;
/// Ways of showing a number; Excel itself stops at 65,490.
const STYLES_MAX: usize = 100_000;
/// From day 0 of a workbook to 1970-01-01.
const DAYS_1900: i64 = 25_569;
const DAYS_1904: i64 = 24_107;

/// What the sheets of a workbook share.
#[derive(Default)]
pub struct Book {
    strings: Vec<String>,
    /// By style: whether a number is a date, and a time of day.
    dates: Vec<Shape>,
    /// Days are counted from 1904.
    pub from_1904: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub(super) struct Shape {
    date: bool,
    time: bool,
}

impl Book {
    pub fn strings(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut xml = Xml::new(bytes, FORMAT, DEPTH_MAX);
        let (mut inside, mut text) = (false, String::new());
        loop {
            match xml.next()? {
                Token::Open(element) if element.is("rPh") => xml.skip()?,
                Token::Open(element) if element.is("t") => inside = true,
                Token::Text(part) if inside => text.push_str(&part),
                Token::Close(name) if name == "t" => inside = false,
                Token::Close(name) if name == "si" => {
                    if self.strings.len() == STRINGS_MAX {
                        let why = format!("more than {STRINGS_MAX} texts");
                        return Err(Error::Broken { format: FORMAT, why });
                    }
                    self.strings.push(std::mem::take(&mut text));
                }
                Token::End => return Ok(()),
                _ => {}
            }
        }
    }

    pub fn styles(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut xml = Xml::new(bytes, FORMAT, DEPTH_MAX);
        let mut codes: Vec<(u32, Shape)> = Vec::new();
        let mut cells = false;
        loop {
            match xml.next()? {
                Token::Open(element) if element.is("numFmt") => {
                    let id = element.get("numFmtId").and_then(|id| id.parse().ok());
                    if let (Some(id), Some(code)) = (id, element.get("formatCode"))
                        && codes.len() < STYLES_MAX
                    {
                        codes.push((id, shape(&code)));
                    }
                }
                Token::Open(element) if element.is("cellXfs") => {
                    cells = true;
                    codes.sort_by_key(|(id, _)| *id);
                }
                Token::Open(element) if cells && element.is("xf") && self.dates.len() < STYLES_MAX => {
                    let id = element.get("numFmtId").and_then(|id| id.parse().ok()).unwrap_or(0);
                    let own = codes.binary_search_by_key(&id, |(id, _)| *id).ok().map(|at| codes[at].1);
                    self.dates.push(own.unwrap_or_else(|| built_in(id)));
                }
                Token::Close(name) if name == "cellXfs" => cells = false,
                Token::End => return Ok(()),
                _ => {}
            }
        }
    }

    /// What a cell shows, by its type and style.
    pub fn shown(&self, kind: &str, style: usize, value: &str) -> String {
        match kind {
            "s" => {
                let at: Option<usize> = value.trim().parse().ok();
                at.and_then(|at| self.strings.get(at)).cloned().unwrap_or_default()
            }
            "b" => if value.trim() == "1" { "TRUE" } else { "FALSE" }.into(),
            "" | "n" => {
                let shape = self.dates.get(style).copied().unwrap_or_default();
                match value.trim().parse::<f64>() {
                    Ok(number) if shape != Shape::default() => self.date(number, shape),
                    _ => value.to_owned(),
                }
            }
            _ => value.to_owned(),
        }
    }

    fn date(&self, number: f64, shape: Shape) -> String {
        // The last day that Excel writes is in 9999.
        if !(0.0..2_958_466.0).contains(&number) {
            return number.to_string();
        }
        let seconds = ((number - number.floor()) * 86_400.0).round() as i64;
        let (days, seconds) = (number.floor() as i64 + seconds / 86_400, seconds % 86_400);
        let clock = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
        if !shape.date {
            return clock;
        }
        // Excel has a 29 February 1900, which never was.
        let days = if !self.from_1904 && days < 60 { days + 1 } else { days };
        let (year, month, day) = civil(days - if self.from_1904 { DAYS_1904 } else { DAYS_1900 });
        let date = format!("{year:04}-{month:02}-{day:02}");
        if shape.time { format!("{date} {clock}") } else { date }
    }
}

/// The built-in formats that are dates or times (ECMA-376, 18.8.30).
fn built_in(id: u32) -> Shape {
    Shape {
        date: matches!(id, 14..=17 | 22 | 27..=31 | 36 | 50..=58),
        time: matches!(id, 18..=22 | 32..=35 | 45..=47),
    }
}

/// Whether a format of the workbook's own shows a date: by its letters outside of quotes
/// and brackets. `m` is a month, and beside hours or seconds a minute.
fn shape(code: &str) -> Shape {
    let (mut bare, mut quoted, mut bracket) = (String::new(), false, false);
    let mut characters = code.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' | '_' | '*' => drop(characters.next()),
            '[' if !quoted => bracket = true,
            ']' if !quoted => bracket = false,
            // Only the first of up to four parts: of positive numbers.
            ';' if !quoted => break,
            c if !quoted && !bracket => bare.extend(c.to_lowercase()),
            _ => {}
        }
    }
    if bare.contains("general") {
        return Shape::default();
    }
    let has = |letters: &[char]| bare.contains(letters);
    let time = has(&['h', 's']);
    Shape { date: has(&['y', 'd']) || (has(&['m']) && !time), time }
}

/// Year, month and day of a day counted from 1970-01-01 (Hinnant, "chrono-compatible
/// low-level date algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The column of a reference like `AB12`, from 0.
pub fn column_of(reference: &str) -> Option<usize> {
    let letters = reference.bytes().take_while(u8::is_ascii_alphabetic);
    let column = letters
        .take(4)
        .fold(0, |column, letter| column * 26 + usize::from(letter.to_ascii_uppercase() - b'@'));
    column.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_those_that_excel_shows() {
        let book = Book { dates: vec![built_in(14), built_in(22), built_in(20)], ..Book::default() };
        assert_eq!(book.shown("", 0, "45292"), "2024-01-01");
        assert_eq!(book.shown("n", 1, "45351.75"), "2024-02-29 18:00:00");
        assert_eq!(book.shown("n", 2, "0.5"), "12:00:00");
        assert_eq!(book.shown("", 0, "1"), "1900-01-01");
        assert_eq!(book.shown("", 9, "1"), "1");
        let mac = Book { from_1904: true, ..book };
        assert_eq!(mac.shown("", 0, "43830"), "2024-01-01");
    }

    #[test]
    fn a_format_is_a_date_by_its_letters() {
        let of = |code| (shape(code).date, shape(code).time);
        assert_eq!(of("dd.mm.yyyy"), (true, false));
        assert_eq!(of("[h]:mm:ss"), (false, true));
        assert_eq!(of("yyyy-mm-dd hh:mm"), (true, true));
        assert_eq!(of("mmm"), (true, false));
        assert_eq!(of("#,##0.00 \"days\";[Red]-#,##0"), (false, false));
        assert_eq!(of("General"), (false, false));
        assert_eq!(of("0.00\\d"), (false, false));
    }

    #[test]
    fn columns_are_counted_in_letters() {
        assert_eq!(column_of("A1"), Some(0));
        assert_eq!(column_of("AB12"), Some(27));
        assert_eq!(column_of("XFD1"), Some(16_383));
        assert_eq!(column_of("12"), None);
    }
}
