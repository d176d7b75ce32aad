//! `bench serve`: what many clients get, ours beside the real llama-server.
//!
//! The same file, threads and KV cells, one client for both, a server started
//! anew for each measurement, settings in rotating order within each round. See
//! docs/benchmarks.md for the method.

mod busy;
mod figures;
mod measure;
mod subject;
mod workload;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use crate::bedplate::Bedplate;
use crate::machine::{self, Pinning};
use crate::output::Output;
use crate::record::{Row, Target};
use crate::server::Launcher;
use crate::stats::Summary;
use crate::tokens::{bandwidth, model};
use crate::{clock, gateway, peers};
use figures::Figures;
use subject::{Host, Setting};
use workload::Workload;

/// Options of `bench serve`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The release binary to measure; without it only llama-server runs.
    #[arg(long, env = "BEDPLATE_BIN")]
    bedplate: Option<PathBuf>,
    /// Build llama-server if it is not there (7 minutes on 2 cores).
    #[arg(long)]
    peers: bool,
    /// Only these workloads, by comma: B1, W1 to W7.
    #[arg(long, value_delimiter = ',', ignore_case = true)]
    only: Vec<Workload>,
    /// Only these slots of llama-server, by comma; 0 is its default.
    #[arg(long, value_delimiter = ',')]
    slots: Vec<u32>,
    /// Rounds [default: 5, with --quick 1]; W5 and W7 run half as many.
    #[arg(long)]
    rounds: Option<usize>,
    /// Compute threads of llama-server [default: all cores, as ours].
    #[arg(long)]
    threads: Option<usize>,
    /// Keep the run's scratch folder (logs, data directory).
    #[arg(long)]
    keep: bool,
}

/// After so many rounds a setting of llama-server that is this much worse than
/// its best is not run again: `-np 16` takes a minute and a half on W1 each
/// time to say the same.
const ROUNDS_OF_THE_WORSE: usize = 2;
const WORSE: f64 = 1.5;

pub fn run(options: &Options, output: &Output) -> Result<()> {
    if let Some(binary) = &options.bedplate {
        gateway::check_binary(binary)?;
    }
    let machine = machine::describe();
    output.say(&format!("machine: {machine}"));
    let model = model::ensure(&output.cache, |text| output.say(text))?;
    let threads = options.threads.unwrap_or(machine.cores).max(1);
    let scratch =
        tempfile::Builder::new().prefix("bedplate-serve-").tempdir().context("make a scratch folder")?;
    let launcher = Launcher::new(Pinning::None, scratch.path().to_owned());
    let bedplate = options.bedplate.clone().map(|binary| Bedplate::install(binary, &launcher)).transpose()?;
    let peer = &peers::llama::SERVER;
    let host = Host {
        launcher: &launcher,
        model: &model.path,
        threads,
        bedplate,
        llama_server: peer.home(&output.peers).join(peer.program),
    };
    let missing = match if options.peers { peer.ensure_installed(&output.peers) } else { Ok(()) } {
        Err(error) => Some(format!("not built ({error:#})")),
        Ok(()) if !peer.installed(&output.peers) => Some("not built (add --peers)".to_owned()),
        Ok(()) => None,
    };

    let rounds = options.rounds.unwrap_or(if output.quick { 1 } else { 5 }).max(1);
    let workloads: Vec<Workload> = Workload::ALL
        .into_iter()
        .filter(|workload| options.only.is_empty() || options.only.contains(workload))
        .collect();
    let bandwidths: Vec<f64> = if workloads.contains(&Workload::B1) {
        (0..rounds.min(3)).map(|_| bandwidth::of_this_machine(threads)).collect()
    } else {
        Vec::new()
    };
    let mut plan = Plan::new(&workloads, rounds, &options.slots, output.quick);
    let mut figures = Figures::default();
    output.say(&format!("{} runs, about {}", plan.left(), spoken(plan.eta())));
    for workload in workloads {
        output.say(&format!("{}: expected: {}", workload.name(), workload.expected()));
        for round in 0..rounds_of(workload, rounds) {
            for setting in plan.order(workload, round) {
                let why_not = match setting {
                    Setting::Ours => host.bedplate.is_none().then(|| "no binary was given".to_owned()),
                    Setting::Llama(_) => missing.clone(),
                };
                let begun = clock::now();
                let taken = match why_not {
                    Some(why) => Err(why),
                    None => measure::run(&host, setting, workload, round, output.quick)
                        .map_err(|error| format!("{error:#}")),
                };
                plan.done(workload, setting, begun.elapsed());
                let said = match taken {
                    Ok(taken) => {
                        let said = headline(&taken);
                        figures.add(workload, setting, round, taken);
                        said
                    }
                    Err(why) => {
                        let said = why.clone();
                        figures.note(workload, setting, why);
                        said
                    }
                };
                let (name, left) = (setting.name(), spoken(plan.eta()));
                let round = round + 1;
                output.say(&format!("{} round {round}, {name}: {said} ({left} to go)", workload.name()));
            }
            if round + 1 == ROUNDS_OF_THE_WORSE {
                for setting in plan.settings(workload) {
                    let worse = figures.worse_than_best(workload, setting).unwrap_or(1.0);
                    if setting != Setting::Ours && worse > WORSE {
                        plan.drop_setting(workload, setting);
                        output.say(&format!(
                            "{}: {} is {worse:.1}x worse than the best and is not run again",
                            workload.name(),
                            setting.name()
                        ));
                    }
                }
            }
        }
    }

    output.say(&format!("load after: {:.2} (1 min)", machine::load().0));
    let raw = json!({"threads": threads, "bandwidth": bandwidths, "runs": figures.raw()});
    output.keep_raw("serve", &machine, raw)?;
    let mut rows = Vec::new();
    for workload in Workload::ALL {
        rows.extend(figures.rows(workload));
        if workload == Workload::B1 {
            rows.extend(weights_read(&rows, model.step_bytes, &bandwidths));
        }
    }
    output.print(&rows);
    let judged: Vec<bool> = rows.iter().filter_map(Row::met).collect();
    let met = judged.iter().filter(|met| **met).count();
    output.say(&format!("{met} of {} targets met", judged.len()));
    if options.keep {
        output.say(&format!("kept {}", scratch.keep().display()));
    }
    Ok(())
}

