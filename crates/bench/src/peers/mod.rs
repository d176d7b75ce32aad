//! The systems that ours is compared with, one file each.
//!
//! All are optional. A peer that is not installed, does not start or answers
//! wrongly becomes a row that says so; it never fails the bench, because what
//! can be installed differs from machine to machine.

pub mod dense;
mod litellm;
pub mod llama;
mod nginx;
mod portkey;
mod smg;
mod vllm_router;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::mock::Mock;
use crate::scenario::{Endpoint, Wire};
use crate::server::{Launcher, Server};

/// A system that can be put between the generator and the mock.
pub struct Peer {
    /// Name and version, as tables show it.
    pub name: &'static str,
    /// Its folder under the peers' folder; empty for what the system provides.
    pub folder: &'static str,
    /// The program whose presence means that it is installed, in that folder.
    pub program: &'static str,
    pub install: fn(&Path) -> Result<()>,
    pub start: fn(&Launcher, &Mock, &Path) -> Result<Running>,
}

/// A system that is up.
pub struct Running {
    pub servers: Vec<Server>,
    pub endpoints: Vec<(Wire, Endpoint)>,
    /// From start to the first good answer of its health page.
    pub ready: Duration,
}

impl Running {
    pub fn endpoint(&self, wire: Wire) -> Option<&Endpoint> {
        self.endpoints.iter().find(|(has, _)| *has == wire).map(|(_, endpoint)| endpoint)
    }
}

/// Alphabetic, but for the floor, which stands first in every table.
pub const GATEWAYS: [Peer; 5] = [nginx::PEER, litellm::PEER, portkey::PEER, smg::PEER, vllm_router::PEER];

impl Peer {
    pub fn installed(&self, peers: &Path) -> bool {
        self.program.is_empty() || self.home(peers).join(self.program).exists()
    }

    pub fn home(&self, peers: &Path) -> PathBuf {
        peers.join(self.folder)
    }

    /// Installs it unless it is there. An unfinished install is begun again:
    /// the program's file is what counts, and it is written last.
    pub fn ensure_installed(&self, peers: &Path) -> Result<()> {
        if self.installed(peers) {
            return Ok(());
        }
        let home = self.home(peers);
        std::fs::create_dir_all(&home).with_context(|| format!("create {}", home.display()))?;
        eprintln!("installing {} into {} ...", self.name, home.display());
        (self.install)(&home)?;
        ensure!(self.installed(peers), "{} installed without error but has no {}", self.name, self.program);
        Ok(())
    }
}

/// Python packages in an environment of their own: two of these peers install a
/// script of the same name.
fn pip_install(home: &Path, requirements: &[&str]) -> Result<()> {
    let venv = home.join("venv");
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    run(Command::new(venv.join("bin/pip")).args(["install", "--quiet"]).args(requirements))
}

/// Runs an install step at low priority, with its output in the error.
pub fn run(command: &mut Command) -> Result<()> {
    let mut nice = Command::new("nice");
    nice.args(["-n", "10"]).arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    if let Some(folder) = command.get_current_dir() {
        nice.current_dir(folder);
    }
    let words = format!("{} ...", command.get_program().to_string_lossy());
    let output = nice.output().with_context(|| format!("run {words}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = text.lines().rev().filter(|l| !l.trim().is_empty()).take(3).collect();
    ensure!(output.status.success(), "{words} ended with {}: {}", output.status, last.join(" | "));
    Ok(())
}

/// The usual OpenAI endpoint of a server.
fn chat_endpoint(server: &Server, address: std::net::SocketAddr) -> Endpoint {
    Endpoint {
        address,
        path: "/v1/chat/completions".into(),
        headers: Vec::new(),
        model: "mock".into(),
        process: Some(server.pid()),
    }
}

/// Starts one instance before each of the mock's two servers: for routers that
/// have one list of workers and would spread requests over both.
fn one_per_answer(
    mock: &Mock,
    mut start: impl FnMut(&str, std::net::SocketAddr) -> Result<(Server, std::net::SocketAddr, Duration)>,
) -> Result<Running> {
    let (json, json_at, ready) = start("json", mock.json)?;
    let (sse, sse_at, _) = start("sse", mock.sse)?;
    let endpoints =
        vec![(Wire::Json, chat_endpoint(&json, json_at)), (Wire::Sse, chat_endpoint(&sse, sse_at))];
    Ok(Running { servers: vec![json, sse], endpoints, ready })
}
