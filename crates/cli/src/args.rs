//! The command line itself: nouns, then verbs. Every help text is a sentence
//! that says what the command does; `cargo xtask tidy` checks that every
//! command in the documentation exists here.

mod collection;
mod memory;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use collection::*;
pub use memory::*;

use crate::compress::{Eval, Quantize};
use crate::import::Import;

pub mod graph;

/// The inference-first AI platform in one binary.
#[derive(Debug, Parser)]
#[command(name = "bedplate", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Client commands read $BEDPLATE_URL (default http://127.0.0.1:4600) and $BEDPLATE_KEY.\n\
    Exit codes: 0 done, 1 refused or failed, 2 used wrongly (`plan`: 2 means there are changes)."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Top,
}

#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Print one JSON value instead of text.
    #[arg(long, global = true, display_order = 100)]
    pub json: bool,
    /// The server, for client commands.
    #[arg(
        long,
        global = true,
        env = "BEDPLATE_URL",
        default_value = "http://127.0.0.1:4600",
        display_order = 101
    )]
    pub url: String,
}

#[derive(Debug, Subcommand)]
pub enum Top {
    /// Start the server.
    Serve(Serve),
    /// Ask a model, and stream its answer.
    Chat(Chat),
    /// Sign in with your company's account; the key of a working day is kept for you.
    Login,
    /// End the sign-in, here and at the server.
    Logout,
    /// Who you are to the server, and what you may do now.
    Whoami,
    /// More rights for a while, when two other people say yes.
    #[command(subcommand)]
    BreakGlass(BreakGlass),
    /// API keys: create, list, rotate, revoke.
    #[command(subcommand)]
    Key(Key),
    /// The keys that data is encrypted under: who keeps the master key.
    #[command(subcommand, long_about = KEYS)]
    Keys(Keys),
    /// Teams: who shares keys, limits and budgets.
    #[command(subcommand)]
    Team(Team),
    /// Tenants: what a team leaves behind, as one that can be erased.
    #[command(subcommand)]
    Tenant(Tenant),
    /// Users: people and services, to whom keys can belong.
    #[command(subcommand)]
    User(User),
    /// Budgets: limits on what may be spent.
    #[command(subcommand)]
    Budget(Budget),
    /// Answers that were kept to be given again.
    #[command(subcommand)]
    Cache(Cache),
    /// Collections: documents to ask about, each for its own readers.
    #[command(subcommand)]
    Collection(Collection),
    /// Knowledge graphs that exist, asked by declared queries.
    #[command(subcommand)]
    Graph(graph::Graph),
    /// Guards: what is looked for in requests and answers.
    #[command(subcommand)]
    Guard(Guard),
    /// Your memory: what you said before, and what is known from it.
    #[command(subcommand)]
    Memory(Memory),
    /// Models: list, fetch, inspect and measure.
    #[command(subcommand)]
    Model(Model),
    /// Providers: who serves models, and their keys.
    #[command(subcommand)]
    Provider(Provider),
    /// Policies: which are in force, what they say, and what others would have said.
    #[command(subcommand)]
    Policy(Policy),
    /// Tools that agents may call: list, approve, quarantine.
    #[command(subcommand)]
    Tool(Tool),
    /// Tool calls that wait for a person.
    #[command(subcommand)]
    Approval(Approval),
    /// What was spent.
    #[command(subcommand)]
    Cost(Cost),
    /// The audit log: list it, verify it, take receipts, witness it.
    #[command(subcommand)]
    Audit(Audit),
    /// Everything about one request: steps, decisions, attempts, cost.
    Explain(Explain),
    /// What applying manifests would change (exit 0: nothing, 2: something).
    Plan(Declared),
    /// Like plan, showing only what differs.
    Diff(Declared),
    /// Apply manifests: all of them or none.
    Apply(Declared),
    /// The server's health; with -f, whether manifests are in force.
    Status(Status),
    /// Check this machine: clock, disk, limits, keys, data directory.
    Doctor(Doctor),
    /// Print a completion script for a shell.
    Completions(Completions),
    /// One engine, for the server at standard input.
    #[command(hide = true)]
    EngineProcess {
        /// The model's file name, for whoever looks at the list of processes.
        model: Option<String>,
    },
    /// One document, for the server at standard input.
    #[command(hide = true)]
    FormatProcess,
}

