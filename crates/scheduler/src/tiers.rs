//! Blocks on their way between cells, memory and disk.
//!
//! A block leaves the cells for memory when its cells are needed, and is handed
//! to the disk soon after it was computed, so that even a kill leaves it there.
//! The scheduler waits for nobody: it says what it wants and what should be
//! saved, and is told what became of it.

use std::collections::BTreeMap;

use crate::Token;
use crate::cells::BLOCK;
use crate::choice::Choice;
use crate::fair::Tenant;
use crate::kernel::Kernel;
use crate::prefix::Blob;
use crate::scheduler::Scheduler;
use crate::tier::BlockKey;

/// Prompts shorter than this many blocks are computed sooner than they are worth writing.
pub(crate) const SAVED_MIN: u32 = 4;

impl Scheduler {
    /// Blocks that should be read from the disk; answer each with [`Scheduler::loaded`].
    pub fn take_wants(&mut self) -> Vec<BlockKey> {
        std::mem::take(&mut self.wants)
    }

    /// Blocks to be written to the disk; name those that were not, or that were
    /// dropped for them, to [`Scheduler::dropped`].
    pub fn take_saves(&mut self) -> Vec<(BlockKey, Vec<u8>)> {
        std::mem::take(&mut self.saves)
    }

    /// A block is on the disk: said at the start for all that are.
    pub fn stored(&mut self, key: BlockKey) {
        if self.limits.disk {
            self.prefix.set_disk(key, true);
        }
    }

    /// Blocks that are not on the disk any more.
    pub fn dropped(&mut self, keys: &[BlockKey]) {
        for key in keys {
            self.prefix.set_disk(*key, false);
        }
    }

    /// What the disk had of a block that was wanted.
    pub fn loaded(&mut self, key: BlockKey, contents: Option<Vec<u8>>) {
        let unpacked = contents.and_then(|c| unpack(&c));
        if unpacked.is_none() {
            self.prefix.set_disk(key, false);
        }
        for waiting in &mut self.waiting {
            if waiting.fetching.remove(&key)
                && let Some((owner, blob)) = &unpacked
                && *owner == waiting.choice.tenant
            {
                waiting.fetched.insert(key, blob.clone());
            }
        }
    }

    /// Appends the blocks that follow what a choice holds, as far as they are at hand.
    pub(crate) fn restore(
        &mut self,
        choice: &mut Choice,
        fetched: &mut BTreeMap<BlockKey, Blob>,
        kernel: &mut impl Kernel,
    ) {
        while let Some(key) = choice.keys.get((choice.held / BLOCK) as usize).copied() {
            let from = choice.held;
            let disk = fetched.remove(&key);
            let was_disk = disk.is_some();
            let Some(blob) = disk.or_else(|| self.prefix.take(key)) else { return };
            // A key only finds a candidate; the tokens decide.
            let wanted = choice.tokens.get(from as usize..(from + BLOCK) as usize);
            if wanted != Some(&blob.tokens[..]) || !kernel.restore(choice.seq, from, &blob.bytes) {
                return;
            }
            self.cells.grow(choice.seq, BLOCK);
            choice.held += BLOCK;
            let index = choice.published;
            choice.published += 1;
            if self.prefix.resident(key).is_none() && self.cells.publish(choice.seq, index, key) {
                self.prefix.add_resident(key, index);
            }
            match was_disk {
                true => self.counters.reused_disk += u64::from(BLOCK),
                false => self.counters.reused_memory += u64::from(BLOCK),
            }
            self.counters.reused += u64::from(BLOCK);
        }
    }

    /// A block that was just computed should be on the disk.
    pub(crate) fn hand_over(&mut self, key: BlockKey, index: u32) {
        if self.limits.disk && !self.prefix.on_disk(key) {
            self.to_save.push_back((key, index));
        }
    }

