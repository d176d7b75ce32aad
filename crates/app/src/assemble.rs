//! From what is declared to what is in force: the data plane's snapshot.
//!
//! Every object is put in force by itself: a provider without a key or a model
//! whose file is missing is told as a problem and left out, and does not keep
//! the rest from serving.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dialects::providers;
use gateway::models::{Adapter, Key, Models, Wish, check_adapter};
use gateway::{Place, Route, Snapshot, Target, Upstream};
use ledger::{Machine, Prices};
use manifest::{Document, KeepAlive, KeyFrom, LocalSource, Spec};
use net::client::{Reach, Timeouts};
use net::{HeaderMap, HeaderName, HeaderValue, Origin};
use policy::{Directory, Pepper};
use report::Report;
use routing::{Breaker, Candidate, Deadlines};
use store::{State, Store};
use units::{Labels, Micros, Usd};

use crate::engines::{self, GUIDE};
use crate::shields::Shields;
use crate::{labels, policies, teams};

/// What assembling needs beside the declared state.
pub struct Parts<'a> {
    pub data: &'a Path,
    pub store: &'a dyn Store,
    pub pepper: &'a Pepper,
    pub models: &'a Models,
    /// What all local models may take together, in bytes.
    pub engine_memory: u64,
    /// `false` in a process without the engine role.
    pub with_engine: bool,
    /// Health by target name, which outlives snapshots.
    pub health: &'a Mutex<HashMap<Arc<str>, Arc<Mutex<Breaker>>>>,
    /// The policy set of before, which stays while no policy changes.
    pub policies: &'a policies::Compiled,
    /// `false`: no declared policy is in force (`serve --without-policies`).
    pub with_policies: bool,
    pub now: Micros,
}

/// Tokens of one answer when nobody says how many there can be.
const OUTPUT_TOKENS_UNKNOWN: u64 = 8_192;
/// Attempts beyond the first at a target, unless declared.
const RETRIES: u32 = 1;
/// What an hour of this machine is taken to cost until it is declared: a small
/// cloud instance of two cores, and its share of a server's power.
const MACHINE_HOUR: Usd = Usd::from_pico(50_000_000_000);
const MACHINE_WATTS: u32 = 15;
const MACHINE_KWH: Usd = Usd::from_pico(120_000_000_000);

/// The snapshot of a state, and what could not be put in force.
pub fn snapshot(parts: &Parts<'_>, state: &State) -> (Snapshot, Vec<Report>) {
    let mut problems = Vec::new();
    let documents = documents(state, &mut problems);
    let (upstreams, prices) = providers_of(parts, state, &documents, &mut problems);
    let places = labels::of_providers(&documents);
    let mut build = Build { parts, upstreams, places, prices: &prices, wanted: Vec::new(), problems };
    let mut routes = BTreeMap::new();
    for document in &documents {
        let Spec::Model(model) = &document.spec else { continue };
        let route = Arc::new(build.route(&document.name, model));
        for name in std::iter::once(&document.name).chain(&model.aliases) {
            routes.insert(name.as_str().into(), Arc::clone(&route));
        }
    }
    // After the declared names, which win over those that adapters make.
    for document in &documents {
        let Spec::Model(model) = &document.spec else { continue };
        for adapter in adapter_names(model) {
            let route = Arc::new(build.adapted(&document.name, adapter, model));
            for name in std::iter::once(&document.name).chain(&model.aliases) {
                let name = format!("{name}:{adapter}").into_boxed_str();
                routes.entry(name).or_insert_with(|| Arc::clone(&route));
            }
        }
    }
    if parts.with_engine && !routes.contains_key(GUIDE) {
        let guide = build.guide();
        routes.insert(GUIDE.into(), Arc::new(guide));
    }
    let upstreams = build.upstreams.values().filter_map(|u| u.as_deref().ok());
    let mut shields = Shields::new(&documents, upstreams, &mut build.problems);
    for document in &documents {
        let Spec::Feature(declared) = &document.spec else { continue };
        match feature(&document.name, declared, state, &routes) {
            Ok(mut route) => {
                plant(&mut route, parts.pepper, &shields);
                routes.insert(document.name.as_str().into(), Arc::new(route));
            }
            Err(report) => build.problems.push(report),
        }
    }
    for route in routes.values_mut() {
        if let Some(guarded) = shields.guarded(route) {
            *route = Arc::new(guarded);
        }
    }
    parts.models.keep(&build.wanted);
    let mut problems = build.problems;
    let tools = crate::tools::toolbox(parts.store, &documents, &mut problems);
    let directory = Directory::new(state, parts.pepper);
    let team_labels = labels::of_teams(state, &documents);
    let world = policies::world(state, &documents, &routes, &mut problems);
    let policies = policies::set(parts.policies, &documents, parts.with_policies, &mut problems);
    (
        Snapshot {
            generation: state.generation,
            directory,
            routes,
            prices,
            policies,
            world,
            team_labels,
            teams: teams::of(state, &documents),
            tools,
        },
        problems,
    )
}

