//! Bedplate itself as a subject: everything on.
//!
//! Started as a user would start it, with a fresh data directory, two providers
//! that both point at the mock, prices, a team, a budget and a key with limits.
//! The limits are wide, so that they are counted and checked but never reached.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::mock::Mock;
use crate::peers::Running;
use crate::scenario::{Endpoint, Wire};
use crate::server::{Launcher, Server, Side, free_address, tail};

/// Name in tables and logs.
pub const NAME: &str = "bedplate";

/// Limits a bench cannot reach.
const REQUESTS_PER_MINUTE: &str = "100000000";
const TOKENS_PER_MINUTE: &str = "100000000000";

/// Every role but the engine: what runs before providers of one's own, and what
/// the bound on idle memory is about.
const WITHOUT_MODEL: [&str; 2] = ["--roles", "gateway,control,console"];

/// How to start ours.
pub struct Ours {
    pub binary: PathBuf,
    data: PathBuf,
    config: PathBuf,
}

impl Ours {
    pub fn new(binary: PathBuf, launcher: &Launcher, mock: &Mock) -> Result<Ours> {
        let data = launcher.scratch.join("bedplate-data");
        let config = launcher.scratch.join("bedplate.yaml");
        fs::write(&config, manifests(mock)).context("write bedplate.yaml")?;
        Ok(Ours { binary, data, config })
    }

    /// First start, key and all. Everything after this runs on the same data.
    pub fn start(&self, launcher: &Launcher) -> Result<Running> {
        let (server, address, ready) = self.serve(launcher, &WITHOUT_MODEL)?;
        let url = format!("http://{address}");
        let key = self.create_key(&url, &admin_key(&server.log)?)?;
        let endpoint = |path: &str, model: &str| Endpoint {
            address,
            path: path.into(),
            headers: vec![("authorization".into(), format!("Bearer {key}"))],
            model: model.into(),
            process: Some(server.pid()),
        };
        let mut messages = endpoint("/v1/messages", "mock");
        messages.headers.push(("anthropic-version".into(), "2023-06-01".into()));
        let endpoints = vec![
            (Wire::Json, endpoint("/v1/chat/completions", "mock")),
            (Wire::Sse, endpoint("/v1/chat/completions", "mock-sse")),
            (Wire::Anthropic, messages),
        ];
        Ok(Running { servers: vec![server], endpoints, ready })
    }

    /// Resident megabytes with every role and the built-in model loaded, a
    /// second after ready.
    pub fn memory_with_model(&self, launcher: &Launcher) -> Result<f64> {
        let (server, ..) = self.serve(launcher, &[])?;
        std::thread::sleep(Duration::from_secs(1));
        let usage = crate::proc::usage(server.pid())?;
        server.stop(Duration::from_secs(10));
        Ok(usage.resident_bytes as f64 / 1e6)
    }

    /// Time to ready with every role, on an empty data directory, then on one
    /// that exists, each over and over. Milliseconds.
    pub fn start_times(&self, launcher: &Launcher, rounds: usize) -> Result<(Vec<f64>, Vec<f64>)> {
        let (mut first, mut again) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let fresh = Ours {
                binary: self.binary.clone(),
                data: launcher.scratch.join(format!("bedplate-start-{round}")),
                config: self.config.clone(),
            };
            for times in [&mut first, &mut again] {
                let (server, _, ready) = fresh.serve(launcher, &[])?;
                times.push(ready.as_secs_f64() * 1e3);
                server.stop(Duration::from_secs(10));
            }
        }
        Ok((first, again))
    }

    fn serve(&self, launcher: &Launcher, roles: &[&str]) -> Result<(Server, std::net::SocketAddr, Duration)> {
        let address = free_address()?;
        let mut server = launcher.start(NAME, Side::Subject, &self.binary, |command| {
            command.arg("serve").arg("--data").arg(&self.data).arg("--config").arg(&self.config);
            command.args(["--listen", &address.to_string()]).args(roles).env("MOCK_KEY", "sk-mock");
        })?;
        let ready = server.ready(address, "/readyz", Duration::from_secs(30))?;
        Ok((server, address, ready))
    }

    fn create_key(&self, url: &str, admin: &str) -> Result<String> {
        let words = ["key", "create", "bench", "--team", "bench"];
        let limits = ["--requests-per-minute", REQUESTS_PER_MINUTE, "--tokens-per-minute", TOKENS_PER_MINUTE];
        let answer = self.client(url, admin, &[&words[..], &limits[..]].concat())?;
        find_key(&answer).with_context(|| format!("`key create --json` printed no key: {answer}"))
    }

    fn client(&self, url: &str, admin: &str, words: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.binary);
        command.args(words).arg("--json").env("BEDPLATE_URL", url).env("BEDPLATE_KEY", admin);
        let output = command.output().with_context(|| format!("run {}", self.binary.display()))?;
        if !output.status.success() {
            bail!("`bedplate {}`: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// The admin key printed once on first start.
pub fn admin_key(log: &Path) -> Result<String> {
    let text = fs::read_to_string(log).context("read the log of bedplate")?;
    find_key(&text).with_context(|| format!("no admin key in the first start's output: {}", tail(log)))
}

/// The first word that looks like a key (`bp-...` or `bp_...`).
pub fn find_key(text: &str) -> Option<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    let mut words = text.split(|c| !word(c));
    words.find(|w| (w.starts_with("bp-") || w.starts_with("bp_")) && w.len() >= 20).map(str::to_owned)
}

fn manifests(mock: &Mock) -> String {
    let provider = |name: &str, address| {
        format!(
            "apiVersion: bedplate/v1\nkind: Provider\nmetadata: {{ name: {name} }}\nspec: {{ dialect: openai, \
             baseUrl: \"http://{address}/v1\", keyEnv: MOCK_KEY, allowPrivate: true }}\n---\n\
             apiVersion: bedplate/v1\nkind: Model\nmetadata: {{ name: {name} }}\nspec: {{ targets: [ {{ provider: \
             {name}, model: mock, price: {{ input: \"0.15\", output: \"0.60\" }} }} ] }}\n---\n"
        )
    };
    format!(
        "{}{}apiVersion: bedplate/v1\nkind: Team\nmetadata: {{ name: bench }}\nspec: {{ requestsPerMinute: \
         {REQUESTS_PER_MINUTE}, tokensPerMinute: {TOKENS_PER_MINUTE} }}\n---\n\
         apiVersion: bedplate/v1\nkind: Budget\nmetadata: {{ name: bench }}\nspec: {{ team: bench, \
         limit: \"1000000\", period: month }}\n",
        provider("mock", mock.json),
        provider("mock-sse", mock.sse)
    )
}

/// Refuses a path that is not a file before anything else is started.
pub fn check_binary(binary: &Path) -> Result<()> {
    ensure!(
        binary.is_file(),
        "{} is not a file (build it: cargo build --release -p bedplate)",
        binary.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_key_is_found_among_other_words() {
        let text = "console  http://127.0.0.1:4600/\nadmin key bp-live-0123456789abcdefXYZ (shown once)\n";
        assert_eq!(find_key(text).as_deref(), Some("bp-live-0123456789abcdefXYZ"));
        assert_eq!(find_key("bp- is how keys begin"), None);
    }
}
