//! Which models are in memory: who is loaded, who goes, who waits.
//!
//! A synchronous core: [`Residency::step`] takes what has happened and the time,
//! and returns what is to be done. It loads nothing itself, so the same code is
//! driven by the process (`gateway::Models`) and by seeded simulations.
//!
//! The policy, in the order in which it was chosen:
//!
//! 1. The estimates of everything in memory, of what is being loaded and of what
//!    is not yet freed never exceed the budget. A model that can never fit is
//!    refused at once.
//! 2. Requests of loaded models go on as long as nobody has waited longer than
//!    `wait_max_us`. Serving strictly by arrival lost: two busy models in memory
//!    for one would be swapped at every request.
//! 3. One load serves everybody who waits for that model by then, before anything
//!    else may take its place: a swap never happens for nothing.
//! 4. A model stays at least as long as its load took, so at most half of the time
//!    goes into swapping, whatever the requests are.
//! 5. Whoever has waited longest over the limit goes first: nothing else is loaded,
//!    and the least recently used models take no new requests until there is room.
//!    A request in flight is never cut for it: it keeps its model in memory.
//!
//! Invariants: every waiter ends exactly once, granted or refused; a model is
//! unloaded only when no lease is out; loads never outnumber requests and
//! preloads.

mod residency;

pub use residency::{Action, Event, Limits, Look, ModelId, Phase, Refusal, Residency, Totals, WaiterId};

#[cfg(test)]
mod tests;
