//! The running process: what the control plane asks for through its port.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use chat::Axis;
use gateway::models::{Config, Models, Readiness};
use gateway::{Gateway, Place};
use ledger::BudgetStatus;
use observe::Counter;
use policy::{Denied, Pepper, PolicySet, Principal, World};
use report::Report;
use routing::Breaker;
use seal::{KeyRing, Purpose};
use store::{Entry, KeyVersion, SpendQuery, Store};
use units::{AttemptId, Day, KeyId, Micros, TeamId, Usd};

use crate::assemble::{self, Parts};
use crate::{policies, queue};

pub struct Process {
    pub data: PathBuf,
    pub store: Arc<dyn Store>,
    pub pepper: Pepper,
    keys: KeyRing,
    pub models: Models,
    engine_memory: u64,
    pub with_engine: bool,
    with_policies: bool,
    policies: policies::Compiled,
    pub roles: Vec<&'static str>,
    pub started: Micros,
    pub requests: Counter,
    pub gateway: OnceLock<Arc<Gateway>>,
    health: Mutex<HashMap<Arc<str>, Arc<Mutex<Breaker>>>>,
    /// One reload at a time, so that an older state never replaces a newer one.
    reloading: Mutex<()>,
}

/// What [`Process::new`] takes.
pub struct Beginning {
    pub data: PathBuf,
    pub store: Arc<dyn Store>,
    pub pepper: Pepper,
    pub keys: KeyRing,
    pub with_engine: bool,
    pub with_policies: bool,
    pub engine: Config,
    pub roles: Vec<&'static str>,
    pub requests: Counter,
}

impl Process {
    pub fn new(b: Beginning) -> Arc<Process> {
        let engine_memory = b.engine.budget_bytes;
        Arc::new_cyclic(|me: &Weak<Process>| Process {
            data: b.data,
            store: b.store,
            pepper: b.pepper,
            keys: b.keys,
            models: {
                let me = me.clone();
                Models::start(b.engine, move || {
                    if let Some(process) = me.upgrade() {
                        process.reload_and_log();
                    }
                })
            },
            engine_memory,
            with_engine: b.with_engine,
            with_policies: b.with_policies,
            policies: policies::Compiled::default(),
            roles: b.roles,
            started: runtime::clock::now(),
            requests: b.requests,
            gateway: OnceLock::new(),
            health: Mutex::default(),
            reloading: Mutex::default(),
        })
    }

    /// The snapshot of what is declared now.
    pub fn assemble(&self) -> Result<(gateway::Snapshot, Vec<Report>, store::State), Report> {
        let state = self.store.load().map_err(|e| e.report())?;
        let parts = Parts {
            data: &self.data,
            store: &*self.store,
            pepper: &self.pepper,
            models: &self.models,
            engine_memory: self.engine_memory,
            with_engine: self.with_engine,
            health: &self.health,
            policies: &self.policies,
            with_policies: self.with_policies,
            now: runtime::clock::now(),
        };
        let (snapshot, mut problems) = assemble::snapshot(&parts, &state);
        // Here, where a disk may be waited for: workers only look for what is there.
        let teams = state.teams.iter().map(|team| team.id);
        if let Err(error) = self.keys.provide(teams.clone(), Purpose::Commitments) {
            problems.push(error.report().at("the salts of teams that are new"));
        }
        if let Err(error) = self.keys.provide(teams, Purpose::Memory) {
            problems.push(error.report().at("the sessions of teams that are new"));
        }
        Ok((snapshot, problems, state))
    }

    fn reload_and_log(&self) {
        if let Err(problems) = control::Host::reload(self) {
            for problem in problems {
                observe::error!("config.problem", code = problem.code.0, why = problem.sentence().as_str());
            }
        }
    }

    fn lent(&self, principal: &Principal, purpose: String) -> gateway::Lent {
        let gateway = Arc::clone(self.gateway().expect("the control plane serves after the gateway stands"));
        gateway::Lent::new(gateway, principal.clone(), None, purpose)
    }

