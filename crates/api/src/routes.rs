//! The route table: one line per operation.
//!
//! The matched [`Route`] carries the [`Action`] it requires, so that
//! authorization never looks at a reconstructed path (TRAPS X1).

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::{
    AddCosignature, AnswerApproval, Approval, ApproveTool, AskElevation, AuditBooks, AuditCheckpoint,
    AuditKey, AuditLog, AuditOpening, AuditReceipt, Budget, CachedAnswer, Collection, CollectionGate,
    CollectionGraph, CollectionSource, Conversation, CostReport, CreateBudget, CreateCollection, CreateKey,
    CreateTeam, CreateUser, CreatedKey, Document, DocumentChange, DocumentPreview, Elevation, FitGate,
    ForgetMemory, Forgotten, GraphRows, Key, KeyRing, LedgerCheck, List, Manifest, Model, Plan, Policies,
    PolicyAnswer, PolicyQuestion, PolicyReplay, PolicyTestReport, Provider, QueryGraph, Record,
    RecordSummary, ReindexCollection, Reindexed, ReleasedSource, RememberedFact, RememberedTurn, RotateKey,
    RotateKeyRing, SearchCollection, SearchMemory, SearchResult, SetProviderKey, SetSourceKey, SetToolKey,
    SetUserRole, ShredTenant, Shredded, StateFact, StatedFact, Status, SyncCollection, Team, Tool, ToolPin,
    User, Whoami,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    pub const fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        }
    }
}

/// What the caller must be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    ReadStatus,
    ReadTeams,
    WriteTeams,
    ReadKeys,
    WriteKeys,
    ReadBudgets,
    WriteBudgets,
    ReadModels,
    /// Which collections there are, what is in them, and what a search finds: each by what the caller may read.
    ReadCollections,
    WriteCollections,
    ReadDocuments,
    WriteDocuments,
    SearchCollections,
    /// What a source brought in and nobody released.
    ReviewSources,
    ReleaseSources,
    /// The keys of sources.
    WriteSources,
    /// The caller's own.
    ReadMemory,
    WriteMemory,
    ReadPolicies,
    ReadProviders,
    WriteProviders,
    ReadRecords,
    ReadCosts,
    ReadManifests,
    WriteManifests,
    CheckLedger,
    /// Which tenants have keys at rest.
    ReadKeyring,
    /// New keys at rest, and the destruction of a tenant's.
    WriteKeyring,
    ReadTools,
    WriteTools,
    /// Declared queries of knowledge graphs, each by its own grants and policies.
    QueryGraphs,
    ReadAudit,
    Cosign,
    /// The whole log beside the ledger.
    ReconcileAudit,
    /// The salts of a leaf's commitments.
    OpenAudit,
    ReadElevations,
    AskElevation,
    ApproveElevation,
    EndElevation,
    ReadSelf,
}

impl Action {
    pub const fn name(self) -> &'static str {
        match self {
            Action::ReadStatus => "status:read",
            Action::ReadTeams => "teams:read",
            Action::WriteTeams => "teams:write",
            Action::ReadKeys => "keys:read",
            Action::WriteKeys => "keys:write",
            Action::ReadBudgets => "budgets:read",
            Action::WriteBudgets => "budgets:write",
            Action::ReadModels => "models:read",
            Action::ReadCollections => "collections:read",
            Action::WriteCollections => "collections:write",
            Action::ReadDocuments => "documents:read",
            Action::WriteDocuments => "documents:write",
            Action::SearchCollections => "collections:search",
            Action::ReviewSources => "sources:review",
            Action::ReleaseSources => "sources:release",
            Action::WriteSources => "sources:write",
            Action::ReadMemory => "memory:read",
            Action::WriteMemory => "memory:write",
            Action::ReadPolicies => "policies:read",
            Action::ReadProviders => "providers:read",
            Action::WriteProviders => "providers:write",
            Action::ReadRecords => "records:read",
            Action::ReadCosts => "costs:read",
            Action::ReadManifests => "manifests:read",
            Action::WriteManifests => "manifests:write",
            Action::CheckLedger => "ledger:check",
            Action::ReadKeyring => "keyring:read",
            Action::WriteKeyring => "keyring:write",
            Action::ReadTools => "tools:read",
            Action::WriteTools => "tools:write",
            Action::QueryGraphs => "graphs:query",
            Action::ReadAudit => "audit:read",
            Action::Cosign => "audit:cosign",
            Action::OpenAudit => "audit:open",
            Action::ReconcileAudit => "audit:reconcile",
            Action::ReadElevations => "elevations:read",
            Action::AskElevation => "elevations:ask",
            Action::ApproveElevation => "elevations:approve",
            Action::EndElevation => "elevations:end",
            Action::ReadSelf => "self:read",
        }
    }
    /// Changes something (a cosignature is only put beside a checkpoint, an opening changes who can
    /// test a text).
    pub const fn writes(self) -> bool {
        matches!(
            self,
            Action::WriteTeams
                | Action::WriteKeys
                | Action::WriteBudgets
                | Action::WriteProviders
                | Action::WriteManifests
                | Action::WriteKeyring
                | Action::WriteTools
                | Action::WriteCollections
                | Action::WriteDocuments
                | Action::ReleaseSources
                | Action::WriteSources
                | Action::WriteMemory
                | Action::Cosign
                | Action::OpenAudit
                | Action::AskElevation
                | Action::ApproveElevation
                | Action::EndElevation
        )
    }
}

