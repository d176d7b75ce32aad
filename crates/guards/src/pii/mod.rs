//! Personal data that a pattern and a checksum can tell: one file per kind.
//!
//! A format alone is weak evidence: one run of 16 digits in ten passes Luhn, and
//! seven digits are a phone number, an order or a price. Each kind therefore
//! asks for more: a checksum and an issuer, or a shape that nothing else has, or
//! a word before it that says what it is. Such a word counts as a whole word:
//! Presidio's licence rule took "lic" in "public" for one for years.

mod card;
mod iban;
mod identity;
mod network;
mod phone;

use std::sync::{Arc, LazyLock};

use crate::machine::{Machine, Rule, Sight};
use crate::verdict::{Detector, Kind};

pub(crate) const DETECTOR: Detector = Detector { name: "pii", version: 1 };

/// The recognisers, compiled once per process: one machine for each kind, so
/// that a guard holds text back for the kinds it acts on and no others.
pub(crate) fn machines() -> &'static [(Kind, Arc<Machine>)] {
    static ALL: LazyLock<Vec<(Kind, Arc<Machine>)>> = LazyLock::new(|| {
        let all: [(Kind, Vec<(&str, Rule)>); 8] = [
            (Kind::Card, card::rules()),
            (Kind::Iban, iban::rules()),
            (Kind::NationalId, identity::national()),
            (Kind::Email, network::email()),
            (Kind::Phone, phone::rules()),
            (Kind::Ip, network::ip()),
            (Kind::Url, network::url()),
            (Kind::DriverLicence, identity::licence()),
        ];
        all.into_iter().map(|(kind, rules)| (kind, Arc::new(Machine::patterns(DETECTOR, &rules)))).collect()
    });
    &ALL
}

fn digits(text: &[u8]) -> Vec<u8> {
    text.iter().filter(|b| b.is_ascii_digit()).map(|b| b - b'0').collect()
}

/// Whether one of the words stands in the text just before the match, as a
/// whole word, in any case.
fn said(sight: &Sight<'_>, words: &[&str]) -> bool {
    let before = String::from_utf8_lossy(sight.before).to_lowercase();
    words.iter().any(|word| {
        before.match_indices(word).any(|(at, _)| {
            let left = before[..at].chars().next_back();
            let right = before[at + word.len()..].chars().next();
            !left.is_some_and(char::is_alphanumeric) && !right.is_some_and(char::is_alphanumeric)
        })
    })
}

#[cfg(test)]
mod tests;
