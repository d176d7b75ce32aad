//! What a guard says: findings, and what is to be done about them.
//!
//! A finding never holds the text it is about (TRAPS X4): kind, rule, place and
//! length are all that goes into records, logs, errors and the audit log.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// What was found. The names are stable: policies and audit leaves speak them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A placeholder that we made, to be turned back.
    Placeholder,
    Card,
    Iban,
    NationalId,
    Email,
    Phone,
    Ip,
    Url,
    DriverLicence,
    /// A credential that some vendor's format gives away.
    VendorSecret,
    PrivateKey,
    Token,
    ConnectionString,
    /// A secret that this deployment holds, in one of eight encodings.
    KnownSecret,
    /// A mark planted in a system prompt.
    Canary,
    /// A phrase of a deny list.
    Denied,
    Injection,
    TooLong,
    Script,
    /// What a remote detector said, or that it said nothing.
    Remote,
    /// A known secret or a canary that the local engine was kept from saying.
    Withheld,
}

impl Kind {
    pub const ALL: [Kind; 21] = [
        Kind::Placeholder,
        Kind::Card,
        Kind::Iban,
        Kind::NationalId,
        Kind::Email,
        Kind::Phone,
        Kind::Ip,
        Kind::Url,
        Kind::DriverLicence,
        Kind::VendorSecret,
        Kind::PrivateKey,
        Kind::Token,
        Kind::ConnectionString,
        Kind::KnownSecret,
        Kind::Canary,
        Kind::Denied,
        Kind::Injection,
        Kind::TooLong,
        Kind::Script,
        Kind::Remote,
        Kind::Withheld,
    ];
    /// The kinds of personal data, in the order a manifest lists them.
    pub const PERSONAL: [Kind; 8] = [
        Kind::Card,
        Kind::Iban,
        Kind::NationalId,
        Kind::Email,
        Kind::Phone,
        Kind::Ip,
        Kind::Url,
        Kind::DriverLicence,
    ];
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Placeholder => "placeholder",
            Kind::Card => "card",
            Kind::Iban => "iban",
            Kind::NationalId => "nationalId",
            Kind::Email => "email",
            Kind::Phone => "phone",
            Kind::Ip => "ip",
            Kind::Url => "url",
            Kind::DriverLicence => "driverLicence",
            Kind::VendorSecret => "secret",
            Kind::PrivateKey => "privateKey",
            Kind::Token => "token",
            Kind::ConnectionString => "connectionString",
            Kind::KnownSecret => "knownSecret",
            Kind::Canary => "canary",
            Kind::Denied => "denied",
            Kind::Injection => "injection",
            Kind::TooLong => "length",
            Kind::Script => "script",
            Kind::Remote => "remote",
            Kind::Withheld => "withheld",
        }
    }
    pub fn is_personal(self) -> bool {
        Kind::PERSONAL.contains(&self)
    }
    /// Half of it is already a loss: a part that ends inside one is masked, too. And it is
    /// kept nowhere.
    pub fn is_secret(self) -> bool {
        use Kind::{Canary, ConnectionString, KnownSecret, PrivateKey, Token, VendorSecret};
        matches!(self, VendorSecret | PrivateKey | Token | ConnectionString | KnownSecret | Canary)
    }
}

/// What is done about a finding, from the mildest to the strictest: of several
/// guards the strictest word counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Action {
    /// Nothing, and nothing is said.
    #[default]
    Allow,
    /// It goes on, and is in the record.
    Flag,
    /// It goes on, but only to targets inside this process.
    RouteLocal,
    /// It is replaced by a placeholder, and put back in the answer.
    Tokenise,
    /// It is replaced for good.
    Mask,
    /// The request or the answer ends.
    Block,
}

impl Action {
    pub const ALL: [Action; 6] =
        [Action::Allow, Action::Flag, Action::RouteLocal, Action::Tokenise, Action::Mask, Action::Block];
    pub const fn name(self) -> &'static str {
        match self {
            Action::Allow => "allow",
            Action::Flag => "flag",
            Action::RouteLocal => "route-local",
            Action::Tokenise => "tokenise",
            Action::Mask => "mask",
            Action::Block => "block",
        }
    }
    pub fn from_name(name: &str) -> Option<Action> {
        Action::ALL.into_iter().find(|a| a.name() == name)
    }
    /// Whether text must be held back until the finding is certain.
    pub(crate) fn holds(self) -> bool {
        self >= Action::Tokenise
    }
}

