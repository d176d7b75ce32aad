//! `test`: everything that must pass, in the order in which it fails fastest.
//!
//! One line per step with its time, the output of a step as it comes, and a
//! final line `N passed, N failed` that counts single tests, not steps.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::shell::{cargo, command, root, target};
use crate::{prerequisites, tidy};

#[derive(Args)]
pub struct Test {
    /// Only the steps whose name contains this; repeat for more.
    #[arg(long = "only", value_name = "STEP")]
    only: Vec<String>,
}

/// What a step did.
#[derive(Default, Clone, Copy)]
struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

/// A name, and what it does.
type Step = (&'static str, fn() -> Result<Counts>);

const STEPS: [Step; 7] = [
    ("format", format),
    ("tidy", tidy_step),
    ("lints", lints),
    ("binary", binary),
    ("tests", tests),
    ("sdk", sdk),
    ("fuzz", fuzz),
];

pub fn run(test: &Test) -> Result<()> {
    prerequisites::for_test()?;
    let mut all = Counts::default();
    let mut lines = Vec::new();
    for (name, step) in STEPS {
        if !test.only.is_empty() && !test.only.iter().any(|o| name.contains(o.as_str())) {
            continue;
        }
        println!("== {name}");
        let (result, took) = timed(step);
        let verdict = match result {
            Ok(counts) => {
                all.passed += counts.passed;
                all.failed += counts.failed;
                all.skipped += counts.skipped;
                if counts.failed > 0 { "FAILED" } else { "ok" }
            }
            Err(error) => {
                println!("{error:#}");
                all.failed += 1;
                "FAILED"
            }
        };
        lines.push(format!("{verdict:8} {name:10} {:>5} s", took.as_secs()));
    }
    println!("\n{}", lines.join("\n"));
    println!("{} passed, {} failed, {} skipped", all.passed, all.failed, all.skipped);
    if all.failed > 0 {
        bail!("not everything passed");
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a tool that shows how long its steps took")]
fn timed(step: fn() -> Result<Counts>) -> (Result<Counts>, Duration) {
    let start = Instant::now();
    let result = step();
    (result, start.elapsed())
}

fn one(done: Result<()>) -> Result<Counts> {
    done.map(|()| Counts { passed: 1, ..Counts::default() })
}

fn format() -> Result<Counts> {
    one(crate::shell::run(cargo().args(["fmt", "--all", "--check"])))
}

fn tidy_step() -> Result<Counts> {
    one(tidy::run())
}

fn lints() -> Result<Counts> {
    one(crate::shell::run(cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ])))
}

/// Built once: the journeys and the SDK suites run this one. `--workspace`, so
/// that every step resolves the same features and nothing is compiled twice.
fn binary() -> Result<Counts> {
    one(crate::shell::run(cargo().args(["build", "--workspace", "--bins"])))
}

/// Unit, property and conformance tests, and the journeys of crate `app` through the real binary.
fn tests() -> Result<Counts> {
    let built = target().join("debug");
    let mut cargo = cargo();
    cargo.args(["test", "--workspace", "--no-fail-fast"]);
    if let Some(provider) = oidc_provider() {
        cargo.env("OIDC_PROVIDER", provider);
    }
    counted(
        cargo
            .env("BEDPLATE_BIN", built.join("bedplate"))
            .env("TESTKIT_PROVIDER", built.join("testkit-provider")),
    )
}

/// The certified OpenID provider in a folder under `target`, by the lock file of
/// `tests/oidc`. `None`, aloud, where Node or the packages cannot be had: the
/// journeys that need it are skipped then.
fn oidc_provider() -> Option<std::path::PathBuf> {
    let (from, to) = (root().join("tests/oidc"), target().join("oidc"));
    let installed = || -> Result<()> {
        std::fs::create_dir_all(&to)?;
        let lock = std::fs::read(from.join("package-lock.json"))?;
        let same = std::fs::read(to.join("package-lock.json")).is_ok_and(|have| have == lock);
        for name in ["package.json", "provider.mjs"] {
            std::fs::copy(from.join(name), to.join(name))?;
        }
        if same && to.join("node_modules/oidc-provider").exists() {
            return Ok(());
        }
        std::fs::write(to.join("package-lock.json"), lock)?;
        let mut npm = command("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&to);
        crate::shell::run(&mut npm)
    };
    if !prerequisites::node() {
        println!("skipped: the journeys with an identity provider, because there is no Node");
        return None;
    }
    match installed() {
        Ok(()) => Some(to),
        Err(error) => {
            println!("skipped: the journeys with an identity provider, because npm failed: {error:#}");
            None
        }
    }
}

/// Sums the `test result:` lines of cargo's test binaries.
fn counted(cargo: &mut Command) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut child = cargo.stdout(Stdio::piped()).spawn().context("start cargo")?;
    let out = child.stdout.take().context("take the output")?;
    for line in BufReader::new(out).lines().map_while(Result::ok) {
        if let Some(result) = line.strip_prefix("test result:") {
            counts.passed += number_before(result, "passed");
            counts.failed += number_before(result, "failed");
            counts.skipped += number_before(result, "ignored");
        } else if !line.trim().is_empty() && !line.ends_with("... ok") && !line.starts_with("running ") {
            println!("{line}");
        }
    }
    let status = child.wait()?;
    if !status.success() && counts.failed == 0 {
        bail!("cargo ended with {status}");
    }
    Ok(counts)
}

/// The number before a word: `number_before("3 passed; 1 failed", "failed")` is 1.
fn number_before(text: &str, word: &str) -> u64 {
    let words: Vec<&str> = text.split([' ', ';', ',', '=', '\n']).filter(|w| !w.is_empty()).collect();
    words.windows(2).find(|w| w[1] == word).and_then(|w| w[0].parse().ok()).unwrap_or(0)
}

/// The official Python SDKs against the binary, in a virtual environment under `target`.
fn sdk() -> Result<Counts> {
    let suite = root().join("tests/sdk");
    if !suite.exists() {
        println!("skipped: there is no tests/sdk");
        return Ok(Counts { skipped: 1, ..Counts::default() });
    }
    let venv = target().join("sdk-venv");
    let python = venv.join("bin/python");
    if !python.exists() {
        crate::shell::run(command("python3").args(["-m", "venv"]).arg(&venv))?;
    }
    let mut pip = command(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
    crate::shell::run(pip.arg(suite.join("requirements.txt")))?;
    let built = target().join("debug");
    let mut pytest = command(&python);
    pytest.args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]).arg(&suite);
    pytest
        .env("BEDPLATE_BIN", built.join("bedplate"))
        .env("TESTKIT_PROVIDER", built.join("testkit-provider"));
    pytest.env("PYTHONDONTWRITEBYTECODE", "1");
    let mut child = pytest.stdout(Stdio::piped()).spawn().context("start pytest")?;
    let out = child.stdout.take().context("take the output")?;
    let mut last = String::new();
    for line in BufReader::new(out).lines().map_while(Result::ok) {
        println!("{line}");
        if !line.trim().is_empty() {
            last = line;
        }
    }
    let status = child.wait()?;
    let counts = Counts {
        passed: number_before(&last, "passed"),
        failed: number_before(&last, "failed")
            + number_before(&last, "error")
            + number_before(&last, "errors"),
        skipped: number_before(&last, "skipped"),
    };
    if !status.success() && counts.failed == 0 {
        bail!("pytest ended with {status}: {last}");
    }
    Ok(counts)
}

/// A few seconds of each fuzz target: that they build, and find nothing at once.
fn fuzz() -> Result<Counts> {
    let (ran, failed) = crate::fuzz::each(&[], 5)?;
    let failed = failed.len() as u64;
    Ok(Counts { passed: ran as u64 - failed, failed, skipped: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_the_summaries_of_cargo_and_pytest() {
        let cargo = " ok. 14 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.21s";
        assert_eq!((number_before(cargo, "passed"), number_before(cargo, "failed")), (14, 2));
        let pytest = "= 1 failed, 41 passed, 3 skipped in 12.40s =";
        assert_eq!((number_before(pytest, "passed"), number_before(pytest, "skipped")), (41, 3));
        assert_eq!(number_before("no tests ran", "passed"), 0);
    }
}
