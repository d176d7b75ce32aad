//! What was read in a session, and what a person endorsed in it.

use std::collections::HashMap;

use toolgate::{Approvals, Decision, Declarations, Endorsement, History, decide};
use units::{KeyId, Micros, Sensitivity};

use super::held::Held;

/// One session of one key.
struct Session {
    history: History,
    /// Bytes of results that it holds.
    bytes: usize,
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
        if session.bytes.saturating_add(text.len()) > BYTES_MAX {
            session.history.close();
            return;
        }
        session.bytes += text.len();
        session.history.result(name, text, declared);
        session.history.turn();
    }

    /// What was endorsed in it.
    pub fn approvals(&mut self, session: &str, now: Micros) -> Approvals {
        self.open(session, now).approvals.clone()
    }

    /// The most sensitive thing that it has read.
    pub fn sensitivity(&self, session: &str) -> Sensitivity {
        self.open.get(session).map(|s| s.history.sensitivity()).unwrap_or_default()
    }

    pub fn endorse(&mut self, held: &Held, granted: bool, until: Micros) {
        // A session that has gone meanwhile is one that has to ask again.
        let Some(session) = self.open.get_mut(&held.session) else { return };
        for (role, value, _) in &held.values {
            session.approvals.insert(role, value, Endorsement { granted, until });
        }
    }
}

/// The name under which a session of a key is kept: nobody enters another's.
pub(super) fn full(key: KeyId, name: &str) -> String {
    format!("{key}/{name}")
}
