//! Who may ask, and what has been declared: orgs, teams, users, keys, budgets,
//! prices and manifests.

use chat::Axis;
use units::{BudgetId, KeyId, Micros, OrgId, PicoRate, TeamId, Usd, UserId};

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

#[derive(Clone, Debug, PartialEq)]
pub struct User {
    pub id: UserId,
    pub org: OrgId,
    pub name: String,
    pub created: Micros,
}

/// What a key may do beside inference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyRole {
    /// Inference with the models granted.
    Inference,
    /// Also reads records, costs and status.
    Viewer,
    /// Everything, keys included.
    Admin,
}

/// An API key. The secret itself is never stored: each version keeps a keyed hash.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub id: KeyId,
    pub team: TeamId,
    pub user: Option<UserId>,
    /// Unique in its team.
    pub name: String,
    pub role: KeyRole,
    /// One or two live versions, so that a key rotates without an outage.
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
    /// In the order they were added.
    pub prices: Vec<PriceRow>,
    pub manifests: Vec<ManifestRow>,
}
