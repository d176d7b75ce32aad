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

use model::Model;

use crate::shield::Sensor;
use crate::verdict::{Action, Detector, Finding, Kind, Place};

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

/// What sensors with their thresholds make of a text that begins at byte `from`.
pub(crate) fn findings(sensors: &[Sensor], sensed: &Sensed, place: &Place, from: u64) -> Vec<Finding> {
    let speaks = |s: &&Sensor| sensed.score >= s.threshold && s.action > Action::Allow;
    let finding = |sensor: &Sensor| Finding {
        kind: Kind::Injection,
        rule: sensed.rule,
        detector: DETECTOR,
        place: place.clone(),
        span: sensed.span.start + from..sensed.span.end + from,
        action: sensor.action,
        score: sensed.score,
    };
    sensors.iter().filter(speaks).map(finding).collect()
}

/// Text that is read at most: what lies beyond is read as a text of its own would
/// be by the next call, so nobody hides behind a long beginning.
const BLOCK_BYTES: usize = 64 << 10;

/// Scores a text: the highest score of any window.
pub fn sense(text: &str) -> Sensed {
    sense_with(model::trained(), text)
}

/// The same with other weights: for the trainer, which measures what it makes.
pub fn sense_with(model: &Model, text: &str) -> Sensed {
    let mut best = Sensed { score: 0.0, rule: "", span: 0..0 };
    let mut from = 0;
    while from < text.len() {
        let mut to = (from + BLOCK_BYTES).min(text.len());
        while !text.is_char_boundary(to) {
            to -= 1;
        }
        sense_block(model, &text[from..to], from as u64, &mut best);
        from = to;
    }
    best
}

fn sense_block(model: &Model, text: &str, at: u64, best: &mut Sensed) {
    let plain = normal::words(text);
    read(model, &plain, at, "", best);
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
        read(model, &inner, 0, opened.how, &mut within);
        if within.score > best.score {
            let span = at + opened.span.start as u64..at + opened.span.end as u64;
            *best = Sensed { rule: opened.how, span, ..within };
        }
    }
}

/// Tag characters in a text before they count as a message: a flag of a region
/// has up to six.
const HIDDEN_MIN: usize = 12;

fn read(model: &Model, plain: &normal::Plain, at: u64, how: &'static str, best: &mut Sensed) {
    let scored = |windows: &mut dyn Iterator<Item = Range<usize>>| {
        let mut scored: Vec<(f32, Range<usize>, &'static str)> = windows
            .map(|window| {
                let found = features::of(&plain.words[window.clone()]);
                (model.score(&found.hashes), window, found.rule)
            })
            .filter(|(score, ..)| *score >= COUNTS)
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        scored
    };
    let words = plain.words.len();
    let (near, wide) = (scored(&mut features::windows(words)), scored(&mut features::wide(words)));
    let (near_score, wide_score) = (pooled(&near), wide.first().map_or(0.0, |w| w.0));
    let of = if wide_score > near_score { &wide } else { &near };
    let Some((_, first, rule)) = of.first().cloned() else { return };
    let score = decided(near_score.max(wide_score));
    if score > best.score {
        let (start, end) = (plain.words[first.start].start, plain.words[first.end - 1].end);
        let rule = if how.is_empty() { rule } else { how };
        *best = Sensed { score, rule, span: at + u64::from(start)..at + u64::from(end) };
    }
}

/// Odds that count as even: a false alarm on harmless text costs more than a miss
/// of a sensor beside which a gate stands. `0.5` of what a caller sees is this.
const EVEN_ODDS: f32 = 9.0;

/// The score at which to act is one half, whatever the model's own is.
fn decided(score: f32) -> f32 {
    score / (score + EVEN_ODDS * (1.0 - score))
}

/// Windows that score less say nothing.
const COUNTS: f32 = 0.08;
/// Windows that count together: more would make any long text suspicious.
const TOGETHER: usize = 12;

/// The chance that at least one of the highest windows is an attack, were they
/// independent; so only those that share no word count. A persona of a page is
/// suspicious throughout and nowhere glaring.
fn pooled(scored: &[(f32, Range<usize>, &'static str)]) -> f32 {
    let mut taken: Vec<&Range<usize>> = Vec::new();
    let mut none = 1.0;
    for (score, window, _) in scored {
        let apart = taken.iter().all(|t| t.end <= window.start || window.end <= t.start);
        if apart && taken.len() < TOGETHER {
            taken.push(window);
            none *= 1.0 - score;
        }
    }
    1.0 - none
}

#[cfg(test)]
mod tests;
