//! `bedplate serve`: the whole system in one descent.

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use cli::{Attention, AuditDamage, Role, Serve};
use control::{Host, Plane};
use gateway::{Gateway, Worker};
use ledger::Book;
use net::server::{Config, Server};
use observe::log::Format;
use observe::{EngineMetrics, Level, Log, Metrics, Registry};
use policy::{Limits, Pepper};
use report::Report;
use runtime::Shutdown;
use seal::Purpose;
use store::{Change, Key, Org, Store, Team};
use units::{KeyId, OrgId, TeamId};

use crate::front::{self, Front};
use crate::host::{Beginning, Process};
use crate::identities::File;
use crate::{backends, dumps, energy, engines, identities, listen, log, sources};

pub fn run(args: Serve) -> ExitCode {
    match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reports) => {
            Log::flush();
            for report in &reports {
                eprintln!("{report}");
            }
            ExitCode::from(1)
        }
    }
}

fn serve(args: Serve) -> Result<(), Vec<Report>> {
    dumps::leave_none();
    let level = cli::environment("BEDPLATE_LOG").and_then(|l| l.parse().ok()).unwrap_or(Level::Info);
    Log::start(level, Format::of_stderr());
    runtime::task::on_death(|task, why| observe::error!("task.died", task = task, why = why));
    let data = match cli::data_dir(args.data.clone()) {
        Ok(data) => data,
        Err(failure) => return Err(vec![Report::new("CL0010", failure.to_string())]),
    };
    let tls = listen::tls(&args).map_err(|r| vec![r])?;
    let identities = args.identity.as_deref().map(File::open).transpose().map_err(|r| vec![r])?;
    let (keys, store) = backends::open(&data, args.master_key).map_err(|r| vec![r])?;
    let pepper = || Pepper::new(*keys.key(Purpose::Pepper).expose());
    let first = first_start(&*store, &pepper()).map_err(|r| vec![r])?;

    let has = |role| args.roles.is_empty() || args.roles.contains(&role);
    let metrics = Metrics::new(Registry::new());
    let engine_metrics = EngineMetrics::new(&metrics.registry);
    let requests =
        metrics.registry.counter("bedplate_requests_received_total", "Requests of the data plane received.");
    let process = Process::new(Beginning {
        data: data.clone(),
        store: Arc::clone(&store),
        pepper: pepper(),
        keys: keys.clone(),
        with_engine: has(Role::Engine),
        with_policies: !args.without_policies,
        engine: gateway::models::Config {
            budget_bytes: args.engine_memory.unwrap_or_else(engines::memory_default),
            swap_wait: Duration::from_secs(args.engine_swap_wait),
            engine: engine::Options {
                threads: engines::threads(),
                flash: match args.engine_attention {
                    Attention::Auto => None,
                    Attention::Flash => Some(true),
                    Attention::Plain => Some(false),
                },
                token_gap_us: args.engine_token_gap.saturating_mul(1000),
                kv_memory_bytes: usize::try_from(args.kv_memory).unwrap_or(usize::MAX),
                kv_disk: engines::kv_disks(&data, &keys, args.kv_disk),
                ..engine::Options::default()
            },
            place: engines::place(args.engine_process),
        },
        roles: Role::ALL.into_iter().filter(|r| has(*r)).map(Role::name).collect(),
        requests,
    });
    if args.without_policies {
        observe::warn!("policies.off", why = "--without-policies: no declared Policy is in force");
    }
    let tenants = backends::tenants(&data, &keys);
    let collections = Arc::new(backends::collections(&data, &keys, tenants.clone()));
    let signer = log::signer(&*store).map_err(|r| vec![r])?;
    let audit = Arc::new(audit::Shared::open(Arc::clone(&store), signer));
    let plane = Arc::new(Plane {
        store: Arc::clone(&store),
        host: process.clone(),
        audit: Arc::clone(&audit),
        keys: keys.clone(),
        collections: Arc::clone(&collections),
        syncs: Arc::default(),
    });
    if let Some(path) = &args.config {
        apply_config(&plane, &*store, path)?;
    }

    let mut book = Book::default();
    let crashed = process.recover(&mut book).map_err(|r| vec![r])?;
    if crashed > 0 {
        observe::warn!("ledger.recovered", open_holds = crashed as u64, account = "suspense:crashed");
    }
    let (snapshot, problems, _) = process.assemble().map_err(|r| vec![r])?;
    for problem in problems {
        observe::warn!("config.problem", code = problem.code.0, why = problem.sentence().as_str());
    }
    let shutdown = Shutdown::new();
    // Before anybody can see that the server stands, a signal already means a drain.
    let signals = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let signals = signals
        .map_err(|e| vec![Report::new("NT0001", "signals cannot be watched").because(e.to_string())])?;
    if let Err(error) = signals.block_on(async { shutdown.on_signals() }) {
        observe::error!("signals.failed", why = error.to_string().as_str());
    }
    let power = sensors::Power::default();
    energy::watch(process.models.clone(), engine_metrics.clone(), power.clone());
    let (declared, now) = (&snapshot.tools.declared, runtime::clock::now());
    let tools = gateway::tools::Tools::open(Arc::clone(&store), keys.clone(), declared, now);
    let tools = tools.map_err(|r| vec![r])?;
    let gateway = Arc::new(Gateway {
        snapshot: ArcSwap::from_pointee(snapshot),
        book: Mutex::new(book),
        limits: Mutex::new(Limits::default()),
        store: Arc::clone(&store),
        keys,
        required_log: (args.audit == AuditDamage::Require).then(|| Arc::clone(&audit)),
        collections,
        meters: metrics,
        power,
        shutdown: shutdown.clone(),
        tools,
        issuers: ArcSwapOption::empty(),
    });
    // A model's file may have changed between the assembly and this line.
    let _ = process.gateway.set(Arc::clone(&gateway));
    let _ = process.reload();
    let identities = match identities {
        None => None,
        Some((file, config)) => {
            identities::begin(&gateway, &plane, &file, config).map_err(|r| vec![r])?;
            Some(file)
        }
    };

    let config = Config { tls: tls.clone(), ..Config::new(args.listen) };
    let server = Server::bind(config).map_err(|e| vec![listen::report(&args, &e)])?;
    let address = server.address();
    let (pages, sign_ins) = (Arc::default(), Arc::default());
    let (throttle, refusals) = (Arc::default(), Arc::default());
    let is_tls = tls.is_some();
    let (has_gateway, has_control, has_console) =
        (has(Role::Gateway), has(Role::Control), has(Role::Console));
    let models = process.models.clone();
    let watched = identities.map(|file| (file, Arc::clone(&gateway), Arc::clone(&plane)));
    let searched = Arc::clone(&plane.collections);
    let reading = has_control.then(|| Arc::clone(&plane));
    let syncs = Arc::clone(&plane.syncs);
    let running = server.start(shutdown.clone(), move |_| {
        let front = Front {
            worker: Worker {
                gateway: Arc::clone(&gateway),
                client: net::Client::new(net::client::Config::default()),
            },
            plane: Arc::clone(&plane),
            process: Arc::clone(&process),
            pages: Arc::clone(&pages),
            sign_ins: Arc::clone(&sign_ins),
            throttle: Arc::clone(&throttle),
            refusals: Arc::clone(&refusals),
            is_tls,
            engine_metrics: engine_metrics.clone(),
            has_gateway,
            has_control,
            has_console,
        };
        move |request| front::answer(front.clone(), request)
    });
    let running = running.map_err(|e| vec![listen::report(&args, &e)])?;
    if let Some(tls) = tls.clone() {
        signals.block_on(async { listen::watch(tls) });
    }
    if let Some((file, gateway, plane)) = watched {
        signals.block_on(async { identities::watch(file, gateway, plane) });
    }
    if let Some(plane) = reading {
        signals.block_on(async { sources::watch(plane, shutdown.clone()) });
    }
    announce(&listen::url(address, tls.is_some()), &data, first.as_deref());

    signals.block_on(async {
        let signing = log::run(Arc::clone(&audit), shutdown.clone());
        runtime::spawn(runtime::TaskKind::Log, "audit.checkpoints", signing);
        shutdown.draining().await;
    });
    syncs.stop();
    observe::info!(
        "server.draining",
        reason = shutdown.reason().unwrap_or("unknown"),
        connections = running.connections() as u64
    );
    let whole = running.wait();
    models.close();
    // What the last requests added; a crash leaves it to the next start.
    if let Err(error) = audit.publish() {
        observe::warn!("audit.unsigned", why = error.to_string().as_str());
    }
    searched.close();
    tenants.close();
    let closed = store.close();
    observe::info!("server.stopped", cut_requests = !whole);
    Log::flush();
    closed.map_err(|e| vec![e.report()])
}

