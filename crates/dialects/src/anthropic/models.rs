//! `/v1/models` as Anthropic lists it, for clients that ask with `anthropic-version`.

use bytes::Bytes;
use units::Micros;

use crate::json::{self, Writer};
use crate::openai::models::ModelCard;

pub fn list(cards: &[ModelCard]) -> Bytes {
    json::text(|w| {
        w.object(|w| {
            w.key("data").list(cards, write);
            w.field_num("has_more", false);
            for (key, card) in [("first_id", cards.first()), ("last_id", cards.last())] {
                match card {
                    Some(card) => w.field_str(key, &card.id),
                    None => w.key(key).null(),
                }
            }
        });
    })
}

pub fn one(card: &ModelCard) -> Bytes {
    json::text(|w| write(w, card))
}

fn write(w: &mut Writer<'_>, card: &ModelCard) {
    let shown = if card.display_name.is_empty() { &card.id } else { &card.display_name };
    w.object(|w| {
        w.field_str("type", "model");
        w.field_str("id", &card.id);
        w.field_str("display_name", shown);
        let created = Micros(card.created.saturating_mul(1_000_000));
        w.field_str("created_at", &created.to_string());
    });
}
