//! The rounds themselves.

use std::time::Duration;

use anyhow::{Context, Result};

use super::figures::{Figure, Figures};
use super::ours::Ours;
use super::{System, one_line};
use crate::load::{self, Limit, Outcome, Schedule, Shot};
use crate::mock::Mock;
use crate::output::Output;
use crate::proc;
use crate::record::Target;
use crate::scenario::{Endpoint, SCENARIOS, Scenario, Wire};
use crate::server::Launcher;
use crate::stats;
use crate::wire::Connection;

/// Requests that may wait at once in an open loop. At 1,000 a second it takes a
/// stall of 64 ms to use them up, which then shows as latency.
const OPEN_CONNECTIONS: usize = 64;
/// The rate at which every system is asked the same.
const COMMON_RATE: f64 = 1000.0;
/// The share of one core at which the added p99 is bounded (issue 2).
const BUSY_SHARE: f64 = 0.7;

/// How much of what generator and mock can do on their core may be asked of
/// them: above it, waiting for the generator would be counted as latency.
const GENERATOR_SHARE: f64 = 0.8;

const RSS_IDLE: &str = "rss idle";
const RSS_AFTER: &str = "rss after";
const RSS_MODEL: &str = "rss idle, built-in model loaded";
const READY_FIRST: &str = "ready, empty data directory";
const READY_AGAIN: &str = "ready, restart";
const P50: &str = "chat-1k added p50 at 1000/s";
const P99: &str = "chat-1k added p99 at 1000/s";
const BUSY_P50: &str = "chat-1k added p50 at 70% of a core";
const BUSY_P99: &str = "chat-1k added p99 at 70% of a core";
const BUSY_RATE: &str = "chat-1k rate at 70% of a core";

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    pub rounds: usize,
    /// Requests in flight in a closed loop.
    connections: usize,
    scenarios: Vec<Scenario>,
    /// Divides every count of requests.
    shrink: u64,
    /// Bounds one closed round of a slow system.
    round_time: Duration,
    open_time: Duration,
}

impl Plan {
    pub fn new(quick: bool, rounds: Option<usize>, connections: usize, only: &[String]) -> Plan {
        let wanted = |scenario: &Scenario| only.is_empty() || only.iter().any(|name| name == scenario.name);
        let scenarios = SCENARIOS.into_iter().filter(wanted).collect();
        let (default, shrink, round_time, open_time) =
            if quick { (2, 4, 1500, 1000) } else { (5, 1, 5000, 3000) };
        Plan {
            rounds: rounds.unwrap_or(default).max(1),
            connections: connections.max(1),
            scenarios,
            shrink,
            round_time: Duration::from_millis(round_time),
            open_time: Duration::from_millis(open_time),
        }
    }

    fn limit(&self, scenario: &Scenario) -> Limit {
        Limit { requests: (scenario.requests / self.shrink).max(1), time: self.round_time }
    }
}

/// Measures every figure of every system that is up.
pub fn all(
    plan: &Plan,
    systems: &[System],
    mock: &Mock,
    output: &Output,
    figures: &mut Figures,
) -> Result<()> {
    announce(plan, figures);
    std::thread::sleep(Duration::from_secs(1)); // let start-up work end before idle memory is read
    memory(RSS_IDLE, systems, figures);
    check_answers(plan, systems, figures);
    let ceiling = generator_ceiling(plan, mock, output)?;
    for round in 0..plan.rounds {
        for scenario in &plan.scenarios {
            let row = cpu_row(scenario);
            for system in order(round, systems.len()) {
                if figures.noted(&row, system) {
                    continue;
                }
                output.step(&format!("round {}/{}: {row}: {}", round + 1, plan.rounds, systems[system].name));
                closed_round(plan, scenario, &systems[system], system, round, figures);
            }
        }
        if plan.scenarios.iter().any(|scenario| scenario.name == SCENARIOS[0].name) {
            open_round(plan, systems, mock, ceiling, round, output, figures)?;
        }
    }
    memory(RSS_AFTER, systems, figures);
    output.step_done();
    Ok(())
}

/// Memory with a model and time to ready of ours, over and over. Peers are started once and shown on
/// stderr: most of them take seconds.
pub fn starts(subject: &Ours, launcher: &Launcher, plan: &Plan, figures: &mut Figures) -> Result<()> {
    let announce = |row: &str| Figure { row: row.into(), unit: "ms", target: Target::AtMost(150.0), n: 1 };
    figures.announce(announce(READY_FIRST));
    figures.announce(announce(READY_AGAIN));
    figures.announce(Figure { row: RSS_MODEL.into(), unit: "MB", target: Target::Shown, n: 1 });
    match subject.memory_with_model(launcher) {
        Ok(megabytes) => figures.add(RSS_MODEL, 0, megabytes),
        Err(error) => figures.note(RSS_MODEL, 0, one_line(&error)),
    }
    match subject.start_times(launcher, plan.rounds) {
        Ok((first, again)) => {
            first.into_iter().for_each(|ms| figures.add(READY_FIRST, 0, ms));
            again.into_iter().for_each(|ms| figures.add(READY_AGAIN, 0, ms));
        }
        Err(error) => figures.note(READY_FIRST, 0, one_line(&error)),
    }
    Ok(())
}

