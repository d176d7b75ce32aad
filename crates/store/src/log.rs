//! The audit log as stored: leaves by number, and what was published of them.
//! What the bytes mean is `audit`'s business; a store numbers and keeps them.

use units::RequestId;

use crate::Error;

/// The most leaves that [`AuditLog::leaves`] returns: eight tiles' worth.
pub const LEAVES_MAX: usize = 2_048;
/// Checkpoints that are kept without a cosignature: the newest. A busy log signs
/// one each second; what nobody cosigned says nothing that the newest does not.
pub const CHECKPOINTS_KEPT: usize = 1_000;

/// Leaves, tiles of their hashes, and checkpoints. Appended to by
/// [`crate::Ledger::append`]: a leaf is numbered in the commit that makes its
/// record durable, so that neither is ever there without the other.
pub trait AuditLog: Send + Sync {
    /// How many leaves there are: their numbers are 0 to one less, without gaps.
    fn log_size(&self) -> Result<u64, Error>;
    /// The leaves from number `from` on, at most `limit` (capped at [`LEAVES_MAX`]).
    fn leaves(&self, from: u64, limit: usize) -> Result<Vec<Vec<u8>>, Error>;
    /// The number of a request's leaf; its first, if it was settled twice.
    fn leaf_of(&self, request: RequestId) -> Result<Option<u64>, Error>;
    /// Keeps full tiles and a checkpoint, in one durable transaction. Either
    /// again replaces the one before (by level and number; by size).
    fn publish(&self, tiles: &[TileRow], checkpoint: &CheckpointRow) -> Result<(), Error>;
    /// A full tile.
    fn tile(&self, level: u8, n: u64) -> Result<Option<Vec<u8>>, Error>;
    /// The largest first: the newest [`CHECKPOINTS_KEPT`], and all that are cosigned.
    fn checkpoints(&self, limit: usize) -> Result<Vec<CheckpointRow>, Error>;
    /// The largest that a witness has cosigned.
    fn last_cosigned(&self) -> Result<Option<CheckpointRow>, Error>;
}

/// 256 hashes side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TileRow {
    pub level: u8,
    pub n: u64,
    pub hashes: Vec<u8>,
}

/// A signed note about the first `size` leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointRow {
    pub size: u64,
    pub note: String,
    /// By a witness, not only by the log.
    pub cosigned: bool,
}
