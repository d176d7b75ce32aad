//! Calls that wait for a person.

use std::collections::BTreeMap;
use std::sync::Arc;

use report::Report;
use toolgate::{Decision, Verdict};
use units::{Micros, TeamId};

use super::journal::{self, Journal, Part, unawaited};
use super::sessions::SessionId;

/// One held call, as the person who answers sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    pub id: String,
    pub at: Micros,
    /// Nobody waits for an answer after this.
    pub until: Micros,
    pub team: String,
    pub key: String,
    pub tool: String,
    /// Role, normalised value, and a sentence about it.
    pub values: Vec<(String, String, String)>,
    pub state: HeldState,
    pub(super) session: SessionId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldState {
    Waiting,
    Granted,
    Denied,
}

/// All of them.
pub(super) struct Desk {
    calls: BTreeMap<String, Held>,
    journal: Arc<Journal>,
}

/// Held calls that are kept; the oldest go first.
const CALLS_MAX: usize = 1024;
/// How long a held call can be answered: 1 hour.
const WAIT_US: i64 = 3_600_000_000;

impl Desk {
    pub fn new(journal: Arc<Journal>) -> Desk {
        Desk { calls: BTreeMap::new(), journal }
    }

    /// Puts a call on the desk, or finds the same question that is there already.
    pub fn put(
        &mut self,
        session: &SessionId,
        team: &str,
        key: &str,
        tool: &str,
        decision: &Decision,
        now: Micros,
    ) -> Held {
        let over: Vec<String> =
            self.calls.values().filter(|held| held.until <= now).map(|held| held.id.clone()).collect();
        over.iter().for_each(|id| self.remove(id));
        let asked = decision.findings.iter().filter(|f| f.verdict() == Verdict::Ask);
        let values: Vec<(String, String, String)> =
            asked.map(|f| (f.role.to_string(), f.normal.clone(), f.sentence())).collect();
        let same = |held: &&Held| {
            held.state == HeldState::Waiting
                && held.session == *session
                && held.tool == tool
                && held.values.iter().map(|v| (&v.0, &v.1)).eq(values.iter().map(|v| (&v.0, &v.1)))
        };
        if let Some(held) = self.calls.values().find(same) {
            return held.clone();
        }
        if self.calls.len() >= CALLS_MAX {
            let oldest = self.calls.values().min_by_key(|h| h.at).map(|h| h.id.clone());
            oldest.into_iter().for_each(|id| self.remove(&id));
        }
        let held = Held {
            id: runtime::new_id().to_string(),
            at: now,
            until: Micros(now.0.saturating_add(WAIT_US)),
            team: team.into(),
            key: key.into(),
            tool: tool.into(),
            values,
            state: HeldState::Waiting,
            session: session.clone(),
        };
        self.calls.insert(held.id.clone(), held.clone());
        self.keep(&held);
        held
    }

    pub fn list(&self, now: Micros) -> Vec<Held> {
        let mut calls: Vec<Held> = self.calls.values().filter(|h| now < h.until).cloned().collect();
        calls.sort_by_key(|h| std::cmp::Reverse(h.at));
        calls
    }

    /// The call that an answer is about: one that waits, or whose grant is taken back.
    ///
    /// # Errors
    /// TG0009.
    pub fn asked(&self, id: &str, granted: bool, now: Micros) -> Result<Held, Report> {
        let takes = |held: &&Held| match held.state {
            HeldState::Waiting => true,
            HeldState::Granted => !granted,
            HeldState::Denied => false,
        };
        self.calls.get(id).filter(|h| now < h.until).filter(takes).cloned().ok_or_else(|| {
            Report::new("TG0009", format!("no call \"{id:.60}\" waits for an approval"))
                .because("it was answered, or it is older than an hour")
                .hint("`bedplate approval list` shows what waits")
        })
    }

    /// Notes an answer that counts already.
    pub fn answered(&mut self, held: Held) {
        self.keep(&held);
        self.calls.insert(held.id.clone(), held);
    }

    pub fn erase(&mut self, team: TeamId) {
        self.calls.retain(|_, held| held.session.team != team);
    }

    /// A call that an earlier process kept.
    pub fn restore(&mut self, held: Held, now: Micros) {
        if now < held.until {
            self.calls.insert(held.id.clone(), held);
        } else {
            self.journal.end(&name(&held.id), unawaited());
        }
    }

    fn keep(&self, held: &Held) {
        let part = Part::Held(held.clone());
        self.journal.put(held.session.team, &name(&held.id), journal::STATE, &part, unawaited());
    }

    fn remove(&mut self, id: &str) {
        if self.calls.remove(id).is_some() {
            self.journal.end(&name(id), unawaited());
        }
    }
}

/// What a call is kept under; no session is called so.
fn name(id: &str) -> String {
    format!("held/{id}")
}