fn announce(plan: &Plan, figures: &mut Figures) {
    for scenario in &plan.scenarios {
        let n = plan.limit(scenario).requests;
        figures.announce(Figure {
            row: cpu_row(scenario),
            unit: "us CPU/request",
            target: scenario.target,
            n,
        });
    }
    let requests = |rate: f64| Schedule::over(rate, plan.open_time).requests;
    for (row, unit, target, n) in [
        (P50, "us", Target::Shown, requests(COMMON_RATE)),
        (P99, "us", Target::Shown, requests(COMMON_RATE)),
        (BUSY_RATE, "requests/s", Target::Shown, 1),
        (BUSY_P50, "us", Target::Shown, 1),
        (BUSY_P99, "us", Target::AtMost(1000.0), 1),
        (RSS_IDLE, "MB", Target::AtMost(40.0), 1),
        (RSS_AFTER, "MB", Target::Shown, 1),
    ] {
        figures.announce(Figure { row: row.into(), unit, target, n });
    }
}

fn cpu_row(scenario: &Scenario) -> String {
    format!("{} cpu", scenario.name)
}

/// The order of a round: everybody is first, second and last in turn.
fn order(round: usize, systems: usize) -> impl Iterator<Item = usize> {
    (0..systems).map(move |place| (place + round) % systems)
}

/// Asks each system once for each scenario and notes who cannot answer it.
fn check_answers(plan: &Plan, systems: &[System], figures: &mut Figures) {
    for scenario in &plan.scenarios {
        for (number, system) in systems.iter().enumerate() {
            let why = match &system.state {
                Err(why) => Some(why.clone()),
                Ok(running) => match running.endpoint(scenario.wire) {
                    None => Some("has no such route".into()),
                    Some(endpoint) => wrong_answer(scenario, endpoint),
                },
            };
            if let Some(why) = why {
                figures.note(&cpu_row(scenario), number, why);
            }
        }
    }
}

/// Why an answer is not one that the scenario accepts.
fn wrong_answer(scenario: &Scenario, endpoint: &Endpoint) -> Option<String> {
    let shot = scenario.shot(endpoint);
    let mut body = Vec::new();
    let mut connection = Connection::new(shot.address, Duration::from_secs(60));
    let reply = match connection.exchange(&shot.bytes, Some(&mut body)) {
        Err(error) => return Some(format!("no answer: {error}")),
        Ok(reply) => reply,
    };
    let text = String::from_utf8_lossy(&body);
    if reply.status == 200 && scenario.accepts(&text) {
        return None;
    }
    let start: String = text.chars().take(120).map(|c| if c.is_control() { ' ' } else { c }).collect();
    Some(format!("answers HTTP {} {start}", reply.status))
}

/// One closed loop of one system: CPU time of its process tree per answer.
fn closed_round(
    plan: &Plan,
    scenario: &Scenario,
    system: &System,
    number: usize,
    round: usize,
    figures: &mut Figures,
) {
    let Some((shot, process)) = aim(system, scenario) else { return };
    let warm = Limit { requests: if round == 0 { 400 } else { 50 }, time: Duration::from_secs(2) };
    load::closed(&shot, plan.connections, warm);
    let row = cpu_row(scenario);
    match cpu_per_answer(plan, &shot, process, plan.limit(scenario)) {
        Ok(value) => figures.add(&row, number, value),
        Err(error) => figures.note(&row, number, one_line(&error)),
    }
}

fn cpu_per_answer(plan: &Plan, shot: &Shot, process: u32, limit: Limit) -> Result<f64> {
    let before = proc::usage(process)?;
    let outcome = load::closed(shot, plan.connections, limit);
    // A gateway may answer first and settle after; that work is part of the price.
    std::thread::sleep(Duration::from_millis(100));
    let after = proc::usage(process)?;
    refuse_failures(&outcome)?;
    Ok((after.cpu_seconds - before.cpu_seconds) * 1e6 / outcome.answered.max(1) as f64)
}

fn refuse_failures(outcome: &Outcome) -> Result<()> {
    let total = outcome.answered + outcome.failed;
    let why = outcome.first_failure.clone().unwrap_or_default();
    anyhow::ensure!(outcome.failed == 0 && total > 0, "{} of {total} requests failed: {why}", outcome.failed);
    Ok(())
}

/// Requests a second that generator and mock make on their core when nothing
/// stands in between.
fn generator_ceiling(plan: &Plan, mock: &Mock, output: &Output) -> Result<f64> {
    let direct = SCENARIOS[0].shot(&mock.endpoint(Wire::Json));
    let limit = Limit { requests: u64::MAX, time: Duration::from_secs(1) };
    let outcome = load::closed(&direct, plan.connections, limit);
    refuse_failures(&outcome).context("ask the mock directly")?;
    let ceiling = outcome.answered as f64 / outcome.elapsed.as_secs_f64();
    output.say(&format!("generator and mock alone: {ceiling:.0} requests/s"));
    Ok(ceiling)
}

