//! The audit log: what was decided, in a form that anybody can check later
//! without trusting whoever kept it.
//!
//! A **leaf** says what one request (or one change of the rules) was: who, what,
//! the decision and what determined it, what it cost, and salted commitments to
//! what was said. Leaves are canonical CBOR ([`Leaf`]): one value, one encoding.
//! They are numbered by the store in the commit of the record that they belong
//! to, and hashed into a Merkle tree as in RFC 6962 ([`Tree`], [`proof`]).
//! A **checkpoint** is the signed root of the first n leaves ([`Checkpoint`]),
//! a **cosignature** an outsider's word that the log has only grown, and a
//! **receipt** ([`Receipt`]) is one leaf with everything that proves it, which
//! verifies offline with public keys alone.
//!
//! The formats are those of the transparency community, so that its tools can
//! read the log: C2SP `tlog-tiles`, `signed-note`, `tlog-checkpoint`,
//! `tlog-cosignature` (v1, Ed25519) and `tlog-proof`.
//!
//! Why a tree and not a chain of hashes: a chain proves nothing to somebody who
//! holds one entry short of reading all of it, and cannot show that two readers
//! saw the same log.

mod books;
mod cbor;
mod check;
mod checkpoint;
mod commitment;
mod error;
mod hash;
mod keeper;
mod key;
mod leaf;
mod note;
pub mod proof;
mod receipt;
mod record;
mod shared;
pub mod tile;
mod tree;

pub use books::{Books, Difference, reconcile};
pub use check::{Check, Checker, check};
pub use checkpoint::{Checkpoint, Cosigned, cosign, open, sign};
pub use commitment::{Commitment, Part, SALT_BYTES, Salt, SaltKey, commit};
pub use error::Error;
pub use hash::{EMPTY_ROOT, Hash, leaf_hash, node_hash};
pub use keeper::{COSIGNATURES_MAX, Keeper};
pub use key::{Kind, Signer, Verifier};
pub use leaf::{Coverage, LEAF_BYTES_MAX, Leaf, Verdict};
pub use note::{NOTE_BYTES_MAX, Note, SIGNATURES_MAX, Signature};
pub use receipt::{Receipt, Verified};
pub use record::of_record;
pub use shared::Shared;
pub use tree::{FullTile, Tree};
