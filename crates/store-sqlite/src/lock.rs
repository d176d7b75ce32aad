//! One process per data directory.
//!
//! `flock` rather than a file's existence: the kernel lets go of it however the
//! process ends, so a lock left by `kill -9` is none.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use store::Error;

use crate::LOCK_FILE;
use crate::error::from_io;

/// Held as long as it lives.
pub(crate) struct Lock(File);

impl Lock {
    pub fn take(dir: &Path) -> Result<Lock, Error> {
        let path = dir.join(LOCK_FILE);
        let io = |e: std::io::Error| from_io(&path.display().to_string(), &e);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = file.take(20).read_to_string(&mut pid);
                let pid = if pid.trim().is_empty() { "unknown".into() } else { pid.trim().to_owned() };
                return Err(Error::Locked { path: dir.display().to_string(), pid });
            }
            Err(TryLockError::Error(e)) => return Err(io(e)),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Lock(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Not only by closing: a child that another thread is starting has a
        // copy of the descriptor until it executes, and the lock would live on.
        let _ = self.0.unlock();
    }
}
