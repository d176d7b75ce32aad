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
    /// Unique in the deployment: letters, digits, `.`, `-` and `_`, at most 64.
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    pub id: String,
    pub name: String,
    pub created: String,
    /// Keys that are neither revoked nor expired.
    pub live_keys: u32,
}

/// What a key may do beside inference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyRole {
    /// Inference with the models granted.
    #[default]
    Inference,
    /// Also reads records, costs and status.
    Viewer,
    /// Everything, keys included.
    Admin,
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
    pub role: KeyRole,
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
    pub role: KeyRole,
    pub models: Option<Vec<String>>,
    pub requests_per_minute: Option<u32>,
    pub tokens_per_minute: Option<u64>,
    /// One, or two while it is being rotated.
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
    pub secret: Secret,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKey {
    /// How long the old version keeps working; absent is 24 hours, 0 ends it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_seconds: Option<u64>,
}

/// A provider's API key, into the encrypted store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetProviderKey {
    pub key: Secret,
}
