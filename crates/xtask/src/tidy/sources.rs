//! Sources are in shape: no empty crate, module docs in every crate, no file
//! so long that two ideas must share it.

use std::path::Path;

use anyhow::Result;

use super::{Findings, files, shown};

/// Past this a file is worth a question, not a failure.
const LINES_MAX: usize = 600;

pub fn check(root: &Path, findings: &mut Findings) -> Result<()> {
    for entry in std::fs::read_dir(root.join("crates"))? {
        let folder = entry?.path();
        if !folder.join("Cargo.toml").exists() {
            continue;
        }
        let name = shown(root, &folder);
        let front = ["src/lib.rs", "src/main.rs"].map(|f| folder.join(f)).into_iter().find(|f| f.exists());
        let Some(front) = front else {
            findings.broken(format!("{name}: has neither src/lib.rs nor src/main.rs"));
            continue;
        };
        if !std::fs::read_to_string(&front)?.starts_with("//!") {
            findings.broken(format!(
                "{}: begins without module docs (`//! why this crate exists`)",
                shown(root, &front)
            ));
        }
        let mut lines = 0;
        for source in files(&folder.join("src"), "rs") {
            let text = std::fs::read_to_string(&source)?;
            let length = text.lines().count();
            lines +=
                text.lines().filter(|l| !l.trim().is_empty() && !l.trim_start().starts_with("//")).count();
            if length > LINES_MAX {
                findings.note(format!("{}: {length} lines; do two ideas share it?", shown(root, &source)));
            }
        }
        if lines < 10 {
            findings.broken(format!(
                "{name}: is empty ({lines} lines of code); a crate comes with its first real content"
            ));
        }
    }
    Ok(())
}
