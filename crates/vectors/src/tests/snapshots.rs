//! What is saved comes back, or is doubted.

use std::fs;
use std::path::{Path, PathBuf};

use seal::KeyRing;
use store::documents::ChunkId;
use units::{CollectionId, Micros, TeamId, Uuid7};

use super::{allow, clustered, entry};
use crate::{DenseIndex, Error, FRAME_BYTES, FlatIndex, Place, load, save};

fn id(n: u8) -> Uuid7 {
    Uuid7::from_bytes([n; 16])
}

fn place() -> Place {
    Place { collection: CollectionId(id(3)), generation: 2 }
}

struct Saved {
    _dir: tempfile::TempDir,
    path: PathBuf,
    keys: KeyRing,
    index: FlatIndex,
}

impl Saved {
    /// Large enough for three frames.
    fn new() -> Saved {
        let dir = tempfile::tempdir().expect("a directory");
        let keys = KeyRing::ephemeral();
        let index = FlatIndex::new(1_024);
        let vectors = clustered(4_500, 1_024, 5, 9);
        let entries: Vec<_> =
            vectors.into_iter().enumerate().map(|(n, v)| entry(n as u64 + 1, n as u32 % 7, v)).collect();
        index.add(&entries).expect("they are sound");
        index.remove(&[ChunkId(5), ChunkId(4_500)]);
        let path = dir.path().join(place().file_name(&keys.tenant(TeamId(id(1)))));
        let saved = Saved { _dir: dir, path, keys, index };
        save(&saved.path, &saved.keys.tenant(TeamId(id(1))), place(), &saved.index, 77)
            .expect("it is written");
        saved
    }
    fn load(&self) -> Result<(FlatIndex, u64), Error> {
        load(&self.path, &self.keys.tenant(TeamId(id(1))), place())
    }
    fn is_doubted(&self, why: &str) {
        match self.load() {
            Ok(_) => panic!("{why}: it was taken"),
            Err(error) => assert!(matches!(error, Error::Doubt(_)), "{why}: {error}"),
        }
    }
}

/// Where each sealed frame is in the file.
fn frames(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut at = 20;
    while at < bytes.len() {
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
        found.push(at + 4..at + 4 + length);
        at += 4 + length;
    }
    found
}

#[test]
fn a_snapshot_comes_back_as_it_was() {
    let saved = Saved::new();
    let (index, revision) = saved.load().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((revision, index.dimensions(), index.len()), (77, 1_024, 4_498));
    assert_eq!(index.entries(), saved.index.entries());
    let queries = clustered(10, 1_024, 5, 123);
    for query in &queries {
        let mask = allow(&[1, 4]);
        assert_eq!(index.search(query, &mask, 20), saved.index.search(query, &mask, 20));
    }
    // It goes on as any other.
    index.remove(&[ChunkId(1)]);
    index.add(&[entry(9_000, 1, queries[0].clone())]).expect("it is sound");
    let found = index.search(&queries[0], &allow(&[1]), 1).expect("it is sound");
    assert_eq!(found.candidates[0].chunk, ChunkId(9_000));
    // And it is replaced whole.
    save(&saved.path, &saved.keys.tenant(TeamId(id(1))), place(), &index, 78).expect("it is written");
    assert_eq!(saved.load().unwrap_or_else(|e| panic!("{e}")).1, 78);
    let left = fs::read_dir(saved.path.parent().expect("a directory")).expect("it reads").count();
    assert_eq!(left, 1, "nothing lies beside it");
}

