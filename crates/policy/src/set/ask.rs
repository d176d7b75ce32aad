//! A question to the policy set: who, what, on which thing, knowing what.

use std::collections::HashSet;
use std::sync::LazyLock;

use cedar_policy::{Context, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression as Value};
use units::{Labels, Residency, Usd, Zone};

use crate::Purpose;

/// The actions of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    Invoke,
    Embed,
    Retrieve,
    CallTool,
    UsePrompt,
    CacheRead,
    CacheWrite,
    MemoryRead,
    MemoryWrite,
    Export,
    AdminRead,
    AdminRecords,
    AdminWrite,
    AdminKeys,
    AdminPolicies,
}

impl Act {
    pub const ALL: [Act; 15] = [
        Act::Invoke,
        Act::Embed,
        Act::Retrieve,
        Act::CallTool,
        Act::UsePrompt,
        Act::CacheRead,
        Act::CacheWrite,
        Act::MemoryRead,
        Act::MemoryWrite,
        Act::Export,
        Act::AdminRead,
        Act::AdminRecords,
        Act::AdminWrite,
        Act::AdminKeys,
        Act::AdminPolicies,
    ];
    /// As policies and records name it.
    pub const fn name(self) -> &'static str {
        match self {
            Act::Invoke => "invoke",
            Act::Embed => "embed",
            Act::Retrieve => "retrieve",
            Act::CallTool => "call_tool",
            Act::UsePrompt => "use_prompt",
            Act::CacheRead => "cache_read",
            Act::CacheWrite => "cache_write",
            Act::MemoryRead => "memory_read",
            Act::MemoryWrite => "memory_write",
            Act::Export => "export",
            Act::AdminRead => "admin_read",
            Act::AdminRecords => "admin_records",
            Act::AdminWrite => "admin_write",
            Act::AdminKeys => "admin_keys",
            Act::AdminPolicies => "admin_policies",
        }
    }
    pub fn from_name(name: &str) -> Option<Act> {
        Act::ALL.into_iter().find(|act| act.name() == name)
    }
    pub const fn is_admin(self) -> bool {
        matches!(
            self,
            Act::AdminRead | Act::AdminRecords | Act::AdminWrite | Act::AdminKeys | Act::AdminPolicies
        )
    }
    /// As in "the key may not ...".
    pub const fn verb(self) -> &'static str {
        match self {
            Act::Invoke => "invoke",
            Act::Embed => "embed with",
            Act::Retrieve => "retrieve from",
            Act::CallTool => "call",
            Act::UsePrompt => "use",
            Act::CacheRead | Act::MemoryRead => "read",
            Act::CacheWrite | Act::MemoryWrite => "write to",
            Act::Export => "export from",
            Act::AdminRead => "read the set-up of",
            Act::AdminRecords => "read the records of",
            Act::AdminWrite => "change the set-up of",
            Act::AdminKeys => "change the keys of",
            Act::AdminPolicies => "change the policies of",
        }
    }
    pub(super) fn uid(self) -> &'static EntityUid {
        static UIDS: LazyLock<Vec<EntityUid>> =
            LazyLock::new(|| Act::ALL.iter().map(|act| uid(Kind::Action, act.name())).collect());
        let at = Act::ALL.iter().position(|act| *act == self).expect("ALL has every action");
        &UIDS[at]
    }
}

/// The entity types of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Action,
    Agent,
    Collection,
    Deployment,
    Model,
    Org,
    Prompt,
    Service,
    Space,
    Team,
    Tool,
    User,
}

/// Parsed once: a type's name costs more to parse than a whole decision.
pub(super) fn uid(kind: Kind, id: &str) -> EntityUid {
    static TYPES: LazyLock<Vec<EntityTypeName>> = LazyLock::new(|| {
        let names = [
            "Action",
            "Agent",
            "Collection",
            "Deployment",
            "Model",
            "Org",
            "Prompt",
            "Service",
            "Space",
            "Team",
            "Tool",
            "User",
        ];
        names.iter().map(|name| name.parse().expect("an identifier is a type's name")).collect()
    });
    EntityUid::from_type_name_and_id(TYPES[kind as usize].clone(), EntityId::new(id))
}