/// A feature is its model's route under its own name.
fn feature(
    name: &str,
    declared: &manifest::Feature,
    state: &State,
    routes: &BTreeMap<Box<str>, Arc<Route>>,
) -> Result<Route, Report> {
    let of = |route: &Arc<Route>| Route {
        name: name.into(),
        labels: route.labels.join(&declared.labels),
        // Those of its model, and its own.
        guards: route.guards.iter().chain(&declared.guards).cloned().collect(),
        cache: route.cache.max(keeps(declared.cache)),
        feature: Some(Arc::new(gateway::Feature {
            name: name.into(),
            canary: None,
            prompt: declared.prompt.as_deref().map(Arc::from),
            retrieve: declared.retrieve.as_ref().map(|r| dialects::Retrieve {
                collections: vec![r.collection.clone()],
                k: r.k,
                graph: r.graph,
                also: Vec::new(),
                rerank: r.rerank.clone().map_or(dialects::Rerank::Declared, dialects::Rerank::By),
                relevance_min: None,
            }),
            teams: declared.teams.as_ref().map(|names| {
                let offered = state.teams.iter().filter(|team| names.contains(&team.name));
                offered.map(|team| team.id).collect()
            }),
            tools: declared.tools.iter().map(|name| name.as_str().into()).collect(),
            rounds_max: declared.max_rounds,
        })),
        ..Route::clone(route)
    };
    routes.get(declared.model.as_str()).map(of).ok_or_else(|| {
        Report::new("MF0031", format!("Feature \"{name}\" is not in force"))
            .because(format!("no model is named \"{}\"", declared.model))
    })
}

/// Gives a feature's prompt a mark of its own, if a guard looks for marks: words
/// that nobody says unless they repeat the prompt.
fn plant(route: &mut Route, pepper: &Pepper, shields: &Shields<'_>) {
    let Some(feature) = route.feature.as_deref().filter(|f| f.prompt.is_some()) else { return };
    if !shields.wants_canary(&route.guards) {
        return;
    }
    let tag = pepper.hash(&format!("canary of feature {}", feature.name));
    let digits: String = tag[..8].iter().map(|b| format!("{b:02x}")).collect();
    let feature = gateway::Feature { canary: Some(format!("canary-{digits}").into()), ..feature.clone() };
    route.feature = Some(Arc::new(feature));
}

fn adapter_names(model: &manifest::Model) -> BTreeSet<&str> {
    let local = model.targets.iter().filter_map(|t| match &t.place {
        manifest::Place::Local(local) => Some(local),
        manifest::Place::Remote { .. } => None,
    });
    local.flat_map(|l| &l.adapters).map(|a| a.name.as_str()).collect()
}

fn documents(state: &State, problems: &mut Vec<Report>) -> Vec<Document> {
    let mut all = Vec::new();
    for row in &state.manifests {
        match manifest::parse(&row.text, &format!("{} {}", row.kind, row.name)) {
            Ok(documents) => all.extend(documents),
            Err(reports) => problems.extend(reports),
        }
    }
    all
}

