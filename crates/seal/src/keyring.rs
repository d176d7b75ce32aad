//! The data keys, unwrapped, and the envelope around them.

use std::fs;
use std::path::Path;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::master::{self, MASTER_FILE, NEXT_FILE};
use crate::ring_text::{Lock, RingText, WRAPPED, Wrapped};
use crate::{Error, RING_FILE, SecretKey, Source, file, random};

const NONCE: usize = 12;
const TAG: usize = 16;
/// The tenant of what belongs to the whole deployment.
const PLATFORM: &str = "platform";

/// What a data key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The pages of the platform's database.
    Sqlite,
    /// The keyed hash of API keys: a stolen database alone cannot test guesses.
    Pepper,
    /// Provider keys and other secrets, sealed a second time inside the database.
    Secrets,
    /// Blocks of keys and values on disk.
    Kv,
}

impl Purpose {
    pub const ALL: [Purpose; 4] = [Purpose::Sqlite, Purpose::Pepper, Purpose::Secrets, Purpose::Kv];
    /// What a ring of an older version lacks and is given at its next opening:
    /// these keys protect caches, so nothing is lost when a new one begins.
    const LATER: [Purpose; 1] = [Purpose::Kv];

    pub const fn name(self) -> &'static str {
        match self {
            Purpose::Sqlite => "sqlite",
            Purpose::Pepper => "pepper",
            Purpose::Secrets => "secrets",
            Purpose::Kv => "kv",
        }
    }
}

/// The data keys of one data directory. No `Debug`.
#[derive(Clone)]
pub struct KeyRing {
    keys: Vec<DataKey>,
}

#[derive(Clone)]
struct DataKey {
    tenant: String,
    purpose: String,
    version: u32,
    key: SecretKey,
}

impl DataKey {
    fn random(purpose: Purpose) -> DataKey {
        let (tenant, purpose) = (PLATFORM.into(), purpose.name().into());
        DataKey { tenant, purpose, version: 1, key: SecretKey::random() }
    }
}

impl KeyRing {
    /// Opens the ring of a data directory; makes directory, master key and ring
    /// at the first start. Refuses to make a new ring where there is data
    /// already: that data could never be read again.
    pub fn open(dir: &Path, source: &Source) -> Result<KeyRing, Error> {
        let path = dir.join(RING_FILE);
        if let Some(ring) = read_ring(&path)? {
            let master = source.find(dir, &ring)?;
            let keys = KeyRing::unwrap(&ring, &master, &path)?;
            if keys.keys.len() > ring.keys.len() {
                // Where nothing can be written a cache begins anew at each start.
                let _ = file::write_private(&path, keys.wrap(&master, ring.lock).write().as_bytes());
            }
            return Ok(keys);
        }
        if has_data(dir)? {
            return Err(Error::Missing { path: path.display().to_string() });
        }
        file::make_dir(dir)?;
        let (master, lock) = source.make(&dir.join(MASTER_FILE))?;
        let keys = KeyRing::ephemeral();
        if file::create_private(&path, keys.wrap(&master, lock).write().as_bytes())? {
            return Ok(keys);
        }
        // Another process was faster: its ring is the one.
        let ring = read_ring(&path)?.ok_or_else(|| Error::Missing { path: path.display().to_string() })?;
        KeyRing::unwrap(&ring, &source.find(dir, &ring)?, &path)
    }

    /// A ring that is nowhere stored: for tests, and for a run without a disk.
    pub fn ephemeral() -> KeyRing {
        KeyRing { keys: Purpose::ALL.map(DataKey::random).into() }
    }

    /// Puts the ring under another master key. The data keys stay, so the data
    /// does too. After a crash at any point the ring opens under the old source
    /// or the new one:
    /// 1. a new key file is written beside the old one,
    /// 2. the ring is replaced: this is the change,
    /// 3. the new key file takes the old one's place (or the old one, useless now, goes).
    ///
    /// [`KeyRing::open`] finishes 3, or forgets 1.
    pub fn rewrap(dir: &Path, old: &Source, new: &Source) -> Result<KeyRing, Error> {
        let keys = KeyRing::open(dir, old)?;
        let (file, next) = (dir.join(MASTER_FILE), dir.join(NEXT_FILE));
        if next.exists() {
            fs::remove_file(&next).map_err(|e| Error::io(&next, e))?;
        }
        let (master, lock) = new.make(&next)?;
        file::write_private(&dir.join(RING_FILE), keys.wrap(&master, lock).write().as_bytes())?;
        match new {
            Source::File => master::promote_next(dir)?,
            _ if file.exists() => {
                fs::remove_file(&file).map_err(|e| Error::io(&file, e))?;
                file::sync_dir_of(&file)?;
            }
            _ => {}
        }
        Ok(keys)
    }

