//! Does what [`residency`] decides.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use engine::{Appraisal, Health, Options};
use engine_process::Engine;
use report::{Report, Retry};
use residency::{Action, Event, Limits, ModelId, Phase, Refusal, Residency, WaiterId};
use tokio::sync::oneshot;
use units::Micros;

use super::file::Stamp;
use super::{Config, Denied, Key, Lease, Wish};

/// Requests that wait for models at once; each holds its body in memory.
const WAITERS_MAX: usize = 1_024;
/// How often the files and the engines are looked at: what a swapped file
/// of a preloaded model and a dead engine take to be noticed without a request.
const LOOK: Duration = Duration::from_secs(2);

/// Monotonic.
pub(super) fn now() -> Micros {
    Micros(i64::try_from(runtime::clock::monotonic_us()).unwrap_or(i64::MAX))
}

type Answer = oneshot::Sender<Result<Lease, Denied>>;

pub(super) struct Inner {
    pub config: Config,
    changed: Box<dyn Fn() + Send + Sync>,
    state: Mutex<State>,
    /// Rung when the keeper's next wake has changed.
    bell: Condvar,
    closed: AtomicBool,
}

pub(super) struct State {
    pub residency: Residency,
    pub declared: BTreeMap<Key, Declared>,
    pub slots: HashMap<ModelId, Slot>,
    waiters: HashMap<WaiterId, (ModelId, Answer)>,
    next: u64,
    /// Threads that load or free.
    busy: u32,
}

/// A file somebody declares.
pub(super) struct Declared {
    pub wish: Wish,
    pub stamp: Option<Stamp>,
    /// The slot of this version of the file, or why it is no model.
    pub current: Result<ModelId, Report>,
    pub crashes: Crashes,
}

/// Engines of one file that died.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Crashes {
    /// In a row: none of them served for [`STEADY`].
    pub count: u32,
    /// Not loaded again before.
    pub until: Option<Micros>,
}

/// An engine that has served this long before it died was not in a crash loop.
const STEADY: Duration = Duration::from_secs(300);
/// After the first crash the next request loads the model at once; after the
/// second it waits, each time twice as long.
const CRASH_PAUSE_US: i64 = 2_000_000;
const CRASH_PAUSE_MAX_US: i64 = 120_000_000;

impl Crashes {
    /// One more, of an engine that was loaded at a time.
    fn another(self, loaded: Option<Micros>, now: Micros) -> Crashes {
        let steady = loaded.is_none_or(|at| now.since(at) > STEADY.as_micros() as u64);
        let count = if steady { 1 } else { self.count.saturating_add(1) };
        let pause = match count {
            1 => None,
            n => Some((CRASH_PAUSE_US << (n - 2).min(6)).min(CRASH_PAUSE_MAX_US)),
        };
        Crashes { count, until: pause.map(|us| now.plus_us(us)) }
    }
}

/// One version of a file.
pub(super) struct Slot {
    pub key: Key,
    stamp: Stamp,
    pub appraisal: Arc<Appraisal>,
    pub engine: Option<Engine>,
    /// Of a load, in thousandths.
    pub progress: Arc<AtomicU32>,
    /// Why the last load failed.
    pub failure: Option<Report>,
    /// The last load failed because the file had changed.
    changed: bool,
    load_us: u64,
    /// When its engine was there.
    loaded: Option<Micros>,
    /// The engine's number of each adapter it has loaded: by file, scale and version.
    pub adapters: Arc<tokio::sync::Mutex<Adapters>>,
}

type Adapters = HashMap<(PathBuf, u32, Option<Stamp>), u32>;

impl Slot {
    /// Its engine's thread has ended: it never answers again.
    pub fn is_dead(&self) -> bool {
        self.engine.as_ref().is_some_and(|engine| engine.health() == Health::Dead)
    }
}

/// Starts the thread that wakes the residency when something is due.
pub(super) fn start(inner: &Arc<Inner>) {
    let inner = Arc::clone(inner);
    let spawned = std::thread::Builder::new().name("keep-models".into()).spawn(move || {
        let mut look_at = now();
        while !inner.closed.load(Relaxed) {
            let state = inner.state();
            let due = state.residency.wake().map_or(look_at, |w| w.min(look_at));
            let pause = Duration::from_micros(due.since(now()));
            if !pause.is_zero() {
                let (state, _) = inner.bell.wait_timeout(state, pause).unwrap_or_else(|e| e.into_inner());
                drop(state);
            } else {
                drop(state);
            }
            inner.step([]);
            if now() >= look_at {
                inner.look_around();
                look_at = now().plus_us(LOOK.as_micros() as i64);
            }
        }
    });
    if let Err(error) = spawned {
        observe::error!("models.keeper", why = error.to_string().as_str());
    }
}

