//! Originals beside an index are right, or are not there.

use std::fs;
use std::path::PathBuf;

use seal::{KeyRing, TenantKeys};
use store::documents::{ChunkId, half};
use units::{CollectionId, TeamId, Uuid7};

use super::{allow, clustered, entry};
use crate::{DenseIndex, Entry, Error, FlatIndex, Place, load, save};

/// A directory for one index, and the keys of whose it is.
pub(crate) struct Beside {
    dir: tempfile::TempDir,
    keys: TenantKeys,
}

impl Beside {
    pub fn new() -> Beside {
        let team = TeamId(Uuid7::from_bytes([1; 16]));
        Beside { dir: tempfile::tempdir().expect("a directory"), keys: KeyRing::ephemeral().tenant(team) }
    }
    fn place() -> Place {
        Place { collection: CollectionId(Uuid7::from_bytes([3; 16])), generation: 2 }
    }
    fn snapshot(&self) -> PathBuf {
        self.dir.path().join(Beside::place().file_name(&self.keys))
    }
    fn originals(&self) -> PathBuf {
        crate::kept::path_of(&self.snapshot())
    }
    pub fn index(&self, dimensions: usize) -> FlatIndex {
        FlatIndex::keeping(dimensions, &self.snapshot(), &self.keys, Beside::place()).expect("it is made")
    }
    fn save(&self, index: &FlatIndex) {
        save(&self.snapshot(), &self.keys, Beside::place(), index, 7).expect("it is written");
    }
    fn load(&self) -> Result<FlatIndex, Error> {
        load(&self.snapshot(), &self.keys, Beside::place()).map(|(index, _)| index)
    }
}

const DIMENSIONS: usize = 16;

fn entries(count: usize) -> Vec<Entry> {
    let vectors = clustered(count, DIMENSIONS, 5, 21);
    vectors.into_iter().enumerate().map(|(n, vector)| entry(n as u64 + 1, n as u32 % 3, vector)).collect()
}

/// Of all ids up to `count` those whose originals are there; each is checked.
fn there(index: &FlatIndex, entries: &[Entry]) -> Vec<u64> {
    let ids: Vec<ChunkId> = entries.iter().map(|e| e.chunk).collect();
    let found = index.originals(&allow(&[0, 1, 2]), &ids);
    for (chunk, vector) in &found {
        let of = &entries[chunk.0 as usize - 1].vector;
        assert_eq!(*vector, half::decode(&half::encode(of)).expect("it is sound"), "{chunk:?}");
    }
    found.iter().map(|(chunk, _)| chunk.0).collect()
}

#[test]
fn what_a_snapshot_names_comes_back_and_what_came_later_is_put_again() {
    let (beside, entries) = (Beside::new(), entries(40));
    let index = beside.index(DIMENSIONS);
    index.add(&entries[..30]).expect("they are sound");
    index.remove(&[ChunkId(4)]);
    beside.save(&index);
    // A crash after this: neither is in the snapshot, and the file has both.
    index.add(&entries[30..]).expect("they are sound");
    index.remove(&[ChunkId(9)]);
    drop(index);
    let index = beside.load().unwrap_or_else(|e| panic!("{e}"));
    let all_but = |gone: &[u64], until: u64| (1..=until).filter(|id| !gone.contains(id)).collect::<Vec<_>>();
    // The ninth was written over: whoever asks reads it, if it is there, in the tenant's file.
    assert_eq!(there(&index, &entries), all_but(&[4, 9], 30));
    index.remove(&[ChunkId(9)]);
    index.add(&entries[30..]).expect("they are sound");
    assert_eq!(there(&index, &entries), all_but(&[4, 9], 40));
    // And through being settled, and saved again.
    index.settle_beyond(1, 6);
    assert_eq!(there(&index, &entries), all_but(&[4, 9], 40));
    beside.save(&index);
    assert_eq!(there(&beside.load().unwrap_or_else(|e| panic!("{e}")), &entries), all_but(&[4, 9], 40));
}

#[test]
fn a_file_of_mostly_removed_vectors_is_made_anew() {
    let (beside, entries) = (Beside::new(), entries(64));
    let index = beside.index(DIMENSIONS);
    index.add(&entries).expect("they are sound");
    let before = fs::metadata(beside.originals()).expect("it is there").len();
    index.remove(&(3..=64).map(ChunkId).collect::<Vec<_>>());
    index.settle_beyond(1, 6);
    let after = fs::metadata(beside.originals()).expect("it is there").len();
    assert!(after < before / 5, "{after} of {before}");
    assert_eq!((there(&index, &entries), index.len()), (vec![1, 2], 2));
    beside.save(&index);
    assert_eq!(there(&beside.load().unwrap_or_else(|e| panic!("{e}")), &entries), [1, 2]);
}

#[test]
fn a_flipped_bit_loses_its_vector_and_no_other() {
    let (beside, entries) = (Beside::new(), entries(12));
    let index = beside.index(DIMENSIONS);
    index.add(&entries).expect("they are sound");
    beside.save(&index);
    let good = fs::read(beside.originals()).expect("it reads");
    let part = 2 * DIMENSIONS + seal::PartsKey::MORE;
    let head = good.len() - 12 * part;
    for at in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 4;
        fs::write(beside.originals(), &bad).expect("it is ours");
        match (beside.load(), at < head) {
            (Err(Error::Doubt(_)), true) => {}
            (Ok(index), false) => {
                let lost = ((at - head) / part) as u64 + 1;
                let rest: Vec<u64> = (1..=12).filter(|id| *id != lost).collect();
                assert_eq!(there(&index, &entries), rest, "byte {at}");
            }
            (other, _) => panic!("byte {at}: {:?}", other.err()),
        }
    }
    // Two parts in each other's place are both another's.
    let mut swapped = good.clone();
    let (first, second) = swapped[head..head + 2 * part].split_at_mut(part);
    first.swap_with_slice(second);
    fs::write(beside.originals(), &swapped).expect("it is ours");
    let index = beside.load().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(there(&index, &entries), (3..=12).collect::<Vec<_>>());
}

#[test]
fn a_file_that_is_cut_gone_or_another_index_s_is_doubted() {
    let (beside, entries) = (Beside::new(), entries(12));
    let index = beside.index(DIMENSIONS);
    index.add(&entries).expect("they are sound");
    beside.save(&index);
    let good = fs::read(beside.originals()).expect("it reads");
    let doubted = |why: &str| match beside.load() {
        Err(Error::Doubt(_)) => {}
        other => panic!("{why}: {:?}", other.err()),
    };
    for cut in [0, 3, 60, good.len() - 1] {
        fs::write(beside.originals(), &good[..cut]).expect("it is ours");
        doubted("cut");
    }
    fs::remove_file(beside.originals()).expect("it is ours");
    doubted("gone");
    drop(beside.index(DIMENSIONS));
    doubted("another's");
    fs::write(beside.originals(), &good).expect("it is ours");
    assert_eq!(there(&beside.load().unwrap_or_else(|e| panic!("{e}")), &entries).len(), 12);
}

#[test]
fn no_plain_vector_is_in_the_file() {
    let beside = Beside::new();
    let index = beside.index(DIMENSIONS);
    let canary = vec![0.123_456_7; DIMENSIONS];
    index.add(&[entry(1, 0, canary.clone())]).expect("it is sound");
    beside.save(&index);
    let canary = half::encode(&canary);
    for file in fs::read_dir(beside.dir.path()).expect("it reads") {
        let bytes = fs::read(file.expect("it reads").path()).expect("it reads");
        assert!(!bytes.windows(6).any(|window| *window == canary[..6]));
    }
}
