//! Quantities and identifiers, with checked arithmetic.
//!
//! Everything here is a plain value: no clock, no randomness, no I/O. What
//! leaves the process is formatted with `Display` and read with `FromStr`.

mod id;
mod label;
mod money;
mod time;

pub use id::{
    AnswerId, AttemptId, BudgetId, CollectionId, DocumentId, ElevationId, FactId, IdError, KeyId, OrgId,
    RequestId, TeamId, TurnId, UserId, Uuid7,
};
pub use label::{Integrity, LabelError, Labels, Residency, Sensitivity, Zone};
pub use money::{MoneyError, PicoRate, Usd};
pub use time::{Day, Micros, TimeError};
