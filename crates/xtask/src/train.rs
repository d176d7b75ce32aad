//! `train injection`: the weights that are built into the injection sensor.

use anyhow::Result;
use clap::Args;

use crate::shell::{cargo, run as run_command};

#[derive(Args)]
pub struct Train {
    /// `injection`; what follows goes to the trainer (`--check`, `--leave-one-out`).
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub fn run(train: &Train) -> Result<()> {
    run_command(cargo().args(["run", "--quiet", "-p", "trainer", "--"]).args(&train.arguments))
}
