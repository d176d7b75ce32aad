//! A secret in transit: serialised, never shown (TRAPS X4).

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A secret that crosses the API once, in the body. `Debug` hides it, there is
/// no `Display`, and its memory is not erased: it came from and goes to a
/// buffer that this crate does not own.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }
    /// The secret itself; the name makes each use easy to find.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
