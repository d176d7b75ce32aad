//! What any `BlockStore` does, as a function over the port; and this one beside a model.

use std::collections::HashMap;
use std::sync::{Arc, Barrier};

use kv_disk::{KvDisk, Options, TenantSecrets};
use proptest::prelude::*;
use scheduler::{BlockKey, BlockStore};
use seal::SecretKey;

/// The contents of a block: different in each, not all alike within.
fn contents(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

/// A secret for every tenant.
fn tenants() -> TenantSecrets {
    Arc::new(|tenant| {
        let mut secret = [9; 32];
        secret[..16].copy_from_slice(&tenant.0.to_be_bytes());
        Some(SecretKey::from_bytes(secret))
    })
}

fn names(store: &impl BlockStore) -> Vec<u128> {
    store.keys().iter().map(|(key, _)| key.0).collect()
}

/// `make` gives an empty store that holds ten blocks of 10,000 bytes and not
/// eleven; and never the same one twice.
fn conforms<S: BlockStore>(make: impl Fn() -> S) {
    let store = make();
    assert_eq!(store.keys(), [], "a new store is empty");
    assert_eq!(store.load(BlockKey(1)), None, "what was never saved is a miss");

    for length in [0, 1, 4095, 10_000] {
        let key = BlockKey(u128::MAX - length as u128);
        assert_eq!(store.save(key, &contents(1, length)), [], "it keeps {length} bytes");
        assert_eq!(store.load(key), Some(contents(1, length)), "it gives back {length} bytes");
        assert!(store.keys().contains(&(key, length as u64)), "it lists {length} bytes");
    }

    let store = make();
    for n in 0..10 {
        assert_eq!(store.save(BlockKey(n), &contents(n as u64, 10_000)), [], "block {n} fits");
    }
    assert_eq!(names(&store), (0..10).collect::<Vec<_>>(), "the first saved was used least recently");
    assert!(store.load(BlockKey(0)).is_some());
    assert_eq!(
        store.save(BlockKey(2), &contents(2, 10_000)),
        [],
        "saving again is a use, and no second block"
    );
    assert_eq!(names(&store), [1, 3, 4, 5, 6, 7, 8, 9, 0, 2], "uses move to the end");
    assert_eq!(
        store.save(BlockKey(10), &contents(10, 10_000)),
        [BlockKey(1)],
        "the least recently used goes"
    );
    assert_eq!(store.load(BlockKey(1)), None, "and is a miss");
    assert_eq!(store.save(BlockKey(11), &contents(11, 30_000)).len(), 3, "as many go as must");
    let before = names(&store);
    let huge = vec![0; 4 << 20];
    assert_eq!(store.save(BlockKey(12), &huge), [BlockKey(12)], "what can never fit is refused");
    assert_eq!(names(&store), before, "and nothing goes for it");
    for key in before {
        let expected = contents(key as u64, if key == 11 { 30_000 } else { 10_000 });
        assert_eq!(store.load(BlockKey(key)), Some(expected), "what is listed is there: {key}");
    }

    let store = make();
    let start = Barrier::new(4);
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (store, start) = (&store, &start);
            scope.spawn(move || {
                start.wait();
                for round in 0..100 {
                    let n = (thread * 7 + round * 3) % 20;
                    store.save(BlockKey(n.into()), &contents(n, 10_000));
                    let loaded = store.load(BlockKey(((n + thread) % 20).into()));
                    let right = loaded.is_none_or(|l| l == contents((n + thread) % 20, 10_000));
                    assert!(right, "from many threads a block is itself or a miss");
                }
            });
        }
    });
    assert!(store.keys().len() <= 10, "from many threads the quota holds");
}

/// Ten blocks of 10,000 bytes, each three pages.
const QUOTA: u64 = 10 * 3 * 4096;

fn open(folder: &std::path::Path, key: &SecretKey) -> KvDisk {
    let options = Options {
        folder: folder.to_owned(),
        key: key.clone(),
        tenants: tenants(),
        fingerprint: "model a",
        quota_bytes: QUOTA,
    };
    KvDisk::open(options).expect("it opens")
}

#[test]
fn the_disk_is_a_block_store() {
    let dir = tempfile::tempdir().expect("a folder");
    let made = std::cell::Cell::new(0);
    conforms(|| {
        made.set(made.get() + 1);
        open(&dir.path().join(made.get().to_string()), &SecretKey::from_bytes([1; 32]))
    });
}

#[derive(Clone, Debug)]
enum Act {
    Save(u64, usize),
    Load(u64),
    Reopen,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..12u64, prop_oneof![Just(10_000usize), 0..60_000usize, Just(200_000usize)])
            .prop_map(|(n, len)| Act::Save(n, len)),
        4 => (0..12u64).prop_map(Act::Load),
        1 => Just(Act::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn it_agrees_with_a_map_that_forgets_what_the_answers_name(acts in proptest::collection::vec(act(), 1..60)) {
        let dir = tempfile::tempdir().expect("a folder");
        let key = SecretKey::from_bytes([2; 32]);
        let mut store = open(dir.path(), &key);
        let mut model: HashMap<u64, usize> = HashMap::new();
        for act in acts {
            match act {
                Act::Save(n, len) => {
                    // A key is written with one content only, while it is there.
                    let len = model.get(&n).copied().unwrap_or(len);
                    let gone = store.save(BlockKey(n.into()), &contents(n, len));
                    model.insert(n, len);
                    for key in gone {
                        model.remove(&(key.0 as u64));
                    }
                }
                Act::Load(n) => {
                    let expected = model.get(&n).map(|len| contents(n, *len));
                    prop_assert_eq!(store.load(BlockKey(n.into())), expected);
                }
                Act::Reopen => {
                    drop(store);
                    store = open(dir.path(), &key);
                }
            }
            let mut listed: Vec<(u64, usize)> =
                store.keys().iter().map(|(k, len)| (k.0 as u64, *len as usize)).collect();
            listed.sort_unstable();
            let mut expected: Vec<(u64, usize)> = model.iter().map(|(k, v)| (*k, *v)).collect();
            expected.sort_unstable();
            prop_assert_eq!(listed, expected);
            prop_assert!(store.counters().bytes <= QUOTA);
        }
    }
}
