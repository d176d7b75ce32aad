//! Joules, where the machine counts them.
//!
//! RAPL through `/sys/class/powercap`: packages only (their sub-zones are
//! contained in them), all of the machine and not only the server. Virtual
//! machines have none; then CPU-seconds stand for joules.

use std::fs;
use std::path::{Path, PathBuf};

/// The package counters, in microjoules, and where each begins again.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading(Vec<(u64, u64)>);

pub fn read() -> Option<Reading> {
    let zones = packages(Path::new("/sys/class/powercap"));
    let number = |path: PathBuf| fs::read_to_string(path).ok()?.trim().parse().ok();
    let counters: Option<Vec<_>> = zones
        .iter()
        .map(|zone| Some((number(zone.join("energy_uj"))?, number(zone.join("max_energy_range_uj"))?)))
        .collect();
    counters.filter(|all| !all.is_empty()).map(Reading)
}

/// `intel-rapl:0`, `intel-rapl:1`, ...; not `intel-rapl:0:0`.
fn packages(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|e| {
            let name = e.file_name().to_string_lossy().into_owned();
            name.starts_with("intel-rapl:") && name.matches(':').count() == 1
        })
        .map(|e| e.path())
        .collect();
    found.sort();
    found
}

/// Joules between two readings. A counter that ran over is added once: at 1 kW
/// the usual range of 262 kJ lasts four minutes.
pub fn joules(before: &Reading, after: &Reading) -> f64 {
    let each = before.0.iter().zip(&after.0);
    let micros: u64 = each
        .map(
            |((before, range), (after, _))| {
                if after >= before { after - before } else { after + range.saturating_sub(*before) }
            },
        )
        .sum();
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_ran_over_goes_on() {
        let reading = |n| Reading(vec![(n, 1_000_000_000), (5, 10)]);
        assert_eq!(joules(&reading(1_000_000), &reading(3_500_000)), 2.5);
        assert_eq!(joules(&reading(999_000_000), &reading(1_000_000)), 2.0);
    }

    #[test]
    fn only_whole_packages_count() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["intel-rapl:0", "intel-rapl:0:0", "intel-rapl:1", "dtpm"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        assert_eq!(packages(folder.path()).len(), 2);
        assert!(packages(Path::new("/nowhere")).is_empty());
    }
}
