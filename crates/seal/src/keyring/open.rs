//! Opening a ring, making the first, and moving one to another KMS.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::old::{self, OldRing};
use super::text::{Owner, RingText};
use super::{KeyRing, Purpose, State};
use crate::kms::{About, FileKms, GivenKms, Kms, MASTER_FILE, PassphraseKms};
use crate::{Error, RING_FILE, SecretKey, file};

/// Where the master key is to be had. No `Debug`: some carry it.
#[derive(Clone)]
pub enum Source {
    /// `<dir>/master.key`, made at the first start.
    File,
    /// A passphrase, stretched by Argon2id: about 25 ms and 19 MiB at each start.
    Passphrase(Arc<PassphraseKms>),
    /// The key itself.
    Given(Arc<GivenKms>),
    /// Whoever else keeps it.
    Kms(Arc<dyn Kms>),
}

impl Source {
    /// 32 bytes as base64 (44 characters) or hexadecimal (64), spaces around ignored.
    ///
    /// # Errors
    /// [`Error::NotAKey`].
    pub fn given(text: &str) -> Result<Source, Error> {
        GivenKms::read(text).map(|kms| Source::Given(Arc::new(kms)))
    }
    pub fn passphrase(text: impl Into<String>) -> Source {
        Source::Passphrase(Arc::new(PassphraseKms::new(text)))
    }
    /// As `--master-key` names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Source::File => "file",
            Source::Passphrase(kms) => kms.kind(),
            Source::Given(kms) => kms.kind(),
            Source::Kms(kms) => kms.kind(),
        }
    }
    /// What there is to say about the key, asked of whoever keeps it. A key file
    /// is looked at by [`crate::inspect`].
    ///
    /// # Errors
    /// As [`Kms::about`].
    pub fn about(&self) -> Result<About, Error> {
        self.kms(Path::new("")).about()
    }
    fn kms(&self, dir: &Path) -> Arc<dyn Kms> {
        match self {
            Source::File => Arc::new(FileKms::new(dir)),
            Source::Passphrase(kms) => kms.clone(),
            Source::Given(kms) => kms.clone(),
            Source::Kms(kms) => kms.clone(),
        }
    }
}

/// What a ring says without being opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingShown {
    /// Who keeps the master key, as `--master-key` names it.
    pub kind: String,
    /// Which key of theirs.
    pub key: String,
    /// The version that wraps the root.
    pub version: u32,
}

/// Looks at a directory's ring. `None`: there is none, or one of the first format.
///
/// # Errors
/// [`Error::Io`], [`Error::Damaged`].
pub fn inspect_ring(dir: &Path) -> Result<Option<RingShown>, Error> {
    let path = dir.join(RING_FILE);
    let Some(text) = file::read(&path)? else { return Ok(None) };
    if text.lines().next() == Some(old::HEAD) {
        return Ok(None);
    }
    let ring = RingText::read(&text, &path)?;
    Ok(Some(RingShown { kind: ring.kind, key: ring.kms_key, version: ring.root.version }))
}

impl KeyRing {
    /// Opens the ring of a data directory; makes directory, master key and ring
    /// at the first start. Refuses to make a new ring where there is data
    /// already: that data could never be read again. What an interrupted change
    /// of the root left to be done is done, if the KMS lets it.
    ///
    /// # Errors
    /// Whatever keeps the ring from opening; nothing has changed then.
    pub fn open(dir: &Path, source: &Source) -> Result<KeyRing, Error> {
        let path = dir.join(RING_FILE);
        let missing = || Error::Missing { path: path.display().to_string() };
        let kms = source.kms(dir);
        if let Some(text) = file::read(&path)? {
            return opened(dir, source, kms, &text);
        }
        if has_data(dir)? {
            return Err(missing());
        }
        file::make_dir(dir)?;
        kms.prepare()?;
        let state = State::new(&*kms, Vec::new())?;
        if file::create_private(&path, state.ring.write(&state.root).as_bytes())? {
            return Ok(KeyRing::with(Some(path), kms, state));
        }
        // Another process was faster: its ring is the one.
        let text = file::read(&path)?.ok_or_else(missing)?;
        opened(dir, source, kms, &text)
    }

