//! Which cells each sequence holds, and which of them it shares.
//!
//! A sequence is a list of parts, each a view of the beginning of a block of at
//! most [`BLOCK`] cells. Sharing copies the list and not the cells; a sequence
//! that goes on after a block it shares begins a block of its own. So the cells
//! in use are the sum over blocks, however many sequences see them, exactly as
//! the kernel counts.
//!
//! Invariants: a block nobody sees is gone; only the last block of a sequence
//! grows, and only while it is alone in seeing it; blocks end at multiples of
//! [`BLOCK`]; a named block ends at one.

use std::collections::BTreeMap;

use crate::kernel::SeqId;
use crate::tier::BlockKey;

/// Tokens of a block. Shorter ones match longer prefixes and cost more
/// bookkeeping; 64 tokens take about a tenth of a second to compute on two cores.
pub(crate) const BLOCK: u32 = 64;

#[derive(Clone, Debug)]
struct Block {
    cells: u32,
    /// Sequences that see it.
    viewers: u32,
    key: Option<BlockKey>,
    used: u64,
    pinned: bool,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    block: usize,
    len: u32,
}

/// The end of a sequence, as far as one may free it at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) key: Option<BlockKey>,
    /// Nobody else sees it: freeing it frees cells.
    pub(crate) alone: bool,
    pub(crate) used: u64,
    pub(crate) pinned: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Cells {
    blocks: Vec<Block>,
    spare: Vec<usize>,
    seqs: Vec<Vec<Part>>,
    used: u32,
    clock: u64,
    /// Keys of blocks that lost their cells.
    orphans: Vec<BlockKey>,
}

impl Cells {
    pub(crate) fn new(seq_max: u32) -> Cells {
        Cells {
            blocks: Vec::new(),
            spare: Vec::new(),
            seqs: vec![Vec::new(); seq_max as usize],
            used: 0,
            clock: 0,
            orphans: Vec::new(),
        }
    }

    /// Cells in use, over all sequences.
    pub(crate) fn used(&self) -> u32 {
        self.used
    }

    pub(crate) fn len(&self, seq: SeqId) -> u32 {
        self.seqs[seq as usize].iter().map(|p| p.len).sum()
    }

    /// Cells that some of these sequences see.
    pub(crate) fn seen_by(&self, seqs: &[SeqId]) -> u32 {
        let mut views: BTreeMap<usize, u32> = BTreeMap::new();
        for part in seqs.iter().flat_map(|seq| &self.seqs[*seq as usize]) {
            let longest = views.entry(part.block).or_default();
            *longest = (*longest).max(part.len);
        }
        views.into_values().sum()
    }

    /// Adds `count` cells to a sequence.
    pub(crate) fn grow(&mut self, seq: SeqId, mut count: u32) {
        let mut len = self.len(seq);
        while count > 0 {
            let open = self.seqs[seq as usize].last().copied().filter(|part| {
                let block = &self.blocks[part.block];
                !len.is_multiple_of(BLOCK) && block.viewers == 1 && block.cells == part.len
            });
            let block = match open {
                Some(part) => part.block,
                None => {
                    let block = self.make();
                    self.seqs[seq as usize].push(Part { block, len: 0 });
                    block
                }
            };
            let more = count.min(BLOCK - len % BLOCK);
            self.blocks[block].cells += more;
            self.seqs[seq as usize].last_mut().expect("it has a part now").len += more;
            self.used += more;
            len += more;
            count -= more;
        }
    }

    fn make(&mut self) -> usize {
        let block = Block { cells: 0, viewers: 1, key: None, used: self.clock, pinned: false };
        match self.spare.pop() {
            Some(at) => {
                self.blocks[at] = block;
                at
            }
            None => {
                self.blocks.push(block);
                self.blocks.len() - 1
            }
        }
    }

