//! The control API as a contract: its types, its routes and its description,
//! without an implementation.
//!
//! `control` serves these types, `cli` and the console speak them, and
//! `/api/openapi.json` is generated from the same table, so the three cannot
//! drift. Everything is a plain value in a named version ([`VERSION`]): money
//! is exact decimal text in USD, time is RFC 3339 text in UTC, an identifier
//! is text. Requests refuse unknown fields, because a misspelt limit that is
//! silently ignored is a limit that is not there; answers tolerate them, so
//! that an older command line works against a newer server.

mod access;
mod audit;
mod collections;
mod error;
mod keyring;
mod manifests;
mod memory;
mod money;
mod openapi;
mod policies;
mod records;
mod routes;
mod secret;
mod sources;
mod status;
mod tools;

pub use access::{
    AskElevation, CreateKey, CreateTeam, CreateUser, CreatedKey, Elevation, Key, KeyVersion, Role, RotateKey,
    SetProviderKey, SetUserRole, Team, User, Whoami,
};
pub use audit::{
    AddCosignature, AuditBooks, AuditCheckpoint, AuditCommitment, AuditDifference, AuditKey, AuditLeaf,
    AuditLog, AuditOpening, AuditReceipt, AuditVerdict,
};
pub use collections::{
    CachedAnswer, Collection, CollectionGate, CollectionGraph, CollectionRanking, CreateCollection, Document,
    DocumentChange, DocumentPreview, Evidence, FitGate, GraphEdge, GraphWalk, JudgedQuestion, NearRecord,
    Passage, ReindexCollection, Reindexed, SearchCollection, SearchExplained, SearchResult, StageCost,
    UsedDocument,
};
pub use error::{ErrorBody, ErrorResponse, Retry};
pub use keyring::{Copies, KeyRing, MasterKey, RotateKeyRing, ShredTenant, Shredded, TenantKeys};
pub use manifests::{FieldChange, Manifest, Plan, PlanAction, PlanStep};
pub use memory::{
    Conversation, ForgetMemory, Forgotten, RememberedFact, RememberedTurn, ReplacedFact, SearchMemory,
    StateFact, StatedFact,
};
pub use money::{
    Budget, BudgetKind, BudgetScope, CostBy, CostReport, CostRow, CreateBudget, LedgerCheck, Period,
};
pub use openapi::openapi;
pub use policies::{
    Policies, PolicyAnswer, PolicyCase, PolicyChange, PolicyQuestion, PolicyReplay, PolicySummary,
    PolicyTestReport,
};
pub use records::{
    Attempt, Line, PolicyDecision, Posting, Record, RecordSummary, Rejected, StageSpent, Step, Tokens,
};
pub use routes::{Action, Body, DATA_PLANE, Match, Method, Miss, Query, ROUTES, Route, find};
pub use secret::Secret;
pub use sources::{CollectionSource, ReleasedSource, SetSourceKey, SyncCollection, SyncCounts, SyncFailure};
pub use status::{
    EngineMemory, EngineStatus, KeySource, Model, ModelMemory, Provider, Status, Target, TargetKind,
    TeamQueue,
};
pub use tools::{
    AnswerApproval, Approval, ApprovalState, ApprovalValue, ApproveTool, GraphRows, QueryGraph, SetToolKey,
    Tool, ToolPin, ToolStanding,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version in every path.
pub const VERSION: &str = "v1";

/// The prefix of every path.
pub const PREFIX: &str = "/api/v1";

/// A list, in an object so that fields can be added beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "{T}List")]
pub struct List<T> {
    pub data: Vec<T>,
}

impl<T> From<Vec<T>> for List<T> {
    fn from(data: Vec<T>) -> List<T> {
        List { data }
    }
}

#[cfg(test)]
mod tests;
