//! Where a JSON value ends, and what a call in JSON says.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// Finds the end of an object or a list, a fragment at a time. Marks inside of
/// its strings are part of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Scan {
    at: usize,
    depth: usize,
    string: bool,
    escaped: bool,
}

/// What is known of the value at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It goes on, or has not begun.
    More,
    /// It ends before this byte.
    At(usize),
    /// No object or list stands there.
    Not,
}

impl Scan {
    /// `text` begins as it did before; white space may come first.
    pub(super) fn end(&mut self, text: &str) -> End {
        for (i, byte) in text.bytes().enumerate().skip(self.at) {
            self.at = i + 1;
            match byte {
                _ if self.string && self.escaped => self.escaped = false,
                b'\\' if self.string => self.escaped = true,
                b'"' if self.string => self.string = false,
                _ if self.string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' if self.depth == 1 => return End::At(i + 1),
                b'}' | b']' if self.depth > 1 => self.depth -= 1,
                b'"' if self.depth > 0 => self.string = true,
                b' ' | b'\t' | b'\n' | b'\r' => {}
                _ if self.depth == 0 => return End::Not,
                _ => {}
            }
        }
        End::More
    }

    /// The text that was seen is gone; what comes next follows it.
    pub(super) fn forget(&mut self) {
        self.at = 0;
    }
}

/// `{"name": .., "arguments" or "parameters": {..}}`; `None` when it is no call.
pub(super) fn call(text: &str) -> Option<(String, String)> {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text.trim()).ok()?;
    let name = fields.get("name").or(fields.get("function"))?;
    let name: String = serde_json::from_str(name.get()).ok()?;
    let raw = fields.get("arguments").or(fields.get("parameters")).map_or("{}", |a| a.get());
    Some((name, arguments(raw)?)).filter(|(name, _)| !name.is_empty())
}

/// The arguments as they were written: an object, or one inside of a text as
/// some models write it.
pub(super) fn arguments(raw: &str) -> Option<String> {
    let raw = raw.trim();
    if raw.is_empty() || raw == "null" {
        return Some("{}".to_owned());
    }
    let text = serde_json::from_str::<String>(raw).unwrap_or_else(|_| raw.to_owned());
    serde_json::from_str::<BTreeMap<String, &RawValue>>(&text).is_ok().then_some(text)
}
