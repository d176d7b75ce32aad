//! What an index takes, in a process that has held nothing else: one that has just built and
//! freed it has pages left over, and opening it again there seems to take none.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use seal::{KeyRing, Source};
use serde_json::{Value, json};
use vectors::{DenseIndex, Place};

use super::corpus;
use crate::{clock, proc};

/// Options of the hidden `bench context-memory`.
#[derive(Debug, clap::Args)]
pub struct Memory {
    /// The data directory that `bench context` has made.
    data: PathBuf,
}

pub fn place() -> Place {
    Place { collection: corpus::collection().id, generation: 1 }
}

/// The child: opens the snapshot and says what that took.
pub fn run(memory: &Memory) -> Result<()> {
    let keys = KeyRing::open(&memory.data, &Source::File).context("open the keys")?.tenant(corpus::team());
    let path = memory.data.join(place().file_name(&keys));
    let before = proc::own_memory()?.0;
    let start = clock::now();
    let (index, _) = vectors::load(&path, &keys, place()).context("load the index")?;
    let seconds = start.elapsed().as_secs_f64();
    let (after, most) = proc::own_memory()?;
    let bytes = after.saturating_sub(before);
    println!("{}", json!({"seconds": seconds, "bytes": bytes, "most": most, "vectors": index.len()}));
    Ok(())
}

/// What a fresh process says: seconds, bytes that opening added, bytes at most.
pub fn ask(data: &Path) -> Result<(f64, f64, f64)> {
    let program = std::env::current_exe().context("find this program")?;
    let output = Command::new(program).arg("context-memory").arg(data).output().context("start a process")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).context("read what it says")?;
    let number = |name: &str| said[name].as_f64().with_context(|| format!("no {name}"));
    Ok((number("seconds")?, number("bytes")?, number("most")?))
}
