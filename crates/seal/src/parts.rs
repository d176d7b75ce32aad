//! A file's own key, for a file of many small parts that are read one by one.
//!
//! [`TenantKeys::seal`](crate::TenantKeys::seal) unwraps the tenant's key and prepares the
//! cipher for each value, which costs more than opening a part of a kilobyte. A file's key is
//! sealed once, in the file's head, and stays prepared while the file is open. Whoever holds
//! it drops it when the tenant is shredded.

use ring::aead::{Aad, LessSafeKey, Nonce};

use crate::envelope::{NONCE, TAG, cipher};
use crate::{Binding, Error, Purpose, SecretKey, TenantKeys, random};

/// See the module. No `Debug`.
pub struct PartsKey(LessSafeKey);

impl PartsKey {
    /// Bytes that a sealed part is longer than its value.
    pub const MORE: usize = NONCE + TAG;
    /// Bytes of a sealed key.
    pub const SEALED: usize = 32 + PartsKey::MORE;

    /// A new one, and how it stands in the file's head.
    ///
    /// # Errors
    /// As [`TenantKeys::key`].
    pub fn make(
        keys: &TenantKeys,
        purpose: Purpose,
        place: &Binding<'_>,
    ) -> Result<(PartsKey, Vec<u8>), Error> {
        let key = SecretKey::random();
        let sealed = keys.seal(purpose, place, key.expose())?;
        Ok((PartsKey(cipher(&key)), sealed))
    }

    /// That of a file's head.
    ///
    /// # Errors
    /// As [`TenantKeys::unseal`].
    pub fn open(
        keys: &TenantKeys,
        purpose: Purpose,
        place: &Binding<'_>,
        sealed: &[u8],
    ) -> Result<PartsKey, Error> {
        let plain = keys.unseal(purpose, place, sealed)?;
        let key = <[u8; 32]>::try_from(plain.as_slice()).map_err(|_| Error::Sealed)?;
        Ok(PartsKey(cipher(&SecretKey::from_bytes(key))))
    }

    /// Puts a sealed part behind what is there; it opens under the same `name` only. The nonce is
    /// random: a file has far fewer than the 2^32 parts after which that would not do.
    pub fn seal_onto(&self, sealed: &mut Vec<u8>, name: &[u8], value: &[u8]) {
        let nonce: [u8; NONCE] = random();
        sealed.extend_from_slice(&nonce);
        let from = sealed.len();
        sealed.extend_from_slice(value);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(name), &mut sealed[from..]);
        let tag = tag.expect("a part is far below AES-GCM's 64 GiB");
        sealed.extend_from_slice(tag.as_ref());
    }

    /// Opens a part where it stands; `None` when it is none, or another's.
    pub fn open_in<'a>(&self, name: &[u8], sealed: &'a mut [u8]) -> Option<&'a [u8]> {
        let (nonce, rest) = sealed.split_at_mut_checked(NONCE)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        self.0.open_in_place(nonce, Aad::from(name), rest).ok().map(|plain| &*plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyRing;

    #[test]
    fn a_part_opens_under_its_name_and_its_file_alone() {
        let keys = KeyRing::ephemeral().tenant(units::TeamId(units::Uuid7::from_bytes([1; 16])));
        let place = Binding { table: "index", row: b"one", version: 1 };
        let (key, sealed) = PartsKey::make(&keys, Purpose::Documents, &place).expect("it has keys");
        assert_eq!(sealed.len(), PartsKey::SEALED);
        let mut part = Vec::new();
        key.seal_onto(&mut part, b"7", b"secret");
        assert_eq!(part.len(), 6 + PartsKey::MORE);
        let again =
            PartsKey::open(&keys, Purpose::Documents, &place, &sealed).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(again.open_in(b"7", &mut part.clone()), Some(&b"secret"[..]));
        assert_eq!(again.open_in(b"8", &mut part.clone()), None);
        for at in 0..part.len() {
            let mut bad = part.clone();
            bad[at] ^= 1;
            assert_eq!(again.open_in(b"7", &mut bad), None, "byte {at}");
        }
        assert_eq!(again.open_in(b"7", &mut [0; 5]), None);
        let other = Binding { row: b"two", ..place };
        assert!(PartsKey::open(&keys, Purpose::Documents, &other, &sealed).is_err());
        let (stranger, _) = PartsKey::make(&keys, Purpose::Documents, &place).expect("it has keys");
        assert_eq!(stranger.open_in(b"7", &mut part), None);
    }
}
