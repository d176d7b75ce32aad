//! The declared state: plan, apply, and what is in force.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One declared object as applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    pub kind: String,
    pub name: String,
    /// The YAML document.
    pub text: String,
    pub applied: String,
}

/// What `plan` would do, or what `apply` did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// The generation it was computed against; for `apply`, the one it made.
    pub generation: u64,
    /// False when every step is `unchanged`.
    pub changed: bool,
    pub applied: bool,
    pub steps: Vec<PlanStep>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlanAction {
    Create,
    Update,
    Delete,
    Unchanged,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanStep {
    pub action: PlanAction,
    pub kind: String,
    pub name: String,
    #[serde(default)]
    pub changes: Vec<FieldChange>,
}

/// One field that differs; `from` is absent when added, `to` when removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FieldChange {
    /// `spec.targets[0].model`.
    pub path: String,
    pub from: Option<String>,
    pub to: Option<String>,
}
