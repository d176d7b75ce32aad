//! What a person has allowed or refused in a session: values, not calls.

use std::collections::BTreeMap;

use units::Micros;

/// One answer of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endorsement {
    pub granted: bool,
    /// Not after this.
    pub until: Micros,
}

/// The answers of one session, by role and normalised value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approvals {
    values: BTreeMap<(Box<str>, Box<str>), Endorsement>,
}

/// Values that one session may have answers for; the oldest to end go first.
const VALUES_MAX: usize = 1024;

impl Approvals {
    pub fn insert(&mut self, role: &str, value: &str, endorsement: Endorsement) {
        if self.values.len() >= VALUES_MAX
            && let Some(first) = self.values.iter().min_by_key(|(_, e)| e.until).map(|(k, _)| k.clone())
        {
            self.values.remove(&first);
        }
        self.values.insert((role.into(), value.into()), endorsement);
    }

    /// What was answered, if it still counts.
    pub fn get(&self, role: &str, value: &str, now: Micros) -> Option<bool> {
        let found = self.values.get(&(Box::from(role), Box::from(value)))?;
        (now < found.until).then_some(found.granted)
    }

    /// Role, normalised value, answer.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, Endorsement)> {
        self.values.iter().map(|((role, value), endorsement)| (&**role, &**value, *endorsement))
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}
