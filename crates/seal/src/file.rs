//! Small private files, replaced whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::Error;

/// The largest key file that is read: a ring of 10,000 tenants with two keys each is 4 MB.
const READ_MAX: u64 = 256 << 20;

/// Makes the directory, for its owner only, if there is none.
pub(crate) fn make_dir(dir: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| Error::io(dir, e))
}

/// Replaces the file by `bytes`, readable by its owner only. After a crash at
/// any point it is the old one or the new one: written beside, synced, renamed,
/// and the directory synced.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let beside = write_beside(path, bytes)?;
    fs::rename(&beside, path).map_err(|e| Error::io(path, e))?;
    sync_dir_of(path)
}

/// As [`write_private`], and what was there is overwritten with zeros, unless
/// somebody else holds a link to it. The best that can be done from here: a
/// journal or the spare blocks of a flash disk may keep copies, so nothing
/// relies on it.
pub(crate) fn replace_erasing(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let old = OpenOptions::new().write(true).open(path);
    write_private(path, bytes)?;
    let Ok(mut old) = old else { return Ok(()) };
    let erased = old.metadata().and_then(|meta| match meta.nlink() {
        0 => old.write_all(&vec![0; meta.len() as usize]).and_then(|()| old.sync_data()),
        _ => Ok(()),
    });
    // The new file stands; what failed is a courtesy.
    drop(erased);
    Ok(())
}

/// Removes the file, overwritten as [`replace_erasing`] does.
pub(crate) fn remove_erasing(path: &Path) -> Result<(), Error> {
    replace_erasing(path, b"")?;
    fs::remove_file(path).map_err(|e| Error::io(path, e))?;
    sync_dir_of(path)
}

/// Creates the file as [`write_private`] does, unless there is one: then `false`.
pub(crate) fn create_private(path: &Path, bytes: &[u8]) -> Result<bool, Error> {
    let beside = write_beside(path, bytes)?;
    // A link, unlike a rename, does not replace what another process made meanwhile.
    let made = match fs::hard_link(&beside, path) {
        Ok(()) => true,
        Err(e) if e.kind() == ErrorKind::AlreadyExists => false,
        Err(e) => return Err(Error::io(path, e)),
    };
    fs::remove_file(&beside).map_err(|e| Error::io(&beside, e))?;
    sync_dir_of(path)?;
    Ok(made)
}

pub(crate) fn sync_dir_of(path: &Path) -> Result<(), Error> {
    let dir = path.parent().expect("a key file lies in a directory");
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| Error::io(dir, e))
}

/// The text of the file; `None` if there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Zeroizing<String>>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(path, e)),
    };
    let mut text = Zeroizing::new(String::new());
    match file.take(READ_MAX).read_to_string(&mut text) {
        Ok(_) => Ok(Some(text)),
        Err(e) if e.kind() == ErrorKind::InvalidData => Err(Error::damaged(path, "it is not text")),
        Err(e) => Err(Error::io(path, e)),
    }
}

/// The permission bits, if there is a file.
pub(crate) fn mode(path: &Path) -> Result<Option<u32>, Error> {
    match fs::metadata(path) {
        Ok(meta) => Ok(Some(meta.mode() & 0o7777)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(path, e)),
    }
}

fn write_beside(path: &Path, bytes: &[u8]) -> Result<PathBuf, Error> {
    let name = path.file_name().expect("a key file has a name").to_string_lossy();
    // The process id keeps two first starts apart; what a killed process of the
    // same id left behind is not worth keeping.
    let beside = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let _ = fs::remove_file(&beside);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .map_err(|e| Error::io(&beside, e))?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(e) = written {
        let _ = fs::remove_file(&beside);
        return Err(Error::io(path, e));
    }
    Ok(beside)
}
