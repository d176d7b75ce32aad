//! Who asks, what they may do, and how fast.
//!
//! Pure: identification is a lookup in an immutable [`Directory`], so that
//! losing the database never becomes an authorization error (TRAPS R3); rights
//! are decided on the action that a route carries, never on its URL (X1); rate
//! limits reserve before the work and never admit more than the limit in any
//! 60 seconds (M6). Secrets have no `Debug` and are never kept (X4).

mod actions;
mod admissible;
mod denied;
mod directory;
mod elevation;
mod key;
mod limits;
mod reader;
mod rights;
mod set;

pub use actions::{Action, Actions};
pub use admissible::{Clearance, Errand, Inadmissible, Place, PlaceKind, Purpose, admissible, raised};
pub use denied::Denied;
pub use directory::{Directory, Principal, Rates};
pub use elevation::{ELEVATION_MINUTES_MAX, Stage, approve, ask, end, sees_elevation, stage};
pub use key::{HINT_CHARS, KEY_CHARS, Pepper, mint, shape};
pub use limits::{Limits, Ticket};
pub use rights::{NewKey, allows, can_appoint, can_create, may_see, may_see_costs, may_use};
pub use set::{
    Act, Decision, Declared, Effect, Facts, ModelFacts, Object, POLICIES_MAX, PolicySet, Problem,
    SCHEMA_TEXT, Subject, TEXT_MAX as POLICY_TEXT_MAX, TeamFacts, World, fuzz,
};
