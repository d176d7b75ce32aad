//! What outlives a restart of the gate's knowledge: what sessions have read, what
//! people answered, and which calls wait for one.
//!
//! Parts are sealed under their team's key, so that they go with it, and put
//! into the store's queue before the record of what they belong to: whoever was
//! told that a call was made was told after the next process would know it too.
//!
//! A part says all that it means by itself. One that does not open, or cannot
//! be read, closes the session that it is of: then what it does not know is asked about.

use std::sync::{Arc, mpsc};

use ring::digest;
use seal::{Binding, KeyRing, Purpose};
use serde_json::{Value, json};
use store::{Done, Entry, Error, PARTS_MAX, SessionChange, SessionPart, Store};
use toolgate::{Approvals, Endorsement};
use units::{Micros, Sensitivity, TeamId};

use super::held::{Held, HeldState};
use super::sessions::SessionId;

/// The part that says how a session stands; what it has read begins after it.
pub(super) const STATE: u32 = 0;

/// Writes parts, and reads what an earlier process wrote.
pub(super) struct Journal {
    store: Arc<dyn Store>,
    keys: KeyRing,
}

/// One part, as it is meant.
#[derive(Debug, PartialEq)]
pub(super) enum Part {
    /// How a session stands.
    State(Standing),
    /// What a tool answered in it.
    Result { tool: String, text: String },
    /// Passages of documents that its model was given.
    Retrieved(Vec<String>),
    /// A call that waits for a person, or was answered.
    Held(Held),
}

/// A session but for what it has read.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Standing {
    /// It has read more than is kept; the most sensitive of what is not.
    pub closed: Option<Sensitivity>,
    pub approvals: Approvals,
}

/// What was kept of one session, or of one call.
pub(super) struct Kept {
    pub name: [u8; 32],
    /// Empty when no part of it says.
    pub session: String,
    pub team: TeamId,
    pub parts: Vec<(u32, Part)>,
    /// Something of it did not open or cannot be read.
    pub damaged: bool,
}

/// The name under which a session's or a call's parts are kept.
pub(super) fn name(session: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, session.as_bytes()).as_ref());
    hash
}

fn place(name: &[u8; 32]) -> Binding<'_> {
    Binding { table: "session", row: name, version: 1 }
}

impl Journal {
    pub fn new(store: Arc<dyn Store>, keys: KeyRing) -> Journal {
        Journal { store, keys }
    }

    /// Puts a part into the queue. `session`: also the name of a held call.
    pub fn put(&self, team: TeamId, session: &str, number: u32, part: &Part, done: Done) {
        let name = name(session);
        let bytes = encode(session, number, part).to_string().into_bytes();
        match self.keys.tenant(team).seal(Purpose::Memory, &place(&name), &bytes) {
            Ok(sealed) => {
                let part = SessionPart { team, session: name, number, sealed };
                self.store.append(Entry::Session(SessionChange::Put(part)), done);
            }
            Err(error) => done(Err(Error::Io(error.to_string()))),
        }
    }

    /// Ends what is kept under a name.
    pub fn end(&self, session: &str, done: Done) {
        self.store.append(Entry::Session(SessionChange::End(name(session))), done);
    }

    pub fn erase(&self, team: TeamId) -> Result<(), Error> {
        self.store.erase_sessions(team)
    }

    /// Everything that is kept, a session at a time. What is nobody's any more,
    /// because its team was erased, is left out.
    ///
    /// # Errors
    /// As the store's.
    pub fn read(&self, mut each: impl FnMut(Kept)) -> Result<(), Error> {
        let mut from = ([0; 32], 0);
        let mut gathered: Option<Kept> = None;
        loop {
            let parts = self.store.session_parts(from, PARTS_MAX)?;
            for part in &parts {
                let mut kept = match gathered.take() {
                    Some(kept) if kept.name == part.session => kept,
                    before => {
                        before.into_iter().for_each(&mut each);
                        Kept {
                            name: part.session,
                            session: String::new(),
                            team: part.team,
                            parts: Vec::new(),
                            damaged: false,
                        }
                    }
                };
                self.open(part, &mut kept);
                gathered = Some(kept);
            }
            match parts.last() {
                Some(last) if parts.len() == PARTS_MAX => {
                    from = (last.session, last.number.saturating_add(1));
                }
                _ => break,
            }
        }
        gathered.into_iter().for_each(each);
        Ok(())
    }

