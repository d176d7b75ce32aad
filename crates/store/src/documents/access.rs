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
    #[error("{0} subjects; a list has at most {max}: share it with a group", max = SUBJECTS_MAX)]
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
    /// What [`Acl`] was shown as; for back-ends.
    ///
    /// # Errors
    /// The first text that is no subject; nobody; too many.
    pub fn parse(text: &str) -> Result<Acl, AccessError> {
        let subjects: Result<Vec<Subject>, AccessError> = text.split('\n').map(str::parse).collect();
        Acl::new(subjects?)
    }
    /// The whole team.
    pub fn team() -> Acl {
        Acl([Subject::Team].into())
    }
    pub fn subjects(&self) -> impl ExactSizeIterator<Item = &Subject> {
        self.0.iter()
    }
}

/// A subject a line, in order: the same list is the same text.
impl fmt::Display for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, subject) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            subject.fmt(f)?;
        }
        Ok(())
    }
}

/// Who reads: what every search, fetch, preview, citation and export takes.
/// `policy::Principal::reader` makes it from whoever was authenticated; nothing
/// of it ever comes from a request's body.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    /// Whom the reader is in every party: what belongs to one of them alone (a memory)
    /// may be read.
    pub fn own(&self) -> impl Iterator<Item = &Subject> {
        let (first, rest) = self.parties.split_first().expect("a reader has a party");
        first.iter().filter(move |subject| rest.iter().all(|party| party.contains(*subject)))
    }
    /// The same without what others are, too: the person first, then the key. The first of
    /// them is whose memory a conversation becomes. Nobody for an agent that acts for a
    /// user: what it hears is neither's alone.
    pub fn alone(&self) -> impl Iterator<Item = &Subject> {
        self.own().filter(|subject| matches!(subject, Subject::User(_) | Subject::Key(_)))
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
        all.map(AclClass).filter(move |class| self.has(*class))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subject(text: &str) -> Subject {
        text.parse().unwrap_or_else(|e| panic!("{e}"))
    }

    fn acl(texts: &[&str]) -> Acl {
        Acl::new(texts.iter().map(|t| subject(t))).expect("there is somebody")
    }

    fn reader(texts: &[&str]) -> Reader {
        Reader::new(crate::conformance::sample::team(1).id, texts.iter().map(|t| subject(t)))
    }

    #[test]
    fn subjects_are_read_as_they_are_written() {
        for text in ["team", "user:ada@acme.eu", "key:019a5c1e-7b1c-7c7e-9a51-0d6f5e0b7a11", "group:R&D / EU"]
        {
            assert_eq!(subject(text).to_string(), text);
        }
        assert_eq!(subject("user:Ada@Acme.EU"), subject("user:ada@acme.eu"), "people have one name");
        assert_ne!(subject("group:Ops"), subject("group:ops"), "a group is as its provider writes it");
        let long = format!("user:{}", "x".repeat(SUBJECT_BYTES_MAX + 1));
        for text in ["", "Team", "team:x", "user:", "group:", "group:a\nteam", "key:no", "ada", &long] {
            assert!(text.parse::<Subject>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_list_has_somebody_and_not_everybody() {
        assert_eq!(Acl::new([]), Err(AccessError::Nobody));
        let many = (0..=SUBJECTS_MAX).map(|n| Subject::user(&format!("u{n}")));
        assert_eq!(Acl::new(many), Err(AccessError::Many(SUBJECTS_MAX + 1)));
        let twice = acl(&["group:b", "user:a", "group:b"]);
        assert_eq!(twice, acl(&["user:a", "group:b"]));
        assert_eq!(Acl::parse(&twice.to_string()), Ok(twice));
    }

    #[test]
    fn an_agent_reads_what_it_and_its_user_may_read() {
        let agent = reader(&["group:bots"]).within([subject("user:ada")]);
        assert!(agent.may(&Acl::team()));
        assert!(!agent.may(&acl(&["group:bots"])), "the user may not");
        assert!(!agent.may(&acl(&["user:ada"])), "the agent may not");
        assert!(agent.may(&acl(&["user:ada", "group:bots"])));
        assert_eq!(agent.own().collect::<Vec<_>>(), [&Subject::Team], "neither's memory is the other's");
        assert_eq!(agent.alone().count(), 0);
        let key = "key:019a5c1e-7b1c-7c7e-9a51-0d6f5e0b7a11";
        let person = reader(&[key, "group:ops", "user:ada"]);
        assert_eq!(person.alone().map(ToString::to_string).collect::<Vec<_>>(), ["user:ada", key]);
    }

    proptest! {
        /// More subjects in the list or in the reader never hide a document; another
        /// party never shows one.
        #[test]
        fn rights_are_monotone(list in names(), mine in names(), more in names(), other in names()) {
            prop_assume!(!list.is_empty());
            let acl = Acl::new(list.clone()).expect("not empty");
            let team = crate::conformance::sample::team(1).id;
            let may = Reader::new(team, mine.clone()).may(&acl);
            let wider = Reader::new(team, mine.iter().chain(&more).cloned());
            prop_assert!(!may || wider.may(&acl));
            let shared = Acl::new(list.iter().chain(&more).cloned()).expect("not empty");
            prop_assert!(!may || Reader::new(team, mine.clone()).may(&shared));
            let within = Reader::new(team, mine.clone()).within(other.clone());
            prop_assert_eq!(within.may(&acl), may && Reader::new(team, other).may(&acl));
        }

        #[test]
        fn a_mask_has_what_it_was_made_of(classes in proptest::collection::btree_set(0u32..500, 0..40)) {
            let mask = Classes::of(classes.iter().copied().map(AclClass));
            prop_assert_eq!(mask.iter().map(|c| c.0).collect::<Vec<_>>(), classes.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(mask.is_empty(), classes.is_empty());
            prop_assert!((0..1_000).all(|n| mask.has(AclClass(n)) == classes.contains(&n)));
        }
    }

    fn names() -> impl Strategy<Value = Vec<Subject>> {
        proptest::collection::vec((0u8..6).prop_map(|n| Subject::user(&format!("u{n}"))), 0..5)
    }
}
