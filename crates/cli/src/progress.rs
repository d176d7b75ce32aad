//! Progress of long work: on a terminal a line with rate and time left, in a
//! pipe nothing.

use std::io::{IsTerminal, Write};

use crate::table::bytes;

/// One bar on standard error.
pub struct Progress {
    label: String,
    total: Option<u64>,
    done: u64,
    /// Where this run began (a resumed download has bytes already).
    first: u64,
    started_us: u64,
    drawn_us: u64,
    terminal: bool,
    in_bytes: bool,
}

const REDRAW_US: u64 = 100_000;

impl Progress {
    /// Counts bytes.
    pub fn bytes(label: impl Into<String>, already: u64, total: Option<u64>) -> Progress {
        Progress::new(label.into(), already, total, true)
    }
    /// Counts steps.
    pub fn steps(label: impl Into<String>, total: Option<u64>) -> Progress {
        Progress::new(label.into(), 0, total, false)
    }
    fn new(label: String, already: u64, total: Option<u64>, in_bytes: bool) -> Progress {
        let started_us = runtime::clock::monotonic_us();
        let terminal = std::io::stderr().is_terminal();
        Progress { label, total, done: already, first: already, started_us, drawn_us: 0, terminal, in_bytes }
    }
    pub fn add(&mut self, amount: u64) {
        self.done = self.done.saturating_add(amount);
        let now = runtime::clock::monotonic_us();
        if self.terminal && now.saturating_sub(self.drawn_us) >= REDRAW_US {
            self.drawn_us = now;
            self.draw(now);
        }
    }
    fn draw(&self, now: u64) {
        let line = line(
            &self.label,
            self.done,
            self.first,
            self.total,
            now.saturating_sub(self.started_us),
            self.in_bytes,
        );
        // A terminal that went away is no reason to stop the work.
        let _ = write!(std::io::stderr(), "\r\x1b[2K{line}");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.terminal && self.drawn_us > 0 {
            self.draw(runtime::clock::monotonic_us());
            let _ = writeln!(std::io::stderr());
        }
    }
}

fn line(label: &str, done: u64, first: u64, total: Option<u64>, elapsed_us: u64, in_bytes: bool) -> String {
    let show = |n: u64| if in_bytes { bytes(n) } else { n.to_string() };
    let seconds = (elapsed_us as f64 / 1e6).max(1e-3);
    let rate = done.saturating_sub(first) as f64 / seconds;
    let mut text = format!("{label}  {}", show(done));
    if let Some(total) = total.filter(|t| *t > 0) {
        let percent = (done.min(total) as f64 * 100.0 / total as f64) as u32;
        text.push_str(&format!(" of {}  {percent} %", show(total)));
        if rate > 0.0 && done < total {
            let left = (total - done) as f64 / rate;
            text.push_str(&format!("  {}/s  {} left", show(rate as u64), clock(left as u64)));
        }
    }
    text
}

fn clock(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{}:{:02} h", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_share_rate_and_time_left_of_this_run() {
        let text = line("model.gguf", 600_000_000, 500_000_000, Some(1_000_000_000), 1_000_000, true);
        assert_eq!(text, "model.gguf  600.0 MB of 1.0 GB  60 %  100.0 MB/s  4 s left");
        assert_eq!(line("x", 3, 0, None, 1, false), "x  3");
    }
}
