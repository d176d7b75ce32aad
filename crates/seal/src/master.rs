//! The master key: where it comes from.

use std::fs;
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding};
use ring::hmac;
use zeroize::{Zeroize, Zeroizing};

use crate::file;
use crate::ring_text::{Kdf, Lock, RingText};
use crate::{Error, SecretKey};

/// The master key's file in the data directory.
pub const MASTER_FILE: &str = "master.key";
/// A new master key that the ring may already be wrapped by (see [`crate::KeyRing::rewrap`]).
pub(crate) const NEXT_FILE: &str = "master.key.next";

/// Where the master key is to be had. No `Debug`: two of three carry it.
#[derive(Clone)]
pub enum Source {
    /// `<dir>/master.key`, made at the first start.
    File,
    /// A passphrase, stretched by Argon2id: about 25 ms and 19 MiB at each start.
    Passphrase(Zeroizing<String>),
    /// The key itself.
    Given(SecretKey),
}

/// What `bedplate doctor` says about the keys of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    pub path: PathBuf,
    /// The permission bits; `None` when there is no such file, because the key
    /// comes from elsewhere.
    pub mode: Option<u32>,
}

impl KeyFile {
    pub fn is_private(&self) -> bool {
        self.mode.is_none_or(|mode| mode & 0o077 == 0)
    }
}

/// Looks at the master key's file without reading it.
pub fn inspect(dir: &Path) -> Result<KeyFile, Error> {
    let path = dir.join(MASTER_FILE);
    Ok(KeyFile { mode: file::mode(&path)?, path })
}

impl Source {
    /// 32 bytes as base64 (44 characters) or hexadecimal (64), spaces around ignored.
    pub fn given(text: &str) -> Result<Source, Error> {
        read_key(text).map(Source::Given).ok_or(Error::NotAKey)
    }
    pub fn passphrase(text: impl Into<String>) -> Source {
        Source::Passphrase(Zeroizing::new(text.into()))
    }
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Source::File => "a key file",
            Source::Passphrase(_) => "a passphrase",
            Source::Given(_) => "a key",
        }
    }
    /// A master key for a new ring, and what the ring must say about it.
    /// `file` is where a key file's key is kept.
    pub(crate) fn make(&self, file: &Path) -> Result<(SecretKey, Lock), Error> {
        match self {
            Source::File => {
                if let Some(key) = read_file(file)? {
                    return Ok((key, Lock::Key));
                }
                let key = SecretKey::random();
                if file::create_private(file, &key_text(&key))? {
                    return Ok((key, Lock::Key));
                }
                let key = read_file(file)?.ok_or_else(|| missing(file))?;
                Ok((key, Lock::Key))
            }
            Source::Given(key) => Ok((key.clone(), Lock::Key)),
            Source::Passphrase(text) => {
                let kdf = Kdf::new(crate::random());
                Ok((kdf.stretch(text), Lock::Passphrase(kdf)))
            }
        }
    }
    /// The master key of an existing ring.
    pub(crate) fn find(&self, dir: &Path, ring: &RingText) -> Result<SecretKey, Error> {
        let path = dir.join(crate::RING_FILE);
        let wrong = |key: &SecretKey| Error::WrongMaster {
            path: path.display().to_string(),
            found: fingerprint(key),
            expected: ring.fingerprint.clone(),
        };
        let fits = |key: &SecretKey| fingerprint(key) == ring.fingerprint;
        let key = match (self, &ring.lock) {
            (Source::Passphrase(text), Lock::Passphrase(kdf)) => kdf.stretch(text),
            (Source::Given(key), Lock::Key) => key.clone(),
            (Source::File, Lock::Key) => {
                let (file, next) = (dir.join(MASTER_FILE), dir.join(NEXT_FILE));
                // A change of master key that was cut short, on either side of
                // the ring's own replacement: finish it, or forget it.
                match (read_file(&file)?, read_file(&next)?) {
                    (Some(key), None) => key,
                    (Some(key), Some(_)) if fits(&key) => {
                        fs::remove_file(&next).map_err(|e| Error::io(&next, e))?;
                        key
                    }
                    (_, Some(key)) => {
                        if !fits(&key) {
                            return Err(wrong(&key));
                        }
                        promote_next(dir)?;
                        key
                    }
                    (None, None) => return Err(missing(&file)),
                }
            }
            (_, lock) => {
                return Err(Error::OtherKind {
                    path: path.display().to_string(),
                    expected: lock.name(),
                    given: self.name(),
                });
            }
        };
        if fits(&key) { Ok(key) } else { Err(wrong(&key)) }
    }
}

pub(crate) fn promote_next(dir: &Path) -> Result<(), Error> {
    let (file, next) = (dir.join(MASTER_FILE), dir.join(NEXT_FILE));
    fs::rename(&next, &file).map_err(|e| Error::io(&file, e))?;
    file::sync_dir_of(&file)
}

/// Names a key without telling it: the first 8 bytes of an HMAC under it.
pub(crate) fn fingerprint(key: &SecretKey) -> String {
    let tag =
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()), b"bedplate master key fingerprint");
    tag.as_ref()[..8].iter().map(|b| format!("{b:02x}")).collect()
}

pub(crate) fn key_text(key: &SecretKey) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(vec![0; Base64::encoded_len(key.expose()) + 1]);
    let end = text.len() - 1;
    text[end] = b'\n';
    Base64::encode(key.expose(), &mut text[..end]).expect("the buffer has the encoding's length");
    text
}

fn read_file(path: &Path) -> Result<Option<SecretKey>, Error> {
    match file::mode(path)? {
        None => return Ok(None),
        Some(mode) if mode & 0o077 != 0 => {
            return Err(Error::Mode { path: path.display().to_string(), mode });
        }
        Some(_) => {}
    }
    let Some(text) = file::read(path)? else { return Ok(None) };
    match read_key(&text) {
        Some(key) => Ok(Some(key)),
        None => Err(Error::damaged(path, "it does not hold 32 bytes in base64")),
    }
}

fn read_key(text: &str) -> Option<SecretKey> {
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

fn missing(path: &Path) -> Error {
    Error::Missing { path: path.display().to_string() }
}
