//! `/v1/messages/count_tokens`.
use bytes::Bytes;

use crate::{Decoded, Error};

pub fn decode(body: &Bytes) -> Result<Decoded, Error> {
    super::messages::decode(body)
}
pub fn encode_response(input_tokens: u64) -> Bytes {
    format!("{{\"input_tokens\":{input_tokens}}}").into()
}
