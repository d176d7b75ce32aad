//! Labels: what is known about a piece of data that decides where it may go.
//!
//! Labels join and never fall: what is made of two things is at least as
//! sensitive, at most as free to travel, and at most as trusted as either. The
//! join is commutative, associative and idempotent, and [`Labels::default`] is
//! its neutral element.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// How much harm it does in the wrong hands. The order is that of harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Sensitivity {
    #[default]
    Public,
    Internal,
    Confidential,
    Restricted,
}

/// Who could have written it. The order is that of falling trust: what an
/// untrusted party may have written can hold instructions that nobody gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Integrity {
    /// The operator, a system prompt, a field that its owner declared trusted.
    #[default]
    Trusted,
    /// The principal who asks.
    User,
    /// Anybody: tool results, retrieved text, the web.
    Untrusted,
}

/// A place that law or contract tells apart: `eu`, `de`, `on-prem`, `rack-7`.
/// 1 to 32 lower-case letters, digits and `-`, beginning with a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone(Arc<str>);

/// Where it may be processed and kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum Residency {
    #[default]
    Anywhere,
    /// Only there. Empty: nowhere, which is what two rules make that exclude each other.
    Within(BTreeSet<Zone>),
}

/// Everything that is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Labels {
    pub sensitivity: Sensitivity,
    pub residency: Residency,
    pub integrity: Integrity,
}

/// Why a text is not a label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{found}\" is not {expected}")]
pub struct LabelError {
    found: String,
    expected: &'static str,
}

impl LabelError {
    fn new(found: &str, expected: &'static str) -> LabelError {
        LabelError { found: found.chars().take(40).collect(), expected }
    }
}

impl Sensitivity {
    pub const ALL: [Sensitivity; 4] =
        [Sensitivity::Public, Sensitivity::Internal, Sensitivity::Confidential, Sensitivity::Restricted];

    pub const fn name(self) -> &'static str {
        match self {
            Sensitivity::Public => "public",
            Sensitivity::Internal => "internal",
            Sensitivity::Confidential => "confidential",
            Sensitivity::Restricted => "restricted",
        }
    }
}

impl Integrity {
    pub const ALL: [Integrity; 3] = [Integrity::Trusted, Integrity::User, Integrity::Untrusted];

    pub const fn name(self) -> &'static str {
        match self {
            Integrity::Trusted => "trusted",
            Integrity::User => "user",
            Integrity::Untrusted => "untrusted",
        }
    }
}

impl Zone {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Residency {
    /// What both allow.
    pub fn join(&self, other: &Residency) -> Residency {
        match (self, other) {
            (Residency::Anywhere, r) | (r, Residency::Anywhere) => r.clone(),
            (Residency::Within(a), Residency::Within(b)) => Residency::Within(a & b),
        }
    }
    /// Whether a place that lies in these zones (a site in `de` and `eu`) is allowed.
    pub fn allows(&self, place: &BTreeSet<Zone>) -> bool {
        match self {
            Residency::Anywhere => true,
            Residency::Within(zones) => !zones.is_disjoint(place),
        }
    }
}

impl Labels {
    /// Of what is made of both.
    pub fn join(&self, other: &Labels) -> Labels {
        Labels {
            sensitivity: self.sensitivity.max(other.sensitivity),
            residency: self.residency.join(&other.residency),
            integrity: self.integrity.max(other.integrity),
        }
    }
}

impl fmt::Display for Sensitivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Integrity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `anywhere`, `nowhere`, or zones joined by `+`: `de+fr`.
impl fmt::Display for Residency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Residency::Anywhere => f.write_str("anywhere"),
            Residency::Within(zones) if zones.is_empty() => f.write_str("nowhere"),
            Residency::Within(zones) => {
                for (at, zone) in zones.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { "+" })?;
                    f.write_str(zone.as_str())?;
                }
                Ok(())
            }
        }
    }
}

/// `confidential eu untrusted`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.sensitivity, self.residency, self.integrity)
    }
}

