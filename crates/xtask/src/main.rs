//! The house's own tools: `cargo xtask demo | test | tidy | bench | soak | crash | fuzz | prices | train`.
//!
//! Kept light on purpose: it is the first thing that a newcomer compiles, so
//! it links nothing heavier than the manifest reader.

mod bench;
mod crash;
mod demo;
mod fuzz;
mod machine;
mod prerequisites;
mod prices;
mod shell;
mod soak;
mod test;
mod tidy;
mod train;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tools of the Bedplate repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Xtask {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build, start, ask and answer: the whole system in one go.
    Demo(demo::Demo),
    /// Everything that must pass: format, lints, tidy, tests, journeys, SDK suites.
    Test(test::Test),
    /// Fuzz the parsers of outside bytes.
    Fuzz(fuzz::Fuzz),
    /// The rules of the house that a compiler does not know.
    Tidy,
    /// Run a bench against its peers: gateway, ledger, engine, serve.
    Bench(bench::Bench),
    /// An hour of mixed load on the real binary: leaks and wedges, not speed.
    Soak(soak::Soak),
    /// Kill processes while they write, and look for what they had acknowledged.
    Crash(crash::Crash),
    /// Make the weights of the injection sensor again: `train injection`.
    Train(train::Train),
    /// The price catalogue: `prices import FILE`.
    Prices {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Xtask::parse().command {
        Command::Crash(crash) => crash::run(&crash),
        Command::Demo(demo) => demo::run(&demo),
        Command::Fuzz(fuzz) => fuzz::run(&fuzz),
        Command::Test(test) => test::run(&test),
        Command::Tidy => tidy::run(),
        Command::Bench(bench) => bench::run(&bench),
        Command::Soak(soak) => soak::run(&soak),
        Command::Train(train) => train::run(&train),
        Command::Prices { arguments } => prices::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