/// The JSON schema of a body.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What a request or an answer carries.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    None,
    Json(SchemaOf),
    /// A JSON value a line, `application/x-ndjson`.
    Lines,
    /// A stream of manifests, `application/yaml`.
    Yaml,
    /// The bytes of a document, under its own media type.
    Document,
}

#[derive(Clone, Copy, Debug)]
pub struct Query {
    pub name: &'static str,
    pub required: bool,
    pub summary: &'static str,
}

/// One operation of the control API.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Unique and stable: the `operationId`.
    pub name: &'static str,
    pub method: Method,
    /// With parameters in braces: `/api/v1/keys/{id}`.
    pub path: &'static str,
    pub action: Action,
    pub summary: &'static str,
    pub query: &'static [Query],
    pub request: Body,
    pub response: Body,
    /// The status of success.
    pub status: u16,
}

const fn json<T: JsonSchema>() -> Body {
    Body::Json(subschema::<T>)
}

fn subschema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const fn get(
    name: &'static str,
    path: &'static str,
    action: Action,
    summary: &'static str,
    response: Body,
) -> Route {
    Route {
        name,
        method: Method::Get,
        path,
        action,
        summary,
        query: &[],
        request: Body::None,
        response,
        status: 200,
    }
}

const fn query(name: &'static str, required: bool, summary: &'static str) -> Query {
    Query { name, required, summary }
}

const PRUNE: &[Query] = &[query(
    "prune",
    false,
    "`true` also deletes declared objects of the same kinds that the body leaves out",
)];
const SCHEMA: &[Query] = &[query("schema", false, "`true` also shows what policies can speak about")];
const LAST: &[Query] = &[query("last", false, "the last so many requests, 1 to 1,000; 1,000 unless told")];
const LIMIT: &[Query] =
    &[query("limit", false, "at most this many, the newest first; 50 unless told, 1,000 at most")];
const LEAVES: &[Query] = &[
    query("from", false, "the first leaf's number; the newest unless told"),
    query("limit", false, "at most this many; 50 unless told, 1,000 at most"),
];
const DOCUMENTS: &[Query] = &[
    query("after", false, "a source: only documents whose sources come after it"),
    query("limit", false, "at most this many; 100 unless told, 1,000 at most"),
];
const ENTITY: &[Query] = &[
    query("entity", true, "a name, in any case, or a document's source"),
    query("limit", false, "at most this many edges; 100 unless told, 1,000 at most"),
];
const DOCUMENT: &[Query] = &[
    query("source", true, "where it comes from: what it is known by in its collection"),
    query("title", false, "the document's own unless told"),
    query(
        "acl",
        false,
        "who may read it, between commas: `team`, `user:EMAIL`, `key:ID`, `group:NAME`; the collection's unless told",
    ),
    query("labels", false, "joined to the collection's: `internal`, `confidential eu`"),
    query("batch", false, "what brings it in: a folder, a feed; its share of an answer is bounded"),
    query("modified", false, "the day on which the content was changed, YYYY-MM-DD"),
];
const MEMORIES: &[Query] = &[query("limit", false, "at most this many; 100 unless told, 1,000 at most")];
const FACTS: &[Query] = &[
    query("valid", false, "a time in the world: what held then; now unless told"),
    query("known", false, "a time of knowing: what was known then; now unless told"),
    query("limit", false, "at most this many; 100 unless told, 1,000 at most"),
];
const EXPORT: &[Query] = &[
    query("after", false, "a turn's id: only what was kept after it"),
    query("limit", false, "turns at most; 100 unless told, 1,000 at most. With fewer, the facts follow"),
];
const PARTS: &[Query] =
    &[query("from", false, "the first part that is shown, from 0; 200 are shown at a time")];
