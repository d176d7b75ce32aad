//! The port to whoever keeps the key above all others.
//!
//! A key management system wraps one key of ours, the root of a key ring, and
//! never sees anything else: it is asked once at the start and at each rotation,
//! so that requests are served while it is away, and a device with room for ten
//! keys can keep those of ten thousand tenants (decision 010).
//!
//! Its key has versions. A new one is used for new wrappings while older ones
//! still open theirs, until they are destroyed: that is how copies of a ring die.
//!
//! Every back-end passes [`conformance::run`]. Whatever goes wrong is an error
//! and never a new key: with a new key all data would be lost.

pub mod conformance;
mod file;
mod given;
mod local;
mod passphrase;

pub use file::{FileKms, KeyFile, MASTER_FILE, inspect};
pub use given::GivenKms;
pub use passphrase::PassphraseKms;

pub(crate) use file::NEXT_FILE;
pub(crate) use local::{fingerprint, key_text, read_key};
pub(crate) use passphrase::Kdf;

use crate::{Error, SecretKey};

/// A key as a KMS wrapped it. Not secret: only the KMS opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapping {
    /// The version of the KMS's key.
    pub version: u32,
    /// At most [`WRAPPING_MAX`] bytes, in the back-end's own format.
    pub bytes: Vec<u8>,
}

/// The longest wrapping that is stored, in bytes. Vault's is about 110.
pub const WRAPPING_MAX: usize = 1024;

/// What there is to say about a KMS and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// As `--master-key` names it.
    pub kind: &'static str,
    /// Which key, as its owner would look for it. No secret.
    pub key: String,
    pub newest: u32,
    /// The oldest version that still opens its wrappings.
    pub oldest: u32,
    /// Whether [`Kms::rotate`] makes a new version.
    pub rotates: bool,
    /// Whether [`Kms::destroy`] makes older wrappings unreadable for ever.
    pub destroys: bool,
}

/// Keeps a key, and wraps others under it. Calls may wait for a network or a
/// device: never made on a request's path.
pub trait Kms: Send + Sync {
    /// As `--master-key` names it.
    fn kind(&self) -> &'static str;

    /// Makes the key if there is none. Called for a new ring alone.
    fn prepare(&self) -> Result<(), Error>;

    fn about(&self) -> Result<About, Error>;

    /// Wraps a key under the newest version, bound to a context.
    fn wrap(&self, key: &SecretKey, context: &[u8]) -> Result<Wrapping, Error>;

    /// The key, for the context it was wrapped with.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when nothing is known, [`Error::NoKey`] when the
    /// version was destroyed, [`Error::WrongMaster`] or [`Error::Unwrap`] when
    /// key, wrapping and context do not belong together.
    fn unwrap(&self, wrapping: &Wrapping, context: &[u8]) -> Result<SecretKey, Error>;

    /// Makes a new version of the key and returns it. Older wrappings still open.
    ///
    /// # Errors
    /// [`Error::Cannot`] where [`About::rotates`] is false.
    fn rotate(&self) -> Result<u32, Error>;

    /// Destroys all versions below one: what they wrapped is lost.
    ///
    /// # Errors
    /// [`Error::Cannot`] where [`About::destroys`] is false.
    fn destroy(&self, below: u32) -> Result<(), Error>;
}
