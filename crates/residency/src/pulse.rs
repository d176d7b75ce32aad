//! The wedge detector (TRAPS R2): work is there and nothing comes of it.

use units::Micros;

/// Watches one engine's counters from outside its thread.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pulse {
    progress: u64,
    /// Since when there is work and the progress has not changed.
    still_since: Option<Micros>,
}

impl Pulse {
    /// Looks once: `work` requests wait or run, and `progress` grows with every
    /// step. Returns for how many microseconds work has been there without any
    /// progress; 0 for a healthy or an idle engine.
    pub fn beat(&mut self, now: Micros, work: u64, progress: u64) -> u64 {
        if work == 0 || progress != self.progress {
            *self = Pulse { progress, still_since: (work > 0).then_some(now) };
            return 0;
        }
        now.since(*self.still_since.get_or_insert(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_work_without_progress_counts() {
        let mut pulse = Pulse::default();
        let at = |s: i64| Micros(s * 1_000_000);
        assert_eq!(pulse.beat(at(0), 0, 7), 0, "idle");
        assert_eq!(pulse.beat(at(100), 0, 7), 0, "idle for long");
        assert_eq!(pulse.beat(at(101), 2, 7), 0, "the first look at work");
        assert_eq!(pulse.beat(at(131), 2, 7), 30_000_000);
        assert_eq!(pulse.beat(at(132), 3, 8), 0, "a token");
        assert_eq!(pulse.beat(at(140), 3, 8), 8_000_000);
        assert_eq!(pulse.beat(at(150), 0, 8), 0, "the clients left");
    }
}
