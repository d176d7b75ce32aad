//! The policy set: Cedar, compiled once per change of the declared policies.
//!
//! At most [`POLICIES_MAX`] reviewed policies, built-in ones included: Cedar is
//! linear in their number, and a set that nobody can read is no control. What
//! grows with the company (teams, keys, models, who was granted what) is data in
//! the [`World`](crate::World), not policy.
//!
//! Stricter than Cedar in one point: a policy that fails while it is evaluated
//! denies the request, where Cedar would leave that policy out.

mod ask;
mod builtin;
mod compile;
mod world;

#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};

use cedar_policy::{Authorizer, Context, Entities, Request};
use report::Report;

pub use ask::{Act, Facts, Object, Subject};
pub use compile::{Declared, Effect, Problem, SCHEMA_TEXT};
pub use world::{ModelFacts, TeamFacts, World};

use builtin::BUILTIN;

/// Built-in and declared together.
pub const POLICIES_MAX: usize = 32;
/// Bytes of one policy's text.
pub const TEXT_MAX: usize = 8 << 10;

/// A compiled, immutable set.
pub struct PolicySet {
    policies: cedar_policy::PolicySet,
    /// By id, sorted: what each is for.
    about: Vec<(Arc<str>, Arc<str>)>,
    hash: [u8; 32],
    /// Set when the declared policies could not be read: nothing but
    /// administration is allowed then.
    closed: Option<String>,
}

/// What the set said, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    /// The ids of the policies that decided, sorted. Empty: none permitted it.
    pub determining: Vec<Arc<str>>,
    /// A policy failed: which, and how.
    pub failed: Option<String>,
}

static AUTHORIZER: LazyLock<Authorizer> = LazyLock::new(Authorizer::new);

