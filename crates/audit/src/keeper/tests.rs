//! A log over a store: growing, restarting, tampered with, and shown twice.

use store::conformance::append;
use store::{Entry, MemoryStore};

use super::*;
use crate::{Check, Kind, Leaf, check, cosign, open};
use units::Micros;

fn signer() -> Signer {
    Signer::new("example.com/log", Kind::Log, [1; 32]).expect("a name")
}

fn leaf(n: u64) -> Vec<u8> {
    // The clock jumps about: the log does not care.
    let time = Micros(1_000 * (n as i64 % 7) - 3_000);
    Leaf { time, action: "infer".into(), cost_pico: n as i64 + 1, ..Leaf::default() }.encode()
}

fn filled(range: std::ops::Range<u64>, store: &MemoryStore) {
    for n in range {
        append(store, Entry::Leaf(leaf(n))).expect("it is sound");
    }
}

fn log_of(leaves: impl IntoIterator<Item = Vec<u8>>) -> MemoryStore {
    let store = MemoryStore::new();
    for leaf in leaves {
        append(&store, Entry::Leaf(leaf)).expect("it is sound");
    }
    store
}

fn published(store: &MemoryStore) -> Keeper {
    let mut keeper = Keeper::open(store, signer()).expect("it opens");
    while keeper.publish(store).expect("it publishes").is_some() {}
    keeper
}

#[test]
fn a_log_grows_over_restarts_and_proves_every_leaf() {
    let store = MemoryStore::new();
    let mut sizes = Vec::new();
    for end in [0, 1, 255, 256, 257, 600, 1_300] {
        filled(store.log_size().expect("it reads")..end, &store);
        // Each time from what the store has: a restart.
        let mut keeper = published(&store);
        assert_eq!(keeper.size(), end);
        assert_eq!(keeper.publish(&store), Ok(None), "nothing is new");
        sizes.push((end, open(keeper.note().expect("signed"), keeper.verifier(), &[]).expect("ours").0));
        for index in (0..end).step_by(37) {
            let receipt = keeper.receipt(&store, index).expect("it is there");
            let verified = receipt.verify(keeper.verifier(), &[], 0).expect("it is whole");
            assert_eq!((verified.leaf.cost_pico, verified.index), (index as i64 + 1, index));
        }
        for (from, old) in &sizes {
            let proof = keeper.consistency(&store, *from, end).expect("inside");
            let new = &sizes.last().expect("one").1;
            proof::verify_consistency(*from, &old.root, end, &new.root, &proof).expect("it has grown");
        }
    }
    let check = check(&store, signer().verifier()).expect("it reads");
    assert!(check.is_sound(), "{check:?}");
    assert_eq!((check.leaves, check.tiles, check.checkpoints, check.unsigned), (1_300, 5, 7, 0));
}

#[test]
fn a_proof_of_what_is_newer_than_the_checkpoint_makes_one() {
    let store = log_of((0..3).map(leaf));
    let mut keeper = published(&store);
    filled(3..5, &store);
    let receipt = keeper.receipt(&store, 4).expect("it is there");
    assert_eq!(receipt.verify(keeper.verifier(), &[], 0).expect("it is whole").checkpoint.size, 5);
    assert_eq!(keeper.receipt(&store, 5), Err(Error::Beyond { wanted: 5, size: 5 }));
}

#[test]
fn tiles_are_those_of_the_specification() {
    let store = log_of((0..600).map(leaf));
    let keeper = published(&store);
    let read = |path: &str| keeper.read(&store, &Path::parse(path).expect("a path")).expect("it reads");
    assert_eq!(read("0/000").expect("full").len(), 8_192);
    assert_eq!(read("0/002.p/88").expect("partial").len(), 88 * 32);
    assert_eq!(read("0/001.p/5").expect("of an earlier size"), read("0/001").expect("full")[..160]);
    assert_eq!(read("1/000.p/2").expect("partial").len(), 64);
    for beyond in ["0/002", "0/002.p/89", "0/003", "1/000", "1/000.p/3", "2/000.p/1", "63/000", "entries/002"]
    {
        assert_eq!(read(beyond), None, "{beyond}");
    }
    let bundle = read("entries/002.p/88").expect("partial");
    let entries = tile::unbundle(&bundle).expect("a bundle");
    assert_eq!((entries.len(), entries[87]), (88, &leaf(599)[..]));
    let hashes = Hash::split(&read("0/002.p/88").expect("partial")).expect("hashes");
    assert!(entries.iter().zip(hashes).all(|(entry, hash)| leaf_hash(entry) == hash));
}

/// The same tiles and checkpoints over other leaves.
fn over(leaves: Vec<Vec<u8>>, honest: &MemoryStore) -> MemoryStore {
    let store = log_of(leaves);
    let tile = |n| TileRow { level: 0, n, hashes: honest.tile(0, n).expect("it reads").expect("full") };
    for row in honest.checkpoints(usize::MAX).expect("they read") {
        store.publish(&[tile(0), tile(1)], &row).expect("it is kept");
    }
    store
}

