//! Identifiers: UUIDv7 (RFC 9562), one type per thing that is named.
//!
//! Time-ordered, so that an index on them grows at one end. Cores never make
//! one: an edge with a clock and randomness does, through [`Uuid7::new`].

use std::fmt;
use std::str::FromStr;

use crate::Micros;

/// A version-7 UUID: 48 bits of Unix milliseconds, then random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid7([u8; 16]);

/// Why a text is not an identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not an identifier (a UUID such as 019a5c1e-7b1c-7c7e-9a51-0d6f5e0b7a11)")]
pub struct IdError(String);

impl Uuid7 {
    /// Builds one from a time and ten random bytes (six bits of which are
    /// replaced by version and variant).
    pub fn new(now: Micros, random: [u8; 10]) -> Uuid7 {
        let ms = now.millis().max(0) as u64;
        Uuid7(uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid().into_bytes())
    }
    pub const fn from_bytes(bytes: [u8; 16]) -> Uuid7 {
        Uuid7(bytes)
    }
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
    /// When it was made, to the millisecond.
    pub fn time(&self) -> Micros {
        let mut ms = [0u8; 8];
        ms[2..].copy_from_slice(&self.0[..6]);
        Micros::from_millis(i64::from_be_bytes(ms))
    }
}

impl fmt::Display for Uuid7 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for Uuid7 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid7 {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Uuid7, IdError> {
        uuid::Uuid::try_parse(text)
            .map(|u| Uuid7(u.into_bytes()))
            .map_err(|_| IdError(text.chars().take(40).collect()))
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(pub Uuid7);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> { text.parse().map($name) }
        }
    )*};
}

ids! {
    /// An answer that is kept to be given again.
    AnswerId,
    /// One call to one target.
    AttemptId,
    /// A limit with a scope and a period.
    BudgetId,
    /// Documents that are searched together.
    CollectionId,
    /// A document of a collection, through all of its versions.
    DocumentId,
    /// Rights for a while, beyond those of a role.
    ElevationId,
    /// Something remembered as true for a while.
    FactId,
    /// An API key (its public part; the secret is never an identifier).
    KeyId,
    OrgId,
    /// One request by a client; the `x-request-id` of its response.
    RequestId,
    TeamId,
    /// One message of a conversation that is remembered.
    TurnId,
    UserId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_carries_its_time_version_and_text() {
        let id = Uuid7::new(Micros::from_millis(1_795_449_609_125), [0xff; 10]);
        assert_eq!(id.time(), Micros::from_millis(1_795_449_609_125));
        let text = id.to_string();
        assert_eq!(&text[14..15], "7", "version nibble of {text}");
        assert_eq!(text.parse(), Ok(id));
        assert!("no".parse::<RequestId>().is_err());
    }
}
