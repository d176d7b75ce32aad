//! Money: what an attempt costs, what may still be spent, and the books.
//!
//! Four rules, each a trap that others fell into (TRAPS M1-M10):
//! a price is dated and found by (sku, tier, band, axis), and a combination that
//! is missing goes to suspense, never to a guessed rate; money is reserved
//! before an attempt and settled after it; the postings of an attempt sum to
//! zero; a counter is settled plus open holds, and can be rebuilt from the ledger.
//!
//! No clock, no I/O: `now` is an argument, and the mutable truth ([`Book`]) is a
//! plain value that its owner guards. Only this crate knows a price.

mod book;
mod catalog;
mod machine;
mod postings;
mod prices;
mod refusal;
pub mod report_by;

pub use book::{Ask, Book, BudgetStatus, Hold, Settled};
pub use catalog::{Facts, Problem, facts, skus};
pub use machine::Machine;
pub use postings::{crash_postings, postings};
pub use prices::{Priced, Prices};
pub use refusal::Refusal;
