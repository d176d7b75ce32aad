//! The entry of the fuzz target.

use chat::Event;

use crate::{Action, Deny, Kind, Limits, Script, Secrets, Sensor, Shield, Spec, StreamGuard, Vault};

const KNOWN: &str = "fuzz-known-secret";

/// Reads any text, whole and in pieces cut by its first bytes: the pieces say
/// what the whole says, and no known secret leaves. Never panics.
pub fn fuzz(data: &[u8]) {
    let Some((cuts, text)) = data.split_first_chunk::<8>() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let cuts = u64::from_le_bytes(*cuts);
    let action = if cuts % 3 == 0 { Action::Block } else { Action::Mask };
    let shield = shield(action);
    let mut kept = text.to_owned();
    shield.screen_texts([&mut kept], cuts);
    let whole = run(&shield, std::iter::once(text));
    let pieces = text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]);
    let mut parts: Vec<String> = Vec::new();
    for (number, piece) in pieces.enumerate() {
        match parts.last_mut() {
            Some(part) if cuts >> (number % 64) & 1 == 0 => part.push_str(piece),
            _ => parts.push(piece.to_owned()),
        }
    }
    let cut = run(&shield, parts.iter().map(String::as_str));
    assert_eq!(whole, cut, "pieces say something else than the whole");
    assert!(!whole.contains(KNOWN), "a known secret left");
}

fn shield(action: Action) -> Shield {
    let spec = Spec {
        input: true,
        output: true,
        personal: Kind::PERSONAL.map(|kind| (kind, action)).to_vec(),
        secrets: action,
        known: action,
        deny: vec![Deny { phrases: vec!["bluebird".into()], action, soft: false }],
        injection: Some(Sensor { threshold: 0.5, action: Action::Flag }),
        limits: Limits { scripts: vec![Script::Latin], action: Action::Flag, ..Limits::default() },
        ..Spec::default()
    };
    Shield::new(&[&spec], Secrets { known: &[KNOWN.as_bytes().to_vec()], canaries: &[] })
}

fn run<'t>(shield: &Shield, parts: impl Iterator<Item = &'t str>) -> String {
    let mut guard = StreamGuard::new(shield, Vault::default(), false);
    let mut out = Vec::new();
    for part in parts {
        guard.push(Event::Text { choice: 0, text: part.into() }, &mut out);
    }
    if guard.blocked().is_none() {
        guard.finish(&mut out);
    }
    let text = |e| if let Event::Text { text, .. } = e { Some(text) } else { None };
    out.into_iter().filter_map(text).collect()
}