type Upstreams = HashMap<String, Result<Arc<Upstream>, Report>>;

fn providers_of(
    parts: &Parts<'_>,
    state: &State,
    documents: &[Document],
    problems: &mut Vec<Report>,
) -> (Upstreams, Prices) {
    let mut upstreams = Upstreams::new();
    let mut prices = Prices::new(&state.prices);
    for document in documents {
        let Spec::Provider(declared) = &document.spec else { continue };
        let kind = declared.catalog.as_deref().unwrap_or(&document.name);
        prices = prices.with_provider(&document.name, kind);
        let upstream = upstream(parts, &document.name, declared).map(Arc::new);
        if let Err(report) = &upstream {
            problems.push(report.clone());
        }
        upstreams.insert(document.name.clone(), upstream);
    }
    (upstreams, prices)
}

fn upstream(parts: &Parts<'_>, name: &str, declared: &manifest::Provider) -> Result<Upstream, Report> {
    let unusable =
        |why: String| Report::new("GW0009", format!("provider \"{name}\" cannot be used")).because(why);
    let entry = providers::by_name(declared.catalog.as_deref().unwrap_or(name));
    let family = match declared.dialect {
        Some(manifest::Dialect::Anthropic) => providers::Family::Anthropic,
        Some(manifest::Dialect::OpenAi) => providers::Family::Openai,
        None => entry
            .map(|e| e.family)
            .ok_or_else(|| unusable("it names neither a `dialect` nor a `catalog` entry".into()))?,
    };
    let generic = match family {
        providers::Family::Anthropic => providers::by_name("anthropic"),
        providers::Family::Openai => providers::by_name("vllm"),
    };
    let mut table = entry
        .filter(|e| e.family == family)
        .or(generic)
        .cloned()
        .ok_or_else(|| unusable("the catalogue lacks the generic entry of its dialect".into()))?;
    if let Some(url) = &declared.base_url {
        table.base_url.clone_from(url);
    }
    let query: Vec<String> = declared.query.iter().map(|(k, v)| format!("{k}={v}")).collect();
    if !query.is_empty() {
        let before = table.query.take().map(|q| format!("{q}&")).unwrap_or_default();
        table.query = Some(format!("{before}{}", query.join("&")));
    }
    let reach = if declared.allow_private { Reach::Private } else { Reach::Public };
    let (origin, path) = Origin::split(&table.base_url, reach).map_err(|e| unusable(e.to_string()))?;
    let base_path = path.path().trim_end_matches('/').to_string();
    let headers = headers(parts, name, declared, &table, entry.is_some()).map_err(unusable)?;
    let d = Deadlines::default();
    let ms = |ms: u32| Duration::from_millis(u64::from(ms));
    let timeouts = Timeouts {
        connect: ms(d.connect_ms),
        first_byte: ms(d.first_byte_ms),
        idle: ms(d.idle_ms),
        total: Some(ms(d.total_ms)),
    };
    let timeouts = over(timeouts, &declared.timeouts);
    let retries = declared.retries;
    Ok(Upstream { name: name.into(), table, origin, base_path, headers, timeouts, retries })
}

/// The timeouts with what a manifest says instead.
fn over(timeouts: Timeouts, declared: &manifest::Timeouts) -> Timeouts {
    let or = |ms: Option<u64>, or: Duration| ms.map_or(or, Duration::from_millis);
    Timeouts {
        connect: or(declared.connect_ms, timeouts.connect),
        first_byte: or(declared.first_byte_ms, timeouts.first_byte),
        idle: or(declared.idle_ms, timeouts.idle),
        total: declared.total_ms.map(Duration::from_millis).or(timeouts.total),
    }
}