/// A new data directory gets an org, a team and an admin key, whose text is returned once.
fn first_start(store: &dyn Store, pepper: &Pepper) -> Result<Option<String>, Report> {
    let broken = |e: store::Error| e.report();
    if !store.load().map_err(broken)?.orgs.is_empty() {
        return Ok(None);
    }
    let now = runtime::clock::now();
    let org = Org { id: OrgId(runtime::new_id()), name: "default".into(), created: now };
    let team = Team {
        id: TeamId(runtime::new_id()),
        org: org.id,
        name: "admin".into(),
        requests_per_minute: None,
        tokens_per_minute: None,
        created: now,
    };
    let (text, version) = policy::mint(pepper, runtime::random::bytes(), now, None);
    let key = Key {
        id: KeyId(runtime::new_id()),
        team: team.id,
        user: None,
        name: "first".into(),
        role: store::Role::Admin,
        subject: None,
        versions: vec![version],
        models: None,
        requests_per_minute: None,
        tokens_per_minute: None,
        expires: None,
        revoked: None,
        created_by: None,
        created: now,
    };
    let changes = [Change::PutOrg(org), Change::PutTeam(team), Change::PutKey(key)];
    store.change(&changes).map_err(broken)?;
    Ok(Some(text))
}

/// Applies `--config`: a file, or every YAML file of a folder in the order of their names.
fn apply_config(plane: &Plane, store: &dyn Store, path: &Path) -> Result<(), Vec<Report>> {
    let unreadable = |e: std::io::Error| {
        vec![Report::new("CL0004", format!("{} cannot be read", path.display())).because(e.to_string())]
    };
    let mut files = vec![path.to_path_buf()];
    if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(unreadable)?;
        files = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
        files.retain(|f| f.extension().is_some_and(|x| x == "yaml" || x == "yml"));
        files.sort();
    }
    let mut text = String::new();
    for file in files {
        text.push_str(&std::fs::read_to_string(&file).map_err(unreadable)?);
        text.push_str("\n---\n");
    }
    let org = store.load().ok().and_then(|s| s.orgs.first().map(|o| o.id));
    let org = org.ok_or_else(|| vec![Report::new("ST0006", "the store has no org")])?;
    plane.apply(&text, org, runtime::clock::now()).map(drop).map_err(|reports| {
        reports
            .into_iter()
            .map(|r| Report {
                at: r.at.map(|at| at.replace("the request", &path.display().to_string())),
                ..r
            })
            .collect()
    })
}

/// What a person sees at the start. The admin key is shown this once.
fn announce(url: &str, data: &Path, admin: Option<&str>) {
    println!("bedplate {} listening on {url}", env!("CARGO_PKG_VERSION"));
    println!("  data     {}", data.display());
    println!("  console  {url}/");
    if let Some(key) = admin {
        println!("  admin key (shown once; keep it):");
        println!("    {key}");
        println!("  try it:");
        println!("    export BEDPLATE_URL={url} BEDPLATE_KEY={key}");
        println!("    curl -s {url}/v1/chat/completions -H \"authorization: Bearer $BEDPLATE_KEY\" \\");
        println!("      -H 'content-type: application/json' \\");
        println!(
            "      -d '{{\"model\":\"bedplate-guide\",\"messages\":[{{\"role\":\"user\",\"content\":\"What is a budget?\"}}]}}'"
        );
    }
}