#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// Where to listen.
    #[arg(long, env = "BEDPLATE_LISTEN", default_value = "127.0.0.1:4600")]
    pub listen: SocketAddr,
    /// The server's certificate chain, PEM; read again when it changes and on SIGHUP.
    #[arg(long, value_name = "FILE", env = "BEDPLATE_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of that certificate, PEM.
    #[arg(long, value_name = "FILE", env = "BEDPLATE_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Authorities of client certificates, PEM: a service may show one instead of a key.
    #[arg(long, value_name = "FILE", env = "BEDPLATE_TLS_CLIENT_CA", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,
    /// Take no connection without a client certificate.
    #[arg(long, requires = "tls_client_ca")]
    pub tls_require_client: bool,
    /// Speak plain HTTP to other machines too: behind a proxy on a network that nobody else is on.
    #[arg(long, env = "BEDPLATE_INSECURE_PLAIN_HTTP", conflicts_with = "tls_cert")]
    pub insecure_plain_http: bool,
    /// Identity providers: whose tokens are believed, by which people sign in, and who is what because of their groups; read again when it changes and on SIGHUP.
    #[arg(long, value_name = "FILE", env = "BEDPLATE_IDENTITY")]
    pub identity: Option<PathBuf>,
    /// The data directory [default: $BEDPLATE_HOME, else ~/.local/share/bedplate].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Manifests to apply at start: a file or a folder of them.
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// What this process does; all of it unless told.
    #[arg(long, value_delimiter = ',', value_name = "ROLE")]
    pub roles: Vec<Role>,
    /// What local models may take together: 8GiB, 512MiB [default: 80 % of the machine's memory].
    #[arg(long, value_name = "SIZE", value_parser = crate::size::parse, env = "BEDPLATE_ENGINE_MEMORY")]
    pub engine_memory: Option<u64>,
    /// A model that waited this many seconds for memory goes before the requests of others.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub engine_swap_wait: u64,
    /// While answers are written, prompts are computed in parts that keep two tokens about this many milliseconds apart.
    #[arg(long, value_name = "MS", default_value_t = 200)]
    pub engine_token_gap: u64,
    /// How local models attend: `plain` suits prompts that share long beginnings, `flash` contexts that share nothing.
    #[arg(long, value_enum, default_value_t = Attention::Auto)]
    pub engine_attention: Attention,
    /// Where local models run: in this process, or each in one of its own, whose end costs only the requests in flight.
    #[arg(long, value_enum, default_value_t = EngineProcess::Inline, env = "BEDPLATE_ENGINE_PROCESS")]
    pub engine_process: EngineProcess,
    /// Memory of each local model for keys and values of prompts that may come again.
    #[arg(long, value_name = "SIZE", value_parser = crate::size::parse_or_none, default_value = "256MiB", env = "BEDPLATE_KV_MEMORY")]
    pub kv_memory: u64,
    /// Disk for the same, encrypted, which survives a restart; 0 for none.
    #[arg(long, value_name = "SIZE", value_parser = crate::size::parse_or_none, default_value = "4GiB", env = "BEDPLATE_KV_DISK")]
    pub kv_disk: u64,
    /// Put no declared Policy in force: the way back when one of them locks everybody out.
    #[arg(long)]
    pub without_policies: bool,
    /// When the audit log does not continue its last checkpoint: `warn` answers all the same and says so, `require` answers no request of the data plane.
    #[arg(long, value_enum, default_value_t = AuditDamage::Warn, env = "BEDPLATE_AUDIT")]
    pub audit: AuditDamage,
    /// Who keeps the master key. What each needs comes from the environment: see `bedplate help keys`.
    #[arg(long, value_enum, default_value_t = MasterKey::File)]
    pub master_key: MasterKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Attention {
    Auto,
    Flash,
    Plain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuditDamage {
    Warn,
    Require,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineProcess {
    Inline,
    Child,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Role {
    /// The data plane: /v1.
    Gateway,
    /// The control API: /api/v1.
    Control,
    /// The page at /.
    Console,
    /// The embedded engine.
    Engine,
}

impl Role {
    pub const ALL: [Role; 4] = [Role::Gateway, Role::Control, Role::Console, Role::Engine];
    pub const fn name(self) -> &'static str {
        match self {
            Role::Gateway => "gateway",
            Role::Control => "control",
            Role::Console => "console",
            Role::Engine => "engine",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MasterKey {
    /// A file of mode 0600 in the data directory.
    File,
    /// 64 hexadecimal digits in $BEDPLATE_MASTER_KEY.
    Environment,
    /// Derived from $BEDPLATE_PASSPHRASE.
    Passphrase,
    /// Kept by a device: $BEDPLATE_PKCS11_MODULE, _TOKEN, _PIN and _KEY [default: bedplate].
    Pkcs11,
    /// Kept by Vault's transit engine: $VAULT_ADDR, $VAULT_TOKEN, $VAULT_NAMESPACE, $BEDPLATE_VAULT_KEY [default: bedplate], $BEDPLATE_VAULT_MOUNT [default: transit].
    Vault,
}

impl MasterKey {
    /// As it is given on the command line and named in the key ring.
    pub const fn name(self) -> &'static str {
        match self {
            MasterKey::File => "file",
            MasterKey::Environment => "environment",
            MasterKey::Passphrase => "passphrase",
            MasterKey::Pkcs11 => "pkcs11",
            MasterKey::Vault => "vault",
        }
    }
    /// The kind with that name.
    pub fn named(name: &str) -> Option<MasterKey> {
        MasterKey::value_variants().iter().copied().find(|kind| kind.name() == name)
    }
}

#[derive(Clone, Debug, Args)]
pub struct Chat {
    /// What to ask; `-` reads standard input.
    pub prompt: String,
    #[arg(long, default_value = "bedplate-guide")]
    pub model: String,
    /// The wire format to speak.
    #[arg(long, value_enum, default_value_t = Dialect::Openai)]
    pub dialect: Dialect,
    /// A system prompt before the question.
    #[arg(long)]
    pub system: Option<String>,
    /// Answer from the documents of this collection that you may read, and say which.
    #[arg(long, value_name = "NAME")]
    pub collection: Option<String>,
    /// How many passages of the collection at most.
    #[arg(long, value_name = "N", requires = "collection", value_parser = clap::value_parser!(u32).range(1..=32))]
    pub passages: Option<u32>,
    /// Keep the question and the answer in this conversation, for you alone.
    #[arg(long, value_name = "NAME")]
    pub conversation: Option<String>,
    /// Bring back so many turns of what you said before, and what is known of you: of the
    /// conversation, or of all when none is named.
    #[arg(long, value_name = "TURNS", value_parser = clap::value_parser!(u32).range(1..=32))]
    pub recall: Option<u32>,
    /// Keep what you say of yourself as facts.
    #[arg(long, requires = "conversation")]
    pub learn: bool,
    /// The longest answer, in tokens.
    #[arg(long, default_value_t = 256, value_name = "TOKENS")]
    pub max_tokens: u32,
    /// 0 takes the likeliest token each time.
    #[arg(long)]
    pub temperature: Option<f32>,
    #[arg(long)]
    pub seed: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dialect {
    Openai,
    Anthropic,
}

#[derive(Clone, Debug, Subcommand)]
pub enum BreakGlass {
    /// Ask for the rights of a role beside your own; prints the id that others approve.
    Request {
        #[arg(long, value_enum)]
        role: KeyRole,
        /// Why: it stays in the log.
        #[arg(long)]
        reason: String,
        /// How long, from the second approval on: 30m, 2h; 8h at most.
        #[arg(long = "for", default_value = "30m", value_name = "DURATION")]
        lasts: String,
    },
    /// Say yes. The second of two different people begins it.
    Approve {
        /// The elevation's id.
        id: String,
    },
    /// List who asked for what, and where it stands.
    List,
    /// End an elevation, or refuse one.
    End {
        /// The elevation's id.
        id: String,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub enum Key {
    /// Create a key; its secret is printed once.
    Create(KeyCreate),
    /// List keys, never their secrets.
    List,
    /// Give a key a second version; the old one keeps working for a while.
    Rotate {
        /// The key's id.
        id: String,
        /// How long the old version keeps working: 30m, 24h, 7d; 0 ends it at once.
        #[arg(long, default_value = "24h", value_name = "DURATION")]
        overlap: String,
    },
    /// Revoke a key at once.
    Revoke {
        /// The key's id.
        id: String,
    },
}

const KEYS: &str = "\
The keys that data is encrypted under. (API keys are `bedplate key`.)

The master key wraps the root of the key ring, the root a key per team, and that one the team's data keys.
Who keeps the master key is told to `serve` by --master-key; what is secret comes from the environment:
  file         master.key in the data directory, mode 0600, made at the first start
  environment  $BEDPLATE_MASTER_KEY: 32 bytes as 64 hexadecimal digits or base64
  passphrase   $BEDPLATE_PASSPHRASE, stretched by Argon2id
  pkcs11       a device: $BEDPLATE_PKCS11_MODULE, $BEDPLATE_PKCS11_TOKEN, $BEDPLATE_PKCS11_PIN, $BEDPLATE_PKCS11_KEY [bedplate]
  vault        Vault or OpenBao: $VAULT_ADDR, $VAULT_TOKEN, $VAULT_NAMESPACE, $BEDPLATE_VAULT_MOUNT [transit], $BEDPLATE_VAULT_KEY [bedplate]";

#[derive(Clone, Debug, Subcommand)]
pub enum Keys {
    /// Who keeps the master key, and which teams have keys.
    List,
    /// Give a team or the root a new key. What is below it is wrapped again; no data is written again.
    Rotate(RotateKeys),
    /// Put the key ring under another master key; no data is written again. The server must not run.
    Rewrap(Rewrap),
}

#[derive(Clone, Debug, Args)]
pub struct RotateKeys {
    #[command(flatten)]
    pub target: RotateTarget,
    /// Leave older versions of the master key, so that copies of the key ring stay readable.
    #[arg(long, requires = "root")]
    pub keep_old: bool,
}

#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct RotateTarget {
    /// The team's name.
    #[arg(long, value_name = "TEAM")]
    pub tenant: Option<String>,
    /// The root of the key ring, and the master key above it where its keeper makes a new version.
    #[arg(long)]
    pub root: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Tenant {
    /// Erase a team for good: destroy its keys, so that nothing sealed for it opens again, here and in copies.
    Shred {
        team: String,
        /// The team's name again.
        #[arg(long, value_name = "NAME")]
        confirm: String,
    },
}

#[derive(Clone, Debug, Args)]
pub struct Rewrap {
    /// Who keeps the new master key. A new one from the environment is read from $BEDPLATE_NEW_MASTER_KEY or $BEDPLATE_NEW_PASSPHRASE.
    #[arg(long, value_enum)]
    pub to: MasterKey,
    /// Who keeps the present one [default: whoever the key ring names].
    #[arg(long, value_enum)]
    pub from: Option<MasterKey>,
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct KeyCreate {
    pub name: String,
    /// The team's name.
    #[arg(long)]
    pub team: String,
    /// The user it belongs to; for an agent, the user it acts for.
    #[arg(long)]
    pub user: Option<String>,
    /// Who may use it without a secret: spiffe://domain/path of a client certificate, or https://issuer#subject of a token.
    #[arg(long, value_name = "SUBJECT")]
    pub subject: Option<String>,
    #[arg(long, value_enum, default_value_t = KeyRole::Inference)]
    pub role: KeyRole,
    /// A model it may use; repeat for more. All models unless told.
    #[arg(long = "model", value_name = "MODEL")]
    pub models: Vec<String>,
    #[arg(long, value_name = "N")]
    pub requests_per_minute: Option<u32>,
    #[arg(long, value_name = "N")]
    pub tokens_per_minute: Option<u64>,
    /// How long it works: 12h, 30d. For ever unless told.
    #[arg(long, value_name = "DURATION")]
    pub expires: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeyRole {
    /// Inference with the models granted.
    Inference,
    /// Also reads its team's records and costs, and the status.
    Viewer,
    /// Everything in its org.
    #[value(alias = "org-admin")]
    Admin,
    /// Policy, guards, who has access; reads nobody's records.
    SecurityOfficer,
    /// The audit log, costs and what is declared; no records.
    Auditor,
    /// Models and providers; no keys, no records.
    Operator,
    /// Inference, and its own records.
    Developer,
    /// Software that acts for a user, by the rights of both.
    Agent,
}

#[derive(Clone, Debug, Subcommand)]
pub enum User {
    /// Create a user.
    Create {
        name: String,
        /// What they may do when they sign in; what their groups say unless told.
        #[arg(long, value_enum)]
        role: Option<KeyRole>,
    },
    /// Give a user another role to sign in with, whatever their groups say.
    SetRole {
        name: String,
        #[arg(value_enum)]
        role: KeyRole,
    },
    /// Take a user's role away: they are what their groups say.
    ClearRole { name: String },
    /// List users and how many live keys each has.
    List,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Team {
    /// Create a team.
    Create {
        name: String,
        #[arg(long, value_name = "N")]
        requests_per_minute: Option<u32>,
        #[arg(long, value_name = "N")]
        tokens_per_minute: Option<u64>,
    },
    /// List teams.
    List,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Budget {
    /// Create a budget for a team, a key or an org.
    Create(BudgetCreate),
    /// List budgets with what is spent, held and left.
    List,
    /// Delete a budget; its history stays in the ledger.
    Delete { name: String },
}

#[derive(Clone, Debug, Args)]
#[group(id = "scope", required = true, multiple = false)]
pub struct BudgetScope {
    /// The team's name.
    #[arg(long)]
    pub team: Option<String>,
    /// The key's id.
    #[arg(long)]
    pub key: Option<String>,
    /// The org's name.
    #[arg(long)]
    pub org: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub struct BudgetCreate {
    pub name: String,
    #[command(flatten)]
    pub scope: BudgetScope,
    /// The limit in USD, exact: 25.00.
    #[arg(long, value_name = "USD")]
    pub limit: String,
    #[arg(long, value_enum, default_value_t = Period::Month)]
    pub period: Period,
    /// Only report, never refuse.
    #[arg(long)]
    pub soft: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Period {
    Day,
    Month,
    Total,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Cache {
    /// Which question an answer belongs to, which documents it depends on, and what it saves.
    Why {
        /// The answer's id; `explain` names it in the step `cache`.
        id: String,
    },
    /// Take an answer back: the next one who asks gets a new one.
    Revoke {
        /// The answer's id.
        id: String,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub enum Guard {
    /// Show what a guard finds in a text; exit 1 when it blocks it. Known secrets are only looked for by the server.
    Test {
        /// The guard's name.
        name: String,
        /// The text; otherwise it is read from --file or standard input.
        #[arg(long, conflicts_with = "file")]
        text: Option<String>,
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Take the guard from this manifest instead of the server.
        #[arg(long, value_name = "FILE")]
        manifests: Option<PathBuf>,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub enum Model {
    /// List the server's models; with --files, the model files of the data directory.
    List {
        /// The GGUF files below the data directory instead.
        #[arg(long)]
        files: bool,
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// Fetch a model file from a hub: resumes, checks its SHA-256 and its header.
    Pull(Pull),
    /// Read a model file's header: architecture, sizes, memory needed.
    Inspect {
        file: PathBuf,
        /// Tokens of context to plan for.
        #[arg(long, default_value_t = 4096)]
        context: u64,
        /// Sequences at once.
        #[arg(long, default_value_t = 8)]
        sequences: u64,
    },
    /// Make a model file of a Hugging Face folder: BERT models that make vectors.
    Import(Import),
    /// Measure a model on this machine: tokens per second at several batch sizes.
    Bench(Bench),
    /// Make a model smaller: fewer bits per weight, within a limit on what it loses.
    Quantize(Quantize),
    /// Measure on a text how far a smaller model is from the one it was made of.
    Eval(Eval),
}

#[derive(Clone, Debug, Args)]
pub struct Pull {
    /// hf:<org>/<repo>[@<revision>]/<file>.gguf
    pub reference: String,
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The most that all model files together may take, in GB.
    #[arg(long, value_name = "GB")]
    pub quota_gb: Option<u64>,
}

#[derive(Clone, Debug, Args)]
pub struct Bench {
    /// A GGUF file, or a built-in model.
    #[arg(default_value = "bedplate-guide")]
    pub model: String,
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Threads; the machine's cores unless told.
    #[arg(long)]
    pub threads: Option<u32>,
    /// Prompt tokens.
    #[arg(long, default_value_t = 128)]
    pub prompt_tokens: u32,
    /// Answer tokens.
    #[arg(long, default_value_t = 64)]
    pub answer_tokens: u32,
    /// Sequences at once; repeat for more.
    #[arg(long = "batch", default_values_t = [1, 8])]
    pub batches: Vec<u32>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Provider {
    /// List providers, declared and in the catalogue.
    List,
    /// Keep a provider's key in the encrypted store; the key is read from standard input.
    SetKey { name: String },
}

#[derive(Clone, Debug, Subcommand)]
pub enum Tool {
    /// List tools as their servers describe them now, and what was approved.
    List,
    /// Approve what a server describes now: all its new and changed tools, or the ones named.
    Approve {
        /// The `Tool` manifest's name.
        server: String,
        tools: Vec<String>,
    },
    /// Take a tool out of service.
    Quarantine { server: String, tool: String },
    /// Keep a server's key in the encrypted store; the key is read from standard input.
    SetKey { server: String },
}

#[derive(Clone, Debug, Subcommand)]
pub enum Approval {
    /// List the calls that wait, and what was answered lately.
    List,
    /// Endorse the values of a call in its session; it can then be called again.
    Grant {
        id: String,
        /// How long the endorsement counts: 30m, 8h.
        #[arg(long = "for", default_value = "1h", value_name = "DURATION")]
        lasting: String,
    },
    /// Refuse the values of a call in its session, or take their grant back.
    Deny {
        id: String,
        /// How long the refusal counts: 30m, 8h.
        #[arg(long = "for", default_value = "1h", value_name = "DURATION")]
        lasting: String,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub enum Cost {
    /// What was spent, grouped.
    Report {
        #[arg(long, value_enum, default_value_t = CostBy::Team)]
        by: CostBy,
        /// First day, YYYY-MM-DD, UTC; the first of this month unless told.
        #[arg(long, value_name = "DAY")]
        from: Option<String>,
        /// Last day, inclusive; today unless told.
        #[arg(long, value_name = "DAY")]
        to: Option<String>,
    },
    /// Recompute the books: every transaction sums to zero.
    Check,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CostBy {
    Team,
    Model,
    Key,
    Day,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Audit {
    /// Print the log's public key: what receipts are verified with.
    Key,
    /// List leaves, the newest last.
    Log {
        /// The first leaf's number; the newest leaves unless told.
        #[arg(long, value_name = "N")]
        from: Option<u64>,
        /// At most this many.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
    /// Show what a leaf's commitments bind, and whether files are what was sent. The log says who asked.
    Open(AuditOpen),
    /// Verify a receipt (without a server), a data directory, or the server's whole log.
    Verify(AuditVerify),
    /// The receipt of a leaf by its number.
    Prove {
        index: u64,
        /// Write it into a file instead of standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// The receipt of a request: a text that verifies offline.
    Receipt {
        /// The `x-request-id` of the answer, or `last`.
        request_id: String,
        /// Write it into a file instead of standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Cosign a log's checkpoint, if it continues what this witness has seen.
    Witness(AuditWitness),
}

#[derive(Clone, Debug, Args)]
pub struct AuditOpen {
    /// The `x-request-id` of the answer, `last`, or the number of a leaf.
    pub leaf: String,
    /// A file to compare with the request's body, as it was sent.
    #[arg(long, value_name = "FILE")]
    pub request: Option<PathBuf>,
    /// A file to compare with the answer's body; a stream as it was saved, with or without the comment of its cost.
    #[arg(long, value_name = "FILE")]
    pub response: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct AuditVerify {
    /// A receipt to verify, with no server.
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    pub receipt: Option<PathBuf>,
    /// The log's public key, or a file that holds it.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// A trusted witness's public key, or a file that holds it; repeat for more.
    #[arg(long = "witness", value_name = "KEY")]
    pub witnesses: Vec<String>,
    /// How many of the witnesses must have cosigned [default with --receipt: all of them].
    #[arg(long, value_name = "N")]
    pub quorum: Option<usize>,
    /// Read the log of this data directory instead; its server must be stopped.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// With --data: where the master key comes from.
    #[arg(long, value_enum, default_value_t = MasterKey::File)]
    pub master_key: MasterKey,
}

#[derive(Clone, Debug, Args)]
pub struct AuditWitness {
    /// The server whose log is witnessed.
    #[arg(value_name = "URL")]
    pub server: String,
    /// This witness's private key, made at the first use; beside it stands what was seen.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The name of a key that is made: such as example.com/witness.
    #[arg(long, default_value = "bedplate/witness")]
    pub name: String,
    /// The log's public key; at the first time the server's word unless told.
    #[arg(long, value_name = "KEY")]
    pub log_key: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub struct Explain {
    /// The `x-request-id` of the answer; `last` for the newest request.
    pub request_id: String,
}

#[derive(Clone, Debug, Args)]
pub struct Declared {
    /// A manifest, a folder of them, or `-` for standard input; repeat for more.
    #[arg(short = 'f', long = "file", required = true, value_name = "PATH")]
    pub files: Vec<PathBuf>,
    /// Also delete declared objects of the same kinds that the manifests leave out.
    #[arg(long)]
    pub prune: bool,
}

#[derive(Clone, Debug, Args)]
pub struct Status {
    /// Manifests to compare with what is in force.
    #[arg(short = 'f', long = "file", value_name = "PATH")]
    pub files: Vec<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct Doctor {
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct Completions {
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Subcommand)]
pub enum Policy {
    /// The policies that are in force, and the set's hash.
    List {
        /// Also print what policies can speak about, in Cedar's notation for schemas.
        #[arg(long)]
        schema: bool,
    },
    /// Run the cases beside policies, without putting them in force (exit 1: one failed).
    Test {
        /// Files or folders of manifests; - for standard input.
        #[arg(short = 'f', long = "file", value_name = "PATH", required = true)]
        files: Vec<PathBuf>,
    },
    /// What the policies in force say to a question, and which of them decide.
    Explain(PolicyExplain),
    /// What policies would have decided about the last requests (exit 2: something would change).
    Replay {
        /// Files or folders of manifests; - for standard input.
        #[arg(short = 'f', long = "file", value_name = "PATH", required = true)]
        files: Vec<PathBuf>,
        /// How many of the last requests, at most 1,000.
        #[arg(long, value_name = "N", default_value_t = 1000)]
        last: usize,
    },
}

#[derive(Debug, Args)]
pub struct PolicyExplain {
    /// Who asks: a key's id, or team/name.
    #[arg(long, required_unless_present = "team")]
    pub key: Option<String>,
    /// Any key of this team, when no key is named.
    #[arg(long)]
    pub team: Option<String>,
    #[arg(long)]
    pub model: Option<String>,
    /// invoke, embed, retrieve, call_tool, admin_write... [default: invoke]
    #[arg(long)]
    pub action: Option<String>,
    /// Of the data: confidential eu.
    #[arg(long)]
    pub labels: Option<String>,
    /// The user that an agent acts for.
    #[arg(long, value_name = "USER")]
    pub on_behalf_of: Option<String>,
    /// What the injection sensor would say, 0 to 100.
    #[arg(long, value_name = "SCORE")]
    pub injection_score: Option<u16>,
    /// A kind of personal data that would be found; may be given again.
    #[arg(long = "pii", value_name = "KIND")]
    pub pii_types: Vec<String>,
}
