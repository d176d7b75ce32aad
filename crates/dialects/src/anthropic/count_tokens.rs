//! `/v1/messages/count_tokens`: a messages request that only asks its own length.

use bytes::Bytes;

use crate::fields::Lenient;
use crate::{Decoded, Error, json};

/// What follows a provider's base URL.
pub const PATH: &str = "/messages/count_tokens";

/// Reads the request; unlike for messages, `max_tokens` is not required.
///
/// # Errors
/// As [`super::messages::decode`].
pub fn decode(body: &Bytes) -> Result<Decoded, Error> {
    super::messages::decode_with(body, false)
}

pub fn encode_response(input_tokens: u64) -> Bytes {
    json::text(|w| w.object(|w| w.field_num("input_tokens", input_tokens)))
}

/// A target's answer; `None` when it is not one.
pub fn decode_response(body: &[u8]) -> Option<u64> {
    Lenient::body(body)?.u64("input_tokens")
}
