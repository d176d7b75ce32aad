//! nginx as a plain reverse proxy: the least that a hop can cost.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::{Peer, Running, chat_endpoint};
use crate::mock::{self, Mock};
use crate::scenario::Wire;
use crate::server::Launcher;

pub const PEER: Peer = Peer { name: "nginx (floor)", folder: "", program: "", install: |_| Ok(()), start };

fn start(launcher: &Launcher, mock: &Mock, _home: &Path) -> Result<Running> {
    let (server, json, sse) = mock::floor(launcher, mock)?;
    let ready = server.spawned.elapsed().min(Duration::from_secs(60));
    let endpoints =
        vec![(Wire::Json, chat_endpoint(&server, json)), (Wire::Sse, chat_endpoint(&server, sse))];
    Ok(Running { servers: vec![server], endpoints, ready })
}
