//! `tidy`: the rules of the house that a compiler does not know.
//!
//! Each rule is a file with one function from the repository to a list of
//! findings; a finding says where and what to do. Notes are printed and fail
//! nothing.

mod arrows;
mod dependencies;
mod docs;
mod errors;
mod examples;
mod readers;
mod sockets;
mod sources;
mod threats;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::shell::root;

/// What rules find.
#[derive(Default)]
pub struct Findings {
    broken: Vec<String>,
    notes: Vec<String>,
}

impl Findings {
    fn broken(&mut self, what: impl Into<String>) {
        self.broken.push(what.into());
    }
    fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }
}

/// A rule: its name, and what looks for breaches.
type Rule = (&'static str, fn(&Path, &mut Findings) -> Result<()>);

/// Alphabetic.
const RULES: [Rule; 9] = [
    ("arrows point down", arrows::check),
    ("dependencies have a reason", dependencies::check),
    ("docs name real commands", docs::check),
    ("errors have pages", errors::check),
    ("examples load", examples::check),
    ("one way out", sockets::check),
    ("readers are principals", readers::check),
    ("sources are in shape", sources::check),
    ("threats have tests", threats::check),
];

pub fn run() -> Result<()> {
    let root = root();
    let mut broken = 0;
    for (name, rule) in RULES {
        let mut findings = Findings::default();
        rule(&root, &mut findings)?;
        let verdict = if findings.broken.is_empty() { "ok" } else { "BROKEN" };
        println!("{verdict:8} {name}");
        for note in &findings.notes {
            println!("  note: {note}");
        }
        for finding in &findings.broken {
            println!("  {finding}");
        }
        broken += findings.broken.len();
    }
    if broken > 0 {
        bail!("{broken} rules of the house are broken");
    }
    Ok(())
}

/// All files with an extension below a folder, in the order of their paths.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for path in entries.filter_map(|e| e.ok().map(|e| e.path())) {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                found.extend(files(&path, extension));
            }
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A path as the repository names it.
fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}
