//! What is read from the server every ten seconds, and what it says at the end.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;

use crate::proc;
use crate::stats::Summary;
use crate::wire::{self, Connection, request};

/// One reading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Since the start of the load.
    pub at: Duration,
    pub resident_bytes: u64,
    /// Of them, keys and values that the server says it keeps in memory for later
    /// prompts: a cache with a bound of its own (`--kv-memory`).
    pub kept_bytes: u64,
    /// `/readyz` answered 200.
    pub ready: bool,
    pub gauges: Gauges,
}

/// Gauges of `/metrics`, summed over models.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gauges {
    pub in_flight: f64,
    pub running: f64,
    pub waiting: f64,
    /// Cells of requests being computed, as a share; what is kept for later
    /// prompts is not in it.
    pub kv_used: f64,
}

impl Gauges {
    pub fn idle(self) -> bool {
        self == Gauges::default()
    }

    fn read(text: &str) -> Gauges {
        Gauges {
            in_flight: sum(text, "bedplate_requests_in_flight"),
            running: sum(text, "vllm:num_requests_running"),
            waiting: sum(text, "vllm:num_requests_waiting"),
            kv_used: sum(text, "vllm:kv_cache_usage_perc"),
        }
    }
}

/// All samples of a family in the Prometheus text format.
fn sum(text: &str, family: &str) -> f64 {
    let samples = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(family)?;
        let value = match rest.strip_prefix('{') {
            Some(labelled) => labelled.rsplit_once('}')?.1,
            None => rest.strip_prefix(' ')?,
        };
        value.split_ascii_whitespace().next()?.parse::<f64>().ok()
    });
    samples.sum()
}

const PATIENCE: Duration = Duration::from_secs(20);

fn metrics(server: SocketAddr) -> Result<String> {
    let mut body = Vec::new();
    let bytes = request("GET", "/metrics", server, &[], b"");
    Connection::new(server, PATIENCE).exchange(&bytes, Some(&mut body))?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

pub fn gauges(server: SocketAddr) -> Result<Gauges> {
    Ok(Gauges::read(&metrics(server)?))
}

pub fn sample(server: SocketAddr, pid: u32, at: Duration) -> Result<Sample> {
    let ready = matches!(wire::get(server, "/readyz", PATIENCE), Ok(200));
    let metrics = metrics(server)?;
    let resident_bytes = proc::usage(pid)?.resident_bytes;
    let kept_bytes = sum(&metrics, "bedplate_engine_kv_memory_bytes") as u64;
    Ok(Sample { at, resident_bytes, kept_bytes, ready, gauges: Gauges::read(&metrics) })
}

/// Growth of memory in percent: the median of the last sixth of the run over
/// that of the second sixth. The first sixth is the warm-up; medians, because a
/// swap holds two models for a moment. `None` without a reading in both.
pub fn growth_percent(samples: &[Sample], whole: Duration) -> Option<f64> {
    let median = |from: f64, to: f64| {
        let part = samples.iter().filter(|s| {
            let share = s.at.as_secs_f64() / whole.as_secs_f64();
            share >= from && share < to
        });
        Some(Summary::of(&part.map(|s| s.resident_bytes as f64).collect::<Vec<_>>())?.median)
    };
    let (early, late) = (median(1.0 / 6.0, 2.0 / 6.0)?, median(5.0 / 6.0, f64::INFINITY)?);
    Some((late / early - 1.0) * 100.0)
}

/// The longest stretch without a ready server.
pub fn longest_unready(samples: &[Sample]) -> Duration {
    let mut longest = Duration::ZERO;
    let mut since = None;
    for sample in samples {
        if sample.ready {
            since = None;
        } else {
            let start = *since.get_or_insert(sample.at);
            longest = longest.max(sample.at - start);
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "# HELP vllm:num_requests_running Sequences in the batch.\n\
        vllm:num_requests_running{model_name=\"a}b\"} 2\nvllm:num_requests_running{model_name=\"b\"} 1 1700000000\n\
        vllm:num_requests_running_total 99\nbedplate_requests_in_flight 4\nvllm:kv_cache_usage_perc{model_name=\"a\"} 0.25\n";

    #[test]
    fn gauges_are_summed_over_models_and_names_are_whole() {
        let gauges = Gauges::read(METRICS);
        assert_eq!(gauges, Gauges { in_flight: 4.0, running: 3.0, waiting: 0.0, kv_used: 0.25 });
        assert!(!gauges.idle() && Gauges::read("").idle());
    }

    fn samples(sizes: &[(u64, u64, bool)]) -> Vec<Sample> {
        let one = |&(at, resident_bytes, ready): &(u64, u64, bool)| Sample {
            at: Duration::from_secs(at),
            resident_bytes,
            kept_bytes: 0,
            ready,
            gauges: Gauges::default(),
        };
        sizes.iter().map(one).collect()
    }

    #[test]
    fn the_warm_up_does_not_count_as_growth() {
        let all =
            samples(&[(0, 10, true), (12, 100, true), (18, 900, true), (30, 500, true), (55, 101, true)]);
        let growth = |samples: &[Sample]| growth_percent(samples, Duration::from_secs(60)).map(f64::round);
        assert_eq!(growth(&all), Some(-80.0));
        let flat = samples(&[(0, 10, true), (12, 100, true), (55, 101, true), (60, 101, true)]);
        assert_eq!((growth(&flat), growth(&flat[..2])), (Some(1.0), None));
    }

    #[test]
    fn a_server_that_is_not_ready_is_timed_to_the_next_reading() {
        let all = samples(&[(0, 1, true), (10, 1, false), (20, 1, false), (30, 1, true), (40, 1, false)]);
        assert_eq!(longest_unready(&all), Duration::from_secs(10));
    }
}
