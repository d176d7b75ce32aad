//! The local models of this process: on disk, in memory, or on the way.
//!
//! What is declared is known from its header; it is loaded when a request asks
//! for it, and goes when memory or its keep-alive says so. [`residency`] decides;
//! this module does what it says: threads that load and free, a keeper that wakes
//! it when something is due, and leases that keep a model in memory while a
//! request is served.
//!
//! A model is one version of one file. A file that was replaced is another
//! model: the next request loads it, while those in flight end on the old one.
//! Replacing by rename is safe, since the old file lives on under the old
//! engine; a file overwritten in place is noticed by its size and time at the
//! next request, but takes the ground from under those in flight.

mod adapter;
mod anew;
mod file;
mod keeper;
mod show;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::Appraisal;
use engine_process::{Engine, Place};
use report::{Report, Retry};
use residency::{Event, ModelId, WaiterId};
use tokio::sync::oneshot;
use units::Micros;

pub use adapter::check_adapter;
use keeper::Inner;
pub use show::{Readiness, Shown};

/// What all models of a process share.
#[derive(Clone)]
pub struct Config {
    /// For the estimates of all models in memory together.
    pub budget_bytes: u64,
    /// A model that waited longer for memory goes before the requests of others.
    pub swap_wait: Duration,
    /// How every engine is run; the context is each model's own.
    pub engine: engine::Options,
    /// And where: in this process, or in one of its own.
    pub place: Place,
}

/// How a model is loaded: the same file with another context is another engine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub path: PathBuf,
    pub context_tokens: Option<u32>,
}

/// What its manifest wishes for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wish {
    /// How long it may be idle in memory; `None`: for ever.
    pub keep_alive: Option<Duration>,
    /// Loaded before anybody asks, if there is free memory.
    pub preload: bool,
}

/// A LoRA adapter of a local model.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    pub name: String,
    pub path: PathBuf,
    pub scale: f32,
}

/// Every local model of the process. Clones share them.
#[derive(Clone)]
pub struct Models {
    inner: Arc<Inner>,
}

/// A declared model, in memory or not. Cheap to clone.
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
    key: Arc<Key>,
    appraisal: Arc<Appraisal>,
}

/// Adapters that one loaded model may have had, all versions counted: each stays in
/// memory, a few megabytes, until the model is unloaded.
const ADAPTERS_MAX: usize = 256;

/// The right to use a loaded model: as long as it lives the model stays.
pub struct Lease {
    /// Only `None` while it is dropped.
    engine: Option<Engine>,
    inner: Arc<Inner>,
    slot: ModelId,
}

/// Why there is no lease.
enum Denied {
    Report(Report),
    /// The file changed meanwhile: ask for the new one.
    Changed,
}

/// A request in the queue; dropped, it leaves.
struct Waiting {
    id: WaiterId,
    inner: Arc<Inner>,
    answer: oneshot::Receiver<Result<Lease, Denied>>,
}

impl Models {
    /// Starts the keeper. `changed` is called when a file was replaced by one with
    /// other facts, came or went: what was assembled from them is out of date.
    pub fn start(config: Config, changed: impl Fn() + Send + Sync + 'static) -> Models {
        let inner = Arc::new(Inner::new(config, Box::new(changed)));
        keeper::start(&inner);
        Models { inner }
    }

    /// Makes a model known, or changes what is wished for it. Reads its header
    /// unless the file is known already.
    ///
    /// # Errors
    /// Why the file is no model that could be loaded. It is looked at again, and
    /// `changed` called when that may have changed.
    pub fn declare(&self, key: &Key, wish: Wish) -> Result<Model, Report> {
        let appraisal = self.inner.declare(key, wish)?;
        Ok(Model { inner: Arc::clone(&self.inner), key: Arc::new(key.clone()), appraisal })
    }

    /// Forgets what nobody declares any more; it is freed when its last request ends.
    pub fn keep(&self, wanted: &[Key]) {
        self.inner.keep(wanted);
    }

    /// Where the model of a key stands; `None` if it is not declared, or is no model.
    pub fn show(&self, key: &Key) -> Option<Shown> {
        self.inner.show(key)
    }

    /// Budget, what is in memory, and how often models came and went.
    pub fn totals(&self) -> residency::Totals {
        self.inner.state().residency.totals()
    }

    pub fn readiness(&self) -> Readiness {
        self.inner.readiness()
    }

    /// Looks at every loaded engine, briefly: requests wait for the lock meanwhile.
    pub fn each_loaded(&self, mut look: impl FnMut(&Engine)) {
        self.inner.state().slots.values().filter_map(|s| s.engine.as_ref()).for_each(&mut look);
    }