    /// Makes `to`, which is empty, see the first `len` cells of `from`.
    pub(crate) fn share(&mut self, from: SeqId, to: SeqId, len: u32) {
        self.clock += 1;
        let mut left = len;
        let mut parts = Vec::new();
        for part in &self.seqs[from as usize] {
            if left == 0 {
                break;
            }
            let part = Part { len: part.len.min(left), ..*part };
            left -= part.len;
            let block = &mut self.blocks[part.block];
            block.viewers += 1;
            block.used = self.clock;
            parts.push(part);
        }
        self.seqs[to as usize] = parts;
    }

    /// Forgets what follows the first `len` cells.
    pub(crate) fn truncate(&mut self, seq: SeqId, len: u32) {
        let mut over = self.len(seq).saturating_sub(len);
        while over > 0 {
            let index = self.seqs[seq as usize].len() - 1;
            let part = self.seqs[seq as usize][index];
            let cut = part.len.min(over);
            over -= cut;
            let left = part.len - cut;
            if left == 0 {
                self.seqs[seq as usize].pop();
                self.blocks[part.block].viewers -= 1;
            } else {
                self.seqs[seq as usize][index].len = left;
            }
            self.settle(part.block, index);
        }
    }

    pub(crate) fn clear(&mut self, seq: SeqId) {
        self.truncate(seq, 0);
    }

    /// Makes a block as long as the longest view of it. Views of a block stand
    /// at one index in all sequences, since sharing copies from the front.
    fn settle(&mut self, block: usize, index: usize) {
        let longest = self
            .seqs
            .iter()
            .filter_map(|parts| parts.get(index).filter(|p| p.block == block))
            .map(|p| p.len)
            .max()
            .unwrap_or(0);
        let b = &mut self.blocks[block];
        if longest < b.cells {
            self.used -= b.cells - longest;
            b.cells = longest;
            self.orphans.extend(b.key.take());
        }
        if b.viewers == 0 {
            self.spare.push(block);
        }
    }

    /// The block of cells in which the block of tokens number `index` of a sequence
    /// ends. Who sees all of it sees all before it, so it stands for the whole,
    /// which may be in pieces where a sequence went on from a part of another.
    fn full(&self, seq: SeqId, index: u32) -> Option<usize> {
        let mut end = 0;
        for part in &self.seqs[seq as usize] {
            end += part.len;
            if end == (index + 1) * BLOCK {
                return (part.len == self.blocks[part.block].cells).then_some(part.block);
            }
        }
        None
    }

    /// Gives a full block its name. False: it has one, or is not full.
    pub(crate) fn publish(&mut self, seq: SeqId, index: u32, key: BlockKey) -> bool {
        let Some(block) = self.full(seq, index) else { return false };
        let block = &mut self.blocks[block];
        let new = block.key.is_none();
        block.key.get_or_insert(key);
        new
    }

    /// A sequence that sees the block, and the block's number in it.
    pub(crate) fn viewer(&self, key: BlockKey, index: u32) -> Option<SeqId> {
        (0..self.seqs.len() as SeqId)
            .find(|seq| self.full(*seq, index).is_some_and(|b| self.blocks[b].key == Some(key)))
    }

    /// Keeps the sequence's first `blocks` blocks from being freed to make room, as
    /// far as `most` cells go; what was pinned and used longest ago is let go for them.
    pub(crate) fn pin(&mut self, seq: SeqId, blocks: u32, most: u32) {
        self.clock += 1;
        let (mut end, mut cells) = (0, 0);
        for at in 0..self.seqs[seq as usize].len() {
            let part = self.seqs[seq as usize][at];
            let block = &mut self.blocks[part.block];
            end += part.len;
            cells += block.cells;
            if end > blocks * BLOCK || cells > most {
                break;
            }
            (block.pinned, block.used) = (true, self.clock);
        }
        while self.pinned() > most {
            let pinned = self.blocks.iter_mut().filter(|b| b.pinned && b.viewers > 0);
            // Those of now come last, and are not more than may be.
            let Some(oldest) = pinned.min_by_key(|b| b.used) else { break };
            oldest.pinned = false;
        }
    }

