//! Days as HTTP, feeds and buckets write them. The time of day is not kept: documents are
//! weighed by days.

use units::{Day, Micros};

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// `Tue, 10 Jun 2003 04:00:00 GMT`, with or without the day of the week.
pub(crate) fn http(text: &str) -> Option<Micros> {
    let text = text.split_once(',').map_or(text, |(_, rest)| rest);
    let mut words = text.split_ascii_whitespace();
    let day: u32 = words.next()?.parse().ok()?;
    let month = words.next()?.get(..3)?.to_ascii_lowercase();
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let year: u32 = words.next()?.parse().ok()?;
    start(&format!("{year:04}-{month:02}-{day:02}"))
}

/// `2003-12-13T18:30:02Z`
pub(crate) fn rfc3339(text: &str) -> Option<Micros> {
    start(text.trim().get(..10)?)
}

fn start(day: &str) -> Option<Micros> {
    day.parse().ok().map(Day::start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_in_every_spelling_and_nothing_else_is() {
        let day = rfc3339("2003-06-10").expect("a day");
        for text in ["Tue, 10 Jun 2003 04:00:00 GMT", "10 June 2003 04:00 +0200", "Tue,10 jun 2003"] {
            assert_eq!(http(text), Some(day), "{text}");
        }
        assert_eq!(rfc3339(" 2003-06-10T09:39:21.5Z"), Some(day));
        for text in ["", "yesterday", "10 Xyz 2003", "31 Feb 2003 00:00:00 GMT", "1 é", "10 éé 2003"] {
            assert_eq!(http(text), None, "{text}");
        }
        for text in ["2003-6-10", "2003-13-01", "abcdefghij", "2003-06-1é"] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }
}