/// Open loops of one round: all at the common rate, then each at the rate that
/// takes 70 % of one core of *its own* cost. What is reported is what the hop
/// adds to the mock asked directly, at the same rate, moments before.
fn open_round(
    plan: &Plan,
    systems: &[System],
    mock: &Mock,
    ceiling: f64,
    round: usize,
    output: &Output,
    figures: &mut Figures,
) -> Result<()> {
    let scenario = &SCENARIOS[0];
    let direct = scenario.shot(&mock.endpoint(Wire::Json));
    let base = percentiles(&direct, COMMON_RATE, plan).context("ask the mock directly")?;
    for number in order(round, systems.len()) {
        let Some((shot, _)) = aim(&systems[number], scenario) else { continue };
        let Some(cost_us) = figures.summary(&cpu_row(scenario), number).map(|s| s.median.max(1.0)) else {
            continue;
        };
        output.step(&format!("round {}/{}: open loop: {}", round + 1, plan.rounds, systems[number].name));
        let capacity = 1e6 / cost_us;
        if capacity < COMMON_RATE {
            let why = format!("cannot hold 1000/s (one core makes {capacity:.0}/s)");
            figures.note(P50, number, why.clone());
            figures.note(P99, number, why);
        } else {
            record_added(P50, P99, number, percentiles(&shot, COMMON_RATE, plan), base, figures);
        }
        let rate = (BUSY_SHARE * capacity).floor().max(1.0);
        if rate > ceiling * GENERATOR_SHARE {
            let why =
                format!("{rate:.0}/s is more than the generator's core can ask ({ceiling:.0}/s directly)");
            figures.note(BUSY_P50, number, why.clone());
            figures.note(BUSY_P99, number, why);
            continue;
        }
        let busy_base = percentiles(&direct, rate, plan).context("ask the mock directly")?;
        figures.add(BUSY_RATE, number, rate);
        record_added(BUSY_P50, BUSY_P99, number, percentiles(&shot, rate, plan), busy_base, figures);
    }
    Ok(())
}

fn record_added(
    p50_row: &str,
    p99_row: &str,
    system: usize,
    measured: Result<(f64, f64)>,
    base: (f64, f64),
    figures: &mut Figures,
) {
    match measured {
        Ok((p50, p99)) => {
            figures.add(p50_row, system, p50 - base.0);
            figures.add(p99_row, system, p99 - base.1);
        }
        Err(error) => {
            figures.note(p50_row, system, one_line(&error));
            figures.note(p99_row, system, one_line(&error));
        }
    }
}

/// p50 and p99 in microseconds from the time a request was due.
fn percentiles(shot: &Shot, rate: f64, plan: &Plan) -> Result<(f64, f64)> {
    let warm = Schedule::over(rate, Duration::from_millis(200));
    load::open(shot, OPEN_CONNECTIONS, warm, 3.0);
    let mut outcome = load::open(shot, OPEN_CONNECTIONS, Schedule::over(rate, plan.open_time), 3.0);
    refuse_failures(&outcome)?;
    let latencies = &mut outcome.latencies_us;
    let of = |latencies: &mut Vec<f64>, q| stats::quantile(latencies, q).context("no latency was measured");
    Ok((of(latencies, 0.5)?, of(latencies, 0.99)?))
}

fn memory(row: &str, systems: &[System], figures: &mut Figures) {
    for (number, system) in systems.iter().enumerate() {
        let Some((_, process)) = aim(system, &SCENARIOS[0]) else { continue };
        match proc::usage(process) {
            Ok(usage) => figures.add(row, number, usage.resident_bytes as f64 / 1e6),
            Err(error) => figures.note(row, number, one_line(&error)),
        }
    }
}

/// What to send and whose CPU time to read.
fn aim(system: &System, scenario: &Scenario) -> Option<(Shot, u32)> {
    let endpoint = system.state.as_ref().ok()?.endpoint(scenario.wire)?;
    Some((scenario.shot(endpoint), endpoint.process?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_is_first_once_in_as_many_rounds() {
        let firsts: Vec<usize> = (0..4).map(|round| order(round, 4).next().unwrap()).collect();
        assert_eq!(firsts, [0, 1, 2, 3]);
        let mut all: Vec<usize> = order(3, 4).collect();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
    }

    #[test]
    fn a_round_with_failures_gives_no_figure() {
        let outcome = |answered, failed| Outcome { answered, failed, ..Outcome::default() };
        assert!(refuse_failures(&outcome(10, 0)).is_ok());
        assert!(refuse_failures(&outcome(10, 1)).is_err());
        assert!(refuse_failures(&outcome(0, 0)).is_err());
    }

    #[test]
    fn a_quick_plan_asks_less_and_a_named_scenario_alone() {
        let quick = Plan::new(true, None, 16, &["stream-64".into()]);
        assert_eq!((quick.rounds, quick.scenarios.len()), (2, 1));
        assert_eq!(quick.limit(&quick.scenarios[0]).requests, 3000);
        assert_eq!(Plan::new(false, Some(0), 16, &[]).rounds, 1);
    }
}
