//! `{"name": .., "parameters": ..}`, alone or after `<|python_tag|>`: Llama 3.
//!
//! Without a mark a call looks like an answer in JSON, so it must stand at the
//! start and name a tool that there is.

use std::sync::Arc;

use constrain::Item;

use super::json::{End, Scan, call};
use super::marked::{Calls, Found};
use super::{Call, Known};

const TAG: &str = "<|python_tag|>";

pub(super) struct Llama {
    tools: Arc<[Known]>,
    scan: Scan,
}

impl Llama {
    pub(super) fn new(tools: Arc<[Known]>) -> Llama {
        Llama { tools, scan: Scan::default() }
    }
}

impl Calls for Llama {
    fn opens(&self) -> &'static [&'static str] {
        &[TAG]
    }
    fn opens_at_start(&self) -> &'static [&'static str] {
        &["{", TAG]
    }
    fn separator(&self) -> Option<char> {
        Some(';')
    }

    fn find(&mut self, text: &str, _: bool) -> Found {
        let skip = if text.starts_with(TAG) { TAG.len() } else { 0 };
        let found = match self.scan.end(&text[skip..]) {
            End::More => return Found::More,
            End::Not => Found::Not,
            End::At(at) => match call(&text[skip..skip + at]) {
                Some((name, arguments)) if self.tools.iter().any(|t| t.name == name) => {
                    Found::Calls(vec![(name, arguments)], skip + at)
                }
                _ => Found::Not,
            },
        };
        self.reset();
        found
    }
    fn reset(&mut self) {
        self.scan = Scan::default();
    }
}

pub(super) fn turn(calls: &[Call], most: usize, must: bool) -> Vec<Item> {
    let body = |call: &Call| {
        let name = serde_json::Value::from(call.name.as_str());
        vec![
            Item::Text(format!("{{\"name\": {name}, \"parameters\": ")),
            Item::Json(call.schema.clone()),
            Item::Text("}".into()),
        ]
    };
    let item = vec![Item::OneOf(calls.iter().map(body).collect())];
    let calls = vec![Item::Repeat { item, separator: "; ".into(), min: 1, max: most }];
    if must {
        return calls;
    }
    let free = Item::Free { without: vec![TAG.into()], not_first: Some('{') };
    vec![Item::OneOf(vec![calls, vec![free]])]
}
