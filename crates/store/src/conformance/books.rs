//! The ledger and the records.

use std::sync::Arc;
use std::sync::mpsc;

use units::{Day, RequestId, Usd};

use super::{append, sample};
use crate::totals::{TOKENS_MAX, Totals};
use crate::{Entry, Error, LedgerCheck, Outcome, SpendQuery, Store};

fn every_day() -> SpendQuery {
    SpendQuery { from: Day(i32::MIN), to: Day(i32::MAX), team: None, key: None }
}

fn settle_all(store: &dyn Store, numbers: impl IntoIterator<Item = u64>) {
    for n in numbers {
        append(store, sample::settle(n)).expect("the entry is sound");
    }
}

fn check_is_sound(store: &dyn Store, records: u64) {
    let found = store.check().expect("the books read");
    let sound = LedgerCheck { records, postings: found.postings, ..LedgerCheck::default() };
    assert_eq!(found, sound);
}

pub fn a_settled_record_reads_back(store: &dyn Store) {
    let (record, postings) = sample::settled(1);
    append(store, sample::settle(1)).expect("the entry is sound");
    assert_eq!(store.record(record.id).expect("it reads"), Some(record.clone()));
    assert_eq!(store.postings(record.id).expect("they read"), postings);
    let unknown = RequestId(sample::id(99));
    assert_eq!(store.record(unknown).expect("it reads"), None);
    assert_eq!(store.postings(unknown).expect("they read"), vec![]);
    check_is_sound(store, 1);
}

pub fn a_settle_again_changes_nothing(store: &dyn Store) {
    settle_all(store, [1, 2]);
    let spent = store.spend(&every_day()).expect("it reads");
    let (mut record, postings) = sample::settled(1);
    record.decision = "another".into();
    append(store, Entry::Settle { record: Arc::new(record.clone()), postings, leaf: None })
        .expect("it is idempotent");
    assert_eq!(store.record(record.id).expect("it reads"), Some(sample::settled(1).0));
    assert_eq!(store.spend(&every_day()).expect("it reads"), spent);
    assert_eq!(store.recent(10).expect("it reads").len(), 2);
    check_is_sound(store, 2);
}

pub fn settlements_are_read_in_parts_with_their_leaves(store: &dyn Store) {
    assert_eq!(store.settlements(0, 10).expect("they read"), vec![]);
    append(store, sample::settle_with_leaf(1)).expect("it is sound");
    append(store, Entry::Leaf(b"a policy changed".to_vec())).expect("it is sound");
    append(store, sample::settle(2)).expect("a record may be without");
    for _ in 0..2 {
        append(store, sample::settle_with_leaf(3)).expect("it is sound");
    }
    let all = store.settlements(0, 10).expect("they read");
    assert_eq!(all.iter().map(|s| s.leaf).collect::<Vec<_>>(), [Some(0), None, Some(2)]);
    for (n, settlement) in (1..).zip(&all) {
        let (record, postings) = sample::settled(n);
        assert_eq!((&settlement.record, &settlement.postings), (&record, &postings));
    }
    assert!(all.is_sorted_by(|a, b| a.number < b.number));
    assert_eq!(store.settlements(0, 2).expect("they read"), all[..2]);
    assert_eq!(store.settlements(all[1].number, 10).expect("they read"), all[1..]);
    assert_eq!(store.settlements(all[2].number + 1, 10).expect("they read"), vec![]);
    assert_eq!(store.settlements(u64::MAX, 10).expect("they read"), vec![]);
}

pub fn a_hold_opens_and_its_settle_closes_it(store: &dyn Store) {
    let mut first = sample::hold(1);
    append(store, Entry::Hold(sample::hold(2))).expect("the entry is sound");
    append(store, Entry::Hold(first.clone())).expect("the entry is sound");
    assert_eq!(store.open_holds().expect("they read"), vec![first.clone(), sample::hold(2)]);
    first.amount = Usd::from_pico(5);
    append(store, Entry::Hold(first.clone())).expect("a hold may be replaced");
    assert_eq!(store.open_holds().expect("they read"), vec![first, sample::hold(2)]);
    settle_all(store, [1]);
    assert_eq!(store.open_holds().expect("they read"), vec![sample::hold(2)]);
    settle_all(store, [2]);
    assert_eq!(store.open_holds().expect("they read"), vec![]);
}

