//! `bench engine`: our engine beside llama.cpp's own benches.
//!
//! The same file, the same threads, one process per measurement on either side,
//! in alternating order, and beside both the bandwidth of the machine's memory:
//! a decoder that reads all weights for each token cannot be faster than that.

pub mod bandwidth;
mod llama;
pub mod model;
mod ours;
mod wait;

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::json;

pub use ours::{Single, run as single};
pub use wait::{Steps, steps};

use crate::machine;
use crate::output::Output;
use crate::peers;
use crate::record::{Row, Target};
use crate::stats::Summary;

/// Options of `bench engine`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Build llama.cpp's benches if they are not there (5 minutes on 2 cores).
    #[arg(long)]
    peers: bool,
    /// Compute threads on both sides [default: all cores].
    #[arg(long)]
    threads: Option<usize>,
    /// Rounds over all shapes [default: 5, with --quick 2].
    #[arg(long)]
    rounds: Option<usize>,
    /// Only how idle compute threads should wait, instead of the speed [default: speed].
    #[arg(long)]
    only: Option<Only>,
    /// Only the peer: for a machine on which ours does not build yet.
    #[arg(long)]
    peer_only: bool,
}

/// A part of the bench that is run by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Only {
    Wait,
}

/// What is computed. All requests are there at the start; the clock stops when
/// the last answer has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One prompt of so many tokens and one token of answer.
    Prefill { tokens: u32 },
    /// `batch` requests with a prompt of `prompt` tokens each write `tokens` each.
    Decode { batch: u32, prompt: u32, tokens: u32 },
}

impl Shape {
    /// The published shapes: those of llama-bench's own defaults (pp512, tg128)
    /// and the batches of issue 2. Prompts of a batch are short, so that the
    /// figure is that of decoding.
    fn all(quick: bool) -> [Shape; 4] {
        let tokens = if quick { 32 } else { 128 };
        [
            Shape::Prefill { tokens: 512 },
            Shape::Decode { batch: 1, prompt: 1, tokens },
            Shape::Decode { batch: 8, prompt: 16, tokens },
            Shape::Decode { batch: 32, prompt: 16, tokens },
        ]
    }

    /// Key and value cells that the shape needs, with room to spare.
    pub fn cells(self) -> u32 {
        match self {
            Shape::Prefill { tokens } => tokens + 64,
            Shape::Decode { batch, prompt, tokens } => {
                (batch * (prompt + tokens) + 256).next_multiple_of(256)
            }
        }
    }

    fn row(self) -> String {
        match self {
            Shape::Prefill { tokens } => format!("prefill {tokens}"),
            Shape::Decode { batch, .. } => format!("decode batch {batch}"),
        }
    }

    fn peer_name(self) -> &'static str {
        match self {
            Shape::Decode { batch: 2.., .. } => "llama-batched-bench 0.3.36",
            _ => "llama-bench 0.3.36",
        }
    }

    /// Tokens behind one measurement.
    fn n(self) -> u64 {
        match self {
            Shape::Prefill { tokens } => u64::from(tokens),
            Shape::Decode { batch, tokens, .. } => u64::from(batch * tokens),
        }
    }

    fn words(self) -> Vec<String> {
        match self {
            Shape::Prefill { tokens } => vec!["--prefill".into(), tokens.to_string()],
            Shape::Decode { batch, prompt, tokens } => {
                let pairs = [("--batch", batch), ("--prompt", prompt), ("--tokens", tokens)];
                pairs.into_iter().flat_map(|(name, value)| [name.to_owned(), value.to_string()]).collect()
            }
        }
    }
}

pub fn run(options: &Options, output: &Output) -> Result<()> {
    if options.only == Some(Only::Wait) {
        return wait::run(options, output);
    }
    let machine = machine::describe();
    output.say(&format!("machine: {machine}"));
    let model = model::ensure(&output.cache, |text| output.say(text))?;
    let threads = options.threads.unwrap_or(machine.cores).max(1);
    output.say(&format!(
        "model: {} ({:.0} M parameters, {:.0} MB, {:.0} MB read per step), {threads} threads",
        model.path.display(),
        model.parameters as f64 / 1e6,
        model.bytes as f64 / 1e6,
        model.step_bytes as f64 / 1e6
    ));
    let peer = &peers::llama::PEER;
    let missing = match if options.peers { peer.ensure_installed(&output.peers) } else { Ok(()) } {
        Err(error) => Some(format!("not built ({error:#})")),
        Ok(()) if !peer.installed(&output.peers) => Some("not built (add --peers)".to_owned()),
        Ok(()) => None,
    };

    let rounds = options.rounds.unwrap_or(if output.quick { 2 } else { 5 }).max(1);
    let shapes = Shape::all(output.quick);
    let mut taken = vec![(Vec::new(), Vec::new()); shapes.len()];
    let mut bandwidths = Vec::new();
    let mut failure = options.peer_only.then(|| "not run".to_owned());
    for round in 0..rounds {
        bandwidths.push(bandwidth::of_this_machine(threads));
        for (shape, (mine, theirs)) in shapes.iter().zip(&mut taken) {
            output.step(&format!("round {}/{rounds}: {}", round + 1, shape.row()));
            for side in [round % 2, (round + 1) % 2] {
                if side == 0 && failure.is_none() {
                    match measure_ours(&model, threads, *shape) {
                        Ok(rate) => mine.push(rate),
                        Err(error) => failure = Some(format!("{error:#}")),
                    }
                } else if side == 1 && missing.is_none() {
                    theirs.push(llama::run(&peer.home(&output.peers), &model.path, threads, *shape)?);
                }
            }
        }
    }
    output.step_done();
    if let Some(why) = &failure {
        output.say(&format!("ours: {why}"));
    }
    let raw = shapes.iter().zip(&taken).map(|(s, t)| json!({"row": s.row(), "ours": t.0, "peer": t.1}));
    let raw = json!({"threads": threads, "bandwidth": bandwidths, "shapes": raw.collect::<Vec<_>>()});
    output.say(&format!("load after: {:.2} (1 min)", machine::load().0));
    output.keep_raw("engine", &machine, raw)?;
    output.print(&rows(&shapes, &taken, &model, &bandwidths, missing.as_deref()));
    Ok(())
}

