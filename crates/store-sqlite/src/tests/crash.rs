//! Processes that are killed, and what they had acknowledged.

use std::collections::BTreeSet;
use std::sync::mpsc;

use seal::{KeyRing, Source};
use store::conformance::sample;
use store::{AuditLog, Entry, Error, Ledger, Records};
use units::RequestId;

use super::kill::{self, say};
use super::{is_sound, opened};
use crate::SqliteStore;

const VICTIM: &str = "tests::crash::child_settles_until_it_is_killed";

/// Not a test of its own: what the tests below start and kill. Settles and
/// holds without end, and prints each number once it is acknowledged.
#[test]
fn child_settles_until_it_is_killed() {
    let Some((dir, first)) = kill::victim() else { return };
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

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let rounds = kill::rounds(25);
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
        let count = kill::patience(round, 8, 1_500, seed);
        kill::kill_after(VICTIM, &data, round * 1_000_000, count, |line| {
            let Some(n) = line.strip_prefix("ack ") else { return false };
            acknowledged.insert(n.parse::<u64>().expect("a number"))
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
    let mut running = kill::Running::start(VICTIM, dir.path(), 0);
    running.read_until(|line| line == "open");
    let keys = KeyRing::open(dir.path(), &Source::File).unwrap_or_else(|e| panic!("{e}"));
    let error = super::refused(dir.path(), &keys);
    let pid = running.child.id().to_string();
    assert!(matches!(&error, Error::Locked { pid: found, .. } if *found == pid), "{error}");
    running.kill();
    // Its lock file is still there; its lock is not.
    assert!(dir.path().join(crate::LOCK_FILE).exists());
    let store = opened(dir.path(), &keys);
    assert!(
        matches!(SqliteStore::open(dir.path(), &keys), Err(Error::Locked { .. })),
        "not twice in one process"
    );
    is_sound(&store);
}