/// A set of texts.
pub(super) fn texts<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> Value {
    Value::new_set(items.into_iter().map(|item| Value::new_string(item.as_ref().into())))
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Subject {
    uid: EntityUid,
    /// Itself, when the world does not know it: an agent, a principal of a token.
    pub(super) stranger: Option<Entity>,
    /// Whom it is in, by the world's own names.
    pub(super) parents: Vec<EntityUid>,
}

impl Subject {
    /// A key, `team/name`.
    pub fn key(team: &str, name: &str) -> Subject {
        Subject::known(uid(Kind::Service, &format!("{team}/{name}")))
    }
    pub(super) fn agent_key(team: &str, name: &str) -> Subject {
        Subject::known(uid(Kind::Agent, &format!("{team}/{name}")))
    }
    pub fn user(name: &str) -> Subject {
        Subject::known(uid(Kind::User, name))
    }
    fn known(uid: EntityUid) -> Subject {
        Subject { uid, stranger: None, parents: Vec::new() }
    }
    /// A key that acts for a user: an `Agent`, with the key's own rights.
    pub fn agent<M: AsRef<str>>(team: &str, name: &str, role: &str, models: Option<&[M]>) -> Subject {
        Subject::stranger(Kind::Agent, team, name, role, models)
    }
    /// A principal that no key of the world stands for.
    pub fn service<M: AsRef<str>>(team: &str, name: &str, role: &str, models: Option<&[M]>) -> Subject {
        Subject::stranger(Kind::Service, team, name, role, models)
    }
    fn stranger<M: AsRef<str>>(
        kind: Kind,
        team: &str,
        name: &str,
        role: &str,
        models: Option<&[M]>,
    ) -> Subject {
        let of = uid(Kind::Team, team);
        let id = uid(kind, &format!("{team}/{name}"));
        let mut attributes = vec![
            ("name".to_owned(), Value::new_string(name.into())),
            ("team".to_owned(), Value::new_entity_uid(of.clone())),
            ("role".to_owned(), Value::new_string(role.into())),
        ];
        attributes.extend(models.map(|models| ("models".to_owned(), texts(models))));
        let entity = Entity::new(id.clone(), attributes.into_iter().collect(), HashSet::from([of.clone()]));
        Subject { uid: id, stranger: entity.ok(), parents: vec![of] }
    }
    pub(super) fn uid(&self) -> &EntityUid {
        &self.uid
    }
}

/// What it is about.
#[derive(Clone, Debug)]
pub struct Object {
    uid: EntityUid,
    pub(super) stranger: Option<Entity>,
}

impl Object {
    /// A model of the world, by its own name (not an alias).
    pub fn model(name: &str) -> Object {
        Object { uid: uid(Kind::Model, name), stranger: None }
    }
    /// The deployment itself: administration, exports.
    pub fn deployment() -> Object {
        static UID: LazyLock<EntityUid> = LazyLock::new(|| uid(Kind::Deployment, "bedplate"));
        Object { uid: UID.clone(), stranger: None }
    }
    pub fn tool(name: &str, side_effect: bool, egress: bool, schema_hash: &str) -> Object {
        Object::stranger(
            Kind::Tool,
            name,
            [
                ("sideEffect", Value::new_bool(side_effect)),
                ("egress", Value::new_bool(egress)),
                ("schemaHash", Value::new_string(schema_hash.into())),
            ],
        )
    }
    /// `readers` are names of teams.
    pub fn collection(name: &str, readers: &[&str], sensitivity: units::Sensitivity) -> Object {
        let readers = readers.iter().map(|team| Value::new_entity_uid(uid(Kind::Team, team)));
        Object::stranger(
            Kind::Collection,
            name,
            [("readers", Value::new_set(readers)), ("sensitivity", Value::new_long(sensitivity as i64))],
        )
    }
    pub fn prompt(name: &str) -> Object {
        Object::stranger(Kind::Prompt, name, [])
    }
    /// A cache or a memory.
    pub fn space(name: &str) -> Object {
        Object::stranger(Kind::Space, name, [])
    }
    fn stranger<const N: usize>(kind: Kind, name: &str, with: [(&str, Value); N]) -> Object {
        let id = uid(kind, name);
        let name = ("name".to_owned(), Value::new_string(name.into()));
        let attributes = with.into_iter().map(|(k, v)| (k.to_owned(), v)).chain([name]).collect();
        Object { stranger: Entity::new(id.clone(), attributes, HashSet::new()).ok(), uid: id }
    }
    pub(super) fn uid(&self) -> &EntityUid {
        &self.uid
    }
}

/// What is known at the moment of the question: Cedar's context.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts<'a> {
    pub labels: &'a Labels,
    pub purpose: &'a str,
    pub region: Option<&'a str>,
    pub budget_left: Option<Usd>,
    pub injection_score: Option<u16>,
    pub pii_types: &'a [String],
    /// TEE, TCB status, age in seconds.
    pub attestation: Option<(&'a str, &'a str, u32)>,
    pub on_behalf_of: Option<&'a str>,
}

static PUBLIC: LazyLock<Labels> = LazyLock::new(Labels::default);

impl Facts<'static> {
    /// What the control API asks with.
    pub fn of_an_admin() -> Facts<'static> {
        Facts::new(&PUBLIC, "admin")
    }
}

impl<'a> Facts<'a> {
    pub fn new(labels: &'a Labels, purpose: &'a str) -> Facts<'a> {
        Facts {
            labels,
            purpose,
            region: None,
            budget_left: None,
            injection_score: None,
            pii_types: &[],
            attestation: None,
            on_behalf_of: None,
        }
    }
    pub fn of(labels: &'a Labels, purpose: Purpose) -> Facts<'a> {
        Facts::new(labels, purpose.name())
    }

    pub(super) fn context(&self) -> Result<Context, String> {
        let text = |text: &str| Value::new_string(text.to_owned());
        let mut pairs = Vec::with_capacity(10);
        let mut put = |name: &str, value| pairs.push((name.to_owned(), value));
        put("sensitivity", Value::new_long(self.labels.sensitivity as i64));
        put("integrity", Value::new_long(self.labels.integrity as i64));
        put("purpose", text(self.purpose));
        put("piiTypes", texts(self.pii_types));
        if let Residency::Within(zones) = &self.labels.residency {
            put("zones", texts(zones.iter().map(Zone::as_str)));
        }
        if let Some(region) = self.region {
            put("region", text(region));
        }
        if let Some(left) = self.budget_left {
            // Rounded down: what is less than a micro-dollar pays for nothing.
            put("budgetLeft", Value::new_long(left.pico().div_euclid(1_000_000)));
        }
        if let Some(score) = self.injection_score {
            put("injectionScore", Value::new_long(i64::from(score)));
        }
        if let Some((tee, tcb, age)) = self.attestation {
            let fields =
                [("tee", text(tee)), ("tcb", text(tcb)), ("ageSeconds", Value::new_long(i64::from(age)))];
            let record = Value::new_record(fields.map(|(k, v)| (k.to_owned(), v)));
            put("attestation", record.map_err(|e| e.to_string())?);
        }
        if let Some(user) = self.on_behalf_of {
            put("onBehalfOf", text(user));
        }
        Context::from_pairs(pairs).map_err(|e| e.to_string())
    }
}
