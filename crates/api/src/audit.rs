//! The audit log.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Secret;

/// What the log's checkpoints and receipts are verified with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditKey {
    /// The log's name: the first line of its checkpoints.
    pub origin: String,
    /// `name+id+base64`, as in C2SP `signed-note`.
    pub key: String,
}

/// A page of the log, in its order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditLog {
    /// Leaves in all.
    pub size: u64,
    /// Of which the last checkpoint covers this many.
    pub signed: u64,
    pub data: Vec<AuditLeaf>,
}

/// A leaf as it was hashed, in words. What is absent was not known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AuditLeaf {
    pub index: u64,
    /// As the clock said; the order of the log is that of its indices.
    pub time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// `infer`, or the name of an operation of the control API.
    pub action: String,
    pub resource: String,
    pub decision: String,
    /// Base64 of SHA-256, as all hashes here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_set: Option<String>,
    pub policies: Vec<String>,
    pub guards: Vec<AuditVerdict>,
    pub target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_digest: Option<String>,
    pub labels: String,
    pub tokens: BTreeMap<String, u64>,
    pub cost_usd: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_commitment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_commitment: Option<String>,
    /// The version of the team's key that both are salted from; 0: there are none, or they are
    /// of before teams had such keys.
    pub salts: u32,
    pub request_bytes: u64,
    pub request_bytes_scanned: u64,
    pub response_bytes: u64,
    pub response_bytes_scanned: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    pub outcome: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditVerdict {
    pub guard: String,
    pub version: String,
    pub verdict: String,
}

/// A leaf with everything that proves it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditReceipt {
    pub leaf: AuditLeaf,
    /// The text of C2SP `tlog-proof`: verifies offline with the log's public key.
    pub receipt: String,
}

/// The log compared with the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditBooks {
    /// Whether every settled request has its leaf, and both say the same.
    pub agrees: bool,
    /// Requests that were settled.
    pub records: u64,
    /// Those whose leaf says the same.
    pub same: u64,
    /// Settled before there was a log.
    pub older: u64,
    pub without_leaf: u64,
    pub without_record: u64,
    pub different: u64,
    /// The first twenty.
    pub differences: Vec<AuditDifference>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditDifference {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf: Option<u64>,
    /// `cost`, `tokens`, `decision`...; `leaf` or `record` where that is missing.
    pub what: String,
    pub log: String,
    pub books: String,
}

/// What the commitments of one leaf take to be opened. With the receipt it proves to
/// anybody that a body is the one: whoever may ask for it may hand it on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditOpening {
    pub leaf: u64,
    pub request_id: String,
    /// Whose key the salts derive from: `team ID, key VERSION`, `platform`, or `deployment`
    /// for leaves of before teams had keys for them.
    pub salted_by: String,
    pub commitments: Vec<AuditCommitment>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditCommitment {
    /// `request` or `response`: the body as it came, or as it was sent.
    pub part: String,
    /// Of the body.
    pub bytes: u64,
    /// Base64 of SHA-256 over the salt and the body.
    pub commitment: String,
    /// Base64 of 32 bytes. Whoever has it can test guesses at the body.
    pub salt: Secret,
}

/// A witness's word about a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddCosignature {
    /// Of the checkpoint.
    pub size: u64,
    /// The witness's public key, `name+id+base64`.
    pub key: String,
    /// The line of its signature, beginning with an em dash.
    pub signature: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditCheckpoint {
    /// The signed note, with all its cosignatures.
    pub note: String,
}