    fn gateway(&self) -> Option<&Arc<Gateway>> {
        self.gateway.get()
    }

    /// Posts what a crash left open, then derives every counter from the ledger.
    pub fn recover(&self, book: &mut ledger::Book) -> Result<usize, Report> {
        let broken = |e: store::Error| e.report();
        let state = self.store.load().map_err(broken)?;
        let now = runtime::clock::now();
        let holds = self.store.open_holds().map_err(broken)?;
        for hold in &holds {
            let team = state.teams.iter().find(|t| t.id == hold.team).map_or("unknown", |t| t.name.as_str());
            let attempt = AttemptId(runtime::new_id());
            let (record, postings) = ledger::crash_postings(hold, team, attempt, now, state.generation);
            let (sender, receiver) = std::sync::mpsc::channel();
            let org = state.teams.iter().find(|t| t.id == hold.team).map(|t| t.org);
            let leaf = Some(gateway::crash_leaf(&record, org));
            let entry = Entry::Settle { record: Arc::new(record), postings, leaf };
            self.store.append(entry, Box::new(move |result| drop(sender.send(result))));
            receiver.recv().unwrap_or(Err(store::Error::Closed)).map_err(broken)?;
        }
        let everything = SpendQuery { from: Day(i32::MIN), to: Day(i32::MAX), team: None, key: None };
        let rows = self.store.spend(&everything).map_err(broken)?;
        book.configure(&state.budgets);
        book.seed(&rows, &state.teams);
        Ok(holds.len())
    }

    fn spent_today(&self) -> Usd {
        let today = runtime::clock::now().day();
        let rows = self.store.spend(&SpendQuery { from: today, to: today, team: None, key: None });
        let sum = rows.map(|rows| rows.iter().map(|r| r.cost_pico).sum::<i128>()).unwrap_or(0);
        Usd::from_wide(sum).unwrap_or(Usd::MAX)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // However the process ends: C++ destructors must not find an engine computing.
        self.models.close();
    }
}

impl control::Host for Process {
    fn identify(&self, presented: &str, now: Micros) -> Result<Principal, Denied> {
        let gateway = self.gateway().expect("the control plane serves after the gateway stands");
        gateway.snapshot.load().directory.identify(presented, now)
    }

    fn mint(&self, now: Micros, expires: Option<Micros>) -> (String, KeyVersion) {
        policy::mint(&self.pepper, runtime::random::bytes(), now, expires)
    }

    fn reload(&self) -> Result<(), Vec<Report>> {
        let Some(gateway) = self.gateway() else { return Ok(()) };
        let _one = self.reloading.lock().expect("no code panics while it reloads");
        let (snapshot, problems, state) = self.assemble().map_err(|r| vec![r])?;
        gateway.book.lock().expect("no code panics while it holds the book").configure(&state.budgets);
        gateway.snapshot.store(Arc::new(snapshot));
        // What could not be put in force is shown by `status` and `model list`; it
        // refuses no change, since the environment may be mended later.
        for problem in problems {
            observe::warn!("config.problem", code = problem.code.0, why = problem.sentence().as_str());
        }
        Ok(())
    }

    fn tools(&self) -> Vec<api::Tool> {
        self.gateway().map(|gateway| crate::tools::list(gateway)).unwrap_or_default()
    }

    fn held(&self, now: Micros) -> Vec<api::Approval> {
        let held = self.gateway().map(|gateway| gateway.tools.held(now)).unwrap_or_default();
        held.into_iter().map(crate::tools::held).collect()
    }

    fn answer_held(
        &self,
        id: &str,
        granted: bool,
        until: Micros,
        now: Micros,
    ) -> Result<api::Approval, Report> {
        let gateway = self.gateway().expect("the control plane serves after the gateway stands");
        gateway.tools.answer(id, granted, until, now).map(crate::tools::held)
    }

    fn policies(&self) -> Option<(Arc<PolicySet>, Arc<World>)> {
        let snapshot = self.gateway()?.snapshot.load();
        Some((Arc::clone(&snapshot.policies), Arc::clone(&snapshot.world)))
    }

