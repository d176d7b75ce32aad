//! The data plane: what happens to a request between a client and a model.
//!
//! [`journey`] reads like the list of its ten steps, one file per step. Each
//! step takes the evidence of the one before (`Principal`, `Admitted`,
//! `Screened`, `Prepared`) and no other can make that evidence, so that nothing
//! is dispatched without admission and every admission meets one outcome.
//!
//! State: an immutable [`Snapshot`] swapped on change; the budgets' book and the
//! rate limits, each behind a lock held for a microsecond and never across an
//! `.await`; a breaker per target. Nothing here waits for the database before
//! the end of an answer.

mod account;
mod admit;
mod aside;
mod asking;
mod cache;
mod decode;
mod dispatch;
mod embed;
mod feature;
mod headers;
mod identify;
pub mod issuers;
pub mod journey;
mod judge;
mod label;
mod leaf;
mod lend;
mod list;
mod local;
mod memory;
mod meters;
pub mod models;
mod plan;
mod prepare;
mod reply;
mod rerank;
mod retrieve;
mod rounds;
mod screen;
mod settle;
mod snapshot;
mod stream;
mod surface;
pub mod tools;
mod upstream;

use std::sync::{Arc, Mutex};

use arc_swap::{ArcSwap, ArcSwapOption};
use ledger::Book;
use policy::Limits;
use runtime::Shutdown;
use store::Store;

pub use feature::Feature;
pub use headers::error;
pub use identify::{presented, who};
pub use leaf::crashed as crash_leaf;
pub use lend::Lent;
pub use screen::detector;
pub use snapshot::{Detector, Keeps, Place, Route, Snapshot, Target, Team, Upstream};
pub use surface::{Surface, find};

/// Everything the data plane shares between its workers.
pub struct Gateway {
    pub snapshot: ArcSwap<Snapshot>,
    pub book: Mutex<Book>,
    pub limits: Mutex<Limits>,
    pub store: Arc<dyn Store>,
    /// Where each team's key is, from which the commitments in its leaves are salted.
    pub keys: seal::KeyRing,
    /// The log without which nothing is answered, where that is so (`serve --audit require`).
    pub required_log: Option<Arc<audit::Shared>>,
    /// Documents, for requests that ask about them.
    pub collections: Arc<retrieval::Collections>,
    pub meters: observe::Metrics,
    /// As measured, where this machine counts its energy: what local engines are charged by.
    pub power: sensors::Power,
    pub shutdown: Shutdown,
    /// The identity providers whose tokens are believed.
    pub issuers: ArcSwapOption<issuers::Issuers>,
    /// Sessions, held calls and what upstreams said of their tools.
    pub tools: tools::Tools,
}

/// One worker thread's view: the shared state, and its own upstream connections.
#[derive(Clone)]
pub struct Worker {
    pub gateway: Arc<Gateway>,
    pub client: net::Client,
}

impl Gateway {
    pub(crate) fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().expect("no code panics while it holds the book")
    }
    pub(crate) fn limits(&self) -> std::sync::MutexGuard<'_, Limits> {
        self.limits.lock().expect("no code panics while it holds the limits")
    }
}
