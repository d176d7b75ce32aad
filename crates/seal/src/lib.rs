//! Keys: one master key that the operator holds, and data keys below it.
//!
//! Data is never encrypted under the master key itself. A [`Kms`](kms::Kms), the
//! keeper of the master key, wraps the root of the [`KeyRing`]; the root wraps a
//! key per tenant, that one the tenant's data keys (see [`KeyRing`]). So
//! keys change without data being written again, and destroying a tenant's key
//! destroys the tenant's data wherever copies of it lie.
//!
//! The master key comes from a file that only its owner can read (made at the
//! first start), from a passphrase (Argon2id), from the caller, who may have it
//! from the environment, or stays in a device or a server: crates `kms-pkcs11`
//! and `kms-vault`. This crate reads no environment.
//!
//! What is secret has no `Debug` and no `Display` (TRAPS X4) and is erased when
//! dropped. Errors name files, modes and fingerprints, never keys.

mod envelope;
mod error;
mod file;
mod keyring;
pub mod kms;
mod parts;
mod secret;

#[cfg(test)]
mod tests;

pub use envelope::Binding;
pub use error::Error;
pub use file::write_private;
pub use keyring::{
    Copies, KeyRing, Purpose, RING_FILE, RingShown, Source, TenantKeys, TenantShown, inspect_ring,
};
pub use kms::{KeyFile, Kms, MASTER_FILE, inspect};
pub use parts::PartsKey;
pub use secret::{SecretKey, random};

/// Whether a text has the shape of a key ring, without opening it: for fuzzing.
#[doc(hidden)]
pub fn check_ring_text(text: &str) -> Result<(), Error> {
    keyring::check_text(text)
}
