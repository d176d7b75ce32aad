//! Portkey's gateway: Node, one process; the target travels in headers.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Peer, Running, chat_endpoint, run};
use crate::mock::Mock;
use crate::scenario::Wire;
use crate::server::{Launcher, Side, free_address};

pub const PEER: Peer = Peer {
    name: "portkey 1.15.2",
    folder: "portkey",
    program: "node_modules/@portkey-ai/gateway/build/start-server.js",
    install,
    start,
};

fn install(home: &Path) -> Result<()> {
    std::fs::write(home.join("package.json"), "{\"private\":true}").context("write package.json")?;
    let package = "@portkey-ai/gateway@1.15.2";
    run(Command::new("npm").args(["install", "--no-audit", "--no-fund", package]).current_dir(home))
}

fn start(launcher: &Launcher, mock: &Mock, home: &Path) -> Result<Running> {
    let address = free_address()?;
    let mut server = launcher.start("portkey", Side::Subject, Path::new("node"), |command| {
        command.arg(home.join(PEER.program)).arg(format!("--port={}", address.port())).arg("--headless");
    })?;
    let ready = server.ready(address, "/", Duration::from_secs(60))?;
    let endpoint = |wire| {
        let mut endpoint = chat_endpoint(&server, address);
        endpoint.headers = vec![
            ("x-portkey-provider".into(), "openai".into()),
            ("x-portkey-custom-host".into(), format!("http://{}/v1", mock.address(wire))),
            ("authorization".into(), "Bearer x".into()),
        ];
        (wire, endpoint)
    };
    let mut endpoints = vec![endpoint(Wire::Json), endpoint(Wire::Sse), endpoint(Wire::Anthropic)];
    endpoints[2].1.path = "/v1/messages".into();
    Ok(Running { servers: vec![server], endpoints, ready })
}