    fn forget_computed(&self) {
        self.models.begin_anew();
    }

    fn forget_sessions(&self, team: TeamId) -> Result<(), Report> {
        self.gateway().map_or(Ok(()), |gateway| gateway.tools.erase(team))
    }

    fn budgets(&self, now: Micros) -> Vec<BudgetStatus> {
        let Some(gateway) = self.gateway() else { return Vec::new() };
        gateway.book.lock().expect("no code panics while it holds the book").status(now)
    }

    fn models(&self) -> Vec<api::Model> {
        let Some(gateway) = self.gateway() else { return Vec::new() };
        let snapshot = gateway.snapshot.load();
        let now = runtime::clock::now();
        let mut models: BTreeMap<&str, api::Model> = BTreeMap::new();
        for (name, route) in &snapshot.routes {
            if **name != *route.name {
                continue;
            }
            let mut targets: Vec<api::Target> = Vec::new();
            for (candidate, target) in route.candidates.iter().zip(&route.targets) {
                targets.push(show_target(&self.models, &snapshot, candidate, target, now));
            }
            targets.extend(route.absent.iter().map(|(sku, reason)| absent_target(sku, reason)));
            let aliases = snapshot.routes.iter().filter(|(n, r)| Arc::ptr_eq(r, route) && *n != name);
            let aliases = aliases.map(|(n, _)| n.to_string()).collect();
            models.insert(name, api::Model { name: name.to_string(), aliases, targets });
        }
        models.into_values().collect()
    }

    fn status(&self) -> api::Status {
        let gateway = self.gateway();
        let now = runtime::clock::now();
        let state = self.store.load().unwrap_or_default();
        let draining = gateway.is_some_and(|g| g.shutdown.is_draining());
        let live =
            state.keys.iter().filter(|k| k.revoked.is_none() && k.expires.is_none_or(|e| e > now)).count();
        let mut engine = None;
        self.models.each_loaded(|loaded| {
            let (info, stats) = (loaded.info(), loaded.stats());
            engine.get_or_insert_with(|| api::EngineStatus {
                model: info.name.clone(),
                threads: crate::engines::threads(),
                context_tokens: info.n_ctx,
                model_bytes: info.size_bytes,
                memory_bytes: info.memory.total(),
                running: stats.running as u32,
                waiting: stats.queued as u32,
            });
        });
        let totals = self.models.totals();
        api::Status {
            version: env!("CARGO_PKG_VERSION").into(),
            state: match (draining, self.models.readiness()) {
                (true, _) => "draining",
                (false, Readiness::Loading(_)) => "loading",
                (false, Readiness::Broken(_)) => "broken",
                (false, Readiness::Ready) => "ready",
            }
            .into(),
            uptime_seconds: now.since(self.started) / 1_000_000,
            generation: state.generation,
            roles: self.roles.iter().map(|r| (*r).to_string()).collect(),
            store: "sqlite".into(),
            models: gateway.map_or(0, |g| g.snapshot.load().routes.len() as u32),
            providers: state.manifests.iter().filter(|m| m.kind == manifest::Kind::Provider.name()).count()
                as u32,
            teams: state.teams.len() as u32,
            live_keys: live as u32,
            requests_total: self.requests.value(),
            requests_in_flight: gateway.map_or(0, |g| g.meters.requests_in_flight.value().max(0) as u64),
            spent_today_usd: self.spent_today().to_string(),
            rss_bytes: rss_bytes(),
            engine,
            engine_memory: self.with_engine.then_some(api::EngineMemory {
                budget_bytes: totals.budget_bytes,
                used_bytes: totals.committed_bytes,
                loads: totals.loads,
                unloads: totals.unloads,
                waiting: totals.waiters,
            }),
        }
    }

    fn lend(&self, principal: &Principal, purpose: String) -> Box<dyn retrieval::Embed> {
        Box::new(self.lent(principal, purpose))
    }

