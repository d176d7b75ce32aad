//! Against brute force, and snapshots that are not what they were.

mod kept;
mod recall;
mod snapshots;

use std::collections::BTreeMap;

use proptest::prelude::*;
use store::documents::{AclClass, ChunkId, Classes, half};

use super::*;

/// SplitMix64 (Steele, Lea, Flood 2014): seeds that are the same each time.
pub(crate) fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Between -1 and 1, dense around 0: four of twelve uniform numbers' sum.
pub(crate) fn noise(state: &mut u64) -> f32 {
    (0..4).map(|_| (random(state) >> 40) as f32 / (1u32 << 23) as f32 - 1.0).sum::<f32>() / 4.0
}

/// `count` vectors around `clusters` centres, as the vectors of texts lie.
pub(crate) fn clustered(count: usize, dimensions: usize, clusters: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut state = seed;
    let mut vector = |scale: f32| (0..dimensions).map(|_| noise(&mut state) * scale).collect::<Vec<f32>>();
    let centres: Vec<Vec<f32>> = (0..clusters).map(|_| vector(1.0)).collect();
    let near = |n: usize| centres[n % clusters].iter().zip(vector(0.6)).map(|(c, x)| c + x).collect();
    (0..count).map(near).collect()
}

pub(crate) fn entry(chunk: u64, class: u32, vector: Vec<f32>) -> Entry {
    Entry { chunk: ChunkId(chunk), class: AclClass(class), vector }
}

pub(crate) fn allow(classes: &[u32]) -> Classes {
    Classes::of(classes.iter().copied().map(AclClass))
}

fn chunks(found: &Found) -> Vec<u64> {
    found.candidates.iter().map(|hit| hit.chunk.0).collect()
}

#[test]
fn what_is_no_vector_of_the_index_is_refused_whole() {
    let index = FlatIndex::new(12);
    let sound = entry(1, 0, vec![1.0; 12]);
    for (wrong, expected) in [
        (vec![1.0; 11], Error::Dimensions { given: 11, expected: 12 }),
        (vec![1.0; 16], Error::Dimensions { given: 16, expected: 12 }),
        (vec![], Error::Dimensions { given: 0, expected: 12 }),
    ] {
        assert_eq!(index.add(&[sound.clone(), entry(2, 0, wrong.clone())]), Err(expected.clone()));
        assert_eq!(index.search(&wrong, &allow(&[0]), 5), Err(expected));
    }
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut wrong = vec![1.0; 12];
        wrong[7] = value;
        let refused = index.add(&[sound.clone(), entry(2, 0, wrong.clone())]);
        assert!(matches!(refused, Err(Error::NotFinite { at: 7, .. })), "{refused:?}");
        assert!(matches!(index.search(&wrong, &allow(&[0]), 5), Err(Error::NotFinite { at: 7, .. })));
    }
    assert!(index.is_empty(), "not even the sound one");
    let report = Error::NotFinite { at: 7, value: f32::NAN }.report();
    assert_eq!(report.code.0, "VX0001");
}

