//! One way out: `net::client` opens every outbound socket, and takes a
//! clearance for it. An errand (a clearance without data) is run only by the
//! files that are listed here with their reason.

use std::path::Path;

use anyhow::Result;

use super::{Findings, files, shown};

/// What opens a socket or asks a name server.
const OPENERS: [&str; 8] = [
    "TcpStream::connect",
    "TcpSocket",
    "UdpSocket",
    "lookup_host(",
    "to_socket_addrs(",
    "connect_timeout(",
    "hyper::client",
    "hyper_util::client",
];

/// Who may.
const HOME: &str = "crates/net/src/client/";

/// Crates that are no part of what is shipped.
const TOOLS: [&str; 4] = ["crates/bench/", "crates/journeys/", "crates/testkit/", "crates/xtask/"];

/// Who runs errands. Alphabetic.
const ERRANDS: [(&str, &str); 5] = [
    ("crates/cli/src/client.rs", "OwnServer"),
    ("crates/cli/src/pull/hub.rs", "ModelPull"),
    ("crates/gateway/src/issuers.rs", "Identity"),
    ("crates/kms-vault/src/lib.rs", "Kms"),
    ("crates/net/examples/hop.rs", "OwnServer"),
];

pub fn check(root: &Path, findings: &mut Findings) -> Result<()> {
    for source in files(&root.join("crates"), "rs") {
        let name = shown(root, &source);
        if TOOLS.iter().any(|tool| name.starts_with(tool)) || name.contains("/tests") {
            continue;
        }
        let text = std::fs::read_to_string(&source)?;
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let here = || format!("{name}:{}", number + 1);
            if !name.starts_with(HOME)
                && let Some(opener) = OPENERS.iter().find(|opener| code.contains(*opener))
            {
                findings.broken(format!(
                    "{}: {opener}: every outbound socket is `net::Client`'s, which takes a clearance",
                    here()
                ));
            }
            if let Some(rest) = code.split("Clearance::errand(Errand::").nth(1) {
                let errand: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
                if !ERRANDS.contains(&(name.as_str(), errand.as_str())) {
                    findings.broken(format!(
                        "{}: the errand {errand} is not listed in crates/xtask/src/tidy/sockets.rs; \
                         data goes out with a clearance of `policy::admissible`",
                        here()
                    ));
                }
            } else if code.contains("Clearance::errand(") {
                findings.broken(format!(
                    "{}: name the errand where it is run: Clearance::errand(Errand::..)",
                    here()
                ));
            }
        }
    }
    Ok(())
}
