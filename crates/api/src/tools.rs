//! Tools and the calls that wait for a person.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Secret;

/// A tool of a declared server, as the server describes it now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    pub server: String,
    /// The server's own name for it; clients see `server__tool`. Empty for a server that cannot be asked.
    pub tool: String,
    pub description: String,
    /// `sha256:...` over name, description, schema and whatever else a model is shown.
    pub digest: String,
    pub standing: ToolStanding,
    /// `none`, `state` or `egress`.
    pub effect: String,
    /// Why the server could not be asked.
    #[serde(default)]
    pub problem: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolStanding {
    /// It is what was approved, and may be called.
    Approved,
    /// Nobody has looked at it.
    New,
    /// It is no longer what was approved.
    Changed,
    /// Taken out of service.
    Quarantined,
    /// Its server could not be asked.
    Unknown,
}

/// Approves one definition: the one whose digest the approver has seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveTool {
    pub digest: String,
}

/// A tool server's credential, into the encrypted store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetToolKey {
    pub key: Secret,
}

/// A pin as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolPin {
    pub server: String,
    pub tool: String,
    /// The approved digest; absent: out of service.
    pub digest: Option<String>,
}

/// A call that waits, or waited, for a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Approval {
    pub id: String,
    pub at: String,
    /// Nobody waits for an answer after this.
    pub until: String,
    pub team: String,
    pub key: String,
    pub tool: String,
    pub values: Vec<ApprovalValue>,
    pub state: ApprovalState,
}

/// What is to be endorsed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalValue {
    pub role: String,
    pub value: String,
    pub why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    Waiting,
    Granted,
    Denied,
}

/// For how long an endorsement counts in its session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerApproval {
    /// 3,600 unless told, 86,400 at most.
    #[serde(default)]
    pub seconds: Option<u32>,
}

/// Values for a declared query of a knowledge graph, by the names of its parameters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryGraph {
    #[serde(default)]
    pub parameters: serde_json::Map<String, serde_json::Value>,
}

/// What a knowledge graph answered: an untrusted party's words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GraphRows {
    pub columns: Vec<String>,
    /// As many values as columns each; what is not bound is null.
    pub rows: Vec<Vec<serde_json::Value>>,
    /// Rows that came beyond the declared number.
    pub left_out: u64,
}
