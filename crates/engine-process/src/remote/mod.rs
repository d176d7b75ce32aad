//! The server's side: a handle that sends, a thread that hears.

mod answer;
mod hear;
mod shared;
mod shelf;

use std::io::BufReader;
use std::path::Path;
use std::process::Child;
use std::sync::Arc;

use chat::Request;
use engine::{BannedTexts, Caller, Error, Health, ModelInfo, Options, Scores, Vectors};
use tokio::sync::oneshot;

use crate::launch::Launch;
use crate::outbox::Outbox;
use crate::wire::{Board, Down, Settings, Up, VERSION};

pub(crate) use answer::Answer;
use shared::{Call, Shared, Told};
use shelf::Shelf;

/// Without news for this long the child counts as stalled: it speaks each second.
const SILENCE_US: u64 = 30_000_000;

/// A handle of an engine in another process.
#[derive(Clone)]
pub struct Remote {
    handle: Arc<Handle>,
}

/// Ends the child when the last clone goes.
struct Handle {
    info: ModelInfo,
    process: u32,
    shared: Arc<Shared>,
}

impl Drop for Handle {
    /// Waits until the child has put away what it keeps: as long as it goes on doing so.
    fn drop(&mut self) {
        self.shared.outbox.send(&Down::Close {});
        self.shared.wait_for_the_end();
    }
}

impl Remote {
    /// Starts the process and waits until its model is loaded. Blocks.
    pub(crate) fn open(
        launch: &Launch,
        path: &Path,
        options: &Options,
        mut progress: impl FnMut(f32) -> bool,
    ) -> Result<Remote, Error> {
        let broken = |what: &str, e: &std::io::Error| Error::Crashed(format!("{what}: {e}"));
        let shelf = Shelf::of(path, options)?;
        let started = launch.start(path);
        let (child, stream) = started.map_err(|e| broken("the engine's process could not be started", &e))?;
        let mut child = Guarded(Some(child));
        let ours = stream.try_clone().map_err(|e| broken("its socket could not be shared", &e))?;
        let outbox = Arc::new(Outbox::default());
        outbox.start(ours).map_err(|e| broken("no thread could be started", &e))?;
        outbox.send(&Down::Open {
            version: VERSION,
            path: path.to_owned(),
            settings: settings(options),
            blocks: shelf.as_ref().map(Shelf::blocks),
        });
        let mut from = BufReader::with_capacity(1 << 16, stream);
        let info = loop {
            match hear::next(&mut from) {
                Ok(Some(Up::Progress { done })) if progress(done) => {}
                Ok(Some(Up::Progress { .. })) => return Err(Error::Failed("the load was given up".into())),
                Ok(Some(Up::Opened { info })) => break info,
                Ok(Some(Up::Failed { error, .. })) => return Err(error),
                Ok(Some(_)) => return Err(Error::Crashed("it spoke before it had loaded".into())),
                Ok(None) => return Err(Error::Crashed(child.ended())),
                Err(error) => return Err(Error::Crashed(error)),
            }
        };
        let child = child.0.take().expect("it is taken once");
        let process = child.id();
        let shared = Arc::new(Shared::new(outbox, child));
        hear::start(Arc::clone(&shared), from, shelf)
            .map_err(|e| broken("no thread could be started", &e))?;
        Ok(Remote { handle: Arc::new(Handle { info, process, shared }) })
    }

    pub(crate) fn info(&self) -> &ModelInfo {
        &self.handle.info
    }
    pub(crate) fn process(&self) -> u32 {
        self.handle.process
    }
    pub(crate) fn board(&self) -> Board {
        self.shared().state().board.clone()
    }
    pub(crate) fn death(&self) -> Option<Error> {
        self.shared().state().death.clone()
    }

