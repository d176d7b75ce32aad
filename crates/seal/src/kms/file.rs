//! A master key in a file that only its owner reads: made at the first start.
//!
//! ```text
//! <base64>              a file of one version, as older releases wrote it
//! 2 <base64>            or a line per version, the oldest first
//! 3 <base64>
//! ```

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{About, Kms, Wrapping, key_text, local, read_key};
use crate::{Error, SecretKey, file};

/// The master key's file in the data directory.
pub const MASTER_FILE: &str = "master.key";
/// Where older releases put a new master key while the ring was changed.
pub(crate) const NEXT_FILE: &str = "master.key.next";
/// More versions than a ring ever needs: one to go and one to come.
const VERSIONS_MAX: usize = 16;

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

/// The versions of a key, in a file.
pub struct FileKms {
    path: PathBuf,
}

type Versions = Vec<(u32, SecretKey)>;

impl FileKms {
    pub fn new(dir: &Path) -> FileKms {
        FileKms { path: dir.join(MASTER_FILE) }
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// At least one, the newest last.
    fn read(&self) -> Result<Versions, Error> {
        let missing = || Error::Missing { path: self.shown() };
        match file::mode(&self.path)? {
            None => return Err(missing()),
            Some(mode) if mode & 0o077 != 0 => return Err(Error::Mode { path: self.shown(), mode }),
            Some(_) => {}
        }
        let text = file::read(&self.path)?.ok_or_else(missing)?;
        let damaged = || Error::damaged(&self.path, "it does not hold 32 bytes in base64");
        let mut versions: Versions = Vec::new();
        for line in text.lines() {
            let (version, key) = match line.split_once(' ') {
                Some((version, key)) => (version.parse().map_err(|_| damaged())?, key),
                None => (1, line),
            };
            if versions.last().is_some_and(|(last, _)| *last >= version) || versions.len() == VERSIONS_MAX {
                return Err(damaged());
            }
            versions.push((version, read_key(key).ok_or_else(damaged)?));
        }
        if versions.is_empty() { Err(damaged()) } else { Ok(versions) }
    }

    /// The newest key, as rings of the first format were wrapped by it.
    pub(crate) fn newest(&self) -> Result<SecretKey, Error> {
        Ok(newest(&self.read()?).1.clone())
    }

    fn write(&self, versions: &[(u32, SecretKey)]) -> Result<(), Error> {
        file::replace_erasing(&self.path, text(versions).as_bytes())
    }
}

fn newest(versions: &[(u32, SecretKey)]) -> &(u32, SecretKey) {
    versions.last().expect("`read` gives at least one")
}

fn text(versions: &[(u32, SecretKey)]) -> Zeroizing<String> {
    // All at once: a string that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(versions.len() * 64));
    for (version, key) in versions {
        if *version != 1 || versions.len() > 1 {
            text.push_str(&format!("{version} "));
        }
        text.push_str(&key_text(key));
        text.push('\n');
    }
    text
}

impl Kms for FileKms {
    fn kind(&self) -> &'static str {
        "file"
    }

    fn prepare(&self) -> Result<(), Error> {
        if file::mode(&self.path)?.is_none() {
            // If another process is faster, its key is the one.
            file::create_private(&self.path, text(&[(1, SecretKey::random())]).as_bytes())?;
        }
        self.read().map(drop)
    }

    fn about(&self) -> Result<About, Error> {
        let versions = self.read()?;
        let (newest, oldest) = (newest(&versions).0, versions[0].0);
        Ok(About { kind: self.kind(), key: self.shown(), newest, oldest, rotates: true, destroys: true })
    }

    fn wrap(&self, key: &SecretKey, context: &[u8]) -> Result<Wrapping, Error> {
        let versions = self.read()?;
        let (version, master) = newest(&versions);
        Ok(Wrapping { version: *version, bytes: local::wrap(master, key, context) })
    }

    fn unwrap(&self, wrapping: &Wrapping, context: &[u8]) -> Result<SecretKey, Error> {
        let versions = self.read()?;
        let found = versions.iter().find(|(version, _)| *version == wrapping.version);
        let (_, master) = found.ok_or_else(|| Error::NoKey {
            kms: self.shown(),
            key: format!("version {}", wrapping.version),
        })?;
        local::unwrap(master, &wrapping.bytes, context, &self.shown())
    }

    fn rotate(&self) -> Result<u32, Error> {
        let mut versions = self.read()?;
        if versions.len() == VERSIONS_MAX {
            return Err(Error::Cannot {
                kms: self.shown(),
                what: "holds 16 versions: destroy old ones first",
            });
        }
        let version = newest(&versions).0 + 1;
        versions.push((version, SecretKey::random()));
        self.write(&versions)?;
        Ok(version)
    }

    fn destroy(&self, below: u32) -> Result<(), Error> {
        let mut versions = self.read()?;
        if newest(&versions).0 < below {
            return Err(Error::NoKey { kms: self.shown(), key: format!("version {below}") });
        }
        let before = versions.len();
        versions.retain(|(version, _)| *version >= below);
        if versions.len() < before { self.write(&versions) } else { Ok(()) }
    }
}
