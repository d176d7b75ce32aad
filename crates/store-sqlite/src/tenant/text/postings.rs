//! For each term the chunks that hold it and how often: BM25 as FTS5 computes it,
//! from memory.
//!
//! A search walks the lists of its terms whole and adds what each is worth to one number
//! per chunk; the best of those that the reader may read are then picked out. Nothing is
//! skipped, so there is no bound to get wrong: three words in 100,000 chunks take a millisecond
//! (`bench context`).
//!
//! Chunks are known by positions in the order of their ids, which only grow. One that
//! goes leaves a gap, and gaps are closed once they are a quarter of all.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use store::documents::{AclClass, ChunkId, Classes, Hit};

/// As FTS5's `bm25()` has them.
const K1: f64 = 1.2;
const B: f64 = 0.75;
/// What a term is worth at least that stands in most chunks.
const IDF_MIN: f64 = 1e-6;
/// In place of a class: the chunk counts in the weights of terms, and nobody finds it.
const HIDDEN: u32 = u32::MAX - 1;
/// In place of a class: the chunk is gone.
const GONE: u32 = u32::MAX;
/// Gaps are closed from so many on.
const GAPS_MIN: usize = 1_024;

/// What is asked for.
pub(super) enum Asked {
    Term(u64),
    /// What each chunk that holds the phrase is worth for it.
    Phrase(Vec<(ChunkId, f32)>),
}

/// See the module.
#[derive(Default)]
pub(super) struct Postings {
    /// By position, growing.
    ids: Vec<u64>,
    classes: Vec<u32>,
    /// Terms of each, counted as often as they stand there.
    lengths: Vec<u32>,
    /// By the number of a term, which is spread evenly.
    lists: HashMap<u64, List, BuildHasherDefault<Spread>>,
    gaps: usize,
    /// Lengths of all that are not gone, together.
    length: u64,
    list_bytes: usize,
}

/// Who holds a term. Half of all terms stand in one chunk only.
enum List {
    One { position: u32, count: u32 },
    Many(Box<Coded>),
}

/// Steps from position to position, doubled, one more when a count above one follows:
/// both in seven bits a byte, the lowest first.
#[derive(Default)]
struct Coded {
    bytes: Vec<u8>,
    last: u32,
}

impl Coded {
    /// Behind the last; returns how many bytes of memory that took.
    fn push(&mut self, position: u32, count: u32) -> usize {
        let before = self.bytes.capacity();
        if before - self.bytes.len() < 10 {
            // By an eighth: doubling would leave a quarter of all memory empty.
            self.bytes.reserve_exact(10.max(self.bytes.len() / 8));
        }
        write(&mut self.bytes, u64::from(position - self.last) << 1 | u64::from(count > 1));
        if count > 1 {
            write(&mut self.bytes, u64::from(count));
        }
        self.last = position;
        self.bytes.capacity() - before
    }
}

