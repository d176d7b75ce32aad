//! Commitments: what was said, without saying it.
//!
//! `SHA-256(salt || bytes)`. The salt is 32 secret bytes that stand in no leaf
//! and in no tile: without it a commitment can be tested against no guess, with
//! it the holder of the bytes proves that they are the ones. Destroying the salt
//! (or the key that it is derived from) turns the commitment into noise and
//! leaves every proof as it was.

use ring::digest::{Context, SHA256};
use ring::hmac;
use units::RequestId;

use crate::Hash;

/// Bytes of a salt.
pub const SALT_BYTES: usize = 32;

/// A secret: it has no `Debug`.
#[derive(Clone, Copy)]
pub struct Salt(pub [u8; SALT_BYTES]);

/// What salts are derived from: HMAC-SHA256 under a secret key, so that none has
/// to be stored. Destroying the key destroys every salt that came of it. Each
/// team has one ([`crate::Leaf::salts`]), so that it goes with the team.
#[derive(Clone)]
pub struct SaltKey(hmac::Key);

/// Which of a request's two bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Request,
    Response,
}

impl SaltKey {
    pub fn new(secret: &[u8; 32]) -> SaltKey {
        SaltKey(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
    pub fn salt(&self, request: RequestId, part: Part) -> Salt {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(request.0.as_bytes());
        context.update(&[part as u8]);
        Salt(context.sign().as_ref().try_into().expect("HMAC-SHA256 has 32 bytes"))
    }
}

/// A commitment in the making: the bytes come as they are sent.
#[derive(Clone)]
pub struct Commitment {
    context: Context,
    bytes: u64,
}

impl Commitment {
    pub fn new(salt: &Salt) -> Commitment {
        let mut context = Context::new(&SHA256);
        context.update(&salt.0);
        Commitment { context, bytes: 0 }
    }
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
    }
    /// How many bytes are committed to so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
    pub fn finish(self) -> Hash {
        Hash(self.context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

/// The commitment to bytes that are all there.
pub fn commit(salt: &Salt, bytes: &[u8]) -> Hash {
    let mut commitment = Commitment::new(salt);
    commitment.update(bytes);
    commitment.finish()
}