impl FromStr for Sensitivity {
    type Err = LabelError;
    fn from_str(text: &str) -> Result<Sensitivity, LabelError> {
        let found = Sensitivity::ALL.into_iter().find(|s| s.name() == text);
        found.ok_or_else(|| LabelError::new(text, "one of public, internal, confidential, restricted"))
    }
}

impl FromStr for Integrity {
    type Err = LabelError;
    fn from_str(text: &str) -> Result<Integrity, LabelError> {
        let found = Integrity::ALL.into_iter().find(|i| i.name() == text);
        found.ok_or_else(|| LabelError::new(text, "one of trusted, user, untrusted"))
    }
}

impl FromStr for Zone {
    type Err = LabelError;
    fn from_str(text: &str) -> Result<Zone, LabelError> {
        let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let valid = (1..=32).contains(&text.len())
            && text.as_bytes()[0].is_ascii_lowercase()
            && text.bytes().all(letters)
            && !["anywhere", "nowhere"].contains(&text);
        if valid {
            Ok(Zone(text.into()))
        } else {
            Err(LabelError::new(text, "a zone: 1 to 32 lower-case letters, digits and -, a letter first"))
        }
    }
}

impl FromStr for Residency {
    type Err = LabelError;
    fn from_str(text: &str) -> Result<Residency, LabelError> {
        match text {
            "anywhere" => Ok(Residency::Anywhere),
            "nowhere" => Ok(Residency::Within(BTreeSet::new())),
            zones => zones.split('+').map(str::parse).collect::<Result<_, _>>().map(Residency::Within),
        }
    }
}

impl FromStr for Labels {
    type Err = LabelError;
    fn from_str(text: &str) -> Result<Labels, LabelError> {
        let mut words = text.split(' ');
        let (Some(s), Some(r), Some(i), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(LabelError::new(text, "a sensitivity, a residency and an integrity"));
        };
        Ok(Labels { sensitivity: s.parse()?, residency: r.parse()?, integrity: i.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels() -> impl Strategy<Value = Labels> {
        let zones = prop::collection::btree_set(prop::sample::select(vec!["de", "eu", "fr", "us"]), 0..4);
        let residency = prop::option::of(zones).prop_map(|zones| match zones {
            None => Residency::Anywhere,
            Some(zones) => Residency::Within(zones.iter().map(|z| z.parse().expect("a zone")).collect()),
        });
        (prop::sample::select(&Sensitivity::ALL[..]), residency, prop::sample::select(&Integrity::ALL[..]))
            .prop_map(|(sensitivity, residency, integrity)| Labels { sensitivity, residency, integrity })
    }

    proptest! {
        #[test]
        fn joins_never_fall(a in labels(), b in labels(), c in labels()) {
            let ab = a.join(&b);
            prop_assert!(ab.sensitivity >= a.sensitivity && ab.integrity >= a.integrity);
            for zone in ["de", "eu", "fr", "us", "elsewhere"] {
                let place = BTreeSet::from([zone.parse().expect("a zone")]);
                prop_assert!(!ab.residency.allows(&place) || a.residency.allows(&place));
            }
            prop_assert_eq!(&ab, &b.join(&a));
            prop_assert_eq!(ab.join(&c), a.join(&b.join(&c)));
            prop_assert_eq!(a.join(&a), a.clone());
            prop_assert_eq!(a.join(&Labels::default()), a);
        }

        #[test]
        fn labels_are_read_as_they_are_written(a in labels()) {
            prop_assert_eq!(a.to_string().parse(), Ok(a));
        }
    }

    #[test]
    fn what_is_no_label_is_refused() {
        for text in ["", "Public", "public anywhere", "public anywhere user user", "public EU user"] {
            assert!(text.parse::<Labels>().is_err(), "{text}");
        }
        for text in ["", "-eu", "7", "anywhere", "nowhere", "a b", &"z".repeat(33)] {
            assert!(text.parse::<Zone>().is_err(), "{text}");
        }
    }
}
