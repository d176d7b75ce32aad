//! From what guards declare to what runs: the machines of a route.
//!
//! Several guards on one route become one shield. For each kind the strictest
//! action of any guard counts, so that adding a guard never weakens another, and
//! text is scanned once however many guards there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::hold::Watch;
use crate::machine::{Machine, Rule};
use crate::script::Script;
use crate::soft::Rules;
use crate::verdict::{Action, Detector, Kind};
use crate::{pii, secrets};

/// One guard, as declared.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Spec {
    pub name: Arc<str>,
    /// Looks at requests.
    pub input: bool,
    /// Looks at answers.
    pub output: bool,
    /// By kind of [`Kind::PERSONAL`].
    pub personal: Vec<(Kind, Action)>,
    /// Vendors' formats, private keys, tokens, connection strings.
    pub secrets: Action,
    /// Secrets that this deployment holds.
    pub known: Action,
    pub canaries: Action,
    pub deny: Vec<Deny>,
    pub injection: Option<Sensor>,
    pub limits: Limits,
    pub remote: Option<Remote>,
    pub release: Release,
}

/// Phrases that must not pass, in any case of ASCII letters, as whole words.
#[derive(Clone, Debug, PartialEq)]
pub struct Deny {
    pub phrases: Vec<String>,
    pub action: Action,
    /// In answers it is judged a sentence at a time, and not held back by the byte.
    pub soft: bool,
}

/// How much of an answer may wait for the verdict of soft rules, and for how long:
/// what is beyond either goes, and its verdict comes late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// Of text, over all choices.
    pub bytes: usize,
    pub ms: u32,
}

impl Default for Release {
    /// A long paragraph, and as long as a reader takes for a pause.
    fn default() -> Release {
        Release { bytes: 1024, ms: 500 }
    }
}

/// When the injection sensor speaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sensor {
    /// From 0 to 1.
    pub threshold: f32,
    pub action: Action,
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Limits {
    pub input_characters: Option<u64>,
    pub output_characters: Option<u64>,
    /// The scripts that text may be written in; empty: all.
    pub scripts: Vec<Script>,
    pub action: Action,
}

/// A detector outside of this process. The core never calls it: see
/// [`crate::Need`].
#[derive(Clone, Debug, PartialEq)]
pub struct Remote {
    pub url: String,
    pub timeout_ms: u32,
    /// What counts when it does not answer in time: go on, or block.
    pub fail_open: bool,
    pub action: Action,
}

/// What this deployment looks for by value.
#[derive(Clone, Copy, Default)]
pub struct Secrets<'a> {
    pub known: &'a [Vec<u8>],
    pub canaries: &'a [Vec<u8>],
}

/// The compiled guards of a route.
#[derive(Clone, Default)]
pub struct Shield {
    pub(crate) names: Vec<Arc<str>>,
    pub(crate) input: Side,
    pub(crate) output: Side,
}

/// One direction.
#[derive(Clone, Default)]
pub(crate) struct Side {
    pub watches: Vec<Watch>,
    pub sensors: Vec<Sensor>,
    pub limits: Vec<Limits>,
    pub remotes: Vec<Remote>,
    /// Of answers: what is judged by the sentence.
    pub soft: Rules,
}

const DENY: Detector = Detector { name: "deny", version: 1 };
const CANARY: Detector = Detector { name: "canary", version: 1 };

impl Shield {
    /// Compiles guards. The order of `specs` does not matter.
    pub fn new(specs: &[&Spec], secrets: Secrets<'_>) -> Shield {
        let mut names: Vec<Arc<str>> = specs.iter().map(|s| Arc::clone(&s.name)).collect();
        names.sort();
        names.dedup();
        let sides =
            |of: fn(&Spec) -> bool| -> Vec<&Spec> { specs.iter().copied().filter(|s| of(s)).collect() };
        let (input, output) = (sides(|s| s.input), sides(|s| s.output));
        let known = machine(Kind::KnownSecret, secrets::DETECTOR, secrets.known);
        let canary = machine(Kind::Canary, CANARY, secrets.canaries);
        Shield {
            names,
            input: Side::new(&input, known.as_ref(), canary.as_ref(), false),
            output: Side::new(&output, known.as_ref(), canary.as_ref(), true),
        }
    }
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }
    /// Whether requests must be read at all.
    pub fn looks_at_input(&self) -> bool {
        self.input.is_active()
    }
    /// Whether answers must be read; a route without this keeps splicing bytes.
    pub fn looks_at_output(&self) -> bool {
        self.output.is_active()
    }
    /// Bytes of automata, shared ones counted for each use.
    pub fn size(&self) -> usize {
        self.input.watches.iter().chain(&self.output.watches).map(|w| w.machine.size()).sum()
    }
}