    /// Frees everything and refuses whoever waits. For the end of the process:
    /// C++ destructors must not find an engine computing.
    pub fn close(&self) {
        self.inner.close();
    }
}

impl Model {
    /// What its header says.
    pub fn appraisal(&self) -> &Appraisal {
        &self.appraisal
    }
    pub fn key(&self) -> &Key {
        &self.key
    }
    /// What it may take in memory when loaded: weights, cells, buffers, and what
    /// it may keep of earlier prompts.
    pub fn need_bytes(&self) -> u64 {
        self.inner.need_bytes(&self.appraisal)
    }

    /// The model, loaded: at once when it is in memory, else when its turn has
    /// come, at most after `patience`. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// EN0005 or EN0006 for a file that cannot be loaded, EN0007 when the
    /// patience ends first.
    pub async fn acquire(&self, patience: Duration) -> Result<Lease, Report> {
        let until = keeper::now().plus_us(i64::try_from(patience.as_micros()).unwrap_or(i64::MAX));
        // Each time round the file was replaced while it was being loaded.
        for _ in 0..4 {
            if self.inner.is_stale(&self.key) {
                let (inner, key) = (Arc::clone(&self.inner), Arc::clone(&self.key));
                let _ = tokio::task::spawn_blocking(move || inner.refresh(&key)).await;
            }
            match Waiting::begin(&self.inner, &self.key, until)?.answer().await {
                Ok(lease) => return Ok(lease),
                Err(Denied::Report(report)) => return Err(report),
                Err(Denied::Changed) => {}
            }
        }
        Err(Report::new("EN0007", "the model's file changes faster than it can be loaded")
            .retry(Retry::After(5)))
    }
}

impl Waiting {
    fn begin(inner: &Arc<Inner>, key: &Key, until: Micros) -> Result<Waiting, Report> {
        let (sender, answer) = oneshot::channel();
        let id = inner.ask(key, until, sender)?;
        Ok(Waiting { id, inner: Arc::clone(inner), answer })
    }
    async fn answer(mut self) -> Result<Lease, Denied> {
        let closed = || Denied::Report(Report::new("GW0006", "the server is shutting down"));
        (&mut self.answer).await.unwrap_or_else(|_| Err(closed()))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // A granted lease, if there is one, is dropped with the receiver.
        self.inner.leave(self.id);
    }
}

impl Lease {
    /// The engine's number of an adapter, which is loaded by the first request for
    /// it and stays as long as the model; a file that was replaced is another one.
    ///
    /// # Errors
    /// EN0008 for a file that does not fit, EN0004 when the model has had too many.
    pub async fn adapter(&self, adapter: &Adapter) -> Result<u32, Report> {
        let refused = |why: &str| Report::new("EN0004", why).at(adapter.path.display().to_string());
        let adapters = self.inner.state().slots.get(&self.slot).map(|slot| Arc::clone(&slot.adapters));
        let adapters = adapters.ok_or_else(|| refused("the model is going"))?;
        let known = (adapter.path.clone(), adapter.scale.to_bits(), file::Stamp::of(&adapter.path));
        // Held over the load: a second request for the same adapter waits for the first's.
        let mut adapters = adapters.lock().await;
        if let Some(number) = adapters.get(&known) {
            return Ok(*number);
        }
        if adapters.len() >= ADAPTERS_MAX {
            return Err(refused("the model has had too many versions of its adapters; unload it first"));
        }
        let (path, arch) = (adapter.path.clone(), self.info().arch.clone());
        let checked = tokio::task::spawn_blocking(move || check_adapter(&path, &arch)).await;
        checked.map_err(|_| refused("the adapter's check failed"))??;
        let number = self.add_adapter(&adapter.path, adapter.scale).await.map_err(|error| {
            Report::new("EN0008", "the file is not an adapter for this model")
                .at(adapter.path.display().to_string())
                .because(error.to_string())
        })?;
        observe::info!("adapter.loaded", adapter = adapter.name.as_str(), model = self.info().name.as_str());
        adapters.insert(known, number);
        Ok(number)
    }
}

impl std::ops::Deref for Lease {
    type Target = Engine;
    fn deref(&self) -> &Engine {
        self.engine.as_ref().expect("only dropping takes the engine")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // First, so that the last clone is not this one and nobody waits for its thread here.
        drop(self.engine.take());
        self.inner.tell(Event::Return { model: self.slot });
    }
}

#[cfg(test)]
mod tests;
