//! From texts to a set: parsed, checked against the schema, hashed. Every
//! problem is told with its line.

use std::sync::{Arc, LazyLock};

use cedar_policy::{Policy, PolicyId, Schema, ValidationMode, Validator};
use miette::Diagnostic;
use ring::digest::{Context as Digest, SHA256};

use super::{BUILTIN, POLICIES_MAX, PolicySet, TEXT_MAX};

/// What policies can speak about, in Cedar's notation for schemas.
pub const SCHEMA_TEXT: &str = include_str!("bedplate.cedarschema");

pub(super) static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let (schema, _warnings) = Schema::from_cedarschema_str(SCHEMA_TEXT).expect("a test compiles the schema");
    schema
});

/// What a policy does when it applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Permit,
    Forbid,
}

impl Effect {
    pub const fn name(self) -> &'static str {
        match self {
            Effect::Permit => "permit",
            Effect::Forbid => "forbid",
        }
    }
}

/// A policy as its manifest declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared<'a> {
    pub id: &'a str,
    /// What it is for, for whoever reviews it or is refused by it.
    pub description: &'a str,
    /// What its author says it does: held against the text.
    pub effect: Effect,
    pub text: &'a str,
}

/// What is wrong with a declared policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Empty: with the set as a whole.
    pub policy: String,
    /// Line of its text, from 1.
    pub line: usize,
    pub what: String,
    pub help: Option<String>,
}

impl PolicySet {
    /// The built-in policies alone.
    pub fn builtin() -> PolicySet {
        PolicySet::compile(&[]).unwrap_or_else(|problems| PolicySet::closed_by(&problems))
    }

