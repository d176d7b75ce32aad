//! A tool result as leaves with their paths.
//!
//! JSON, or YAML without anchors, aliases and tags (what many servers print).
//! Whatever is neither, or is larger than the limits, is one text at the root,
//! and a text at the root is untrusted unless the owner trusts `$`.

use granit_parser::{Event, Parser};
use serde_json::Value;

use crate::{DEPTH_MAX, LEAVES_MAX};

/// One scalar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// The keys that lead to it; lists are passed through.
    pub path: Vec<String>,
    /// Which object it belongs to, numbered in the order in which they begin;
    /// 0 is the result itself.
    pub record: usize,
    pub text: String,
}

/// Takes a result apart.
pub(crate) fn leaves(text: &str) -> Vec<Leaf> {
    let whole = || vec![Leaf { path: Vec::new(), record: 0, text: text.to_owned() }];
    let value = match serde_json::from_str::<Value>(text) {
        Ok(value) => value,
        Err(_) => match yaml(text) {
            Some(value) => value,
            None => return whole(),
        },
    };
    let mut walk = Walk { leaves: Vec::new(), records: 0, path: Vec::new() };
    if walk.enter(&value, 0, 0) { walk.leaves } else { whole() }
}

struct Walk {
    leaves: Vec<Leaf>,
    records: usize,
    path: Vec<String>,
}

impl Walk {
    /// `false`: over a limit.
    fn enter(&mut self, value: &Value, record: usize, depth: usize) -> bool {
        if depth > DEPTH_MAX || self.leaves.len() >= LEAVES_MAX {
            return false;
        }
        match value {
            Value::Null => true,
            Value::Array(items) => items.iter().all(|item| self.enter(item, record, depth + 1)),
            Value::Object(entries) => {
                self.records += 1;
                let record = self.records;
                entries.iter().all(|(key, value)| {
                    self.path.push(key.clone());
                    let within = self.enter(value, record, depth + 1);
                    self.path.pop();
                    within
                })
            }
            scalar => {
                let text = match scalar {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                self.leaves.push(Leaf { path: self.path.clone(), record, text });
                true
            }
        }
    }
}

/// A YAML document as JSON, or nothing. Only maps and lists count: a lone
/// scalar is the text itself, and folding its lines would change it.
fn yaml(text: &str) -> Option<Value> {
    let options = granit_parser::options! {
        emit_comments: false,
        disallow_directives: true,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut open: Vec<Open> = Vec::new();
    let mut scalars = 0;
    loop {
        let (event, _) = parser.next_event()?.ok()?;
        let done = match event {
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                None
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(serde_json::Map::new(), None));
                None
            }
            Event::SequenceEnd | Event::MappingEnd => Some(open.pop()?.close()?),
            Event::Scalar(text, style, _, tag) => {
                scalars += 1;
                if tag.is_some() || scalars > 2 * LEAVES_MAX || open.is_empty() {
                    return None;
                }
                let plain = style == granit_parser::ScalarStyle::Plain;
                let nothing = plain && matches!(&*text, "" | "~" | "null");
                Some(if nothing { Value::Null } else { Value::String(text.into_owned()) })
            }
            Event::Alias(..) => return None,
            // A second document would hide behind the first.
            Event::StreamEnd => return None,
            _ => None,
        };
        let Some(value) = done else { continue };
        match open.last_mut() {
            Some(parent) => parent.take(value)?,
            None => {
                return match next_significant(&mut parser) {
                    Some(Event::StreamEnd) => Some(value),
                    _ => None,
                };
            }
        }
    }
}

fn next_significant<'t>(parser: &mut Parser<'t, granit_parser::StrInput<'t>>) -> Option<Event<'t>> {
    loop {
        let (event, _) = parser.next_event()?.ok()?;
        if !matches!(event, Event::DocumentEnd) {
            return Some(event);
        }
    }
}

enum Open {
    List(Vec<Value>),
    Map(serde_json::Map<String, Value>, Option<String>),
}

impl Open {
    fn take(&mut self, value: Value) -> Option<()> {
        match self {
            Open::List(items) => items.push(value),
            Open::Map(entries, key) => match key.take() {
                Some(key) => {
                    // Which of two values a reader took is not to be guessed.
                    if entries.insert(key, value).is_some() {
                        return None;
                    }
                }
                None => match value {
                    Value::String(text) => *key = Some(text),
                    _ => return None,
                },
            },
        }
        Some(())
    }
    fn close(self) -> Option<Value> {
        match self {
            Open::List(items) => Some(Value::Array(items)),
            Open::Map(entries, None) => Some(Value::Object(entries)),
            Open::Map(_, Some(_)) => None,
        }
    }
}