fn write(bytes: &mut Vec<u8>, mut n: u64) {
    while n > 0x7f {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
}

fn read(bytes: &mut std::slice::Iter<'_, u8>) -> Option<u64> {
    let mut byte = *bytes.next()?;
    let mut n = u64::from(byte & 0x7f);
    let mut shift = 7;
    while byte > 0x7f {
        byte = *bytes.next()?;
        n |= u64::from(byte & 0x7f) << shift;
        shift += 7;
    }
    Some(n)
}

impl List {
    /// Behind the last; returns how many bytes of memory that took.
    fn push(&mut self, position: u32, count: u32) -> usize {
        let mut more = 0;
        if let List::One { position, count } = *self {
            let mut coded = Box::<Coded>::default();
            more = size_of::<Coded>() + coded.push(position, count);
            *self = List::Many(coded);
        }
        if let List::Many(coded) = self {
            more += coded.push(position, count);
        }
        more
    }
    fn bytes(&self) -> usize {
        match self {
            List::One { .. } => 0,
            List::Many(coded) => size_of::<Coded>() + coded.bytes.capacity(),
        }
    }
    fn for_each(&self, mut f: impl FnMut(u32, u32)) {
        match self {
            List::One { position, count } => f(*position, *count),
            List::Many(coded) => {
                let (mut bytes, mut position) = (coded.bytes.iter(), 0);
                while let Some(step) = read(&mut bytes) {
                    position += (step >> 1) as u32;
                    let count = if step & 1 == 1 { read(&mut bytes).unwrap_or(1) as u32 } else { 1 };
                    f(position, count);
                }
            }
        }
    }
}

/// The number itself.
#[derive(Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0 << 8 | u64::from(*byte));
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

impl Postings {
    /// What it holds in memory, about.
    pub fn bytes(&self) -> usize {
        let entry = size_of::<(u64, List)>() + 1;
        self.ids.capacity() * 8
            + (self.classes.capacity() + self.lengths.capacity()) * 4
            + self.lists.capacity() * 8 / 7 * entry
            + self.list_bytes
    }

    /// Learns a chunk, which is behind all that are there; one that is there stays as it is.
    /// `terms`: all of it, each as often as it stands there. `None`: nobody finds it.
    pub fn add(&mut self, ChunkId(id): ChunkId, class: Option<AclClass>, mut terms: Vec<u64>) {
        if self.ids.last().is_some_and(|last| id <= *last) {
            return;
        }
        let position = self.ids.len() as u32;
        self.ids.push(id);
        self.classes.push(class.map_or(HIDDEN, |class| class.0));
        self.lengths.push(terms.len() as u32);
        self.length += terms.len() as u64;
        terms.sort_unstable();
        for same in terms.chunk_by(|a, b| a == b) {
            let count = same.len() as u32;
            match self.lists.get_mut(&same[0]) {
                Some(list) => self.list_bytes += list.push(position, count),
                None => drop(self.lists.insert(same[0], List::One { position, count })),
            }
        }
    }

    /// Gives chunks another class, or lets nobody find them; those that are not there are left out.
    pub fn classify(&mut self, chunks: &[ChunkId], class: Option<AclClass>) {
        for chunk in chunks {
            if let Some(at) = self.position(*chunk) {
                self.classes[at] = class.map_or(HIDDEN, |class| class.0);
            }
        }
    }

    /// Forgets chunks; those that are not there are left out.
    pub fn remove(&mut self, chunks: &[ChunkId]) {
        for chunk in chunks {
            if let Some(at) = self.position(*chunk) {
                self.classes[at] = GONE;
                self.length -= u64::from(self.lengths[at]);
                self.gaps += 1;
            }
        }
        if self.gaps >= GAPS_MIN && self.gaps >= self.ids.len() / 4 {
            self.close_gaps();
        }
    }

    /// Of a chunk that is not gone.
    fn position(&self, chunk: ChunkId) -> Option<usize> {
        self.ids.binary_search(&chunk.0).ok().filter(|at| self.classes[*at] != GONE)
    }

    fn close_gaps(&mut self) {
        let mut next = 0;
        let moved: Vec<Option<u32>> = self
            .classes
            .iter()
            .map(|class| {
                let stays = (*class != GONE).then_some(next);
                next += u32::from(stays.is_some());
                stays
            })
            .collect();
        let mut list_bytes = 0;
        self.lists.retain(|_, list| {
            let mut kept: Option<List> = None;
            list.for_each(|position, count| {
                let Some(position) = moved[position as usize] else { return };
                match &mut kept {
                    Some(kept) => drop(kept.push(position, count)),
                    None => kept = Some(List::One { position, count }),
                }
            });
            let Some(kept) = kept else { return false };
            *list = kept;
            list_bytes += list.bytes();
            true
        });
        self.list_bytes = list_bytes;
        let mut stays = moved.iter().map(Option::is_some);
        self.ids.retain(|_| stays.next() == Some(true));
        let mut stays = moved.iter().map(Option::is_some);
        self.lengths.retain(|_| stays.next() == Some(true));
        self.classes.retain(|class| *class != GONE);
        self.gaps = 0;
    }

    /// Whether any chunk may hold it.
    pub fn has(&self, term: u64) -> bool {
        self.lists.contains_key(&term)
    }

    /// The best `limit` of what `allowed` lets through, best first, equals in the order of
    /// their ids. `None` when a phrase is in a chunk that is not there.
    pub fn search(&self, asked: &[Asked], allowed: &Classes, limit: usize) -> Option<Vec<Hit>> {
        let chunks = self.ids.len() - self.gaps;
        if limit == 0 || allowed.is_empty() {
            return Some(Vec::new());
        }
        let mean = (self.length as f64 / chunks.max(1) as f64).max(1e-9);
        let (least, by_length) = ((K1 * (1.0 - B)) as f32, (K1 * B / mean) as f32);
        let mut scores = vec![0f32; self.ids.len()];
        let mut holders: Vec<(u32, u32)> = Vec::new();
        for asked in asked {
            match asked {
                Asked::Term(term) => {
                    let Some(list) = self.lists.get(term) else { continue };
                    holders.clear();
                    list.for_each(|position, count| {
                        if self.classes[position as usize] != GONE {
                            holders.push((position, count));
                        }
                    });
                    let most = idf(chunks, holders.len()) as f32 * (K1 as f32 + 1.0);
                    for (position, count) in &holders {
                        let (at, count) = (*position as usize, *count as f32);
                        let length = self.lengths[at] as f32;
                        scores[at] += most * count / (count + least + by_length * length);
                    }
                }
                Asked::Phrase(worth) => {
                    for (chunk, worth) in worth {
                        scores[self.position(*chunk)?] += worth;
                    }
                }
            }
        }
        Some(self.best(&scores, allowed, limit))
    }

    fn best(&self, scores: &[f32], allowed: &Classes, limit: usize) -> Vec<Hit> {
        let sort = |best: &mut Vec<Hit>| {
            best.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk.cmp(&b.chunk)));
            best.truncate(limit);
        };
        let mut best: Vec<Hit> = Vec::new();
        // Of two that are worth the same the earlier stays: only what is worth more comes in.
        let mut floor = 0.0;
        for (at, score) in scores.iter().enumerate() {
            if *score > floor && allowed.has(AclClass(self.classes[at])) {
                best.push(Hit { chunk: ChunkId(self.ids[at]), score: *score });
                if best.len() >= 2 * limit + 100 {
                    sort(&mut best);
                    floor = best[limit - 1].score;
                }
            }
        }
        sort(&mut best);
        best
    }
}