#[test]
fn size_counts_nothing_and_no_direction_is_near_nothing() {
    let index = FlatIndex::new(8);
    let mut east = vec![0.0; 8];
    east[0] = 1e30;
    let mut north = vec![0.0; 8];
    north[1] = 1e-30;
    index.add(&[entry(1, 0, east), entry(2, 0, north), entry(3, 0, vec![0.0; 8])]).expect("they are sound");
    let query = [0.9, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let found = index.search(&query, &allow(&[0]), 2).expect("it is sound");
    assert_eq!((chunks(&found)[0], found.candidates.len(), found.allowed), (1, 2, 3));
    assert!(!found.is_exact());
    let nowhere = index.search(&[0.0; 8], &allow(&[0]), 2).expect("it is sound");
    assert_eq!(nowhere.candidates.len(), 2, "they are all as far");
    // As many as there are need no scan, and no order.
    let all = index.search(&query, &allow(&[0]), 3).expect("it is sound");
    assert_eq!((chunks(&all), all.is_exact()), (vec![1, 2, 3], true));
}

#[test]
fn nobody_and_nothing_find_nothing() {
    let index = FlatIndex::new(8);
    let query = [1.0; 8];
    assert_eq!(index.search(&query, &allow(&[0]), 10), Ok(Found::default()));
    index.add(&[]).expect("nothing is sound");
    index.add(&[entry(1, 3, vec![1.0; 8])]).expect("it is sound");
    assert_eq!(index.search(&query, &Classes::default(), 10), Ok(Found::default()));
    assert_eq!(index.search(&query, &allow(&[2]), 10), Ok(Found::default()));
    let none_wanted = index.search(&query, &allow(&[3]), 0).expect("it is sound");
    assert_eq!((none_wanted.candidates.len(), none_wanted.allowed, none_wanted.is_exact()), (0, 1, false));
}

#[test]
fn originals_rank_exactly() {
    let originals = [
        (ChunkId(4), vec![0.0, 0.0]),
        (ChunkId(3), vec![0.0, 2.0]),
        (ChunkId(2), vec![5.0, 5.0]),
        (ChunkId(1), vec![0.5, 0.5]),
        (ChunkId(5), vec![-1.0, 0.0]),
    ];
    let hits = rescore(&[1.0, 0.0], &originals, 4);
    assert_eq!(hits.iter().map(|hit| hit.chunk.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!((hits[0].score - 0.5f32.sqrt()).abs() < 1e-6 && hits[3].score == 0.0);
}

/// Ranks candidates of the scores `of` by originals whose cosine with the query is `truth`;
/// the ids of the best two, and how many originals were read.
fn ranked_of(of: &[f32], allowed: usize, truth: impl Fn(u64) -> f32) -> (Vec<u64>, usize) {
    let hit = |(n, score): (usize, &f32)| Hit { chunk: ChunkId(n as u64), score: *score };
    let found = Found { candidates: of.iter().enumerate().map(hit).collect(), allowed };
    let mut count = 0;
    let read = |ids: &[ChunkId]| {
        count += ids.len();
        let angle = |id: u64| truth(id).acos();
        Ok::<_, ()>(ids.iter().map(|id| (*id, vec![angle(id.0).cos(), angle(id.0).sin()])).collect())
    };
    let best = ranked(&[1.0, 0.0], &found, 2, read).expect("they read");
    (best.iter().map(|hit| hit.chunk.0).collect(), count)
}

#[test]
fn originals_are_read_while_one_of_them_can_be_among_the_best() {
    // The scores are right to a hundredth, and the rest is far below.
    let clear: Vec<f32> = (0..200).map(|n| 0.9 - 0.004 * n as f32).collect();
    let near = |id: u64| clear[id as usize] + if id.is_multiple_of(2) { 0.003 } else { -0.003 };
    assert_eq!(ranked_of(&clear, 1_000, near), (vec![0, 2], 20));
    // As little can be said of any of these: the best is the last but one.
    let level = vec![0.5; 90];
    let last = |id: u64| if id == 88 { 0.7 } else { 0.5 + 0.01 * (id % 7) as f32 };
    assert_eq!(ranked_of(&level, 1_000, last), (vec![88, 6], 90));
    // All that there are: each is compared, whatever its score.
    let unscored = vec![0.0; 50];
    assert_eq!(ranked_of(&unscored, 50, |id| id as f32 / 100.0), (vec![49, 48], 50));
    assert_eq!(ranked_of(&[], 0, |_| 1.0), (vec![], 0));
}

#[test]
fn searches_and_changes_go_beside_each_other() {
    let index = FlatIndex::new(32);
    let vectors = clustered(600, 32, 7, 11);
    let of = |n: usize, class| entry(n as u64, class, vectors[n].clone());
    index.add(&(0..300).map(|n| of(n, 1)).collect::<Vec<_>>()).expect("they are sound");
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (index, vectors) = (&index, &vectors);
            scope.spawn(move || {
                for n in 0..200 {
                    let found =
                        index.search(&vectors[(n * 3 + thread) % 600], &allow(&[1]), 10).expect("sound");
                    // The first 300 stay; of the others none is allowed.
                    assert_eq!((found.candidates.len(), found.allowed), (10, 300));
                    assert!(chunks(&found).iter().all(|id| *id < 300), "{found:?}");
                }
            });
        }
        scope.spawn(|| {
            for n in 300..600 {
                index.add(&[of(n, 2)]).expect("it is sound");
                if n % 3 == 0 {
                    index.remove(&[ChunkId(n as u64)]);
                }
            }
        });
    });
    assert_eq!(index.len(), 500);
}