/// The texts that no answer may hold where guards replace or end what they find in
/// answers: known secrets and canaries in all encodings. For a target that can be
/// kept from saying them; the guards stay behind it.
pub fn unsaid(specs: &[&Spec], secrets: Secrets<'_>) -> Vec<Vec<u8>> {
    let holds = |of: fn(&Spec) -> Action| specs.iter().any(|s| s.output && of(s).holds());
    let known = if holds(|s| s.known) { secrets.known } else { &[] };
    let canaries = if holds(|s| s.canaries) { secrets.canaries } else { &[] };
    let texts = [known, canaries].map(|of| secrets::literals(of.iter().map(Vec::as_slice)));
    texts.into_iter().flatten().map(|(text, _)| text).collect()
}

fn machine(kind: Kind, detector: Detector, texts: &[Vec<u8>]) -> Option<Arc<Machine>> {
    secrets::known(kind, detector, texts.iter().map(Vec::as_slice)).map(Arc::new)
}

impl Deny {
    /// Looks for its phrases; `None` when it has none.
    pub(crate) fn machine(&self) -> Option<Arc<Machine>> {
        let phrases = self.phrases.iter().map(|p| p.trim()).filter(|p| !p.is_empty());
        let literals: Vec<(Vec<u8>, usize)> = phrases.map(|p| (p.as_bytes().to_vec(), 0)).collect();
        if literals.is_empty() {
            return None;
        }
        let rules = vec![Rule { name: "", kind: Kind::Denied, check: None }];
        Machine::literals(DENY, rules, &literals, true, true).map(Arc::new)
    }
}

impl Side {
    fn new(
        specs: &[&Spec],
        known: Option<&Arc<Machine>>,
        canary: Option<&Arc<Machine>>,
        answers: bool,
    ) -> Side {
        let mut side = Side::default();
        let strictest = |of: fn(&Spec) -> Action| specs.iter().map(|s| of(s)).max().unwrap_or_default();
        let mut add = |machine: Option<&Arc<Machine>>, action: Action| {
            if let Some(machine) = machine.filter(|_| action > Action::Allow) {
                side.watches.push(Watch::new(Arc::clone(machine), |_| action));
            }
        };
        add(known, strictest(|s| s.known));
        add(canary, strictest(|s| s.canaries));
        add(Some(secrets::vendors()), strictest(|s| s.secrets));
        let mut personal = BTreeMap::<Kind, Action>::new();
        for (kind, action) in specs.iter().flat_map(|s| &s.personal) {
            let strictest = personal.entry(*kind).or_default();
            *strictest = (*strictest).max(*action);
        }
        for (kind, machine) in pii::machines() {
            add(Some(machine), personal.get(kind).copied().unwrap_or_default());
        }
        // In answers the soft ones are judged by the sentence: see `soft`.
        for deny in specs.iter().flat_map(|s| &s.deny).filter(|d| !(answers && d.soft)) {
            add(deny.machine().as_ref(), deny.action);
        }
        for spec in specs {
            side.sensors.extend(spec.injection);
            side.remotes.extend(spec.remote.clone());
            if spec.limits != Limits::default() {
                side.limits.push(spec.limits.clone());
            }
        }
        if answers {
            side.soft = Rules::new(specs);
        }
        side
    }
    fn is_active(&self) -> bool {
        !(self.watches.is_empty()
            && self.sensors.is_empty()
            && self.limits.is_empty()
            && self.remotes.is_empty()
            && self.soft.is_empty())
    }
}
