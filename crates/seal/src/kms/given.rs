//! A master key that the caller has, from the environment or a vault of their own.

use super::{About, Kms, Wrapping, fingerprint, local, read_key};
use crate::{Error, SecretKey};

const WHAT: &str = "the master key given";

/// One key, with one version: whoever gave it changes it.
pub struct GivenKms(SecretKey);

impl GivenKms {
    pub const fn new(key: SecretKey) -> GivenKms {
        GivenKms(key)
    }
    /// 32 bytes as base64 (44 characters) or hexadecimal (64), spaces around ignored.
    ///
    /// # Errors
    /// [`Error::NotAKey`].
    pub fn read(text: &str) -> Result<GivenKms, Error> {
        read_key(text).map(GivenKms).ok_or(Error::NotAKey)
    }
    pub(crate) fn key(&self) -> &SecretKey {
        &self.0
    }
}

impl Kms for GivenKms {
    fn kind(&self) -> &'static str {
        "environment"
    }
    fn prepare(&self) -> Result<(), Error> {
        Ok(())
    }
    fn about(&self) -> Result<About, Error> {
        let key = format!("fingerprint {}", fingerprint(&self.0));
        Ok(About { kind: self.kind(), key, newest: 1, oldest: 1, rotates: false, destroys: false })
    }
    fn wrap(&self, key: &SecretKey, context: &[u8]) -> Result<Wrapping, Error> {
        Ok(Wrapping { version: 1, bytes: local::wrap(&self.0, key, context) })
    }
    fn unwrap(&self, wrapping: &Wrapping, context: &[u8]) -> Result<SecretKey, Error> {
        local::unwrap(&self.0, &wrapping.bytes, context, WHAT)
    }
    fn rotate(&self) -> Result<u32, Error> {
        Err(Error::Cannot {
            kms: WHAT.into(),
            what: "is changed by giving another one: `bedplate keys rewrap`",
        })
    }
    fn destroy(&self, _below: u32) -> Result<(), Error> {
        Err(Error::Cannot { kms: WHAT.into(), what: "is not ours to destroy" })
    }
}
