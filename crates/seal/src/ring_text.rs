//! The file `keyring`: text, so that an operator can see what is there.
//!
//! ```text
//! bedplate-keyring 1
//! master key 9f3c0a...                       what opens it, and its fingerprint
//! argon2id m=19456 t=2 p=1 salt=...          under a passphrase only
//! key platform sqlite 1 <nonce, key and tag in base64>
//! end 1                                      how many, so that a cut file is noticed
//! ```

use std::fmt::Write;
use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use base64ct::{Base64, Encoding};

use crate::{Error, SecretKey};

/// The ring's file in the data directory.
pub const RING_FILE: &str = "keyring";

/// Nonce, key, tag.
pub(crate) const WRAPPED: usize = 12 + 32 + 16;

pub(crate) struct RingText {
    pub lock: Lock,
    pub fingerprint: String,
    pub keys: Vec<Wrapped>,
}

pub(crate) struct Wrapped {
    pub tenant: String,
    pub purpose: String,
    pub version: u32,
    pub bytes: [u8; WRAPPED],
}

/// What the master key is.
pub(crate) enum Lock {
    Key,
    Passphrase(Kdf),
}

impl Lock {
    pub const fn name(&self) -> &'static str {
        match self {
            Lock::Key => "a key",
            Lock::Passphrase(_) => "a passphrase",
        }
    }
}

/// How a passphrase was stretched.
pub(crate) struct Kdf {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: [u8; 16],
}

impl Kdf {
    /// 19 MiB, two passes: OWASP's password storage cheat sheet (2024). The
    /// memory is given back at once; more would be paid at each start.
    pub fn new(salt: [u8; 16]) -> Kdf {
        Kdf { memory_kib: 19_456, passes: 2, lanes: 1, salt }
    }
    pub fn stretch(&self, passphrase: &str) -> SecretKey {
        let params = self.params().expect("checked when it was made or read");
        let mut key = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.as_bytes(), &self.salt, &mut key)
            .expect("a text under 4 GiB and a salt of 16 bytes are within Argon2's bounds");
        let secret = SecretKey::from_bytes(key);
        zeroize::Zeroize::zeroize(&mut key);
        secret
    }
    /// Within bounds that keep a forged file from taking all memory or time.
    fn params(&self) -> Option<Params> {
        let bounded = (8..=1 << 20).contains(&self.memory_kib)
            && (1..=16).contains(&self.passes)
            && (1..=8).contains(&self.lanes);
        Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).ok().filter(|_| bounded)
    }
}

impl RingText {
    pub fn write(&self) -> String {
        let mut text = String::from("bedplate-keyring 1\n");
        let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").expect("a string grows");
        match &self.lock {
            Lock::Key => line(format_args!("master key {}", self.fingerprint)),
            Lock::Passphrase(kdf) => {
                line(format_args!("master passphrase {}", self.fingerprint));
                let (m, t, p) = (kdf.memory_kib, kdf.passes, kdf.lanes);
                line(format_args!("argon2id m={m} t={t} p={p} salt={}", Base64::encode_string(&kdf.salt)));
            }
        }
        for key in &self.keys {
            let bytes = Base64::encode_string(&key.bytes);
            line(format_args!("key {} {} {} {bytes}", key.tenant, key.purpose, key.version));
        }
        line(format_args!("end {}", self.keys.len()));
        text
    }

    pub fn read(text: &str, path: &Path) -> Result<RingText, Error> {
        let mut lines = text.lines();
        let damaged = |what: &str| Error::damaged(path, what);
        match lines.next() {
            Some("bedplate-keyring 1") => {}
            Some(other) if other.starts_with("bedplate-keyring ") => {
                return Err(damaged("it was written by a newer version"));
            }
            _ => return Err(damaged("it does not begin with \"bedplate-keyring 1\"")),
        }
        let master = lines.next().and_then(|l| l.strip_prefix("master ")).and_then(|l| l.split_once(' '));
        let (lock, fingerprint) = match master {
            Some(("key", fingerprint)) => (Lock::Key, fingerprint),
            Some(("passphrase", fingerprint)) => {
                let kdf =
                    lines.next().and_then(read_kdf).ok_or_else(|| damaged("line 3: argon2id expected"))?;
                (Lock::Passphrase(kdf), fingerprint)
            }
            _ => return Err(damaged("line 2: \"master key\" or \"master passphrase\" expected")),
        };
        let mut keys = Vec::new();
        for line in lines.by_ref() {
            if let Some(count) = line.strip_prefix("end ") {
                let complete = count.parse() == Ok(keys.len()) && lines.next().is_none();
                let ring = RingText { lock, fingerprint: fingerprint.to_owned(), keys };
                return if complete { Ok(ring) } else { Err(damaged("keys are missing")) };
            }
            keys.push(read_wrapped(line).ok_or_else(|| damaged("a line is not a key"))?);
        }
        Err(damaged("the end is missing"))
    }
}

fn read_kdf(line: &str) -> Option<Kdf> {
    let mut parts = line.strip_prefix("argon2id ")?.split(' ');
    let mut number = |name: &str| parts.next()?.strip_prefix(name)?.parse::<u32>().ok();
    let (memory_kib, passes, lanes) = (number("m=")?, number("t=")?, number("p=")?);
    let mut salt = [0; 16];
    let read = Base64::decode(parts.next()?.strip_prefix("salt=")?, &mut salt).ok()?.len();
    let kdf = Kdf { memory_kib, passes, lanes, salt };
    (read == 16 && parts.next().is_none() && kdf.params().is_some()).then_some(kdf)
}

fn read_wrapped(line: &str) -> Option<Wrapped> {
    let mut parts = line.split(' ');
    if parts.next() != Some("key") {
        return None;
    }
    let (tenant, purpose) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let version = parts.next()?.parse().ok()?;
    let mut bytes = [0; WRAPPED];
    let read = Base64::decode(parts.next()?, &mut bytes).ok()?.len();
    (read == WRAPPED && parts.next().is_none()).then_some(Wrapped { tenant, purpose, version, bytes })
}
