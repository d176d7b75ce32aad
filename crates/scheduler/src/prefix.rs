//! Which beginnings of prompts need not be computed again, and where they are.
//!
//! A radix tree whose edges are blocks of tokens, kept as a map of chained
//! keys: a block's key is a hash of its tokens and its parent's key, and the
//! root's is made of the scope and the adapters. Two scopes never meet (TRAPS
//! X9). A block is in cells, in memory, on disk, or in several of them.
//!
//! Keys only find candidates. Tokens are compared before a block is used.

use std::collections::{BTreeMap, BTreeSet};

use crate::Token;
use crate::cells::BLOCK;
use crate::tier::BlockKey;

/// The key below which all blocks of a scope with an adapter stand.
pub(crate) fn root(scope: u128, adapter: u32) -> BlockKey {
    let salted = mix(scope as u64, (scope >> 64) as u64 ^ u64::from(adapter));
    BlockKey(u128::from(salted) << 64 | u128::from(mix(salted, scope as u64)))
}

/// The key of a block of tokens after its parent.
pub(crate) fn child(parent: BlockKey, tokens: &[Token]) -> BlockKey {
    let (mut a, mut b) = (parent.0 as u64, (parent.0 >> 64) as u64);
    for token in tokens {
        let t = u64::from(*token);
        a = mix(a ^ t, 0x9e37_79b9_7f4a_7c15);
        b = mix(b, t ^ 0xd6e8_feb8_6659_fd93);
    }
    BlockKey(u128::from(b) << 64 | u128::from(a))
}

fn mix(x: u64, y: u64) -> u64 {
    let wide = u128::from(x ^ 0x2d35_8dcc_aa6c_78a5) * u128::from(y ^ 0x8bb8_4b93_962e_acc9);
    (wide as u64) ^ (wide >> 64) as u64
}

/// The keys of the full blocks of a text.
pub(crate) fn chain(root: BlockKey, tokens: &[Token]) -> Vec<BlockKey> {
    let step = |parent: &mut BlockKey, block: &[Token]| {
        *parent = child(*parent, block);
        Some(*parent)
    };
    tokens.chunks_exact(BLOCK as usize).scan(root, step).collect()
}

/// How many tokens two texts begin with alike.
pub(crate) fn alike(a: &[Token], b: &[Token]) -> u32 {
    let n = a.len().min(b.len());
    let mut at = 0;
    // Long equal runs are compared by the chunk.
    while at + 256 <= n && a[at..at + 256] == b[at..at + 256] {
        at += 256;
    }
    while at < n && a[at] == b[at] {
        at += 1;
    }
    at as u32
}

/// A block in memory.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub(crate) tokens: Vec<Token>,
    pub(crate) bytes: Vec<u8>,
    used: u64,
}

impl Blob {
    pub(crate) fn new(tokens: Vec<Token>, bytes: Vec<u8>) -> Blob {
        Blob { tokens, bytes, used: 0 }
    }
    fn size(&self) -> usize {
        self.bytes.len() + self.tokens.len() * 4 + 64
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Prefix {
    /// In cells, and the number of the block in its sequence.
    resident: BTreeMap<BlockKey, u32>,
    memory: BTreeMap<BlockKey, Blob>,
    by_use: BTreeSet<(u64, BlockKey)>,
    disk: BTreeSet<BlockKey>,
    bytes: usize,
    bytes_max: usize,
    clock: u64,
}

impl Prefix {
    pub(crate) fn new(bytes_max: usize) -> Prefix {
        Prefix { bytes_max, ..Prefix::default() }
    }
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn add_resident(&mut self, key: BlockKey, index: u32) -> bool {
        self.resident.insert(key, index).is_none()
    }
    pub(crate) fn drop_resident(&mut self, key: BlockKey) {
        self.resident.remove(&key);
    }
    pub(crate) fn resident(&self, key: BlockKey) -> Option<u32> {
        self.resident.get(&key).copied()
    }

    pub(crate) fn set_disk(&mut self, key: BlockKey, there: bool) {
        if there {
            self.disk.insert(key);
        } else {
            self.disk.remove(&key);
        }
    }
    pub(crate) fn on_disk(&self, key: BlockKey) -> bool {
        self.disk.contains(&key)
    }

    pub(crate) fn in_memory(&self, key: BlockKey) -> bool {
        self.memory.contains_key(&key)
    }
    /// Keeps a block in memory; the least recently used make room.
    pub(crate) fn keep(&mut self, key: BlockKey, tokens: Vec<Token>, bytes: Vec<u8>) {
        self.take(key);
        self.clock += 1;
        let blob = Blob { used: self.clock, ..Blob::new(tokens, bytes) };
        self.bytes += blob.size();
        self.by_use.insert((blob.used, key));
        self.memory.insert(key, blob);
        while self.bytes > self.bytes_max {
            let Some((_, oldest)) = self.by_use.first().copied() else { break };
            self.take(oldest);
        }
    }
    /// Whether another block can be kept without another's going.
    pub(crate) fn has_room(&self) -> bool {
        let largest = self.memory.values().next().map_or(0, Blob::size);
        self.bytes + 2 * largest < self.bytes_max
    }
    /// Takes a block out of memory.
    pub(crate) fn take(&mut self, key: BlockKey) -> Option<Blob> {
        let blob = self.memory.remove(&key)?;
        self.by_use.remove(&(blob.used, key));
        self.bytes -= blob.size();
        Some(blob)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trap_x9_scopes_and_adapters_never_share_a_key() {
        let tokens: Vec<Token> = (0..128).collect();
        let keys: BTreeSet<BlockKey> = [(1, 0), (2, 0), (1 << 64, 0), (1, 1)]
            .into_iter()
            .flat_map(|(scope, adapter)| chain(root(scope, adapter), &tokens))
            .collect();
        assert_eq!(keys.len(), 8);
    }

    #[test]
    fn memory_is_bounded_and_forgets_the_least_recently_used() {
        let mut prefix = Prefix::new(1000);
        for i in 0..10 {
            prefix.keep(BlockKey(i), vec![1; 9], vec![0; 100]);
        }
        assert_eq!(prefix.bytes(), 1000);
        assert!(!prefix.in_memory(BlockKey(4)) && prefix.in_memory(BlockKey(5)));
        assert_eq!(prefix.take(BlockKey(7)).map(|b| b.bytes.len()), Some(100));
        assert_eq!(prefix.bytes(), 800);
        prefix.keep(BlockKey(99), vec![], vec![0; 5000]);
        assert_eq!(prefix.bytes(), 0, "what does not fit alone is not kept");
    }

    #[test]
    fn alike_counts_to_the_first_difference() {
        let a: Vec<Token> = (0..1000).collect();
        for at in [0, 1, 255, 256, 257, 999] {
            let mut b = a.clone();
            b[at] = 5000;
            assert_eq!(alike(&a, &b), at as u32);
        }
        assert_eq!((alike(&a, &a), alike(&a, &a[..300]), alike(&[], &a)), (1000, 300, 0));
    }
}