    /// Puts the ring under another KMS, with a new root. All data stays as it is.
    /// Cut short, the ring opens under the old one or the new one.
    ///
    /// A key file that is no longer needed is removed; of what an outside KMS
    /// keeps nothing is destroyed, for its key may have other uses.
    ///
    /// # Errors
    /// As [`KeyRing::open`] and the calls of the new KMS.
    pub fn rewrap(dir: &Path, old: &Source, new: &Source) -> Result<KeyRing, Error> {
        let ring = KeyRing::open(dir, old)?;
        if let (Source::File, Source::File) = (old, new) {
            ring.rotate_root(true)?;
            return Ok(ring);
        }
        let kms = new.kms(dir);
        kms.prepare()?;
        let mut state = State::clone(&ring.state());
        state.change_root(&*kms)?;
        (state.ring.owed, state.ring.retire) = (false, None);
        let moved = KeyRing::with(Some(dir.join(RING_FILE)), kms, State::clone(&state));
        moved.put(&moved.changing(), state)?;
        if let Source::File = old {
            file::remove_erasing(&dir.join(MASTER_FILE))?;
        }
        Ok(moved)
    }
}

fn opened(dir: &Path, source: &Source, kms: Arc<dyn Kms>, text: &str) -> Result<KeyRing, Error> {
    let path = dir.join(RING_FILE);
    if text.lines().next() == Some(old::HEAD) {
        let keys = OldRing::read(text, &path)?.open(dir, source)?;
        for purpose in Purpose::ALL.iter().filter(|p| !Purpose::LATER.contains(p)) {
            if !keys.iter().any(|(have, ..)| have == purpose.name()) {
                return Err(Error::damaged(&path, format!("it has no key for {}", purpose.name())));
            }
        }
        let ring = KeyRing::with(Some(path), kms.clone(), State::new(&*kms, keys)?);
        let state = State::clone(&ring.state());
        ring.put(&ring.changing(), state)?;
        return Ok(ring);
    }
    let ring = RingText::read(text, &path)?;
    if ring.kind != kms.kind() {
        return Err(Error::OtherKind {
            path: path.display().to_string(),
            expected: format!("--master-key {}", ring.kind),
            given: kms.kind().into(),
        });
    }
    let context = crate::envelope::aad(&[b"root", &ring.id]);
    let root = kms.unwrap(&ring.root, &context)?;
    let state = verified(text, ring, root, &path)?;
    let ring = KeyRing::with(Some(path), kms, state);
    if ring.is_root_owed() {
        // What fails stays owed; the ring opens nevertheless.
        let _ = ring.settle(&ring.changing());
    }
    Ok(ring)
}

/// The ring, if the root vouches for the text and opens all of the platform's keys.
fn verified(text: &str, ring: RingText, root: SecretKey, path: &Path) -> Result<State, Error> {
    if !RingText::is_authentic(text, &root) {
        return Err(Error::damaged(path, "it was changed"));
    }
    let mut state = State { root, ring };
    for purpose in Purpose::ALL {
        if state.data_key(Owner::Platform, purpose)?.is_some() {
            continue;
        }
        if !Purpose::LATER.contains(&purpose) {
            return Err(Error::damaged(path, format!("it has no key for {}", purpose.name())));
        }
        // Where nothing can be written they begin anew at each start, and nothing is kept under them either.
        state.add(Owner::Platform, purpose.name(), 1, &SecretKey::random())?;
        let _ = file::write_private(path, state.ring.write(&state.root).as_bytes());
    }
    Ok(state)
}

/// Whether there is a database that a new ring could not open.
fn has_data(dir: &Path) -> Result<bool, Error> {
    match fs::read_dir(dir) {
        Ok(mut entries) => {
            Ok(entries.any(|e| e.is_ok_and(|e| e.path().extension().is_some_and(|x| x == "db"))))
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io(dir, e)),
    }
}
