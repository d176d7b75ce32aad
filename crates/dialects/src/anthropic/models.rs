//! `/v1/models` as Anthropic lists it (asked with `anthropic-version`).
use bytes::Bytes;

use crate::openai::models::ModelCard;

pub fn list(_cards: &[ModelCard]) -> Bytes {
    Bytes::new()
}
pub fn one(_card: &ModelCard) -> Bytes {
    Bytes::new()
}
