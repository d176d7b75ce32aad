//! Arrows point down: a crate depends on floors below its own, and the cores
//! on nothing that waits or reads the world.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Findings;
use crate::shell::{cargo, output};

/// The floors, from the ground up.
const FLOORS: [(&str, &[&str]); 6] = [
    ("words", &["chat", "report", "units"]),
    (
        "cores",
        &[
            "api",
            "audit",
            "context",
            "dialects",
            "gguf",
            "graphquery",
            "guards",
            "identity",
            "ledger",
            "manifest",
            "mcp",
            "policy",
            "residency",
            "routing",
            "scheduler",
            "store",
            "toolgate",
        ],
    ),
    (
        "edges",
        &[
            "constrain",
            "engine",
            "engine-process",
            "formats",
            "kms-pkcs11",
            "kms-vault",
            "kv-disk",
            "net",
            "observe",
            "retrieval",
            "runtime",
            "seal",
            "sensors",
            "sql-postgres",
            "sources",
            "store-sqlite",
            "vectors",
        ],
    ),
    ("roles", &["console", "control", "gateway"]),
    ("top", &["bedplate", "cli"]),
    ("tools", &["bench", "journeys", "testkit", "trainer", "xtask"]),
];

/// Arrows on one floor, each with its reason.
const SIDEWAYS: [(&str, &str, &str); 20] = [
    ("*core", "store", "storage is the one injected port"),
    ("*edge", "runtime", "time, randomness and tasks have one owner"),
    ("kms-pkcs11", "seal", "the port of whoever keeps the master key"),
    ("kms-vault", "net", "a vault is reached over HTTP"),
    ("kms-vault", "seal", "the port of whoever keeps the master key"),
    ("kv-disk", "seal", "what is stored is sealed"),
    ("engine", "constrain", "what may be said next is asked at each token"),
    ("mcp", "toolgate", "what is pinned of a tool is the gate's own type"),
    ("manifest", "graphquery", "a query is declared as the type that is asked"),
    ("manifest", "toolgate", "what the owner of a tool declares is the gate's own type"),
    ("engine-process", "engine", "the same engine, elsewhere"),
    ("retrieval", "formats", "documents of hostile formats are read in a process of their own"),
    ("retrieval", "vectors", "the index of a collection is one of vectors"),
    ("sql-postgres", "net", "a database is reached over a socket that takes a clearance"),
    ("sources", "formats", "what lists documents is XML, whose library has its home there"),
    ("sources", "net", "what a collection reads is reached over HTTP"),
    ("store-sqlite", "seal", "what is stored is sealed"),
    ("vectors", "seal", "a snapshot of an index is sealed"),
    ("bedplate", "cli", "the binary holds both"),
    ("*tool", "testkit", "tools test with the same fakes"),
];

/// What a core may not depend on: whatever waits, or reads clock, environment, file or socket.
const NOT_IN_CORES: [&str; 9] =
    ["axum", "hyper", "llama-cpp-sys-2", "mio", "rusqlite", "rustix", "rustls", "tokio", "uuid"];

/// One heavy library, one home.
const HOMES: [(&str, &[&str]); 11] = [
    ("cryptoki", &["kms-pkcs11"]),
    ("hayro-syntax", &["formats"]),
    ("hyper", &["net"]),
    ("llama-cpp-sys-2", &["engine"]),
    ("llguidance", &["constrain"]),
    ("nvml-wrapper", &["sensors"]),
    ("postgres-protocol", &["sql-postgres"]),
    ("quick-xml", &["formats"]),
    ("rusqlite", &["store-sqlite"]),
    ("rustls", &["net"]),
    ("turbovec", &["vectors"]),
];

fn floor(name: &str) -> Option<usize> {
    FLOORS.iter().position(|(_, crates)| crates.contains(&name))
}

pub fn check(_: &Path, findings: &mut Findings) -> Result<()> {
    let text = output(cargo().args(["metadata", "--format-version", "1", "--no-deps", "--offline"]))?;
    let metadata: Value = serde_json::from_str(&text).context("read cargo metadata")?;
    let packages = metadata["packages"].as_array().context("find the packages")?;
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(own) = floor(name) else {
            findings.broken(format!("{name}: has no floor; add it to crates/xtask/src/tidy/arrows.rs"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            // Tests may look anywhere that cargo lets them.
            if dependency["kind"] == "dev" {
                continue;
            }
            let on = dependency["name"].as_str().unwrap_or_default();
            match floor(on) {
                Some(below) => {
                    if below > own || below == own && !sideways(own, name, on) {
                        findings.broken(format!(
                            "{name} ({}) -> {on} ({}): arrows point down",
                            FLOORS[own].0, FLOORS[below].0
                        ));
                    }
                }
                None => foreign(own, name, on, findings),
            }
        }
    }
    Ok(())
}

fn sideways(own: usize, name: &str, on: &str) -> bool {
    let group = ["", "*core", "*edge", "", "", "*tool"][own];
    SIDEWAYS.iter().any(|(from, to, _)| *to == on && (*from == name || (!group.is_empty() && *from == group)))
}

fn foreign(own: usize, name: &str, on: &str, findings: &mut Findings) {
    if own == 1 && NOT_IN_CORES.contains(&on) {
        findings.broken(format!("{name} -> {on}: a core is pure and does not wait"));
    }
    let home = HOMES.iter().find(|(library, _)| *library == on);
    // A bench and a fake may speak a protocol by themselves.
    if let Some((_, homes)) = home
        && !homes.contains(&name)
        && own < 5
    {
        findings.broken(format!("{name} -> {on}: its home is {}", homes.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_arrows_go_sideways() {
        assert!(sideways(1, "ledger", "store") && sideways(2, "net", "runtime"));
        assert!(
            !sideways(1, "ledger", "policy")
                && !sideways(2, "net", "engine")
                && !sideways(3, "gateway", "control")
        );
    }
}
