//! `bench soak`: a long mixed load on the real binary.
//!
//! Two tiny models, two tenants, clients that leave, JSON schemas, and a swap
//! of one model every minute. Nothing is timed: what is looked for is memory
//! that grows, requests without an end, and counters that do not return to zero.

mod traffic;
mod watch;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gguf::{Shape, random_llama};
use serde_json::json;
use tokio::task::JoinSet;

use crate::bedplate::Bedplate;
use crate::machine::{self, Pinning};
use crate::output::Output;
use crate::random::Random;
use crate::record::{Row, Target};
use crate::server::Launcher;
use crate::stats::Summary;
use crate::stream::{ask, runtime};
use crate::{clock, gateway};
use traffic::{GUIDE, Kind, STORIES, Verdict, draw, verdict, words};
use watch::{Sample, gauges, growth_percent, longest_unready, sample};

/// Options of `bench soak`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The release binary.
    #[arg(long, env = "BEDPLATE_BIN")]
    bedplate: PathBuf,
    /// How long the load lasts [with --quick: 1].
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Clients that ask, one request each at a time.
    #[arg(long, default_value_t = 6)]
    clients: u64,
    /// Of the clients' draws.
    #[arg(long, default_value_t = 20_261_123)]
    seed: u64,
    /// Keep the run's scratch folder (log, data directory).
    #[arg(long)]
    keep: bool,
}

/// A request without an end after this long is a wedge.
const WEDGED: Duration = Duration::from_secs(60);
/// Tiers that fill within the warm-up: a cache that grows to its bound is no leak.
const SMALL_TIERS: [&str; 4] = ["--kv-memory", "16MiB", "--kv-disk", "64MiB"];
const SAMPLE_EVERY: Duration = Duration::from_secs(10);
const SWAP_EVERY: Duration = Duration::from_secs(60);
/// How often a client asks, in milliseconds. A pace that a slow machine holds, so
/// that every minute is like the others: clients that ask as fast as they are
/// answered fill the cache of kept prompts, which each swap empties, by more or less
/// as the machine has more or less to do beside, and memory follows by 16 MB.
const PACE_MS: (u64, u64) = (700, 900);
/// How long counters may take to return to zero once everybody has left.
const CALM_WITHIN: Duration = Duration::from_secs(30);

/// Requests by kind and how they ended, and a few of the server's own words.
#[derive(Default)]
struct Tally {
    counts: BTreeMap<(Kind, Verdict), u64>,
    words: BTreeMap<String, u64>,
}

/// What the conductor saw.
#[derive(Default)]
struct Seen {
    samples: Vec<Sample>,
    swaps: u64,
    failures: Vec<String>,
}