    fn lend_ranking(&self, principal: &Principal, purpose: String) -> Box<dyn retrieval::Rank> {
        Box::new(self.lent(principal, purpose))
    }

    fn principal(&self, key: KeyId, now: Micros) -> Result<Principal, Denied> {
        let gateway = self.gateway().expect("the control plane serves after the gateway stands");
        gateway.snapshot.load().directory.key(key, now)
    }

    fn open_source(
        &self,
        collection: &str,
        source: &manifest::Source,
    ) -> Result<Box<dyn context::source::Source>, Report> {
        crate::sources::open(&*self.store, collection, source)
    }

    fn has_variable(&self, name: &str) -> bool {
        cli::environment(name).is_some()
    }
}

fn show_target(
    models: &Models,
    snapshot: &gateway::Snapshot,
    candidate: &routing::Candidate,
    target: &gateway::Target,
    now: Micros,
) -> api::Target {
    let mut prices = BTreeMap::new();
    let mut source = None;
    if let Place::Remote(_) = target.place {
        for axis in Axis::ALL {
            // The price of a million tokens of one axis is the price per million.
            let usage = chat::Usage::default().with(axis, 1_000_000);
            let priced = snapshot.prices.price(&target.sku, &chat::Tier::Standard, now, &usage);
            if let Some((_, from)) = priced.price.filter(|_| !priced.unpriced) {
                prices.insert(axis.name().to_string(), priced.total.to_string());
                source = Some(from);
            }
        }
    } else {
        source = Some("machine time and power".into());
    }
    let verdict = target.health.lock().map(|b| b.verdict(now)).unwrap_or(routing::Verdict::Closed);
    let memory = match &target.place {
        Place::Engine { model, .. } => models.show(model.key()),
        Place::Remote(_) => None,
    };
    let failure = memory.as_ref().and_then(|m| m.failure.as_ref()).map(Report::sentence);
    let reason = match verdict {
        routing::Verdict::Open(until) => Some(format!("failed repeatedly; not tried before {until}")),
        _ => failure,
    };
    api::Target {
        kind: if matches!(target.place, Place::Remote(_)) {
            api::TargetKind::Provider
        } else {
            api::TargetKind::Local
        },
        provider: target.provider.to_string(),
        upstream_model: target.upstream_model.to_string(),
        weight: candidate.weight,
        ready: reason.is_none(),
        reason,
        context_tokens: candidate.context_tokens,
        max_output_tokens: Some(target.output_tokens_max),
        price_usd_per_million: prices,
        price_source: source,
        memory: memory.map(|shown| show_memory(shown, snapshot)),
    }
}

fn show_memory(shown: gateway::models::Shown, snapshot: &gateway::Snapshot) -> api::ModelMemory {
    let queue = queue::of(&shown.tenants, &snapshot.teams).into_iter();
    api::ModelMemory {
        state: shown.state.into(),
        progress_percent: shown.progress_percent,
        bytes: shown.memory_bytes,
        keep_alive_seconds: shown.keep_alive.map(|d| d.as_secs()),
        preload: shown.preload,
        requests: shown.requests,
        waiting: shown.waiting,
        last_used: shown.used.map(|at| at.to_string()),
        loads: shown.loads,
        queue: queue
            .map(|q| api::TeamQueue { team: q.team, waiting: q.waiting, running: q.running })
            .collect(),
    }
}

fn absent_target(sku: &str, reason: &str) -> api::Target {
    let (provider, model) = sku.split_once('/').unwrap_or((sku, ""));
    api::Target {
        kind: if provider == "local" { api::TargetKind::Local } else { api::TargetKind::Provider },
        provider: provider.into(),
        upstream_model: model.into(),
        weight: 0,
        ready: false,
        reason: Some(reason.into()),
        context_tokens: None,
        max_output_tokens: None,
        price_usd_per_million: BTreeMap::new(),
        price_source: None,
        memory: None,
    }
}

/// Resident memory of this process; 0 where /proc does not say.
fn rss_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|p| p.parse().ok()).unwrap_or(0);
    pages * 4096
}
