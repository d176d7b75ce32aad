//! Sources that a collection reads by itself: how they are declared, how they were last
//! read, and what waits for somebody to release it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A source of a collection. Items that failed are named to whoever may read what it brings in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CollectionSource {
    pub name: String,
    /// `feed`, `pages` or `bucket`.
    pub kind: String,
    /// Where it reads.
    pub address: String,
    /// Seconds between two readings; none: it is read when somebody asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_seconds: Option<u64>,
    /// `trusted`, `waiting` (nothing of it is found until it is released) or `released`.
    pub standing: String,
    /// Who released it, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<String>,
    /// `never`, `running`, `complete`, `stopped`, `failed` or `interrupted` (the server ended before it did).
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    pub counts: SyncCounts,
    /// Of the items that failed, at most 100.
    #[serde(default)]
    pub failures: Vec<SyncFailure>,
}

/// What the last reading did, or what the one that runs has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SyncCounts {
    /// Items that the source named.
    pub seen: u64,
    pub added: u64,
    pub changed: u64,
    pub removed: u64,
    pub unchanged: u64,
    pub failed: u64,
    /// Of contents that were read.
    pub bytes: u64,
}

/// An item that was not brought in; what it brought in before stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SyncFailure {
    pub address: String,
    pub because: String,
}

/// How sources are to be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyncCollection {
    /// One of them; all unless told.
    #[serde(default)]
    pub source: Option<String>,
    /// Read what says that it has not changed, too.
    #[serde(default)]
    pub full: bool,
    /// Remove everything when a source has nothing any more. Unless told, that is taken for a mistake.
    #[serde(default)]
    pub empty: bool,
}

/// A source's release, and how many documents are found from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReleasedSource {
    pub collection: String,
    pub source: String,
    /// `released`, `waiting` or `trusted`.
    pub standing: String,
    pub documents: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSourceKey {
    /// A bearer token; of a bucket `ACCESS_KEY_ID:SECRET_ACCESS_KEY`.
    pub key: crate::Secret,
}
