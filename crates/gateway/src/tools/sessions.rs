//! What was read in a session, and what a person endorsed in it.
//!
//! A session outlives the process: a value that a mail chose yesterday is not the
//! client's own after a restart, and nobody is asked about what they have answered.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use policy::Principal;
use store::Done;
use toolgate::{Approvals, Decision, Declarations, Endorsement, History, decide};
use units::{Integrity, Labels, Micros, Sensitivity, TeamId};

use super::held::Held;
use super::journal::{self, Journal, Kept, Part, Standing, unawaited};

/// A session of a key: nobody enters another's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionId {
    /// Whose it is, and under whose key it is kept.
    pub team: TeamId,
    pub full: String,
}

impl SessionId {
    pub fn new(principal: &Principal, name: &str) -> SessionId {
        SessionId { team: principal.team, full: format!("{}/{name}", principal.key) }
    }
}

/// One session of one key.
struct Session {
    team: TeamId,
    history: History,
    /// Bytes of results that it holds.
    bytes: usize,
    /// Parts of it that were kept, beside how it stands.
    parts: u32,
    /// It has read more than is remembered; the most sensitive of what is not.
    closed: Option<Sensitivity>,
    /// What is known of everything that was read in it.
    labels: Labels,
    approvals: Approvals,
    touched: Micros,
}

pub(super) struct Sessions {
    open: HashMap<String, Session>,
    /// Sessions of which nothing but their names could be read.
    damaged: HashSet<[u8; 32]>,
    journal: Arc<Journal>,
}

/// Sessions at once; the one that was not used for the longest goes.
const SESSIONS_MAX: usize = 2048;
/// Bytes of results that one remembers, about twice that in memory. What is
/// beyond is not forgotten but closes the session: see [`History::close`].
const BYTES_MAX: usize = 512 << 10;
/// What a result counts for beside its text: an empty one is remembered too.
const RESULT_BYTES: usize = 64;
/// A session that nobody used for this long is over: 12 hours.
const IDLE_US: i64 = 12 * 3_600_000_000;

impl Session {
    fn new(team: TeamId, now: Micros) -> Session {
        Session {
            team,
            history: History::of_results(),
            bytes: 0,
            parts: 0,
            closed: None,
            labels: Labels::default(),
            approvals: Approvals::default(),
            touched: now,
        }
    }

    /// It has read something of this sensitivity that it cannot remember. `true`: that is news.
    fn close(&mut self, sensitivity: Sensitivity) -> bool {
        let closed = self.closed.max(Some(sensitivity));
        self.history.close();
        self.labels = self.labels.join(&read(sensitivity, false));
        std::mem::replace(&mut self.closed, closed) != closed
    }

    /// Whether so much text more is remembered.
    fn takes(&mut self, bytes: usize) -> bool {
        let bytes = self.bytes.saturating_add(bytes).saturating_add(RESULT_BYTES);
        let fits = bytes <= BYTES_MAX;
        if fits {
            self.bytes = bytes;
        }
        fits
    }

    fn learn(&mut self, name: &str, text: &str, declared: &Declarations) {
        let vouched = self.history.result(name, text, declared);
        self.history.turn();
        self.labels = self.labels.join(&read(sensitivity(declared, name), vouched));
    }

    fn standing(&self) -> Part {
        Part::State(Standing { closed: self.closed, approvals: self.approvals.clone() })
    }
}

impl Sessions {
    pub fn new(journal: Arc<Journal>) -> Sessions {
        Sessions { open: HashMap::new(), damaged: HashSet::new(), journal }
    }

    /// A new session of a key; its name is hard to guess.
    pub fn begin(&mut self, principal: &Principal, now: Micros) -> String {
        let random: [u8; 16] = runtime::random::bytes();
        let name: String = random.iter().map(|b| format!("{b:02x}")).collect();
        let id = SessionId::new(principal, &name);
        self.open(&id, now);
        self.keep_standing(&id, unawaited());
        name
    }

    /// Whether a key has begun a session of this name.
    pub fn knows(&self, id: &SessionId) -> bool {
        self.open.contains_key(&id.full)
    }

    /// `done`: it has ended for good.
    pub fn end(&mut self, id: &SessionId, done: Done) {
        self.open.remove(&id.full);
        self.journal.end(&id.full, done);
    }

    /// Those of a team are over, and what was kept of them is the store's to erase.
    pub fn erase(&mut self, team: TeamId) {
        self.open.retain(|_, session| session.team != team);
    }

    fn open(&mut self, id: &SessionId, now: Micros) -> &mut Session {
        if !self.open.contains_key(&id.full) {
            self.make_room(now);
        }
        let damaged = &self.damaged;
        let session = self.open.entry(id.full.clone()).or_insert_with(|| {
            let mut session = Session::new(id.team, now);
            if !damaged.is_empty() && damaged.contains(&journal::name(&id.full)) {
                session.close(Sensitivity::Restricted);
            }
            session
        });
        session.touched = now;
        session
    }