    fn open(&self, part: &SessionPart, kept: &mut Kept) {
        let opened = self.keys.tenant(part.team).unseal(Purpose::Memory, &place(&part.session), &part.sealed);
        let read = match opened {
            // Its key is gone for good, and with it what it was about.
            Err(seal::Error::Shredded { .. }) => return,
            Err(_) => None,
            Ok(bytes) => serde_json::from_slice(&bytes).ok().and_then(|value| decode(part.team, &value)),
        };
        match read {
            Some((session, number, read)) if number == part.number && name(&session) == part.session => {
                kept.session = session;
                kept.parts.push((number, read));
            }
            _ => {
                observe::error!("session.damaged", code = "ST0006", team = part.team.to_string().as_str());
                kept.damaged = true;
            }
        }
    }
}

/// For a part that nobody waits for: what comes after it in the queue is waited for.
pub(super) fn unawaited() -> Done {
    Box::new(|written| {
        if let Err(error) = written {
            observe::error!("session.lost", code = "ST0010", why = error.to_string().as_str());
        }
    })
}

/// Writes, and waits until it is durable.
///
/// # Errors
/// As the store's.
pub(super) fn durably(write: impl FnOnce(Done)) -> Result<(), Error> {
    let (sender, receiver) = mpsc::channel();
    write(Box::new(move |written| drop(sender.send(written))));
    receiver.recv().unwrap_or(Err(Error::Closed))
}

fn encode(session: &str, number: u32, part: &Part) -> Value {
    let (kind, what) = match part {
        Part::State(standing) => {
            let answers = standing.approvals.iter();
            let answers: Vec<Value> =
                answers.map(|(role, value, e)| json!([role, value, e.granted, e.until.0])).collect();
            ("state", json!({"closed": standing.closed.map(|s| s.to_string()), "answers": answers}))
        }
        Part::Result { tool, text } => ("result", json!({"tool": tool, "text": text})),
        Part::Retrieved(texts) => ("retrieved", json!(texts)),
        Part::Held(held) => {
            let state = match held.state {
                HeldState::Waiting => Value::Null,
                HeldState::Granted => true.into(),
                HeldState::Denied => false.into(),
            };
            let call = json!({"id": held.id, "at": held.at.0, "until": held.until.0, "team": held.team,
                "key": held.key, "tool": held.tool, "values": held.values, "answer": state, "session": held.session.full});
            ("held", call)
        }
    };
    json!({"session": session, "number": number, kind: what})
}

fn decode(team: TeamId, value: &Value) -> Option<(String, u32, Part)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let session = text(&value["session"])?;
    let number = u32::try_from(value["number"].as_u64()?).ok()?;
    let part = if let Some(state) = value.get("state") {
        let closed = match &state["closed"] {
            Value::Null => None,
            word => Some(word.as_str()?.parse().ok()?),
        };
        let mut approvals = Approvals::default();
        for answer in state["answers"].as_array()? {
            let (role, value) = (answer[0].as_str()?, answer[1].as_str()?);
            let endorsement =
                Endorsement { granted: answer[2].as_bool()?, until: Micros(answer[3].as_i64()?) };
            approvals.insert(role, value, endorsement);
        }
        Part::State(Standing { closed, approvals })
    } else if let Some(result) = value.get("result") {
        Part::Result { tool: text(&result["tool"])?, text: text(&result["text"])? }
    } else if let Some(texts) = value.get("retrieved") {
        Part::Retrieved(texts.as_array()?.iter().map(text).collect::<Option<_>>()?)
    } else {
        let held = value.get("held")?;
        let one = |v: &Value| Some((text(&v[0])?, text(&v[1])?, text(&v[2])?));
        Part::Held(Held {
            id: text(&held["id"])?,
            at: Micros(held["at"].as_i64()?),
            until: Micros(held["until"].as_i64()?),
            team: text(&held["team"])?,
            key: text(&held["key"])?,
            tool: text(&held["tool"])?,
            values: held["values"].as_array()?.iter().map(one).collect::<Option<_>>()?,
            state: match &held["answer"] {
                Value::Null => HeldState::Waiting,
                Value::Bool(true) => HeldState::Granted,
                Value::Bool(false) => HeldState::Denied,
                _ => return None,
            },
            session: SessionId { team, full: text(&held["session"])? },
        })
    };
    Some((session, number, part))
}
