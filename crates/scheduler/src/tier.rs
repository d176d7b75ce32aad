//! The port: where blocks of keys and values go that no longer have cells.

use std::fmt;

use crate::fair::Tenant;

/// Names the keys and values of one block of tokens after everything before it.
///
/// It is a hash over the scope (tenant and label), the adapters, and all tokens
/// from the first: equal keys mean equal contents unless somebody works hard at
/// a collision, so whoever uses one compares the tokens as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockKey(pub u128);

impl fmt::Display for BlockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Whose block it is that has these contents: the first 16 bytes say so, for
/// stores that keep each tenant's blocks under a key of its own; they may write
/// these bytes, and no others, as they are. Contents that
/// are shorter are nobody's.
pub fn owner(contents: &[u8]) -> Tenant {
    Tenant(contents.first_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes)))
}

/// A tier below memory. Called from a thread that may wait, never from the
/// engine's. A block is written once and never changes.
///
/// Any doubt is a miss: a block that is missing, truncated, flipped, of another
/// model or version, or that cannot be decrypted, is [`None`]. It is never an
/// error of the request that asked.
pub trait BlockStore: Send + Sync {
    /// The blocks there are and their sizes in bytes, the least recently used
    /// first: read once when a model is loaded.
    fn keys(&self) -> Vec<(BlockKey, u64)>;

    /// The block's contents, exactly as they were saved.
    fn load(&self, key: BlockKey) -> Option<Vec<u8>>;

    /// Keeps a block, dropping the least recently used ones to stay within the
    /// quota; they are returned. A block that cannot be kept (no space, an error)
    /// is among the returned.
    fn save(&self, key: BlockKey, contents: &[u8]) -> Vec<BlockKey>;
}
