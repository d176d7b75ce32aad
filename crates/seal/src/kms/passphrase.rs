//! A master key that a person remembers, stretched by Argon2id.

use std::sync::atomic::{AtomicU32, Ordering};

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use super::{About, Kms, Wrapping, local};
use crate::{Error, SecretKey};

const WHAT: &str = "the passphrase";

/// How a passphrase becomes a key. Stored beside what the key wraps, so that the
/// costs can be raised later. About 25 ms and 19 MiB: OWASP's first choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kdf {
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
    pub salt: [u8; 16],
}

/// The three costs and the salt.
const KDF: usize = 3 * 4 + 16;

impl Kdf {
    fn new(salt: [u8; 16]) -> Kdf {
        Kdf { memory_kib: 19_456, passes: 2, lanes: 1, salt }
    }

    pub fn stretch(&self, passphrase: &str) -> SecretKey {
        let params = self.params().expect("read and made within bounds");
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut key = Zeroizing::new([0; 32]);
        argon2
            .hash_password_into(passphrase.as_bytes(), &self.salt, &mut *key)
            .expect("salt and output have lengths that Argon2 takes");
        SecretKey::from_bytes(*key)
    }

    /// `None` past 1 GiB, 64 passes or 8 lanes: a forged file must not stall the start.
    pub fn params(&self) -> Option<Params> {
        let bounded = (8..=1 << 20).contains(&self.memory_kib)
            && (1..=64).contains(&self.passes)
            && (1..=8).contains(&self.lanes);
        // Asked last: the library multiplies lanes before it looks at them.
        bounded.then(|| Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).ok())?
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        for cost in [self.memory_kib, self.passes, self.lanes] {
            bytes.extend_from_slice(&cost.to_le_bytes());
        }
        bytes.extend_from_slice(&self.salt);
    }

    fn read(bytes: &[u8; KDF]) -> Option<Kdf> {
        let cost = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let salt = bytes[12..].try_into().expect("16 bytes are left");
        let kdf = Kdf { memory_kib: cost(0), passes: cost(4), lanes: cost(8), salt };
        kdf.params().map(|_| kdf)
    }
}

/// A passphrase. Each wrapping has a salt, and so a key, of its own; versions
/// only count. What a passphrase wrapped it opens for as long as somebody knows it.
pub struct PassphraseKms {
    text: Zeroizing<String>,
    newest: AtomicU32,
}

impl PassphraseKms {
    pub fn new(text: impl Into<String>) -> PassphraseKms {
        PassphraseKms { text: Zeroizing::new(text.into()), newest: AtomicU32::new(1) }
    }
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl Kms for PassphraseKms {
    fn kind(&self) -> &'static str {
        "passphrase"
    }
    fn prepare(&self) -> Result<(), Error> {
        Ok(())
    }
    fn about(&self) -> Result<About, Error> {
        let newest = self.newest.load(Ordering::Relaxed);
        let key = "stretched by Argon2id".into();
        Ok(About { kind: self.kind(), key, newest, oldest: 1, rotates: true, destroys: false })
    }
    fn wrap(&self, key: &SecretKey, context: &[u8]) -> Result<Wrapping, Error> {
        let kdf = Kdf::new(crate::random());
        let mut bytes = Vec::with_capacity(KDF + 68);
        kdf.write(&mut bytes);
        bytes.extend_from_slice(&local::wrap(&kdf.stretch(&self.text), key, context));
        Ok(Wrapping { version: self.newest.load(Ordering::Relaxed), bytes })
    }
    fn unwrap(&self, wrapping: &Wrapping, context: &[u8]) -> Result<SecretKey, Error> {
        let damaged = || Error::Unwrap { kms: WHAT.into() };
        let (kdf, bytes) = wrapping.bytes.split_first_chunk::<KDF>().ok_or_else(damaged)?;
        let kdf = Kdf::read(kdf).ok_or_else(damaged)?;
        let key = local::unwrap(&kdf.stretch(&self.text), bytes, context, WHAT)?;
        self.newest.fetch_max(wrapping.version, Ordering::Relaxed);
        Ok(key)
    }
    fn rotate(&self) -> Result<u32, Error> {
        Ok(self.newest.fetch_add(1, Ordering::Relaxed) + 1)
    }
    fn destroy(&self, _below: u32) -> Result<(), Error> {
        Err(Error::Cannot {
            kms: WHAT.into(),
            what: "opens what it once wrapped; `bedplate keys rewrap` takes another",
        })
    }
}
