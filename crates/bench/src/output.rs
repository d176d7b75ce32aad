//! What every bench says and where it keeps things: data to stdout, speech to
//! stderr, progress only on a terminal.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::machine::Machine;
use crate::record::{self, Row};

/// Settings that all benches share.
#[derive(Clone, Debug)]
pub struct Output {
    pub json: bool,
    pub quick: bool,
    /// Installed peers, cached between runs.
    pub peers: PathBuf,
    /// Generated models and raw results, cached between runs.
    pub cache: PathBuf,
}

impl Output {
    /// A sentence for whoever is watching.
    pub fn say(&self, text: &str) {
        eprintln!("{text}");
    }

    /// A step of long work: shown on a terminal, silent in a pipe.
    pub fn step(&self, text: &str) {
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[2K{text}");
        }
    }

    /// The end of a long step, for the log of a run that takes minutes: a line, on a terminal
    /// and in a pipe.
    pub fn passed(&self, text: &str) {
        self.step_done();
        self.say(text);
    }

    pub fn step_done(&self) {
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[2K");
        }
    }

    /// The result: a table for people or the array for programs.
    pub fn print(&self, rows: &[Row]) {
        if self.json {
            println!("{}", record::json(rows));
        } else {
            print!("{}", record::table(rows));
        }
    }

    /// Keeps every round's value of the last run beside the caches, so that a
    /// median can be doubted.
    pub fn keep_raw(&self, bench: &str, machine: &Machine, raw: Value) -> Result<()> {
        std::fs::create_dir_all(&self.cache)?;
        let file = self.cache.join(format!("{bench}.raw.json"));
        let value = json!({"bench": bench, "quick": self.quick, "machine": machine.to_string(), "raw": raw});
        std::fs::write(&file, format!("{value:#}\n")).with_context(|| format!("write {}", file.display()))?;
        self.say(&format!("every round: {}", file.display()));
        Ok(())
    }
}
