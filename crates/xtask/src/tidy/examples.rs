//! Every manifest of `examples/` and of the documents' `yaml` blocks loads,
//! and names only what it declares or the catalogue has.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use manifest::Known;

use super::{Findings, files, shown};

pub fn check(root: &Path, findings: &mut Findings) -> Result<()> {
    let known = Known {
        catalog: catalogue(root)?,
        orgs: BTreeSet::from(["default".to_owned()]),
        // The built-in model is declared by the server itself.
        models: BTreeSet::from(["bedplate-guide".to_owned()]),
        ..Known::default()
    };
    let examples = files(&root.join("examples"), "yaml");
    if examples.is_empty() {
        findings.broken("examples/: there is no example");
    }
    // Also all together, as `apply -f examples` reads them.
    let mut together = String::new();
    for example in examples {
        let text = std::fs::read_to_string(&example)?;
        load(&text, &shown(root, &example), &known, findings);
        together.push_str("---\n");
        together.push_str(&text);
    }
    load(&together, "examples/ together", &known, findings);
    let mut documents = files(&root.join("docs"), "md");
    documents.push(root.join("README.md"));
    for document in documents {
        let Ok(text) = std::fs::read_to_string(&document) else { continue };
        for (line, block) in blocks(&text, "yaml") {
            if block.contains("apiVersion:") {
                load(&block, &format!("{} (block at line {line})", shown(root, &document)), &known, findings);
            }
        }
    }
    Ok(())
}

fn load(text: &str, name: &str, known: &Known, findings: &mut Findings) {
    let reports = match manifest::parse(text, name) {
        Ok(documents) => manifest::check(&documents, known),
        Err(reports) => reports,
    };
    for report in reports {
        findings.broken(report.to_string());
    }
}

/// The names of `providers.toml`, wherever crate `dialects` keeps it.
fn catalogue(root: &Path) -> Result<BTreeSet<String>> {
    let Some(path) =
        files(&root.join("crates/dialects"), "toml").into_iter().find(|p| p.ends_with("providers.toml"))
    else {
        return Ok(BTreeSet::new());
    };
    let table: toml::Table = std::fs::read_to_string(&path)?.parse().context("read providers.toml")?;
    // Either `[groq]` or `[provider.groq]` or `[[provider]] name = "groq"`.
    let mut names = BTreeSet::new();
    for (key, value) in &table {
        match value {
            toml::Value::Array(list) => {
                names.extend(list.iter().filter_map(|v| v.get("name")?.as_str().map(str::to_owned)));
            }
            toml::Value::Table(inner) if !inner.is_empty() && inner.values().all(toml::Value::is_table) => {
                names.extend(inner.keys().cloned());
            }
            toml::Value::Table(_) => {
                names.insert(key.clone());
            }
            _ => {}
        }
    }
    Ok(names)
}

/// Fenced blocks of a language: the line on which each begins, and its text.
fn blocks(text: &str, language: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(tag)) if tag.trim() == language => open = Some((index + 1, String::new())),
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some((_, block)), None) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, _) => {}
        }
    }
    found
}
