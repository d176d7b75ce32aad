//! Logistic regression by stochastic descent, in a fixed order of IEEE
//! additions and multiplications: the same bytes on every machine.

use anyhow::Result;
use guards::injection::features::{self, BUCKETS};
use guards::injection::model::{Model, share, sigmoid};
use guards::injection::{self, normal};

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
const BENIGN_TEXTS: usize = 12000;
/// One attack in so many is also given with its words shuffled, as harmless.
const SHUFFLED: usize = 1;
const EPOCHS: usize = 10;
const RATE: f32 = 0.6;
/// How much weights shrink at each touch: words that only one template has must
/// not decide.
const SHRINK: f32 = 1e-5;
/// A false alarm counts so many times a miss.
const FALSE_ALARM: f32 = 1.0;

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
        .chain(features::wide(plain.words.len()))
        .filter_map(|window| {
            let words = &plain.words[window];
            let count = words.iter().filter(|w| hostile(w)).count();
            // What is neither one nor the other teaches nothing.
            let attack = count * 3 >= words.len() || words.len() <= features::WINDOW && count >= 12;
            (attack || count == 0).then(|| Example { features: features::of(words).hashes, attack })
        })
        .collect()
}

/// A text with one word in six gone: what is learnt must not hang on every word.
fn worn(parts: &[Part], chance: &mut Chance) -> Vec<Part> {
    let mut wear = |text: &str| -> String {
        let words: Vec<&str> = text.split_whitespace().filter(|_| !chance.one_in(6)).collect();
        words.join(" ")
    };
    parts.iter().map(|(text, attack)| (wear(text), *attack)).collect()
}

/// The words of a text in any order: the same words, and no attack. So that the
/// model learns which words stand together, and not which topics attacks have.
fn shuffled(parts: &[Part], chance: &mut Chance) -> Vec<Part> {
    let mut words: Vec<&str> = parts.iter().flat_map(|(p, _)| p.split_whitespace()).collect();
    for at in (1..words.len()).rev() {
        words.swap(at, chance.below(at + 1));
    }
    vec![(words.join(" "), false)]
}

/// Examples of every family but one, and of every kind of harmless text.
pub fn examples(seed: u64, without: Option<&str>) -> Result<Vec<Example>> {
    let mut corpus = Corpus::new(seed)?;
    let mut chance = Chance::new(seed + 2);
    let mut all = Vec::new();
    let families: Vec<&str> = ATTACKS.iter().map(|(n, _)| *n).filter(|n| Some(*n) != without).collect();
    for family in &families {
        for _ in 0..ATTACK_TEXTS {
            let parts = corpus.attack(family, &families)?;
            all.extend(windows(&parts));
            all.extend(windows(&worn(&parts, &mut chance)));
            if chance.one_in(SHUFFLED) {
                all.extend(windows(&shuffled(&parts, &mut chance)));
            }
        }
    }
    for (kind, _) in BENIGN {
        for _ in 0..BENIGN_TEXTS {
            all.extend(windows(&corpus.benign(kind)?));
        }
    }
    Ok(all)
}

pub fn train(without: Option<&str>) -> Result<Model> {
    let mut examples = examples(SEED, without)?;
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

/// Share of texts that the sensor with these weights would flag.
pub fn found(model: &Model, parts: &[Vec<Part>]) -> f64 {
    let hit = |parts: &&Vec<Part>| {
        let text: Vec<&str> = parts.iter().map(|(p, _)| p.as_str()).collect();
        injection::sense_with(model, &text.join(" ")).score >= 0.5
    };
    parts.iter().filter(hit).count() as f64 / parts.len().max(1) as f64
}
