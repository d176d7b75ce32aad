//! API keys: how they look, how they are made, and what is stored of them.
//!
//! A key is `bp-`, 43 base-62 digits of 256 random bits, and six base-62 digits
//! of CRC-32 over all before them: 52 characters that a secret scanner finds by
//! one regular expression, `bp-[0-9A-Za-z]{49}`, and verifies offline, and whose
//! typos are refused before anything is hashed. Stored is HMAC-SHA-256 under the
//! deployment's pepper: 256 random bits need no slow hash, and a stolen table
//! without the pepper verifies nothing.

use ring::hmac;
use store::KeyVersion;
use units::Micros;
use zeroize::Zeroize;

use crate::Denied;

const PREFIX: &str = "bp-";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^43 > 2^256.
const SECRET_CHARS: usize = 43;
/// 62^6 > 2^32.
const CHECK_CHARS: usize = 6;

/// The length of every key.
pub const KEY_CHARS: usize = PREFIX.len() + SECRET_CHARS + CHECK_CHARS;
/// How much of a key is kept to recognise it by: the prefix and eight digits,
/// which leaves more than 200 bits unknown.
pub const HINT_CHARS: usize = PREFIX.len() + 8;

/// The deployment's secret that keys are hashed under. From the key store;
/// without `Debug` and wiped when dropped.
#[derive(Clone)]
pub struct Pepper([u8; 32]);

impl Pepper {
    pub const fn new(secret: [u8; 32]) -> Pepper {
        Pepper(secret)
    }
    pub(crate) fn hasher(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
    /// What is stored of a key.
    pub fn hash(&self, key: &str) -> [u8; 32] {
        tag(&self.hasher(), key)
    }
}

impl Drop for Pepper {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Makes a key from 32 random bytes: the key itself, to be shown once and kept
/// nowhere, and what is stored of it.
pub fn mint(
    pepper: &Pepper,
    mut random: [u8; 32],
    now: Micros,
    expires: Option<Micros>,
) -> (String, KeyVersion) {
    let mut key = String::with_capacity(KEY_CHARS);
    key.push_str(PREFIX);
    let mut digits = [0u8; SECRET_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[usize::from(divide(&mut random))];
    }
    key.extend(digits.iter().map(|d| char::from(*d)));
    digits.zeroize();
    key.extend(check(key.as_bytes()).map(char::from));
    let version =
        KeyVersion { hash: pepper.hash(&key), hint: key[..HINT_CHARS].to_string(), created: now, expires };
    (key, version)
}

/// Whether a text can be a key at all: length, prefix, alphabet, check digits.
/// Costs tens of nanoseconds and bounds what is hashed.
///
/// # Errors
/// [`Denied::NotAKey`] with the first thing that is wrong.
pub fn shape(presented: &str) -> Result<(), Denied> {
    let wrong = |why| Err(Denied::NotAKey { why });
    let bytes = presented.as_bytes();
    if !bytes.starts_with(PREFIX.as_bytes()) {
        return wrong("it does not begin with bp-");
    }
    if bytes.len() != KEY_CHARS {
        return wrong("it does not have 52 characters");
    }
    let (body, digits) = bytes.split_at(KEY_CHARS - CHECK_CHARS);
    if !bytes[PREFIX.len()..].iter().all(u8::is_ascii_alphanumeric) {
        return wrong("it has characters other than letters and digits");
    }
    if digits != check(body) {
        return wrong("its check digits do not match: a character is missing or changed");
    }
    Ok(())
}

pub(crate) fn tag(hasher: &hmac::Key, key: &str) -> [u8; 32] {
    let mut hash = [0u8; 32];
    hash.copy_from_slice(hmac::sign(hasher, key.as_bytes()).as_ref());
    hash
}

/// Divides a big-endian number by 62 in place and returns the remainder.
fn divide(number: &mut [u8; 32]) -> u8 {
    let mut rest = 0u16;
    for byte in number.iter_mut() {
        let value = rest << 8 | u16::from(*byte);
        *byte = (value / 62) as u8;
        rest = value % 62;
    }
    rest as u8
}

fn check(body: &[u8]) -> [u8; CHECK_CHARS] {
    let mut value = crc32(body);
    let mut digits = [0u8; CHECK_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(value % 62) as usize];
        value /= 62;
    }
    digits
}

/// CRC-32 (IEEE 802.3, reflected, polynomial 0xEDB88320).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| TABLE[usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}

static TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PEPPER: Pepper = Pepper::new([7; 32]);

    #[test]
    fn the_check_digits_are_the_standard_crc() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn the_extremes_fill_the_alphabet_and_no_more() {
        let (zero, version) = mint(&PEPPER, [0; 32], Micros(5), Some(Micros(9)));
        assert!(zero.starts_with("bp-0000000000000000000000000000000000000000000"), "{zero}");
        assert_eq!(version.hint, "bp-00000000");
        assert_eq!((version.created, version.expires), (Micros(5), Some(Micros(9))));
        let (top, _) = mint(&PEPPER, [0xff; 32], Micros(5), None);
        assert_eq!((top.len(), shape(&top)), (KEY_CHARS, Ok(())));
    }

    #[test]
    fn the_hash_depends_on_the_pepper() {
        let (key, version) = mint(&PEPPER, [1; 32], Micros(0), None);
        assert_eq!(PEPPER.hash(&key), version.hash);
        assert_ne!(Pepper::new([8; 32]).hash(&key), version.hash);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn every_minted_key_has_the_shape(random in any::<[u8; 32]>()) {
            let (key, _) = mint(&PEPPER, random, Micros(0), None);
            prop_assert_eq!(shape(&key), Ok(()));
        }

        #[test]
        fn every_single_typo_is_noticed(random in any::<[u8; 32]>(), at in 3..KEY_CHARS, by in 1u8..62) {
            let (key, _) = mint(&PEPPER, random, Micros(0), None);
            let mut bytes = key.into_bytes();
            let digit = DIGITS.iter().position(|d| *d == bytes[at]).unwrap();
            bytes[at] = DIGITS[(digit + usize::from(by)) % 62];
            prop_assert!(shape(std::str::from_utf8(&bytes).unwrap()).is_err());
        }

        #[test]
        fn no_text_panics_or_passes(text in "\\PC{0,80}") {
            prop_assert!(shape(&text).is_err());
        }
    }
}
