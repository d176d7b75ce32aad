//! A ledger and its log that tell one story, and those that tell two.

use std::sync::Arc;

use store::conformance::{append, sample};
use store::{Entry, MemoryStore, Outcome, Posting, Record};
use units::TeamId;

use super::*;

fn leaf(record: &Record) -> Leaf {
    Leaf { action: "infer".into(), ..of_record(record) }
}

fn settle(store: &MemoryStore, record: Record, postings: Vec<Posting>, leaf: Option<Leaf>) {
    let leaf = leaf.map(|leaf| leaf.encode());
    append(store, Entry::Settle { record: Arc::new(record), postings, leaf }).expect("it is sound");
}

/// Requests 0 to 4 with their leaves, and a change of the rules between them.
fn honest() -> MemoryStore {
    let store = MemoryStore::new();
    let began = Leaf { time: sample::at(0), action: "apply".into(), ..Leaf::default() };
    append(&store, Entry::Leaf(began.encode())).expect("it is sound");
    for n in 0..5 {
        let (record, postings) = sample::settled(n);
        let leaf = leaf(&record);
        settle(&store, record, postings, Some(leaf));
    }
    store
}

#[track_caller]
fn books(store: &MemoryStore) -> Books {
    reconcile(store).expect("it reads")
}

#[test]
fn books_and_log_that_say_the_same_agree() {
    let store = honest();
    let found = books(&store);
    assert!(found.is_sound(), "{found:?}");
    assert_eq!((found.records, found.agree, found.older), (5, 5, 0));
    // A settle that is repeated has its leaf twice, and nothing is taken out of a log.
    let (record, postings) = sample::settled(3);
    let again = leaf(&record);
    settle(&store, record, postings, Some(again));
    assert!(books(&store).is_sound());
}

#[test]
fn what_is_older_than_the_log_needs_no_leaf_and_what_is_newer_does() {
    let store = MemoryStore::new();
    let (older, postings) = sample::settled(1);
    settle(&store, older, postings, None);
    assert!(books(&store).is_sound(), "there is no log yet");
    let (record, postings) = sample::settled(7);
    let of = leaf(&record);
    settle(&store, record, postings, Some(of));
    assert_eq!((books(&store).older, books(&store).agree), (1, 1));
    let (hidden, postings) = sample::settled(9);
    let id = hidden.id;
    settle(&store, hidden, postings, None);
    let found = books(&store);
    assert_eq!((found.without_leaf, found.is_sound()), (1, false));
    assert_eq!((found.differences[0].request, found.differences[0].what), (Some(id), "leaf"));
}

#[test]
fn a_leaf_whose_record_is_gone_is_found() {
    let store = honest();
    let gone = sample::settled(77).0;
    append(&store, Entry::Leaf(leaf(&gone).encode())).expect("it is sound");
    let found = books(&store);
    assert_eq!((found.agree, found.without_record), (5, 1));
    assert_eq!((found.differences[0].leaf, found.differences[0].what), (Some(6), "record"));
}

#[test]
fn every_figure_that_differs_is_told_with_both_values() {
    type Changed = fn(&mut Record);
    let changes: [(&str, Changed); 9] = [
        ("cost", |r| r.cost = Usd::from_pico(r.cost.pico() - 1)),
        ("tokens", |r| r.attempts[0].usage.0[0] += 1),
        ("decision", |r| r.decision = "admitted: by nobody".into()),
        ("outcome", |r| r.outcome = Outcome::Failed("UP0001".into())),
        ("team", |r| r.team = TeamId(sample::id(99))),
        ("target", |r| r.attempts[0].provider = "elsewhere".into()),
        ("labels", |r| r.labels = "restricted eu user".parse().expect("labels")),
        ("policies", |r| r.judged.as_mut().expect("it was judged").determining.clear()),
        ("policy set", |r| r.judged.as_mut().expect("it was judged").hash[0] ^= 1),
    ];
    for (what, change) in changes {
        let store = honest();
        let (mut record, postings) = sample::settled(20);
        let of = leaf(&record);
        change(&mut record);
        settle(&store, record, postings, Some(of));
        let found = books(&store);
        assert_eq!((found.agree, found.differ, found.is_sound()), (5, 1, false), "{what}");
        let difference = &found.differences[0];
        assert_eq!((difference.what, difference.leaf), (what, Some(6)));
        assert_ne!(difference.log, difference.books);
    }
}

#[test]
fn postings_that_charge_something_else_are_found() {
    let store = honest();
    let (record, mut postings) = sample::settled(20);
    // They still balance.
    postings[0].amount = Usd::from_pico(postings[0].amount.pico() - 5);
    postings[1].amount = Usd::from_pico(postings[1].amount.pico() + 5);
    let of = leaf(&record);
    settle(&store, record, postings, Some(of));
    assert_eq!(books(&store).differences[0].what, "postings");
}

#[test]
fn many_differences_are_counted_and_the_first_named() {
    let store = honest();
    for n in 100..150 {
        append(&store, Entry::Leaf(leaf(&sample::settled(n).0).encode())).expect("it is sound");
    }
    let found = books(&store);
    assert_eq!((found.without_record, found.differences.len()), (50, DIFFERENCES_MAX));
}
