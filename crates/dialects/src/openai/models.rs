//! `/v1/models`.

use bytes::Bytes;

use crate::fields::Lenient;
use crate::json::{self, Writer};

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

pub fn list(cards: &[ModelCard]) -> Bytes {
    json::text(|w| {
        w.object(|w| {
            w.field_str("object", "list");
            w.key("data").list(cards, write);
        });
    })
}

pub fn one(card: &ModelCard) -> Bytes {
    json::text(|w| write(w, card))
}

fn write(w: &mut Writer<'_>, card: &ModelCard) {
    w.object(|w| {
        w.field_str("id", &card.id);
        w.field_str("object", "model");
        w.field_num("created", card.created);
        w.field_str("owned_by", &card.owned_by);
    });
}

/// The ids of a provider's own list; empty when it is not one. Both families
/// list under `data`, Ollama's native path under `models`.
pub fn decode(body: &[u8]) -> Vec<String> {
    let Some(top) = Lenient::body(body) else { return Vec::new() };
    let items = if top.has("data") { top.objects("data") } else { top.objects("models") };
    let ids = items.iter().map(|m| m.str("id").or_else(|| m.str("name")).unwrap_or_default().into_owned());
    ids.filter(|id| !id.is_empty()).take(10_000).collect()
}
