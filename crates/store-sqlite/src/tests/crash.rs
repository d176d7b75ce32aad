//! Processes that are killed, and what they had acknowledged.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use seal::{KeyRing, Source};
use store::conformance::sample;
use store::{AuditLog, Entry, Error, Ledger, Records};
use units::RequestId;

use super::{is_sound, opened};
use crate::SqliteStore;

const DIR: &str = "BEDPLATE_CRASH_DIR";
const FIRST: &str = "BEDPLATE_CRASH_FIRST";
const ROUNDS: &str = "BEDPLATE_CRASH_ROUNDS";

#[expect(clippy::disallowed_methods, reason = "a test process talks to the one it starts")]
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Not a test of its own: what the tests below start and kill. Settles and
/// holds without end, and prints each number once it is acknowledged.
#[test]
fn child_settles_until_it_is_killed() {
    let Some(dir) = variable(DIR).map(PathBuf::from) else { return };
    let first: u64 = variable(FIRST).and_then(|n| n.parse().ok()).expect("the parent says");
    say("start");
    let keys = KeyRing::open(&dir, &Source::File).unwrap_or_else(|e| panic!("{e}"));
    let store = opened(&dir, &keys);
    say("open");
    let (sender, receiver) = mpsc::channel();
    let append = |n: u64| {
        let sender = sender.clone();
        // Every fourth request lasts: its hold is written before.
        if n.is_multiple_of(4) {
            store.append(Entry::Hold(sample::hold(n + 2)), Box::new(|_| ()));
        }
        store.append(
            sample::settle_with_leaf(n),
            Box::new(move |result| sender.send((n, result)).expect("it waits")),
        );
    };
    (first..first + 32).for_each(append);
    for next in first + 32.. {
        let (n, result) = receiver.recv().expect("the store answers");
        result.expect("the entry is sound");
        say(&format!("ack {n}"));
        append(next);
    }
}

fn say(line: &str) {
    // One write: what is read back is whole lines, but for the last.
    std::io::stdout().write_all(format!("\n{line}\n").as_bytes()).expect("the parent reads");
}

fn start(dir: &Path, first: u64) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().expect("a test is a file"))
        .args([
            "--exact",
            "tests::crash::child_settles_until_it_is_killed",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(DIR, dir)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let output = BufReader::new(child.stdout.take().expect("it is piped"));
    (child, output)
}

/// Reads whole lines until `enough` says so, or the end.
fn read_until(output: &mut impl BufRead, mut enough: impl FnMut(&str) -> bool) {
    let mut line = String::new();
    while output.read_line(&mut line).expect("it reads") > 0 {
        if line.ends_with('\n') && enough(line.trim_end()) {
            return;
        }
        line.clear();
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

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let rounds: u64 = variable(ROUNDS).map_or(25, |n| n.parse().expect("a number of rounds"));
    let mut seed = 4600;
    let mut total = 0;
    // A new directory now and then: a first start is killed too, and the books
    // stay small enough to be read whole after each kill.
    for first in (0..rounds).step_by(25) {
        total += kill_rounds(first..rounds.min(first + 25), &mut seed);
    }
    println!("{rounds} kills, {total} settles acknowledged, none lost");
}

/// Kills a process in each round; the number of settles acknowledged in all.
fn kill_rounds(rounds: std::ops::Range<u64>, seed: &mut u64) -> usize {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let mut acknowledged = BTreeSet::new();
    for round in rounds {
        // Some are killed while they open: the first makes keys and tables.
        let kill_after = match round % 5 {
            0 => 0,
            1 => 1 + random(seed) % 8,
            _ => random(seed) % 1_500,
        };
        let (mut child, mut output) = start(&data, round * 1_000_000);
        let mut seen = 0;
        let mut note = |line: &str| {
            let Some(n) = line.strip_prefix("ack ") else { return kill_after == 0 && line == "start" };
            acknowledged.insert(n.parse::<u64>().expect("a number"));
            seen += 1;
            seen >= kill_after
        };
        read_until(&mut output, &mut note);
        child.kill().expect("it is ours");
        child.wait().expect("it ends");
        // What it said before it died counts.
        read_until(&mut output, |line| {
            note(line);
            false
        });

        let keys = KeyRing::open(&data, &Source::File).unwrap_or_else(|e| panic!("{e}"));
        let store = opened(&data, &keys);
        let records = is_sound(&store);
        assert!(records >= acknowledged.len() as u64, "round {round}: {records} records");
        assert_eq!(store.log_size().expect("it reads"), records, "round {round}: a leaf for each record");
        for n in acknowledged.range(round * 1_000_000..) {
            let (record, postings) = sample::settled(*n);
            assert_eq!(store.postings(record.id).expect("they read"), postings, "round {round}: {n}");
            assert_eq!(
                store.record(record.id).expect("it reads"),
                Some(record.clone()),
                "round {round}: {n}"
            );
            // Its leaf is there too, under the number that the record knows.
            let at = store.leaf_of(record.id).expect("it reads").expect("it has a leaf");
            assert_eq!(store.leaves(at, 1).expect("they read"), [sample::leaf(*n)], "round {round}: {n}");
        }
        for hold in store.open_holds().expect("they read") {
            assert_eq!(
                store.record(hold.request).expect("it reads"),
                None,
                "round {round}: open and settled"
            );
        }
    }
    // The first rounds' records outlived all later kills.
    let store = opened(&data, &KeyRing::open(&data, &Source::File).unwrap_or_else(|e| panic!("{e}")));
    for n in &acknowledged {
        assert!(store.record(RequestId(sample::id(*n))).expect("it reads").is_some(), "{n}");
    }
    acknowledged.len()
}

#[test]
fn a_second_process_is_refused_until_the_first_is_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut child, mut output) = start(dir.path(), 0);
    read_until(&mut output, |line| line == "open");
    let keys = KeyRing::open(dir.path(), &Source::File).unwrap_or_else(|e| panic!("{e}"));
    let error = super::refused(dir.path(), &keys);
    let pid = child.id().to_string();
    assert!(matches!(&error, Error::Locked { pid: found, .. } if *found == pid), "{error}");
    child.kill().expect("it is ours");
    child.wait().expect("it ends");
    drop(output);
    // Its lock file is still there; its lock is not.
    assert!(dir.path().join(crate::LOCK_FILE).exists());
    let store = opened(dir.path(), &keys);
    assert!(
        matches!(SqliteStore::open(dir.path(), &keys), Err(Error::Locked { .. })),
        "not twice in one process"
    );
    is_sound(&store);
}
