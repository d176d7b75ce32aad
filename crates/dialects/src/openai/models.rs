//! `/v1/models`.
use bytes::Bytes;

/// One model as clients list it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelCard {
    pub id: String,
    /// Unix seconds.
    pub created: i64,
    pub owned_by: String,
    /// For Anthropic's list; the id when empty.
    pub display_name: String,
}

pub fn list(_cards: &[ModelCard]) -> Bytes {
    Bytes::new()
}
pub fn one(_card: &ModelCard) -> Bytes {
    Bytes::new()
}
/// The ids of a provider's own list.
pub fn decode(_body: &[u8]) -> Vec<String> {
    Vec::new()
}