    /// Built-in and declared policies.
    ///
    /// # Errors
    /// Every problem found; a set that has one does not exist.
    pub fn compile(declared: &[Declared<'_>]) -> Result<PolicySet, Vec<Problem>> {
        let of_all = |what: String, help: &str| {
            vec![Problem { policy: String::new(), line: 0, what, help: Some(help.into()) }]
        };
        if declared.len() + BUILTIN.len() > POLICIES_MAX {
            let most = POLICIES_MAX - BUILTIN.len();
            return Err(of_all(
                format!("{} policies are declared; the limit is {most}", declared.len()),
                "who may use what is data: put it in a team's `models` or a key's list, not into policies",
            ));
        }
        let mut problems = Vec::new();
        let mut parsed = Vec::new();
        for policy in all(declared) {
            match parse(&policy) {
                Ok(read) => parsed.push(read),
                Err(found) => problems.extend(found),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let policies = cedar_policy::PolicySet::from_policies(parsed)
            .map_err(|e| of_all(e.to_string(), "each policy has an id of its own"))?;
        let result = Validator::new(SCHEMA.clone()).validate(&policies, ValidationMode::Strict);
        let text =
            |id: &PolicyId| all(declared).find(|p| p.id == AsRef::<str>::as_ref(id)).map_or("", |p| p.text);
        problems.extend(
            result.validation_errors().map(|e| problem(e, e.policy_id().as_ref(), text(e.policy_id()))),
        );
        if problems.is_empty() {
            // A policy that can never apply, or that reads otherwise than it looks, is a mistake too.
            problems.extend(
                result.validation_warnings().map(|w| problem(w, w.policy_id().as_ref(), text(w.policy_id()))),
            );
        }
        if !problems.is_empty() {
            problems.sort_by(|a, b| (&a.policy, a.line, &a.what).cmp(&(&b.policy, b.line, &b.what)));
            // Once for each action that the policy is about; the first says it.
            problems.dedup_by(|a, b| (&a.policy, a.line) == (&b.policy, b.line));
            return Err(problems);
        }
        let mut about: Vec<(Arc<str>, Arc<str>)> =
            all(declared).map(|p| (Arc::from(p.id), Arc::from(p.description.trim()))).collect();
        about.sort();
        Ok(PolicySet { policies, about, hash: PolicySet::hash_of(declared), closed: None })
    }

    /// What is in force when stored policies cannot be read any more (a newer
    /// schema, a damaged store): administration, to mend it, and nothing else.
    pub fn closed_by(problems: &[Problem]) -> PolicySet {
        let first = problems.first().map_or_else(String::new, |p| format!("{}: {}", p.policy, p.what));
        let policies = builtin().filter_map(|p| parse(&p).ok());
        let policies = cedar_policy::PolicySet::from_policies(policies).unwrap_or_default();
        PolicySet {
            policies,
            about: builtin().map(|p| (p.id.into(), p.description.into())).collect(),
            hash: [0; 32],
            closed: Some(format!("the declared policies cannot be read: {first}")),
        }
    }

    /// The hash that [`PolicySet::compile`] would give them, without compiling.
    pub fn hash_of(declared: &[Declared<'_>]) -> [u8; 32] {
        let mut texts: Vec<Declared<'_>> = all(declared).collect();
        texts.sort_by_key(|p| p.id);
        let mut digest = Digest::new(&SHA256);
        let mut part = |text: &str| {
            digest.update(&(text.len() as u64).to_be_bytes());
            digest.update(text.as_bytes());
        };
        part("bedplate policy set 1");
        part(SCHEMA_TEXT);
        for policy in texts {
            part(policy.id);
            part(policy.effect.name());
            part(policy.text.trim());
        }
        digest.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

fn builtin() -> impl Iterator<Item = Declared<'static>> {
    BUILTIN.iter().map(|(id, description, text)| Declared {
        id,
        description,
        effect: if text.starts_with("permit") { Effect::Permit } else { Effect::Forbid },
        text,
    })
}

fn all<'d>(declared: &[Declared<'d>]) -> impl Iterator<Item = Declared<'d>> {
    let builtin: Vec<Declared<'d>> = builtin().collect();
    builtin.into_iter().chain(declared.iter().copied())
}

fn parse(policy: &Declared<'_>) -> Result<Policy, Vec<Problem>> {
    let one = |line, what: String, help: Option<&str>| {
        vec![Problem { policy: policy.id.into(), line, what, help: help.map(str::to_owned) }]
    };
    if policy.text.len() > TEXT_MAX {
        return Err(one(
            1,
            format!("the text has {} bytes; the limit is {TEXT_MAX}", policy.text.len()),
            None,
        ));
    }
    let nested = depth(policy.text);
    if nested > DEPTH_MAX {
        return Err(one(1, format!("the text is nested {nested} deep; the limit is {DEPTH_MAX}"), None));
    }
    let read = Policy::parse(Some(PolicyId::new(policy.id)), policy.text).map_err(|errors| {
        errors.iter().map(|error| problem(error, policy.id, policy.text)).collect::<Vec<_>>()
    })?;
    let does = match read.effect() {
        cedar_policy::Effect::Permit => Effect::Permit,
        cedar_policy::Effect::Forbid => Effect::Forbid,
    };
    if does != policy.effect {
        let what = format!("it is declared to {} and its text says {}", policy.effect.name(), does.name());
        return Err(one(
            1,
            what,
            Some("`effect` and the text must say the same: it is what a reviewer reads first"),
        ));
    }
    Ok(read)
}

/// Deeper than anybody writes, and far from what a thread's stack holds.
const DEPTH_MAX: usize = 48;

/// How deeply anything in the text can nest: brackets, and operators that stack before a term.
fn depth(text: &str) -> usize {
    let (mut open, mut most, mut prefix) = (0usize, 0usize, 0usize);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            b'!' | b'-' => prefix += 1,
            b' ' | b'\n' | b'\t' | b'\r' => continue,
            _ => prefix = 0,
        }
        most = most.max(open + prefix);
    }
    // `if a then if b then ...` nests without brackets.
    most + text.matches("if ").count().saturating_sub(1)
}

fn problem(error: &(impl Diagnostic + ?Sized), policy: &str, text: &str) -> Problem {
    let at = error.labels().and_then(|mut labels| labels.next()).map_or(0, |label| label.offset());
    let line = text.as_bytes().iter().take(at).filter(|b| **b == b'\n').count() + 1;
    Problem {
        policy: policy.into(),
        line,
        what: error.to_string().chars().take(400).collect(),
        help: error.help().map(|h| h.to_string().chars().take(400).collect()),
    }
}