    /// Copies some of the blocks that should be on the disk. False: there are none.
    pub(crate) fn save_some(&mut self, kernel: &mut impl Kernel, most: usize) -> bool {
        let mut left = most;
        while left > 0 {
            let Some((key, index)) = self.to_save.pop_front() else { break };
            let Some(seq) = self.cells.viewer(key, index) else { continue };
            let (from, to) = (index * BLOCK, (index + 1) * BLOCK);
            let Some((owner, tokens)) = self.tokens_of(seq, from, to) else { continue };
            if self.prefix.on_disk(key) {
                continue;
            }
            let Some(bytes) = kernel.save(seq, from, to) else { continue };
            self.saves.push((key, pack(owner, &tokens, &bytes)));
            self.prefix.set_disk(key, true);
            left -= 1;
        }
        left < most
    }

    /// Copies more of what should be on the disk, at the end. False: that was all.
    pub fn save_rest(&mut self, kernel: &mut impl Kernel) -> bool {
        self.save_some(kernel, 16)
    }

    /// Whose a block of a long enough text is, and its tokens.
    fn tokens_of(&self, seq: u32, from: u32, to: u32) -> Option<(Tenant, Vec<Token>)> {
        let running = self.running.iter().find(|c| c.seq == seq).map(|c| (c.tenant, &c.tokens));
        let kept = || self.kept.iter().find(|k| k.seq == seq).map(|k| (k.tenant, &k.tokens));
        let (owner, tokens) = running.or_else(kept)?;
        let long = tokens.len() as u32 >= SAVED_MIN * BLOCK;
        tokens.get(from as usize..to as usize).filter(|_| long).map(|tokens| (owner, tokens.to_vec()))
    }

    /// Keeps the last block of a kept sequence in memory, before its cells go.
    pub(crate) fn save_tail(&mut self, at: usize, kernel: &mut impl Kernel) {
        let kept = &self.kept[at];
        let Some(tail) = self.cells.tail(kept.seq) else { return };
        let Some(key) = tail.key.filter(|_| tail.alone) else { return };
        if self.limits.memory_bytes == 0 || self.prefix.in_memory(key) {
            return;
        }
        let (from, to) = (tail.end - BLOCK, tail.end);
        if let Some(bytes) = kernel.save(kept.seq, from, to) {
            self.prefix.keep(key, kept.tokens[from as usize..to as usize].to_vec(), bytes);
        }
    }
}

/// A block with its tokens, as it is written to disk: whose it is (see
/// [`crate::owner`]), the number of tokens, the tokens, and the keys and values,
/// little-endian.
fn pack(owner: Tenant, tokens: &[Token], bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + 4 + tokens.len() * 4 + bytes.len());
    out.extend(owner.0.to_be_bytes());
    out.extend((tokens.len() as u32).to_le_bytes());
    tokens.iter().for_each(|t| out.extend(t.to_le_bytes()));
    out.extend_from_slice(bytes);
    out
}

fn unpack(contents: &[u8]) -> Option<(Tenant, Blob)> {
    let (owner, contents) = contents.split_first_chunk::<16>()?;
    let owner = Tenant(u128::from_be_bytes(*owner));
    let (count, rest) = contents.split_first_chunk::<4>()?;
    let count = u32::from_le_bytes(*count) as usize;
    if count != BLOCK as usize || rest.len() < count * 4 {
        return None;
    }
    let (tokens, bytes) = rest.split_at(count * 4);
    let tokens = tokens.chunks_exact(4).map(|t| Token::from_le_bytes([t[0], t[1], t[2], t[3]])).collect();
    Some((owner, Blob::new(tokens, bytes.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_comes_back_as_it_went_and_garbage_is_nothing() {
        let tokens: Vec<Token> = (0..BLOCK).map(|t| t * 1000).collect();
        let packed = pack(Tenant(7 << 100), &tokens, b"values");
        assert_eq!(crate::owner(&packed), Tenant(7 << 100));
        let (owner, blob) = unpack(&packed).expect("it was packed");
        assert_eq!((owner, blob.tokens, &blob.bytes[..]), (Tenant(7 << 100), tokens, &b"values"[..]));
        for cut in 0..276 {
            assert!(unpack(&packed[..cut]).is_none(), "{cut}");
        }
        assert!(unpack(&[0xff; 400]).is_none());
    }
}