pub fn a_hold_after_its_settle_stays_closed(store: &dyn Store) {
    settle_all(store, [1]);
    append(store, Entry::Hold(sample::hold(1))).expect("it does nothing");
    assert_eq!(store.open_holds().expect("they read"), vec![]);
    // Both queued at once, in either order of arrival at the disk.
    let (sender, receiver) = mpsc::channel();
    for entry in [Entry::Hold(sample::hold(2)), sample::settle(2), Entry::Hold(sample::hold(2))] {
        let sender = sender.clone();
        store.append(entry, Box::new(move |result| sender.send(result).expect("the test waits")));
    }
    drop(sender);
    assert_eq!(receiver.iter().filter(Result::is_ok).count(), 3);
    assert_eq!(store.open_holds().expect("they read"), vec![]);
}

pub fn unbalanced_postings_are_refused_alone(store: &dyn Store) {
    let (record, mut postings) = sample::settled(2);
    postings[0].amount = Usd::from_pico(postings[0].amount.pico() + 1);
    let (sender, receiver) = mpsc::channel();
    let unbalanced = Entry::Settle { record: Arc::new(record), postings, leaf: None };
    for (n, entry) in [(1, sample::settle(1)), (2, unbalanced), (3, sample::settle(3))] {
        let sender = sender.clone();
        store.append(entry, Box::new(move |result| sender.send((n, result)).expect("the test waits")));
    }
    drop(sender);
    for (n, result) in receiver {
        assert_eq!(matches!(result, Err(Error::Damaged(_))), n == 2, "entry {n}: {result:?}");
        assert_eq!(result.is_ok(), n != 2, "entry {n}: {result:?}");
    }
    assert_eq!(store.record(RequestId(sample::id(2))).expect("it reads"), None);
    check_is_sound(store, 2);
}

pub fn totals_equal_the_sum_of_the_records(store: &dyn Store) {
    let mut totals = Totals::default();
    for n in 0..100 {
        totals.add(&sample::settled(n).0);
    }
    settle_all(store, 0..100);
    let expected: Vec<_> = totals.select(&every_day()).collect();
    let found = store.spend(&every_day()).expect("it reads");
    assert_eq!(found, expected);
    assert_eq!(found.iter().map(|row| row.attempts).sum::<u64>(), 100);
    check_is_sound(store, 100);
}

pub fn totals_are_selected(store: &dyn Store) {
    // 86,400,000 is a day of milliseconds, which is what a sample's number counts.
    let numbers = [1, 2, 3, 86_400_001, 86_400_005, 172_800_002];
    settle_all(store, numbers);
    let day = sample::START.day();
    let (team, key) = (sample::settled(1).0.team, sample::settled(1).0.key);
    let next = Day(day.0 + 1);
    for query in [
        SpendQuery { from: day, to: day, team: None, key: None },
        SpendQuery { from: next, to: next, team: None, key: None },
        SpendQuery { from: day, to: next, team: Some(team), key: None },
        SpendQuery { from: day, to: next, team: None, key: Some(key) },
        SpendQuery { from: next, to: day, team: None, key: None },
    ] {
        let mut totals = Totals::default();
        for n in numbers {
            totals.add(&sample::settled(n).0);
        }
        let expected: Vec<_> = totals.select(&query).collect();
        assert_eq!(store.spend(&query).expect("it reads"), expected, "{query:?}");
    }
}

