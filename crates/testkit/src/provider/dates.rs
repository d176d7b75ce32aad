//! The three date formats that HTTP allows (RFC 9110, 5.6.7).

use units::Day;

const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Which of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DateFormat {
    /// `Sun, 06 Nov 1994 08:49:37 GMT`
    Imf,
    /// `Sunday, 06-Nov-94 08:49:37 GMT`
    Rfc850,
    /// `Sun Nov  6 08:49:37 1994`
    Asctime,
}

/// A time (seconds since 1970) in a format.
pub fn format(at: i64, format: DateFormat) -> String {
    let day = Day(i32::try_from(at.div_euclid(86_400)).unwrap_or_default());
    let (year, month, date) = day.civil();
    let name = DAYS[usize::try_from(day.0.rem_euclid(7)).unwrap_or_default()];
    let month = MONTHS[(month as usize - 1) % 12];
    let second = at.rem_euclid(86_400);
    let time = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
    match format {
        DateFormat::Imf => format!("{}, {date:02} {month} {year} {time} GMT", &name[..3]),
        DateFormat::Rfc850 => format!("{name}, {date:02}-{month}-{:02} {time} GMT", year % 100),
        DateFormat::Asctime => format!("{} {month} {date:2} {time} {year}", &name[..3]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        let at = 784_111_777;
        assert_eq!(format(at, DateFormat::Imf), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(format(at, DateFormat::Rfc850), "Sunday, 06-Nov-94 08:49:37 GMT");
        assert_eq!(format(at, DateFormat::Asctime), "Sun Nov  6 08:49:37 1994");
    }
}
