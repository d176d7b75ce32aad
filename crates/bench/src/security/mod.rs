//! `bench security`: what the defences stop, and what they cost those who do no harm.
//!
//! One file per part. Recorded material is read from `shared/data/security`
//! beside the checkout, never copied; a part whose material is absent says so
//! and has no row.

mod audit;
mod detectors;
mod gate;
mod policy;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::output::Output;
use crate::record::Row;

/// Options of `bench security`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Parts to run; all unless told.
    #[arg(long = "part")]
    parts: Vec<String>,
    /// Say each case that is held or missed.
    #[arg(long)]
    cases: bool,
}

type Part = fn(&Options, &Output, &mut Vec<Row>) -> Result<()>;

/// One line per part, in alphabetic order.
const PARTS: [(&str, Part); 4] =
    [("audit", audit::run), ("detectors", detectors::run), ("gate", gate::run), ("policy", policy::run)];

pub fn run(options: &Options, output: &Output) -> Result<()> {
    for name in &options.parts {
        if !PARTS.iter().any(|(part, _)| part == name) {
            let names: Vec<&str> = PARTS.iter().map(|(part, _)| *part).collect();
            bail!("there is no part {name}; there are: {}", names.join(", "));
        }
    }
    let mut rows = Vec::new();
    for (name, part) in PARTS {
        if options.parts.is_empty() || options.parts.iter().any(|p| p == name) {
            part(options, output, &mut rows)?;
        }
    }
    output.print(&rows);
    Ok(())
}

/// A folder of `shared/data/security`, where a checkout has one above it.
fn material(name: &str) -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().map(|a| a.join("shared/data/security").join(name)).find(|p| p.is_dir())
}
