//! What the owner of a tool says about it.

use std::collections::{BTreeMap, BTreeSet};

use units::Sensitivity;

/// What a call can do to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Effect {
    /// It looks something up where nobody else is listening. Free.
    None,
    /// It changes something that only the owner sees.
    State,
    /// Something leaves: a message, a payment, a request to an address.
    #[default]
    Egress,
}

/// How two spellings of a value are the same value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Kind {
    /// Words: letters' case and runs of white space do not matter.
    #[default]
    Text,
    /// Byte for byte: identifiers, passwords.
    Exact,
    /// One address. A list in one string is never the same as one of its members.
    Email,
    /// Scheme and a leading `www.` do not matter, all else does.
    Url,
    /// An amount. A number that the model worked out from others is not the
    /// attacker's, unless it stands in an untrusted text as it is.
    Number,
    /// An account: case and spaces do not matter.
    Account,
}

/// An argument that decides where something goes or what is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub kind: Kind,
    /// What an endorsement is remembered under, so that a recipient allowed for
    /// a payment is allowed for the standing order too. The argument's name unless told.
    pub role: Option<Box<str>>,
    /// Values that are the operator's own: `general`, `*@example.com`.
    pub own: Vec<Box<str>>,
}

/// How much a field of a result is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Trust {
    /// Nobody outside can write it: an id that the system gave, one's own address book.
    Trusted,
    /// Others may have written it, but the list names what there is: it may
    /// complete what the user began to say, if only one entry does.
    Listed,
    #[default]
    Untrusted,
}

/// A field, by the keys that lead to it (`shared.owner`); lists are passed
/// through, `*` is any one key, `$` the result itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub path: Box<str>,
    pub trust: Trust,
}

/// Fields that may be used because the user pointed at their record: "the
/// article that *Bob* posted". The key fields must be ones that a stranger
/// cannot forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub by: Vec<Box<str>>,
    pub gives: Vec<Box<str>>,
    /// Only as values of these kinds; empty: of any.
    pub kinds: Vec<Kind>,
}

/// One tool.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Tool {
    pub effect: Effect,
    /// By argument. `None`: nothing was declared, so every argument is one.
    pub targets: Option<BTreeMap<Box<str>, Target>>,
    pub fields: Vec<Field>,
    pub named: Vec<Named>,
    /// Who may read what it returns; `None`: anybody.
    pub readers: Option<BTreeSet<Box<str>>>,
    /// Who reads what it is given; `None`: anybody.
    pub audience: Option<BTreeSet<Box<str>>>,
    /// Key fields of a record that say who knows it already, such as the two sides of a payment.
    pub parties: Vec<Box<str>>,
    /// Fields of such a record that nobody else is to learn.
    pub private: Vec<Box<str>>,
    /// Of what it returns.
    pub sensitivity: Sensitivity,
    /// The most that it may be given; `None`: anything.
    pub ceiling: Option<Sensitivity>,
}

/// All that is declared, by the name that the model calls.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Declarations {
    tools: BTreeMap<Box<str>, Tool>,
}

impl Target {
    pub fn new(kind: Kind) -> Target {
        Target { kind, role: None, own: Vec::new() }
    }
}

impl Field {
    pub fn trusted(path: &str) -> Field {
        Field { path: path.into(), trust: Trust::Trusted }
    }
    pub fn listed(path: &str) -> Field {
        Field { path: path.into(), trust: Trust::Listed }
    }
}

impl Tool {
    /// A tool that does nothing to the world.
    pub fn reading() -> Tool {
        Tool { effect: Effect::None, targets: Some(BTreeMap::new()), ..Tool::default() }
    }
    pub(crate) fn trust(&self, path: &[&str]) -> Trust {
        let said = self.fields.iter().filter(|f| fits(&f.path, path)).map(|f| f.trust);
        said.min().unwrap_or_default()
    }
}

impl Declarations {
    pub fn new() -> Declarations {
        Declarations::default()
    }
    pub fn insert(&mut self, name: &str, tool: Tool) {
        self.tools.insert(name.into(), tool);
    }
    pub fn get(&self, name: &str) -> Option<&Tool> {
        self.tools.get(name)
    }
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tool)> {
        self.tools.iter().map(|(name, tool)| (&**name, tool))
    }
}

/// Whether a path of keys is the declared one.
pub(crate) fn fits(pattern: &str, path: &[&str]) -> bool {
    if pattern == "$" {
        return path.is_empty();
    }
    let mut keys = path.iter();
    pattern.split('.').all(|want| keys.next().is_some_and(|key| want == "*" || want == *key))
        && keys.next().is_none()
}
