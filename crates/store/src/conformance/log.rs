//! The audit log.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc;

use units::{RequestId, Usd};

use super::{append, sample};
use crate::{CHECKPOINTS_KEPT, CheckpointRow, Entry, Error, LEAF_BYTES_MAX, LEAVES_MAX, Store, TileRow};

fn size(store: &dyn Store) -> u64 {
    store.log_size().expect("it reads")
}

pub fn leaves_are_numbered_as_they_were_appended(store: &dyn Store) {
    assert_eq!(size(store), 0);
    assert_eq!(store.leaves(0, 10).expect("they read"), Vec::<Vec<u8>>::new());
    append(store, sample::settle_with_leaf(1)).expect("it is sound");
    append(store, Entry::Leaf(b"a policy changed".to_vec())).expect("it is sound");
    append(store, sample::settle(2)).expect("a record may be without");
    append(store, sample::settle_with_leaf(3)).expect("it is sound");
    assert_eq!(size(store), 3);
    let all = [sample::leaf(1), b"a policy changed".to_vec(), sample::leaf(3)];
    assert_eq!(store.leaves(0, 10).expect("they read"), all);
    assert_eq!(store.leaves(1, 1).expect("they read"), all[1..2]);
    assert_eq!(store.leaves(3, 10).expect("they read"), Vec::<Vec<u8>>::new());
    assert_eq!(store.leaves(u64::MAX, 10).expect("they read"), Vec::<Vec<u8>>::new());
    let of = |n| store.leaf_of(RequestId(sample::id(n))).expect("it reads");
    assert_eq!((of(1), of(2), of(3), of(4)), (Some(0), None, Some(2), None));
}

pub fn what_is_refused_leaves_no_leaf(store: &dyn Store) {
    for leaf in [vec![], vec![0; LEAF_BYTES_MAX + 1]] {
        assert!(matches!(append(store, Entry::Leaf(leaf.clone())), Err(Error::Damaged(_))));
        let (record, postings) = sample::settled(1);
        let entry = Entry::Settle { record: Arc::new(record), postings, leaf: Some(leaf) };
        assert!(matches!(append(store, entry), Err(Error::Damaged(_))));
    }
    let (record, mut postings) = sample::settled(2);
    postings[0].amount = Usd::from_pico(postings[0].amount.pico() + 1);
    let entry = Entry::Settle { record: Arc::new(record), postings, leaf: Some(sample::leaf(2)) };
    assert!(append(store, entry).is_err(), "it is unbalanced");
    assert_eq!(size(store), 0);
    append(store, Entry::Leaf(vec![7; LEAF_BYTES_MAX])).expect("the limit fits");
    assert_eq!(store.leaves(0, 1).expect("they read")[0].len(), LEAF_BYTES_MAX);
}

pub fn a_request_settled_twice_keeps_its_first_leaf(store: &dyn Store) {
    for _ in 0..2 {
        append(store, sample::settle_with_leaf(1)).expect("it is sound");
    }
    assert_eq!(store.leaf_of(RequestId(sample::id(1))).expect("it reads"), Some(0));
    // What was acknowledged is in the log, twice if need be: nothing is taken out of it.
    assert_eq!(store.leaves(0, 10).expect("they read").first(), Some(&sample::leaf(1)));
}

pub fn a_crowd_of_leaves_has_numbers_without_gaps(store: &dyn Store) {
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let sender = sender.clone();
            scope.spawn(move || {
                for n in thread * 100..thread * 100 + 100 {
                    let entry = match n % 3 {
                        0 => Entry::Leaf(sample::leaf(n)),
                        _ => sample::settle_with_leaf(n),
                    };
                    let sender = sender.clone();
                    store.append(entry, Box::new(move |r| sender.send(r).expect("the test waits")));
                }
            });
        }
    });
    drop(sender);
    assert!(receiver.iter().all(|result| result.is_ok()));
    assert_eq!(size(store), 400);
    let all = store.leaves(0, LEAVES_MAX).expect("they read");
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 400);
    for n in (0..400).filter(|n| n % 3 != 0) {
        let at = store.leaf_of(RequestId(sample::id(n))).expect("it reads").expect("it has one");
        assert_eq!(all[at as usize], sample::leaf(n));
    }
}

pub fn many_leaves_are_read_in_parts(store: &dyn Store) {
    let total = LEAVES_MAX as u64 + 10;
    let (sender, receiver) = mpsc::channel();
    for n in 0..total {
        let sender = sender.clone();
        let done = Box::new(move |r| sender.send(r).expect("the test waits"));
        store.append(Entry::Leaf(sample::leaf(n)), done);
    }
    drop(sender);
    assert!(receiver.iter().all(|result: Result<(), Error>| result.is_ok()));
    let first = store.leaves(0, usize::MAX).expect("they read");
    assert_eq!((first.len(), &first[LEAVES_MAX - 1]), (LEAVES_MAX, &sample::leaf(LEAVES_MAX as u64 - 1)));
    assert_eq!(store.leaves(LEAVES_MAX as u64, usize::MAX).expect("they read").len(), 10);
}

pub fn tiles_and_checkpoints_are_kept(store: &dyn Store) {
    let row = |size, cosigned| CheckpointRow { size, note: format!("note of {size}, {cosigned}"), cosigned };
    let tile = |level, n, byte| TileRow { level, n, hashes: vec![byte; 8_192] };
    assert_eq!(store.checkpoints(10).expect("they read"), vec![]);
    assert_eq!(store.last_cosigned().expect("it reads"), None);
    store.publish(&[tile(0, 0, 1), tile(0, 1, 2), tile(1, 0, 3)], &row(600, false)).expect("it is kept");
    store.publish(&[], &row(610, false)).expect("it is kept");
    store.publish(&[], &row(600, true)).expect("a cosignature replaces it");
    assert_eq!(store.checkpoints(10).expect("they read"), [row(610, false), row(600, true)]);
    assert_eq!(store.checkpoints(1).expect("they read"), [row(610, false)]);
    assert_eq!(store.last_cosigned().expect("it reads"), Some(row(600, true)));
    assert_eq!(store.tile(0, 1).expect("it reads"), Some(vec![2; 8_192]));
    assert_eq!(store.tile(1, 0).expect("it reads"), Some(vec![3; 8_192]));
    assert_eq!(store.tile(1, 1).expect("it reads"), None);
    assert_eq!(store.tile(0, u64::MAX).expect("it reads"), None);
}

pub fn old_checkpoints_go_unless_they_are_cosigned(store: &dyn Store) {
    let row = |size, cosigned| CheckpointRow { size, note: String::from("a note"), cosigned };
    let kept = CHECKPOINTS_KEPT as u64;
    for size in 1..=kept + 5 {
        store.publish(&[], &row(size, size == 2)).expect("it is kept");
    }
    let found = store.checkpoints(usize::MAX).expect("they read");
    let sizes: Vec<u64> = found.iter().map(|row| row.size).collect();
    assert_eq!(sizes.len() as u64, kept + 1);
    assert_eq!((sizes[0], &sizes[kept as usize - 1..]), (kept + 5, &[6, 2][..]));
}