const COSTS: &[Query] = &[
    query("by", true, "`team`, `model`, `key` or `day`"),
    query("from", false, "first day, YYYY-MM-DD, UTC; the first of this month unless told"),
    query("to", false, "last day, inclusive; today unless told"),
];

/// Every operation, by path and then method.
#[rustfmt::skip]
pub const ROUTES: &[Route] = &[
    Route { method: Method::Post, request: Body::Yaml, query: PRUNE,
        ..get("apply", "/api/v1/apply", Action::WriteManifests, "Apply manifests: all of them or none", json::<Plan>()) },
    get("list_approvals", "/api/v1/approvals", Action::ReadTools, "Tool calls that wait for a person", json::<List<Approval>>()),
    Route { method: Method::Post, request: json::<AnswerApproval>(),
        ..get("deny_approval", "/api/v1/approvals/{id}/deny", Action::WriteTools, "Refuse the values of a held call in its session", json::<Approval>()) },
    Route { method: Method::Post, request: json::<AnswerApproval>(),
        ..get("grant_approval", "/api/v1/approvals/{id}/grant", Action::WriteTools, "Endorse the values of a held call in its session", json::<Approval>()) },
    get("reconcile", "/api/v1/audit/books", Action::ReconcileAudit, "Compare the whole log with the ledger: some seconds per million requests", json::<AuditBooks>()),
    Route { method: Method::Post, request: json::<AddCosignature>(), status: 201,
        ..get("cosign", "/api/v1/audit/cosignatures", Action::Cosign, "Add a witness's signature to a checkpoint", json::<AuditCheckpoint>()) },
    get("audit_key", "/api/v1/audit/key", Action::ReadAudit, "The public key of the audit log", json::<AuditKey>()),
    Route { query: LEAVES,
        ..get("list_leaves", "/api/v1/audit/leaves", Action::ReadAudit, "Leaves of the audit log, the oldest first", json::<AuditLog>()) },
    Route { method: Method::Post,
        ..get("open_commitments", "/api/v1/audit/openings/{leaf}", Action::OpenAudit, "What the commitments of a leaf take to be opened; the leaf by its number or its request's id", json::<AuditOpening>()) },
    get("prove_leaf", "/api/v1/audit/proofs/{index}", Action::ReadAudit, "A leaf with everything that proves it", json::<AuditReceipt>()),
    get("receipt", "/api/v1/audit/receipts/{request_id}", Action::ReadAudit, "The leaf of a request with everything that proves it", json::<AuditReceipt>()),
    get("list_budgets", "/api/v1/budgets", Action::ReadBudgets, "Budgets with what is spent, held and left", json::<List<Budget>>()),
    Route { method: Method::Post, request: json::<CreateBudget>(), status: 201,
        ..get("create_budget", "/api/v1/budgets", Action::WriteBudgets, "Create a budget", json::<Budget>()) },
    Route { method: Method::Delete,
        ..get("delete_budget", "/api/v1/budgets/{name}", Action::WriteBudgets, "Delete a budget; its history stays in the ledger", json::<Budget>()) },
    Route { method: Method::Delete,
        ..get("revoke_answer", "/api/v1/cache/{id}", Action::WriteDocuments, "Take a cached answer back", json::<CachedAnswer>()) },
    get("show_answer", "/api/v1/cache/{id}", Action::ReadDocuments, "A cached answer, and the documents that it depends on", json::<CachedAnswer>()),
    get("list_collections", "/api/v1/collections", Action::ReadCollections, "The collections of the key's team", json::<List<Collection>>()),
    Route { method: Method::Post, request: json::<CreateCollection>(), status: 201,
        ..get("create_collection", "/api/v1/collections", Action::WriteCollections, "Create a collection of the key's team", json::<Collection>()) },
    Route { method: Method::Delete,
        ..get("delete_collection", "/api/v1/collections/{id}", Action::WriteCollections, "Delete a collection with its documents, and every answer that used them", json::<Collection>()) },
    get("show_collection", "/api/v1/collections/{id}", Action::ReadCollections, "A collection, and what the caller may read of it", json::<Collection>()),
    Route { query: DOCUMENTS,
        ..get("list_documents", "/api/v1/collections/{id}/documents", Action::ReadDocuments, "The documents that the caller may read, by their sources", json::<List<Document>>()) },
    Route { method: Method::Post, request: Body::Document, query: DOCUMENT,
        ..get("put_document", "/api/v1/collections/{id}/documents", Action::WriteDocuments, "Put a document: new, or in place of what its source had before", json::<DocumentChange>()) },
    Route { method: Method::Delete,
        ..get("delete_document", "/api/v1/collections/{id}/documents/{document}", Action::WriteDocuments, "Remove a document, and every answer that used it", json::<DocumentChange>()) },
    Route { query: PARTS,
        ..get("show_document", "/api/v1/collections/{id}/documents/{document}", Action::ReadDocuments, "A document's text, to whoever may read it", json::<DocumentPreview>()) },
    Route { method: Method::Delete,
        ..get("forget_gate", "/api/v1/collections/{id}/gate", Action::WriteCollections, "Forget how much vectors were fitted to count", json::<Collection>()) },
    Route { method: Method::Post, request: json::<FitGate>(),
        ..get("fit_gate", "/api/v1/collections/{id}/gate", Action::WriteCollections, "Fit how much vectors count to judged questions", json::<CollectionGate>()) },
    Route { query: ENTITY,
        ..get("show_graph", "/api/v1/collections/{id}/graph", Action::SearchCollections, "What documents that the caller may read say of a name", json::<CollectionGraph>()) },
    Route { query: DOCUMENTS,
        ..get("list_quarantine", "/api/v1/collections/{id}/quarantine", Action::ReviewSources, "What sources brought in that nobody released, of what the caller may read", json::<List<Document>>()) },
    Route { query: PARTS,
        ..get("show_quarantined", "/api/v1/collections/{id}/quarantine/{document}", Action::ReviewSources, "The text of a document that waits, for whoever reviews it", json::<DocumentPreview>()) },
    Route { method: Method::Post, request: json::<ReindexCollection>(),
        ..get("reindex_collection", "/api/v1/collections/{id}/reindex", Action::WriteCollections, "Take a collection a step towards another embedder; repeat until it is live", json::<Reindexed>()) },
    Route { method: Method::Post, request: json::<SearchCollection>(),
        ..get("search_collection", "/api/v1/collections/{id}/search", Action::SearchCollections, "What bears on a query, of what the caller may read", json::<SearchResult>()) },
    get("list_sources", "/api/v1/collections/{id}/sources", Action::ReadCollections, "What a collection reads by itself, and how that went", json::<List<CollectionSource>>()),
    Route { method: Method::Post,
        ..get("hold_source", "/api/v1/collections/{id}/sources/{source}/hold", Action::ReleaseSources, "Take a release back: what the source brought in is found no more", json::<ReleasedSource>()) },
    Route { method: Method::Put, request: json::<SetSourceKey>(),
        ..get("set_source_key", "/api/v1/collections/{id}/sources/{source}/key", Action::WriteSources, "Keep a source's key in the encrypted store", json::<CollectionSource>()) },
    Route { method: Method::Post,
        ..get("release_source", "/api/v1/collections/{id}/sources/{source}/release", Action::ReleaseSources, "Let what a source brought in be found, and what it will", json::<ReleasedSource>()) },
    Route { method: Method::Post, request: json::<SyncCollection>(), status: 202,
        ..get("sync_collection", "/api/v1/collections/{id}/sync", Action::WriteDocuments, "Begin to read the sources of a collection; `list_sources` says how far it is", json::<List<CollectionSource>>()) },
    Route { query: COSTS,
        ..get("report_costs", "/api/v1/costs", Action::ReadCosts, "What was spent, grouped", json::<CostReport>()) },
    get("list_elevations", "/api/v1/elevations", Action::ReadElevations, "Rights for a while: asked for, active, over", json::<List<Elevation>>()),
    Route { method: Method::Post, request: json::<AskElevation>(), status: 201,
        ..get("ask_elevation", "/api/v1/elevations", Action::AskElevation, "Ask for more rights for a while", json::<Elevation>()) },
    Route { method: Method::Delete,
        ..get("end_elevation", "/api/v1/elevations/{id}", Action::EndElevation, "End an elevation, or refuse one", json::<Elevation>()) },
    Route { method: Method::Post,
        ..get("approve_elevation", "/api/v1/elevations/{id}/approve", Action::ApproveElevation, "Say yes to an elevation; two people have to", json::<Elevation>()) },
    get("show_keyring", "/api/v1/keyring", Action::ReadKeyring, "Who keeps the master key, and which teams have keys at rest", json::<KeyRing>()),
    Route { method: Method::Post, request: json::<RotateKeyRing>(),
        ..get("rotate_keyring", "/api/v1/keyring/rotate", Action::WriteKeyring, "Give a team, or the root of the key ring, a new key; no data is written again", json::<KeyRing>()) },
    get("list_keys", "/api/v1/keys", Action::ReadKeys, "API keys, never their secrets", json::<List<Key>>()),
    Route { method: Method::Post, request: json::<CreateKey>(), status: 201,
        ..get("create_key", "/api/v1/keys", Action::WriteKeys, "Create a key; the answer shows its secret once", json::<CreatedKey>()) },
    Route { method: Method::Delete,
        ..get("revoke_key", "/api/v1/keys/{id}", Action::WriteKeys, "Revoke a key at once", json::<Key>()) },
    Route { method: Method::Post, request: json::<RotateKey>(), status: 201,
        ..get("rotate_key", "/api/v1/keys/{id}/rotate", Action::WriteKeys, "Give a key a second version; the old one keeps working for a while", json::<CreatedKey>()) },
    get("check_ledger", "/api/v1/ledger/check", Action::CheckLedger, "Recompute the books", json::<LedgerCheck>()),
    get("list_manifests", "/api/v1/manifests", Action::ReadManifests, "What is declared", json::<List<Manifest>>()),
    Route { query: MEMORIES,
        ..get("list_conversations", "/api/v1/memory", Action::ReadMemory, "The caller's own conversations that are remembered, the newest first", json::<List<Conversation>>()) },
    Route { query: MEMORIES,
        ..get("audit_memory", "/api/v1/memory/audit", Action::ReadMemory, "Every fact of the caller's own memory, replaced ones too, with the words that say so", json::<List<RememberedFact>>()) },
    Route { query: EXPORT,
        ..get("export_memory", "/api/v1/memory/export", Action::ReadMemory, "The caller's own memory as it is, a page of turns and then the facts, a JSON value a line", Body::Lines) },
    Route { query: FACTS,
        ..get("list_facts", "/api/v1/memory/facts", Action::ReadMemory, "Facts of the caller's own memory that hold, or held", json::<List<RememberedFact>>()) },
    Route { method: Method::Post, request: json::<StateFact>(), status: 201,
        ..get("state_fact", "/api/v1/memory/facts", Action::WriteMemory, "Record a fact from a turn in which the caller says so", json::<StatedFact>()) },
    Route { method: Method::Post, request: json::<ForgetMemory>(),
        ..get("forget_memory", "/api/v1/memory/forget", Action::WriteMemory, "Forget a conversation of the caller's own, or all: turns, facts, and the cached answers that rest on them", json::<Forgotten>()) },
    Route { method: Method::Post, request: json::<SearchMemory>(),
        ..get("search_memory", "/api/v1/memory/search", Action::ReadMemory, "Turns of the caller's own memory by their words, or the newest of a conversation", json::<List<RememberedTurn>>()) },
    get("list_models", "/api/v1/models", Action::ReadModels, "Models with their targets and prices", json::<List<Model>>()),
    Route { method: Method::Post, request: Body::Yaml, query: PRUNE,
        ..get("plan", "/api/v1/plan", Action::ReadManifests, "What applying these manifests would change", json::<Plan>()) },
    Route { query: SCHEMA,
        ..get("list_policies", "/api/v1/policies", Action::ReadPolicies, "The policies that are in force", json::<Policies>()) },
    Route { method: Method::Post, request: json::<PolicyQuestion>(),
        ..get("explain_policy", "/api/v1/policies/explain", Action::ReadPolicies, "What the policies in force say to a question", json::<PolicyAnswer>()) },
    Route { method: Method::Post, request: Body::Yaml, query: LAST,
        ..get("replay_policies", "/api/v1/policies/replay", Action::ReadPolicies, "What these policies would have decided about the last requests", json::<PolicyReplay>()) },
    Route { method: Method::Post, request: Body::Yaml,
        ..get("test_policies", "/api/v1/policies/test", Action::ReadPolicies, "Run the cases beside these policies and those in force", json::<PolicyTestReport>()) },
    get("list_providers", "/api/v1/providers", Action::ReadProviders, "Providers, declared and in the catalogue", json::<List<Provider>>()),
    Route { method: Method::Put, request: json::<SetProviderKey>(),
        ..get("set_provider_key", "/api/v1/providers/{name}/key", Action::WriteProviders, "Keep a provider's key in the encrypted store", json::<Provider>()) },
    Route { query: LIMIT,
        ..get("list_records", "/api/v1/records", Action::ReadRecords, "The last requests", json::<List<RecordSummary>>()) },
    get("explain", "/api/v1/records/{request_id}", Action::ReadRecords, "Everything about one request", json::<Record>()),
    get("status", "/api/v1/status", Action::ReadStatus, "Health and totals", json::<Status>()),
    get("list_teams", "/api/v1/teams", Action::ReadTeams, "Teams", json::<List<Team>>()),
    Route { method: Method::Post, request: json::<CreateTeam>(), status: 201,
        ..get("create_team", "/api/v1/teams", Action::WriteTeams, "Create a team", json::<Team>()) },
    Route { method: Method::Post, request: json::<ShredTenant>(),
        ..get("shred_tenant", "/api/v1/teams/{name}/shred", Action::WriteKeyring, "Erase a team for good: destroy its keys at rest, revoke its API keys", json::<Shredded>()) },
    get("list_tools", "/api/v1/tools", Action::ReadTools, "Tools as their servers describe them now, and what was approved", json::<List<Tool>>()),
    Route { method: Method::Put, request: json::<SetToolKey>(),
        ..get("set_tool_key", "/api/v1/tools/{server}/key", Action::WriteTools, "Keep a tool server's key in the encrypted store", json::<ToolPin>()) },
    Route { method: Method::Post, request: json::<ApproveTool>(),
        ..get("approve_tool", "/api/v1/tools/{server}/{tool}/approve", Action::WriteTools, "Approve a tool's definition by its digest", json::<ToolPin>()) },
    Route { method: Method::Post,
        ..get("quarantine_tool", "/api/v1/tools/{server}/{tool}/quarantine", Action::WriteTools, "Take a tool out of service", json::<ToolPin>()) },
    get("list_users", "/api/v1/users", Action::ReadTeams, "Users, to whom keys can belong", json::<List<User>>()),
    Route { method: Method::Post, request: json::<CreateUser>(), status: 201,
        ..get("create_user", "/api/v1/users", Action::WriteTeams, "Create a user", json::<User>()) },
    Route { method: Method::Delete,
        ..get("remove_user_role", "/api/v1/users/{name}/role", Action::WriteTeams, "Take a user's role away: their groups say what they are", json::<User>()) },
    Route { method: Method::Put, request: json::<SetUserRole>(),
        ..get("set_user_role", "/api/v1/users/{name}/role", Action::WriteTeams, "Give a user another role to sign in with", json::<User>()) },
    get("whoami", "/api/v1/whoami", Action::ReadSelf, "Who asks, and what they may do now", json::<Whoami>()),
];

