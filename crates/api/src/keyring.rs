//! The keys that data is encrypted under. No key is ever in an answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who has which keys, and who keeps the one above them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KeyRing {
    pub master: MasterKey,
    /// The version of the master key that wraps the root.
    pub root_version: u32,
    /// A tenant was erased, and the master key should have changed with it: it is
    /// tried again at the next start, and by a rotation of the root.
    pub root_owed: bool,
    /// By team, those without keys left out.
    pub tenants: Vec<TenantKeys>,
}

/// The master key, as whoever keeps it describes it now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MasterKey {
    /// As `--master-key` names it; absent when the keeper cannot be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The versions that open what they wrapped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<u32>,
    /// Whether erasing a tenant also kills copies of the key ring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroys: Option<bool>,
    /// Why the keeper says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<String>,
}

/// A tenant's keys. A tenant is a team.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TenantKeys {
    /// The team's name; its id where no team has it any more.
    pub team: String,
    pub id: String,
    /// The version of its key; absent once that is destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// What it has data keys for.
    pub purposes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroyed: Option<String>,
}

/// What is to be given a new key: a team or the root, one of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKeyRing {
    /// A team's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    #[serde(default)]
    pub root: bool,
    /// Leave older versions of the master key: copies of the key ring stay readable.
    #[serde(default)]
    pub keep_old: bool,
}

/// The team's name again, because there is no way back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShredTenant {
    pub confirm: String,
}

/// What became of a tenant whose keys were destroyed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shredded {
    pub team: String,
    pub id: String,
    pub destroyed: String,
    /// API keys that were revoked.
    pub revoked_keys: u32,
    pub copies: Copies,
    /// Why copies are not dead yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// What copies of the key ring are still good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Copies {
    /// Nothing, to anybody.
    Dead,
    /// Whoever has one and the master key reads the tenant's data in it: this
    /// kind of master key cannot be destroyed from here.
    Alive,
    /// As alive, until the master key is changed, which is tried again.
    Owed,
}
