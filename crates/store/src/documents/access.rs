//! Who may read: subjects, lists of them, and the evidence that a search needs.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use units::{KeyId, TeamId};

/// Subjects of one list at most: a list is a row that every class of it repeats.
pub const SUBJECTS_MAX: usize = 1_000;
/// Bytes of a user's or a group's name at most.
pub const SUBJECT_BYTES_MAX: usize = 320;

/// Somebody whom a document can be shared with. As text `team`, `user:EMAIL`,
/// `key:ID` or `group:NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Everybody of the tenant's team.
    Team,
    /// A person, by the name that their key's user has, in lower case: an e-mail address as a rule.
    User(Box<str>),
    Key(KeyId),
    /// A group of the identity provider's, exactly as it writes it.
    Group(Box<str>),
}

/// Why a text is not a subject or not a list of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    #[error("\"{0}\" is not a subject: write team, user:EMAIL, key:ID or group:NAME")]
    Subject(String),
    #[error("nobody could read it: a list has at least one subject")]
    Nobody,
    #[error("{0} subjects; a list has at most {SUBJECTS_MAX}: share it with a group")]
    Many(usize),
}

impl Subject {
    /// A person by name; upper and lower case are one.
    pub fn user(name: &str) -> Subject {
        Subject::User(name.to_lowercase().into())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Team => f.write_str("team"),
            Subject::User(name) => write!(f, "user:{name}"),
            Subject::Key(id) => write!(f, "key:{id}"),
            Subject::Group(name) => write!(f, "group:{name}"),
        }
    }
}

impl FromStr for Subject {
    type Err = AccessError;
    fn from_str(text: &str) -> Result<Subject, AccessError> {
        let wrong = || AccessError::Subject(text.chars().take(80).collect());
        let named = |name: &str| {
            let sound = (1..=SUBJECT_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
            if sound { Ok(()) } else { Err(wrong()) }
        };
        match text.split_once(':') {
            None if text == "team" => Ok(Subject::Team),
            Some(("user", name)) => named(name).map(|()| Subject::user(name)),
            Some(("key", id)) => id.parse().map(Subject::Key).map_err(|_| wrong()),
            Some(("group", name)) => named(name).map(|()| Subject::Group(name.into())),
            _ => Err(wrong()),
        }
    }
}

/// Who may read a document: at least one subject, at most [`SUBJECTS_MAX`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acl(BTreeSet<Subject>);

impl Acl {
    /// # Errors
    /// [`AccessError::Nobody`], [`AccessError::Many`].
    pub fn new(subjects: impl IntoIterator<Item = Subject>) -> Result<Acl, AccessError> {
        let subjects: BTreeSet<Subject> = subjects.into_iter().collect();
        match subjects.len() {
            0 => Err(AccessError::Nobody),
            n if n > SUBJECTS_MAX => Err(AccessError::Many(n)),
            _ => Ok(Acl(subjects)),
        }
    }
    /// The whole team.
    pub fn team() -> Acl {
        Acl([Subject::Team].into())
    }
    pub fn subjects(&self) -> impl ExactSizeIterator<Item = &Subject> {
        self.0.iter()
    }
}

/// As texts between commas, in order: the same list is the same text.
impl fmt::Display for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, subject) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            subject.fmt(f)?;
        }
        Ok(())
    }
}

/// Who reads: what every search, fetch, preview, citation and export takes.
/// `policy::Principal::reader` makes it from whoever was authenticated; nothing
/// of it ever comes from a request's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    team: TeamId,
    /// Each of them must be able to read it.
    parties: Vec<BTreeSet<Subject>>,
}

impl Reader {
    /// Somebody of a team, who is `team` and all of these.
    pub fn new(team: TeamId, subjects: impl IntoIterator<Item = Subject>) -> Reader {
        Reader { team, parties: vec![party(subjects)] }
    }
    /// Reads only what these subjects (and `team`) may read as well: for an agent, the
    /// user it acts for.
    pub fn within(mut self, subjects: impl IntoIterator<Item = Subject>) -> Reader {
        self.parties.push(party(subjects));
        self
    }
    pub fn team(&self) -> TeamId {
        self.team
    }
    /// Whether a document of this reader's team, shared so, may be read.
    pub fn may(&self, acl: &Acl) -> bool {
        self.parties.iter().all(|party| acl.0.iter().any(|subject| party.contains(subject)))
    }
    /// Whether what belongs to `owner` alone (a memory) may be read.
    pub fn is(&self, owner: &Subject) -> bool {
        self.parties.iter().all(|party| party.contains(owner))
    }
}

fn party(subjects: impl IntoIterator<Item = Subject>) -> BTreeSet<Subject> {
    subjects.into_iter().chain([Subject::Team]).collect()
}

/// An [`Acl`] by its number in the tenant: what each chunk carries. A number
/// means the same list for ever; a document that is shared otherwise gets another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AclClass(pub u32);

/// The classes that a reader may read: what masks a scan, a bit each.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Classes {
    bits: Vec<u64>,
}

impl Classes {
    pub fn of(classes: impl IntoIterator<Item = AclClass>) -> Classes {
        let mut all = Classes::default();
        for AclClass(n) in classes {
            let word = n as usize / 64;
            if all.bits.len() <= word {
                all.bits.resize(word + 1, 0);
            }
            all.bits[word] |= 1 << (n % 64);
        }
        all
    }
    pub fn has(&self, AclClass(n): AclClass) -> bool {
        self.bits.get(n as usize / 64).is_some_and(|word| word >> (n % 64) & 1 == 1)
    }
    pub fn is_empty(&self) -> bool {
        self.bits.iter().all(|word| *word == 0)
    }
    pub fn iter(&self) -> impl Iterator<Item = AclClass> + '_ {
        let all = 0..self.bits.len() as u32 * 64;
        all.map(AclClass).filter(|class| self.has(*class))
    }
}
