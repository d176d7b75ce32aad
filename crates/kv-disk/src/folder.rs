//! The folder: `<fingerprint>/<first byte of the key>/<key>.kv`.
//!
//! Only what bears such names is ever touched, so a folder given by mistake
//! loses nothing: inside the two levels of hexadecimal names, whatever is not
//! a block is removed (temporary files of a run that died, mostly).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use scheduler::BlockKey;
use units::Micros;

use crate::block::OVERHEAD;
use crate::index::Id;

/// Blocks that nobody used for so long are removed at the start: those of a
/// model that was replaced, and prompts that nobody sends any more.
const IDLE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// A block on the disk.
pub(crate) struct Found {
    pub(crate) id: Id,
    pub(crate) length: u64,
    /// Its last use, since 1970.
    used: Duration,
}

pub(crate) fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::read_dir(folder).map(|_| ())
}

pub(crate) fn path(folder: &Path, (fingerprint, key): Id) -> PathBuf {
    folder.join(format!("{fingerprint:032x}")).join(format!("{:02x}", key.0 >> 120)).join(format!("{key}.kv"))
}

/// Writes the file of a block: whole under its name, or not at all. Not synced:
/// what a power failure tears does not open, and that is a miss.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let beside = path.with_extension(format!("{}.{count}.tmp", std::process::id()));
    let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
    let file = match create() {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let parent = beside.parent().expect("a block lies in a folder");
            DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
            create()
        }
        other => other,
    };
    let written = file.and_then(|mut file| file.write_all(bytes)).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Marks the file as used now, so that the order of use survives a restart.
pub(crate) fn mark_used(file: &File) {
    let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let _ = rustix::fs::futimens(file, &Timestamps { last_access: omit, last_modification: now });
}

/// Removes what is not a block or was idle for too long; what is left, the
/// least recently used first.
pub(crate) fn scan(folder: &Path, now: Micros) -> Vec<Found> {
    let oldest = Duration::from_micros(u64::try_from(now.0).unwrap_or(0)).saturating_sub(IDLE_MAX);
    let mut found = Vec::new();
    for (fingerprint, model) in numbered(folder, 32) {
        for (first, shelf) in numbered(&model, 2) {
            for entry in fs::read_dir(&shelf).into_iter().flatten().flatten() {
                match block(&entry, fingerprint).filter(|b| b.id.1.0 >> 120 == first && b.used >= oldest) {
                    Some(block) => found.push(block),
                    None => drop(fs::remove_file(entry.path())),
                }
            }
            // These succeed only for empty folders.
            let _ = fs::remove_dir(&shelf);
        }
        let _ = fs::remove_dir(&model);
    }
    found.sort_by_key(|b| (b.used, b.id));
    found
}

fn block(entry: &fs::DirEntry, fingerprint: u128) -> Option<Found> {
    let name = entry.file_name();
    let key = hexadecimal(name.to_str()?.strip_suffix(".kv")?, 32)?;
    // Of the entry itself: a link is no block.
    let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
    let used = meta.modified().ok()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(Found { id: (fingerprint, BlockKey(key)), length: meta.len().checked_sub(OVERHEAD)?, used })
}

/// The folders inside whose names are numbers of so many digits.
fn numbered(folder: &Path, digits: usize) -> Vec<(u128, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    folders.filter_map(|e| Some((hexadecimal(e.file_name().to_str()?, digits)?, e.path()))).collect()
}

/// A number as we write it: of exactly so many lowercase digits.
fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    let ours = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    u128::from_str_radix(text, 16).ok().filter(|_| ours)
}
