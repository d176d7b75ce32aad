//! The policy set is asked: at admission, and again before the plan when what
//! is known of the data has changed since.

use policy::{Act, Decision, Facts, Object, Principal, Purpose, Subject};
use report::Report;
use store::Judged;
use store::documents::Collection;
use units::{Labels, Usd};

use crate::account::Account;
use crate::{Route, Snapshot, Surface, label};

/// What guards found, beside the labels that they raised.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Findings {
    /// 0 to 100; `None`: the sensor did not look.
    pub injection_score: Option<u16>,
    /// Sorted, each once.
    pub pii_types: Vec<String>,
}

/// A question about one request.
pub(crate) struct Question<'a> {
    pub snapshot: &'a Snapshot,
    pub principal: &'a Principal,
    pub on_behalf_of: Option<&'a str>,
    pub route: &'a Route,
    pub surface: Surface,
    pub labels: &'a Labels,
    pub findings: &'a Findings,
    pub budget_left: Option<Usd>,
}

/// On whose behalf the policy set is asked.
pub(crate) struct Asker<'a> {
    pub snapshot: &'a Snapshot,
    pub principal: &'a Principal,
    pub on_behalf_of: Option<&'a str>,
}

impl Asker<'_> {
    /// The decision, and what the record keeps of it.
    pub fn ask(&self, act: Act, object: &Object, facts: &Facts<'_>) -> (Decision, Judged) {
        let decision = self.decide(act, object, facts);
        let judged = Judged {
            allowed: decision.allowed,
            hash: *self.snapshot.policies.hash(),
            determining: decision.determining.iter().map(ToString::to_string).collect(),
            action: act.name().into(),
            purpose: facts.purpose.into(),
            on_behalf_of: self.on_behalf_of.map(str::to_owned),
            budget_left: facts.budget_left,
            injection_score: facts.injection_score,
            pii_types: facts.pii_types.to_vec(),
            region: None,
        };
        (decision, judged)
    }

    fn decide(&self, act: Act, object: &Object, facts: &Facts<'_>) -> Decision {
        let (policies, world) = (&self.snapshot.policies, &self.snapshot.world);
        let (team, key) = (&*self.principal.team_name, &*self.principal.key_name);
        let models = self.principal.models.as_deref();
        let role = self.principal.role.name();
        // A principal that no key stands for any more is asked as what it was.
        let own = || Subject::service(team, key, role, models);
        let Some(user) = self.on_behalf_of else {
            return policies.decide(world, &world.key(team, key).unwrap_or_else(own), act, object, facts);
        };
        let agent = match self.principal.acting_for {
            Some(_) => world.key(team, key),
            None => None,
        };
        let agent = agent.unwrap_or_else(|| Subject::agent(team, key, role, models));
        policies.decide_both(world, &agent, &Subject::user(user), act, object, facts)
    }
}

impl Question<'_> {
    /// The decision, as the record keeps it and, if it is no, as the client is told.
    pub fn ask(&self) -> (Judged, Result<(), Report>) {
        let purpose = self.surface.purpose();
        let act = act(purpose);
        let facts = Facts {
            budget_left: self.budget_left,
            injection_score: self.findings.injection_score,
            pii_types: &self.findings.pii_types,
            on_behalf_of: self.on_behalf_of,
            ..Facts::of(self.labels, purpose)
        };
        let Question { snapshot, principal, on_behalf_of, .. } = *self;
        let asker = Asker { snapshot, principal, on_behalf_of };
        let (decision, judged) = asker.ask(act, &Object::model(&self.route.name), &facts);
        let verdict = if decision.allowed { Ok(()) } else { Err(self.refusal(&decision, act)) };
        (judged, verdict)
    }

    fn refusal(&self, decision: &Decision, act: Act) -> Report {
        // That no target may have the data is told with each target's reason.
        let by_labels = ["bedplate-residency", "bedplate-sensitivity"];
        if !decision.determining.is_empty()
            && decision.determining.iter().all(|id| by_labels.contains(&&**id))
            && !self.route.targets.is_empty()
        {
            return label::nowhere(self.route, self.labels, self.surface.purpose());
        }
        self.snapshot.policies.report(decision, act, &format!("model \"{}\"", self.route.name))
    }
}

/// Whether the policy set lets whoever asks read from a collection of their team.
pub(crate) fn may_retrieve(
    snapshot: &Snapshot,
    principal: &Principal,
    on_behalf_of: Option<&str>,
    collection: &Collection,
) -> Result<(), Report> {
    let object =
        Object::collection(&collection.name, &[&*principal.team_name], collection.labels.sensitivity);
    let called = format!("collection \"{}\"", collection.name);
    may(snapshot, principal, on_behalf_of, Act::Retrieve, &object, &collection.labels, &called)
}

/// Whether it lets whoever asks, and the user that they act for, act on something.
pub(crate) fn may(
    snapshot: &Snapshot,
    principal: &Principal,
    on_behalf_of: Option<&str>,
    act: Act,
    object: &Object,
    labels: &Labels,
    called: &str,
) -> Result<(), Report> {
    let (policies, world) = (&snapshot.policies, &snapshot.world);
    let (team, key) = (&*principal.team_name, &*principal.key_name);
    let facts = Facts { on_behalf_of, ..Facts::new(labels, "retrieval") };
    let stranger = || Subject::service(team, key, principal.role.name(), principal.models.as_deref());
    let own = world.key(team, key).unwrap_or_else(stranger);
    let decision = match on_behalf_of {
        None => policies.decide(world, &own, act, object, &facts),
        Some(user) => policies.decide_both(world, &own, &Subject::user(user), act, object, &facts),
    };
    if decision.allowed {
        return Ok(());
    }
    Err(policies.report(&decision, act, called))
}

const fn act(purpose: Purpose) -> Act {
    match purpose {
        Purpose::Embedding => Act::Embed,
        _ => Act::Invoke,
    }
}

impl Account {
    /// Notes what a guard found. Like labels, findings only grow.
    pub fn found(&mut self, injection_score: Option<u16>, pii_types: impl IntoIterator<Item = String>) {
        let before = self.findings.clone();
        let mine = &mut self.findings;
        mine.injection_score = mine.injection_score.max(injection_score);
        mine.pii_types.extend(pii_types);
        mine.pii_types.sort_unstable();
        mine.pii_types.dedup();
        self.changed |= self.findings != before;
    }

    /// Asks again, if anything that the last decision was made on has changed.
    pub fn judge_again(&mut self) -> Result<(), Report> {
        if !std::mem::take(&mut self.changed) {
            return Ok(());
        }
        let (judged, verdict) = Question {
            snapshot: &self.snapshot,
            principal: &self.principal,
            on_behalf_of: self.judged.on_behalf_of.as_deref(),
            route: &self.route,
            surface: self.surface,
            labels: &self.labels,
            findings: &self.findings,
            budget_left: self.judged.budget_left,
        }
        .ask();
        self.judged = judged;
        verdict
    }
}