impl Inner {
    pub fn new(config: Config, changed: Box<dyn Fn() + Send + Sync>) -> Inner {
        let limits = Limits {
            budget_bytes: config.budget_bytes,
            wait_max_us: u64::try_from(config.swap_wait.as_micros()).unwrap_or(u64::MAX),
            waiters_max: WAITERS_MAX,
        };
        let state = State {
            residency: Residency::new(limits),
            declared: BTreeMap::new(),
            slots: HashMap::new(),
            waiters: HashMap::new(),
            next: 0,
            busy: 0,
        };
        Inner {
            config,
            changed,
            state: Mutex::new(state),
            bell: Condvar::new(),
            closed: AtomicBool::new(false),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub fn options(&self, key: &Key) -> Options {
        Options { n_ctx: key.context_tokens, ..self.config.engine.clone() }
    }

    /// Memory for keys and values beside the cells: what was asked for, and never
    /// more than the model itself, so that a small one stays small.
    fn kept_bytes(&self, appraisal: &Appraisal) -> u64 {
        (self.config.engine.kv_memory_bytes as u64).min(appraisal.memory.total())
    }

    /// What the model may take in all when loaded.
    pub fn need_bytes(&self, appraisal: &Appraisal) -> u64 {
        appraisal.memory.total().saturating_add(self.kept_bytes(appraisal))
    }

    /// Says what has happened, and does what follows from it.
    pub fn tell(self: &Arc<Inner>, event: Event) {
        self.step([event]);
    }

    fn step<const N: usize>(self: &Arc<Inner>, events: [Event; N]) {
        let mut state = self.state();
        let leftover = self.apply(&mut state, events);
        drop(state);
        // Each says `Return` in turn, which takes the lock.
        drop(leftover);
    }

    /// Returns the leases that nobody took; to be dropped without the lock.
    #[must_use]
    fn apply<const N: usize>(self: &Arc<Inner>, state: &mut State, events: [Event; N]) -> Vec<Lease> {
        let before = state.residency.wake();
        let actions = state.residency.step(now(), events);
        let mut leftover = Vec::new();
        for action in actions {
            match action {
                Action::Load(model) => self.load(state, model),
                Action::Unload(model) => self.free(state, model),
                Action::Grant(waiter, model) => {
                    let slot = state.slots.get(&model);
                    let engine = slot.and_then(|s| s.engine.clone());
                    let lease = Lease { engine, inner: Arc::clone(self), slot: model };
                    let answer = state.waiters.remove(&waiter).filter(|_| lease.engine.is_some());
                    match answer.map(|(_, answer)| answer) {
                        None => leftover.push(lease),
                        // Whoever left with the answer on the way gives it back.
                        Some(answer) => leftover.extend(answer.send(Ok(lease)).err().and_then(Result::ok)),
                    }
                }
                Action::Refuse(waiter, refusal) => {
                    if let Some((model, answer)) = state.waiters.remove(&waiter) {
                        let _ = answer.send(Err(denied(state.slots.get(&model), refusal)));
                    }
                }
                Action::NotWarmed(model) => {
                    if let Some(slot) = state.slots.get(&model) {
                        observe::warn!(
                            "model.not_preloaded",
                            file = slot.key.path.display().to_string().as_str(),
                            memory_bytes = self.need_bytes(&slot.appraisal),
                            why = "no free memory; the first request loads it"
                        );
                    }
                }
                Action::Gone(model) => drop(state.slots.remove(&model)),
            }
        }
        if state.residency.wake() != before {
            self.bell.notify_all();
        }
        leftover
    }

    /// On a thread of its own: loading takes from milliseconds to minutes.
    fn load(self: &Arc<Inner>, state: &mut State, model: ModelId) {
        let Some(slot) = state.slots.get_mut(&model) else { return };
        slot.progress.store(0, Relaxed);
        let (inner, key, stamp) = (Arc::clone(self), slot.key.clone(), slot.stamp);
        let kept = usize::try_from(self.kept_bytes(&slot.appraisal)).unwrap_or(usize::MAX);
        let options = Options { kv_memory_bytes: kept, ..self.options(&key) };
        let progress = Arc::clone(&slot.progress);
        state.busy += 1;
        self.spawn("load-model", move || {
            let from = now();
            let closing = Arc::clone(&inner);
            let opened = Engine::open_with(&inner.config.place, &key.path, options, move |done| {
                progress.store((done * 1_000.0) as u32, Relaxed);
                !closing.closed.load(Relaxed)
            });
            let changed = Stamp::of(&key.path).is_some_and(|is| is != stamp);
            let mut state = inner.state();
            state.busy -= 1;
            let mut unused = None;
            let event = match state.slots.get_mut(&model) {
                None => Event::Failed { model },
                Some(slot) => {
                    slot.load_us = now().since(from);
                    slot.changed = changed;
                    slot.adapters = Arc::default();
                    log(&key.path, &opened, slot.load_us);
                    match opened {
                        Ok(engine) if !changed && !inner.closed.load(Relaxed) => {
                            slot.failure = None;
                            slot.engine = Some(engine);
                            slot.loaded = Some(now());
                            Event::Loaded { model }
                        }
                        Ok(engine) => {
                            unused = Some(engine);
                            Event::Failed { model }
                        }
                        Err(error) => {
                            slot.failure = Some(error.report());
                            Event::Failed { model }
                        }
                    }
                }
            };
            let leftover = inner.apply(&mut state, [event]);
            drop(state);
            drop((leftover, unused));
            inner.bell.notify_all();
        });
    }

    /// On a thread of its own: an engine ends with its current step.
    fn free(self: &Arc<Inner>, state: &mut State, model: ModelId) {
        let engine = state.slots.get_mut(&model).and_then(|slot| slot.engine.take());
        if let Some(slot) = state.slots.get(&model) {
            observe::info!("model.unloaded", file = slot.key.path.display().to_string().as_str());
        }
        state.busy += 1;
        let inner = Arc::clone(self);
        self.spawn("free-model", move || {
            drop(engine);
            inner.state().busy -= 1;
            inner.tell(Event::Freed { model });
            inner.bell.notify_all();
        });
    }

    fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) {
        // A process that can start no thread cannot serve either; the model then
        // reads as loading, and its requests end at their deadlines.
        if let Err(error) = std::thread::Builder::new().name(name.into()).spawn(work) {
            observe::error!("models.thread", name = name, why = error.to_string().as_str());
        }
    }

    pub fn ask(self: &Arc<Inner>, key: &Key, until: Micros, answer: Answer) -> Result<WaiterId, Report> {
        let mut state = self.state();
        if self.closed.load(Relaxed) {
            return Err(Report::new("GW0006", "the server is shutting down").retry(Retry::After(1)));
        }
        let undeclared =
            || Report::new("GW0010", "the model is not declared any more").retry(Retry::After(1));
        let model = state.declared.get(key).ok_or_else(undeclared)?.current.clone()?;
        state.next += 1;
        let waiter = WaiterId(state.next);
        state.waiters.insert(waiter, (model, answer));
        let leftover = self.apply(&mut state, [Event::Ask { waiter, model, until }]);
        drop(state);
        drop(leftover);
        Ok(waiter)
    }

    /// A request waits no more, if it still did.
    pub fn leave(self: &Arc<Inner>, waiter: WaiterId) {
        let mut state = self.state();
        if state.waiters.remove(&waiter).is_none() {
            return;
        }
        let leftover = self.apply(&mut state, [Event::Leave { waiter }]);
        drop(state);
        drop(leftover);
    }

    pub fn declare(self: &Arc<Inner>, key: &Key, wish: Wish) -> Result<Arc<Appraisal>, Report> {
        let known = self.state().declared.get(key).map(|d| d.wish);
        match known {
            None => {
                let found = self.read(key);
                let mut state = self.state();
                let leftover = self.put(&mut state, key, wish, found, Default::default());
                drop(state);
                drop(leftover);
            }
            Some(_) if self.is_stale(key) => self.replace(key, Some(wish)),
            Some(before) if before != wish => self.wish(key, wish),
            Some(_) => {}
        }
        let state = self.state();
        let gone = || Report::new("EN0005", "the model was declared and withdrawn at once");
        let model = state.declared.get(key).ok_or_else(gone)?.current.clone()?;
        state.slots.get(&model).map(|slot| Arc::clone(&slot.appraisal)).ok_or_else(gone)
    }

    fn wish(self: &Arc<Inner>, key: &Key, wish: Wish) {
        let mut state = self.state();
        let Some(declared) = state.declared.get_mut(key) else { return };
        let warm = wish.preload && !declared.wish.preload;
        declared.wish = wish;
        let Ok(model) = declared.current.clone() else { return };
        let need_bytes = state.slots.get(&model).map_or(0, |s| self.need_bytes(&s.appraisal));
        let declare = Event::Declare { model, need_bytes, keep_alive_us: us(wish.keep_alive) };
        let mut leftover = self.apply(&mut state, [declare]);
        if warm {
            leftover.extend(self.apply(&mut state, [Event::Warm { model }]));
        }
        drop(state);
        drop(leftover);
    }

    /// Whether the file is another than the one known, or its engine has died.
    pub fn is_stale(&self, key: &Key) -> bool {
        let is = Stamp::of(&key.path);
        let state = self.state();
        let Some(declared) = state.declared.get(key) else { return false };
        let slot = declared.current.as_ref().ok().and_then(|model| state.slots.get(model));
        if slot.is_some_and(Slot::is_dead) {
            return true;
        }
        // A file that is gone lives on under the engine that has it mapped.
        let mapped = || slot.is_some_and(|slot| slot.engine.is_some());
        is != declared.stamp && !(is.is_none() && mapped())
    }

    /// Reads the file anew if it is another one, and says so when its facts differ.
    pub fn refresh(self: &Arc<Inner>, key: &Key) {
        if !self.is_stale(key) {
            return;
        }
        let facts = |inner: &Inner| {
            let state = inner.state();
            let declared = state.declared.get(key)?;
            Some(match &declared.current {
                Err(report) => Err(report.sentence()),
                Ok(model) => {
                    let appraisal = &state.slots.get(model)?.appraisal;
                    Ok((appraisal.n_ctx, appraisal.can_embed, appraisal.can_rank, appraisal.can_generate))
                }
            })
        };
        let before = facts(self);
        self.replace(key, None);
        if facts(self) != before {
            (self.changed)();
        }
    }

    /// What the file is now. Blocks on reading its header.
    pub fn read(&self, key: &Key) -> (Option<Stamp>, Result<Appraisal, Report>) {
        let stamp = Stamp::of(&key.path);
        (stamp, engine::appraise(&key.path, &self.options(key)).map_err(|e| e.report()))
    }

    fn replace(self: &Arc<Inner>, key: &Key, wish: Option<Wish>) {
        let found = self.read(key);
        let mut state = self.state();
        let Some(declared) = state.declared.get(key) else { return };
        let slot = declared.current.as_ref().ok().and_then(|model| state.slots.get(model));
        let death = slot.and_then(|slot| Some((slot.engine.as_ref()?.death()?, slot.loaded)));
        if declared.stamp == found.0 && death.is_none() {
            // Somebody else was faster.
            return;
        }
        let wish = wish.unwrap_or(declared.wish);
        let file = key.path.display().to_string();
        let mut crashes = Crashes::default();
        match &death {
            None => observe::info!("model.replaced", file = file.as_str(), why = "the file changed"),
            Some((error, loaded)) => {
                crashes = declared.crashes.another(*loaded, now());
                observe::error!(
                    "model.crashed",
                    file = file.as_str(),
                    why = error.to_string().as_str(),
                    times = crashes.count
                );
            }
        }
        let failure = death.map(|(error, _)| error.report());
        let leftover = self.put(&mut state, key, wish, found, (crashes, failure));
        drop(state);
        drop(leftover);
    }

    /// Makes this version of the file the current one.
    #[must_use]
    pub fn put(
        self: &Arc<Inner>,
        state: &mut State,
        key: &Key,
        wish: Wish,
        (stamp, appraisal): (Option<Stamp>, Result<Appraisal, Report>),
        (crashes, failure): (Crashes, Option<Report>),
    ) -> Vec<Lease> {
        let mut leftover = Vec::new();
        let before = state.declared.get(key).and_then(|d| d.current.clone().ok());
        if let Some(model) = before {
            leftover.extend(self.apply(state, [Event::Retire { model }]));
        }
        let current = match (stamp, appraisal) {
            (Some(stamp), Ok(appraisal)) => {
                state.next += 1;
                let model = ModelId(state.next);
                let need_bytes = self.need_bytes(&appraisal);
                let slot = Slot {
                    key: key.clone(),
                    stamp,
                    appraisal: Arc::new(appraisal),
                    engine: None,
                    progress: Arc::default(),
                    failure,
                    changed: false,
                    load_us: 0,
                    loaded: None,
                    adapters: Arc::default(),
                };
                state.slots.insert(model, slot);
                let declare = Event::Declare { model, need_bytes, keep_alive_us: us(wish.keep_alive) };
                leftover.extend(self.apply(state, [declare]));
                match crashes.until {
                    Some(until) => leftover.extend(self.apply(state, [Event::Pause { model, until }])),
                    None if wish.preload => leftover.extend(self.apply(state, [Event::Warm { model }])),
                    None => {}
                }
                Ok(model)
            }
            (None, Ok(_)) => Err(Report::new("EN0005", "the file went while it was read")),
            (_, Err(report)) => {
                observe::error!(
                    "model.failed",
                    file = key.path.display().to_string().as_str(),
                    code = report.code.0,
                    why = report.sentence().as_str()
                );
                Err(report)
            }
        };
        state.declared.insert(key.clone(), Declared { wish, stamp, current, crashes });
        leftover
    }

    pub fn keep(self: &Arc<Inner>, wanted: &[Key]) {
        let mut state = self.state();
        let unwanted: Vec<Key> = state.declared.keys().filter(|k| !wanted.contains(k)).cloned().collect();
        let mut leftover = Vec::new();
        for key in unwanted {
            if let Some(Declared { current: Ok(model), .. }) = state.declared.remove(&key) {
                leftover.extend(self.apply(&mut state, [Event::Retire { model }]));
            }
        }
        drop(state);
        drop(leftover);
    }

    /// Looks at the files and the engines, as nobody may be asking for them.
    fn look_around(self: &Arc<Inner>) {
        let keys: Vec<Key> = {
            let state = self.state();
            state.declared.keys().cloned().collect()
        };
        keys.iter().for_each(|key| self.refresh(key));
        self.warm_again();
    }

    /// A preload that failed is tried again by itself: while it is not there,
    /// `/readyz` keeps away the requests that would.
    fn warm_again(self: &Arc<Inner>) {
        let mut state = self.state();
        let failed: Vec<ModelId> = state
            .declared
            .values()
            .filter(|declared| declared.wish.preload)
            .filter_map(|declared| declared.current.as_ref().ok().copied())
            .filter(|model| match state.residency.look(*model).map(|look| look.phase) {
                Some(Phase::Failed { again }) => now() >= again,
                _ => false,
            })
            .collect();
        let mut leftover = Vec::new();
        for model in failed {
            leftover.extend(self.apply(&mut state, [Event::Warm { model }]));
        }
        drop(state);
        drop(leftover);
    }

    pub fn close(self: &Arc<Inner>) {
        self.closed.store(true, Relaxed);
        let mut state = self.state();
        state.waiters.clear();
        let engines: Vec<Engine> = state.slots.values_mut().filter_map(|s| s.engine.take()).collect();
        drop(state);
        drop(engines);
        self.bell.notify_all();
        // A load ends at its next tensor; five seconds are more than one takes.
        let state = self.state();
        let _ = self.bell.wait_timeout_while(state, Duration::from_secs(5), |state| state.busy > 0);
    }
}

fn us(duration: Option<Duration>) -> Option<u64> {
    duration.map(|d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}

fn denied(slot: Option<&Slot>, refusal: Refusal) -> Denied {
    let later = |what: &str| Report::new("EN0007", what).retry(Retry::After(2));
    Denied::Report(match refusal {
        Refusal::TooLarge { need_bytes, budget_bytes } => {
            engine::Error::Memory { need: need_bytes, have: budget_bytes }.report()
        }
        Refusal::TimedOut => later("the model was not in memory before the request's deadline"),
        Refusal::Crowded => later("too many requests wait for models to be loaded"),
        Refusal::Unknown => return Denied::Changed,
        Refusal::Failed { .. } if slot.is_some_and(|slot| slot.changed) => return Denied::Changed,
        Refusal::Failed { again } => {
            let seconds = u32::try_from(again.since(now()).div_ceil(1_000_000)).unwrap_or(1).max(1);
            let failure = slot.and_then(|slot| slot.failure.clone());
            failure.unwrap_or_else(|| later("the model could not be loaded")).retry(Retry::After(seconds))
        }
    })
}

fn log(path: &Path, opened: &Result<Engine, engine::Error>, load_us: u64) {
    let file = path.display().to_string();
    match opened {
        Ok(engine) => observe::info!(
            "model.loaded",
            file = file.as_str(),
            model = engine.info().name.as_str(),
            parameters = engine.info().n_params,
            memory_bytes = engine.info().memory.total(),
            load_ms = load_us / 1_000,
            process = engine.process().unwrap_or_else(std::process::id)
        ),
        Err(error) => {
            observe::error!("model.failed", file = file.as_str(), why = error.to_string().as_str());
        }
    }
}
