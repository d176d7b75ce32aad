//! The `server-timing` response header (W3C Server Timing): where the time went, by step.

use std::fmt::Write as _;

/// Builds `admit;dur=0.042, upstream;dur=812.5`, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerTiming {
    text: String,
}

/// A header longer than this is cut at a step: proxies refuse long headers whole.
const MAX_BYTES: usize = 1024;

impl ServerTiming {
    pub fn new() -> ServerTiming {
        ServerTiming { text: String::with_capacity(96) }
    }
    /// Adds a step. `name` is an HTTP token (letters, digits, `-`, `_`).
    pub fn step(&mut self, name: &str, us: u64) -> &mut ServerTiming {
        if self.text.len() + name.len() + 32 > MAX_BYTES {
            return self;
        }
        if !self.text.is_empty() {
            self.text.push_str(", ");
        }
        let token = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' });
        self.text.extend(token);
        let (ms, rest) = (us / 1000, us % 1000);
        // Writing into a String cannot fail.
        let _ = match rest {
            0 => write!(self.text, ";dur={ms}"),
            _ => write!(self.text, ";dur={ms}.{rest:03}"),
        };
        self
    }
    /// The header's value: ASCII without control characters by construction.
    pub fn value(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_listed_in_milliseconds() {
        let mut timing = ServerTiming::new();
        timing.step("admit", 42).step("up stream\r\n", 812_500).step("total", 813_000);
        assert_eq!(timing.value(), "admit;dur=0.042, up-stream--;dur=812.500, total;dur=813");
        for _ in 0..100 {
            timing.step("again", 1);
        }
        assert!(timing.value().len() <= 1024);
    }
}
