//! `/v1/embeddings`.
use bytes::Bytes;
use chat::{EmbedRequest, EmbedResponse};

use crate::{Encoded, Error};

/// The request, and the names of fields nobody here knows.
pub fn decode(_body: &[u8]) -> Result<(EmbedRequest, Vec<String>), Error> {
    Err(Error::missing("model"))
}
pub fn encode(_model: &str, _request: &EmbedRequest) -> Encoded {
    Encoded { body: Bytes::new(), dropped: Vec::new() }
}
pub fn decode_response(_body: &[u8]) -> Result<EmbedResponse, Error> {
    Err(Error::missing("data"))
}
/// `base64`: little-endian f32 as base64, which the Python SDK asks for by default.
pub fn encode_response(_response: &EmbedResponse, _base64: bool) -> Bytes {
    Bytes::new()
}