    /// Who waits for an answer.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.shared().state().calls.len()
    }

    pub(crate) fn health(&self) -> Health {
        let state = self.shared().state();
        let silent_us = runtime::clock::monotonic_us().saturating_sub(state.heard_us);
        match state.board.health {
            _ if state.death.is_some() => Health::Dead,
            Health::Ready if silent_us > SILENCE_US => Health::Stalled { for_us: silent_us },
            health => health,
        }
    }

    pub(crate) async fn count_tokens(&self, request: &Request) -> Result<u32, Error> {
        self.number(|id| Down::Count { id, request: request.clone() }).await
    }
    pub(crate) async fn count_embed_tokens(&self, text: &str) -> Result<u32, Error> {
        self.number(|id| Down::CountText { id, text: text.to_owned() }).await
    }
    pub(crate) async fn add_adapter(&self, path: &Path, scale: f32) -> Result<u32, Error> {
        self.number(|id| Down::Adapter { id, path: path.to_owned(), scale }).await
    }

    pub(crate) async fn embed(&self, texts: Vec<String>) -> Result<Vectors, Error> {
        match self.ask(|id| Down::Embed { id, texts }).await? {
            Told::Vectors(vectors) => Ok(vectors),
            _ => Err(confused()),
        }
    }

    pub(crate) async fn rerank(&self, query: &str, documents: &[String]) -> Result<Scores, Error> {
        let (query, documents) = (query.to_owned(), documents.to_vec());
        match self.ask(|id| Down::Rerank { id, query, documents }).await? {
            Told::Scores(scores) => Ok(scores),
            _ => Err(confused()),
        }
    }

    pub(crate) async fn submit(
        &self,
        request: &Request,
        caller: &Caller,
        raw: bool,
    ) -> Result<Answer, Error> {
        let banned = caller.banned.as_ref().map(|texts| self.ban(texts)).transpose()?;
        let (caller, request) = (caller.clone(), request.clone());
        Answer::begin(self.shared(), |id| Down::Submit { id, raw, caller, banned, request }).await
    }

    /// Tells the child once what requests then name: the texts must not cross with
    /// each. What nobody can name any more it forgets.
    fn ban(&self, texts: &Arc<BannedTexts>) -> Result<u128, Error> {
        let id = texts.id();
        let mut bans = self.shared().bans.lock().unwrap_or_else(|e| e.into_inner());
        if let Some((_, user)) = bans.iter_mut().find(|(known, _)| *known == id) {
            *user = Arc::downgrade(texts);
            return Ok(id);
        }
        bans.retain(|(id, user)| {
            let used = user.strong_count() > 0;
            if !used {
                self.shared().outbox.send(&Down::Unban { id: *id });
            }
            used
        });
        // Under the lock, so that it goes before every request that names it.
        self.shared().offer(&Down::Ban { texts: Arc::clone(texts) })?;
        bans.push((id, Arc::downgrade(texts)));
        Ok(id)
    }

    async fn number(&self, message: impl FnOnce(u64) -> Down) -> Result<u32, Error> {
        match self.ask(message).await? {
            Told::Number(number) => Ok(number),
            _ => Err(confused()),
        }
    }

    async fn ask(&self, message: impl FnOnce(u64) -> Down) -> Result<Told, Error> {
        let shared = self.shared();
        let (sender, told) = oneshot::channel();
        let id = shared.begin(Call::One(sender))?;
        let _asking = Asking { id, shared };
        shared.offer(&message(id))?;
        told.await.unwrap_or_else(|_| Err(shared.death()))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }
}

/// A single question; dropped, nobody waits for its answer. The child may still
/// work on it: what it does is short.
struct Asking<'a> {
    id: u64,
    shared: &'a Shared,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if self.shared.forget(self.id) {
            self.shared.outbox.send(&Down::Cancel { id: self.id });
        }
    }
}

/// A child that nobody watches yet: killed unless it is taken out.
struct Guarded(Option<Child>);

impl Guarded {
    fn ended(mut self) -> String {
        self.0.take().map_or_else(String::new, |mut child| hear::ended(&mut child))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn settings(options: &Options) -> Settings {
    Settings {
        n_ctx: options.n_ctx,
        n_seq_max: options.n_seq_max,
        threads: options.threads,
        memory_max_bytes: options.memory_max_bytes,
        queue_max: options.queue_max,
        token_gap_us: options.token_gap_us,
        kv_memory_bytes: options.kv_memory_bytes,
        flash: options.flash,
    }
}

fn confused() -> Error {
    Error::Failed("the engine's process answered another question".into())
}