/// Who found it. The version changes with the rules, so that a record can be
/// read years later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Detector {
    pub name: &'static str,
    pub version: u32,
}

/// Where in a request or an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A message of the request, by its position.
    Message(usize),
    /// The definition of a tool.
    Tool(usize),
    Text {
        choice: u32,
    },
    Reasoning {
        choice: u32,
    },
    Refusal {
        choice: u32,
    },
    ToolName {
        choice: u32,
        index: u32,
    },
    ToolArguments {
        choice: u32,
        index: u32,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Message(at) => write!(f, "messages[{at}]"),
            Place::Tool(at) => write!(f, "tools[{at}]"),
            Place::Text { choice } => write!(f, "choices[{choice}].text"),
            Place::Reasoning { choice } => write!(f, "choices[{choice}].reasoning"),
            Place::Refusal { choice } => write!(f, "choices[{choice}].refusal"),
            Place::ToolName { choice, index } => write!(f, "choices[{choice}].tool_calls[{index}].name"),
            Place::ToolArguments { choice, index } => {
                write!(f, "choices[{choice}].tool_calls[{index}].arguments")
            }
        }
    }
}

/// One thing found. It says where and what kind, never what.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub kind: Kind,
    /// The rule of its kind: `github-token`, `base64`; empty where there is one.
    pub rule: &'static str,
    pub detector: Detector,
    pub place: Place,
    /// Bytes of the text at that place, counted from its beginning.
    pub span: Range<u64>,
    pub action: Action,
    /// 0 to 1; 1 where a rule matched.
    pub score: f32,
}

/// What the guards of a route said about one request or one answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// The guards asked, in the order of their names.
    pub guards: Vec<Arc<str>>,
    /// At most [`FINDINGS_MAX`]; `more` counts the rest.
    pub findings: Vec<Finding>,
    pub more: u64,
    /// The highest injection score of any part, when the sensor ran.
    pub injection: Option<f32>,
    /// Bytes looked at.
    pub scanned: u64,
    /// Bytes that went on, what guards put in their place not counted.
    pub released: u64,
    /// Of an answer: bytes that went on before soft rules had judged their sentence,
    /// because the release budget was over.
    pub unjudged: u64,
}

/// Findings that are kept of one verdict: text made of e-mail addresses must
/// not make a record of megabytes.
pub const FINDINGS_MAX: usize = 64;

impl Verdict {
    pub(crate) fn add(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
            return;
        }
        self.more += 1;
        // What decides must not be lost behind what does not.
        if let Some(milder) = self.findings.iter_mut().find(|f| f.action < finding.action) {
            *milder = finding;
        }
    }
    /// The strictest action of any finding.
    pub fn action(&self) -> Action {
        self.findings.iter().map(|f| f.action).max().unwrap_or_default()
    }
    /// The kinds of personal data found, each once.
    pub fn personal(&self) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = self.findings.iter().map(|f| f.kind).filter(|k| k.is_personal()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }
    /// The first finding that ends it.
    pub fn blocked(&self) -> Option<&Finding> {
        self.findings.iter().find(|f| f.action == Action::Block)
    }
    /// `email tokenise x2, secret block`: for records; never the text.
    pub fn summary(&self) -> String {
        let mut counts: Vec<(Kind, Action, u64)> = Vec::new();
        for finding in &self.findings {
            match counts.iter_mut().find(|(k, a, _)| *k == finding.kind && *a == finding.action) {
                Some((.., count)) => *count += 1,
                None => counts.push((finding.kind, finding.action, 1)),
            }
        }
        let mut words: Vec<String> = counts
            .iter()
            .map(|(kind, action, count)| {
                let times = if *count > 1 { format!(" x{count}") } else { String::new() };
                format!("{} {}{times}", kind.name(), action.name())
            })
            .collect();
        if self.more > 0 {
            words.push(format!("{} more", self.more));
        }
        if self.unjudged > 0 {
            words.push(format!("{} bytes before their verdict", self.unjudged));
        }
        words.join(", ")
    }
}
