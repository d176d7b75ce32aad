//! SMG: the SGLang model gateway, in Rust, with tokenizer loading off (it would
//! ask a model hub) and no policy but round robin.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::{Peer, Running, one_per_answer, pip_install};
use crate::mock::Mock;
use crate::server::{Launcher, Side, free_address};

pub const PEER: Peer = Peer {
    name: "smg 1.13.0",
    folder: "smg",
    program: "venv/bin/smg",
    install: |home| pip_install(home, &["smg==1.13.0"]),
    start,
};

fn start(launcher: &Launcher, mock: &Mock, home: &Path) -> Result<Running> {
    one_per_answer(mock, |kind, worker| {
        let (address, metrics) = (free_address()?, free_address()?);
        let program = home.join(PEER.program);
        let mut server = launcher.start(&format!("smg-{kind}"), Side::Subject, &program, |command| {
            command.args(["launch", "--host", "127.0.0.1", "--port", &address.port().to_string()]);
            command.args(["--worker-urls", &format!("http://{worker}"), "--policy", "round_robin"]);
            command.args(["--disable-tokenizer-autoload", "--log-level", "warn"]);
            command.args(["--prometheus-port", &metrics.port().to_string()]);
        })?;
        let ready = server.ready(address, "/health", Duration::from_secs(60))?;
        Ok((server, address, ready))
    })
}