/// What one run says while others wait: its first figures and first error.
fn headline(taken: &measure::Taken) -> String {
    let mut words: Vec<String> =
        taken.figures.iter().take(4).map(|(name, value)| format!("{name} {value:.1}")).collect();
    if let Some(first) = taken.errors.first() {
        words.push(format!("{} of {} failed: {first}", taken.errors.len(), taken.asked));
    }
    words.join(", ")
}

/// Each token alone reads all weights once: its rate beside what memory can give.
fn weights_read(rows: &[Row], step_bytes: u64, bandwidths: &[f64]) -> Option<Row> {
    let decode = rows.iter().find(|row| row.row == "B1 decode")?;
    let scaled = |s: Summary, factor: f64| Summary {
        median: s.median * factor,
        low: s.low * factor,
        high: s.high * factor,
        ..s
    };
    Some(Row {
        row: "B1 weights read".into(),
        unit: "GB/s",
        ours: decode.ours.map(|s| scaled(s, step_bytes as f64 / 1e9)),
        peer: Summary::of(bandwidths).map(|s| scaled(s, 1e-9)),
        peer_name: Some("memory read bandwidth".into()),
        target: Target::Shown,
        ratios: None,
        ..decode.clone()
    })
}

fn rounds_of(workload: Workload, rounds: usize) -> usize {
    if workload.is_long() { (rounds / 2).max(1) } else { rounds }
}

/// What is still to be run, and how long that takes.
struct Plan {
    settings: BTreeMap<Workload, Vec<Setting>>,
    /// Runs left and the seconds of one: first a guess, then the last one's.
    ahead: BTreeMap<(Workload, Setting), (usize, f64)>,
}

impl Plan {
    fn new(workloads: &[Workload], rounds: usize, slots: &[u32], quick: bool) -> Plan {
        let mut plan = Plan { settings: BTreeMap::new(), ahead: BTreeMap::new() };
        for workload in workloads {
            let wanted = |setting: &Setting| match setting {
                Setting::Ours => true,
                Setting::Llama(np) => slots.is_empty() || slots.contains(&np.unwrap_or(0)),
            };
            let settings: Vec<Setting> = settings(*workload, quick).into_iter().filter(wanted).collect();
            for setting in &settings {
                let guess = guess(*workload, *setting, quick);
                plan.ahead.insert((*workload, *setting), (rounds_of(*workload, rounds), guess));
            }
            plan.settings.insert(*workload, settings);
        }
        plan
    }

    fn settings(&self, workload: Workload) -> Vec<Setting> {
        self.settings.get(&workload).cloned().unwrap_or_default()
    }