    /// Lets a sequence's blocks go like any others.
    pub(crate) fn unpin(&mut self, seq: SeqId) {
        for at in 0..self.seqs[seq as usize].len() {
            let block = self.seqs[seq as usize][at].block;
            self.blocks[block].pinned = false;
        }
    }

    /// Cells of pinned blocks.
    pub(crate) fn pinned(&self) -> u32 {
        self.blocks.iter().filter(|b| b.pinned && b.viewers > 0).map(|b| b.cells).sum()
    }

    /// Says that a sequence was used now.
    pub(crate) fn touch(&mut self, seq: SeqId) {
        self.clock += 1;
        for at in 0..self.seqs[seq as usize].len() {
            let block = self.seqs[seq as usize][at].block;
            self.blocks[block].used = self.clock;
        }
    }

    /// Says that a sequence is the first that should go.
    pub(crate) fn shun(&mut self, seq: SeqId) {
        for at in 0..self.seqs[seq as usize].len() {
            let block = self.seqs[seq as usize][at].block;
            if self.blocks[block].viewers == 1 {
                self.blocks[block].used = 0;
            }
        }
    }

    pub(crate) fn tail(&self, seq: SeqId) -> Option<Tail> {
        let part = self.seqs[seq as usize].last()?;
        let block = &self.blocks[part.block];
        let end = self.len(seq);
        Some(Tail {
            start: end - part.len,
            end,
            key: block.key,
            alone: block.viewers == 1,
            used: block.used,
            pinned: block.pinned,
        })
    }

    pub(crate) fn take_orphans(&mut self) -> Vec<BlockKey> {
        std::mem::take(&mut self.orphans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_prefix_is_counted_once_and_outlives_its_first_owner() {
        let mut cells = Cells::new(4);
        cells.grow(0, 150);
        cells.share(0, 1, 100);
        assert_eq!(cells.used(), 150);
        cells.grow(1, 10);
        assert_eq!((cells.used(), cells.len(1), cells.seen_by(&[1])), (160, 110, 110));
        cells.clear(0);
        assert_eq!(cells.used(), 110, "the part that only the first saw is gone");
        cells.clear(1);
        assert_eq!(cells.used(), 0);
    }

    #[test]
    fn a_block_that_begins_in_anothers_is_named_too() {
        let mut cells = Cells::new(2);
        cells.grow(0, 100);
        cells.share(0, 1, 7);
        cells.grow(1, 121);
        assert!(cells.publish(1, 0, BlockKey(1)) && cells.publish(1, 1, BlockKey(2)));
        assert_eq!(cells.viewer(BlockKey(1), 0), Some(1));
        let tail = cells.tail(1).expect("it is not empty");
        assert_eq!((tail.start, tail.end, tail.key), (64, 128, Some(BlockKey(2))));
        cells.truncate(1, 64);
        let tail = cells.tail(1).expect("it is not empty");
        assert_eq!((tail.start, tail.end, tail.key), (7, 64, Some(BlockKey(1))));
        cells.truncate(1, 7);
        assert_eq!(cells.take_orphans(), [BlockKey(2), BlockKey(1)]);
    }

    #[test]
    fn a_published_block_that_is_cut_loses_its_name() {
        let mut cells = Cells::new(2);
        cells.grow(0, 130);
        assert!(cells.publish(0, 0, BlockKey(1)) && cells.publish(0, 1, BlockKey(2)));
        assert!(!cells.publish(0, 2, BlockKey(3)), "it is not full");
        cells.share(0, 1, 127);
        cells.truncate(0, 64);
        assert_eq!(cells.take_orphans(), [BlockKey(2)], "the other sees 63 cells of it");
        assert_eq!(cells.viewer(BlockKey(1), 0), Some(0));
        cells.clear(0);
        cells.clear(1);
        assert_eq!((cells.used(), cells.take_orphans()), (0, vec![BlockKey(1)]));
    }
}
