//! Rings of the first format: data keys of the platform, wrapped by the master
//! key itself. Read once, and written again in today's format.
//!
//! ```text
//! bedplate-keyring 1
//! master key 9f3c0a...                       what opens it, and its fingerprint
//! argon2id m=19456 t=2 p=1 salt=...          under a passphrase only
//! key platform sqlite 1 <nonce, key and tag in base64>
//! end 1
//! ```

use std::fs;
use std::path::Path;

use base64ct::{Base64, Encoding};

use crate::envelope::{self, WRAPPED};
use crate::kms::{self, Kdf, MASTER_FILE, NEXT_FILE};
use crate::{Error, RING_FILE, SecretKey, Source, file};

pub(crate) const HEAD: &str = "bedplate-keyring 1";

pub(crate) struct OldRing {
    /// How the passphrase is stretched, where it is one that opens the ring.
    kdf: Option<Kdf>,
    fingerprint: String,
    keys: Vec<Wrapped>,
}

struct Wrapped {
    tenant: String,
    purpose: String,
    version: u32,
    bytes: [u8; WRAPPED],
}

impl OldRing {
    pub fn read(text: &str, path: &Path) -> Result<OldRing, Error> {
        let damaged = |what: &str| Error::damaged(path, what);
        let mut lines = text.lines().skip(1);
        let master = lines.next().and_then(|l| l.strip_prefix("master ")).and_then(|l| l.split_once(' '));
        let (kdf, fingerprint) = match master {
            Some(("key", fingerprint)) => (None, fingerprint),
            Some(("passphrase", fingerprint)) => {
                let kdf = lines.next().and_then(read_kdf);
                (Some(kdf.ok_or_else(|| damaged("line 3: argon2id expected"))?), fingerprint)
            }
            _ => return Err(damaged("line 2: \"master key\" or \"master passphrase\" expected")),
        };
        let mut keys = Vec::new();
        for line in lines.by_ref() {
            if let Some(count) = line.strip_prefix("end ") {
                let complete = count.parse() == Ok(keys.len()) && lines.next().is_none();
                let ring = OldRing { kdf, fingerprint: fingerprint.to_owned(), keys };
                return if complete { Ok(ring) } else { Err(damaged("keys are missing")) };
            }
            keys.push(read_wrapped(line).ok_or_else(|| damaged("a line is not a key"))?);
        }
        Err(damaged("the end is missing"))
    }

    /// Purpose, version and key.
    pub fn open(&self, dir: &Path, source: &Source) -> Result<Vec<(String, u32, SecretKey)>, Error> {
        let path = dir.join(RING_FILE);
        let master = self.master(dir, source)?;
        let open = |w: &Wrapped| {
            let aad = format!("bedplate|{}|{}|{}|", w.tenant, w.purpose, w.version);
            let what = || format!("key {} {} {} was changed", w.tenant, w.purpose, w.version);
            let key = envelope::unwrap(&master, aad.as_bytes(), &w.bytes);
            Ok((w.purpose.clone(), w.version, key.ok_or_else(|| Error::damaged(&path, what()))?))
        };
        self.keys.iter().map(open).collect()
    }

    fn master(&self, dir: &Path, source: &Source) -> Result<SecretKey, Error> {
        let key = match (source, &self.kdf) {
            (Source::Passphrase(kms), Some(kdf)) => kdf.stretch(kms.text()),
            (Source::Given(kms), None) => kms.key().clone(),
            (Source::File, None) => self.of_file(dir)?,
            (other, kdf) => {
                return Err(Error::OtherKind {
                    path: dir.join(RING_FILE).display().to_string(),
                    expected: if kdf.is_some() { "a passphrase" } else { "a key" }.into(),
                    given: other.kind().into(),
                });
            }
        };
        if kms::fingerprint(&key) == self.fingerprint {
            return Ok(key);
        }
        let (path, found) = (dir.join(RING_FILE).display().to_string(), kms::fingerprint(&key));
        Err(Error::WrongMaster { path, found, expected: self.fingerprint.clone() })
    }

    /// A change of master key that was cut short left two files: finished, or forgotten.
    fn of_file(&self, dir: &Path) -> Result<SecretKey, Error> {
        let (path, next) = (dir.join(MASTER_FILE), dir.join(NEXT_FILE));
        let fits = |key: &SecretKey| kms::fingerprint(key) == self.fingerprint;
        let key = kms::FileKms::new(dir).newest();
        let after = file::read(&next)?.and_then(|text| kms::read_key(&text));
        match (key, after) {
            (Ok(key), Some(_)) if fits(&key) => {
                fs::remove_file(&next).map_err(|e| Error::io(&next, e))?;
                Ok(key)
            }
            (_, Some(key)) if fits(&key) => {
                fs::rename(&next, &path).map_err(|e| Error::io(&path, e))?;
                file::sync_dir_of(&path)?;
                Ok(key)
            }
            (key, _) => key,
        }
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
