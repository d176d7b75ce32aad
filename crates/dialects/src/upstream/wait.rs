//! How long a provider asks to be left alone.

use units::Micros;

use super::http_date::{http_date, rfc3339};

/// Longer waits are not waits but outages; a hostile header must not park us.
const WAIT_MAX_MS: u64 = 3_600_000;

pub(super) struct Hints {
    pub retry_after_ms: Option<u64>,
    /// `x-should-retry`, which OpenAI and Anthropic send.
    pub should_retry: Option<bool>,
}

/// Reads, in order of precision: `retry-after-ms`, `retry-after` (seconds or a
/// date), and the reset of a limit that has nothing left
/// (`x-ratelimit-reset-tokens: 6m0s`, `anthropic-ratelimit-tokens-reset: 2026-...Z`).
pub(super) fn read<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>, now: Micros) -> Hints {
    let (mut exact, mut after, mut should_retry) = (None, None, None);
    let mut resets: Vec<(String, u64)> = Vec::new();
    let mut spent: Vec<String> = Vec::new();
    let mut has_remaining = false;
    for (name, value) in headers.take(256) {
        let (name, value) = (name.to_ascii_lowercase(), value.trim());
        match name.as_str() {
            "retry-after-ms" => exact = value.parse::<f64>().ok().and_then(bounded),
            "retry-after" => after = seconds(value).or_else(|| until(http_date(value, now)?, now)),
            "x-should-retry" => {
                should_retry = match value {
                    "true" => Some(true),
                    "false" => Some(false),
                    _ => None,
                }
            }
            _ if name.contains("ratelimit") => {
                if let Some(limit) = limit_name(&name, "reset") {
                    resets.extend(reset(value, now).map(|ms| (limit, ms)));
                } else if let Some(limit) = limit_name(&name, "remaining") {
                    has_remaining = true;
                    if value == "0" {
                        spent.push(limit);
                    }
                }
            }
            _ => {}
        }
    }
    // All spent limits must reset; without counts, the first reset is the best guess.
    let by_reset = if has_remaining {
        resets.iter().filter(|(limit, _)| spent.contains(limit)).map(|(_, ms)| *ms).max()
    } else {
        resets.iter().map(|(_, ms)| *ms).min()
    };
    Hints { retry_after_ms: exact.or(after).or(by_reset).map(|ms| ms.min(WAIT_MAX_MS)), should_retry }
}

/// `x-ratelimit-reset-tokens` and `anthropic-ratelimit-tokens-reset` → `tokens`.
fn limit_name(header: &str, what: &str) -> Option<String> {
    let (_, tail) = header.split_once("ratelimit-")?;
    let limit = if tail == what {
        ""
    } else {
        tail.strip_prefix(what)
            .and_then(|t| t.strip_prefix('-'))
            .or_else(|| tail.strip_suffix(what).and_then(|t| t.strip_suffix('-')))?
    };
    Some(limit.to_string())
}

fn bounded(ms: f64) -> Option<u64> {
    (ms.is_finite() && ms >= 0.0).then_some(ms.min(WAIT_MAX_MS as f64).ceil() as u64)
}

fn seconds(value: &str) -> Option<u64> {
    bounded(value.parse::<f64>().ok()? * 1000.0)
}

fn until(date: Micros, now: Micros) -> Option<u64> {
    Some(date.since(now).div_ceil(1000))
}

/// Seconds, a Unix time (seconds or milliseconds), `1h2m3.5s`, or a date.
fn reset(value: &str, now: Micros) -> Option<u64> {
    if let Ok(number) = value.parse::<f64>() {
        return match number {
            n if n > 1e12 => until(Micros::from_millis(n.min(1e15) as i64), now),
            n if n > 1e9 => until(Micros((n * 1e6) as i64), now),
            n => bounded(n * 1000.0),
        };
    }
    duration(value).or_else(|| until(rfc3339(value).or_else(|| http_date(value, now))?, now))
}

/// Go's durations: `6m0s`, `20ms`, `1h2m3.5s`.
fn duration(value: &str) -> Option<u64> {
    let mut rest = value;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number = rest[..digits].parse::<f64>().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match &rest[..unit] {
                "ms" => 1.0,
                "s" => 1e3,
                "m" => 6e4,
                "h" => 3.6e6,
                "d" => 8.64e7,
                "us" | "µs" => 1e-3,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    if value.is_empty() { None } else { bounded(total) }
}
