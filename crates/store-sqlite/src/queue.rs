//! The bounded queue in front of the writer.
//!
//! A lock and two conditions rather than a channel: the writer takes everything
//! at once, the bound counts bytes too, and a caller wakes the writer only when
//! it sleeps.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use store::{Change, CheckpointRow, Done, Error, HoldRow, Record, SessionChange, TileRow};
use units::TeamId;

/// Something to do for a writer.
pub(crate) trait Queued {
    /// What it holds in memory, about.
    fn bytes(&self) -> usize;
    /// Tells the caller that it will not happen.
    fn fail(self, error: Error);
}

/// What the platform's writer is asked for. Replies of waiting callers go by channel.
pub(crate) enum Job {
    Hold(HoldRow, Done),
    Append(Append, Done),
    Change(Vec<Change>, mpsc::Sender<Result<u64, Error>>),
    /// Full tiles and a checkpoint of the audit log.
    Publish(Vec<TileRow>, CheckpointRow, mpsc::Sender<Result<(), Error>>),
    PutSecret(String, Vec<u8>, mpsc::Sender<Result<(), Error>>),
    RemoveSecret(String, mpsc::Sender<Result<bool, Error>>),
    EraseSessions(TeamId, mpsc::Sender<Result<(), Error>>),
    /// Write pending holds and derive everything.
    Flush(mpsc::Sender<Result<(), Error>>),
}

/// What a group commit is made of: a settled request, a leaf of the audit log,
/// or (as a rule) both; or a part of a session.
#[derive(Default)]
pub(crate) struct Append {
    pub settled: Option<Settled>,
    pub leaf: Option<Vec<u8>>,
    pub session: Option<SessionChange>,
}

/// A settle, encoded by its caller's thread.
pub(crate) struct Settled {
    pub record: Arc<Record>,
    pub record_bytes: Vec<u8>,
    pub posting_bytes: Vec<u8>,
}

impl Append {
    pub fn bytes(&self) -> usize {
        let settled = self.settled.as_ref().map_or(0, |s| s.record_bytes.len() + s.posting_bytes.len());
        let session = match &self.session {
            Some(SessionChange::Put(part)) => 100 + part.sealed.len(),
            Some(SessionChange::End(_)) => 100,
            None => 0,
        };
        settled + session + self.leaf.as_ref().map_or(0, Vec::len)
    }
}

impl Queued for Job {
    fn bytes(&self) -> usize {
        match self {
            Job::Append(append, _) => append.bytes(),
            Job::Publish(tiles, ..) => 200 + tiles.iter().map(|t| t.hashes.len()).sum::<usize>(),
            _ => 200,
        }
    }
    fn fail(self, error: Error) {
        // A caller that no longer waits for a reply needs none.
        match self {
            Job::Hold(_, done) | Job::Append(_, done) => call(done, Err(error)),
            Job::Change(_, reply) => drop(reply.send(Err(error))),
            Job::Publish(_, _, reply) => drop(reply.send(Err(error))),
            Job::PutSecret(_, _, reply) => drop(reply.send(Err(error))),
            Job::RemoveSecret(_, reply) => drop(reply.send(Err(error))),
            Job::EraseSessions(_, reply) => drop(reply.send(Err(error))),
            Job::Flush(reply) => drop(reply.send(Err(error))),
        }
    }
}

/// Calls back; a callback that panics does not take the writer with it.
pub(crate) fn call(done: Done, result: Result<(), Error>) {
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || done(result)));
}

pub(crate) struct Queue<J = Job> {
    state: Mutex<State<J>>,
    work: Condvar,
    room: Condvar,
    entries_max: usize,
    bytes_max: usize,
}

struct State<J> {
    jobs: VecDeque<J>,
    bytes: usize,
    closed: bool,
    writer_sleeps: bool,
    callers_wait: usize,
}

impl<J: Queued> Queue<J> {
    pub fn new(entries_max: usize, bytes_max: usize) -> Queue<J> {
        let state =
            State { jobs: VecDeque::new(), bytes: 0, closed: false, writer_sleeps: false, callers_wait: 0 };
        Queue { state: Mutex::new(state), work: Condvar::new(), room: Condvar::new(), entries_max, bytes_max }
    }
    fn state(&self) -> MutexGuard<'_, State<J>> {
        // Nothing here panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Waits for room, then queues; or fails the job when the queue is closed.
    pub fn push(&self, job: J) {
        let mut state = self.state();
        let bytes = job.bytes();
        while !state.closed
            && !state.jobs.is_empty()
            && (state.jobs.len() >= self.entries_max || state.bytes + bytes > self.bytes_max)
        {
            state.callers_wait += 1;
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.callers_wait -= 1;
        }
        if state.closed {
            drop(state);
            return job.fail(Error::Closed);
        }
        state.bytes += bytes;
        state.jobs.push_back(job);
        if state.writer_sleeps {
            state.writer_sleeps = false;
            drop(state);
            self.work.notify_one();
        }
    }
    /// Everything queued, waiting up to `patience` for the first; `None` when
    /// the queue is closed and empty.
    pub fn take(&self, patience: Option<Duration>, into: &mut Vec<J>) -> Option<()> {
        let mut state = self.state();
        if state.jobs.is_empty() && !state.closed {
            state.writer_sleeps = true;
            state = match patience {
                None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    self.work.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.writer_sleeps = false;
        }
        if state.jobs.is_empty() && state.closed {
            return None;
        }
        self.drain(&mut state, into);
        Some(())
    }
    /// What has been queued since, without waiting.
    pub fn more(&self, into: &mut Vec<J>) {
        self.drain(&mut self.state(), into);
    }
    fn drain(&self, state: &mut State<J>, into: &mut Vec<J>) {
        into.extend(state.jobs.drain(..));
        state.bytes = 0;
        if state.callers_wait > 0 {
            self.room.notify_all();
        }
    }
    pub fn is_empty(&self) -> bool {
        self.state().jobs.is_empty()
    }
    /// No more jobs; those queued are still done.
    pub fn close(&self) {
        self.state().closed = true;
        self.work.notify_all();
        self.room.notify_all();
    }
    /// Closes, and fails what is queued: the writer is gone.
    pub fn abandon(&self) {
        self.close();
        let jobs = std::mem::take(&mut self.state().jobs);
        for job in jobs {
            job.fail(Error::Closed);
        }
    }
}