impl PolicySet {
    /// SHA-256 over the schema and every policy: its id, effect and text, in
    /// the order of ids. Where a text stood, and space at its ends, changes nothing.
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }
    /// The first twelve digits, as people compare them.
    pub fn short_hash(&self) -> String {
        self.hash[..6].iter().map(|byte| format!("{byte:02x}")).collect()
    }
    /// Every policy with what it is for, by id.
    pub fn about(&self) -> &[(Arc<str>, Arc<str>)] {
        &self.about
    }
    /// Why nothing but administration is allowed, if so.
    pub fn closed(&self) -> Option<&str> {
        self.closed.as_deref()
    }

    /// The decision for one principal.
    pub fn decide(
        &self,
        world: &World,
        subject: &Subject,
        act: Act,
        object: &Object,
        facts: &Facts<'_>,
    ) -> Decision {
        if let Some(why) = self.closed.as_ref().filter(|_| !act.is_admin()) {
            return Decision::failed(why.clone());
        }
        let context = match facts.context() {
            Ok(context) => context,
            Err(why) => return Decision::failed(why),
        };
        let around = match world.around(subject, act, object) {
            Ok(around) => around,
            Err(why) => return Decision::failed(why),
        };
        self.evaluate(subject, act, object, context, around.as_ref().unwrap_or(world.entities()))
    }

    /// The decision for an agent: what both it and its user may do. A user that
    /// it acts for never adds a right, so what the agent says of its user need
    /// not be proven to be safe.
    pub fn decide_both(
        &self,
        world: &World,
        agent: &Subject,
        user: &Subject,
        act: Act,
        object: &Object,
        facts: &Facts<'_>,
    ) -> Decision {
        let own = self.decide(world, agent, act, object, facts);
        if !own.allowed {
            return own;
        }
        let theirs = self.decide(world, user, act, object, facts);
        if !theirs.allowed {
            return theirs;
        }
        let mut determining = own.determining;
        determining.extend(theirs.determining);
        determining.sort_unstable();
        determining.dedup();
        Decision { allowed: true, determining, failed: None }
    }

    fn evaluate(
        &self,
        subject: &Subject,
        act: Act,
        object: &Object,
        context: Context,
        entities: &Entities,
    ) -> Decision {
        // Without a schema: the context and the entities are built by this
        // crate's own typed code, which a test holds against the schema.
        let request =
            Request::new(subject.uid().clone(), act.uid().clone(), object.uid().clone(), context, None);
        let request = match request {
            Ok(request) => request,
            Err(error) => return Decision::failed(error.to_string()),
        };
        let response = AUTHORIZER.is_authorized(&request, &self.policies, entities);
        if let Some(error) = response.diagnostics().errors().next() {
            return Decision::failed(error.to_string());
        }
        let known = |id: &cedar_policy::PolicyId| {
            let id: &str = id.as_ref();
            let at = self.about.binary_search_by(|(known, _)| (**known).cmp(id));
            at.map_or_else(|_| Arc::from(id), |at| Arc::clone(&self.about[at].0))
        };
        let mut determining: Vec<Arc<str>> = response.diagnostics().reason().map(known).collect();
        determining.sort_unstable();
        let allowed = response.decision() == cedar_policy::Decision::Allow;
        Decision { allowed, determining, failed: None }
    }

    /// A denial as a client is told: which policy, and what it is for.
    pub fn report(&self, decision: &Decision, act: Act, what: &str) -> Report {
        if let Some(why) = &decision.failed {
            return Report::new(
                "PO0002",
                format!("whether the key may {} {what} could not be decided", act.verb()),
            )
            .because(why.clone())
            .hint(
                "what cannot be decided is denied; an operator sees the cause with `bedplate policy list`",
            );
        }
        let about = |id: &Arc<str>| {
            let found = self.about.iter().find(|(known, _)| known == id);
            found.map_or("", |(_, about)| about.trim_end_matches('.'))
        };
        if decision.determining.is_empty() {
            let grant = if matches!(act, Act::Invoke | Act::Embed) {
                "the model must be in the key's list and in its team's catalogue, where there are such lists"
            } else {
                "what nothing permits is denied"
            };
            return Report::new("PO0001", format!("no policy permits the key to {} {what}", act.verb()))
                .because(grant)
                .hint("`bedplate policy explain` shows the decision; an admin widens the catalogue or declares a Policy");
        }
        let ids: Vec<&str> = decision.determining.iter().map(AsRef::as_ref).collect();
        let because: Vec<&str> = decision.determining.iter().map(about).filter(|a| !a.is_empty()).collect();
        Report::new("PO0001", format!("policy {} forbids to {} {what}", ids.join(", "), act.verb()))
            .because(because.join("; "))
            .hint("`bedplate explain REQUEST_ID` shows what it was decided on")
    }

    /// Whether the declared policies could be changed under this set by at
    /// least one of `admins`: those whose role lets them.
    pub fn can_be_changed(&self, world: &World, admins: &[Subject]) -> bool {
        let facts = Facts::of_an_admin();
        admins
            .iter()
            .any(|admin| self.decide(world, admin, Act::AdminPolicies, &Object::deployment(), &facts).allowed)
    }
}

/// Reads any bytes as the text of a policy, and asks the set that comes of it:
/// the entry of the fuzz target. Never panics.
pub fn fuzz(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for effect in [Effect::Permit, Effect::Forbid] {
        let declared = [Declared { id: "fuzz", description: "", effect, text }];
        if let Ok(set) = PolicySet::compile(&declared) {
            let key = Subject::service::<&str>("a", "b", "inference", None);
            let facts = Facts::of_an_admin();
            let _ = set.decide(&World::empty(), &key, Act::AdminRead, &Object::deployment(), &facts);
            assert_eq!(*set.hash(), PolicySet::hash_of(&declared));
        }
    }
}

impl Decision {
    fn failed(why: String) -> Decision {
        Decision { allowed: false, determining: Vec::new(), failed: Some(why) }
    }
    /// Whether one policy alone decided.
    pub fn is_by(&self, id: &str) -> bool {
        matches!(self.determining.as_slice(), [only] if **only == *id)
    }
}
