//! What was read in a session, and what a person endorsed in it.

use std::collections::HashMap;

use toolgate::{Approvals, Decision, Declarations, Endorsement, History, decide};
use units::{Integrity, KeyId, Labels, Micros, Sensitivity};

use super::held::Held;

/// One session of one key.
struct Session {
    history: History,
    /// Bytes of results that it holds.
    bytes: usize,
    /// What is known of everything that was read in it.
    labels: Labels,
    approvals: Approvals,
    touched: Micros,
}

#[derive(Default)]
pub(super) struct Sessions {
    open: HashMap<String, Session>,
}

/// Sessions at once; the one that was not used for the longest goes.
const SESSIONS_MAX: usize = 2048;
/// Bytes of results that one remembers, about twice that in memory. What is
/// beyond is not forgotten but closes the session: see [`History::close`].
const BYTES_MAX: usize = 512 << 10;
/// A session that nobody used for this long is over: 12 hours.
const IDLE_US: i64 = 12 * 3_600_000_000;

impl Sessions {
    /// A new session of a key; its name is hard to guess.
    pub fn begin(&mut self, key: KeyId, now: Micros) -> String {
        let random: [u8; 16] = runtime::random::bytes();
        let name: String = random.iter().map(|b| format!("{b:02x}")).collect();
        self.open(&full(key, &name), now);
        name
    }

    /// Whether a key has begun a session of this name.
    pub fn knows(&self, key: KeyId, name: &str) -> bool {
        self.open.contains_key(&full(key, name))
    }

    pub fn end(&mut self, key: KeyId, name: &str) -> bool {
        self.open.remove(&full(key, name)).is_some()
    }

    fn open(&mut self, session: &str, now: Micros) -> &mut Session {
        if !self.open.contains_key(session) {
            self.open.retain(|_, s| now.0.saturating_sub(s.touched.0) < IDLE_US);
            if self.open.len() >= SESSIONS_MAX {
                let oldest = self.open.iter().min_by_key(|(_, s)| s.touched).map(|(name, _)| name.clone());
                oldest.map(|name| self.open.remove(&name));
            }
        }
        let session = self.open.entry(session.to_owned()).or_insert_with(|| Session {
            history: History::of_results(),
            bytes: 0,
            labels: Labels::default(),
            approvals: Approvals::default(),
            touched: now,
        });
        session.touched = now;
        session
    }

    /// Holds a call against what the session has read. `said`: the user's words,
    /// where the client passes them on.
    pub fn decide(
        &mut self,
        session: &str,
        declared: &Declarations,
        name: &str,
        arguments: &str,
        said: &[String],
        now: Micros,
    ) -> Decision {
        let session = self.open(session, now);
        if said.is_empty() {
            return decide(&session.history, declared, name, arguments, &session.approvals, now);
        }
        let mut history = session.history.clone();
        history.close();
        said.iter().for_each(|text| history.user(text));
        decide(&history, declared, name, arguments, &session.approvals, now)
    }

    /// What a tool answered in it.
    pub fn read(&mut self, session: &str, declared: &Declarations, name: &str, text: &str, now: Micros) {
        let session = self.open(session, now);
        let sensitivity = declared.get(name).map(|tool| tool.sensitivity).unwrap_or_default();
        if session.bytes.saturating_add(text.len()) > BYTES_MAX {
            session.history.close();
            session.labels = session.labels.join(&read(sensitivity, false));
            return;
        }
        session.bytes += text.len();
        let vouched = session.history.result(name, text, declared);
        session.history.turn();
        session.labels = session.labels.join(&read(sensitivity, vouched));
    }

    /// What its tools answered so far, for a conversation that goes on after it.
    pub fn history(&mut self, session: &str, now: Micros) -> History {
        let mut history = self.open(session, now).history.clone();
        history.close();
        history
    }

    /// Passages of documents that a model was given in it: anybody's words.
    pub fn retrieved<'t>(&mut self, session: &str, texts: impl Iterator<Item = &'t str>, now: Micros) {
        let session = self.open(session, now);
        for text in texts {
            if session.bytes.saturating_add(text.len()) > BYTES_MAX {
                session.history.close();
                return;
            }
            session.bytes += text.len();
            session.history.retrieved(text);
        }
    }

    /// What was endorsed in it.
    pub fn approvals(&mut self, session: &str, now: Micros) -> Approvals {
        self.open(session, now).approvals.clone()
    }

    /// What is known of everything that it has read.
    pub fn labels(&self, session: &str) -> Labels {
        self.open.get(session).map(|s| s.labels.clone()).unwrap_or_default()
    }

    pub fn endorse(&mut self, held: &Held, granted: bool, until: Micros) {
        // A session that has gone meanwhile is one that has to ask again.
        let Some(session) = self.open.get_mut(&held.session) else { return };
        for (role, value, _) in &held.values {
            session.approvals.insert(role, value, Endorsement { granted, until });
        }
    }
}

/// What a result makes of the data: as sensitive as its owner declares, and
/// untrusted unless the owner vouches for every field of it.
pub(super) fn read(sensitivity: Sensitivity, vouched: bool) -> Labels {
    let integrity = if vouched { Integrity::Trusted } else { Integrity::Untrusted };
    Labels { sensitivity, integrity, ..Labels::default() }
}

/// The name under which a session of a key is kept: nobody enters another's.
pub(super) fn full(key: KeyId, name: &str) -> String {
    format!("{key}/{name}")
}
