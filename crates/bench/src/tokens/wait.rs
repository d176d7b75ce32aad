//! `bench engine --only wait`: what one decode step takes under each way in
//! which idle compute threads can wait, alone and beside other work.
//!
//! libgomp's threads meet at barriers hundreds of times a step. Spinning there
//! wins on cores of one's own and loses where the one that is waited for has no
//! core; which of the two a machine is changes by the second. So each setting is
//! measured on the machine as it is, and beside threads of this process that
//! compute without pause: one, as a busy gateway is, and as many as there are cores.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};

use super::{Options, model};
use crate::output::Output;
use crate::record::{Row, Target};
use crate::stats::Summary;
use crate::{machine, proc};

/// `bench engine-steps`: what is started for each measurement.
#[derive(Debug, clap::Args)]
pub struct Steps {
    model: PathBuf,
    #[arg(long, default_value_t = 1)]
    threads: u32,
    #[arg(long, default_value_t = 128)]
    tokens: u32,
}

/// Prints each step's time in microseconds, and at last the CPU time of all.
pub fn steps(steps: &Steps) -> Result<()> {
    let mut meter = engine::Meter::open(&steps.model, steps.threads, 512, 1)?;
    let decode = |tokens| engine::Workload::Decode { batch: 1, context: 16, tokens };
    meter.run(decode(8))?;
    let this = std::process::id();
    let before = proc::usage(this)?.cpu_seconds;
    let measured = meter.run(decode(steps.tokens))?;
    let cpu = proc::usage(this)?.cpu_seconds - before;
    let words: Vec<String> = measured.step_us.iter().map(u64::to_string).collect();
    println!("{} {}", words.join(" "), (cpu * 1e6) as u64);
    Ok(())
}

/// A way to wait: what libgomp is told, and how many threads there are.
struct Policy {
    name: &'static str,
    environment: &'static [(&'static str, &'static str)],
    threads: usize,
}

fn policies(cores: usize) -> Vec<Policy> {
    let spin = engine::openmp_env();
    let all = |name, environment| Policy { name, environment, threads: cores };
    let mut policies = vec![
        all("short spin (ours)", spin),
        all("default spin", &[]),
        all("passive", &[("OMP_WAIT_POLICY", "passive")]),
    ];
    if cores > 1 {
        policies.push(Policy { name: "one thread fewer", environment: spin, threads: cores - 1 });
    }
    policies
}

/// One measurement: milliseconds of steps, and of CPU a token.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Figures {
    p50: f64,
    p99: f64,
    max: f64,
    cpu: f64,
}

pub fn run(options: &Options, output: &Output) -> Result<()> {
    let machine = machine::describe();
    output.say(&format!("machine: {machine}"));
    let model = model::ensure(&output.cache, |text| output.say(text))?;
    let cores = options.threads.unwrap_or(machine.cores).max(1);
    let rounds = options.rounds.unwrap_or(if output.quick { 1 } else { 5 }).max(1);
    let policies = policies(cores);
    let mut besides = vec![0, 1, cores];
    besides.dedup();
    let mut taken = vec![vec![Vec::new(); policies.len()]; besides.len()];
    for round in 0..rounds {
        for (busy, taken) in besides.iter().zip(&mut taken) {
            // Another one goes first in each round.
            for turn in 0..policies.len() {
                let at = (turn + round) % policies.len();
                let tokens = if output.quick { 32 } else { 128 };
                let figures = beside(*busy, || measure(&model, &policies[at], tokens))?;
                output.say(&format!(
                    "round {}/{rounds}, {busy} busy, {}: {:.1} ms",
                    round + 1,
                    policies[at].name,
                    figures.p50
                ));
                taken[at].push(figures);
            }
        }
    }
    output.say(&format!("load after: {:.2} (1 min)", machine::load().0));
    let mut rows = Vec::new();
    for (busy, taken) in besides.iter().zip(&taken) {
        for (policy, taken) in policies.iter().zip(taken) {
            rows.extend(figures_of(&format!("{busy} busy, {}", policy.name), taken));
        }
    }
    output.print(&rows);
    Ok(())
}

fn figures_of(name: &str, taken: &[Figures]) -> [Row; 4] {
    let row = |what: &str, figure: fn(&Figures) -> f64| Row {
        bench: "engine-wait",
        row: format!("{name}: {what}"),
        unit: "ms",
        ours: Summary::of(&taken.iter().map(figure).collect::<Vec<_>>()),
        peer: None,
        peer_name: None,
        target: Target::Shown,
        ratios: None,
        n: 128,
    };
    [
        row("step p50", |f| f.p50),
        row("step p99", |f| f.p99),
        row("step max", |f| f.max),
        row("CPU a token", |f| f.cpu),
    ]
}

/// Runs `measure` while so many threads compute without pause.
fn beside<T>(busy: usize, measure: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..busy {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let measured = measure();
        over.store(true, Ordering::Relaxed);
        measured
    })
}

/// In a process of its own: libgomp reads its settings before `main`.
fn measure(model: &model::Model, policy: &Policy, tokens: u32) -> Result<Figures> {
    let mut command = Command::new(std::env::current_exe().context("find this program")?);
    command.arg("engine-steps").arg(&model.path).args(["--threads", &policy.threads.to_string()]);
    command.args(["--tokens", &tokens.to_string()]);
    for name in ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"] {
        command.env_remove(name);
    }
    let output =
        command.envs(policy.environment.iter().copied()).output().context("start the measurement")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", errors.lines().last().unwrap_or("it printed nothing"));
    read(&String::from_utf8_lossy(&output.stdout)).context("the measurement printed something else")
}

fn read(printed: &str) -> Option<Figures> {
    let mut numbers: Vec<f64> =
        printed.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect();
    let cpu = numbers.pop()?;
    let count = numbers.len();
    numbers.sort_by(f64::total_cmp);
    let at = |share: f64| numbers.get(((count as f64 * share) as usize).min(count.saturating_sub(1)));
    Some(Figures {
        p50: at(0.5)? / 1e3,
        p99: at(0.99)? / 1e3,
        max: numbers.last()? / 1e3,
        cpu: cpu / 1e3 / count as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_what_a_measurement_prints() {
        let printed = (1..=100).map(|us| format!("{us}000 ")).collect::<String>() + "400000\n";
        assert_eq!(read(&printed), Some(Figures { p50: 51.0, p99: 100.0, max: 100.0, cpu: 4.0 }));
        assert_eq!(read(""), None);
        assert_eq!(read("error 5"), None);
    }

    #[test]
    fn one_core_has_no_thread_to_give_up() {
        assert_eq!(policies(1).len(), 3);
        assert!(policies(4).iter().any(|policy| policy.threads == 3));
    }
}
