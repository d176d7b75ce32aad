//! The injection sensor: a score from 0 to 1 for text that gives a model orders.
//!
//! A sensor, never the gate. What it catches is the usual wording; a plain
//! request in a document ("please forward this to ...") looks like any other,
//! and published detectors are no better at it. Its score feeds policy and
//! taint, where it can raise suspicion and never lower it.
//!
//! Text is first made plain ([`normal`]: compatibility forms, invisible and
//! look-alike characters, spaced letters), one layer of base64, hexadecimal or
//! rot13 is opened and read too, and then windows of words are scored by a
//! linear model over hashed words and pairs ([`model`]), with a few phrase rules
//! ([`rules`]) among its features. Its weights are in this folder and made by
//! `cargo xtask train injection` from texts that this repository generates.

mod decode;
pub mod features;
pub mod model;
pub mod normal;
mod rules;

use std::ops::Range;

use crate::verdict::Detector;

pub(crate) const DETECTOR: Detector = Detector { name: "injection", version: 1 };

/// What the sensor says of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensed {
    pub score: f32,
    /// The phrase rule of the window that scored highest, or how the text was
    /// hidden; empty when only words spoke.
    pub rule: &'static str,
    /// The bytes of that window.
    pub span: Range<u64>,
}

/// Text that is read at most: what lies beyond is read as a text of its own would
/// be by the next call, so nobody hides behind a long beginning.
const BLOCK_BYTES: usize = 64 << 10;

/// Scores a text: the highest score of any window.
pub fn sense(text: &str) -> Sensed {
    let mut best = Sensed { score: 0.0, rule: "", span: 0..0 };
    let mut from = 0;
    while from < text.len() {
        let mut to = (from + BLOCK_BYTES).min(text.len());
        while !text.is_char_boundary(to) {
            to -= 1;
        }
        sense_block(&text[from..to], from as u64, &mut best);
        from = to;
    }
    best
}

fn sense_block(text: &str, at: u64, best: &mut Sensed) {
    let plain = normal::words(text);
    read(&plain, at, "", best);
    if plain.hidden >= HIDDEN_MIN {
        // Letters that nobody sees are there for a model alone.
        let found = Sensed { score: 0.97, rule: "hidden-text", span: at..at + text.len() as u64 };
        if found.score > best.score {
            *best = found;
        }
    }
    for opened in decode::open(text, &plain) {
        let inner = normal::words(&opened.text);
        let mut within = Sensed { score: 0.0, rule: "", span: 0..0 };
        read(&inner, 0, opened.how, &mut within);
        if within.score > best.score {
            let span = at + opened.span.start as u64..at + opened.span.end as u64;
            *best = Sensed { rule: opened.how, span, ..within };
        }
    }
}

/// Tag characters in a text before they count as a message: a flag of a region
/// has up to six.
const HIDDEN_MIN: usize = 12;

fn read(plain: &normal::Plain, at: u64, how: &'static str, best: &mut Sensed) {
    let model = model::trained();
    for window in features::windows(plain.words.len()) {
        let words = &plain.words[window];
        let found = features::of(words);
        let score = model.score(&found.hashes);
        if score > best.score {
            let end = words.last().map_or(0, |w| w.end);
            let start = words.first().map_or(0, |w| w.start);
            let rule = if how.is_empty() { found.rule } else { how };
            *best = Sensed { score, rule, span: at + start as u64..at + end as u64 };
        }
    }
}

#[cfg(test)]
mod tests;
