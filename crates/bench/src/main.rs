//! The benches, one binary with subcommands: `cargo xtask bench NAME`.
//!
//! Every figure is taken beside a peer or a physical limit of the same run, on
//! the same machine, in alternating order. The table goes to stdout (an array
//! of objects with `--json`), speech to stderr.

mod bedplate;
mod clock;
mod context;
mod gateway;
mod ledger;
mod load;
mod machine;
mod mock;
mod output;
mod peers;
mod proc;
mod quality;
mod random;
mod record;
mod scenario;
mod security;
mod serve;
mod server;
mod soak;
mod stats;
mod stream;
mod tokens;
mod wire;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use output::Output;

#[derive(Debug, Parser)]
#[command(name = "bench", about = "Measures Bedplate beside its peers")]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
    /// Print the array of rows instead of the table.
    #[arg(long, global = true)]
    json: bool,
    /// Fewer rounds and requests: a check that it runs, not a result.
    #[arg(long, global = true)]
    quick: bool,
    /// Where peers are installed and models and raw results are kept
    /// [default: the workspace's target folder].
    #[arg(long, global = true, env = "BEDPLATE_BENCH_DIR")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// A tenant's documents: ingestion, full text, dense search with rights.
    Context(context::Options),
    /// What an index opened from its snapshot takes in a process of its own: what `context` starts.
    #[command(hide = true)]
    ContextMemory(context::Memory),
    /// Tokens per second of our engine beside llama.cpp's own benches.
    Engine(tokens::Options),
    /// One measurement of our engine: what `engine` starts.
    #[command(hide = true)]
    EngineSingle(tokens::Single),
    /// Steps of our engine, one by one: what `engine --only wait` starts.
    #[command(hide = true)]
    EngineSteps(tokens::Steps),
    /// CPU per request, added latency, memory and start of the gateway.
    Gateway(gateway::Options),
    /// Durable postings a second through the encrypted store.
    Ledger(ledger::Options),
    /// Install every peer and stop.
    Peers,
    /// How good retrieval is on judged sets, and what a poisoner gets.
    Quality(quality::Options),
    /// What the defences stop, and what they cost those who do no harm.
    Security(security::Options),
    /// Seven workloads of many clients, ours beside llama-server.
    Serve(serve::Options),
    /// A long mixed load on the real binary: leaks and wedges, not speed.
    Soak(soak::Options),
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let root = arguments.dir.unwrap_or_else(default_dir);
    let output = Output {
        json: arguments.json,
        quick: arguments.quick,
        peers: root.join("bench-peers"),
        cache: root.join("bench-models"),
    };
    match arguments.bench {
        Bench::Context(options) => context::run(&options, &output),
        Bench::ContextMemory(memory) => context::memory(&memory),
        Bench::Engine(options) => tokens::run(&options, &output),
        Bench::EngineSingle(single) => tokens::single(&single),
        Bench::EngineSteps(steps) => tokens::steps(&steps),
        Bench::Gateway(options) => gateway::run(&options, &output),
        Bench::Ledger(options) => ledger::run(&options, &output),
        Bench::Peers => install_peers(&output),
        Bench::Quality(options) => quality::run(&options, &output),
        Bench::Security(options) => security::run(&options, &output),
        Bench::Serve(options) => serve::run(&options, &output),
        Bench::Soak(options) => soak::run(&options, &output),
    }
}

/// Installs what can be installed and says what cannot.
fn install_peers(output: &Output) -> Result<()> {
    for peer in peers::GATEWAYS.iter().chain([&peers::llama::PEER, &peers::llama::SERVER]) {
        match peer.ensure_installed(&output.peers) {
            Ok(()) => output.say(&format!("{}: installed", peer.name)),
            Err(error) => output.say(&format!("{}: not installed: {error:#}", peer.name)),
        }
    }
    for library in &peers::dense::LIBRARIES {
        match library.ensure_installed(&output.peers) {
            Ok(_) => output.say(&format!("{}: installed", library.name)),
            Err(error) => output.say(&format!("{}: not installed: {error:#}", library.name)),
        }
    }
    Ok(())
}

/// `target/` of the workspace this binary was built from.
fn default_dir() -> PathBuf {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.ancestors().nth(2).unwrap_or(crate_dir).join("target")
}
