//! Numbers as a person reads them in a column.

const PICO: i128 = 1_000_000_000_000;

/// Exact decimal dollars as pico-dollars; `None`: not such a text.
pub(crate) fn pico(usd: &str) -> Option<i128> {
    let (negative, digits) = match usd.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, usd),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 20 || fraction.len() > 12 || !plain(whole) || !plain(fraction) {
        return None;
    }
    let fraction = format!("{fraction:0<12}").parse::<i128>().ok()?;
    let value = whole.parse::<i128>().ok()?.checked_mul(PICO)?.checked_add(fraction)?;
    Some(if negative { -value } else { value })
}

/// How many decimals a column of dollars needs, so that its points line up and
/// its greatest value keeps at least two figures.
pub(crate) fn decimals<'t>(column: impl Iterator<Item = &'t str>) -> usize {
    let greatest = column.filter_map(pico).map(i128::abs).max().unwrap_or(0);
    match greatest {
        0 => 2,
        n if n >= PICO => 2,
        n if n >= PICO / 100 => 4,
        n if n >= PICO / 10_000 => 6,
        _ => 9,
    }
}

/// Dollars rounded to `decimals` places. What is not zero is never shown as
/// zero: `<0.0001`.
pub(crate) fn usd(text: &str, decimals: usize) -> String {
    let Some(value) = pico(text) else { return text.into() };
    let places = decimals.clamp(1, 12);
    let unit = 10i128.pow(12 - places as u32);
    let rounded = (value.abs() + unit / 2) / unit;
    if rounded == 0 && value != 0 {
        return format!("<0.{:0>places$}", 1);
    }
    let scale = 10i128.pow(places as u32);
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}.{:0places$}", grouped_wide(rounded / scale), rounded % scale)
}

/// The same with the sign of the currency, where no heading has it: `<$0.01`.
pub(crate) fn dollars(text: &str, decimals: usize) -> String {
    let shown = usd(text, decimals);
    match (shown.strip_prefix('<'), shown.strip_prefix('-')) {
        (Some(rest), _) => format!("<${rest}"),
        (_, Some(rest)) => format!("-${rest}"),
        _ => format!("${shown}"),
    }
}

/// Zeros that would make an exact text as long behind the point as its longest
/// neighbour; the page keeps their room and hides them.
pub(crate) fn padding(text: &str, decimals: usize) -> String {
    match text.split_once('.') {
        Some((_, fraction)) => "0".repeat(decimals.saturating_sub(fraction.len()).min(12)),
        None if decimals > 0 => format!(".{}", "0".repeat(decimals.min(12))),
        None => String::new(),
    }
}

/// Digits behind the point of the longest of these.
pub(crate) fn longest_fraction<'t>(column: impl Iterator<Item = &'t str>) -> usize {
    column.map(|t| t.split_once('.').map_or(0, |(_, f)| f.len())).max().unwrap_or(0)
}

/// The share of `part` in `whole` as a percentage for an SVG length. What is
/// not zero is at least a visible sliver.
pub(crate) fn percent(part: i128, whole: i128) -> String {
    if part <= 0 || whole <= 0 {
        return "0".into();
    }
    let share = (part as f64 / whole as f64 * 100.0).clamp(0.6, 100.0);
    format!("{share:.1}")
}

/// Digits in groups of three: `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    grouped_wide(i128::from(number))
}

fn grouped_wide(number: i128) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
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

/// A duration in the unit that leaves it readable: `850 µs`, `12.4 ms`, `3.20 s`, `2 min 5 s`.
pub(crate) fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        1_000_000..60_000_000 => format!("{:.2} s", us as f64 / 1e6),
        _ => {
            let seconds = us / 1_000_000;
            format!("{} min {} s", grouped(seconds / 60), seconds % 60)
        }
    }
}

/// How long something has been running, in its two greatest units.
pub(crate) fn uptime(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{} d {hours} h", grouped(days)),
    }
}

/// Day and time of an RFC 3339 text: `("2026-11-23", "16:00:09")`.
pub(crate) fn day_and_time(at: &str) -> (&str, &str) {
    (at.get(..10).unwrap_or(at), at.get(11..19).unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_round_by_column_and_never_vanish() {
        assert_eq!(usd("1234.5678", 2), "1,234.57");
        assert_eq!(usd("0.0000125", 6), "0.000013");
        assert_eq!(usd("0.000000000001", 6), "<0.000001");
        assert_eq!(usd("0", 4), "0.0000");
        assert_eq!(usd("-3", 2), "-3.00");
        assert_eq!([dollars("0.001", 2), dollars("-3", 2), dollars("3", 2)], ["<$0.01", "-$3.00", "$3.00"]);
        assert_eq!(usd("1e99", 2), "1e99", "what is not money is shown as it came");
        assert_eq!(decimals(["0.000004", "0"].into_iter()), 9);
        assert_eq!(decimals(["120", "0.000004"].into_iter()), 2);
    }

    #[test]
    fn exact_texts_get_the_zeros_that_align_them() {
        assert_eq!(padding("0.0015", 6), "00");
        assert_eq!(padding("3", 2), ".00");
        assert_eq!(padding("0.25", 2), "");
    }

    #[test]
    fn shares_stay_visible_and_inside() {
        assert_eq!(percent(1, 1_000_000), "0.6");
        assert_eq!(percent(5, 4), "100.0");
        assert_eq!(percent(-1, 4), "0");
        assert_eq!(percent(1, 0), "0");
    }

    #[test]
    fn times_are_short_and_bad_ones_do_not_panic() {
        assert_eq!(duration(999), "999 µs");
        assert_eq!(duration(125_000_000), "2 min 5 s");
        assert_eq!(duration(u64::MAX), "307,445,734,561 min 49 s");
        assert_eq!(uptime(266_400), "3 d 2 h");
        assert_eq!(day_and_time("2026-11-23T16:00:09.125Z"), ("2026-11-23", "16:00:09"));
        assert_eq!(day_and_time("é"), ("é", ""));
    }
}
