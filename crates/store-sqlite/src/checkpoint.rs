//! Moving pages from the WAL back into the database, on a thread of its own.
//!
//! SQLite's automatic checkpoint runs inside a commit, and a response would
//! wait for it (1,000 pages and two syncs: 5-10 ms here). A passive checkpoint
//! on another connection holds up nobody. Under a load without a gap it never
//! catches the last frames, so that the WAL is never begun anew; past
//! [`RESTART_FRAMES`] the writer does the rest itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use rusqlite::Connection;

/// Bytes of rows after which a checkpoint is worth its syncs.
const EVERY_BYTES: usize = 1 << 20;
/// 64 MiB of WAL.
const RESTART_FRAMES: i64 = 16_384;

#[derive(Default)]
pub(crate) struct Checkpointer {
    state: Mutex<State>,
    wake: Condvar,
    restart: AtomicBool,
}

#[derive(Default)]
struct State {
    bytes: usize,
    closed: bool,
}

impl Checkpointer {
    /// Until closed.
    pub fn run(&self, connection: &Connection) {
        loop {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            while state.bytes < EVERY_BYTES && !state.closed {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.closed {
                return;
            }
            state.bytes = 0;
            drop(state);
            // A failure (a full disk) is met again next time; the WAL holds everything.
            let frames =
                connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(1));
            if frames.is_ok_and(|frames| frames > RESTART_FRAMES) {
                self.restart.store(true, Ordering::Release);
            }
        }
    }
    /// The writer has added so many bytes of rows.
    pub fn wrote(&self, bytes: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.bytes += bytes;
        if state.bytes >= EVERY_BYTES {
            self.wake.notify_one();
        }
    }
    pub fn must_restart(&self) -> bool {
        self.restart.load(Ordering::Acquire)
    }
    /// Once in 64 MiB, or again at the next passive checkpoint.
    pub fn restarted(&self) {
        self.restart.store(false, Ordering::Release);
    }
    pub fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.wake.notify_one();
    }
}
