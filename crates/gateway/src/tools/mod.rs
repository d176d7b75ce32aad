//! Tools: Bedplate between those who call tools and those who run them.
//!
//! [`door`] is the MCP server at `/mcp`; [`call`] is what a call goes through,
//! whoever proposed it: grant, pin, policy, gate, upstream, record. [`offer`] is what
//! the model of a feature may call, [`run`] what becomes of its calls. A tool is
//! offered only while its definition is the one that a person approved (TRAPS X5).
//!
//! What is known here is in memory and bounded. What sessions have read, what people
//! answered and what waits for them is [`journal`]ed too and outlives the process; the
//! loss of the rest fails safe: a definition or a token is fetched again.

mod call;
mod catalog;
mod child;
pub(crate) mod door;
pub(crate) mod graph;
mod held;
mod http;
mod journal;
pub(crate) mod offer;
mod permit;
pub(crate) mod run;
mod sessions;
pub(crate) mod tokens;
pub(crate) mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use net::client::Timeouts;
use net::{HeaderMap, Origin};
use policy::{Clearance, Place, Principal, Purpose};
use report::Report;
use toolgate::{Declarations, Digest, Effect};
use units::Labels;

pub use catalog::{Listed, Standing, discover};
pub use child::Child;
pub use graph::{GraphPlace, GraphWay};
pub use held::{Held, HeldState};
pub use tokens::{CallAs, Tokens};
pub use watch::ClientTools;

/// The tools in force.
#[derive(Default)]
pub struct Toolbox {
    pub servers: BTreeMap<Box<str>, Arc<ToolServer>>,
    /// By the names that clients see.
    pub declared: Declarations,
    /// What clients run themselves.
    pub clients: Vec<ClientTools>,
}

/// A party that runs tools.
pub struct ToolServer {
    pub name: Arc<str>,
    /// Teams that may call it, by name.
    pub teams: Vec<String>,
    /// By the upstream's own names.
    pub declared: Declarations,
    /// Also offer what is not declared, as the worst.
    pub others: bool,
    /// What a person said of each tool.
    pub pins: BTreeMap<String, Pin>,
    pub place: ToolPlace,
    /// Where the tokens come from that it is sent; `None`: the headers of its place are all.
    pub tokens: Option<Tokens>,
    pub timeouts: Timeouts,
    /// What data it may be sent.
    pub admits: Place,
}

/// A person's word about a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    Approved(Digest),
    /// Out of service, whatever it says of itself.
    Quarantined,
}

pub enum ToolPlace {
    /// An MCP server over HTTP. The headers hold our own credential.
    Http { origin: Origin, path: String, headers: HeaderMap },
    /// An MCP server as a child process.
    Command(Child),
    /// One HTTP function and what it is said to be.
    Function { origin: Origin, path: String, headers: HeaderMap, tool: serde_json::Value },
    /// A knowledge graph and the queries that may be asked of it.
    Graph(GraphPlace),
}

/// What changes while tools are used.
pub struct Tools {
    catalog: Mutex<BTreeMap<Arc<str>, Arc<catalog::Seen>>>,
    links: http::Links,
    purse: tokens::Purse,
    sessions: Mutex<sessions::Sessions>,
    held: Mutex<held::Desk>,
    /// One answer of a person at a time.
    answering: Mutex<()>,
    journal: Arc<journal::Journal>,
}

/// Between the name of a server and that of its tool, in the name that clients
/// see: allowed in the function names of every dialect.
const JOINT: &str = "__";

/// What a call may take, unless its manifest says otherwise.
pub const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    first_byte: Duration::from_secs(60),
    idle: Duration::from_secs(30),
    total: Some(Duration::from_secs(120)),
};

impl Toolbox {
    pub fn insert(&mut self, server: ToolServer) {
        for (name, tool) in server.declared.iter() {
            self.declared.insert(&format!("{}{JOINT}{name}", server.name), tool.clone());
        }
        self.servers.insert(server.name.as_ref().into(), Arc::new(server));
    }

    /// The server and the upstream's own name of a tool that this principal may call.
    fn find(&self, principal: &Principal, name: &str) -> Result<(&Arc<ToolServer>, String), Report> {
        let found = name.split_once(JOINT).and_then(|(server, tool)| {
            let server = self.servers.get(server)?;
            (server.grants(principal) && server.offers(tool)).then(|| (server, tool.to_owned()))
        });
        found.ok_or_else(|| {
            Report::new("TG0001", format!("no tool \"{name:.130}\" is granted to this key"))
                .hint("tools/list shows what is; a `Tool` manifest's `teams` grants it")
        })
    }
}

