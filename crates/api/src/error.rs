//! The envelope of a refusal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What every status of 400 and above carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorResponse {
    pub error: ErrorBody,
    /// Further errors of the same body (a manifest reports all of its own).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<ErrorBody>,
}

/// One error: what, where, why, what next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// Stable, with a page in `docs/errors/`.
    pub code: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    pub retry: Retry,
}

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    Never,
    Yes,
    /// Not before this many seconds.
    AfterSeconds(u32),
}

impl ErrorResponse {
    pub fn one(error: ErrorBody) -> ErrorResponse {
        ErrorResponse { error, more: Vec::new() }
    }
}
