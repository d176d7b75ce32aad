//! A provider on a loopback port: OpenAI chat, completions, embeddings and
//! models, Anthropic messages and count_tokens, well-behaved or not.
//!
//! How it behaves is the model's name (`echo`, `drip:1000`, `cut-stream`,
//! ...: [`Behaviour`]) or, for a sequence over attempts, a script:
//! `provider.script("m", [Behaviour::Status(503), Behaviour::Normal])`.

mod anthropic;
mod behaviour;
mod dates;
mod openai;
mod schema;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;

pub use behaviour::Behaviour;

use crate::http::{Listener, Peer, Received};

/// One request that the provider received.
#[derive(Clone, Debug)]
pub struct Seen {
    pub request: Received,
    pub end: End,
}

impl Seen {
    /// The body as JSON; null when it is not.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.request.body).unwrap_or_default()
    }
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.header(name)
    }
}

/// How a request ended, as the provider saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Still being answered.
    Open,
    /// Everything that was to be sent was.
    Answered,
    /// The client closed the connection: in this phase.
    Left(Phase),
}

/// How far the answer had come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    BeforeHead,
    AfterHead,
    MidStream,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    scripts: HashMap<String, VecDeque<Behaviour>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
    fn end(&self, number: usize, end: End) {
        if let Some(seen) = self.state().seen.get_mut(number) {
            seen.end = end;
        }
        self.changed.notify_all();
    }
}

/// A running provider; stops when dropped.
pub struct Provider {
    listener: Listener,
    shared: Arc<Shared>,
}

impl Provider {
    /// Starts on a free port.
    ///
    /// # Panics
    /// If there is no free port: a test cannot go on.
    pub fn start() -> Provider {
        Provider::start_on(0).expect("a free loopback port")
    }
    /// Starts on a chosen port (0: any).
    ///
    /// # Errors
    /// If the port is taken.
    pub fn start_on(port: u16) -> io::Result<Provider> {
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let listener = Listener::start_on(port, move |mut peer| {
            // A connection that breaks is what the tests are about.
            let _ = serve(&serving, &mut peer);
        })?;
        Ok(Provider { listener, shared })
    }
    /// `http://127.0.0.1:PORT`; the APIs are under `/v1`.
    pub fn url(&self) -> String {
        self.listener.url()
    }
    /// How the next requests for a model are answered, in order; after them, by its name.
    pub fn script(&self, model: &str, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.shared.state().scripts.insert(model.to_owned(), behaviours.into_iter().collect());
    }
    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.state().seen.clone()
    }
    /// Waits until the requests so far satisfy a condition, and returns them.
    ///
    /// # Panics
    /// After 20 seconds, with what was seen instead.
    pub fn wait_for(&self, what: &str, condition: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let state = self.shared.state();
        let (state, waited) = self
            .shared
            .changed
            .wait_timeout_while(state, Duration::from_secs(20), |state| !condition(&state.seen))
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        assert!(!waited.timed_out(), "waited in vain for {what}; seen: {:#?}", state.seen);
        state.seen.clone()
    }
    /// Waits until the client has left the `number`th request (from 0) and says in which phase.
    ///
    /// # Panics
    /// As [`Provider::wait_for`].
    pub fn wait_until_left(&self, number: usize) -> Phase {
        let left = |seen: &[Seen]| matches!(seen.get(number), Some(Seen { end: End::Left(_), .. }));
        match self.wait_for("the client to leave", left)[number].end {
            End::Left(phase) => phase,
            other => unreachable!("waited for Left, have {other:?}"),
        }
    }
}

fn serve(shared: &Shared, peer: &mut Peer) -> io::Result<()> {
    while let Some(request) = peer.request()? {
        let json: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let model = json["model"].as_str().unwrap_or_default().to_owned();
        let (number, behaviour) = {
            let mut state = shared.state();
            let scripted = state.scripts.get_mut(&model).and_then(VecDeque::pop_front);
            let earlier = state.seen.iter().filter(|seen| seen.json()["model"] == model.as_str()).count();
            state.seen.push(Seen { request: request.clone(), end: End::Open });
            (state.seen.len() - 1, scripted.unwrap_or_else(|| Behaviour::of_model(&model, earlier)))
        };
        shared.changed.notify_all();
        let end = behaviour::perform(behaviour, peer, &request, &json, number);
        shared.end(number, *end.as_ref().unwrap_or(&End::Left(Phase::MidStream)));
        if end? != End::Answered || behaviour.closes() {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
