//! `bench NAME`: the release binary, the release bench, then the bench itself.

use std::os::unix::process::CommandExt;
use std::process::Stdio;

use anyhow::{Context, Result};
use clap::Args;

use crate::prerequisites;
use crate::shell::{self, cargo, command, target};

#[derive(Args)]
pub struct Bench {
    /// `gateway`, `ledger`, `context`, `engine`, `quality`, `security`, `serve`, `peers`; what follows goes to the bench (`--json`, `--quick`, ...).
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub fn run(bench: &Bench) -> Result<()> {
    build_and_become(&bench.arguments)
}

/// Builds, then is the bench program with these words.
pub fn build_and_become(arguments: &[String]) -> Result<()> {
    prerequisites::for_build()?;
    // Speech of the build goes to standard error: standard output is data.
    run_quiet(&["build", "--release", "-p", "bedplate", "-p", "bench"])?;
    let release = target().join("release");
    let mut program = command(release.join("bench"));
    program.args(arguments).env("BEDPLATE_BIN", release.join("bedplate"));
    // `exec`: the bench owns the terminal and the signals.
    Err(program.exec()).context("start the bench")
}

fn run_quiet(arguments: &[&str]) -> Result<()> {
    shell::run(cargo().args(arguments).envs(crate::machine::engine_flags()).stdout(Stdio::null()))
}