    fn make_room(&mut self, now: Micros) {
        let idle = |session: &Session| now.0.saturating_sub(session.touched.0) >= IDLE_US;
        let mut over: Vec<String> =
            self.open.iter().filter(|(_, s)| idle(s)).map(|(name, _)| name.clone()).collect();
        if over.is_empty() && self.open.len() >= SESSIONS_MAX {
            over.extend(self.open.iter().min_by_key(|(_, s)| s.touched).map(|(name, _)| name.clone()));
        }
        for name in over {
            self.open.remove(&name);
            self.journal.end(&name, unawaited());
        }
    }

    fn keep_standing(&self, id: &SessionId, done: Done) {
        match self.open.get(&id.full) {
            Some(session) => {
                self.journal.put(session.team, &id.full, journal::STATE, &session.standing(), done);
            }
            None => done(Ok(())),
        }
    }

    /// Holds a call against what the session has read. `said`: the user's words,
    /// where the client passes them on.
    pub fn decide(
        &mut self,
        session: &SessionId,
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
    pub fn read(&mut self, id: &SessionId, declared: &Declarations, name: &str, text: &str, now: Micros) {
        let session = self.open(id, now);
        if !session.takes(text.len()) {
            if session.close(sensitivity(declared, name)) {
                self.keep_standing(id, unawaited());
            }
            return;
        }
        session.learn(name, text, declared);
        session.parts += 1;
        let number = session.parts;
        let part = Part::Result { tool: name.into(), text: text.into() };
        self.journal.put(id.team, &id.full, number, &part, unawaited());
    }

    /// What its tools answered so far, for a conversation that goes on after it.
    pub fn history(&mut self, session: &SessionId, now: Micros) -> History {
        let mut history = self.open(session, now).history.clone();
        history.close();
        history
    }

    /// Passages of documents that a model was given in it: anybody's words.
    pub fn retrieved(&mut self, id: &SessionId, texts: Vec<String>, now: Micros) {
        let session = self.open(id, now);
        if !session.takes(texts.iter().map(String::len).sum()) {
            // What they are labelled has been joined to what they were found for.
            if session.close(Sensitivity::default()) {
                self.keep_standing(id, unawaited());
            }
            return;
        }
        texts.iter().for_each(|text| session.history.retrieved(text));
        session.parts += 1;
        let number = session.parts;
        self.journal.put(id.team, &id.full, number, &Part::Retrieved(texts), unawaited());
    }

    /// What was endorsed in it.
    pub fn approvals(&mut self, session: &SessionId, now: Micros) -> Approvals {
        self.open(session, now).approvals.clone()
    }

    /// What is known of everything that it has read.
    pub fn labels(&self, session: &SessionId) -> Labels {
        self.open.get(&session.full).map(|s| s.labels.clone()).unwrap_or_default()
    }

    /// What a person answered about the values of a call. `done`: it counts after a crash, too.
    pub fn endorse(&mut self, held: &Held, granted: bool, until: Micros, done: Done) {
        // A session that has gone meanwhile is one that has to ask again.
        if let Some(session) = self.open.get_mut(&held.session.full) {
            for (role, value, _) in &held.values {
                session.approvals.insert(role, value, Endorsement { granted, until });
            }
        }
        self.keep_standing(&held.session, done);
    }

    /// What an earlier process kept of a session: read again, by what its tools' owners say now.
    pub fn restore(&mut self, kept: Kept, declared: &Declarations, now: Micros) {
        if kept.session.is_empty() {
            self.damaged.extend(kept.damaged.then_some(kept.name));
            return;
        }
        // Used until a moment ago, for all that is known.
        let mut session = Session::new(kept.team, now);
        for (number, part) in kept.parts {
            session.parts = session.parts.max(number);
            match part {
                Part::State(standing) => {
                    if let Some(sensitivity) = standing.closed {
                        session.close(sensitivity);
                    }
                    session.approvals = standing.approvals;
                }
                Part::Result { tool, text } => {
                    session.takes(text.len());
                    session.learn(&tool, &text, declared);
                }
                Part::Retrieved(texts) => {
                    session.takes(texts.iter().map(String::len).sum());
                    texts.iter().for_each(|text| session.history.retrieved(text));
                }
                Part::Held(_) => {}
            }
        }
        if kept.damaged {
            session.close(Sensitivity::Restricted);
        }
        self.open.insert(kept.session, session);
    }
}

/// What a tool's owner says of its results.
fn sensitivity(declared: &Declarations, name: &str) -> Sensitivity {
    declared.get(name).map(|tool| tool.sensitivity).unwrap_or_default()
}

/// What a result makes of the data: as sensitive as its owner declares, and
/// untrusted unless the owner vouches for every field of it.
pub(super) fn read(sensitivity: Sensitivity, vouched: bool) -> Labels {
    let integrity = if vouched { Integrity::Trusted } else { Integrity::Untrusted };
    Labels { sensitivity, integrity, ..Labels::default() }
}

#[cfg(test)]
mod tests;