#[derive(Clone, Debug)]
enum Step {
    Add(Vec<(u64, u32)>),
    Classify(Vec<u64>, u32),
    Remove(Vec<u64>),
    Settle,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ids = || proptest::collection::vec(0u64..60, 0..12);
    let step = prop_oneof![
        3 => proptest::collection::vec((0u64..60, 0u32..6), 0..20).prop_map(Step::Add),
        1 => (ids(), 0u32..6).prop_map(|(ids, class)| Step::Classify(ids, class)),
        2 => ids().prop_map(Step::Remove),
        1 => Just(Step::Settle),
    ];
    proptest::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// After any changes the index holds what it should, and a search finds only what may
    /// be found, never fewer than there are, and the very vector that it is given.
    #[test]
    fn an_index_is_what_was_put_into_it(steps in steps(), mask in 0u32..64) {
        let dimensions = 24;
        let beside = kept::Beside::new();
        let index = beside.index(dimensions);
        let mut model: BTreeMap<u64, (u32, Vec<f32>)> = BTreeMap::new();
        let mut seed = 1;
        for step in steps {
            match step {
                Step::Add(rows) => {
                    let entries: Vec<Entry> = rows
                        .iter()
                        .map(|(id, class)| entry(*id, *class, (0..dimensions).map(|_| noise(&mut seed)).collect()))
                        .collect();
                    index.add(&entries).expect("they are sound");
                    model.extend(entries.into_iter().map(|e| (e.chunk.0, (e.class.0, e.vector))));
                }
                Step::Classify(ids, class) => {
                    index.classify(&ids.iter().copied().map(ChunkId).collect::<Vec<_>>(), AclClass(class));
                    for id in &ids {
                        if let Some(row) = model.get_mut(id) {
                            row.0 = class;
                        }
                    }
                }
                Step::Remove(ids) => {
                    index.remove(&ids.iter().copied().map(ChunkId).collect::<Vec<_>>());
                    model.retain(|id, _| !ids.contains(id));
                }
                Step::Settle => index.settle_beyond(1, 6),
            }
        }
        let held: Vec<(u64, u32)> = index.entries().iter().map(|(id, class)| (id.0, class.0)).collect();
        prop_assert_eq!(held, model.iter().map(|(id, (class, _))| (*id, *class)).collect::<Vec<_>>());
        prop_assert_eq!(index.len(), model.len());
        let classes: Vec<u32> = (0..6).filter(|class| mask >> class & 1 == 1).collect();
        let may: Vec<u64> = model.iter().filter(|(_, row)| classes.contains(&row.0)).map(|(id, _)| *id).collect();
        let ids: Vec<ChunkId> = (0..60).map(ChunkId).collect();
        let originals = index.originals(&allow(&classes), &ids);
        let halves = |vector: &[f32]| half::decode(&half::encode(vector)).expect("it wrote them itself");
        let kept = model.iter().filter(|(_, row)| classes.contains(&row.0));
        let kept: Vec<_> = kept.map(|(id, row)| (ChunkId(*id), halves(&row.1))).collect();
        prop_assert_eq!(originals, kept);
        for (id, (class, vector)) in &model {
            let found = index.search(vector, &allow(&classes), 15).expect("it is sound");
            prop_assert_eq!(found.allowed, may.len());
            prop_assert_eq!(found.candidates.len(), may.len().min(15));
            prop_assert!(chunks(&found).iter().all(|id| may.contains(id)));
            if classes.contains(class) {
                prop_assert!(chunks(&found).contains(id), "{} in {:?}", id, found);
            }
        }
    }
}