pub fn run(options: &Options, output: &Output) -> Result<()> {
    gateway::check_binary(&options.bedplate)?;
    let machine = machine::describe();
    output.say(&format!("machine: {machine}"));
    let whole = Duration::from_secs_f64(60.0 * if output.quick { 1.0 } else { options.minutes.max(0.1) });
    let scratch =
        tempfile::Builder::new().prefix("bedplate-soak-").tempdir().context("make a scratch folder")?;
    let launcher = Launcher::new(Pinning::None, scratch.path().to_owned());
    let files = models(scratch.path())?;
    let bedplate = Bedplate::install(options.bedplate.clone(), &launcher)?;
    let up = bedplate.serve(&launcher, &manifest(&files, 0), &SMALL_TIERS)?;
    let (server, pid) = (up.address, up.server.pid());
    output.say(&format!("{} clients for {:.0} min", options.clients, whole.as_secs_f64() / 60.0));

    let tally = Mutex::new(Tally::default());
    let over = AtomicBool::new(false);
    let origin = clock::now();
    let seen = std::thread::scope(|scope| {
        let conductor = scope.spawn(|| {
            let conductor = Conductor { bedplate: &bedplate, files: &files, server, pid, origin, whole };
            let seen = conductor.run(&over, &tally, output);
            over.store(true, Ordering::SeqCst);
            seen
        });
        clients(options, &bedplate.keys, server, origin, &over, &tally)?;
        anyhow::Ok(conductor.join().expect("a reader of counters does not panic"))
    })?;

    let calm = calm(server);
    let end = sample(server, pid, origin.elapsed());
    let tally = tally.into_inner().expect("the clients have ended");
    report(&tally, &seen, &calm, end.as_ref().err(), output);
    let rows = rows(&tally, &seen, &calm, whole);
    let samples = seen.samples.iter().map(|s| {
        json!({"at_s": s.at.as_secs(), "rss": s.resident_bytes, "kept": s.kept_bytes, "ready": s.ready,
            "running": s.gauges.running, "waiting": s.gauges.waiting, "kv_used": s.gauges.kv_used})
    });
    output.keep_raw("soak", &machine, json!({"samples": samples.collect::<Vec<_>>()}))?;
    output.print(&rows);
    if options.keep {
        output.say(&format!("kept {}", scratch.keep().display()));
    }
    up.server.stop(Duration::from_secs(30));
    let missed = rows.iter().filter(|row| row.met() == Some(false)).count();
    ensure!(missed == 0, "{missed} targets missed");
    Ok(())
}

/// Reads the counters every ten seconds and swaps a model every minute.
struct Conductor<'a> {
    bedplate: &'a Bedplate,
    files: &'a [PathBuf; 2],
    server: SocketAddr,
    pid: u32,
    origin: Instant,
    whole: Duration,
}

impl Conductor<'_> {
    fn run(&self, over: &AtomicBool, tally: &Mutex<Tally>, output: &Output) -> Seen {
        let mut seen = Seen::default();
        let (mut sampled, mut swapped) = (Duration::ZERO, Duration::ZERO);
        while self.origin.elapsed() < self.whole && !over.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(200));
            let now = self.origin.elapsed();
            if now >= swapped + SWAP_EVERY {
                swapped = now;
                seen.swaps += 1;
                if let Err(error) = self.bedplate.apply(self.server, &manifest(self.files, seen.swaps)) {
                    seen.failures.push(format!("swap {}: {error:#}", seen.swaps));
                }
            }
            if now >= sampled + SAMPLE_EVERY {
                sampled = now;
                match sample(self.server, self.pid, now) {
                    Ok(sample) => {
                        let asked: u64 = tally.lock().expect("counting does not panic").counts.values().sum();
                        output.say(&said(&sample, asked));
                        seen.samples.push(sample);
                    }
                    Err(error) => {
                        let gone = crate::proc::usage(self.pid).is_err();
                        seen.failures.push(format!("at {} s: {error:#}", now.as_secs()));
                        if gone {
                            break;
                        }
                    }
                }
            }
        }
        seen
    }
}

fn said(sample: &Sample, asked: u64) -> String {
    let Sample { at, resident_bytes, kept_bytes, ready, gauges } = sample;
    format!(
        "{:>5} s: {:.1} MB, {:.1} of them kept, {asked} asked, {} running, {} waiting, KV {:.3}{}",
        at.as_secs(),
        *resident_bytes as f64 / 1e6,
        *kept_bytes as f64 / 1e6,
        gauges.running,
        gauges.waiting,
        gauges.kv_used,
        if *ready { "" } else { ", not ready" }
    )
}