/// As FTS5 has it: no term counts against a chunk.
fn idf(chunks: usize, holders: usize) -> f64 {
    let (chunks, holders) = (chunks as f64, holders as f64);
    let idf = ((chunks - holders + 0.5) / (holders + 0.5)).ln();
    if idf <= 0.0 { IDF_MIN } else { idf }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(chunks: &[(u64, Vec<u64>)]) -> Postings {
        let mut postings = Postings::default();
        for (id, terms) in chunks {
            postings.add(ChunkId(*id), Some(AclClass(*id as u32 % 3)), terms.clone());
        }
        postings
    }

    fn found(postings: &Postings, terms: &[u64], limit: usize) -> Vec<Hit> {
        let asked: Vec<Asked> = terms.iter().map(|term| Asked::Term(*term)).collect();
        postings.search(&asked, &Classes::of([AclClass(0), AclClass(2)]), limit).expect("no phrases")
    }

    proptest! {
        #[test]
        fn a_list_reads_as_it_was_written(steps in proptest::collection::vec((1u32..1 << 20, 1u32..1 << 17), 1..200)) {
            let (mut position, mut written) = (0, Vec::new());
            let mut list: Option<List> = None;
            for (step, count) in steps {
                position += step;
                written.push((position, count));
                match &mut list {
                    Some(list) => drop(list.push(position, count)),
                    None => list = Some(List::One { position, count }),
                }
            }
            let mut read = Vec::new();
            list.expect("there is one").for_each(|position, count| read.push((position, count)));
            prop_assert_eq!(read, written);
        }

        /// What is gone weighs nothing, and what is picked is the best of all.
        #[test]
        fn what_went_is_as_if_it_had_not_been(
            terms in proptest::collection::vec(proptest::collection::vec(0u64..40, 0..12), 1..60),
            gone in proptest::collection::btree_set(0u64..60, 0..30),
            limit in 1usize..20,
        ) {
            let all: Vec<(u64, Vec<u64>)> = (0..).zip(terms).collect();
            let left: Vec<_> = all.iter().filter(|(id, _)| !gone.contains(id)).cloned().collect();
            let mut postings = of(&all);
            postings.remove(&gone.iter().copied().map(ChunkId).collect::<Vec<_>>());
            let expected = of(&left);
            for terms in [[1u64, 2, 3], [5, 5, 30]] {
                let best = found(&expected, &terms, limit);
                prop_assert_eq!(&found(&postings, &terms, limit), &best);
                prop_assert_eq!(&found(&expected, &terms, 1_000)[..best.len()], &best[..]);
            }
        }
    }

    #[test]
    fn gaps_are_closed() {
        let all: Vec<(u64, Vec<u64>)> = (1..=5_000).map(|id| (id, vec![id % 7, id % 11, 500 + id])).collect();
        let mut postings = of(&all);
        let before = postings.bytes();
        let gone: Vec<ChunkId> = (1..=5_000).filter(|id| id % 3 != 0).map(ChunkId).collect();
        postings.remove(&gone);
        postings.remove(&gone);
        assert_eq!((postings.ids.len(), postings.gaps), (1_666, 0));
        assert!(postings.bytes() < before && !postings.has(500 + 1) && postings.has(500 + 3));
        let left: Vec<_> = all.into_iter().filter(|(id, _)| id % 3 == 0).collect();
        assert_eq!(found(&postings, &[1, 2], 50), found(&of(&left), &[1, 2], 50));
        postings.add(ChunkId(6_000), Some(AclClass(0)), vec![9_999]);
        assert_eq!(found(&postings, &[9_999], 5).len(), 1);
        postings.classify(&[ChunkId(6_000)], None);
        assert_eq!(found(&postings, &[9_999], 5), []);
    }
}
