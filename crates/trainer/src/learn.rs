//! Logistic regression by stochastic descent, in a fixed order of IEEE
//! additions and multiplications: the same bytes on every machine.

use anyhow::Result;
use guards::injection::features::{self, BUCKETS};
use guards::injection::model::{Model, share, sigmoid};
use guards::injection::normal;

use crate::corpus::{ATTACKS, BENIGN, Corpus, Part};
use crate::grammar::Chance;

/// A window, and whether it is one of an attack.
pub struct Example {
    pub features: Vec<u16>,
    pub attack: bool,
}

const SEED: u64 = 4;
/// Texts of each family of attacks, and of each kind of harmless text.
const ATTACK_TEXTS: usize = 2500;
const BENIGN_TEXTS: usize = 9000;
const EPOCHS: usize = 6;
const RATE: f32 = 0.6;
/// How much weights shrink at each touch: words that only one template has must
/// not decide.
const SHRINK: f32 = 4e-5;
/// A false alarm counts so many times a miss.
const FALSE_ALARM: f32 = 1.5;

/// The windows of a text: those mostly of an attack, and those that hold none.
pub fn windows(parts: &[Part]) -> Vec<Example> {
    let mut text = String::new();
    let mut attacks = Vec::new();
    for (part, attack) in parts {
        let from = text.len();
        text.push_str(part);
        if *attack {
            attacks.push(from..text.len());
        }
        text.push(' ');
    }
    let plain = normal::words(&text);
    let hostile = |w: &normal::Word| attacks.iter().any(|a| a.contains(&(w.start as usize)));
    features::windows(plain.words.len())
        .filter_map(|window| {
            let words = &plain.words[window];
            let count = words.iter().filter(|w| hostile(w)).count();
            // What is neither one nor the other teaches nothing.
            let attack = count >= 12 || count * 3 >= words.len();
            (attack || count == 0).then(|| Example { features: features::of(words).hashes, attack })
        })
        .collect()
}

/// Examples of every family but one, and of every kind of harmless text.
pub fn examples(seed: u64, without: Option<&str>, scale: usize) -> Result<Vec<Example>> {
    let mut corpus = Corpus::new(seed)?;
    let mut all = Vec::new();
    let families: Vec<&str> = ATTACKS.iter().map(|(n, _)| *n).filter(|n| Some(*n) != without).collect();
    for family in &families {
        for _ in 0..ATTACK_TEXTS / scale {
            all.extend(windows(&corpus.attack(family, &families)?));
        }
    }
    for (kind, _) in BENIGN {
        for _ in 0..BENIGN_TEXTS / scale {
            all.extend(windows(&corpus.benign(kind)?));
        }
    }
    Ok(all)
}

pub fn train(without: Option<&str>) -> Result<Model> {
    let mut examples = examples(SEED, without, 1)?;
    let mut chance = Chance::new(SEED + 1);
    let (mut weights, mut bias) = (vec![0f32; BUCKETS], -1f32);
    for epoch in 0..EPOCHS {
        // Fisher and Yates.
        for at in (1..examples.len()).rev() {
            examples.swap(at, chance.below(at + 1));
        }
        let rate = RATE / (1 + epoch) as f32;
        for example in &examples {
            let share = share(example.features.len());
            let sum: f32 = example.features.iter().map(|f| weights[usize::from(*f)]).sum();
            let wrong = sigmoid(sum * share + bias) - if example.attack { 1.0 } else { 0.0 };
            let step = rate * wrong * if example.attack { 1.0 } else { FALSE_ALARM };
            bias -= 0.02 * step;
            for feature in &example.features {
                let weight = &mut weights[usize::from(*feature)];
                *weight -= step * share + rate * SHRINK * *weight;
            }
        }
    }
    Ok(Model::quantised(&weights, bias))
}

/// Share of a family's texts in which some window reaches one half, and the same
/// of harmless texts, both from another seed.
pub fn found(model: &Model, parts: &[Vec<Part>]) -> f64 {
    let hit = |parts: &&Vec<Part>| {
        let text: Vec<&str> = parts.iter().map(|(p, _)| p.as_str()).collect();
        let plain = normal::words(&text.join(" "));
        features::windows(plain.words.len())
            .any(|w| model.score(&features::of(&plain.words[w]).hashes) >= 0.5)
    };
    parts.iter().filter(hit).count() as f64 / parts.len().max(1) as f64
}
