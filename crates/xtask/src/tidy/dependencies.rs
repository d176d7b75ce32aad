//! Every direct dependency has a line in docs/dependencies.md, and every line
//! a dependency.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

use super::Findings;

pub fn check(root: &Path, findings: &mut Findings) -> Result<()> {
    let manifest: toml::Table = std::fs::read_to_string(root.join("Cargo.toml"))?.parse()?;
    let table = manifest["workspace"].get("dependencies").and_then(toml::Value::as_table);
    let ours = |value: &toml::Value| value.get("path").is_some();
    let declared: BTreeSet<&str> = table
        .context("find workspace.dependencies")?
        .iter()
        .filter(|(_, value)| !ours(value))
        .map(|(name, _)| name.as_str())
        .collect();
    let used = used(root)?;
    for name in declared.iter().filter(|n| !used.contains(**n)) {
        findings.broken(format!("{name}: Cargo.toml declares it and no crate uses it"));
    }
    let text = std::fs::read_to_string(root.join("docs/dependencies.md")).unwrap_or_default();
    let described: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name))
        .collect();
    for name in declared.difference(&described) {
        findings.broken(format!(
            "{name}: has no line in docs/dependencies.md (what it saves, what it costs, licence)"
        ));
    }
    for name in described.difference(&declared) {
        findings.broken(format!("docs/dependencies.md: {name} is no dependency any more"));
    }
    Ok(())
}

/// The names in the dependency tables of all crates.
fn used(root: &Path) -> Result<BTreeSet<String>> {
    let mut used = BTreeSet::new();
    for entry in std::fs::read_dir(root.join("crates"))? {
        let Ok(text) = std::fs::read_to_string(entry?.path().join("Cargo.toml")) else { continue };
        let table: toml::Table = text.parse()?;
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            used.extend(
                table.get(kind).and_then(toml::Value::as_table).into_iter().flat_map(|t| t.keys().cloned()),
            );
        }
    }
    Ok(used)
}
