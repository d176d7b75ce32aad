//! The servers of `bench serve`, each started anew for every measurement.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::workload::warm_up;
use crate::bedplate::Bedplate;
use crate::server::{Launcher, Server, Side, free_address};
use crate::stream::open_loop;

/// A server and how it is set up. Ours has no settings: it stands as it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Setting {
    Ours,
    /// llama-server with its slots; `None` is its default (four, in one cache).
    Llama(Option<u32>),
}

impl Setting {
    pub fn name(self) -> String {
        match self {
            Setting::Ours => "bedplate".into(),
            Setting::Llama(None) => "llama-server default (-np 4)".into(),
            Setting::Llama(Some(slots)) => format!("llama-server -np {slots}"),
        }
    }
}

/// What is needed to start any of them.
pub struct Host<'a> {
    pub launcher: &'a Launcher,
    pub model: &'a Path,
    pub threads: usize,
    pub bedplate: Option<Bedplate>,
    pub llama_server: PathBuf,
}

/// A server that is up and has computed its first tokens.
pub struct Standing {
    pub server: Server,
    pub address: SocketAddr,
    pub model: String,
    /// Of tenants A and B; none where the server has no tenants.
    pub keys: Vec<String>,
}

/// Loading 200 MB takes a second; a machine under load takes longer.
const START_PATIENCE: Duration = Duration::from_secs(120);

impl Host<'_> {
    pub fn start(&self, setting: Setting, cells: u32) -> Result<Standing> {
        let standing = match setting {
            Setting::Ours => self.start_ours(cells)?,
            Setting::Llama(slots) => self.start_llama(slots, cells)?,
        };
        let seed = u64::from(standing.server.pid());
        let request = warm_up(seed).request(&standing.model, &standing.keys);
        let answers = open_loop(standing.address, vec![request], START_PATIENCE)?;
        ensure!(answers[0].whole(), "{} cannot answer: {:?}", setting.name(), answers[0].end);
        Ok(standing)
    }

    fn start_ours(&self, cells: u32) -> Result<Standing> {
        let bedplate = self.bedplate.as_ref().context("no bedplate binary was given")?;
        let up = bedplate.serve(self.launcher, &manifest(self.model, cells), &[])?;
        Ok(Standing {
            server: up.server,
            address: up.address,
            model: MODEL.into(),
            keys: bedplate.keys.clone(),
        })
    }

    /// As it ships but for what both sides are given: the file, the threads and
    /// the KV cells. `-np` above the default gets `-kvu` where each slot's own
    /// share of the cells would not hold one request.
    fn start_llama(&self, slots: Option<u32>, cells: u32) -> Result<Standing> {
        let address = free_address()?;
        let threads = self.threads.to_string();
        let mut server =
            self.launcher.start("llama-server", Side::Subject, &self.llama_server, |command| {
                command.arg("-m").arg(self.model).args(["-t", &threads, "-c", &cells.to_string()]);
                command.args(["--host", "127.0.0.1", "--port", &address.port().to_string(), "--no-ui"]);
                if let Some(slots) = slots {
                    command.args(["-np", &slots.to_string()]);
                    if cells / slots < LONGEST_OF_SMALL_CACHES {
                        command.arg("-kvu");
                    }
                }
            })?;
        server.ready(address, "/health", START_PATIENCE)?;
        Ok(Standing { server, address, model: MODEL.into(), keys: Vec::new() })
    }
}

/// W7's requests, which a sixteenth of its cells does not hold.
const LONGEST_OF_SMALL_CACHES: u32 = 600;

const MODEL: &str = "bench";

/// One model of ours, with time for requests that wait behind a flood.
fn manifest(model: &Path, cells: u32) -> String {
    format!(
        "apiVersion: bedplate/v1\nkind: Model\nmetadata: {{ name: {MODEL} }}\nspec:\n  timeouts: {{ firstByteMs: \
         3600000, idleMs: 3600000, totalMs: 3600000 }}\n  targets: [ {{ local: {{ file: \"{}\", contextTokens: \
         {cells} }} }} ]\n",
        model.display()
    )
}
