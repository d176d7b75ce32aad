//! The leaves of people who come and go: sign-ins, those that failed, and ends.
//!
//! A session begins after its leaf is durable. When it ends by itself stands in
//! that leaf, so an end is written only when somebody ends it before. Nothing
//! says where somebody came from: an address is a person's, and a log forgets
//! nothing.

use ::audit::Leaf;
use policy::Principal;
use report::Report;
use store::Entry;
use units::Micros;

use crate::{Plane, audit};

/// The door that somebody came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The page at `/`, with a key or with the company's account.
    Console,
    /// `bedplate login`.
    Terminal,
}

impl Door {
    pub const fn name(self) -> &'static str {
        match self {
            Door::Console => "console",
            Door::Terminal => "terminal",
        }
    }
}

impl Plane {
    /// Writes down that somebody signs in until a time, and waits until that is
    /// durable. For a blocking thread.
    ///
    /// # Errors
    /// When it could not be written: then nobody is signed in.
    pub fn signed_in(&self, who: &Principal, door: Door, until: Micros, now: Micros) -> Result<(), Report> {
        audit::note(self, leaf(Some(who), "login", door, format!("allow: until {until}"), now))
    }

    /// Writes down that somebody ends a session. Nobody waits for it: it is over
    /// whatever the disk says.
    pub fn signed_out(&self, who: &Principal, door: Door, now: Micros) {
        self.store.append(
            Entry::Leaf(leaf(Some(who), "logout", door, "allow".into(), now).encode()),
            Box::new(|_| {}),
        );
    }

    /// Writes down that the operator of the host has put a text in force, such as the
    /// file of identity providers, and waits until that is durable. For a blocking thread.
    ///
    /// # Errors
    /// When it could not be written.
    pub fn host_changed(&self, action: &str, from: &str, text: &str, now: Micros) -> Result<(), Report> {
        audit::configured(self, action, from, text, None, now)
    }

    /// Writes down that a sign-in was refused; `more` is how many others were since
    /// the last that was written. Nobody waits for it.
    pub fn sign_in_refused(&self, door: Door, why: &Report, more: u64, now: Micros) {
        let code = why.code.0;
        let others = if more == 0 { String::new() } else { format!("; {more} more since the last one here") };
        let leaf = Leaf {
            outcome: format!("refused {code}"),
            ..leaf(None, "login", door, format!("deny: {code}{others}"), now)
        };
        self.store.append(Entry::Leaf(leaf.encode()), Box::new(|_| {}));
    }
}

fn leaf(who: Option<&Principal>, action: &str, door: Door, decision: String, now: Micros) -> Leaf {
    Leaf {
        time: now,
        org: who.map(|who| who.org),
        team: who.map(|who| who.team),
        key: who.map(|who| who.key),
        user: who.and_then(|who| who.user),
        action: action.into(),
        resource: door.name().into(),
        decision,
        ..Leaf::default()
    }
}
