//! `<tool_call>{"name": .., "arguments": ..}</tool_call>`: Hermes, Qwen 2.5 and 3.

use constrain::Item;

use super::Call;
use super::json::{End, Scan, call};
use super::marked::{Calls, Found};

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";

#[derive(Debug, Default)]
pub(super) struct Hermes {
    scan: Scan,
    /// Where the value ended, until the closing mark is seen.
    whole: Option<usize>,
}

impl Calls for Hermes {
    fn opens(&self) -> &'static [&'static str] {
        &[OPEN]
    }

    fn find(&mut self, text: &str, end: bool) -> Found {
        let body = &text[OPEN.len()..];
        let at = match self.whole {
            Some(at) => at,
            None => match self.scan.end(body) {
                End::More => return Found::More,
                End::Not => {
                    self.reset();
                    return Found::Not;
                }
                End::At(at) => at,
            },
        };
        self.whole = Some(at);
        let found = closed(body, at, end);
        if found != Found::More {
            self.reset();
        }
        found
    }
    fn reset(&mut self) {
        *self = Hermes::default();
    }
}

/// A whole JSON value ends at `at`; the closing mark must follow, or nothing.
fn closed(body: &str, at: usize, end: bool) -> Found {
    let rest = &body[at..];
    let space = rest.len() - rest.trim_start().len();
    let rest = rest.trim_start();
    let len = if rest.starts_with(CLOSE) {
        at + space + CLOSE.len()
    } else if !CLOSE.starts_with(rest) {
        return Found::Not;
    } else if end {
        // Some models end their turn without closing the mark.
        body.len()
    } else {
        return Found::More;
    };
    match call(&body[..at]) {
        Some(call) => Found::Calls(vec![call], OPEN.len() + len),
        None => Found::Not,
    }
}

pub(super) fn turn(calls: &[Call], most: usize, must: bool) -> Vec<Item> {
    let body = |call: &Call| {
        let name = serde_json::Value::from(call.name.as_str());
        vec![
            Item::Text(format!("\n{{\"name\": {name}, \"arguments\": ")),
            Item::Json(call.schema.clone()),
            Item::Text("}\n".into()),
            Item::Mark(CLOSE.into()),
        ]
    };
    let any = Item::OneOf(calls.iter().map(body).collect());
    if must {
        let item = vec![Item::Mark(OPEN.into()), any];
        return vec![Item::Repeat { item, separator: "\n".into(), min: 1, max: most }];
    }
    let item = vec![Item::Until { mark: OPEN.into(), without: Vec::new() }, any];
    vec![
        Item::Repeat { item, separator: String::new(), min: 0, max: most },
        Item::Free { without: vec![OPEN.into()], not_first: None },
    ]
}
