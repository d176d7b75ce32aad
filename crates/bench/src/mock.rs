//! The loopback provider that all systems talk to, and the reverse-proxy floor.
//!
//! nginx serving files: it costs about as little per request as anything can,
//! so the mock is not what is being measured, and it is a program that nobody
//! in this comparison wrote. One server answers JSON, a second one events.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::scenario::{self, Endpoint, Wire};
use crate::server::{Launcher, Server, Side, free_address};

/// The running mock.
pub struct Mock {
    pub json: SocketAddr,
    pub sse: SocketAddr,
    _server: Server,
}

impl Mock {
    pub fn start(launcher: &Launcher) -> Result<Mock> {
        let (json, sse) = (free_address()?, free_address()?);
        let root = launcher.scratch.join("mock-files");
        fs::create_dir_all(&root)?;
        fs::write(root.join("chat.json"), scenario::json_answer())?;
        fs::write(root.join("chat.sse"), scenario::sse_answer())?;
        let servers = answering(json, &root, "chat.json", "application/json")
            + &answering(sse, &root, "chat.sse", "text/event-stream");
        let mut server = nginx(launcher, "mock", Side::World, &servers)?;
        for address in [json, sse] {
            server.ready(address, "/health", Duration::from_secs(10))?;
        }
        Ok(Mock { json, sse, _server: server })
    }

    pub fn address(&self, wire: Wire) -> SocketAddr {
        if wire == Wire::Sse { self.sse } else { self.json }
    }

    /// The mock asked without anything in between: what latencies are added to.
    pub fn endpoint(&self, wire: Wire) -> Endpoint {
        Endpoint {
            address: self.address(wire),
            path: "/v1/chat/completions".into(),
            headers: Vec::new(),
            model: "mock".into(),
            process: None,
        }
    }
}

/// The floor: nginx passing requests on and doing nothing else.
pub fn floor(launcher: &Launcher, mock: &Mock) -> Result<(Server, SocketAddr, SocketAddr)> {
    let (json, sse) = (free_address()?, free_address()?);
    let servers = passing(json, "to_json", mock.json) + &passing(sse, "to_sse", mock.sse);
    let mut server = nginx(launcher, "nginx", Side::Subject, &servers)?;
    for address in [json, sse] {
        server.ready(address, "/health", Duration::from_secs(10))?;
    }
    Ok((server, json, sse))
}

fn answering(address: SocketAddr, root: &Path, file: &str, mime: &str) -> String {
    let root = root.display();
    format!(
        "server {{
  listen {address}; root {root}; default_type {mime};
  location = /health {{ default_type text/plain; return 200 \"ok\"; }}
  location = /get_model_info {{ default_type application/json; return 200 '{{\"model_path\":\"mock\",\"is_generation\":true}}'; }}
  location = /get_server_info {{ default_type application/json; return 200 '{{\"model_path\":\"mock\",\"served_model_name\":\"mock\"}}'; }}
  location = /v1/models {{ default_type application/json; return 200 '{{\"object\":\"list\",\"data\":[{{\"id\":\"mock\",\"object\":\"model\",\"created\":1,\"owned_by\":\"sglang\"}}]}}'; }}
  location = /v1/chat/completions {{ types {{}} error_page 405 =200 /{file}; try_files /{file} =404; }}
  location = /{file} {{ types {{}} }}
}}
"
    )
}

fn passing(address: SocketAddr, upstream: &str, to: SocketAddr) -> String {
    format!(
        "upstream {upstream} {{ server {to}; keepalive 64; keepalive_requests 100000000; }}
server {{
  listen {address};
  location / {{ proxy_pass http://{upstream}; proxy_http_version 1.1; proxy_set_header Connection \"\"; }}
}}
"
    )
}

/// One worker without a master, so that one process id is the whole cost. Bodies
/// stay in memory: a floor that wrote 400 KB prompts to disk would be too kind
/// to everybody else.
fn nginx(launcher: &Launcher, name: &str, side: Side, servers: &str) -> Result<Server> {
    let home = launcher.scratch.join(format!("{name}-nginx"));
    fs::create_dir_all(home.join("tmp"))?;
    let tmp = home.join("tmp");
    let tmp = tmp.display();
    let config = format!(
        "daemon off; master_process off; worker_processes 1;
error_log {name}-error.log warn; pid {name}.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 100000000; keepalive_timeout 600s;
  client_max_body_size 64m; client_body_buffer_size 1m; open_file_cache max=16;
  proxy_buffers 8 64k; proxy_buffer_size 64k; proxy_busy_buffers_size 128k;
  client_body_temp_path {tmp}/body; proxy_temp_path {tmp}/proxy; fastcgi_temp_path {tmp}/f; uwsgi_temp_path {tmp}/u; scgi_temp_path {tmp}/s;
{servers}}}
"
    );
    let file = home.join("nginx.conf");
    fs::write(&file, config)?;
    let program = program().context("nginx is not installed (Debian: apt-get install nginx-light)")?;
    launcher.start(name, side, &program, |command| {
        command.arg("-p").arg(&home).arg("-c").arg(&file).arg("-e").arg(home.join("start.log"));
    })
}

/// nginx lives in `/usr/sbin`, which is not on every user's path.
fn program() -> Option<PathBuf> {
    let places = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx", "/usr/local/bin/nginx"];
    places.iter().map(PathBuf::from).find(|path| path.exists())
}
