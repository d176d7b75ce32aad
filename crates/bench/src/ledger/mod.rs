//! `bench ledger`: how fast money becomes durable.
//!
//! Requests settle side by side: each waits for its acknowledgement before it
//! counts, as a request waits for it before its end marker is sent. Beside it
//! stands what the disk can do: 4 KiB written and synced, one at a time. More
//! postings than syncs is what group commit is for.

mod disk;

use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::json;
use store::conformance::sample;
use store::{Entry, MemoryStore, Store};
use store_sqlite::SqliteStore;

use crate::output::Output;
use crate::record::{Row, Target};
use crate::stats::{self, Summary};
use crate::{clock, machine};

/// Options of `bench ledger`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Rounds [default: 5, with --quick 2].
    #[arg(long)]
    rounds: Option<usize>,
    /// Where the data directory is made: the figure is that of this disk
    /// [default: the bench cache].
    #[arg(long)]
    on: Option<std::path::PathBuf>,
}

/// Requests that settle at once. 512 is a busy node; 1 shows a lone client.
const IN_FLIGHT: [usize; 3] = [512, 64, 1];
/// Issue 2: postings a second, durable, by group commit.
const TARGET: f64 = 20_000.0;

/// What one run of a store made.
#[derive(Clone, Copy, Debug)]
struct Taken {
    postings_per_second: f64,
    p99_ms: f64,
}

pub fn run(options: &Options, output: &Output) -> Result<()> {
    let machine = machine::describe();
    output.say(&format!("machine: {machine}"));
    let home = options.on.clone().unwrap_or_else(|| output.cache.clone());
    std::fs::create_dir_all(&home).with_context(|| format!("create {}", home.display()))?;
    let rounds = options.rounds.unwrap_or(if output.quick { 2 } else { 5 }).max(1);
    let settles = if output.quick { 4000 } else { 20_000 };

    let mut syncs = Vec::new();
    let mut memory = Vec::new();
    let mut taken: Vec<Vec<Taken>> = vec![Vec::new(); IN_FLIGHT.len()];
    for round in 0..rounds {
        output.step(&format!("round {}/{rounds}: syncs", round + 1));
        syncs.push(disk::syncs_per_second(&home, if output.quick { 200 } else { 1000 })?);
        memory.push(settle_all(&MemoryStore::new(), IN_FLIGHT[0], settles)?.postings_per_second);
        for (in_flight, values) in IN_FLIGHT.iter().zip(&mut taken) {
            output.step(&format!("round {}/{rounds}: {in_flight} in flight", round + 1));
            // A lone client waits for a whole sync each time: fewer say enough.
            let count = if *in_flight == 1 { settles / 20 } else { settles };
            values.push(fresh(&home, |store| settle_all(store, *in_flight, count))?);
        }
    }
    output.step_done();
    let rates = |values: &[Taken]| values.iter().map(|v| v.postings_per_second).collect::<Vec<_>>();
    let waits = |values: &[Taken]| values.iter().map(|v| v.p99_ms).collect::<Vec<_>>();
    let shapes: Vec<_> = IN_FLIGHT
        .iter()
        .zip(&taken)
        .map(|(n, values)| json!({"in_flight": n, "postings_per_second": rates(values), "p99_ms": waits(values)}))
        .collect();
    output.say(&format!("load after: {:.2} (1 min)", machine::load().0));
    output.keep_raw("ledger", &machine, json!({"syncs": syncs, "memory": memory, "sqlite": shapes}))?;
    let mut rows = Vec::new();
    for (in_flight, values) in IN_FLIGHT.iter().zip(&taken) {
        let row = |row: String, unit, ours: &[f64], peer: &[f64], peer_name: Option<&str>, target| Row {
            bench: "ledger",
            row,
            unit,
            ours: Summary::of(ours),
            peer: Summary::of(peer),
            peer_name: peer_name.map(str::to_owned),
            target,
            ratios: None,
            n: settles,
        };
        let target = if *in_flight == IN_FLIGHT[0] { Target::AtLeast(TARGET) } else { Target::Shown };
        let name = format!("durable postings, {in_flight} in flight");
        rows.push(row(name.clone(), "postings/s", &rates(values), &syncs, Some("4 KiB + fdatasync"), target));
        if *in_flight == IN_FLIGHT[0] {
            rows.push(row(name, "postings/s", &rates(values), &memory, Some("the store in memory"), target));
        }
        let name = format!("settle p99, {in_flight} in flight");
        rows.push(row(name, "ms", &waits(values), &[], None, Target::Shown));
    }
    output.print(&rows);
    Ok(())
}

/// Runs on an encrypted store in a new data directory on the disk in question.
fn fresh(home: &Path, work: impl FnOnce(&dyn Store) -> Result<Taken>) -> Result<Taken> {
    let folder =
        tempfile::Builder::new().prefix("ledger-").tempdir_in(home).context("make a data directory")?;
    let keys = seal::KeyRing::open(folder.path(), &seal::Source::File).context("make the keys")?;
    let store = SqliteStore::open(folder.path(), &keys).context("open the store")?;
    let taken = work(&store)?;
    store.close()?;
    Ok(taken)
}

/// Settles `count` requests with at most `in_flight` unacknowledged.
fn settle_all(store: &dyn Store, in_flight: usize, count: u64) -> Result<Taken> {
    let entries: Vec<(Entry, usize)> = (0..count).map(prepared).collect();
    let postings: usize = entries.iter().map(|(_, postings)| postings).sum();
    let (sender, receiver) = mpsc::channel();
    let mut waits_ms = Vec::with_capacity(entries.len());
    let take = |waits_ms: &mut Vec<f64>| -> Result<()> {
        let (asked, result): (Instant, Result<(), store::Error>) =
            receiver.recv().context("wait for the store")?;
        result.context("settle")?;
        waits_ms.push(asked.elapsed().as_secs_f64() * 1e3);
        Ok(())
    };
    let start = clock::now();
    for (number, (entry, _)) in entries.into_iter().enumerate() {
        if number >= in_flight {
            take(&mut waits_ms)?;
        }
        let (sender, asked) = (sender.clone(), clock::now());
        store.append(entry, Box::new(move |result| drop(sender.send((asked, result)))));
    }
    while waits_ms.len() < count as usize {
        take(&mut waits_ms)?;
    }
    let elapsed = start.elapsed().as_secs_f64();
    let p99_ms = stats::quantile(&mut waits_ms, 0.99).context("nothing was settled")?;
    Ok(Taken { postings_per_second: postings as f64 / elapsed, p99_ms })
}

/// An entry made before the clock starts, and how many postings it has.
fn prepared(number: u64) -> (Entry, usize) {
    let entry = sample::settle(number);
    let postings = match &entry {
        Entry::Settle { postings, .. } => postings.len(),
        Entry::Hold(_) | Entry::Leaf(_) | Entry::Session(_) => 0,
    };
    (entry, postings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_settle_is_acknowledged_whatever_is_in_flight() {
        for in_flight in [1, 7, 1000] {
            let store = MemoryStore::new();
            let taken = settle_all(&store, in_flight, 50).unwrap();
            assert!(taken.postings_per_second > 0.0);
            assert_eq!(store::Ledger::check(&store).unwrap().postings, 150);
        }
    }
}
