//! Who may ask, and what has been declared: orgs, teams, users, keys, budgets,
//! prices and manifests.

use chat::Axis;
use units::{BudgetId, ElevationId, KeyId, Micros, OrgId, PicoRate, TeamId, Usd, UserId};

#[derive(Clone, Debug, PartialEq)]
pub struct Org {
    pub id: OrgId,
    pub name: String,
    pub created: Micros,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Team {
    pub id: TeamId,
    pub org: OrgId,
    /// Unique in the deployment.
    pub name: String,
    /// Requests per minute over all keys of the team.
    pub requests_per_minute: Option<u32>,
    /// Tokens per minute over all keys of the team.
    pub tokens_per_minute: Option<u64>,
    pub created: Micros,
}

/// A person or a service, to whom keys can belong.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    pub id: UserId,
    pub org: OrgId,
    pub name: String,
    /// What they may do when they sign in as themselves; `None`: what their groups say.
    pub role: Option<Role>,
    /// Who an identity provider says they are, once they have signed in:
    /// `issuer#subject`. Unique; nobody else ever gets the name.
    pub subject: Option<String>,
    pub created: Micros,
}

/// What somebody is here to do. A role stands for a set of actions, which
/// `policy::Actions::of` names; the order below means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Inference with the models granted.
    Inference,
    /// Also reads its team's records and costs, and the status.
    Viewer,
    /// Everything in its org: org-admin.
    Admin,
    /// Policy, guards, who has access; reads nobody's records.
    SecurityOfficer,
    /// The audit log and its proofs, costs, what is declared; no records.
    Auditor,
    /// Models, providers, what is declared; no keys, no records.
    Operator,
    /// Inference, and its own records.
    Developer,
    /// Software that acts for somebody: inference, by the rights of both.
    Agent,
}

impl Role {
    /// In the order of their stored numbers: append only.
    pub const ALL: [Role; 8] = [
        Role::Inference,
        Role::Viewer,
        Role::Admin,
        Role::SecurityOfficer,
        Role::Auditor,
        Role::Operator,
        Role::Developer,
        Role::Agent,
    ];
    /// As written in commands, in JSON and in claims' mappings.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Inference => "inference",
            Role::Viewer => "viewer",
            Role::Admin => "admin",
            Role::SecurityOfficer => "security-officer",
            Role::Auditor => "auditor",
            Role::Operator => "operator",
            Role::Developer => "developer",
            Role::Agent => "agent",
        }
    }
    /// The stored number.
    pub fn number(self) -> u8 {
        Role::ALL.iter().position(|r| *r == self).unwrap_or_default() as u8
    }
}

/// An API key. The secret itself is never stored: each version keeps a keyed hash.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub id: KeyId,
    pub team: TeamId,
    pub user: Option<UserId>,
    /// Unique in its team.
    pub name: String,
    pub role: Role,
    /// Who may use it without its secret: the SPIFFE id of a client certificate
    /// (`spiffe://...`), or the subject of an identity provider's tokens
    /// (`issuer#subject`). Unique in its team.
    pub subject: Option<String>,
    /// One or two live versions, so that a key rotates without an outage; none
    /// of a key that only a certificate or a token stands for.
    pub versions: Vec<KeyVersion>,
    /// The models it may use; `None` is every model.
    pub models: Option<Vec<String>>,
    pub requests_per_minute: Option<u32>,
    pub tokens_per_minute: Option<u64>,
    pub expires: Option<Micros>,
    pub revoked: Option<Micros>,
    /// The key that made it, whose rights bound its own (TRAPS X3).
    pub created_by: Option<KeyId>,
    pub created: Micros,
}

#[derive(Clone, Debug, PartialEq)]
pub struct KeyVersion {
    /// HMAC-SHA-256 of the whole key under the deployment's pepper.
    pub hash: [u8; 32],
    /// The first characters, to recognise it by.
    pub hint: String,
    pub created: Micros,
    /// When this version stops working (rotation).
    pub expires: Option<Micros>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    Org(OrgId),
    Team(TeamId),
    Key(KeyId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// Civil day, UTC.
    Day,
    /// Civil month, UTC.
    Month,
    /// For ever.
    Total,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetKind {
    /// Reserved before dispatch; nothing passes beyond it.
    Hard,
    /// Reported, never refused.
    Soft,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    pub id: BudgetId,
    /// Unique in the deployment.
    pub name: String,
    pub scope: Scope,
    pub limit: Usd,
    pub period: Period,
    pub kind: BudgetKind,
    pub created: Micros,
}

/// One dated price of one target. Never changed: a new price is a new row.
#[derive(Clone, Debug, PartialEq)]
pub struct PriceRow {
    /// `provider/upstream-model`.
    pub sku: String,
    /// Inclusive, against the attempt's start.
    pub effective_from: Micros,
    /// Price per token by axis; an axis that is absent has no known price.
    pub rates: Vec<(Axis, PicoRate)>,
    /// Price per request, beside the tokens.
    pub per_request: PicoRate,
    /// Where the figures come from.
    pub source: String,
}

/// A declared object, as text.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestRow {
    pub kind: String,
    pub name: String,
    /// The YAML document as applied.
    pub text: String,
    pub applied: Micros,
}

/// Rights for a while, beyond those of a role: break-glass. Nothing is ever
/// deleted from it; a row that was refused, or is over, stays as what happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Elevation {
    pub id: ElevationId,
    /// The key that asked, and alone is elevated.
    pub key: KeyId,
    /// Whose rights it gets beside its own.
    pub role: Role,
    pub reason: String,
    /// How long, from the second approval on.
    pub lasts_us: i64,
    pub requested: Micros,
    /// Different people, neither of them the one who asked.
    pub approvals: Vec<Approval>,
    /// When it stops; `None` until it is approved.
    pub ends: Option<Micros>,
    /// Who ended or refused it before its time.
    pub ended_by: Option<KeyId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approval {
    pub key: KeyId,
    pub user: UserId,
    pub at: Micros,
}

/// One change to the declared state.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    PutOrg(Org),
    /// Inserts, or replaces the team with the same id.
    PutTeam(Team),
    PutUser(User),
    /// Inserts, or replaces the key with the same id.
    PutKey(Key),
    PutBudget(Budget),
    RemoveBudget(BudgetId),
    /// Inserts, or replaces the elevation with the same id.
    PutElevation(Elevation),
    /// The same row again is no change; another price from the same instant is refused.
    AddPrice(PriceRow),
    PutManifest(ManifestRow),
    RemoveManifest {
        kind: String,
        name: String,
    },
}

/// The whole of it. Rows are in the order of their ids (that of creation),
/// manifests in that of kind and name.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct State {
    /// Grows by one with each [`crate::Identity::change`].
    pub generation: u64,
    pub orgs: Vec<Org>,
    pub teams: Vec<Team>,
    pub users: Vec<User>,
    pub keys: Vec<Key>,
    pub budgets: Vec<Budget>,
    pub elevations: Vec<Elevation>,
    /// In the order they were added.
    pub prices: Vec<PriceRow>,
    pub manifests: Vec<ManifestRow>,
}
