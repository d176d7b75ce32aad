//! What the disk itself can do.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;

use anyhow::{Context, Result};

use crate::clock;

/// Overwrites 4 KiB and waits for `fdatasync`, `count` times, page after page:
/// how often a second something can become durable on this disk, one after the
/// other. Overwriting and not appending, as a write-ahead log mostly does: a
/// file that grows must also sync its length.
pub fn syncs_per_second(folder: &Path, count: u32) -> Result<f64> {
    let path = folder.join("sync-probe");
    let mut file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    let page = [0x5a; 4096];
    (0..count).try_for_each(|_| file.write_all(&page))?;
    file.sync_all()?;
    file.rewind()?;
    let start = clock::now();
    for _ in 0..count {
        file.write_all(&page)?;
        file.sync_data()?;
    }
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    std::fs::remove_file(&path)?;
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        assert!(syncs_per_second(folder.path(), 3).unwrap() > 0.0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