/// A matched operation and its path parameters, in the order of the path,
/// still percent-encoded.
#[derive(Clone, Debug)]
pub struct Match<'p> {
    pub route: &'static Route,
    pub params: Vec<&'p str>,
}

/// Why nothing matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    NotFound,
    /// The path exists with other methods.
    Method,
}

/// Operations under the same prefix that the data plane answers, with its rates, records and gate; by
/// path. The description has them, [`find`] does not.
#[rustfmt::skip]
pub const DATA_PLANE: &[Route] = &[
    Route { method: Method::Post, request: json::<QueryGraph>(),
        ..get("query_graph", "/api/v1/graphs/{graph}/queries/{query}", Action::QueryGraphs, "Ask a declared query of a knowledge graph or database that exists", json::<GraphRows>()) },
];

/// Finds the operation for a method and a path without its query. A linear
/// scan of twenty entries: the control plane is not the hot path.
pub fn find<'p>(method: &str, path: &'p str) -> Result<Match<'p>, Miss> {
    let mut miss = Miss::NotFound;
    for route in ROUTES {
        let Some(params) = params(route.path, path) else { continue };
        if route.method.name() == method {
            return Ok(Match { route, params });
        }
        miss = Miss::Method;
    }
    Err(miss)
}

fn params<'p>(pattern: &str, path: &'p str) -> Option<Vec<&'p str>> {
    let mut params = Vec::new();
    let (mut left, mut right) = (pattern.split('/'), path.split('/'));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return Some(params),
            (Some(want), Some(have)) if want.starts_with('{') && !have.is_empty() => params.push(have),
            (Some(want), Some(have)) if want == have => {}
            _ => return None,
        }
    }
}
