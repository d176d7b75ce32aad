//! `soak`: the release binary under a long mixed load.

use anyhow::Result;
use clap::Args;

use crate::bench;

#[derive(Args)]
pub struct Soak {
    /// How long the load lasts.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// What follows goes to the soak (`--clients`, `--seed`, `--keep`, `--json`).
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub fn run(soak: &Soak) -> Result<()> {
    let words = ["soak".to_owned(), "--minutes".to_owned(), soak.minutes.to_string()];
    bench::build_and_become(&[&words[..], &soak.arguments].concat())
}
