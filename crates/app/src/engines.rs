//! The models loaded in this process.
//!
//! Loading takes from milliseconds to minutes, so it happens on a thread of its
//! own: whoever asks for a model that is not there yet is told so, and a
//! callback says when the answer has changed.

use std::collections::HashMap;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};

use engine::{Engine, Options};
use observe::EngineMetrics;
use report::Report;

/// The built-in model: small, true, and in the binary.
pub const GUIDE: &str = "bedplate-guide";
static GUIDE_BYTES: &[u8] = include_bytes!("../../../models/guide/bedplate-guide.q8_0.gguf");

/// How a model is loaded: the same file with another context is another engine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub path: PathBuf,
    pub context_tokens: Option<u32>,
}

#[derive(Clone)]
pub enum State {
    Loading,
    Ready(Engine),
    Failed(Report),
}

/// Every model of the process. Clones share them.
#[derive(Clone, Default)]
pub struct Engines {
    states: Arc<Mutex<HashMap<Key, State>>>,
    /// Loads whose `changed` has not returned: until then nobody is routed to the model.
    pending: Arc<AtomicUsize>,
}

impl Engines {
    fn states(&self) -> MutexGuard<'_, HashMap<Key, State>> {
        self.states.lock().expect("no code panics while it holds the models")
    }

    /// The model, or where it stands. The first call begins to load it and calls
    /// `changed` when that has ended.
    pub fn get(&self, key: &Key, changed: impl FnOnce() + Send + 'static) -> State {
        if let Some(state) = self.states().get(key) {
            return state.clone();
        }
        self.states().insert(key.clone(), State::Loading);
        self.pending.fetch_add(1, SeqCst);
        let (engines, loading) = (self.clone(), key.clone());
        let spawned = std::thread::Builder::new().name("load-model".into()).spawn(move || {
            let state = match Engine::open(&loading.path, options(&loading)) {
                Ok(engine) => State::Ready(engine),
                Err(error) => State::Failed(error.report()),
            };
            log(&loading.path, &state);
            engines.states().insert(loading, state);
            changed();
            engines.pending.fetch_sub(1, SeqCst);
        });
        if let Err(error) = spawned {
            self.pending.fetch_sub(1, SeqCst);
            let report = Report::new("EN0003", "no thread could be started to load a model")
                .because(error.to_string());
            self.states().insert(key.clone(), State::Failed(report));
        }
        self.states().get(key).cloned().unwrap_or(State::Loading)
    }

    /// Forgets models that nobody declares any more; they are freed when their last request ends.
    pub fn keep(&self, wanted: &[Key]) {
        self.states().retain(|key, _| wanted.contains(key));
    }

    pub fn loading(&self) -> bool {
        self.pending.load(SeqCst) > 0
    }

    pub fn ready(&self) -> Vec<Engine> {
        let states = self.states();
        states.values().filter_map(|s| if let State::Ready(e) = s { Some(e.clone()) } else { None }).collect()
    }

    /// Writes every engine's figures into the metrics.
    pub fn observe(&self, metrics: &EngineMetrics) {
        for engine in self.ready() {
            let (name, stats) = (engine.info().name.clone(), engine.stats());
            let set = |family: &observe::Family<observe::Gauge>, n: u64| {
                family.with(&[&name]).set(i64::try_from(n).unwrap_or(i64::MAX));
            };
            set(&metrics.requests_running, stats.running);
            set(&metrics.requests_waiting, stats.queued);
            set(&metrics.kv_cache_usage, stats.kv_used * 1_000_000 / stats.kv_total.max(1));
            let raise = |family: &observe::Family<observe::Counter>, n: u64| {
                let counter = family.with(&[&name]);
                counter.add(n.saturating_sub(counter.value()));
            };
            raise(&metrics.prompt_tokens, stats.prompt_tokens);
            raise(&metrics.generation_tokens, stats.generated_tokens);
        }
    }
}

fn options(key: &Key) -> Options {
    Options { n_ctx: key.context_tokens, threads: threads(), ..Options::default() }
}

/// Compute threads: all cores; the short spin of [`with_openmp`] lets a busy
/// gateway have them back within a millisecond.
pub fn threads() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| n.get() as u32)
}

fn log(path: &Path, state: &State) {
    let file = path.display().to_string();
    match state {
        State::Ready(engine) => observe::info!(
            "model.loaded",
            file = file.as_str(),
            model = engine.info().name.as_str(),
            parameters = engine.info().n_params,
            memory_bytes = engine.info().memory.total()
        ),
        State::Failed(report) => {
            observe::error!(
                "model.failed",
                file = file.as_str(),
                code = report.code.0,
                why = report.what.as_str()
            );
        }
        State::Loading => {}
    }
}

/// Puts the built-in model's file into the data directory, unless it is there.
/// llama.cpp maps files, so it needs one.
pub fn guide_file(data: &Path) -> std::io::Result<PathBuf> {
    let folder = data.join("models").join("builtin");
    let path = folder.join(format!("{GUIDE}.gguf"));
    if std::fs::read(&path).is_ok_and(|bytes| bytes == GUIDE_BYTES) {
        return Ok(path);
    }
    std::fs::create_dir_all(&folder)?;
    let partial = folder.join(format!(".{GUIDE}.{}", std::process::id()));
    std::fs::write(&partial, GUIDE_BYTES)?;
    std::fs::rename(&partial, &path)?;
    Ok(path)
}

/// Runs `then` in a process whose environment libgomp likes: it reads its
/// settings when it is loaded, before `main`, so a process without them
/// executes itself again with them.
pub fn with_openmp(then: impl FnOnce() -> ExitCode) -> ExitCode {
    let absent: Vec<_> =
        engine::openmp_env().iter().filter(|(name, _)| cli::environment(name).is_none()).collect();
    if absent.is_empty() {
        return then();
    }
    if let Ok(me) = std::env::current_exe() {
        // Only returns if it failed; then the defaults have to do.
        let _ = Command::new(me).args(std::env::args_os().skip(1)).envs(absent.into_iter().copied()).exec();
    }
    then()
}
