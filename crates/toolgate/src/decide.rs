//! One proposed call, held against where its values come from.

use serde_json::Value;
use units::{Micros, Sensitivity};

use crate::declare::{Declarations, Effect, Kind, Target, Tool};
use crate::history::{History, Origin};
use crate::{Approvals, DEPTH_MAX, TARGET_BYTES_MAX, VALUES_MAX, flow, links, value};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    Allow,
    /// A person has to endorse the values of the findings first.
    Ask,
    /// No endorsement helps.
    Block,
}

/// Why a value is not simply taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It stands only in texts that anybody may have written.
    Untrusted,
    /// It stands nowhere: the model made it up.
    Unseen,
    /// It has characters that cannot be seen.
    Hidden,
    /// It is no value of the kind that was declared, or too long for one.
    Malformed,
    /// A person refused it in this session.
    Refused,
    /// It tells a word of a private field to somebody who is not a party.
    Private { word: String },
    /// Not all who read what this tool is given may read what was read before.
    Audience,
    /// What was read is more sensitive than the tool may be given.
    Sensitivity { read: Sensitivity, ceiling: Sensitivity },
    /// The arguments are not a JSON object, or too many.
    Arguments,
}

/// One value, and what is the matter with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The path of the argument; empty for the call as a whole.
    pub argument: String,
    /// What an endorsement of it is kept under.
    pub role: Box<str>,
    /// As the model wrote it.
    pub value: String,
    /// As an endorsement remembers it.
    pub normal: String,
    pub why: Why,
    /// Where it was read, if it was.
    pub origins: Vec<Origin>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub verdict: Verdict,
    pub effect: Effect,
    pub findings: Vec<Finding>,
}

/// Decides about a call of `name` with `arguments` (JSON text) after `history`.
pub fn decide(
    history: &History,
    declared: &Declarations,
    name: &str,
    arguments: &str,
    approvals: &Approvals,
    now: Micros,
) -> Decision {
    let unknown = Tool::default();
    let tool = declared.get(name).unwrap_or(&unknown);
    if tool.effect == Effect::None {
        return Decision { verdict: Verdict::Allow, effect: Effect::None, findings: Vec::new() };
    }
    let text = if arguments.trim().is_empty() { "{}" } else { arguments };
    let mut values = Vec::new();
    let read = match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(map)) => {
            map.iter().all(|(key, value)| collect(key, key.clone(), value, 0, &mut values))
        }
        _ => false,
    };
    let mut findings = Vec::new();
    if read {
        let gate = Gate { history, tool, approvals, now };
        gate.flows(&values, &mut findings);
        values.iter().for_each(|value| gate.value(value, &mut findings));
    } else {
        findings.push(Finding::of_call(Why::Arguments));
    }
    let verdict = findings.iter().map(Finding::verdict).max().unwrap_or(Verdict::Allow);
    Decision { verdict, effect: tool.effect, findings }
}

/// A scalar argument.
struct Argument {
    /// The top-level argument it belongs to.
    name: String,
    path: String,
    text: String,
}

/// `false`: over a limit.
fn collect(name: &str, path: String, value: &Value, depth: usize, out: &mut Vec<Argument>) -> bool {
    if depth > DEPTH_MAX || out.len() >= VALUES_MAX {
        return false;
    }
    match value {
        // Yes and no say how, not where.
        Value::Null | Value::Bool(_) => true,
        Value::Array(items) => items
            .iter()
            .enumerate()
            .all(|(at, item)| collect(name, format!("{path}[{at}]"), item, depth + 1, out)),
        Value::Object(map) => {
            map.iter().all(|(key, item)| collect(name, format!("{path}.{key}"), item, depth + 1, out))
        }
        scalar => {
            let text = match scalar {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            if !text.trim().is_empty() {
                out.push(Argument { name: name.to_owned(), path, text });
            }
            true
        }
    }
}

struct Gate<'a> {
    history: &'a History,
    tool: &'a Tool,
    approvals: &'a Approvals,
    now: Micros,
}

