//! `<tool_call><function=f><parameter=p>value</parameter></function></tool_call>`:
//! Qwen3-Coder. Values are bare; the tool's schema says which of them are texts.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Known;
use super::hermes::Hermes;
use super::marked::{Calls, Found};

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";
const FUNCTION: (&str, &str) = ("<function=", "</function>");
const PARAMETER: (&str, &str) = ("<parameter=", "</parameter>");

pub(super) struct Xml {
    tools: Arc<[Known]>,
    /// The same model may write JSON between the marks.
    json: Hermes,
    /// Bytes in which no end was found.
    seen: usize,
}

impl Xml {
    pub(super) fn new(tools: Arc<[Known]>) -> Xml {
        Xml { tools, json: Hermes::default(), seen: 0 }
    }

    /// The end of the function and all that closes it.
    fn end_of(&mut self, text: &str, end: bool) -> Option<(usize, usize)> {
        let from = self.seen.saturating_sub(FUNCTION.1.len());
        let from = (0..=from).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        let mut at = from;
        while let Some(found) = text[at..].find(FUNCTION.1) {
            let close = at + found + FUNCTION.1.len();
            let rest = text[close..].trim_start();
            let space = text.len() - close - rest.len();
            if rest.starts_with(CLOSE) {
                return Some((at + found, close + space + CLOSE.len()));
            }
            if end && CLOSE.starts_with(rest) {
                return Some((at + found, text.len()));
            }
            if CLOSE.starts_with(rest) {
                self.seen = at + found;
                return None;
            }
            at = close;
        }
        self.seen = text.len();
        None
    }

    fn parse(&self, function: &str) -> Option<(String, String)> {
        let (name, mut rest) = function.split_once('>')?;
        let known = self.tools.iter().find(|t| t.name == name);
        let mut arguments = Map::new();
        loop {
            rest = rest.trim_start();
            if rest.is_empty() {
                break;
            }
            let (key, after) = rest.strip_prefix(PARAMETER.0)?.split_once('>')?;
            let end = value_end(after)?;
            let value = &after[..end];
            let value = value.strip_prefix('\n').unwrap_or(value);
            let value = value.strip_suffix('\n').unwrap_or(value);
            let text = known.is_some_and(|k| k.texts.iter().any(|t| t == key));
            let value = match serde_json::from_str::<Value>(value.trim()) {
                Ok(json) if !text => json,
                _ => Value::from(value),
            };
            arguments.insert(key.to_owned(), value);
            rest = &after[end + PARAMETER.1.len()..];
        }
        (!name.is_empty()).then(|| (name.to_owned(), Value::Object(arguments).to_string()))
    }
}

/// Where a value ends: at the closing mark that a parameter or the end follows.
fn value_end(text: &str) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = text[at..].find(PARAMETER.1) {
        let close = at + found;
        let rest = text[close + PARAMETER.1.len()..].trim_start();
        if rest.is_empty() || rest.starts_with(PARAMETER.0) {
            return Some(close);
        }
        at = close + PARAMETER.1.len();
    }
    None
}

impl Calls for Xml {
    fn opens(&self) -> &'static [&'static str] {
        &[OPEN]
    }

    fn find(&mut self, text: &str, end: bool) -> Found {
        let body = text[OPEN.len()..].trim_start();
        if body.starts_with('{') {
            return self.json.find(text, end);
        }
        if !body.starts_with(FUNCTION.0) {
            return if FUNCTION.0.starts_with(body) { Found::More } else { Found::Not };
        }
        let start = text.len() - body.len() + FUNCTION.0.len();
        let Some((close, len)) = self.end_of(text, end) else { return Found::More };
        self.seen = 0;
        match text.get(start..close).and_then(|function| self.parse(function)) {
            Some(call) => Found::Calls(vec![call], len),
            None => Found::Not,
        }
    }
    fn reset(&mut self) {
        self.json.reset();
        self.seen = 0;
    }
}