impl ToolServer {
    /// Whether a principal may call it: its team is named.
    fn grants(&self, principal: &Principal) -> bool {
        self.teams.iter().any(|team| **team == *principal.team_name)
    }
    fn offers(&self, tool: &str) -> bool {
        self.others || self.declared.get(tool).is_some()
    }
    /// The right to send it something that has these labels.
    fn clear(&self, data: &Labels) -> Result<Clearance, Report> {
        policy::admissible(data, &self.admits, Purpose::Tool).map_err(|why| {
            Report::new("PO0003", format!("the tool server \"{}\" may not have this data", self.name))
                .because(format!("it {why}"))
                .at(format!("the data is labelled {data}"))
                .hint("declare `labels` in its manifest if it may")
        })
    }
    pub(crate) fn effect(&self, tool: &str) -> Effect {
        self.declared.get(tool).map_or(Effect::Egress, |t| t.effect)
    }
}

impl Tools {
    /// As an earlier process left it; `declared` by the names that clients see.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(
        store: Arc<dyn store::Store>,
        keys: seal::KeyRing,
        declared: &Declarations,
        now: units::Micros,
    ) -> Result<Tools, Report> {
        let journal = Arc::new(journal::Journal::new(store, keys));
        let mut sessions = sessions::Sessions::new(Arc::clone(&journal));
        let mut desk = held::Desk::new(Arc::clone(&journal));
        let read = journal.read(|mut kept| match kept.parts.pop() {
            Some((_, journal::Part::Held(held))) => desk.restore(held, now),
            last => {
                kept.parts.extend(last);
                sessions.restore(kept, declared, now);
            }
        });
        read.map_err(|error| error.report())?;
        Ok(Tools {
            catalog: Mutex::default(),
            links: http::Links::default(),
            purse: tokens::Purse::default(),
            sessions: Mutex::new(sessions),
            held: Mutex::new(desk),
            answering: Mutex::default(),
            journal,
        })
    }
    /// Passages that a model was given in a session of a key: the gate takes them for anybody's words.
    pub(crate) fn retrieved(
        &self,
        principal: &Principal,
        session: &str,
        texts: Vec<String>,
        now: units::Micros,
    ) {
        self.sessions().retrieved(&sessions::SessionId::new(principal, session), texts, now);
    }
    fn sessions(&self) -> MutexGuard<'_, sessions::Sessions> {
        self.sessions.lock().expect("no code panics while it holds the sessions")
    }
    fn desk(&self) -> MutexGuard<'_, held::Desk> {
        self.held.lock().expect("no code panics while it holds the approvals")
    }
    /// Calls that wait for a person, and what was answered lately.
    pub fn held(&self, now: units::Micros) -> Vec<Held> {
        self.desk().list(now)
    }
    /// Answers for a held call: its values are endorsed or refused in its session until `until`.
    /// To refuse one that was granted takes the grant back. Returns when it is durable.
    ///
    /// # Errors
    /// TG0009 when nothing of that id waits; when it could not be made durable, and
    /// then a refusal counts until the process ends and a grant does not.
    pub fn answer(
        &self,
        id: &str,
        granted: bool,
        until: units::Micros,
        now: units::Micros,
    ) -> Result<Held, Report> {
        let _one = self.answering.lock().expect("no code panics while it answers");
        let held = self.desk().asked(id, granted, now)?;
        let kept = journal::durably(|done| self.sessions().endorse(&held, granted, until, done));
        if let Err(error) = kept {
            if granted {
                // Over already: the person is asked again.
                self.sessions().endorse(&held, granted, now, journal::unawaited());
            }
            return Err(error.report());
        }
        let state = if granted { HeldState::Granted } else { HeldState::Denied };
        let answered = Held { state, ..held };
        self.desk().answered(answered.clone());
        Ok(answered)
    }
    /// Forgets a team's sessions and what was asked in them, for good.
    ///
    /// # Errors
    /// When they are gone from memory and still stored, where nothing opens them any more.
    pub fn erase(&self, team: units::TeamId) -> Result<(), Report> {
        self.sessions().erase(team);
        self.desk().erase(team);
        self.journal.erase(team).map_err(|error| error.report())
    }
}
