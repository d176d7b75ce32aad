//! RAPL, by the kernel's power capping folder: a zone for each processor
//! package. Its sub-zones (cores, memory) are contained in it, so they are not added.
//!
//! Virtual machines have none. Since 2020 the counters are readable by root
//! alone, because their resolution tells strangers too much (CVE-2020-8694).

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::{Counter, Found};

struct Package {
    name: String,
    counter: PathBuf,
    range: u64,
}

impl Counter for Package {
    fn name(&self) -> &str {
        &self.name
    }
    fn microjoules(&mut self) -> Option<u64> {
        number(&self.counter).ok()
    }
    fn range(&self) -> Option<u64> {
        Some(self.range)
    }
}

/// Adds the packages below a folder, in the order of their numbers.
pub(crate) fn find(folder: &Path, found: &mut Found) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    // `intel-rapl:0`, `intel-rapl:1`, of AMD's processors too; not `intel-rapl:0:0`.
    let numbered = entries.filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        Some((name.strip_prefix("intel-rapl:")?.parse::<u32>().ok()?, entry.path()))
    });
    let mut zones: Vec<(u32, PathBuf)> = numbered.collect();
    zones.sort();
    for (index, zone) in zones {
        // `package-0`; on some laptops there is a zone `psys` of the whole board beside it.
        let name = fs::read_to_string(zone.join("name")).unwrap_or_default().trim().to_owned();
        if !name.is_empty() && !name.starts_with("package") {
            continue;
        }
        let name = if name.is_empty() { format!("package-{index}") } else { name };
        let counter = zone.join("energy_uj");
        match (number(&counter), number(&zone.join("max_energy_range_uj"))) {
            (Ok(_), Ok(range)) => found.counters.push(Box::new(Package { name, counter, range })),
            (Err(error), _) if error.kind() == ErrorKind::PermissionDenied => {
                found.hidden.push(format!("{name}: only root may read {}", counter.display()));
            }
            (Err(error), _) | (_, Err(error)) => {
                found.hidden.push(format!("{name}: {} cannot be read: {error}", counter.display()));
            }
        }
    }
}

fn number(path: &Path) -> std::io::Result<u64> {
    fs::read_to_string(path)?.trim().parse().map_err(|e| std::io::Error::new(ErrorKind::InvalidData, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A recorded tree: two packages, a sub-zone, the board, another driver.
    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (zone, name, energy) in [
            ("intel-rapl:0", "package-0", "262143000000\n"),
            ("intel-rapl:0:0", "core", "100\n"),
            ("intel-rapl:1", "package-1", "5\n"),
            ("intel-rapl:10", "psys", "7\n"),
            ("dtpm", "", ""),
        ] {
            let zone = folder.path().join(zone);
            fs::create_dir(&zone).expect("a zone");
            fs::write(zone.join("name"), format!("{name}\n")).expect("written");
            fs::write(zone.join("energy_uj"), energy).expect("written");
            fs::write(zone.join("max_energy_range_uj"), "262143328850\n").expect("written");
        }
        folder
    }

    #[test]
    fn only_whole_packages_count() {
        let folder = tree();
        let mut found = Found::default();
        find(folder.path(), &mut found);
        let mut read: Vec<(String, Option<u64>, Option<u64>)> = Vec::new();
        for counter in &mut found.counters {
            read.push((counter.name().to_owned(), counter.microjoules(), counter.range()));
        }
        let range = Some(262_143_328_850);
        assert_eq!(
            read,
            [("package-0".into(), Some(262_143_000_000), range), ("package-1".into(), Some(5), range)]
        );
        assert!(found.hidden.is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_told_and_not_guessed() {
        let folder = tree();
        fs::write(folder.path().join("intel-rapl:0/energy_uj"), "soon\n").expect("written");
        fs::remove_file(folder.path().join("intel-rapl:1/max_energy_range_uj")).expect("removed");
        let mut found = Found::default();
        find(folder.path(), &mut found);
        assert!(found.counters.is_empty());
        assert_eq!(found.hidden.len(), 2, "{:?}", found.hidden);
        let mut none = Found::default();
        find(Path::new("/nowhere"), &mut none);
        assert!(none.counters.is_empty() && none.hidden.is_empty());
    }
}
