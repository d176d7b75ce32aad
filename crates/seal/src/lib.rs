//! Keys: one master key that the operator holds, and data keys wrapped by it.
//!
//! Data is never encrypted under the master key itself. A data key is random,
//! lives in the file `keyring` wrapped by AES-256-GCM under the master key, and
//! is bound by its additional data to tenant, purpose and version, so that one
//! wrapped key cannot stand in for another. Changing the master key re-wraps a
//! few hundred bytes and leaves all data as it is; destroying a tenant's data
//! key destroys the tenant's data.
//!
//! The master key comes from a file that only its owner can read (made at the
//! first start), from a passphrase (Argon2id), or from the caller, who may have
//! it from the environment or a vault. This crate reads no environment.
//!
//! What is secret has no `Debug` and no `Display` (TRAPS X4) and is erased when
//! dropped. Errors name files, modes and fingerprints, never keys.

mod error;
mod file;
mod keyring;
mod master;
mod ring_text;
mod secret;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use file::write_private;
pub use keyring::{KeyRing, Purpose};
pub use master::{KeyFile, MASTER_FILE, Source, inspect};
pub use ring_text::RING_FILE;
pub use secret::{SecretKey, random};
