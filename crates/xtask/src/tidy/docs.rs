//! Documents name commands that exist: every `bedplate ...` and `cargo xtask
//! ...` line of a fenced block. The check itself is a test of crate `cli`,
//! which has the command tree; linking that here would triple the time until
//! `cargo xtask` answers for the first time.

use std::path::Path;

use anyhow::Result;

use super::{Findings, files, shown};
use crate::shell::{cargo, run};

/// What `cargo xtask` knows.
const XTASKS: [&str; 8] = ["bench", "demo", "fuzz", "prices", "soak", "test", "tidy", "train"];

pub fn check(root: &Path, findings: &mut Findings) -> Result<()> {
    let mut documents = files(&root.join("docs"), "md");
    let models = files(&root.join("models"), "md");
    // What a model is trained on is prose, not documentation.
    documents.extend(models.into_iter().filter(|p| !p.components().any(|c| c.as_os_str() == "corpus")));
    let top = std::fs::read_dir(root)?.filter_map(|e| e.ok().map(|e| e.path()));
    documents.extend(top.filter(|p| p.extension().is_some_and(|e| e == "md")));
    for document in documents {
        let text = std::fs::read_to_string(&document)?;
        for (index, line) in text.lines().enumerate() {
            for rest in line.split("cargo xtask ").skip(1) {
                let word: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
                if !word.is_empty() && !XTASKS.contains(&word.as_str()) {
                    findings.broken(format!(
                        "{}:{}: there is no `cargo xtask {word}`",
                        shown(root, &document),
                        index + 1
                    ));
                }
            }
        }
    }
    if run(cargo().args(["test", "--quiet", "--workspace", "--test", "docs"])).is_err() {
        findings.broken("the documents name commands that the command line does not have (see above)");
    }
    Ok(())
}
