//! stub
use bytes::Bytes;

use crate::{Decoded, Encoded, Error, Quirks};

pub fn decode(_body: &Bytes) -> Result<Decoded, Error> {
    Err(Error::missing("model"))
}
pub fn encode(_quirks: &Quirks, _model: &str, _decoded: &Decoded) -> Result<Encoded, Error> {
    Err(Error::missing("model"))
}
pub fn decode_response(_body: &[u8]) -> Result<chat::Response, Error> {
    Err(Error::missing("choices"))
}
pub fn encode_response(_response: &chat::Response) -> Bytes {
    Bytes::new()
}
