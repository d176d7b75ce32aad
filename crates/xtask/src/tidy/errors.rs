//! Error codes: each registered code has a page, each page a registered code,
//! each code in the sources is registered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};

use super::{Findings, files, shown};

pub fn check(root: &Path, findings: &mut Findings) -> Result<()> {
    let registry = root.join("crates/report/src/codes.rs");
    let text = std::fs::read_to_string(&registry).context("read the registry of codes")?;
    let titles: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| {
            let (code, rest) = line.trim().strip_prefix("e(\"")?.split_once('"')?;
            let title = rest.rsplit_once("\")")?.0.rsplit_once('"')?.1;
            Some((code.to_owned(), title.to_owned()))
        })
        .collect();
    let mut pages = BTreeSet::new();
    for page in files(&root.join("docs/errors"), "md") {
        let code = page.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        if !is_code(&code) {
            continue;
        }
        let text = std::fs::read_to_string(&page)?;
        match titles.get(&code) {
            None => findings.broken(format!("{}: the code is not registered", shown(root, &page))),
            Some(_) if !text.starts_with(&format!("# {code}: ")) => {
                findings.broken(format!("{}: must begin with `# {code}: <title>`", shown(root, &page)));
            }
            Some(_) => {}
        }
        for heading in ["## What happened", "## Why", "## What to do"] {
            if !text.contains(heading) {
                findings.broken(format!("{}: lacks `{heading}`", shown(root, &page)));
            }
        }
        pages.insert(code);
    }
    for code in titles.keys().filter(|c| !pages.contains(*c)) {
        findings.broken(format!("{code}: has no page docs/errors/{code}.md"));
    }
    let letters: BTreeSet<&str> = titles.keys().filter_map(|c| c.get(..2)).collect();
    for source in files(&root.join("crates"), "rs") {
        let text = std::fs::read_to_string(&source)?;
        for (index, line) in text.lines().enumerate() {
            for code in line.split('"').skip(1).step_by(2).filter(|w| is_code(w)) {
                let ours = code.get(..2).is_some_and(|l| letters.contains(l));
                if ours && !titles.contains_key(code) && !shown(root, &source).starts_with("crates/xtask") {
                    findings.broken(format!(
                        "{}:{}: {code} is not registered",
                        shown(root, &source),
                        index + 1
                    ));
                }
            }
        }
    }
    Ok(())
}

fn is_code(word: &str) -> bool {
    word.len() == 6
        && word.bytes().take(2).all(|b| b.is_ascii_uppercase())
        && word.bytes().skip(2).all(|b| b.is_ascii_digit())
}
