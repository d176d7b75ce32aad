//! How many threads compute: as many as there are cores to be had.
//!
//! The threads of a step meet at barriers hundreds of times, so a step takes as
//! long as its slowest thread: where one of two waits behind other work, the other
//! waits with it, and a step takes many times as long as one thread alone would.
//! How long the engine's thread was ready and had no core says when that is so;
//! the kernel counts it. Then there is one thread fewer, and after a while of calm
//! one more.
//!
//! Measured on two cores with 20 others ready to run, 272 M parameters, one token:
//! two threads 877 ms on average (2.5 s with libgomp's default spin), one thread
//! 235 ms; on idle cores two threads are 1.5 times as fast as one.

/// Steps of this much time are looked at together: one late tick is no crowd.
const WINDOW_US: u64 = 200_000;
/// A share of the time without a core from which there is a thread too many. Two
/// threads beside one that never rests, on two cores, wait for a third of it.
const CROWDED: f64 = 0.2;
/// Below this there may be a core to spare.
const CALM: f64 = 0.05;
/// Computing without waiting for this long buys one more thread: what a wrong try
/// costs is one window.
const CALM_US: u64 = 4_000_000;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Threads {
    most: u32,
    now: u32,
    ran_us: u64,
    /// What the kernel had counted at the end of the last window.
    waited_us: Option<u64>,
    calm_us: u64,
}

impl Threads {
    pub(crate) fn new(most: u32) -> Threads {
        let most = most.max(1);
        Threads { most, now: most, ran_us: 0, waited_us: None, calm_us: 0 }
    }

    /// How many there are to be after a step of `us`. `waited_us` says how long the
    /// engine's thread has been ready without a core, ever; it is asked once a window.
    pub(crate) fn after(&mut self, us: u64, waited_us: impl FnOnce() -> Option<u64>) -> u32 {
        self.ran_us += us;
        if self.ran_us < WINDOW_US {
            return self.now;
        }
        let counted = waited_us();
        let before = std::mem::replace(&mut self.waited_us, counted);
        let ran_us = std::mem::take(&mut self.ran_us);
        let (Some(before), Some(counted)) = (before, counted) else { return self.now };
        let share = counted.saturating_sub(before) as f64 / ran_us as f64;
        self.calm_us = if share < CALM { self.calm_us + ran_us } else { 0 };
        if share > CROWDED {
            self.now = (self.now - 1).max(1);
        } else if self.calm_us >= CALM_US {
            self.now = (self.now + 1).min(self.most);
            self.calm_us = 0;
        }
        self.now
    }
}

/// How long the calling thread has been ready and had no core, in microseconds.
/// `None` where nothing counts that.
pub(crate) fn waited_us() -> Option<u64> {
    let counts = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(counts.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()? / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps of one length, in each of which the thread waits as long.
    struct Run {
        threads: Threads,
        waited_us: u64,
    }

    impl Run {
        fn new(most: u32) -> Run {
            Run { threads: Threads::new(most), waited_us: 0 }
        }
        fn steps(&mut self, steps: u32, us: u64, waited_us: u64) -> u32 {
            for _ in 0..steps {
                self.waited_us += waited_us;
                self.threads.after(us, || Some(self.waited_us));
            }
            self.threads.now
        }
    }

    #[test]
    fn a_crowd_takes_threads_and_calm_gives_them_back() {
        let mut run = Run::new(4);
        assert_eq!(run.steps(100, 20_000, 0), 4);
        assert_eq!(run.steps(10, 20_000, 8_000), 3);
        assert_eq!(run.steps(100, 20_000, 8_000), 1, "and never none");
        assert_eq!(run.steps(190, 20_000, 0), 1, "not at the first quiet moment");
        assert_eq!(run.steps(1000, 20_000, 0), 4);
    }

    #[test]
    fn one_late_step_is_no_crowd() {
        let mut run = Run::new(2);
        run.steps(19, 20_000, 0);
        assert_eq!(run.steps(1, 60_000, 38_000), 2);
        assert_eq!(run.steps(50, 20_000, 2_500), 2, "nor is a little all the time");
    }

    #[test]
    fn where_nothing_is_counted_all_threads_compute() {
        let mut threads = Threads::new(2);
        assert!((0..100).all(|_| threads.after(20_000, || None) == 2));
    }
}
