//! Who waits for what.

use std::collections::HashMap;
use std::process::Child;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::time::Duration;

use chat::Event;
use engine::{BannedTexts, Error, Health, Scores, Vectors};
use tokio::sync::{mpsc, oneshot};

use crate::outbox::Outbox;
use crate::wire::{Board, Down};

/// Most requests that may wait for an answer at once.
const CALLS_MAX: usize = 8_192;
/// A child that is told to close and says nothing for this long is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What handles, answers and the hearing thread share.
pub(super) struct Shared {
    pub outbox: Arc<Outbox>,
    state: Mutex<State>,
    /// Rung when the child hands over a block, and when it has ended.
    pub bell: Condvar,
    pub child: Mutex<Child>,
    /// What the child was told that answers must not say, and who may still name it.
    pub bans: Mutex<Vec<(u128, Weak<BannedTexts>)>>,
    next: AtomicU64,
}

pub(super) struct State {
    pub calls: HashMap<u64, Call>,
    pub board: Board,
    /// When the child spoke last; monotonic, in microseconds.
    pub heard_us: u64,
    /// Counts the blocks that it handed over.
    pub saved: u64,
    /// Why there is no child any more; then nobody is added to `calls`.
    pub death: Option<Error>,
    /// It has been waited for.
    pub buried: bool,
}

/// Somebody who waits.
pub(super) enum Call {
    One(oneshot::Sender<Result<Told, Error>>),
    Stream {
        accepted: Option<oneshot::Sender<Result<u32, Error>>>,
        events: mpsc::Sender<Event>,
        figures: Arc<Figures>,
    },
}

/// What is told of a request beside its events.
#[derive(Default)]
pub(super) struct Figures {
    pub busy_us: AtomicU64,
    pub withheld: AtomicU64,
}

/// A single answer.
pub(super) enum Told {
    Vectors(Vectors),
    Scores(Scores),
    Number(u32),
}

impl Shared {
    pub fn new(outbox: Arc<Outbox>, child: Child) -> Shared {
        let board = Board { stats: Default::default(), health: Health::Ready, tenants: Vec::new() };
        let state = State {
            calls: HashMap::new(),
            board,
            heard_us: runtime::clock::monotonic_us(),
            saved: 0,
            death: None,
            buried: false,
        };
        Shared {
            outbox,
            state: Mutex::new(state),
            bell: Condvar::new(),
            child: Mutex::new(child),
            bans: Mutex::default(),
            // 0 is the load.
            next: AtomicU64::new(1),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Adds somebody who waits; the id to ask under.
    pub fn begin(&self, call: Call) -> Result<u64, Error> {
        let id = self.next.fetch_add(1, Relaxed);
        let mut state = self.state();
        if let Some(death) = &state.death {
            return Err(death.clone());
        }
        if state.calls.len() >= CALLS_MAX {
            return Err(Error::QueueFull { queued: state.calls.len(), max: CALLS_MAX });
        }
        state.calls.insert(id, call);
        Ok(id)
    }

    /// Nobody waits under this id any more; false if nobody did.
    pub fn forget(&self, id: u64) -> bool {
        self.state().calls.remove(&id).is_some()
    }

    /// Sends a request, unless too many bytes of others are still to be sent.
    pub fn offer(&self, message: &Down) -> Result<(), Error> {
        if self.outbox.offer(message) {
            return Ok(());
        }
        let state = self.state();
        let full = Error::QueueFull { queued: state.calls.len(), max: CALLS_MAX };
        Err(state.death.clone().unwrap_or(full))
    }

    pub fn death(&self) -> Error {
        let unknown = || Error::Crashed("the engine's process is ending".into());
        self.state().death.clone().unwrap_or_else(unknown)
    }

    /// After the child was told to close: kills it when it does not get on with it.
    pub fn wait_for_the_end(&self) {
        let mut state = self.state();
        while !state.buried {
            let before = state.saved;
            let (now, waited) = self.bell.wait_timeout(state, PATIENCE).unwrap_or_else(|e| e.into_inner());
            state = now;
            if waited.timed_out() && state.saved == before && !state.buried {
                drop(state);
                let _ = self.child.lock().unwrap_or_else(|e| e.into_inner()).kill();
                state = self.state();
            }
        }
    }
}
