//! The control plane: what the control API does.
//!
//! Each operation is a plain function over a [`Plane`]: no async, no HTTP. One
//! entry, [`answer`], matches the route, asks `policy` for the action that the
//! *matched route* carries (TRAPS X1), runs the function on a blocking thread
//! (the store may wait for a disk) and writes the answer or the refusal.
//!
//! What it needs from the running process it asks through [`Host`], which the
//! binary implements: this crate knows neither the gateway nor the engine.

mod access;
pub mod audit;
mod call;
mod collections;
mod declare;
mod elevate;
mod keyring;
mod memory;
mod money;
mod openings;
pub mod policies;
mod ranking;
mod records;
mod seats;
mod sessions;
pub mod show;
mod sources;
pub mod tools;
mod users;

use std::sync::Arc;

use ledger::BudgetStatus;
use ledger::report_by::By;
use policy::{Denied, PolicySet, Principal, World};
use report::Report;
use seal::KeyRing;
use store::{KeyVersion, Store};
use units::{KeyId, Micros, TeamId};

pub use call::{answer, refuse};
pub use seats::Visitor;
pub use sessions::Door;
pub use sources::Syncs;

/// The running process, as the control plane sees it.
pub trait Host: Send + Sync + 'static {
    /// Who presents this key.
    fn identify(&self, presented: &str, now: Micros) -> Result<Principal, Denied>;
    /// Makes a key: its text, to be shown once, and what is stored of it.
    fn mint(&self, now: Micros, expires: Option<Micros>) -> (String, KeyVersion);
    /// Reads the declared state again and puts it in force.
    ///
    /// # Errors
    /// A report per object that could not be put in force; the rest is.
    fn reload(&self) -> Result<(), Vec<Report>>;
    /// The policy set that is in force, and what it decides on; `None` before
    /// anything is.
    fn policies(&self) -> Option<(Arc<PolicySet>, Arc<World>)>;
    /// Lets go what local engines have computed, of whomever: it is in their memory.
    fn forget_computed(&self);
    /// Ends a team's sessions with tools, and what was asked and answered in them.
    ///
    /// # Errors
    /// When they are still on the disk, where nothing opens them.
    fn forget_sessions(&self, team: TeamId) -> Result<(), Report>;
    fn budgets(&self, now: Micros) -> Vec<BudgetStatus>;
    fn models(&self) -> Vec<api::Model>;
    fn status(&self) -> api::Status;
    /// The models that this principal may ask, as embedders of collections. `purpose` is for the record.
    fn lend(&self, principal: &Principal, purpose: String) -> Box<dyn retrieval::Embed>;
    /// The same as rerankers of what a search finds.
    fn lend_ranking(&self, principal: &Principal, purpose: String) -> Box<dyn retrieval::Rank>;
    /// Who a key is, for work that nobody asks for.
    ///
    /// # Errors
    /// When it is revoked or expired.
    fn principal(&self, key: KeyId, now: Micros) -> Result<Principal, Denied>;
    /// Opens a declared source of a collection, with its key. Nothing is asked yet.
    ///
    /// # Errors
    /// CX0014: it cannot be asked as it is declared.
    fn open_source(
        &self,
        collection: &str,
        source: &manifest::Source,
    ) -> Result<Box<dyn context::source::Source>, Report>;
    /// Whether the process's environment has a variable of this name, not what it holds.
    fn has_variable(&self, name: &str) -> bool;
    /// Every declared tool, as its server describes it now. May wait for servers.
    fn tools(&self) -> Vec<api::Tool>;
    /// Tool calls that wait for a person, and what was answered lately.
    fn held(&self, now: Micros) -> Vec<api::Approval>;
    /// Endorses or refuses the values of a held call.
    ///
    /// # Errors
    /// TG0009 when nothing of that id waits.
    fn answer_held(
        &self,
        id: &str,
        granted: bool,
        until: Micros,
        now: Micros,
    ) -> Result<api::Approval, Report>;
}

/// What the operations work on.
pub struct Plane {
    pub store: Arc<dyn Store>,
    pub host: Arc<dyn Host>,
    pub keys: KeyRing,
    pub collections: Arc<retrieval::Collections>,
    pub audit: Arc<::audit::Shared>,
    pub syncs: Arc<Syncs>,
}

impl Plane {
    /// What the console's overview shows to this principal.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn overview(&self, who: &Principal, now: Micros) -> Result<Overview, Report> {
        policies::allows(self, who, policy::Act::AdminRead)?;
        let (from, to) = (now.day().month_start(), now.day());
        Ok(Overview {
            status: self.host.status(),
            models: self.host.models(),
            records: records::recent(self, who, 50)?,
            costs_by_team: money::costs(self, who, By::Team, from, to)?,
            costs_by_model: money::costs(self, who, By::Model, from, to)?,
            budgets: money::budgets(self, who, now)?,
        })
    }
    /// Everything about one request.
    ///
    /// # Errors
    /// CT0002 for a text that is no id, CT0003 when there is none that this principal may see.
    pub fn record(&self, who: &Principal, id: &str) -> Result<api::Record, Report> {
        policies::allows(self, who, policy::Act::AdminRecords)?;
        records::record(self, who, id)
    }
    fn state(&self) -> Result<store::State, Report> {
        self.store.load().map_err(|e| e.report())
    }
    /// Makes changes durable and puts them in force.
    fn change(&self, changes: &[store::Change]) -> Result<(), Vec<Report>> {
        self.store.change(changes).map_err(|e| vec![e.report()])?;
        self.host.reload()
    }
}

/// Figures for an overview; costs are of the current month.
pub struct Overview {
    pub status: api::Status,
    pub models: Vec<api::Model>,
    pub records: Vec<api::RecordSummary>,
    pub costs_by_team: api::CostReport,
    pub costs_by_model: api::CostReport,
    pub budgets: Vec<api::Budget>,
}

fn missing(kind: &str, name: &str, hint: impl Into<String>) -> Report {
    Report::new("CT0003", format!("there is no {kind} \"{name:.100}\"")).hint(hint)
}
