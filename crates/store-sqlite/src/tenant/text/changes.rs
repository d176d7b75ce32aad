//! What a collection's chunks went through since it was last taken over.

use std::collections::VecDeque;

use store::documents::{AclClass, ChunkId};

/// Chunks noted at most: 8 MB of ids. Beyond, making the lists again costs less.
const NOTED_MAX: usize = 1_000_000;
/// Chunks of one note, so that it can be taken over in steps.
const STEP: usize = 256;

/// A note. Without a class a chunk is found by nobody.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    Added(Vec<ChunkId>, Option<AclClass>),
    Classed(Vec<ChunkId>, Option<AclClass>),
    Removed(Vec<ChunkId>),
}

/// In the order of the commits.
#[derive(Default)]
pub(super) struct Changes {
    noted: VecDeque<Change>,
    /// How many chunks they are of.
    chunks: usize,
    /// Counts how often notes were lost: what was made before is of no use.
    epoch: u64,
}

impl Changes {
    pub fn note(&mut self, chunks: &[ChunkId], change: impl Fn(Vec<ChunkId>) -> Change) {
        self.noted.extend(chunks.chunks(STEP).map(|step| change(step.to_vec())));
        self.chunks += chunks.len();
        if self.chunks > NOTED_MAX {
            self.doubt();
        }
    }
    /// Loses all notes.
    pub fn doubt(&mut self) {
        *self = Changes { epoch: self.epoch + 1, ..Changes::default() };
    }
    /// The epoch, and how many chunks are noted, if any.
    pub fn state(&self) -> (u64, Option<usize>) {
        (self.epoch, (!self.noted.is_empty()).then_some(self.chunks))
    }
    /// The first notes, of about `most` chunks.
    pub fn take(&mut self, most: usize) -> Vec<Change> {
        let mut taken = Vec::new();
        let mut chunks = 0;
        while chunks < most
            && let Some(change) = self.noted.pop_front()
        {
            chunks += change.chunks();
            taken.push(change);
        }
        self.chunks -= chunks;
        taken
    }
}

impl Change {
    fn chunks(&self) -> usize {
        match self {
            Change::Added(ids, _) | Change::Classed(ids, _) | Change::Removed(ids) => ids.len(),
        }
    }
}
