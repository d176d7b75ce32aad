//! `crash`: what the tests do a few times, done often. Processes are killed while they
//! write, and what they had acknowledged is looked for; many tenants are opened.

use anyhow::Result;
use clap::Args;

use crate::shell::{cargo, run as run_command};

#[derive(Args)]
pub struct Crash {
    /// How many processes each of the suites kills. The tests kill twenty-odd.
    #[arg(long, default_value_t = 1_000)]
    rounds: u64,
    /// How many tenants are opened, one after the other.
    #[arg(long, default_value_t = 10_000)]
    tenants: u64,
}

pub fn run(crash: &Crash) -> Result<()> {
    // A name each in two suites, the books' and the documents'; and the tenants'.
    for test in ["nothing_acknowledged_is_lost", "many_tiny_tenants"] {
        let mut cargo = cargo();
        cargo.args(["test", "-p", "store-sqlite", "--lib", test, "--", "--nocapture"]);
        cargo.env("BEDPLATE_CRASH_ROUNDS", crash.rounds.to_string());
        run_command(cargo.env("BEDPLATE_TENANTS", crash.tenants.to_string()))?;
    }
    Ok(())
}
