//! From the tree to typed values, collecting every problem on the way.

use std::cell::RefCell;
use std::fmt::Display;
use std::str::FromStr;

use report::Report;

use crate::PROBLEMS_MAX;
use crate::yaml::{Key, Node, Position, Value, clip, place};

/// Where problems are collected. Shared by the readers of one document; a
/// `RefCell` so that two open maps can both report.
pub(crate) struct Problems<'f> {
    pub file: &'f str,
    list: RefCell<Vec<Report>>,
}

impl<'f> Problems<'f> {
    pub fn new(file: &'f str, list: Vec<Report>) -> Problems<'f> {
        Problems { file, list: RefCell::new(list) }
    }
    pub fn push(&self, report: Report) {
        let mut list = self.list.borrow_mut();
        if list.len() < PROBLEMS_MAX {
            list.push(report);
        }
    }
    pub fn into_list(self) -> Vec<Report> {
        self.list.into_inner()
    }
    pub fn place(&self, at: Position) -> String {
        place(self.file, at)
    }
    /// A value of the wrong type or out of bounds.
    pub fn wrong(&self, path: &str, node: &Node, expected: impl Display) {
        let found = match &node.value {
            Value::Scalar { text, .. } if looks_secret(text) => return self.secret(path, node.at),
            Value::Scalar { text, .. } => format!("\"{}\"", clip(text)),
            _ => node.describe().to_owned(),
        };
        self.push(
            Report::new("MF0009", format!("`{path}` is {found}"))
                .at(self.place(node.at))
                .because(format!("it must be {expected}")),
        );
    }
    pub fn missing(&self, path: &str, at: Position, hint: &str) {
        self.push(
            Report::new("MF0008", format!("`{path}` is missing")).at(self.place(at)).hint(hint.to_owned()),
        );
    }
    /// A secret where none may be. The report does not repeat it.
    pub fn secret(&self, path: &str, at: Position) {
        self.push(
            Report::new("MF0010", format!("`{path}` looks like a secret"))
                .at(self.place(at))
                .because("manifests are stored, shown and committed; a secret in one is a leaked secret")
                .hint("name it instead: `keyEnv: NAME` reads the server's environment, `keySecret: NAME` the encrypted store (`bedplate provider set-key NAME`); then rotate this one"),
        );
    }
}

/// A map being read: every key must be taken, or it is reported as unknown.
pub(crate) struct Fields<'n, 'p> {
    pub problems: &'p Problems<'p>,
    /// `spec.targets[0]`; empty at the root.
    pub path: String,
    pub at: Position,
    entries: Vec<(&'n Key, &'n Node, bool)>,
    known: Vec<&'static str>,
}

impl<'n, 'p> Fields<'n, 'p> {
    /// `None`, with a problem, when the node is not a map.
    pub fn open(node: &'n Node, path: &str, problems: &'p Problems<'p>) -> Option<Fields<'n, 'p>> {
        let Value::Map(entries) = &node.value else {
            problems.wrong(path, node, "a map of keys to values");
            return None;
        };
        Some(Fields {
            problems,
            path: path.to_owned(),
            at: node.at,
            entries: entries.iter().map(|(k, v)| (k, v, false)).collect(),
            known: Vec::new(),
        })
    }
    pub fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
    /// Takes a key; `null` counts as absent.
    pub fn take(&mut self, name: &'static str) -> Option<&'n Node> {
        self.known.push(name);
        let entry = self.entries.iter_mut().find(|(key, ..)| key.text == name)?;
        entry.2 = true;
        (!matches!(entry.1.value, Value::Null)).then_some(entry.1)
    }
    pub fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, node, _)| key.text == name && !matches!(node.value, Value::Null))
    }
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        let node = self.take(name)?;
        text(node, &self.path_of(name), self.problems)
    }
    pub fn boolean(&mut self, name: &'static str) -> Option<bool> {
        let node = self.take(name)?;
        match &node.value {
            Value::Scalar { text, plain: true } if text == "true" => Some(true),
            Value::Scalar { text, plain: true } if text == "false" => Some(false),
            _ => {
                self.problems.wrong(&self.path_of(name), node, "`true` or `false`");
                None
            }
        }
    }
    /// A whole number between `min` and `max`.
    pub fn number(&mut self, name: &'static str, min: u64, max: u64) -> Option<u64> {
        let node = self.take(name)?;
        let value = match &node.value {
            Value::Scalar { text, .. } if text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse::<u64>().ok()
            }
            _ => None,
        };
        let value = value.filter(|v| (min..=max).contains(v));
        if value.is_none() {
            self.problems.wrong(&self.path_of(name), node, format!("a whole number from {min} to {max}"));
        }
        value
    }
    /// A type with its own notation (money, a day).
    pub fn parsed<T: FromStr>(&mut self, name: &'static str, expected: &str) -> Option<T>
    where
        T::Err: Display,
    {
        let node = self.take(name)?;
        let path = self.path_of(name);
        let Value::Scalar { text, .. } = &node.value else {
            self.problems.wrong(&path, node, expected);
            return None;
        };
        text.parse().map_err(|_| self.problems.wrong(&path, node, expected)).ok()
    }
    /// One word of a fixed list.
    pub fn choice<T: Copy>(&mut self, name: &'static str, choices: &[(&'static str, T)]) -> Option<T> {
        let node = self.take(name)?;
        let path = self.path_of(name);
        let word = text(node, &path, self.problems)?;
        let found = choices.iter().find(|(w, _)| *w == word).map(|(_, value)| *value);
        if found.is_none() {
            let words: Vec<&str> = choices.iter().map(|(w, _)| *w).collect();
            self.problems.wrong(&path, node, format!("one of `{}`", words.join("`, `")));
        }
        found
    }
    pub fn list(&mut self, name: &'static str, max: usize) -> Option<&'n [Node]> {
        let node = self.take(name)?;
        match &node.value {
            Value::List(items) if items.len() <= max => Some(items),
            Value::List(items) => {
                self.problems.push(
                    Report::new(
                        "MF0001",
                        format!("`{}` has {} items, the limit is {max}", self.path_of(name), items.len()),
                    )
                    .at(self.problems.place(node.at)),
                );
                None
            }
            _ => {
                self.problems.wrong(&self.path_of(name), node, "a list");
                None
            }
        }
    }
    /// A list of names of other objects, each once.
    pub fn names(&mut self, name: &'static str, max: usize, valid: fn(&str) -> bool) -> Vec<String> {
        let (path, problems) = (self.path_of(name), self.problems);
        let mut names: Vec<String> = Vec::new();
        for (index, node) in self.list(name, max).unwrap_or(&[]).iter().enumerate() {
            let path = format!("{path}[{index}]");
            match text(node, &path, problems) {
                Some(word) if valid(&word) && !names.contains(&word) => names.push(word),
                Some(word) if names.contains(&word) => problems.push(
                    Report::new("MF0012", format!("`{path}` names \"{}\" again", clip(&word)))
                        .at(problems.place(node.at)),
                ),
                Some(_) => problems.wrong(&path, node, "the name of an object"),
                None => {}
            }
        }
        names
    }
    pub fn open_map(&mut self, name: &'static str) -> Option<Fields<'n, 'p>> {
        let node = self.take(name)?;
        Fields::open(node, &self.path_of(name), self.problems)
    }
    /// A free map of words to words (headers), at most 32.
    pub fn words(&mut self, name: &'static str) -> Vec<(String, String)> {
        let Some(node) = self.take(name) else { return Vec::new() };
        let path = self.path_of(name);
        let Value::Map(entries) = &node.value else {
            self.problems.wrong(&path, node, "a map of names to texts");
            return Vec::new();
        };
        if entries.len() > 32 {
            self.problems.wrong(&path, node, "a map of at most 32 entries");
        }
        let mut words = Vec::new();
        for (key, value) in entries.iter().take(32) {
            let path = format!("{path}.{}", clip(&key.text));
            if names_secret(&key.text) {
                self.problems.secret(&path, key.at);
            } else if let Some(value) = text(value, &path, self.problems) {
                words.push((key.text.clone(), value));
            }
        }
        words
    }
    /// Reports the keys that nobody took.
    pub fn finish(self) {
        for (key, node, taken) in &self.entries {
            if *taken {
                continue;
            }
            let path = self.path_of(&clip(&key.text));
            let near = nearest(&key.text, self.known.iter().copied());
            let holds_text = matches!(node.value, Value::Scalar { .. });
            if holds_text && near.is_none() && names_secret(&key.text) {
                self.problems.secret(&path, key.at);
                continue;
            }
            let report =
                Report::new("MF0007", format!("`{path}` is not a known key")).at(self.problems.place(key.at));
            let mut known = self.known.clone();
            known.sort_unstable();
            known.dedup();
            self.problems.push(match near {
                Some(near) => report.hint(format!("did you mean `{near}`?")),
                None => report.hint(format!("known here: {}", known.join(", "))),
            });
        }
    }
}

