//! Credentials: what vendors' formats give away, and what this deployment knows.
//!
//! No rule here guesses from entropy: on public sets that is where nearly all
//! false positives of secret scanners come from (arXiv 2307.00714: precision 46
//! to 75 %). A credential without a prefix is only found after the name of what
//! it is (`aws_secret_access_key = ...`).

mod encodings;
mod known;
mod vendors;

use std::sync::{Arc, LazyLock};

use crate::machine::Machine;
use crate::verdict::Detector;

pub use encodings::ENCODINGS;
pub use known::{KNOWN_BYTES_MAX, KNOWN_BYTES_MIN, KNOWN_MAX};
pub(crate) use known::{literals, machine as known};

pub(crate) const DETECTOR: Detector = Detector { name: "secrets", version: 1 };

/// The vendors' formats as one machine, compiled once per process.
pub(crate) fn vendors() -> &'static Arc<Machine> {
    static ALL: LazyLock<Arc<Machine>> =
        LazyLock::new(|| Arc::new(Machine::patterns(DETECTOR, &vendors::rules())));
    &ALL
}

/// How many vendor rules there are.
pub fn vendor_rules() -> usize {
    vendors().rules.len()
}

#[cfg(test)]
mod tests;
