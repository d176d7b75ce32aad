//! Why a request may not go on, with the numbers that mattered.

use report::{Report, Retry};
use units::Micros;

use crate::Action;

/// A refusal by identity, rights or rate. Never carries any part of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No key was sent.
    NoKey,
    /// What was sent does not look like a key of this product.
    NotAKey {
        why: &'static str,
    },
    /// It looks like a key, and is not one of ours.
    UnknownKey,
    Expired {
        at: Micros,
    },
    Revoked {
        at: Micros,
    },
    Model {
        model: String,
    },
    Action {
        action: Action,
    },
    /// A new key would be able to do what its maker cannot.
    Beyond {
        role: store::Role,
        action: Action,
    },
    /// A certificate or a token is good, and stands for no key, or for `many`.
    NoSeat {
        many: bool,
    },
    /// A token lets software act for somebody whom it cannot act for here.
    Actor {
        why: &'static str,
    },
    /// An elevation that cannot be asked for, approved or ended like this.
    Elevation {
        why: &'static str,
    },
    /// A new key would have a right that its maker has not.
    Escalation {
        what: &'static str,
    },
    /// The request alone is more than a minute's limit: waiting cannot help.
    TooLarge {
        whose: &'static str,
        asked: u64,
        limit: u64,
    },
    Rate {
        /// `key` or `team`.
        whose: &'static str,
        /// `requests` or `tokens`.
        unit: &'static str,
        used: u64,
        asked: u64,
        limit: u64,
        retry_after_s: u32,
    },
}

impl Denied {
    /// The error as shown.
    pub fn report(&self) -> Report {
        match self {
            Denied::NoKey => Report::new("ID0001", "no API key was sent")
                .hint("send it as `authorization: Bearer bp-...` or `x-api-key: bp-...`"),
            Denied::NotAKey { why } => Report::new("ID0002", "the API key is not known")
                .because(*why)
                .hint("a key begins with bp- and has 52 characters; copy all of it"),
            Denied::UnknownKey => Report::new("ID0002", "the API key is not known")
                .because("it is well-formed, and no key of this deployment")
                .hint("`bedplate key list` shows the hints of all keys"),
            Denied::Expired { at } => Report::new("ID0003", format!("the API key expired at {at}"))
                .hint("ask an admin for a new version: `bedplate key create`"),
            Denied::Revoked { at } => Report::new("ID0004", format!("the API key was revoked at {at}"))
                .hint("ask an admin for a new key: `bedplate key create`"),
            Denied::Model { model } => {
                Report::new("ID0005", format!("the key may not use the model \"{model}\""))
                    .hint("`GET /v1/models` lists the models that the key may use")
            }
            Denied::Action { action } => Report::new("ID0006", format!("the key may not {}", action.verb()))
                .hint(format!("that takes a key with the role {}", names(*action))),
            Denied::Beyond { role, action } => {
                Report::new("ID0006", "the key may not grant more than it has")
                    .because(format!(
                        "the role {} may {}, and the key that asks may not",
                        role.name(),
                        action.verb()
                    ))
                    .hint(format!("that takes a key with the role {}", names(*action)))
            }
            Denied::NoSeat { many: false } => Report::new("ID0009", "who asks is known, and has no key here")
                .because("no key has this subject")
                .hint("`bedplate key create NAME --team TEAM --subject SUBJECT` makes one"),
            Denied::NoSeat { many: true } => {
                Report::new("ID0009", "who asks is known, and has more than one key")
                    .because("two teams have a key with this subject, and nobody says which of them pays")
                    .hint("`bedplate key list` shows them; revoke all but one")
            }
            Denied::Actor { why } => Report::new("PO0005", "the key does not act for whom the token says")
                .because(*why)
                .hint("`bedplate key list` shows the keys, and `bedplate user list` the users"),
            Denied::Elevation { why } => Report::new("ID0014", "the elevation cannot go on like this")
                .because(*why)
                .hint("`bedplate break-glass list` shows where each stands"),
            Denied::Escalation { what } => Report::new("ID0006", "the key may not grant more than it has")
                .because(*what)
                .hint("ask for less, or use a key that has this right"),
            Denied::TooLarge { whose, asked, limit } => Report::new(
                "ID0007",
                format!("the request may use {asked} tokens and the {whose}'s limit is {limit} per minute"),
            )
            .retry(Retry::Never)
            .hint("ask for fewer tokens (`max_tokens`), or have the limit raised"),
            Denied::Rate { whose, unit, used, asked, limit, retry_after_s } => {
                Report::new("ID0007", format!("the {whose} is over its limit of {limit} {unit} per minute"))
                    .because(format!("{used} are taken and the request asks for {asked}"))
                    .retry(Retry::After(*retry_after_s))
                    .hint(format!("try again in {retry_after_s} s"))
            }
        }
    }
}

/// `viewer or admin`.
fn names(action: Action) -> String {
    let names: Vec<&str> = action.roles().map(store::Role::name).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => names.concat(),
    }
}
