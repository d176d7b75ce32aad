//! The load generator: a closed loop and an open loop.
//!
//! *Closed*: each connection sends its next request when the last answer is
//! here. It finds the cost of a request, and hides queueing: a slow server is
//! simply asked less. *Open*: requests have a time at which they are due,
//! whatever happened to the ones before, and latency counts from that time, so
//! a stall of the server (or of this generator) shows up in every request that
//! had to wait behind it.
//!
//! Blocking threads and not an async runtime: tokio's timer rounds up to a
//! millisecond, which is the very size of the figure to be measured.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock;
use crate::wire::Connection;

/// A request against a server: what to send and to whom.
#[derive(Clone, Debug)]
pub struct Shot {
    pub address: SocketAddr,
    pub bytes: Vec<u8>,
}

/// What came of a run. Latencies are in microseconds.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Answers with status 200.
    pub answered: u64,
    /// Every other end: another status, a broken connection, a time-out.
    pub failed: u64,
    pub elapsed: Duration,
    pub latencies_us: Vec<f64>,
    pub first_failure: Option<String>,
}

impl Outcome {
    fn absorb(&mut self, other: Outcome) {
        self.answered += other.answered;
        self.failed += other.failed;
        self.latencies_us.extend(other.latencies_us);
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }
}

/// When a closed loop ends: whichever comes first.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    pub requests: u64,
    pub time: Duration,
}

const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// Asks over `connections` connections, each as fast as it is answered.
pub fn closed(shot: &Shot, connections: usize, limit: Limit) -> Outcome {
    let tickets = AtomicU64::new(0);
    let start = clock::now();
    run(connections, start, || {
        let mut connection = Connection::new(shot.address, READ_TIMEOUT);
        let mut outcome = Outcome::default();
        while tickets.fetch_add(1, Ordering::Relaxed) < limit.requests && start.elapsed() < limit.time {
            let sent = clock::now();
            fire(&mut connection, shot, sent, &mut outcome);
        }
        outcome
    })
}

/// When the requests of an open loop are due: evenly spaced, the first one at
/// zero. Arithmetic only, so that it can be tested without a clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    pub per_second: f64,
    pub requests: u64,
}

impl Schedule {
    /// As many requests as fall into `length` at that rate, at least one.
    pub fn over(per_second: f64, length: Duration) -> Schedule {
        let requests = (per_second * length.as_secs_f64()).floor().max(1.0) as u64;
        Schedule { per_second, requests }
    }

    /// How long after the start request `index` is due. Computed from the index
    /// and not by adding up intervals: a rounding error does not accumulate.
    pub fn due(&self, index: u64) -> Duration {
        Duration::from_secs_f64(index as f64 / self.per_second)
    }

    /// How long to wait at `elapsed`, or `None` when the request is late
    /// already and goes at once.
    pub fn wait(&self, index: u64, elapsed: Duration) -> Option<Duration> {
        self.due(index).checked_sub(elapsed).filter(|wait| !wait.is_zero())
    }
}

/// Asks on schedule. `connections` bounds how many may wait at once; a request
/// that finds no free connection goes late and its latency says so. Gives up
/// (and counts the rest as failed) when the run takes `patience` times longer
/// than planned, so that a server that cannot hold the rate ends the run.
pub fn open(shot: &Shot, connections: usize, schedule: Schedule, patience: f64) -> Outcome {
    let tickets = AtomicU64::new(0);
    let start = clock::now();
    let give_up = schedule.due(schedule.requests).mul_f64(patience.max(1.0));
    run(connections, start, || {
        let mut connection = Connection::new(shot.address, READ_TIMEOUT);
        let mut outcome = Outcome::default();
        loop {
            let index = tickets.fetch_add(1, Ordering::Relaxed);
            if index >= schedule.requests {
                return outcome;
            }
            if start.elapsed() > give_up {
                outcome.failed += 1;
                outcome.first_failure.get_or_insert_with(|| "did not hold the rate".into());
                continue;
            }
            if let Some(wait) = schedule.wait(index, start.elapsed()) {
                std::thread::sleep(wait);
            }
            fire(&mut connection, shot, start + schedule.due(index), &mut outcome);
        }
    })
}

