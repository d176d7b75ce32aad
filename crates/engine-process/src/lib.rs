//! An engine in this process or in one of its own, behind the same calls.
//!
//! llama.cpp is C++ that reads files from strangers: what ends it (an
//! assertion, a fault, the out-of-memory killer) ends its process. In a process
//! of its own that costs the requests in flight of one model, which get a
//! retriable error (EN0012), and the next request starts it again. The child is
//! this very binary; the two speak frames of [`wire`] over a socket pair that
//! is the child's standard input, so there is no path, no port and nothing on
//! the command line. The child gets a cleaned environment and no key: it asks
//! the server for its encrypted blocks of keys and values, and the server reads
//! and writes the files.
//!
//! Invariants: dropping a [`Generation`] reaches the child within a step; a
//! slow reader holds up nobody else (events flow by credit); every answer ends
//! with its usage or with a failure, however its engine ends; the child does
//! not outlive its server, since it ends itself when the socket closes.

mod child;
mod engine;
mod frame;
mod launch;
mod outbox;
mod remote;
mod wire;

/// Events that a child may send ahead of their reader: as far as inside one process.
const WINDOW: usize = 64;

pub use child::run;
pub use engine::{Engine, Generation};
pub use launch::{Launch, Place};

#[cfg(test)]
mod tests;
