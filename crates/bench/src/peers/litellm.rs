//! LiteLLM's proxy: Python, one worker, no database, callbacks and retries off.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Peer, Running, chat_endpoint, pip_install};
use crate::mock::Mock;
use crate::scenario::Wire;
use crate::server::{Launcher, Side, free_address};

pub const PEER: Peer = Peer {
    name: "litellm 1.102.0",
    folder: "litellm",
    program: "venv/bin/litellm",
    install: |home| pip_install(home, &["litellm[proxy]==1.102.0"]),
    start,
};

fn start(launcher: &Launcher, mock: &Mock, home: &Path) -> Result<Running> {
    let model = |name: &str, upstream| {
        format!(
            "  - model_name: {name}\n    litellm_params: {{ model: openai/mock, \
             api_base: \"http://{upstream}/v1\", api_key: x }}\n"
        )
    };
    let config = format!(
        "model_list:\n{}{}litellm_settings: {{ num_retries: 0, callbacks: [], telemetry: false, \
         use_chat_completions_url_for_anthropic_messages: true }}\n",
        model("mock", mock.json),
        model("mock-sse", mock.sse)
    );
    let file = launcher.scratch.join("litellm.yaml");
    std::fs::write(&file, config).context("write litellm.yaml")?;
    let address = free_address()?;
    let mut server = launcher.start("litellm", Side::Subject, &home.join(PEER.program), |command| {
        command.env("LITELLM_LOCAL_MODEL_COST_MAP", "True").arg("--config").arg(&file);
        command.args(["--host", "127.0.0.1", "--port", &address.port().to_string(), "--num_workers", "1"]);
    })?;
    let ready = server.ready(address, "/health/liveliness", Duration::from_secs(180))?;
    let mut sse = chat_endpoint(&server, address);
    sse.model = "mock-sse".into();
    let mut messages = chat_endpoint(&server, address);
    messages.path = "/v1/messages".into();
    messages.headers = vec![("anthropic-version".into(), "2023-06-01".into())];
    let endpoints =
        vec![(Wire::Json, chat_endpoint(&server, address)), (Wire::Sse, sse), (Wire::Anthropic, messages)];
    Ok(Running { servers: vec![server], endpoints, ready })
}