#[test]
fn a_flipped_bit_in_any_frame_is_doubted() {
    let saved = Saved::new();
    let good = fs::read(&saved.path).expect("it reads");
    let frames = frames(&good);
    assert!(frames.len() >= 3 && frames[0].len() == FRAME_BYTES + 28, "{frames:?}");
    let mut places: Vec<usize> = (0..20).collect();
    for frame in &frames {
        // Length, nonce, ciphertext, tag.
        let more = [frame.start - 4, frame.start - 1, frame.start, frame.start + 13, frame.end - 1];
        places.extend(more);
        places.push(frame.start + frame.len() / 2);
    }
    for at in places {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(&saved.path, &bad).expect("it is ours");
        saved.is_doubted(&format!("byte {at}"));
    }
    fs::write(&saved.path, &good).expect("it is ours");
    saved.load().unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn frames_that_were_moved_cut_or_added_are_doubted() {
    let saved = Saved::new();
    let good = fs::read(&saved.path).expect("it reads");
    let frames = frames(&good);
    let write = |bytes: &[u8], why: &str| {
        fs::write(&saved.path, bytes).expect("it is ours");
        saved.is_doubted(why);
    };
    for cut in [0, 5, 12, 20, 22, frames[0].end, frames[1].start + 9, good.len() - 1] {
        write(&good[..cut], &format!("cut at {cut}"));
    }
    let mut swapped = good.clone();
    let (first, second) = (good[frames[0].clone()].to_vec(), good[frames[1].clone()].to_vec());
    swapped[frames[0].clone()].copy_from_slice(&second);
    swapped[frames[1].clone()].copy_from_slice(&first);
    write(&swapped, "two frames swapped");
    let mut longer = good.clone();
    longer.push(0);
    write(&longer, "a byte more");
    // One frame less, and a head that says so.
    let mut fewer = good[..frames[frames.len() - 1].start - 4].to_vec();
    fewer[8..12].copy_from_slice(&(frames.len() as u32 - 1).to_le_bytes());
    write(&fewer, "a frame less");
    // Another revision's frame, right in every other way.
    save(&saved.path, &saved.keys.tenant(TeamId(id(1))), place(), &saved.index, 76).expect("it is written");
    let mut mixed = fs::read(&saved.path).expect("it reads");
    assert_eq!(mixed.len(), good.len());
    mixed[frames[1].clone()].copy_from_slice(&good[frames[1].clone()]);
    write(&mixed, "a frame of another revision");
    mixed[12..20].copy_from_slice(&good[12..20]);
    write(&mixed, "another revision's head");
    fs::remove_file(&saved.path).expect("it is ours");
    saved.is_doubted("no file");
}

#[test]
fn a_snapshot_of_another_place_is_doubted() {
    let saved = Saved::new();
    let keys = |team: u8| saved.keys.tenant(TeamId(id(team)));
    let elsewhere = Place { collection: CollectionId(id(4)), ..place() };
    let older = Place { generation: 1, ..place() };
    for (keys, place, why) in
        [(keys(2), place(), "team"), (keys(1), elsewhere, "collection"), (keys(1), older, "generation")]
    {
        let taken = load(&saved.path, &keys, place);
        assert!(matches!(taken.err(), Some(Error::Doubt(_))), "{why}");
    }
    assert!(load(&saved.path, &keys(1), place()).is_ok());
    saved.keys.shred(TeamId(id(1)), Micros(1)).unwrap_or_else(|e| panic!("{e}"));
    saved.is_doubted("the keys are gone");
}

#[test]
fn a_canary_is_not_in_the_snapshot() {
    let saved = Saved::new();
    let bytes = fs::read(&saved.path).expect("it reads");
    // Ids of chunks are numbers that go up: their bytes would be easy to find.
    let ids: Vec<u8> = (1_000u64..1_004).flat_map(u64::to_le_bytes).collect();
    assert!(!bytes.windows(ids.len()).any(|window| window == ids));
}

#[test]
fn a_snapshot_that_cannot_be_written_leaves_the_old_one() {
    let saved = Saved::new();
    let nowhere = Path::new("/nonexistent/dir/x.index");
    let error =
        save(nowhere, &saved.keys.tenant(TeamId(id(1))), place(), &saved.index, 1).expect_err("nowhere");
    assert!(matches!(error, Error::Io(_)) && error.report().code.0 == "VX0003", "{error}");
    // The place beside it is taken by a directory.
    let mut beside = saved.path.clone().into_os_string();
    beside.push(".tmp");
    fs::create_dir(&beside).expect("it is ours");
    let keys = saved.keys.tenant(TeamId(id(1)));
    assert!(save(&saved.path, &keys, place(), &saved.index, 78).is_err());
    assert_eq!(saved.load().unwrap_or_else(|e| panic!("{e}")).1, 77);
}