impl Gate<'_> {
    fn target(&self, argument: &Argument) -> Option<Target> {
        match &self.tool.targets {
            Some(targets) => targets.get(argument.name.as_str()).cloned(),
            None => Some(Target::new(Kind::Text)),
        }
    }

    fn value(&self, argument: &Argument, findings: &mut Vec<Finding>) {
        let Some(target) = self.target(argument) else {
            for link in links::links(&argument.text) {
                let role = Target { kind: Kind::Url, role: Some("url".into()), own: Vec::new() };
                findings.extend(self.hold(argument, &role, link));
            }
            return;
        };
        findings.extend(self.hold(argument, &target, &argument.text));
    }

    /// What is the matter with one value of a target, if anything is.
    fn hold(&self, argument: &Argument, target: &Target, text: &str) -> Option<Finding> {
        let role = target.role.as_deref().unwrap_or(&argument.name);
        let finding = |why, normal: String| Finding {
            argument: argument.path.clone(),
            role: role.into(),
            value: text.to_owned(),
            normal,
            why,
            origins: self.history.seen(text),
        };
        if value::hidden(text) {
            return Some(finding(Why::Hidden, String::new()));
        }
        // A whole number that JSON wrote as a float is the same identifier.
        let plain = if target.kind == Kind::Exact { text.strip_suffix(".0").unwrap_or(text) } else { text };
        let Some(normal) = value::normal(target.kind, plain).filter(|n| n.len() <= TARGET_BYTES_MAX) else {
            return Some(finding(Why::Malformed, text.chars().take(TARGET_BYTES_MAX / 4).collect()));
        };
        match self.approvals.get(role, &normal, self.now) {
            Some(true) => return None,
            Some(false) => return Some(finding(Why::Refused, normal)),
            None => {}
        }
        if target.own.iter().any(|own| matches(own, &normal)) {
            return None;
        }
        if self.history.vouched(target.kind, plain, &normal) {
            return None;
        }
        let mut finding = finding(Why::Untrusted, normal);
        if finding.origins.is_empty() {
            if self.history.is_partial() {
                return None;
            }
            finding.why = Why::Unseen;
        }
        Some(finding)
    }

    /// Whether what was read may be told to those who will read it.
    fn flows(&self, values: &[Argument], findings: &mut Vec<Finding>) {
        if self.tool.effect != Effect::Egress {
            return;
        }
        if let Some(ceiling) = self.tool.ceiling
            && self.history.sensitivity() > ceiling
        {
            let read = self.history.sensitivity();
            findings.push(Finding::of_call(Why::Sensitivity { read, ceiling }));
        }
        if !flow::audience_fits(self.history, self.tool) && !self.endorsed("audience", "*") {
            findings.push(Finding::of_call(Why::Audience));
        }
        let receivers: Vec<String> =
            values.iter().filter(|v| self.target(v).is_some()).map(|v| value::words(&v.text)).collect();
        for argument in values.iter().filter(|v| self.target(v).is_none()) {
            let Some(leak) = flow::leak(self.history, &argument.text, &receivers) else { continue };
            let normal = format!("{} to {}", leak.word, receivers.join(", "));
            if self.endorsed("private", &normal) {
                continue;
            }
            findings.push(Finding {
                argument: argument.path.clone(),
                role: "private".into(),
                value: argument.text.clone(),
                normal,
                why: Why::Private { word: leak.word },
                origins: vec![leak.origin],
            });
        }
    }

    fn endorsed(&self, role: &str, normal: &str) -> bool {
        self.approvals.get(role, normal, self.now) == Some(true)
    }
}

/// `*` stands for one beginning without a separator, and only there.
fn matches(pattern: &str, normal: &str) -> bool {
    let pattern = pattern.to_lowercase();
    match pattern.strip_prefix('*') {
        Some(end) => normal.strip_suffix(end).is_some_and(|start| !start.is_empty() && !end.is_empty()),
        None => normal.to_lowercase() == pattern,
    }
}

impl Finding {
    fn of_call(why: Why) -> Finding {
        let role = if why == Why::Audience { "audience" } else { "call" };
        Finding {
            argument: String::new(),
            role: role.into(),
            value: String::new(),
            normal: if why == Why::Audience { "*".into() } else { String::new() },
            why,
            origins: Vec::new(),
        }
    }

    /// What it makes of the call.
    pub fn verdict(&self) -> Verdict {
        match self.why {
            Why::Untrusted | Why::Unseen | Why::Private { .. } | Why::Audience => Verdict::Ask,
            Why::Hidden | Why::Malformed | Why::Refused | Why::Sensitivity { .. } | Why::Arguments => {
                Verdict::Block
            }
        }
    }

    /// As a person reads it.
    pub fn sentence(&self) -> String {
        let shown: String = self.value.chars().take(200).flat_map(char::escape_debug).collect();
        let places = self.origins.iter().map(Origin::describe).collect::<Vec<_>>().join(", ");
        let argument = &self.argument;
        match &self.why {
            Why::Untrusted => format!("{argument} \"{shown}\" comes from {places}"),
            Why::Unseen => format!("{argument} \"{shown}\" stands in no text of the conversation"),
            Why::Hidden => format!("{argument} \"{shown}\" has characters that cannot be seen"),
            Why::Malformed => format!("{argument} \"{shown}\" is not a single value of its kind"),
            Why::Refused => format!("{argument} \"{shown}\" was refused in this session"),
            Why::Private { word } => {
                format!("{argument} tells \"{word}\" from {places} to somebody who is not a party of it")
            }
            Why::Audience => "what was read may not be read by all who read what this tool is given".into(),
            Why::Sensitivity { read, ceiling } => {
                format!("what was read is {read}, and this tool may be given {ceiling} at most")
            }
            Why::Arguments => "the arguments are not a JSON object of bounded size".into(),
        }
    }
}

impl Verdict {
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Allow => "allow",
            Verdict::Ask => "ask",
            Verdict::Block => "block",
        }
    }
}