/// Every client asks, waits, and asks again at its pace. When the time is
/// over they are dropped in the middle of what they do: everything is cancelled.
fn clients(
    options: &Options,
    keys: &[String],
    server: SocketAddr,
    origin: Instant,
    over: &AtomicBool,
    tally: &Mutex<Tally>,
) -> Result<()> {
    let (sender, mut ended) = tokio::sync::mpsc::channel(64);
    runtime()?.block_on(async {
        let mut tasks = JoinSet::new();
        for client in 0..options.clients.max(1) {
            let mut random = Random::new(options.seed ^ (client << 32));
            let (keys, sender) = (keys.to_vec(), sender.clone());
            tasks.spawn(async move {
                loop {
                    let pace = tokio::time::Duration::from_millis(random.between(PACE_MS.0, PACE_MS.1));
                    let next = tokio::time::Instant::now() + pace;
                    let (kind, request) = draw(&mut random, &keys);
                    let answer = ask(server, origin, request, WEDGED).await;
                    if sender.send((kind, verdict(&answer), words(&answer))).await.is_err() {
                        return;
                    }
                    tokio::time::sleep_until(next).await;
                }
            });
        }
        let mut tick = tokio::time::interval(Duration::from_millis(200));
        while !over.load(Ordering::SeqCst) {
            tokio::select! {
                Some((kind, verdict, words)) = ended.recv() => {
                    let mut tally = tally.lock().expect("counting does not panic");
                    *tally.counts.entry((kind, verdict)).or_default() += 1;
                    if let Some(words) = words {
                        let known = tally.words.len();
                        if known < WORDS_MAX || tally.words.contains_key(&words) {
                            *tally.words.entry(words).or_default() += 1;
                        }
                    }
                }
                _ = tick.tick() => {}
            }
        }
        tasks.shutdown().await;
    });
    Ok(())
}

/// Different refusals that are kept word for word.
const WORDS_MAX: usize = 200;

