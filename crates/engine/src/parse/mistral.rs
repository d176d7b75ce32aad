//! `[TOOL_CALLS][{"name": .., "arguments": ..}, ..]`, and since the eleventh
//! tokenizer `[TOOL_CALLS]f[ARGS]{..}` for each call: Mistral.

use constrain::Item;
use serde_json::value::RawValue;

use super::Call;
use super::json::{End, Scan, arguments, call};
use super::marked::{Calls, Found};

const OPEN: &str = "[TOOL_CALLS]";
const ARGS: &str = "[ARGS]";
const CALL_ID: &str = "[CALL_ID]";
/// Longest name that is waited for.
const NAME_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Mistral {
    scan: Scan,
}

/// What stands between the mark and the arguments.
enum Head<'a> {
    More,
    Not,
    /// Values only: the form with a list.
    List,
    /// A name, and where its arguments begin.
    Name(&'a str, usize),
}

fn head(body: &str) -> Head<'_> {
    let start = body.len() - body.trim_start().len();
    let rest = &body[start..];
    if rest.starts_with(['[', '{']) {
        return Head::List;
    }
    let name_len = rest.find(|c: char| !c.is_alphanumeric() && !"_-.:/".contains(c)).unwrap_or(rest.len());
    let (name, mut after) = rest.split_at(name_len);
    if name_len > NAME_MAX {
        return Head::Not;
    }
    if after.is_empty() {
        return Head::More;
    }
    if name.is_empty() {
        return Head::Not;
    }
    if CALL_ID.starts_with(after) {
        return Head::More;
    }
    if let Some(id) = after.strip_prefix(CALL_ID) {
        match id.find(['[', '{']) {
            Some(at) if at <= NAME_MAX => after = &id[at..],
            None if id.len() <= NAME_MAX => return Head::More,
            _ => return Head::Not,
        }
    }
    let at = body.len() - after.len();
    if after.starts_with(ARGS) {
        Head::Name(name, at + ARGS.len())
    } else if ARGS.starts_with(after) {
        Head::More
    } else if after.trim_start().starts_with('{') {
        Head::Name(name, at)
    } else if after.trim().is_empty() {
        Head::More
    } else {
        Head::Not
    }
}

impl Mistral {
    fn look(&mut self, body: &str) -> Found {
        let (name, start) = match head(body) {
            Head::More => return Found::More,
            Head::Not => return Found::Not,
            Head::List => (None, 0),
            Head::Name(name, at) => (Some(name), at),
        };
        let text = &body[start..];
        let at = match self.scan.end(text) {
            End::More => return Found::More,
            End::Not => return Found::Not,
            End::At(at) => at,
        };
        let value = &text[..at];
        let calls = match name {
            Some(name) => arguments(value).map(|a| vec![(name.to_owned(), a)]),
            None if value.trim_start().starts_with('{') => call(value).map(|c| vec![c]),
            None => serde_json::from_str::<Vec<&RawValue>>(value)
                .ok()
                .and_then(|list| list.iter().map(|c| call(c.get())).collect()),
        };
        match calls {
            Some(calls) if !calls.is_empty() => Found::Calls(calls, OPEN.len() + start + at),
            _ => Found::Not,
        }
    }
}

impl Calls for Mistral {
    fn opens(&self) -> &'static [&'static str] {
        &[OPEN]
    }
    fn find(&mut self, text: &str, _: bool) -> Found {
        let found = self.look(&text[OPEN.len()..]);
        if found != Found::More {
            self.reset();
        }
        found
    }
    fn reset(&mut self) {
        self.scan = Scan::default();
    }
}

pub(super) fn turn(calls: &[Call], most: usize, must: bool, args: bool) -> Vec<Item> {
    let body = |call: &Call| {
        let schema = Item::Json(call.schema.clone());
        if args {
            return vec![Item::Text(call.name.clone()), Item::Mark(ARGS.into()), schema];
        }
        let name = serde_json::Value::from(call.name.as_str());
        vec![Item::Text(format!("{{\"name\": {name}, \"arguments\": ")), schema, Item::Text("}".into())]
    };
    let any = Item::OneOf(calls.iter().map(body).collect());
    let free = Item::Free { without: vec![OPEN.into()], not_first: None };
    let open =
        if must { Item::Mark(OPEN.into()) } else { Item::Until { mark: OPEN.into(), without: Vec::new() } };
    let turn = if args {
        let item = vec![open, any];
        vec![Item::Repeat { item, separator: String::new(), min: usize::from(must), max: most }]
    } else {
        let list = Item::Repeat { item: vec![any], separator: ", ".into(), min: 1, max: most };
        let calls = vec![open, Item::Text("[".into()), list, Item::Text("]".into())];
        if must { calls } else { vec![Item::Optional(calls)] }
    };
    turn.into_iter().chain((!must).then_some(free)).collect()
}