/// A process of its own, like each measurement of the peer, with the
/// environment that `app` gives the engine.
fn measure_ours(model: &model::Model, threads: usize, shape: Shape) -> Result<f64> {
    let this = std::env::current_exe().context("find this program")?;
    let mut command = Command::new(this);
    command.arg("engine-single").arg(&model.path).arg("--threads").arg(threads.to_string());
    command.args(shape.words()).envs(engine::openmp_env().iter().copied());
    let output = command.output().context("start the measurement")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", errors.lines().last().unwrap_or("it printed nothing"));
    String::from_utf8_lossy(&output.stdout).trim().parse().context("read the rate")
}

fn rows(
    shapes: &[Shape],
    taken: &[(Vec<f64>, Vec<f64>)],
    model: &model::Model,
    bandwidths: &[f64],
    missing: Option<&str>,
) -> Vec<Row> {
    let limit = Summary::of(bandwidths);
    let mut rows = Vec::new();
    for (shape, (mine, theirs)) in shapes.iter().zip(taken) {
        let name = shape.peer_name();
        rows.push(Row {
            bench: "engine",
            row: shape.row(),
            unit: "tok/s",
            ours: Summary::of(mine),
            peer: Summary::of(theirs),
            peer_name: Some(missing.map_or(name.to_owned(), |why| format!("{name}: {why}"))),
            target: Target::ShareOfPeer(0.95),
            ratios: None,
            n: shape.n(),
        });
        let (Shape::Decode { batch: 1, .. }, Some(limit)) = (shape, limit) else { continue };
        // Each token reads all weights once; a batch reads them once for all of it.
        let read =
            |rates: &[f64]| rates.iter().map(|rate| rate * model.step_bytes as f64 / 1e9).collect::<Vec<_>>();
        rows.push(Row {
            bench: "engine",
            row: "weights read, decode batch 1".into(),
            unit: "GB/s",
            ours: Summary::of(&read(mine)),
            peer: Some(Summary {
                median: limit.median / 1e9,
                low: limit.low / 1e9,
                high: limit.high / 1e9,
                ..limit
            }),
            peer_name: Some("memory read bandwidth".into()),
            target: Target::Shown,
            ratios: None,
            n: shape.n(),
        });
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> model::Model {
        model::Model { path: "m".into(), parameters: 1, bytes: 200_000_000, step_bytes: 170_000_000 }
    }

    #[test]
    fn the_share_of_the_bandwidth_is_bytes_per_token_times_tokens() {
        let shapes = [Shape::Decode { batch: 1, prompt: 1, tokens: 128 }];
        let taken = [(vec![100.0], vec![110.0])];
        let rows = rows(&shapes, &taken, &model(), &[20e9], None);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].met(), Some(false));
        assert_eq!(rows[1].ratio(), Some(17.0 / 20.0));
    }

    #[test]
    fn a_peer_that_is_not_built_is_a_row_that_says_so() {
        let rows = rows(
            &[Shape::Prefill { tokens: 512 }],
            &[(vec![400.0], vec![])],
            &model(),
            &[1e9],
            Some("not built"),
        );
        assert_eq!(rows[0].peer_name.as_deref(), Some("llama-bench 0.3.36: not built"));
        assert_eq!(rows[0].met(), None);
    }

    #[test]
    fn cells_hold_every_token_of_the_batch() {
        for shape in Shape::all(false) {
            match shape {
                Shape::Prefill { tokens } => assert!(shape.cells() > tokens),
                Shape::Decode { batch, prompt, tokens } => {
                    assert!(shape.cells() >= batch * (prompt + tokens + 1))
                }
            }
        }
    }
}