    /// The newest key of a purpose.
    pub fn key(&self, purpose: Purpose) -> SecretKey {
        let of = self.keys.iter().filter(|k| k.tenant == PLATFORM && k.purpose == purpose.name());
        of.max_by_key(|k| k.version).expect("`unwrap` checks that each purpose has a key").key.clone()
    }

    /// Encrypts a value for `purpose`, bound to `name`. 28 bytes longer than it.
    pub fn seal(&self, purpose: Purpose, name: &str, value: &[u8]) -> Vec<u8> {
        seal(&self.key(purpose), &aad(PLATFORM, purpose.name(), 1, name), value)
    }

    /// What [`KeyRing::seal`] was given, for the same purpose and name.
    pub fn unseal(&self, purpose: Purpose, name: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        unseal(&self.key(purpose), &aad(PLATFORM, purpose.name(), 1, name), sealed).ok_or(Error::Sealed)
    }

    fn wrap(&self, master: &SecretKey, lock: Lock) -> RingText {
        let wrapped = |k: &DataKey| {
            let sealed = seal(master, &aad(&k.tenant, &k.purpose, k.version, ""), k.key.expose());
            Wrapped {
                tenant: k.tenant.clone(),
                purpose: k.purpose.clone(),
                version: k.version,
                bytes: sealed.try_into().expect("a wrapped key has a fixed length"),
            }
        };
        let fingerprint = master::fingerprint(master);
        RingText { lock, fingerprint, keys: self.keys.iter().map(wrapped).collect() }
    }

    fn unwrap(ring: &RingText, master: &SecretKey, path: &Path) -> Result<KeyRing, Error> {
        let mut keys = Vec::with_capacity(ring.keys.len());
        for w in &ring.keys {
            let plain = unseal(master, &aad(&w.tenant, &w.purpose, w.version, ""), &w.bytes);
            let bytes = plain.and_then(|p| <[u8; WRAPPED - NONCE - TAG]>::try_from(p.as_slice()).ok());
            let what =
                || Error::damaged(path, format!("key {} {} {} was changed", w.tenant, w.purpose, w.version));
            let key = SecretKey::from_bytes(bytes.ok_or_else(what)?);
            let (tenant, purpose) = (w.tenant.clone(), w.purpose.clone());
            keys.push(DataKey { tenant, purpose, version: w.version, key });
        }
        for purpose in Purpose::ALL {
            if !keys.iter().any(|k| k.tenant == PLATFORM && k.purpose == purpose.name()) {
                if Purpose::LATER.contains(&purpose) {
                    keys.push(DataKey::random(purpose));
                    continue;
                }
                return Err(Error::damaged(path, format!("it has no key for {}", purpose.name())));
            }
        }
        Ok(KeyRing { keys })
    }
}

/// What a sealed value is bound to. None of the first parts holds a `|`.
fn aad(tenant: &str, purpose: &str, version: u32, name: &str) -> String {
    format!("bedplate|{tenant}|{purpose}|{version}|{name}")
}

/// Nonce, ciphertext, tag. The nonce is random: a key seals a few thousand
/// values at most, where 96 bits are far from colliding.
fn seal(key: &SecretKey, aad: &str, value: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE] = random();
    let mut sealed = Vec::with_capacity(NONCE + value.len() + TAG);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(value);
    let tag = cipher(key)
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad.as_bytes()),
            &mut sealed[NONCE..],
        )
        .expect("a value is far below AES-GCM's 64 GiB");
    sealed.extend_from_slice(tag.as_ref());
    sealed
}

fn unseal(key: &SecretKey, aad: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, rest) = sealed.split_at_checked(NONCE)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut plain = Zeroizing::new(rest.to_vec());
    let length = cipher(key).open_in_place(nonce, Aad::from(aad.as_bytes()), &mut plain).ok()?.len();
    plain.truncate(length);
    Some(plain)
}

fn cipher(key: &SecretKey) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.expose()).expect("the key has 32 bytes"))
}

fn read_ring(path: &Path) -> Result<Option<RingText>, Error> {
    file::read(path)?.map(|text| RingText::read(&text, path)).transpose()
}

fn has_data(dir: &Path) -> Result<bool, Error> {
    match fs::read_dir(dir) {
        Ok(mut entries) => {
            Ok(entries.any(|e| e.is_ok_and(|e| e.path().extension().is_some_and(|x| x == "db"))))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io(dir, e)),
    }
}
