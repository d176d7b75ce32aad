//! How fast the books are written: what `bench ledger` prints.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use seal::KeyRing;
use store::conformance::sample;
use store::{Entry, Error, Ledger, Store};

use crate::SqliteStore;
use crate::writer::now;

/// What to do.
#[derive(Clone, Debug)]
pub struct Load {
    /// Requests to settle in all.
    pub settles: u64,
    /// Requests in flight at once: the next begins when one is durable.
    pub in_flight: usize,
    /// Whether each is held before, as a gateway does.
    pub holds: bool,
}

/// What was measured, opening and closing apart.
#[derive(Clone, Debug)]
pub struct Rate {
    pub settles: u64,
    pub postings: u64,
    /// Making the files, tables and threads.
    pub open: Duration,
    pub wall: Duration,
    /// From queueing to durable.
    pub p50: Duration,
    pub p99: Duration,
}

impl Rate {
    pub fn postings_per_second(&self) -> f64 {
        self.postings as f64 / self.wall.as_secs_f64()
    }
}

/// Settles sample requests of three postings in a fresh store in `dir`. The
/// caller reads its own CPU time (`getrusage`, `/proc/self/stat`) around it.
pub fn measure(dir: &Path, load: &Load) -> Result<Rate, Error> {
    let keys = KeyRing::ephemeral();
    let begin = now();
    let store = SqliteStore::open(dir, &keys)?;
    let open = now().saturating_duration_since(begin);
    // Made before the clock starts: making them is the gateway's work.
    let entries: Vec<_> = (0..load.settles).map(sample::settled).collect();
    let postings = entries.iter().map(|(_, postings)| postings.len() as u64).sum();
    let entries: Vec<_> =
        entries.into_iter().map(|(record, postings)| (Arc::new(record), postings)).collect();
    let holds: Vec<_> = if load.holds { (0..load.settles).map(sample::hold).collect() } else { Vec::new() };
    let mut holds = holds.into_iter();
    let state = Arc::new((Mutex::new(State::default()), Condvar::new()));
    let start = now();
    for (record, postings) in entries {
        let (lock, condition) = &*state;
        let mut held = lock.lock().unwrap_or_else(PoisonError::into_inner);
        while held.in_flight >= load.in_flight {
            held = condition.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        held.in_flight += 1;
        drop(held);
        if let Some(hold) = holds.next() {
            store.append(Entry::Hold(hold), Box::new(|_| ()));
        }
        let state = state.clone();
        let queued = now();
        let done = Box::new(move |result: Result<(), Error>| {
            let (lock, condition) = &*state;
            let mut held = lock.lock().unwrap_or_else(PoisonError::into_inner);
            held.in_flight -= 1;
            held.latencies.push(now().saturating_duration_since(queued));
            held.failed = held.failed.take().or(result.err());
            condition.notify_one();
        });
        store.append(Entry::Settle { record, postings, leaf: None }, done);
    }
    let (lock, condition) = &*state;
    let mut held = lock.lock().unwrap_or_else(PoisonError::into_inner);
    while held.in_flight > 0 {
        held = condition.wait(held).unwrap_or_else(PoisonError::into_inner);
    }
    let wall = now().saturating_duration_since(start);
    if let Some(error) = held.failed.take() {
        return Err(error);
    }
    held.latencies.sort_unstable();
    let at = |share: f64| {
        let index = (held.latencies.len() as f64 * share) as usize;
        held.latencies.get(index).copied().unwrap_or_default()
    };
    let rate = Rate { settles: load.settles, postings, open, wall, p50: at(0.50), p99: at(0.99) };
    drop(held);
    store.close()?;
    Ok(rate)
}

#[derive(Default)]
struct State {
    in_flight: usize,
    latencies: Vec<Duration>,
    failed: Option<Error>,
}
