//! Messages.

mod answer;
mod decode;
mod encode;

pub use answer::{decode_response, encode_response};
pub use decode::decode;
pub use encode::encode;

pub(crate) use answer::{finish_from, finish_word};
pub(crate) use decode::decode_with;

/// Marks the seal of a `redacted_thinking` block, whose data stands where other
/// thinking has its signature.
pub(crate) const REDACTED: &str = "redacted_thinking:";
