//! Counters read again and again: what was spent between two readings.

use crate::{Counter, Found};

/// A machine's counters and how far each has come.
pub struct Meter {
    sources: Vec<Source>,
    at_us: Option<u64>,
}

struct Source {
    counter: Box<dyn Counter>,
    last: Option<u64>,
    total: u64,
}

/// What was spent since the reading before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    pub microjoules: u64,
    pub over_us: u64,
}

impl Spent {
    /// The mean over the time.
    pub fn milliwatts(&self) -> u64 {
        (u128::from(self.microjoules) * 1_000 / u128::from(self.over_us.max(1))) as u64
    }
}

impl Meter {
    /// `None`: this machine counts nothing that may be read.
    pub fn new(found: Found) -> Option<Meter> {
        let source = |counter| Source { counter, last: None, total: 0 };
        let sources: Vec<Source> = found.counters.into_iter().map(source).collect();
        (!sources.is_empty()).then_some(Meter { sources, at_us: None })
    }

    /// Reads every counter; `None` at first, and when one cannot be read, since
    /// a sum without it would be too small. A counter that began again is
    /// counted once round: at 1 kW the usual 262 kJ last four minutes, so read
    /// more often than that.
    pub fn read(&mut self, now_us: u64) -> Option<Spent> {
        let mut spent = 0u64;
        let mut whole = true;
        for source in &mut self.sources {
            let Some(is) = source.counter.microjoules() else {
                // It starts anew when it can be read again.
                source.last = None;
                whole = false;
                continue;
            };
            match source.last.replace(is) {
                None => whole = false,
                Some(was) => {
                    let more = since(was, is, source.counter.range());
                    source.total = source.total.saturating_add(more);
                    spent = spent.saturating_add(more);
                }
            }
        }
        let before = self.at_us.replace(now_us)?;
        whole.then_some(Spent { microjoules: spent, over_us: now_us.saturating_sub(before) })
    }

    /// Microjoules since the first reading, by counter.
    pub fn totals(&self) -> impl Iterator<Item = (&str, u64)> {
        self.sources.iter().map(|source| (source.counter.name(), source.total))
    }
}

fn since(was: u64, is: u64, range: Option<u64>) -> u64 {
    match range {
        _ if is >= was => is - was,
        Some(range) => is.saturating_add(range.saturating_sub(was)),
        // One that does not begin again was set back, as by a driver that was loaded anew.
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    struct Fake(&'static str, Arc<Mutex<Option<u64>>>, Option<u64>);

    impl Counter for Fake {
        fn name(&self) -> &str {
            self.0
        }
        fn microjoules(&mut self) -> Option<u64> {
            *self.1.lock().expect("not poisoned")
        }
        fn range(&self) -> Option<u64> {
            self.2
        }
    }

    fn meter(range: Option<u64>) -> (Meter, Arc<Mutex<Option<u64>>>) {
        let value = Arc::new(Mutex::new(Some(900)));
        let fake = Fake("a", Arc::clone(&value), range);
        let found = Found { counters: vec![Box::new(fake)], hidden: Vec::new() };
        (Meter::new(found).expect("it has a counter"), value)
    }

    #[test]
    fn a_counter_that_ran_over_goes_on() {
        let (mut meter, value) = meter(Some(1_000));
        assert_eq!(meter.read(0), None, "one reading says nothing");
        *value.lock().expect("not poisoned") = Some(100);
        assert_eq!(meter.read(2_000_000), Some(Spent { microjoules: 200, over_us: 2_000_000 }));
        *value.lock().expect("not poisoned") = Some(150);
        let spent = meter.read(2_000_010).expect("read");
        assert_eq!((spent.microjoules, spent.milliwatts()), (50, 5_000));
        assert_eq!(meter.totals().collect::<Vec<_>>(), [("a", 250)]);
    }

    #[test]
    fn a_gap_is_not_guessed_and_a_counter_set_back_counts_nothing() {
        let (mut meter, value) = meter(None);
        meter.read(0);
        *value.lock().expect("not poisoned") = None;
        assert_eq!(meter.read(1), None);
        *value.lock().expect("not poisoned") = Some(5_000);
        assert_eq!(meter.read(2), None, "it starts anew");
        *value.lock().expect("not poisoned") = Some(10);
        assert_eq!(meter.read(3).map(|s| s.microjoules), Some(0));
    }

    #[test]
    fn a_machine_without_counters_has_no_meter() {
        assert!(Meter::new(Found::default()).is_none());
    }
}
