//! How a model name becomes attempts: pure, seeded, and the very functions that
//! the planner will drive under a virtual clock.
//!
//! [`plan`] looks at a route, what the request needs and what is known of each
//! target's health, and returns the attempts in order with the reason for every
//! target left out. It reads no clock and draws no randomness: `now` and `seed`
//! are arguments, so a recorded request replays to the same plan.

mod backoff;
mod breaker;
mod plan;

pub use backoff::{Backoff, pause_ms};
pub use breaker::{Breaker, Verdict};
pub use plan::{Candidate, Deadlines, Need, Plan, Planned, Reason, Rejection, plan};
