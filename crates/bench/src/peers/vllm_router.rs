//! vllm-router: a router in Rust (axum and reqwest) with nothing switched on,
//! no keys, no limits, no record. The system to beat on CPU.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::{Peer, Running, one_per_answer, pip_install};
use crate::mock::Mock;
use crate::server::{Launcher, Side, free_address};

pub const PEER: Peer = Peer {
    name: "vllm-router 0.1.17",
    folder: "vllm-router",
    program: "venv/bin/vllm-router",
    install: |home| pip_install(home, &["vllm-router==0.1.17"]),
    start,
};

fn start(launcher: &Launcher, mock: &Mock, home: &Path) -> Result<Running> {
    one_per_answer(mock, |kind, worker| {
        let (address, metrics) = (free_address()?, free_address()?);
        let program = home.join(PEER.program);
        let mut server =
            launcher.start(&format!("vllm-router-{kind}"), Side::Subject, &program, |command| {
                command.args(["--host", "127.0.0.1", "--port", &address.port().to_string()]);
                command.args(["--worker-urls", &format!("http://{worker}"), "--policy", "round_robin"]);
                command.args(["--log-level", "warning", "--prometheus-port", &metrics.port().to_string()]);
            })?;
        let ready = server.ready(address, "/health", Duration::from_secs(60))?;
        Ok((server, address, ready))
    })
}
