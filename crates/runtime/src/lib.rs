//! What every edge and role needs from the machine: time, randomness, tasks
//! that cannot die unnoticed, and an orderly end.
//!
//! This is the one crate where the bans of `clippy.toml` are lifted, each in
//! one place: the clock in [`clock`], randomness in [`random`], task spawning
//! in [`task`]. Cores take `now` and random bytes as arguments instead.

pub mod clock;
pub mod deadline;
pub mod random;
pub mod shutdown;
pub mod task;

pub use deadline::Deadline;
pub use random::new_id;
pub use shutdown::Shutdown;
pub use task::{Task, TaskKind, spawn, spawn_local};

/// What can go wrong here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("install the handler for {signal}")]
    Signal { signal: &'static str, source: std::io::Error },
}
