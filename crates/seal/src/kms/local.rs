//! What the back-ends on this machine share: wrapping by AES-256-GCM, behind a
//! fingerprint that tells a wrong key from a damaged wrapping.

use base64ct::{Base64, Encoding};
use ring::hmac;
use zeroize::{Zeroize, Zeroizing};

use crate::envelope::{self, WRAPPED};
use crate::{Error, SecretKey};

const FINGERPRINT: usize = 8;

/// Names a key without telling it: the first 8 bytes of an HMAC under it.
pub(crate) fn fingerprint(key: &SecretKey) -> String {
    short(key).iter().map(|b| format!("{b:02x}")).collect()
}

fn short(key: &SecretKey) -> [u8; FINGERPRINT] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose());
    let tag = hmac::sign(&key, b"bedplate master key fingerprint");
    tag.as_ref()[..FINGERPRINT].try_into().expect("a tag has 32 bytes")
}

pub(crate) fn wrap(master: &SecretKey, key: &SecretKey, context: &[u8]) -> Vec<u8> {
    let mut bytes = short(master).to_vec();
    bytes.extend_from_slice(&envelope::wrap(master, &aad(context), key));
    bytes
}

/// `what` is where the master key is from.
pub(crate) fn unwrap(
    master: &SecretKey,
    bytes: &[u8],
    context: &[u8],
    what: &str,
) -> Result<SecretKey, Error> {
    let damaged = || Error::Unwrap { kms: what.to_owned() };
    let (expected, wrapped) = bytes.split_first_chunk::<FINGERPRINT>().ok_or_else(damaged)?;
    if wrapped.len() != WRAPPED {
        return Err(damaged());
    }
    if let Some(key) = envelope::unwrap(master, &aad(context), wrapped) {
        // Of a changed fingerprint nothing depends; it is refused to be sure of every bit.
        return if *expected == short(master) { Ok(key) } else { Err(damaged()) };
    }
    if *expected == short(master) {
        return Err(damaged());
    }
    let expected = expected.iter().map(|b| format!("{b:02x}")).collect();
    Err(Error::WrongMaster { path: what.to_owned(), found: fingerprint(master), expected })
}

fn aad(context: &[u8]) -> Vec<u8> {
    envelope::aad(&[b"kms", context])
}

pub(crate) fn key_text(key: &SecretKey) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(45));
    let mut bytes = Zeroizing::new([0; 44]);
    text.push_str(Base64::encode(key.expose(), &mut *bytes).expect("32 bytes take 44 characters"));
    text
}

/// 32 bytes as base64 or hexadecimal.
pub(crate) fn read_key(text: &str) -> Option<SecretKey> {
    let text = text.trim();
    let mut bytes = [0; 32];
    let read = match text.len() {
        64 => text.is_ascii().then(|| {
            for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                let digit = |d: u8| (d as char).to_digit(16);
                *byte = (digit(digits[0])? << 4 | digit(digits[1])?) as u8;
            }
            Some(())
        })?,
        44 => Base64::decode(text, &mut bytes).ok().filter(|read| read.len() == 32).map(|_| ()),
        _ => None,
    };
    let key = read.map(|()| SecretKey::from_bytes(bytes));
    bytes.zeroize();
    key
}