/// Text that is not a secret, at most 4,096 bytes.
pub(crate) fn text(node: &Node, path: &str, problems: &Problems) -> Option<String> {
    match &node.value {
        Value::Scalar { text, .. } if looks_secret(text) => {
            problems.secret(path, node.at);
            None
        }
        Value::Scalar { text, .. } if text.len() <= 4096 && !text.chars().any(char::is_control) => {
            Some(text.clone())
        }
        _ => {
            problems.wrong(path, node, "one line of text, at most 4,096 bytes");
            None
        }
    }
}

/// Text of several lines that is not empty, at most `max` bytes: a prompt, policies.
pub(crate) fn long_text(node: &Node, path: &str, max: usize, problems: &Problems) -> Option<String> {
    let printable = |c: char| !c.is_control() || c == '\n' || c == '\t';
    match &node.value {
        Value::Scalar { text, .. }
            if text.len() <= max && !text.trim().is_empty() && text.chars().all(printable) =>
        {
            Some(text.clone())
        }
        Value::Scalar { text, .. } => {
            problems.push(
                Report::new("MF0009", format!("`{path}` has {} bytes", text.len()))
                    .at(problems.place(node.at))
                    .because(format!("it must be text of at most {max} bytes, without control characters")),
            );
            None
        }
        _ => {
            problems.wrong(path, node, format!("text of at most {max} bytes"));
            None
        }
    }
}

/// The candidate that a typing slip away from `word` would be; `None` if none is near.
pub(crate) fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    if word.len() > 64 {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    candidates
        .map(|c| (strsim::damerau_levenshtein(&lower, &c.to_ascii_lowercase()), c))
        .filter(|(distance, c)| *distance <= 1 + c.len().min(word.len()) / 4)
        .min()
        .map(|(_, c)| c)
}

/// A key whose value would be a secret.
pub(crate) fn names_secret(key: &str) -> bool {
    let key: String =
        key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    matches!(key.as_str(), "key" | "secret" | "token" | "password" | "authorization" | "cookie" | "bearer")
        || ["apikey", "accesskey", "secretkey", "authtoken", "accesstoken"]
            .iter()
            .any(|part| key.contains(part))
}

/// A value with the shape of a provider's key: a known prefix and enough of a tail.
fn looks_secret(value: &str) -> bool {
    const PREFIXES: [&str; 12] =
        ["sk-", "sk_", "bp-", "bp_", "gsk_", "xai-", "hf_", "AIza", "AKIA", "ghp_", "Bearer ", "pplx-"];
    value.len() >= 20 && PREFIXES.iter().any(|p| value.starts_with(p))
}
