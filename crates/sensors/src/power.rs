//! The machine's power as it was measured last, for whoever charges for time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Shared by all clones. Zero stands for "not measured": a machine that runs uses some.
#[derive(Clone, Debug, Default)]
pub struct Power(Arc<AtomicU64>);

impl Power {
    /// `None` when the last reading failed.
    pub fn set(&self, milliwatts: Option<u64>) {
        self.0.store(milliwatts.unwrap_or(0), Relaxed);
    }
    /// `None` where nothing is measured.
    pub fn milliwatts(&self) -> Option<u64> {
        Some(self.0.load(Relaxed)).filter(|mw| *mw > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_measured_is_not_known() {
        let power = Power::default();
        assert_eq!(power.milliwatts(), None);
        power.clone().set(Some(65_000));
        assert_eq!(power.milliwatts(), Some(65_000));
        power.set(None);
        assert_eq!(power.milliwatts(), None);
    }
}