fn headers(
    parts: &Parts<'_>,
    name: &str,
    declared: &manifest::Provider,
    table: &dialects::Provider,
    catalogued: bool,
) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let pairs = table.headers.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    for (key, value) in pairs.chain(declared.headers.iter().map(|(k, v)| (k.as_str(), v.as_str()))) {
        let key = HeaderName::try_from(key).map_err(|_| format!("\"{key}\" is not a header name"))?;
        headers.insert(key, HeaderValue::from_str(value).map_err(|e| e.to_string())?);
    }
    headers.insert(net::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let Some((header, prefix)) = table.auth.header() else { return Ok(headers) };
    let Some(key) = key_of(parts, name, declared, table, catalogued)? else { return Ok(headers) };
    let mut value =
        HeaderValue::from_str(&format!("{prefix}{key}")).map_err(|_| "its key cannot stand in a header")?;
    value.set_sensitive(true);
    headers.insert(HeaderName::from_static(header), value);
    Ok(headers)
}

/// The provider's key: where the manifest says, else the store, else the
/// catalogue's variable. `Ok(None)`: it needs none (a server of our own).
fn key_of(
    parts: &Parts<'_>,
    name: &str,
    declared: &manifest::Provider,
    table: &dialects::Provider,
    catalogued: bool,
) -> Result<Option<String>, String> {
    let stored = |secret: &str| -> Result<Option<String>, String> {
        let bytes = parts.store.secret(secret).map_err(|e| e.to_string())?;
        bytes.map(|b| String::from_utf8(b).map_err(|_| "its stored key is not text".to_string())).transpose()
    };
    match &declared.key {
        Some(KeyFrom::Environment(variable)) => cli::environment(variable)
            .map(Some)
            .ok_or_else(|| format!("its key should be in ${variable}, which is not set")),
        Some(KeyFrom::Store(secret)) => stored(secret)?.map(Some).ok_or_else(|| {
            format!("its key should be in the store as \"{secret}\": `bedplate provider set-key {name}`")
        }),
        None => {
            if let Some(key) = stored(&control::show::secret_name(name))? {
                return Ok(Some(key));
            }
            match table.key_env.as_deref() {
                Some(variable) => match cli::environment(variable) {
                    Some(key) => Ok(Some(key)),
                    // Our own generic entry stands for any server: it may well take no key.
                    None if !catalogued || declared.allow_private => Ok(None),
                    None => {
                        Err(format!("no key: set ${variable}, or run `bedplate provider set-key {name}`"))
                    }
                },
                None => Ok(None),
            }
        }
    }
}

/// What a catalogue entry declares when nobody declares more.
fn of_catalog(name: &str) -> manifest::Provider {
    manifest::Provider {
        catalog: Some(name.into()),
        dialect: None,
        base_url: None,
        key: None,
        allow_private: false,
        timeouts: manifest::Timeouts::default(),
        retries: None,
        headers: Vec::new(),
        query: Vec::new(),
        labels: manifest::PlaceLabels::default(),
    }
}

/// The routes under construction.
struct Build<'a> {
    parts: &'a Parts<'a>,
    upstreams: Upstreams,
    /// What each declared provider may be sent.
    places: HashMap<String, manifest::PlaceLabels>,
    prices: &'a Prices,
    wanted: Vec<Key>,
    problems: Vec<Report>,
}

/// Which answers a manifest lets be given again.
const fn keeps(declared: Option<manifest::AnswerCache>) -> gateway::Keeps {
    match declared {
        None => gateway::Keeps::Nothing,
        Some(manifest::AnswerCache::Exact) => gateway::Keeps::Exact,
        Some(manifest::AnswerCache::Semantic) => gateway::Keeps::Near,
    }
}

