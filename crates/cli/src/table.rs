//! Tables for people: aligned by the widest cell, no colour, no frame.

/// How a column is aligned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

use Align::{Left, Right};

/// Rows of cells under headings; a heading that begins with `>` aligns its column right.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let align: Vec<Align> = headings.iter().map(|h| if h.starts_with('>') { Right } else { Left }).collect();
    let head: Vec<String> = headings.iter().map(|h| h.trim_start_matches('>').to_owned()).collect();
    let all = || std::iter::once(&head).chain(rows);
    let width: Vec<usize> = (0..head.len())
        .map(|c| all().map(|row| row.get(c).map_or(0, |cell| cell.chars().count())).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in all() {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate().take(head.len()) {
            if column > 0 {
                line.push_str("  ");
            }
            let pad = width[column].saturating_sub(cell.chars().count());
            match align[column] {
                Left => {
                    line.push_str(cell);
                    line.extend(std::iter::repeat_n(' ', pad));
                }
                Right => {
                    line.extend(std::iter::repeat_n(' ', pad));
                    line.push_str(cell);
                }
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A cell for something that may be absent.
pub(crate) fn or_dash<T: ToString>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)
}

/// Digits in groups of three: `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in decimal units: `4.2 MB`.
pub(crate) fn bytes(count: u64) -> String {
    let units = [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    match units.into_iter().find(|(_, size)| count as f64 >= *size) {
        Some((unit, size)) => format!("{:.1} {unit}", count as f64 / size),
        None => format!("{count} B"),
    }
}

/// The part of a date and time that a table needs: `2026-11-23 16:00:09`.
pub(crate) fn short_time(rfc3339: &str) -> String {
    rfc3339.get(..19).unwrap_or(rfc3339).replace('T', " ")
}
