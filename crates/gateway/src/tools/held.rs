//! Calls that wait for a person.

use std::collections::BTreeMap;

use report::Report;
use toolgate::{Decision, Verdict};
use units::Micros;

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
    pub(super) session: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldState {
    Waiting,
    Granted,
    Denied,
}

/// All of them.
#[derive(Default)]
pub(super) struct Desk {
    calls: BTreeMap<String, Held>,
}

/// Held calls that are kept; the oldest go first.
const CALLS_MAX: usize = 1024;
/// How long a held call can be answered: 1 hour.
const WAIT_US: i64 = 3_600_000_000;

impl Desk {
    /// Puts a call on the desk, or finds the same question that is there already.
    pub fn put(
        &mut self,
        session: &str,
        team: &str,
        key: &str,
        tool: &str,
        decision: &Decision,
        now: Micros,
    ) -> Held {
        self.calls.retain(|_, held| now < held.until);
        let asked = decision.findings.iter().filter(|f| f.verdict() == Verdict::Ask);
        let values: Vec<(String, String, String)> =
            asked.map(|f| (f.role.to_string(), f.normal.clone(), f.sentence())).collect();
        let same = |held: &&Held| {
            held.state == HeldState::Waiting
                && held.session == session
                && held.tool == tool
                && held.values.iter().map(|v| (&v.0, &v.1)).eq(values.iter().map(|v| (&v.0, &v.1)))
        };
        if let Some(held) = self.calls.values().find(same) {
            return held.clone();
        }
        if self.calls.len() >= CALLS_MAX {
            let oldest = self.calls.values().min_by_key(|h| h.at).map(|h| h.id.clone());
            oldest.map(|id| self.calls.remove(&id));
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
            session: session.into(),
        };
        self.calls.insert(held.id.clone(), held.clone());
        held
    }

    pub fn list(&self, now: Micros) -> Vec<Held> {
        let mut calls: Vec<Held> = self.calls.values().filter(|h| now < h.until).cloned().collect();
        calls.sort_by_key(|h| std::cmp::Reverse(h.at));
        calls
    }

    pub fn answer(&mut self, id: &str, granted: bool, now: Micros) -> Result<Held, Report> {
        let waiting = self.calls.get_mut(id).filter(|h| now < h.until && h.state == HeldState::Waiting);
        let Some(held) = waiting else {
            return Err(Report::new("TG0009", format!("no call \"{id:.60}\" waits for an approval"))
                .because("it was answered, it is older than an hour, or the server was restarted")
                .hint("`bedplate approval list` shows what waits"));
        };
        held.state = if granted { HeldState::Granted } else { HeldState::Denied };
        Ok(held.clone())
    }
}
