//! `Policy`: one rule of who may do what with which data, and the cases that
//! show it. One document is one policy: it is reviewed, compared and named as one.
//!
//! The text is Cedar, which crate `policy` reads; this kind knows its bounds,
//! what it says it does, and where each line of it stands.

use units::{Labels, Usd};

use crate::document::{model_name, object_name};
use crate::read::{Fields, Problems, long_text, text};
use crate::yaml::Node;

#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What it is for, in a sentence: shown to whoever it refuses.
    pub description: String,
    pub effect: PolicyEffect,
    /// One Cedar policy.
    pub cedar: String,
    pub tests: Vec<PolicyTest>,
}

/// What the text does when it applies: held against it, because it is what a
/// reviewer reads first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyEffect {
    Permit,
    Forbid,
}

/// A question, and the answer that the whole set must give.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyTest {
    pub name: String,
    pub question: Question,
    pub allowed: bool,
    /// A policy that must be among those that decide.
    pub by: Option<String>,
}

/// Who asks what, knowing what.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Question {
    pub team: String,
    /// `inference` unless told.
    pub role: String,
    /// What the key was granted; `None`: every model.
    pub models: Option<Vec<String>>,
    /// The user that an agent acts for.
    pub on_behalf_of: Option<String>,
    /// `invoke` unless told.
    pub action: String,
    /// Needed by `invoke` and `embed`.
    pub model: Option<String>,
    pub labels: Labels,
    pub purpose: Option<String>,
    pub region: Option<String>,
    pub budget_left: Option<Usd>,
    pub injection_score: Option<u16>,
    pub pii_types: Vec<String>,
}

/// Bytes of a policy's text; as crate `policy` has it.
const CEDAR_MAX: usize = 8 << 10;
const TESTS_MAX: usize = 64;

pub(crate) fn read(fields: &mut Fields) -> Option<Policy> {
    let at = fields.at;
    let description = fields.text("description");
    if !fields.has("description") {
        let hint = "say in a sentence what it is for; whoever it refuses reads it";
        fields.problems.missing("spec.description", at, hint);
    }
    let effects = [("permit", PolicyEffect::Permit), ("forbid", PolicyEffect::Forbid)];
    let effect = fields.choice("effect", &effects);
    if !fields.has("effect") {
        fields.problems.missing("spec.effect", at, "`permit` or `forbid`, as its text says");
    }
    let cedar =
        fields.take("cedar").and_then(|node| long_text(node, "spec.cedar", CEDAR_MAX, fields.problems));
    if !fields.has("cedar") {
        let hint = "write one Cedar policy: `cedar: |` and, indented, `forbid (principal, action, resource) when { ... };`";
        fields.problems.missing("spec.cedar", at, hint);
    }
    let nodes = fields.list("tests", TESTS_MAX).unwrap_or(&[]);
    let tests: Vec<Option<PolicyTest>> = nodes
        .iter()
        .enumerate()
        .map(|(index, node)| test(node, &format!("spec.tests[{index}]"), fields.problems))
        .collect();
    let tests = tests.into_iter().collect::<Option<Vec<_>>>()?;
    Some(Policy { description: description?, effect: effect?, cedar: cedar?, tests })
}

fn test(node: &Node, path: &str, problems: &Problems) -> Option<PolicyTest> {
    let mut fields = Fields::open(node, path, problems)?;
    let name = fields.text("name");
    let allowed = fields.choice("expect", &[("allow", true), ("deny", false)]);
    for (field, hint) in [("name", "say what it shows"), ("expect", "`allow` or `deny`")] {
        if !fields.has(field) {
            problems.missing(&format!("{path}.{field}"), node.at, hint);
        }
    }
    let by = fields.text("by");
    let question = question(&mut fields);
    fields.finish();
    Some(PolicyTest { name: name?, question: question?, allowed: allowed?, by })
}

fn question(fields: &mut Fields) -> Option<Question> {
    let named = |fields: &mut Fields, name: &'static str, valid: fn(&str) -> bool, expected: &str| {
        let node = fields.take(name)?;
        let path = fields.path_of(name);
        let value = text(node, &path, fields.problems)?;
        if !valid(&value) {
            fields.problems.wrong(&path, node, expected);
        }
        Some(value)
    };
    let team = named(fields, "team", object_name, "the name of a team");
    if !fields.has("team") {
        let path = fields.path_of("team");
        fields.problems.missing(&path, fields.at, "name the team whose key asks");
    }
    let words = |fields: &mut Fields, name: &'static str| {
        let path = fields.path_of(name);
        let nodes = fields.list(name, 64)?;
        Some(nodes.iter().filter_map(|node| text(node, &path, fields.problems)).collect::<Vec<_>>())
    };
    let labels = "labels as `confidential eu user`: a sensitivity, zones joined by `+`, an integrity";
    let read = Question {
        team: team.clone().unwrap_or_default(),
        role: fields.text("role").unwrap_or_else(|| "inference".into()),
        models: words(fields, "models"),
        on_behalf_of: fields.text("onBehalfOf"),
        action: fields.text("action").unwrap_or_else(|| "invoke".into()),
        model: named(fields, "model", model_name, "the name of a model"),
        labels: fields.parsed("labels", labels).unwrap_or_default(),
        purpose: fields.text("purpose"),
        region: fields.text("region"),
        budget_left: fields.parsed("budgetLeft", "an exact amount in USD, such as \"1.50\""),
        injection_score: fields.number("injectionScore", 0, 100).and_then(|n| u16::try_from(n).ok()),
        pii_types: words(fields, "piiTypes").unwrap_or_default(),
    };
    team.map(|_| read)
}
