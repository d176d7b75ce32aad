//! Processes that are started, listened to and killed: for tests of what they had
//! acknowledged. How many are killed says `BEDPLATE_CRASH_ROUNDS` (`cargo xtask crash`).

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

const DIR: &str = "BEDPLATE_CRASH_DIR";
const FIRST: &str = "BEDPLATE_CRASH_FIRST";
const ROUNDS: &str = "BEDPLATE_CRASH_ROUNDS";

#[expect(clippy::disallowed_methods, reason = "a test process talks to the one it starts")]
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// How many processes are to be killed.
pub(super) fn rounds(default: u64) -> u64 {
    variable(ROUNDS).map_or(default, |n| n.parse().expect("a number of rounds"))
}

/// In the process that is to be killed: its directory and the first number it may use.
/// `None` in one that only runs the tests.
pub(super) fn victim() -> Option<(PathBuf, u64)> {
    let dir = variable(DIR).map(PathBuf::from)?;
    Some((dir, variable(FIRST).and_then(|n| n.parse().ok()).expect("the parent says")))
}

/// One write: what the parent reads is whole lines, but for the last.
pub(super) fn say(line: &str) {
    std::io::stdout().write_all(format!("\n{line}\n").as_bytes()).expect("the parent reads");
}

/// A process that runs one test, as a victim.
pub(super) struct Running {
    pub child: Child,
    output: BufReader<ChildStdout>,
}

impl Running {
    pub fn start(test: &str, dir: &Path, first: u64) -> Running {
        let mut child = Command::new(std::env::current_exe().expect("a test is a file"))
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(DIR, dir)
            .env(FIRST, first.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Running { child, output }
    }

    /// Reads whole lines until `enough` says so, or the end.
    pub fn read_until(&mut self, mut enough: impl FnMut(&str) -> bool) {
        let mut line = String::new();
        while self.output.read_line(&mut line).expect("it reads") > 0 {
            if line.ends_with('\n') && enough(line.trim_end()) {
                return;
            }
            line.clear();
        }
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it ends");
    }
}

/// Runs `test` as a victim and kills it after so many lines that `is_acknowledged` counts;
/// after none, as soon as it says `start`: while it opens, or makes, its files.
pub(super) fn kill_after(
    test: &str,
    dir: &Path,
    first: u64,
    count: u64,
    mut is_acknowledged: impl FnMut(&str) -> bool,
) {
    let mut running = Running::start(test, dir, first);
    let mut seen = 0;
    running.read_until(|line| {
        if is_acknowledged(line) {
            seen += 1;
            return seen >= count;
        }
        count == 0 && line == "start"
    });
    running.kill();
    // What it said before it died counts.
    running.read_until(|line| {
        is_acknowledged(line);
        false
    });
}

/// How many acknowledgements round `n` waits for: none in every fifth, few in another.
pub(super) fn patience(n: u64, few: u64, many: u64, seed: &mut u64) -> u64 {
    match n % 5 {
        0 => 0,
        1 => 1 + random(seed) % few,
        _ => random(seed) % many,
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): seeds that are the same each time.
pub(super) fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