impl Build<'_> {
    fn route(&mut self, name: &str, model: &manifest::Model) -> Route {
        let mut route = Route {
            labels: model.labels.clone(),
            guards: model.guards.clone(),
            cache: keeps(model.cache),
            ..self.empty(name)
        };
        let t = model.timeouts;
        if let Some(total) = t.total_ms.and_then(|ms| u32::try_from(ms).ok()) {
            route.deadlines.total_ms = total;
        }
        let mut rank = 0;
        let mut weighted_before = false;
        for target in &model.targets {
            // Neighbours with weights share a rank; any other target is a rank of its own.
            let weighted = target.weight.is_some();
            if !(route.candidates.is_empty() || weighted && weighted_before) {
                rank += 1;
            }
            weighted_before = weighted;
            match &target.place {
                manifest::Place::Remote { provider, model: upstream } => {
                    self.remote(&mut route, provider, upstream, target, rank, model);
                }
                manifest::Place::Local(local) => {
                    self.local(&mut route, local, None, Some(target), rank);
                }
            }
        }
        route
    }

    /// `model:adapter`: the local targets that have it. A provider has no such adapter
    /// to fall back to.
    fn adapted(&mut self, name: &str, adapter: &str, model: &manifest::Model) -> Route {
        let name = format!("{name}:{adapter}");
        let mut route = Route {
            labels: model.labels.clone(),
            guards: model.guards.clone(),
            cache: keeps(model.cache),
            ..self.empty(&name)
        };
        for (rank, target) in (0..).zip(&model.targets) {
            let manifest::Place::Local(local) = &target.place else { continue };
            let Some(adapter) = local.adapters.iter().find(|a| a.name == adapter) else { continue };
            self.local(&mut route, local, Some(adapter), Some(target), rank);
        }
        route
    }

    fn guide(&mut self) -> Route {
        let mut route = self.empty(GUIDE);
        let local = manifest::Local {
            source: LocalSource::Builtin("guide".into()),
            context_tokens: None,
            machine: None,
            keep_alive: KeepAlive::Forever,
            // Three megabytes, so that a first start answers at once.
            preload: true,
            adapters: Vec::new(),
        };
        self.local(&mut route, &local, None, None, 0);
        route
    }

    fn empty(&self, name: &str) -> Route {
        Route {
            name: name.into(),
            candidates: Vec::new(),
            targets: Vec::new(),
            absent: Vec::new(),
            feature: None,
            guards: Vec::new(),
            shield: None,
            banned: None,
            detectors: Vec::new(),
            cache: gateway::Keeps::Nothing,
            deadlines: Deadlines::default(),
            created: self.parts.now.seconds(),
            labels: Labels::default(),
        }
    }

    fn remote(
        &mut self,
        route: &mut Route,
        provider: &str,
        model: &str,
        target: &manifest::Target,
        rank: u32,
        declared: &manifest::Model,
    ) {
        let sku: Arc<str> = format!("{provider}/{model}").into();
        let parts = self.parts;
        // A catalogue entry needs no Provider of its own.
        let upstream = self
            .upstreams
            .entry(provider.into())
            .or_insert_with(|| upstream(parts, provider, &of_catalog(provider)).map(Arc::new));
        let upstream = match upstream {
            Ok(upstream) if declared.timeouts == manifest::Timeouts::default() => Arc::clone(upstream),
            Ok(upstream) => {
                let timeouts = over(upstream.timeouts, &declared.timeouts);
                Arc::new(Upstream { timeouts, ..Upstream::clone(upstream) })
            }
            Err(report) => {
                route.absent.push((sku, report.sentence()));
                return;
            }
        };
        let facts = ledger::facts(&format!("{}/{model}", upstream.table.name));
        // Parsed once per provider: better now than inside somebody's request.
        let _ = self.prices.knows(&sku, parts.now);
        let embedding = facts.is_some_and(|f| f.kind == "embedding");
        route.candidates.push(Candidate {
            name: Arc::clone(&sku),
            rank,
            weight: target.weight.unwrap_or(1),
            retries: declared.retries.or(upstream.retries).unwrap_or(RETRIES),
            context_tokens: target.context_tokens.or(facts.and_then(|f| f.context_tokens)),
            embeds: upstream.table.speaks(dialects::Dialect::OpenaiEmbeddings),
            reranks: upstream.table.speaks(dialects::Dialect::Rerank),
            generates: !embedding,
            images: true,
        });
        let output = target.max_output_tokens.or(facts.and_then(|f| f.output_tokens_max));
        let admits =
            labels::place(Some(&upstream.origin), self.places.get(provider), Some(&target.labels), &sku);
        route.targets.push(Arc::new(Target {
            health: self.health(&sku),
            sku,
            provider: provider.into(),
            upstream_model: model.into(),
            place: Place::Remote(upstream),
            admits,
            output_tokens_max: output.unwrap_or(OUTPUT_TOKENS_UNKNOWN),
        }));
    }

    fn local(
        &mut self,
        route: &mut Route,
        local: &manifest::Local,
        adapter: Option<&manifest::Adapter>,
        target: Option<&manifest::Target>,
        rank: u32,
    ) {
        let folder = self.parts.data.join("models");
        let (file, mut name) = match &local.source {
            LocalSource::Builtin(_) => {
                (engines::guide_file(self.parts.data).map_err(|e| e.to_string()), GUIDE.to_string())
            }
            LocalSource::File(file) => {
                let path = folder.join(file);
                let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
                (Ok::<PathBuf, String>(path), stem)
            }
        };
        if let Some(adapter) = adapter {
            name = format!("{name}:{}", adapter.name);
        }
        let sku: Arc<str> = format!("local/{name}").into();
        if !self.parts.with_engine {
            route.absent.push((sku, "this process does not run the engine role".into()));
            return;
        }
        let path = match file {
            Ok(path) => path,
            Err(why) => {
                route.absent.push((sku, why));
                return;
            }
        };
        let key = Key { path, context_tokens: local.context_tokens.and_then(|n| u32::try_from(n).ok()) };
        self.wanted.push(key.clone());
        let keep_alive = match local.keep_alive {
            KeepAlive::Forever => None,
            KeepAlive::Seconds(seconds) => Some(Duration::from_secs(seconds)),
        };
        let declared = self.parts.models.declare(&key, Wish { keep_alive, preload: local.preload });
        let adapter =
            adapter.map(|a| Adapter { name: a.name.clone(), path: folder.join(&a.file), scale: a.scale });
        let checked = declared.and_then(|model| {
            if let Some(adapter) = &adapter {
                check_adapter(&adapter.path, &model.appraisal().arch)?;
            }
            Ok(model)
        });
        let model = match checked {
            Ok(model) => model,
            Err(report) => {
                self.problems.push(report.clone().at(format!("model \"{}\"", route.name)));
                route.absent.push((sku, report.sentence()));
                return;
            }
        };
        let about = model.appraisal();
        let (need, have) = (model.need_bytes(), self.parts.engine_memory);
        if need > have && adapter.is_none() {
            // It stays a target, so that whoever asks is told just this.
            let report = engine::Error::Memory { need, have }.report();
            self.problems.push(report.at(format!("model \"{}\"", route.name)));
        }
        route.candidates.push(Candidate {
            name: Arc::clone(&sku),
            rank,
            weight: 1,
            retries: 0,
            context_tokens: Some(u64::from(about.n_ctx)),
            embeds: about.can_embed && adapter.is_none(),
            reranks: about.can_rank && adapter.is_none(),
            generates: about.can_generate,
            images: false,
        });
        let output_tokens_max = target.and_then(|t| t.max_output_tokens).unwrap_or(u64::from(about.n_ctx));
        let admits = labels::place(None, None, target.map(|t| &t.labels), &sku);
        let machine = local.machine;
        route.targets.push(Arc::new(Target {
            health: self.health(&sku),
            sku,
            provider: "local".into(),
            upstream_model: name.as_str().into(),
            admits,
            output_tokens_max,
            place: Place::Engine {
                machine: Machine {
                    hour: machine.map_or(MACHINE_HOUR, |m| m.hour),
                    watts: machine.map_or(MACHINE_WATTS, |m| m.watts),
                    kwh: machine.map_or(MACHINE_KWH, |m| m.kwh),
                    since: self.parts.now,
                },
                adapter: adapter.map(Arc::new),
                model,
            },
        }));
    }

    fn health(&self, sku: &Arc<str>) -> Arc<Mutex<Breaker>> {
        let mut all = self.parts.health.lock().expect("no code panics while it holds the health");
        Arc::clone(all.entry(Arc::clone(sku)).or_default())
    }
}