/// Lets short sleeps end when they are due. Linux may delay a sleep by the
/// thread's timer slack, 50 us by default; threads inherit the setting.
pub fn sharpen_sleep() {
    let _ = std::fs::write("/proc/self/timerslack_ns", "1");
}

fn fire(connection: &mut Connection, shot: &Shot, since: Instant, outcome: &mut Outcome) {
    let failure = match connection.exchange(&shot.bytes, None) {
        Ok(reply) if reply.status == 200 => {
            outcome.answered += 1;
            outcome.latencies_us.push(since.elapsed().as_secs_f64() * 1e6);
            return;
        }
        Ok(reply) => format!("status {}", reply.status),
        Err(error) => error.to_string(),
    };
    outcome.failed += 1;
    outcome.first_failure.get_or_insert(failure);
}

/// Runs the same work on many threads and joins what they counted.
fn run(threads: usize, start: Instant, work: impl Fn() -> Outcome + Sync) -> Outcome {
    let total = Mutex::new(Outcome::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let outcome = work();
                total.lock().expect("no thread panics while it holds the lock").absorb(outcome);
            });
        }
    });
    let mut total = total.into_inner().expect("all threads are joined");
    total.elapsed = start.elapsed();
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn due_times_do_not_drift() {
        let schedule = Schedule::over(3000.0, Duration::from_secs(10));
        assert_eq!(schedule.requests, 30_000);
        assert_eq!(schedule.due(0), Duration::ZERO);
        assert_eq!(schedule.due(3000), Duration::from_secs(1));
        assert_eq!(schedule.due(30_000), Duration::from_secs(10));
        let third = Schedule { per_second: 3.0, requests: 9 };
        assert_eq!(third.due(9), Duration::from_secs(3));
    }

    #[test]
    fn a_late_request_goes_at_once_and_an_early_one_waits_for_its_time() {
        let schedule = Schedule { per_second: 100.0, requests: 10 };
        assert_eq!(schedule.wait(5, Duration::from_millis(20)), Some(Duration::from_millis(30)));
        assert_eq!(schedule.wait(5, Duration::from_millis(50)), None);
        assert_eq!(schedule.wait(5, Duration::from_millis(70)), None);
    }

    #[test]
    fn a_rate_below_one_in_the_run_still_asks_once() {
        assert_eq!(Schedule::over(0.1, Duration::from_secs(1)).requests, 1);
    }

    /// A server that answers the first `good` requests with 200, then with 503.
    fn server(good: u64) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut served = 0;
            while stream.read(&mut [0; 1024]).unwrap_or(0) > 0 {
                let status = if served < good { "200 OK" } else { "503 No" };
                served += 1;
                let _ =
                    stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes());
            }
        });
        address
    }

    #[test]
    fn a_closed_loop_counts_answers_and_failures_apart() {
        let address = server(7);
        let shot = Shot { address, bytes: crate::wire::request("GET", "/", address, &[], b"") };
        let outcome = closed(&shot, 1, Limit { requests: 10, time: Duration::from_secs(60) });
        assert_eq!((outcome.answered, outcome.failed), (7, 3));
        assert_eq!(outcome.latencies_us.len(), 7);
        assert_eq!(outcome.first_failure.as_deref(), Some("status 503"));
    }

    #[test]
    fn an_open_loop_sends_all_that_is_due() {
        let address = server(u64::MAX);
        let shot = Shot { address, bytes: crate::wire::request("GET", "/", address, &[], b"") };
        let schedule = Schedule { per_second: 1000.0, requests: 20 };
        let outcome = open(&shot, 1, schedule, 1000.0);
        assert_eq!((outcome.answered, outcome.failed), (20, 0));
    }
}
