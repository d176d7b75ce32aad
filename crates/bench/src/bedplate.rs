//! Bedplate with models of its own, as a user starts it: `bench serve`, `soak`.
//!
//! A fresh data directory, two teams with a key each and no limits, so that
//! nothing but the engine stands in a request's way.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::gateway::{admin_key, find_key};
use crate::server::{Launcher, Server, Side, free_address};

/// A binary, a data directory, and the keys of its two teams.
#[derive(Debug)]
pub struct Bedplate {
    pub binary: PathBuf,
    data: PathBuf,
    config: PathBuf,
    pub admin: String,
    /// Of team `a` and team `b`.
    pub keys: Vec<String>,
}

/// A server that is ready.
pub struct Up {
    pub server: Server,
    pub address: SocketAddr,
}

const TEAMS: &str = "apiVersion: bedplate/v1\nkind: Team\nmetadata: { name: a }\n---\n\
                     apiVersion: bedplate/v1\nkind: Team\nmetadata: { name: b }\n---\n";

impl Bedplate {
    /// Makes the data directory and the keys, by a first start.
    pub fn install(binary: PathBuf, launcher: &Launcher) -> Result<Bedplate> {
        let data = launcher.scratch.join("bedplate-data");
        let config = launcher.scratch.join("bedplate.yaml");
        let mut new = Bedplate { binary, data, config, admin: String::new(), keys: Vec::new() };
        let up = new.serve(launcher, "", &[])?;
        new.admin = admin_key(&up.server.log)?;
        for team in ["a", "b"] {
            let answer = new.client(up.address, &["key", "create", team, "--team", team])?;
            let key = find_key(&answer).with_context(|| format!("no key in {answer}"))?;
            new.keys.push(key);
        }
        up.server.stop(Duration::from_secs(30));
        Ok(new)
    }

    /// Starts it on its data directory with these manifests in force and these
    /// words behind `serve`.
    pub fn serve(&self, launcher: &Launcher, manifests: &str, words: &[&str]) -> Result<Up> {
        fs::write(&self.config, format!("{TEAMS}{manifests}")).context("write bedplate.yaml")?;
        let address = free_address()?;
        let mut server = launcher.start("bedplate", Side::Subject, &self.binary, |command| {
            command.arg("serve").arg("--data").arg(&self.data).arg("--config").arg(&self.config);
            command.args(["--listen", &address.to_string()]).args(words);
        })?;
        server.ready(address, "/readyz", Duration::from_secs(120))?;
        Ok(Up { server, address })
    }

    /// Puts manifests in force on the running server.
    pub fn apply(&self, address: SocketAddr, manifests: &str) -> Result<()> {
        let file = self.config.with_extension("swap.yaml");
        fs::write(&file, manifests).context("write manifests")?;
        self.client(address, &["apply", "-f", &file.display().to_string()]).map(drop)
    }

    fn client(&self, address: SocketAddr, words: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.binary);
        command.args(words).arg("--json");
        command.env("BEDPLATE_URL", format!("http://{address}")).env("BEDPLATE_KEY", &self.admin);
        let output = command.output().with_context(|| format!("run {}", self.binary.display()))?;
        if !output.status.success() {
            bail!("`bedplate {}`: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
