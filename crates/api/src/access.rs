//! Who may ask: teams, keys, and the keys of providers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Secret;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTeam {
    /// Unique in the deployment: lower-case letters, digits, `-` and `_`, at most 63.
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Team {
    pub id: String,
    pub name: String,
    pub requests_per_minute: Option<u32>,
    pub tokens_per_minute: Option<u64>,
    pub created: String,
    /// Keys that are neither revoked nor expired.
    pub live_keys: u32,
}

/// A person or a service, to whom keys can belong.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUser {
    /// Unique in the deployment: letters, digits, `.`, `-`, `_` and `@`, at most 64. What an
    /// identity provider calls them, if they sign in.
    pub name: String,
    /// What they may do when they sign in; absent: what their groups say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
}

/// What a user may do when they sign in from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetUserRole {
    pub role: Role,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub role: Option<Role>,
    /// Who an identity provider says they are: `issuer#subject`.
    #[serde(default)]
    pub subject: Option<String>,
    pub created: String,
    /// Keys that are neither revoked nor expired.
    pub live_keys: u32,
}

/// What somebody is here to do; each is a set of actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Inference with the models granted.
    #[default]
    Inference,
    /// Also reads its team's records and costs, and the status.
    Viewer,
    /// Everything in its org.
    Admin,
    /// Policy, guards, who has access; reads nobody's records.
    SecurityOfficer,
    /// The audit log and its proofs, costs, what is declared; no records.
    Auditor,
    /// Models, providers, what is declared; no keys, no records.
    Operator,
    /// Inference, and its own records.
    Developer,
    /// Software that acts for a user: inference, by the rights of both.
    Agent,
}

/// The rights asked for may not exceed those of the asking key (TRAPS X3).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// The team's name.
    pub team: String,
    /// Unique in its team.
    pub name: String,
    /// The name of the user it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default)]
    pub role: Role,
    /// Who may use it without a secret: a client certificate's SPIFFE id
    /// (`spiffe://domain/path`) or a token's subject (`https://issuer#subject`).
    /// A key with a subject has no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The models it may use; absent is every model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Seconds from now; absent never expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Key {
    pub id: String,
    /// The team's name.
    pub team: String,
    /// The name of the user it belongs to.
    #[serde(default)]
    pub user: Option<String>,
    pub name: String,
    pub role: Role,
    #[serde(default)]
    pub subject: Option<String>,
    pub models: Option<Vec<String>>,
    pub requests_per_minute: Option<u32>,
    pub tokens_per_minute: Option<u64>,
    /// One, or two while it is being rotated; none of a key that a subject stands for.
    pub versions: Vec<KeyVersion>,
    pub created: String,
    pub expires: Option<String>,
    pub revoked: Option<String>,
    /// The id of the key that made it.
    pub created_by: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KeyVersion {
    /// The first characters, to recognise it by.
    pub hint: String,
    pub created: String,
    pub expires: Option<String>,
}

/// The only answer that carries a key's secret; it cannot be read again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CreatedKey {
    pub key: Key,
    /// Absent for a key that a subject stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKey {
    /// How long the old version keeps working; absent is 24 hours, 0 ends it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_seconds: Option<u64>,
}

/// Who asks, and what they may do now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Whoami {
    /// `team/name` of the key.
    pub key: String,
    pub key_id: String,
    pub user: Option<String>,
    /// The user that an agent acts for.
    pub acting_for: Option<String>,
    pub role: Role,
    /// In words: "run models".
    pub may: Vec<String>,
    /// The elevation that adds to the role.
    pub elevation: Option<String>,
    pub expires: Option<String>,
}

/// Rights for a while, beyond those of a role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Elevation {
    pub id: String,
    /// `team/name` of the key that asked, and alone is elevated.
    pub key: String,
    pub user: Option<String>,
    /// Whose rights it gets beside its own.
    pub role: Role,
    pub reason: String,
    pub minutes: u32,
    pub requested: String,
    /// The users who said yes.
    pub approvals: Vec<String>,
    /// `requested`, `active`, `over` or `ended`.
    pub state: String,
    pub ends: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskElevation {
    pub role: Role,
    pub reason: String,
    /// From the second approval on; 480 at most.
    pub minutes: u32,
}

/// A provider's API key, into the encrypted store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetProviderKey {
    pub key: Secret,
}
