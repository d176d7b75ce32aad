//! What an operator declares: kinds and their schema, from text to steps.
//!
//! `parse` reads a stream of YAML documents, `check` resolves the names that
//! they mention, `diff` says what applying them would change. Pure: the caller
//! reads the files and performs the steps.
//!
//! Two choices carry the quality of the errors. The tree keeps the position of
//! every key and value (an event parser and our own forty-line tree, instead
//! of deserialising into structs: a derive stops at the first error and knows
//! a key's position only by accident), and every problem of a stream is
//! reported at once. The YAML accepted is the part that cannot surprise: no
//! anchors, aliases, tags or merge keys, so there is no expansion to bound and
//! what is written is what is meant.

mod check;
mod diff;
mod document;
mod kinds;
mod read;
mod yaml;

pub use check::{Known, callable, check};
pub use diff::{Action, FieldChange, Plan, Step, diff};
pub use document::{Document, Kind, Spec, parse};
pub use kinds::budget::{Budget, BudgetKind, Period, Scope};
pub use kinds::collection::{BUILTIN_EMBEDDER, Collection};
pub use kinds::database::Database;
pub use kinds::feature::{AnswerCache, Feature, Retrieve};
pub use kinds::graph::{GraphServer, ToolGraph};
pub use kinds::guard::{
    Guard, GuardAction, GuardDeny, GuardLimits, GuardRelease, Injection, RemoteGuard, Side,
};
pub use kinds::labels::PlaceLabels;
pub use kinds::local::{Adapter, KeepAlive, Local, LocalSource, Machine};
pub use kinds::model::{Model, Place, Price, Target};
pub use kinds::oauth::{CallAs, OAuth};
pub use kinds::policy::{Policy, PolicyEffect, PolicyTest, Question};
pub use kinds::provider::{Dialect, KeyFrom, Provider, Timeouts};
pub use kinds::source::{Bucket, Feed, Pages, Source, SourceKind};
pub use kinds::team::Team;
pub use kinds::tool::{Credential, Tool, ToolUpstream};

/// Text accepted at once: 1 MiB, a few thousand objects. Reading is linear: the
/// worst megabyte found (one map of 120,000 keys) takes 0.25 s of CPU and 36 MB.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// Documents in a stream.
pub const DOCUMENTS_MAX: usize = 1000;

/// Maps and lists inside each other; the deepest kind uses 6.
pub const DEPTH_MAX: usize = 24;

/// Problems reported for one stream; more would bury the first.
pub const PROBLEMS_MAX: usize = 50;

/// Reads any bytes: the entry of the fuzz target. Never panics.
pub fn fuzz(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(documents) = parse(text, "fuzz.yaml")
    {
        let _ = check(&documents, &Known::default());
        let plan = diff(&documents, &documents, true);
        assert!(!plan.changed(), "a stream differs from itself");
    }
}

#[cfg(test)]
mod tests;
