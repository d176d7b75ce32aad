//! Who reads documents is who was authenticated: a `Reader` is made by `policy` from
//! a principal, and by nothing else that is shipped.

use std::path::Path;

use anyhow::Result;

use super::{Findings, files, shown};

/// Who makes one. Alphabetic.
const MAKERS: [(&str, &str); 3] = [
    ("crates/control/src/collections.rs", "of somebody else, for who manages access"),
    ("crates/policy/src/reader.rs", "of a principal"),
    ("crates/store/src/documents/access.rs", "the type itself"),
];

/// What is no part of what is shipped, and where suites and samples live.
const ELSEWHERE: [&str; 6] = [
    "crates/bench/",
    "crates/journeys/",
    "crates/store/src/documents/conformance/",
    "crates/testkit/",
    "crates/trainer/",
    "crates/xtask/",
];

pub fn check(root: &Path, findings: &mut Findings) -> Result<()> {
    for source in files(&root.join("crates"), "rs") {
        let name = shown(root, &source);
        let listed = MAKERS.iter().any(|(maker, _)| *maker == name);
        if listed || ELSEWHERE.iter().any(|place| name.starts_with(place)) || name.contains("/tests") {
            continue;
        }
        let text = std::fs::read_to_string(&source)?;
        // Tests at the end of a file make their own.
        let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
        // Others have readers too: of bytes.
        if !shipped.contains("store::documents") {
            continue;
        }
        for (number, line) in shipped.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if code.contains("Reader::new(") && !code.contains("BufReader::new(") {
                findings.broken(format!(
                    "{name}:{}: a Reader is a principal's: take `principal.reader()`, or list the file with its \
                     reason in crates/xtask/src/tidy/readers.rs",
                    number + 1
                ));
            }
        }
    }
    Ok(())
}
