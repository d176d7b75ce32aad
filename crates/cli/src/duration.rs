//! Durations as people type them: `90s`, `30m`, `24h`, `7d`.

use report::Report;

use crate::Failure;

/// Whole seconds, at most 100 years. `argument` names what was typed, for the error.
pub(crate) fn seconds(argument: &str, text: &str) -> Result<u64, Failure> {
    const CENTURY: u64 = 36_525 * 86_400;
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        "" if digits == "0" => 1,
        _ => 0,
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(unit))
        .filter(|s| *s <= CENTURY && unit > 0)
        .ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            Report::new("CL0010", format!("`{argument}` is \"{shown}\""))
                .because("a duration is a whole number and a unit: 90s, 30m, 24h, 7d, 4w")
                .into()
        })
}

/// Microseconds as people read them: `850 us`, `12.4 ms`, `3.20 s`.
pub(crate) fn show_us(us: u64) -> String {
    match us {
        0..1000 => format!("{us} us"),
        1000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.2} s", us as f64 / 1e6),
    }
}
