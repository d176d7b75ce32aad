//! Policies: which are in force, what they say, and what others would have said.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The policy set that is in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Policies {
    /// SHA-256 of the set, in hexadecimal; in each record that it decided.
    pub hash: String,
    /// Why nothing but administration is allowed, if so.
    pub closed: Option<String>,
    pub policies: Vec<PolicySummary>,
    /// What policies can speak about, in Cedar's notation for schemas.
    pub schema: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicySummary {
    pub id: String,
    pub builtin: bool,
    pub description: String,
}

/// Who asks what, by names.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyQuestion {
    /// An id, or `team/name`.
    pub key: Option<String>,
    /// A team whose key would ask, when no key is named.
    pub team: Option<String>,
    /// `invoke` unless told.
    pub action: Option<String>,
    pub model: Option<String>,
    /// As in the header `bedplate-labels`.
    pub labels: Option<String>,
    /// The user that an agent acts for.
    pub on_behalf_of: Option<String>,
    pub injection_score: Option<u16>,
    #[serde(default)]
    pub pii_types: Vec<String>,
}

/// What the set says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyAnswer {
    pub allowed: bool,
    /// The policies that decided; empty when nothing permitted it.
    pub determining: Vec<String>,
    /// Why not, for a person.
    pub why: Option<String>,
    pub hash: String,
    pub action: String,
    pub team: String,
    pub model: Option<String>,
    pub labels: String,
}

/// One case of a policy, run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyCase {
    pub policy: String,
    pub name: String,
    /// File and line.
    pub at: String,
    pub passed: bool,
    /// `allow` or `deny`.
    pub expected: String,
    pub expected_by: Option<String>,
    pub answer: PolicyAnswer,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyTestReport {
    /// Of the candidate set.
    pub hash: String,
    /// Policies that the request declared.
    pub declared: usize,
    pub cases: Vec<PolicyCase>,
}

/// What a candidate set would have decided about the last requests, beside
/// what the set in force decides about them today. Calls of tools are asked about
/// again as their owners declare them today.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PolicyReplay {
    /// Of the candidate set.
    pub hash: String,
    pub records: usize,
    /// Asked again.
    pub replayed: usize,
    pub newly_denied: usize,
    pub newly_allowed: usize,
    /// Refused before the policies were asked, or older than policies.
    pub not_judged: usize,
    /// Of keys, users, models or tools that no longer exist.
    pub not_known: usize,
    /// The set in force decides otherwise today than was recorded: grants changed since.
    pub drifted: usize,
    /// The first of those that would have changed.
    pub changes: Vec<PolicyChange>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyChange {
    pub request: String,
    pub at: String,
    pub key: String,
    pub model: String,
    pub labels: String,
    pub from: String,
    pub to: String,
    pub determining: Vec<String>,
}