pub fn absurd_quantities_neither_fail_nor_wrap(store: &dyn Store) {
    for n in [0, 15, 30] {
        let (mut record, mut postings) = sample::settled(n);
        record.attempts[0].usage.0 = [u64::MAX; 8];
        record.attempts[0].cost = Usd::from_pico(i64::MAX);
        record.cost = Usd::from_pico(i64::MAX);
        record.request_bytes = u64::MAX;
        postings[0].amount = Usd::from_pico(i64::MAX);
        postings[1].amount = Usd::from_pico(-i64::MAX);
        postings[2].amount = Usd::from_pico(0);
        append(store, Entry::Settle { record: Arc::new(record), postings, leaf: None })
            .expect("it is balanced");
    }
    let rows = store.spend(&every_day()).expect("it reads");
    assert_eq!(rows.len(), 1, "0, 15 and 30 share team and key");
    assert_eq!(rows[0].cost_pico, 3 * i128::from(i64::MAX));
    assert_eq!(rows[0].usage.0, [3 * TOKENS_MAX; 8]);
    check_is_sound(store, 3);
}

pub fn a_refused_request_adds_no_total(store: &dyn Store) {
    let (mut record, _) = sample::settled(1);
    record.outcome = Outcome::Refused("GW0005".into());
    record.attempts.clear();
    record.cost = Usd::from_pico(0);
    record.model = "a name the client made up".into();
    append(store, Entry::Settle { record: Arc::new(record), postings: vec![], leaf: None })
        .expect("no postings balance");
    assert_eq!(store.spend(&every_day()).expect("it reads"), vec![]);
    check_is_sound(store, 1);
}

pub fn a_crashed_request_is_charged_from_its_hold(store: &dyn Store) {
    let hold = sample::hold(1);
    append(store, Entry::Hold(hold.clone())).expect("the entry is sound");
    assert_eq!(store.open_holds().expect("they read"), vec![hold.clone()]);
    let (mut record, mut postings) = sample::settled(1);
    record.outcome = Outcome::Crashed;
    record.attempts.clear();
    record.cost = hold.amount;
    postings.truncate(2);
    postings[0].amount = hold.amount;
    postings[1].amount = Usd::from_pico(-hold.amount.pico());
    append(store, Entry::Settle { record: Arc::new(record), postings, leaf: None }).expect("it is balanced");
    let rows = store.spend(&every_day()).expect("it reads");
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].target.as_str(), rows[0].attempts), ("", 0));
    assert_eq!(rows[0].cost_pico, i128::from(hold.amount.pico()));
    assert_eq!(store.open_holds().expect("they read"), vec![]);
    check_is_sound(store, 1);
}

pub fn the_newest_record_comes_first(store: &dyn Store) {
    settle_all(store, [3, 1, 2]);
    let ids = |limit| -> Vec<RequestId> {
        store.recent(limit).expect("it reads").into_iter().map(|r| r.id).collect()
    };
    let id = |n| RequestId(sample::id(n));
    assert_eq!(ids(10), [id(2), id(1), id(3)]);
    assert_eq!(ids(2), [id(2), id(1)]);
    assert_eq!(ids(0), []);
}

pub fn every_entry_of_a_crowd_is_acknowledged_once(store: &dyn Store) {
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let sender = sender.clone();
            scope.spawn(move || {
                for n in thread * 100..thread * 100 + 100 {
                    for entry in [Entry::Hold(sample::hold(n)), sample::settle(n)] {
                        let sender = sender.clone();
                        store.append(entry, Box::new(move |r| sender.send((n, r)).expect("the test waits")));
                    }
                }
            });
        }
    });
    drop(sender);
    let mut seen = vec![0; 400];
    for (n, result) in receiver {
        result.expect("the entry is sound");
        seen[n as usize] += 1;
    }
    assert_eq!(seen, vec![2; 400]);
    assert_eq!(store.open_holds().expect("they read"), vec![]);
    check_is_sound(store, 400);
}

pub fn a_closed_store_refuses_writes(store: &dyn Store) {
    settle_all(store, [1]);
    store.close().expect("it closes");
    store.close().expect("again is nothing");
    assert!(matches!(append(store, sample::settle(2)), Err(Error::Closed)));
    assert!(matches!(store.put_secret("a", b"b"), Err(Error::Closed)));
    assert!(matches!(store.change(&[crate::Change::PutOrg(sample::org())]), Err(Error::Closed)));
}