    /// Another one goes first in each round, so that a slow minute of the
    /// machine falls on all of them.
    fn order(&self, workload: Workload, round: usize) -> Vec<Setting> {
        let mut settings = self.settings(workload);
        let len = settings.len().max(1);
        settings.rotate_left(round % len);
        settings
    }

    fn done(&mut self, workload: Workload, setting: Setting, took: Duration) {
        if let Some((left, seconds)) = self.ahead.get_mut(&(workload, setting)) {
            *left = left.saturating_sub(1);
            *seconds = took.as_secs_f64();
        }
    }

    fn drop_setting(&mut self, workload: Workload, setting: Setting) {
        self.ahead.remove(&(workload, setting));
        if let Some(settings) = self.settings.get_mut(&workload) {
            settings.retain(|s| *s != setting);
        }
    }

    fn left(&self) -> usize {
        self.ahead.values().map(|(left, _)| left).sum()
    }

    fn eta(&self) -> Duration {
        Duration::from_secs_f64(self.ahead.values().map(|(left, seconds)| *left as f64 * seconds).sum())
    }
}

/// The settings that a workload runs with. Where slots do not matter (one
/// request at a time), the default stands for all.
fn settings(workload: Workload, quick: bool) -> Vec<Setting> {
    let (default, wide) = (Setting::Llama(None), Setting::Llama(Some(16)));
    let mut all = vec![Setting::Ours, default];
    match workload {
        Workload::W1 | Workload::W3 => all.push(wide),
        Workload::W2 => all.extend([wide, Setting::Llama(Some(64))]),
        Workload::W5 | Workload::W7 if !quick => all.push(wide),
        _ => {}
    }
    all
}

/// Seconds of one run on two slow cores, for the first estimate only.
fn guess(workload: Workload, setting: Setting, quick: bool) -> f64 {
    let ours = setting == Setting::Ours;
    match (workload, setting) {
        (Workload::B1, _) => 5.0,
        (Workload::W1, Setting::Llama(Some(_))) => 95.0,
        (Workload::W1, _) => {
            if ours {
                12.0
            } else {
                33.0
            }
        }
        (Workload::W2, _) => 16.0,
        (Workload::W3, _) => 18.0,
        (Workload::W4, _) => {
            if ours {
                25.0
            } else {
                22.0
            }
        }
        (Workload::W5, _) => (if ours { 450.0 } else { 225.0 }) / (if quick { 4.0 } else { 1.0 }),
        (Workload::W6, _) => 8.0,
        (Workload::W7, _) => 120.0,
    }
}

fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 90 { format!("{seconds} s") } else { format!("{} min", seconds.div_ceil(60)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_workloads_run_half_as_often_and_never_not_at_all() {
        assert_eq!((rounds_of(Workload::W5, 5), rounds_of(Workload::W5, 1)), (2, 1));
        assert_eq!(rounds_of(Workload::W1, 5), 5);
    }

    #[test]
    fn everyone_goes_first_in_turn_and_a_dropped_setting_is_gone() {
        let mut plan = Plan::new(&[Workload::W1], 5, &[], false);
        let first: Vec<Setting> = (0..3).map(|round| plan.order(Workload::W1, round)[0]).collect();
        assert_eq!(first, [Setting::Ours, Setting::Llama(None), Setting::Llama(Some(16))]);
        assert_eq!(plan.left(), 15);
        plan.drop_setting(Workload::W1, Setting::Llama(Some(16)));
        assert_eq!((plan.left(), plan.order(Workload::W1, 1).len()), (10, 2));
    }

    #[test]
    fn what_was_measured_replaces_the_guess() {
        let mut plan = Plan::new(&[Workload::B1], 3, &[0], false);
        plan.done(Workload::B1, Setting::Ours, Duration::from_secs(100));
        plan.done(Workload::B1, Setting::Llama(None), Duration::from_secs(10));
        assert_eq!(plan.eta(), Duration::from_secs(220));
        assert_eq!(spoken(plan.eta()), "4 min");
    }

    #[test]
    fn bandwidth_is_shared_by_what_a_token_reads() {
        let mut figures = Figures::default();
        let taken = measure::Taken { figures: vec![("decode", 100.0)], asked: 1, errors: Vec::new() };
        figures.add(Workload::B1, Setting::Ours, 0, taken);
        let rows = figures.rows(Workload::B1);
        let row = weights_read(&rows, 170_000_000, &[20e9]).unwrap();
        assert_eq!(row.ratio(), Some(0.85));
        assert!(weights_read(&[], 1, &[]).is_none());
    }
}