#[test]
fn dropped_reordered_and_flipped_leaves_are_found() {
    let honest = log_of((0..600).map(leaf));
    published(&honest);
    let all: Vec<Vec<u8>> = (0..600).map(leaf).collect();
    let verdict = |leaves: Vec<Vec<u8>>| -> Check {
        let store = over(leaves, &honest);
        check(&store, signer().verifier()).expect("it reads")
    };
    for at in [0, 255, 256, 511, 512, 599] {
        let mut flipped = all.clone();
        let last = flipped[at].len() - 1;
        flipped[at][last] ^= 1;
        let mut dropped = all.clone();
        dropped.remove(at);
        let mut doubled = all.clone();
        doubled.insert(at, all[at].clone());
        let mut swapped = all.clone();
        swapped.swap(at, (at + 1) % 600);
        for (what, leaves) in
            [("flipped", flipped), ("dropped", dropped), ("doubled", doubled), ("swapped", swapped)]
        {
            let first = leaves.iter().zip(&all).position(|(a, b)| a != b).unwrap_or(leaves.len());
            let found = verdict(leaves);
            let told = found.problems.iter().any(|p| p.contains("signed") || p.contains("missing"));
            // The last one doubled is one more leaf, which nobody has signed yet.
            assert_eq!(told, first < 600, "{what} at {at}: {found:?}");
            let named = found.problems.iter().any(|p| p.contains("is not the one that was hashed"));
            // By its number, where a full tile covers it.
            assert_eq!(named, first < 512, "{what} at {at}: {found:?}");
        }
    }
    let mut cut = all.clone();
    cut.truncate(590);
    assert!(verdict(cut).problems.iter().any(|p| p.contains("the last 10 are missing")));
}

#[test]
fn a_damaged_log_is_not_signed_again() {
    let honest = log_of((0..600).map(leaf));
    published(&honest);
    for leaves in [599, 600] {
        let changed = (0..leaves).map(|n| if n == 590 { leaf(7) } else { leaf(n) }).collect();
        let store = over(changed, &honest);
        assert!(matches!(Keeper::open(&store, signer()), Err(Error::Damaged(_))), "{leaves}");
    }
    let other = Signer::new("example.com/log", Kind::Log, [2; 32]).expect("a name");
    assert!(matches!(Keeper::open(&honest, other), Err(Error::Signature { .. })));
}

#[test]
fn a_receipt_carries_what_witnesses_have_said() {
    let store = log_of((0..10).map(leaf));
    let mut keeper = published(&store);
    let witness = Signer::new("witness.example", Kind::Witness, [3; 32]).expect("a name");
    let note = keeper.note().expect("signed").clone();
    let signature = cosign(&note, &witness, 1_795_392_000);
    keeper.cosigned(&store, 10, witness.verifier(), signature.clone()).expect("it verifies");
    // The log has grown since, and the receipt is still of what was seen from outside.
    filled(10..20, &store);
    while keeper.publish(&store).expect("it publishes").is_some() {}
    let trusted = [witness.verifier().clone()];
    let early = keeper.receipt(&store, 3).expect("it is there");
    assert_eq!(early.verify(keeper.verifier(), &trusted, 1).expect("it is whole").checkpoint.size, 10);
    let late = keeper.receipt(&store, 15).expect("it is there");
    assert!(late.verify(keeper.verifier(), &trusted, 1).is_err(), "nobody has seen that far");
    // Over a restart.
    let mut keeper = Keeper::open(&store, signer()).expect("it opens");
    assert_eq!(keeper.receipt(&store, 3), Ok(early));
    // A signature of another checkpoint, or by another key, is not taken.
    let other = Signer::new("witness.example", Kind::Witness, [4; 32]).expect("a name");
    assert!(keeper.cosigned(&store, 20, witness.verifier(), signature.clone()).is_err());
    assert!(keeper.cosigned(&store, 10, other.verifier(), signature.clone()).is_err());
    assert!(keeper.cosigned(&store, 11, witness.verifier(), signature).is_err());
    for n in 0..40 {
        let name = format!("witness.example/{n}");
        let many = Signer::new(&name, Kind::Witness, [n; 32]).expect("a name");
        let result = keeper.cosigned(&store, 10, many.verifier(), cosign(&note, &many, 1));
        assert_eq!(result.is_ok(), usize::from(n) < COSIGNATURES_MAX - 1, "{n}");
    }
}

#[test]
fn a_split_view_has_no_proof() {
    let (one, two) = (log_of((0..20).map(leaf)), log_of((0..21).map(|n| leaf(if n == 5 { 6 } else { n }))));
    let (first, second) = (published(&one), published(&two));
    let root =
        |keeper: &Keeper| open(keeper.note().expect("signed"), keeper.verifier(), &[]).expect("ours").0.root;
    let proof = second.consistency(&two, 20, 21).expect("inside");
    assert!(proof::verify_consistency(20, &root(&first), 21, &root(&second), &proof).is_err());
    let forged = first.consistency(&one, 19, 20).expect("inside");
    assert!(proof::verify_consistency(20, &root(&first), 21, &root(&second), &forged).is_err());
}