/// Waits until the gauges are at zero; what they last were, and after how long.
fn calm(server: SocketAddr) -> (watch::Gauges, Duration) {
    let since = clock::now();
    let mut last = watch::Gauges { in_flight: f64::NAN, ..watch::Gauges::default() };
    while since.elapsed() < CALM_WITHIN {
        if let Ok(now) = gauges(server) {
            last = now;
            if now.idle() {
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    (last, since.elapsed())
}

/// Two copies of a tiny model under different names: a swap is another file.
/// The trained one where the checkout has it, else random weights.
fn models(folder: &Path) -> Result<[PathBuf; 2]> {
    let files = ["stories-1.gguf", "stories-2.gguf"].map(|name| folder.join(name));
    match shared_data().map(|data| data.join("models/stories260K/stories260K.gguf")).filter(|f| f.is_file()) {
        Some(trained) => {
            fs::copy(&trained, &files[0]).with_context(|| format!("copy {}", trained.display()))?;
        }
        None => random_llama(Shape::TINY, 1, &mut fs::File::create(&files[0])?).map(drop)?,
    }
    fs::copy(&files[0], &files[1])?;
    Ok(files)
}

#[expect(clippy::disallowed_methods, reason = "a tool at the top, like `app`")]
fn shared_data() -> Option<PathBuf> {
    if let Ok(shared) = std::env::var("BEDPLATE_SHARED") {
        return Some(PathBuf::from(shared).join("data"));
    }
    let up = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    up.map(|folder| folder.join("shared/data")).find(|data| data.is_dir())
}

/// The manifests after so many swaps: another file each time, and every other
/// time another context.
fn manifest(files: &[PathBuf; 2], swaps: u64) -> String {
    let file = &files[(swaps % 2) as usize];
    let context = if (swaps / 2).is_multiple_of(2) { 2048 } else { 2304 };
    format!(
        "apiVersion: bedplate/v1\nkind: Model\nmetadata: {{ name: {STORIES} }}\nspec: {{ targets: [ {{ local: {{ \
         file: \"{}\", contextTokens: {context} }} }} ] }}\n---\napiVersion: bedplate/v1\nkind: Model\nmetadata: {{ \
         name: {GUIDE} }}\nspec: {{ targets: [ {{ local: {{ builtin: guide, contextTokens: 2048 }} }} ] }}\n",
        file.display()
    )
}

fn report(
    tally: &Tally,
    seen: &Seen,
    calm: &(watch::Gauges, Duration),
    end: Option<&anyhow::Error>,
    output: &Output,
) {
    for ((kind, verdict), count) in &tally.counts {
        output.say(&format!("{}: {count} {verdict:?}", kind.name()).to_lowercase());
    }
    for (words, count) in tally.words.iter().take(20) {
        output.say(&format!("{count} x {words}"));
    }
    for failure in seen.failures.iter().take(20) {
        output.say(failure);
    }
    if let Some(error) = end {
        output.say(&format!("at the end: {error:#}"));
    }
    output.say(&format!(
        "{} swaps; counters as below {:.1} s after everybody left",
        seen.swaps,
        calm.1.as_secs_f64()
    ));
}

fn rows(tally: &Tally, seen: &Seen, calm: &(watch::Gauges, Duration), whole: Duration) -> Vec<Row> {
    let count = |wanted: Option<Verdict>| {
        let all = tally.counts.iter().filter(|((_, verdict), _)| wanted.is_none_or(|w| w == *verdict));
        all.map(|(_, count)| *count).sum::<u64>() as f64
    };
    let row = |row: &str, unit, value: Option<f64>, target| Row {
        bench: "soak",
        row: row.into(),
        unit,
        ours: value.and_then(|value| Summary::of(&[value])),
        peer: None,
        peer_name: None,
        target,
        ratios: None,
        n: count(None) as u64,
    };
    let none = Target::AtMost(0.0);
    let memory = |bytes: fn(&Sample) -> u64| {
        Summary::of(&seen.samples.iter().map(|s| bytes(s) as f64 / 1e6).collect::<Vec<_>>())
    };
    let left = calm.0;
    vec![
        row("requests", "requests", Some(count(None)), Target::Shown),
        row("answered", "requests", Some(count(Some(Verdict::Answered))), Target::Shown),
        row("cancelled", "requests", Some(count(Some(Verdict::Cancelled))), Target::Shown),
        row("refused", "requests", Some(count(Some(Verdict::Refused))), Target::Shown),
        row("broken", "requests", Some(count(Some(Verdict::Broken))), none),
        row("wedged, over 60 s", "requests", Some(count(Some(Verdict::Wedged))), none),
        row("failed swaps and readings", "", Some(seen.failures.len() as f64), none),
        Row { ours: memory(|s| s.resident_bytes), ..row("rss", "MB", None, Target::Shown) },
        Row { ours: memory(|s| s.kept_bytes), ..row("kept for later prompts", "MB", None, Target::Shown) },
        row("rss growth after warm-up", "%", growth_percent(&seen.samples, whole), Target::AtMost(2.0)),
        row(
            "longest not ready",
            "s",
            Some(longest_unready(&seen.samples).as_secs_f64()),
            Target::AtMost(60.0),
        ),
        row("in flight after all left", "requests", Some(left.in_flight), none),
        row("running after all left", "requests", Some(left.running), none),
        row("waiting after all left", "requests", Some(left.waiting), none),
        row("KV used after all left", "of 1", Some(left.kv_used), none),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_swap_changes_the_model_and_four_come_around() {
        let files = [PathBuf::from("/a.gguf"), PathBuf::from("/b.gguf")];
        let all: Vec<String> = (0..5).map(|swaps| manifest(&files, swaps)).collect();
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(all[0], all[4]);
    }

    #[test]
    fn a_wedge_or_a_counter_that_stays_up_is_a_missed_target() {
        let mut tally = Tally::default();
        tally.counts.insert((Kind::Chat, Verdict::Wedged), 1);
        let left = watch::Gauges { kv_used: 0.1, ..watch::Gauges::default() };
        let rows = rows(&tally, &Seen::default(), &(left, Duration::ZERO), Duration::from_secs(60));
        let missed: Vec<&str> =
            rows.iter().filter(|row| row.met() == Some(false)).map(|row| row.row.as_str()).collect();
        assert_eq!(missed, ["wedged, over 60 s", "KV used after all left"]);
    }
}
