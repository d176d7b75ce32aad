//! What is running, and what it can reach.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    pub version: String,
    /// `ready`, `loading`, `broken` (a preloaded model failed, or an engine is stuck) or `draining`.
    pub state: String,
    pub uptime_seconds: u64,
    /// The generation of the configuration in force.
    pub generation: u64,
    pub roles: Vec<String>,
    pub store: String,
    pub models: u32,
    pub providers: u32,
    pub teams: u32,
    pub live_keys: u32,
    pub requests_total: u64,
    pub requests_in_flight: u64,
    /// Settled since midnight UTC.
    pub spent_today_usd: String,
    pub rss_bytes: u64,
    pub engine: Option<EngineStatus>,
    #[serde(default)]
    pub engine_memory: Option<EngineMemory>,
}

/// The memory for local models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EngineMemory {
    pub budget_bytes: u64,
    /// Estimates of the models that are loaded, being loaded or being freed.
    pub used_bytes: u64,
    /// Since the start.
    pub loads: u64,
    pub unloads: u64,
    /// Requests that wait for a model to be in memory.
    pub waiting: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EngineStatus {
    pub model: String,
    pub threads: u32,
    pub context_tokens: u32,
    pub model_bytes: u64,
    /// The exact estimate before load: weights, KV cache and buffers.
    pub memory_bytes: u64,
    pub running: u32,
    pub waiting: u32,
}

/// A name that a client may ask for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Model {
    pub name: String,
    #[serde(default)]
    pub aliases: Vec<String>,
    /// In the order of fallback.
    pub targets: Vec<Target>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    Local,
    Provider,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    pub kind: TargetKind,
    pub provider: String,
    pub upstream_model: String,
    pub weight: u32,
    pub ready: bool,
    /// Why it is not ready.
    pub reason: Option<String>,
    pub context_tokens: Option<u64>,
    pub max_output_tokens: Option<u64>,
    /// USD per million tokens by axis; empty: unpriced.
    pub price_usd_per_million: BTreeMap<String, String>,
    pub price_source: Option<String>,
    /// Of a local model that could be loaded.
    #[serde(default)]
    pub memory: Option<ModelMemory>,
}

/// Where a local model stands in memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelMemory {
    /// `unloaded`, `loading`, `loaded` (in use), `idle`, `draining`, `unloading`, `failed`,
    /// `stalled` or `dead`.
    pub state: String,
    /// Of a load under way.
    pub progress_percent: Option<u32>,
    /// What it may take when loaded, known before: weights, KV cache, buffers, and
    /// what it may keep of earlier prompts.
    pub bytes: u64,
    /// How long it stays when idle; absent: until another model needs the memory.
    pub keep_alive_seconds: Option<u64>,
    pub preload: bool,
    /// Requests that use it.
    pub requests: u32,
    /// Requests that wait until it is in memory.
    pub waiting: u32,
    pub last_used: Option<String>,
    pub loads: u64,
    /// The requests in its engine by team, the longest queue first: of all teams for
    /// those who may read the status, else of the own one. At most 101 rows.
    #[serde(default)]
    pub queue: Vec<TeamQueue>,
}

/// The requests of a team at a local model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TeamQueue {
    /// `(others)` for those beyond a hundred teams.
    pub team: String,
    pub waiting: u32,
    pub running: u32,
}

/// Where a provider's key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// It takes none.
    None,
    Environment,
    Store,
    Missing,
}

/// A party that serves models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Provider {
    pub name: String,
    /// The entry of `providers.toml` it is based on.
    pub catalog: Option<String>,
    pub dialect: String,
    pub base_url: String,
    pub key_source: KeySource,
    /// The name of the environment variable or stored secret; never the key.
    pub key_name: Option<String>,
    /// Declared by a manifest, or known from the catalogue only.
    pub declared: bool,
}
