//! Values that were replaced by placeholders, and how they come back.
//!
//! A placeholder is made for one request: `EMAIL_3f9a2c_1` names the kind, six
//! digits of the request's own nonce, and a number. It is one word that models
//! repeat as it is, and nobody who does not see the request can guess it, so a
//! document cannot plant placeholders that would be turned into a value.

use std::sync::Arc;

use crate::hold::Watch;
use crate::lane::{Exchange, Lane};
use crate::machine::{Machine, Rule};
use crate::verdict::{Action, Detector, Kind, Place, Verdict};

/// Values kept for one request; what comes after is masked.
const VALUES_MAX: usize = 1000;

/// The values of one request. No `Debug`: they are what was to be kept from others.
#[derive(Default)]
pub struct Vault {
    nonce: u64,
    /// Placeholder and value.
    values: Vec<(String, String)>,
}

impl Vault {
    /// `nonce`: random bits of this request.
    pub fn new(nonce: u64) -> Vault {
        Vault { nonce, values: Vec::new() }
    }
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Turns a text into one with the values in the place of their placeholders:
    /// for whoever decides about what a person wrote, not for a model.
    pub fn restorer(&self) -> impl Fn(&str) -> String + '_ {
        let watches: Vec<Watch> = self.watch().into_iter().collect();
        move |text| {
            let mut lane = Lane::new(Place::Message(0));
            let (mut out, mut verdict) = (String::with_capacity(text.len()), Verdict::default());
            let mut exchange = Exchange::Restore(self);
            lane.push(&watches, text, &mut exchange, &mut verdict, &mut out);
            lane.finish(&watches, &mut exchange, &mut verdict, &mut out);
            out
        }
    }

    /// The placeholder of a value: the same one for the same value.
    pub(crate) fn keep(&mut self, kind: Kind, value: &str) -> Option<String> {
        if let Some((placeholder, _)) = self.values.iter().find(|(_, v)| v == value) {
            return Some(placeholder.clone());
        }
        if self.values.len() >= VALUES_MAX {
            return None;
        }
        let word = kind.name().to_ascii_uppercase();
        let placeholder = format!("{word}_{:06x}_{}", self.nonce & 0xFF_FFFF, self.values.len() + 1);
        self.values.push((placeholder.clone(), value.into()));
        Some(placeholder)
    }

    /// The value behind a placeholder, however its letters are cased.
    pub(crate) fn value(&self, placeholder: &[u8]) -> Option<&str> {
        let same = |p: &&(String, String)| p.0.as_bytes().eq_ignore_ascii_case(placeholder);
        self.values.iter().find(same).map(|(_, value)| value.as_str())
    }

    /// Looks for this request's placeholders.
    pub(crate) fn watch(&self) -> Option<Watch> {
        const DETECTOR: Detector = Detector { name: "vault", version: 1 };
        let literals: Vec<(Vec<u8>, usize)> =
            self.values.iter().map(|(p, _)| (p.as_bytes().to_vec(), 0)).collect();
        if literals.is_empty() {
            return None;
        }
        let rules = vec![Rule { name: "", kind: Kind::Placeholder, check: None }];
        let machine = Machine::literals(DETECTOR, rules, &literals, true, true)?;
        Some(Watch::new(Arc::new(machine), |_| Action::Tokenise))
    }
}
