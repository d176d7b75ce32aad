//! Secrets that this deployment holds, and canaries that it planted: exact
//! texts, so no false positives and nothing to tune.

use super::encodings::{self, ENCODINGS};
use crate::machine::{Machine, Rule};
use crate::verdict::{Detector, Kind};

/// Shorter texts occur by chance, and are not looked for.
pub const KNOWN_BYTES_MIN: usize = 8;
/// What lies beyond is not looked for.
pub const KNOWN_BYTES_MAX: usize = 8192;
/// Long ones, such as private keys, are looked for piece by piece.
const PIECE: usize = 96;
/// Secrets looked for at once: about 16 KB of memory each.
pub const KNOWN_MAX: usize = 4096;

/// A machine for these texts in all encodings; `None` when there are none.
pub(crate) fn machine<'a>(
    kind: Kind,
    detector: Detector,
    secrets: impl IntoIterator<Item = &'a [u8]>,
) -> Option<Machine> {
    let rules = ENCODINGS.iter().map(|name| Rule { name, kind, check: None }).collect();
    let literals: Vec<(Vec<u8>, usize)> = literals(secrets).collect();
    if literals.is_empty() {
        return None;
    }
    Machine::literals(detector, rules, &literals, false, false)
}

/// What stands for these texts, each with the index of its encoding.
pub(crate) fn literals<'a>(
    secrets: impl IntoIterator<Item = &'a [u8]>,
) -> impl Iterator<Item = (Vec<u8>, usize)> {
    let sound = secrets.into_iter().filter(|s| s.len() >= KNOWN_BYTES_MIN).take(KNOWN_MAX);
    let pieces = sound.flat_map(|secret| secret[..secret.len().min(KNOWN_BYTES_MAX)].chunks(PIECE));
    pieces.filter(|p| p.len() >= KNOWN_BYTES_MIN).flat_map(encodings::all)
}
