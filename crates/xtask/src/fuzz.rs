//! `fuzz`: libFuzzer on the stable compiler.
//!
//! `cargo fuzz` wants a nightly compiler for the address sanitizer; what is
//! fuzzed here is safe Rust, where coverage and assertions find the bugs. The
//! coverage pass is in every compiler; only the flags are its own.

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::shell::{cargo, command, output, root, run as run_command, target};

#[derive(Args)]
pub struct Fuzz {
    /// Targets; all unless told.
    names: Vec<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

pub fn run(fuzz: &Fuzz) -> Result<()> {
    let (ran, failed) = each(&fuzz.names, fuzz.seconds)?;
    println!("{ran} targets ran {} s each, {} found something", fuzz.seconds, failed.len());
    if !failed.is_empty() {
        bail!("look into fuzz/artifacts: {}", failed.join(", "));
    }
    Ok(())
}

/// Runs targets, and returns how many ran and which failed.
pub fn each(names: &[String], seconds: u32) -> Result<(usize, Vec<String>)> {
    let host = output(command("rustc").arg("-vV"))?;
    let host =
        host.lines().find_map(|l| l.strip_prefix("host: ")).context("find the host's target")?.to_owned();
    let folder = root().join("fuzz");
    let built = target().join("fuzz");
    let mut build = cargo();
    // With `--target`, the flags do not reach build scripts and derive macros.
    build.args(["build", "--release", "--target", &host, "--manifest-path"]).arg(folder.join("Cargo.toml"));
    build.env("RUSTFLAGS", COVERAGE).env("CARGO_TARGET_DIR", &built);
    run_command(&mut build)?;
    let all = targets(&folder)?;
    let wanted: Vec<&String> = if names.is_empty() { all.iter().collect() } else { names.iter().collect() };
    let mut failed = Vec::new();
    for name in &wanted {
        if !all.contains(name) {
            bail!("there is no fuzz target {name}; there are: {}", all.join(", "));
        }
        let (corpus, artifacts) = (folder.join("corpus").join(name), folder.join("artifacts").join(name));
        std::fs::create_dir_all(&corpus)?;
        std::fs::create_dir_all(&artifacts)?;
        let seeds =
            if *name == "manifests" { root().join("examples") } else { folder.join("seeds").join(name) };
        let seeds = std::fs::read_dir(&seeds).into_iter().flatten().filter_map(Result::ok);
        for seed in seeds.filter(|seed| seed.path().is_file()) {
            std::fs::copy(seed.path(), corpus.join(seed.file_name()))?;
        }
        let mut fuzz = command(built.join(&host).join("release").join(name));
        fuzz.arg(&corpus).arg(format!("-artifact_prefix={}/", artifacts.display()));
        fuzz.arg(format!("-max_total_time={seconds}")).args(["-max_len=8192", "-timeout=20", "-verbosity=0"]);
        fuzz.args(["-print_final_stats=1", "-print_funcs=0"]);
        println!("-- {name}");
        if let Err(error) = run_command(&mut fuzz) {
            println!("{error:#}");
            failed.push((*name).clone());
        }
    }
    Ok((wanted.len(), failed))
}

fn targets(folder: &Path) -> Result<Vec<String>> {
    let mut names: Vec<String> = std::fs::read_dir(folder.join("targets"))?
        .filter_map(|e| e.ok()?.path().file_stem().map(|s| s.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    Ok(names)
}
