//! When a server lets go of the cores: W6.
//!
//! `/proc/PID/stat` counts in hundredths of a second; the scheduler's own
//! account of each thread (`/proc/PID/task/*/schedstat`, first field) counts
//! nanoseconds, so that it can be read every millisecond.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::clock;

/// Time since the start of the watch, and CPU time of all threads so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    pub at: Duration,
    pub cpu: Duration,
}

/// The cores are free from the first moment after which the process used less
/// than this share of one core ...
const SHARE: f64 = 0.05;
/// ... for this long.
const WINDOW: Duration = Duration::from_millis(100);

const PATIENCE: Duration = Duration::from_secs(60);

/// Watches until the process has been quiet for a window. `None` within
/// the patience is a server that never let go.
pub fn until_quiet(pid: u32, since: Instant) -> Result<Option<Duration>> {
    let mut samples = Vec::new();
    while since.elapsed() < PATIENCE {
        let cpu = cpu_time(pid)?;
        samples.push(Sample { at: since.elapsed(), cpu });
        if let Some(quiet) = quiet_from(&samples) {
            return Ok(Some(quiet));
        }
        let last = samples.len();
        // Only the last window can still change the answer.
        if last > 4096 {
            samples.drain(..last - 1024);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(None)
}

/// The first sample that a quiet window follows.
fn quiet_from(samples: &[Sample]) -> Option<Duration> {
    let last = samples.last()?;
    let start = last.at.checked_sub(WINDOW)?;
    // The window ends now: it begins at the latest sample that is old enough.
    let from = samples[..samples.partition_point(|s| s.at <= start)].last()?;
    let span = (last.at - from.at).as_secs_f64();
    let used = last.cpu.saturating_sub(from.cpu).as_secs_f64();
    (used < SHARE * span).then_some(from.at)
}

/// CPU time of all threads that are alive. Threads that end take theirs with
/// them; the sum is compared over 100 ms, in which compute threads stay.
fn cpu_time(pid: u32) -> Result<Duration> {
    let mut sum = 0u64;
    let mut threads = 0;
    for entry in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
        // A thread may end between the listing and the read.
        let Ok(text) = fs::read_to_string(entry.path().join("schedstat")) else { continue };
        sum += parse(&text).unwrap_or(0);
        threads += 1;
    }
    ensure!(threads > 0, "process {pid} has no threads any more");
    Ok(Duration::from_nanos(sum))
}

fn parse(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().next()?.parse().ok()
}

/// Waits until the process has been quiet for a window, and at most a minute.
pub fn settle(pid: u32) -> Result<()> {
    until_quiet(pid, clock::now()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Two cores busy until `busy`, then none; sampled each millisecond up to `end`.
    fn trace(busy: u64, end: u64) -> Vec<Sample> {
        (0..=end).map(|t| Sample { at: ms(t), cpu: ms(2 * t.min(busy)) }).collect()
    }

    #[test]
    fn free_is_when_the_work_ended_and_not_when_it_was_noticed() {
        let all = trace(40, 400);
        let found = (1..=all.len()).find_map(|n| quiet_from(&all[..n])).unwrap();
        assert!(found >= ms(36) && found <= ms(40), "{found:?}");
    }

    #[test]
    fn a_busy_process_is_never_quiet() {
        let all = trace(400, 400);
        assert!((1..=all.len()).all(|n| quiet_from(&all[..n]).is_none()));
    }

    #[test]
    fn a_pause_shorter_than_the_window_is_not_the_end() {
        let mut all = trace(10, 60);
        let more = (61..=400).map(|t| Sample { at: ms(t), cpu: ms(20 + 2 * (t.min(200) - 60)) });
        all.extend(more);
        let found = (1..=all.len()).find_map(|n| quiet_from(&all[..n])).unwrap();
        assert!(found >= ms(195) && found <= ms(200), "{found:?}");
    }

    #[test]
    fn this_very_process_can_be_read() {
        assert!(cpu_time(std::process::id()).is_ok());
        assert_eq!(parse("123 4 5\n"), Some(123));
        assert_eq!(parse(""), None);
    }
}
