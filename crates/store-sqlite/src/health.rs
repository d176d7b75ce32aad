//! What `bedplate doctor` asks about a data directory.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use store::Error;

use crate::error::from_io;
use crate::writer::now;
use crate::{DATABASE_FILE, schema};

/// How long the disk takes to make 4 KiB durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncLatency {
    pub count: usize,
    pub median: Duration,
    pub max: Duration,
}

/// Writes and syncs (`fdatasync`) 4 KiB `count` times (1 to 1,000) in a file of
/// its own in `dir`, which is removed again. A group commit takes one of these:
/// its median bounds what the ledger adds to a lone request.
pub fn sync_latency(dir: &Path, count: usize) -> Result<SyncLatency, Error> {
    let path = dir.join(format!(".sync-test.{}", std::process::id()));
    let times = measure(&path, count.clamp(1, 1_000));
    let _ = fs::remove_file(&path);
    let mut times = times.map_err(|e| from_io(&path.display().to_string(), &e))?;
    times.sort_unstable();
    Ok(SyncLatency { count: times.len(), median: times[times.len() / 2], max: times[times.len() - 1] })
}

fn measure(path: &Path, count: usize) -> std::io::Result<Vec<Duration>> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    // The first write grows the file; the WAL mostly overwrites itself.
    file.write_all(&[0; 4096])?;
    file.sync_all()?;
    let mut times = Vec::with_capacity(count);
    for n in 0..count {
        let start = now();
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&[n as u8; 4096])?;
        file.sync_data()?;
        times.push(now().saturating_duration_since(start));
    }
    Ok(times)
}

/// What is in a data directory, without opening the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The version of the tables that this binary writes.
    pub schema: u32,
    /// Bytes of the database; `None` when there is none yet.
    pub database_bytes: Option<u64>,
    /// Bytes of its write-ahead log.
    pub wal_bytes: u64,
}

pub fn health(dir: &Path) -> Health {
    let length = |name: &str| fs::metadata(dir.join(name)).map(|m| m.len()).ok();
    Health {
        schema: schema::VERSION,
        database_bytes: length(DATABASE_FILE),
        wal_bytes: length(&format!("{DATABASE_FILE}-wal")).unwrap_or(0),
    }
}
