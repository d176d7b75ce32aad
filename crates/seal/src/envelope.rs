//! One value under one key: AES-256-GCM, bound to where the value stands.
//!
//! The associated data names tenant, table, row and version (and, for keys, what
//! they are for). So a sealed value opens in its own place only: swapping two
//! rows, moving one to another tenant, or putting an older one back is noticed.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::{SecretKey, random};

pub(crate) const NONCE: usize = 12;
pub(crate) const TAG: usize = 16;
/// Nonce, key, tag.
pub(crate) const WRAPPED: usize = NONCE + 32 + TAG;

/// Where a value stands. The tenant and the purpose are those of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding<'a> {
    /// What kind of thing it is: a table, a collection, a file format.
    pub table: &'a str,
    /// Which one of them: a primary key, a request's id.
    pub row: &'a [u8],
    /// Of the row or of its schema: raise it, and older values no longer fit.
    pub version: u32,
}

/// Parts that cannot be confused: each is preceded by its length.
pub(crate) fn aad(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 + parts.iter().map(|p| 4 + p.len()).sum::<usize>());
    bytes.extend_from_slice(b"bedplate|2");
    for part in parts {
        let length = u32::try_from(part.len()).expect("a name is far below 4 GiB");
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// Nonce, ciphertext, tag. The nonce is random: a key seals far fewer than the
/// 2^32 values after which 96 bits would have to be counted.
pub(crate) fn seal(key: &SecretKey, aad: &[u8], value: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(NONCE + value.len() + TAG);
    seal_onto(&mut sealed, key, aad, value);
    sealed
}

/// As [`seal`], behind what is there.
pub(crate) fn seal_onto(sealed: &mut Vec<u8>, key: &SecretKey, aad: &[u8], value: &[u8]) {
    let nonce: [u8; NONCE] = random();
    sealed.extend_from_slice(&nonce);
    let from = sealed.len();
    sealed.extend_from_slice(value);
    let tag = cipher(key)
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut sealed[from..])
        .expect("a value is far below AES-GCM's 64 GiB");
    sealed.extend_from_slice(tag.as_ref());
}

pub(crate) fn unseal(key: &SecretKey, aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, rest) = sealed.split_at_checked(NONCE)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut bytes = Zeroizing::new(rest.to_vec());
    let plain = cipher(key).open_in_place(nonce, Aad::from(aad), &mut bytes).ok()?.len();
    bytes.truncate(plain);
    Some(bytes)
}

/// A key under another one.
pub(crate) fn wrap(key: &SecretKey, aad: &[u8], wrapped: &SecretKey) -> [u8; WRAPPED] {
    seal(key, aad, wrapped.expose()).try_into().expect("a wrapped key has a fixed length")
}

pub(crate) fn unwrap(key: &SecretKey, aad: &[u8], wrapped: &[u8]) -> Option<SecretKey> {
    let plain = unseal(key, aad, wrapped)?;
    <[u8; 32]>::try_from(plain.as_slice()).ok().map(SecretKey::from_bytes)
}

pub(crate) fn cipher(key: &SecretKey) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.expose()).expect("the key has 32 bytes"))
}
