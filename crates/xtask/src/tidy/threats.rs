//! The threat model is not prose: each control in `docs/security.md` names the
//! test that proves it, as `crate::test_name`, and that test exists.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use super::{Findings, files};

pub fn check(root: &Path, findings: &mut Findings) -> Result<()> {
    let Ok(text) = std::fs::read_to_string(root.join("docs/security.md")) else { return Ok(()) };
    let mut sources: BTreeMap<String, String> = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        // The head of a table, and the line below it.
        if cells.first().is_some_and(|c| c.starts_with("Asset") || c.starts_with("--")) {
            continue;
        }
        let proofs: Vec<&str> = cells.last().map(|cell| proofs(cell)).unwrap_or_default();
        if cells.len() == 4 && proofs.is_empty() {
            findings.broken(format!("docs/security.md:{number}: a control without a test that proves it"));
        }
        for proof in proofs {
            let Some((name, test)) = proof.split_once("::") else { continue };
            let source = sources.entry(name.to_owned()).or_insert_with(|| source(root, name));
            if !source.contains(&format!("fn {test}(")) {
                findings.broken(format!("docs/security.md:{number}: there is no test {test} in {name}"));
            }
        }
    }
    Ok(())
}

/// Words between backticks that look like `crate::test`.
fn proofs(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).filter(|word| word.contains("::")).collect()
}

/// Everything that a crate holds, or the SDK suites for `sdk`.
fn source(root: &Path, name: &str) -> String {
    let (folder, extension) =
        if name == "sdk" { (root.join("tests/sdk"), "py") } else { (root.join("crates").join(name), "rs") };
    let texts = files(&folder, extension).into_iter().filter_map(|path| std::fs::read_to_string(path).ok());
    let text = texts.collect::<Vec<_>>().join("\n");
    if extension == "py" { text.replace("def ", "fn ") } else { text }
}
