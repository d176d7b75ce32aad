//! What the data plane knows: immutable, numbered, swapped as a whole.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use ledger::{Machine, Prices};
use net::client::Timeouts;
use net::{HeaderMap, Origin};
use routing::{Breaker, Candidate, Deadlines};
use units::{Labels, TeamId};

use crate::Feature;
use crate::models::{Adapter, Model};

/// One generation of the configuration.
pub struct Snapshot {
    /// Grows with each change; written into every record (TRAPS R4).
    pub generation: u64,
    pub directory: policy::Directory,
    /// By the name a client asks for, aliases included.
    pub routes: BTreeMap<Box<str>, Arc<Route>>,
    pub prices: Prices,
    /// The policy set: compiled once, replaced with the snapshot.
    pub policies: Arc<policy::PolicySet>,
    /// Everything that policies can name.
    pub world: Arc<policy::World>,
    /// What everything that a team sends is at least; absent: nothing is known.
    pub team_labels: HashMap<TeamId, Labels>,
    /// Every team, by what the engine knows it as (see `local`).
    pub teams: HashMap<TeamId, Team>,
    pub tools: crate::tools::Toolbox,
}

/// A team, as far as local models are shared by teams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    pub name: Arc<str>,
    /// Its share beside others'; at least 1.
    pub weight: u32,
}

/// How one model name becomes targets. `candidates` and `targets` are parallel.
#[derive(Clone)]
pub struct Route {
    pub name: Arc<str>,
    pub candidates: Vec<Candidate>,
    pub targets: Vec<Arc<Target>>,
    /// Declared targets that cannot serve now, and why: a missing key, a file that is no model.
    pub absent: Vec<(Arc<str>, String)>,
    pub deadlines: Deadlines,
    /// What is asked for is a feature, not a bare model.
    pub feature: Option<Arc<Feature>>,
    /// The guards it names, beside the default ones.
    pub guards: Vec<String>,
    /// The guards in force; `None` where there are none.
    pub shield: Option<Arc<guards::Shield>>,
    /// What those take out of answers whatever stands around it: the local engine is
    /// kept from saying it.
    pub banned: Option<Arc<engine::BannedTexts>>,
    /// Where their remote detectors are.
    pub detectors: Vec<Arc<Detector>>,
    /// Which questions may be given an answer again.
    pub cache: Keeps,
    /// Unix seconds; what `/v1/models` says.
    pub created: i64,
    /// What everything that is sent to it is at least.
    pub labels: Labels,
}

/// Which kept answers a route gives again; each also what those before it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Keeps {
    #[default]
    Nothing,
    /// To the very same question.
    Exact,
    /// To a near one, as far as the answer's record bounds the error.
    Near,
}

/// One place that can run a model.
pub struct Target {
    /// `provider/upstream-model`: its name in prices, records and reports.
    pub sku: Arc<str>,
    pub provider: Arc<str>,
    pub upstream_model: Arc<str>,
    pub place: Place,
    /// What it may be sent: every attempt asks [`policy::admissible`] of it.
    pub admits: policy::Place,
    /// Most tokens of one answer, for what a request could cost at worst.
    pub output_tokens_max: u64,
    /// Outlives the snapshot: the health of a target does not change with the configuration.
    pub health: Arc<Mutex<Breaker>>,
}

pub enum Place {
    Remote(Arc<Upstream>),
    /// The embedded engine, in memory or not.
    Engine {
        model: Model,
        adapter: Option<Arc<Adapter>>,
        machine: Machine,
    },
}

/// A provider, ready to be called.
#[derive(Clone)]
pub struct Upstream {
    pub name: Arc<str>,
    /// Dialect, paths and quirks.
    pub table: dialects::Provider,
    pub origin: Origin,
    /// What precedes each path: `/v1`.
    pub base_path: String,
    /// Sent with each request, the key included. Never logged.
    pub headers: HeaderMap,
    pub timeouts: Timeouts,
    /// What its manifest says of retries; a model may say otherwise.
    pub retries: Option<u32>,
}

/// A detector outside of this process, ready to be asked.
pub struct Detector {
    /// As declared.
    pub url: String,
    pub origin: Origin,
    pub path: net::uri::PathAndQuery,
    pub headers: HeaderMap,
    /// What may be sent there: it reads what the model would.
    pub admits: policy::Place,
}

impl Target {
    pub(crate) fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.health.lock().expect("no code panics while it holds a breaker")
    }
}

impl Route {
    pub(crate) fn health(&self) -> Vec<Breaker> {
        self.targets.iter().map(|t| *t.breaker()).collect()
    }
}
