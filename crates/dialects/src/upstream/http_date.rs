//! Dates in headers: the three formats of RFC 9110 §5.6.7, and RFC 3339.

use units::{Day, Micros};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Reads an HTTP-date. `now` decides the century of the two-digit years of
/// RFC 850: a date more than 50 years ahead is in the past.
pub(super) fn http_date(text: &str, now: Micros) -> Option<Micros> {
    let text = text.trim();
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    match words[..] {
        // Sun, 06 Nov 1994 08:49:37 GMT
        [name, day, month, year, clock, "GMT" | "UTC"] if name.ends_with(',') => {
            at(whole(year, 4)?, month, whole(day, 2)?, clock)
        }
        // Sunday, 06-Nov-94 08:49:37 GMT
        [name, date, clock, "GMT" | "UTC"] if name.ends_with(',') => {
            let (day, rest) = date.split_once('-')?;
            let (month, year) = rest.split_once('-')?;
            let this_year = now.day().civil().0;
            let mut year = whole(year, 2)? as i32 + this_year / 100 * 100;
            if year > this_year + 50 {
                year -= 100;
            }
            at(year as u32, month, whole(day, 2)?, clock)
        }
        // Sun Nov  6 08:49:37 1994
        [_, month, day, clock, year] => at(whole(year, 4)?, month, whole(day, 0)?, clock),
        _ => None,
    }
}

/// `2026-11-23T16:00:09Z`, with or without a fraction or an offset.
pub(super) fn rfc3339(text: &str) -> Option<Micros> {
    let text = text.trim();
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let day: Day = date.parse().ok()?;
    let zone = time.find(['Z', 'z', '+']).or_else(|| time.rfind('-'))?;
    let (clock, zone) = time.split_at(zone);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let micros = fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
    let micros = micros.map(|b| b.is_ascii_digit().then_some(i64::from(b.wrapping_sub(b'0'))));
    let micros = micros.collect::<Option<Vec<_>>>()?.into_iter().fold(0, |sum, d| sum * 10 + d);
    let offset = match zone {
        "Z" | "z" => 0,
        zone => {
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let seconds = i64::from(whole(hours, 2)? * 3600 + whole(minutes, 2)? * 60);
            if zone.starts_with('-') { -seconds } else { seconds }
        }
    };
    let seconds = clock_seconds(clock)?;
    Some(day.start().plus_us((seconds - offset) * 1_000_000 + micros))
}

/// Digits only; exactly `len` of them, or one or two when `len` is 0.
fn whole(text: &str, len: usize) -> Option<u32> {
    let right_len = if len == 0 { (1..=2).contains(&text.len()) } else { text.len() == len };
    (right_len && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

fn clock_seconds(clock: &str) -> Option<i64> {
    let mut parts = clock.split(':');
    let (h, m, s) = (whole(parts.next()?, 2)?, whole(parts.next()?, 2)?, whole(parts.next()?, 2)?);
    // A leap second counts as the one after it.
    (parts.next().is_none() && h < 24 && m < 60 && s <= 60).then(|| i64::from(h * 3600 + m * 60 + s))
}

fn at(year: u32, month: &str, day: u32, clock: &str) -> Option<Micros> {
    let month = MONTHS.iter().position(|m| m.eq_ignore_ascii_case(month))? as u32 + 1;
    let date = Day::from_civil(year as i32, month, day);
    let exists = date.civil() == (year as i32, month, day);
    exists.then_some(date.start().plus_us(clock_seconds(clock)? * 1_000_000))
}
