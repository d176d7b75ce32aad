//! What is kept of agents' sessions: parts that their writer has sealed, under names that
//! are hashes. A store knows whose they are, so that it can erase a team's, and no more.

use units::TeamId;

use crate::Error;

/// Parts that [`Sessions::session_parts`] returns at most.
pub const PARTS_MAX: usize = 256;
/// The largest part: a result of a tool is at most half a megabyte before it is escaped and sealed.
pub const PART_BYTES_MAX: usize = 16 << 20;

/// One part of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPart {
    pub team: TeamId,
    /// The session's name, hashed.
    pub session: [u8; 32],
    pub number: u32,
    pub sealed: Vec<u8>,
}

/// What happens to what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionChange {
    /// Inserts, or replaces the part of the same session and number.
    Put(SessionPart),
    /// The session is over: all of its parts go.
    End([u8; 32]),
}

/// Sessions of agents. They are written by [`crate::Entry::Session`], in its turn: what was
/// appended before a record is durable no later than it.
pub trait Sessions: Send + Sync {
    /// In the order of sessions and numbers, from this one on, at most `limit`
    /// (capped at [`PARTS_MAX`]): everything acknowledged before the call.
    fn session_parts(&self, from: ([u8; 32], u32), limit: usize) -> Result<Vec<SessionPart>, Error>;
    /// Ends every session of a team, durably.
    fn erase_sessions(&self, team: TeamId) -> Result<(), Error>;
}

/// Refuses a part that no back-end stores.
pub fn check_session(change: &SessionChange) -> Result<(), Error> {
    match change {
        SessionChange::Put(part) if !(1..=PART_BYTES_MAX).contains(&part.sealed.len()) => {
            let bytes = part.sealed.len();
            Err(Error::Damaged(format!("a session's part of {bytes} bytes; 1 to {PART_BYTES_MAX} fit")))
        }
        _ => Ok(()),
    }
}
