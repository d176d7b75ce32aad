//! Time as data: microseconds since 1970-01-01 UTC, and civil days.

use std::fmt;
use std::str::FromStr;

/// A point in time: microseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Micros(pub i64);

/// A civil day, UTC: days since 1970-01-01.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Day(pub i32);

/// Why a text is not a time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a date: write YYYY-MM-DD")]
pub struct TimeError(String);

const DAY_US: i64 = 86_400_000_000;

impl Micros {
    pub const fn from_millis(ms: i64) -> Micros {
        Micros(ms.saturating_mul(1000))
    }
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1000)
    }
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
    pub const fn day(self) -> Day {
        Day(self.0.div_euclid(DAY_US) as i32)
    }
    /// Microseconds from `earlier` to `self`; zero when the clock went backwards.
    pub const fn since(self, earlier: Micros) -> u64 {
        let d = self.0.saturating_sub(earlier.0);
        if d < 0 { 0 } else { d as u64 }
    }
    pub const fn plus_us(self, us: i64) -> Micros {
        Micros(self.0.saturating_add(us))
    }
}

impl Day {
    pub const fn start(self) -> Micros {
        Micros(self.0 as i64 * DAY_US)
    }
    /// (year, month 1-12, day 1-31), proleptic Gregorian.
    /// Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    pub const fn civil(self) -> (i32, u32, u32) {
        let z = self.0 as i64 + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = (doy - (153 * mp + 2) / 5 + 1) as u32;
        let month = if mp < 10 { mp + 3 } else { mp - 9 } as u32;
        let year = yoe + era * 400 + if month <= 2 { 1 } else { 0 };
        (year as i32, month, day)
    }
    /// The inverse of [`Day::civil`]; the same source, days_from_civil.
    pub const fn from_civil(year: i32, month: u32, day: u32) -> Day {
        let y = if month <= 2 { year as i64 - 1 } else { year as i64 };
        let era = y.div_euclid(400);
        let yoe = y.rem_euclid(400);
        let mp = (month as i64 + 9) % 12;
        let doy = (153 * mp + 2) / 5 + day as i64 - 1;
        let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
        Day((era * 146_097 + doe - 719_468) as i32)
    }
    /// The first day of this day's month.
    pub const fn month_start(self) -> Day {
        let (y, m, _) = self.civil();
        Day::from_civil(y, m, 1)
    }
    /// The first day of the following month.
    pub const fn next_month(self) -> Day {
        let (y, m, _) = self.civil();
        if m == 12 { Day::from_civil(y + 1, 1, 1) } else { Day::from_civil(y, m + 1, 1) }
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (y, m, d) = self.civil();
        write!(f, "{y:04}-{m:02}-{d:02}")
    }
}

impl FromStr for Day {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Day, TimeError> {
        let bad = || TimeError(text.chars().take(20).collect());
        let bytes = text.as_bytes();
        if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' || !text.is_ascii() {
            return Err(bad());
        }
        let number = |range: std::ops::Range<usize>| {
            let part = &text[range];
            if part.bytes().all(|b| b.is_ascii_digit()) { part.parse::<u32>().ok() } else { None }
        };
        let (y, m, d) = (number(0..4), number(5..7), number(8..10));
        let (Some(y), Some(m), Some(d)) = (y, m, d) else { return Err(bad()) };
        if !(1..=12).contains(&m) || !(1..=31).contains(&d) {
            return Err(bad());
        }
        let day = Day::from_civil(y as i32, m, d);
        if day.civil() == (y as i32, m, d) { Ok(day) } else { Err(bad()) }
    }
}

impl fmt::Display for Micros {
    /// RFC 3339 with milliseconds: `2026-11-23T16:00:09.125Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.rem_euclid(DAY_US) / 1000;
        write!(
            f,
            "{}T{:02}:{:02}:{:02}.{:03}Z",
            self.day(),
            ms / 3_600_000,
            ms / 60_000 % 60,
            ms / 1000 % 60,
            ms % 1000
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn civil_days_round_trip(n in -700_000i32..700_000) {
            let (y, m, d) = Day(n).civil();
            prop_assert_eq!(Day::from_civil(y, m, d), Day(n));
        }
        #[test]
        fn no_text_panics(text in "\\PC{0,12}") {
            let _ = text.parse::<Day>();
        }
    }

    #[test]
    fn known_instants() {
        assert_eq!(Micros(1_795_449_609_125_000).to_string(), "2026-11-23T16:00:09.125Z");
        assert_eq!("2026-11-23".parse::<Day>().map(|d| d.to_string()), Ok("2026-11-23".into()));
        assert!("2026-02-30".parse::<Day>().is_err());
        assert_eq!("2026-12-05".parse::<Day>().map(|d| d.next_month().to_string()), Ok("2027-01-01".into()));
    }
}
