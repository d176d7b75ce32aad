//! The embedder that is always there, and what a gate must know of any embedder.
//!
//! [`lexical_hash`] is no language model: it hashes words and parts of words into
//! 384 dimensions. Texts are near when they share words, or words that are spelled
//! alike; `car` and `automobile` are not. It is there so that every part of the
//! context layer works with no download, it never decides an order by itself
//! ([`Embedder::semantic`] is false), and it is called what it is.

use std::collections::BTreeMap;

use crate::text::{Script, for_each_word, is_stop, script_of};

/// Its name in a collection. Another way of hashing is another name: vectors of both
/// cannot be compared.
pub const LEXICAL_HASH: &str = "lexical-hash-1";
/// Of a [`lexical_hash`] vector.
pub const DIMENSIONS: usize = 384;

/// Words that are read of one text: more than a chunk has.
const WORDS_MAX: usize = 4_096;
/// A word itself, against its parts together.
const WORD: f32 = 1.0;
const PARTS: f32 = 0.5;

/// What is known of an embedder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedder {
    /// As a collection's generation names it.
    pub name: String,
    pub dimensions: usize,
    /// Whether it finds what is said in other words.
    pub semantic: bool,
    /// Scripts that it has learned.
    pub scripts: Vec<Script>,
}

impl Embedder {
    pub fn lexical_hash() -> Embedder {
        let scripts = crate::text::SCRIPTS.to_vec();
        Embedder { name: LEXICAL_HASH.into(), dimensions: DIMENSIONS, semantic: false, scripts }
    }

    /// Whether its vectors mean something for a text in this script. A text without
    /// letters (a number, a formula) is nothing that it has learned.
    pub fn knows(&self, script: Option<Script>) -> bool {
        script.is_some_and(|script| self.scripts.contains(&script))
    }
}

/// A text's vector of [`DIMENSIONS`]: length 1, or all zeros for a text without words.
///
/// Signed feature hashing (Weinberger et al. 2009): each feature adds its weight to one
/// dimension or takes it away, so that collisions cancel out on average. Features are
/// words that are no stop words, and the groups of three and four characters in them;
/// a language without spaces gives groups of two and three. A feature that occurs `n`
/// times weighs `√n`: sublinear, and rounded alike on every machine, which `ln` is not.
pub fn lexical_hash(text: &str) -> Vec<f32> {
    let mut features: BTreeMap<u64, (u32, f32)> = BTreeMap::new();
    let mut add = |hash: u64, weight: f32| {
        let feature = features.entry(hash).or_insert((0, 0.0));
        feature.0 += 1;
        feature.1 = feature.1.max(weight);
    };
    for_each_word(text, WORDS_MAX, |word| {
        if is_stop(word) {
            return;
        }
        let unspaced = word.chars().any(|c| matches!(script_of(c), Some(Script::Cjk | Script::Thai)));
        let (shortest, edges) = if unspaced { (2, "") } else { (3, "\u{2}") };
        let chars: Vec<char> = edges.chars().chain(word.chars()).chain(edges.chars()).collect();
        if !unspaced {
            add(hash(b'w', word.chars()), WORD);
        } else if chars.len() == 1 {
            add(hash(b'2', chars.iter().copied()), WORD);
        }
        let windows = |size: usize| chars.len().saturating_sub(size - 1);
        let all = windows(shortest) + windows(shortest + 1);
        // Parts weigh together what they weigh in a word of any length.
        let weight = if unspaced { WORD } else { PARTS / (all.max(1) as f32).sqrt() };
        for size in [shortest, shortest + 1] {
            for part in chars.windows(size) {
                add(hash(b'0' + size as u8, part.iter().copied()), weight);
            }
        }
    });
    let mut vector = vec![0.0f32; DIMENSIONS];
    for (hash, (count, weight)) in features {
        // The high bits: those of FNV's low ones that follow one input bit are few.
        let at = (((hash >> 32) * DIMENSIONS as u64) >> 32) as usize;
        let sign = if hash & 1 == 0 { 1.0 } else { -1.0 };
        vector[at] += sign * weight * (count as f32).sqrt();
    }
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if norm > 0.0 {
        vector.iter_mut().for_each(|x| *x /= norm);
    }
    vector
}

/// FNV-1a over a kind and characters, mixed once more (the finaliser of MurmurHash3), so
/// that every output bit depends on every input bit. Fixed for ever under this name.
fn hash(kind: u8, chars: impl Iterator<Item = char>) -> u64 {
    let step = |hash: u64, value: u64| (hash ^ value).wrapping_mul(0x0000_0100_0000_01B3);
    let mut hash =
        chars.fold(step(0xCBF2_9CE4_8422_2325, u64::from(kind)), |hash, c| step(hash, u64::from(c)));
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    hash ^ (hash >> 33)
}

/// How near two vectors are, −1 to 1; 0 when they have other lengths, are zero or hold
/// something that is no number.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    if a.len() != b.len() {
        return 0.0;
    }
    let (mut dot, mut aa, mut bb) = (0.0f32, 0.0f32, 0.0f32);
    for (x, y) in a.iter().zip(b) {
        dot += x * y;
        aa += x * x;
        bb += y * y;
    }
    let cosine = dot / (aa.sqrt() * bb.sqrt());
    if cosine.is_finite() { cosine.clamp(-1.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(a: &str, b: &str) -> f32 {
        cosine(&lexical_hash(a), &lexical_hash(b))
    }

    #[test]
    fn texts_with_the_same_words_are_near() {
        let pump = "The pump moves cooling water through the plant.";
        assert!(near(pump, "Which pumps are moving water for cooling?") > 0.4);
        assert!(near(pump, "Invoices are paid within thirty days.") < 0.15);
        assert!(near("北京是中国的首都", "中国的首都在哪里") > 0.3);
    }

    #[test]
    fn it_is_lexical_and_says_so() {
        assert!(near("a fast car", "quick automobiles") < 0.2);
        assert!(!Embedder::lexical_hash().semantic);
    }

    /// Vectors are stored for years: they may not change under the same name.
    #[test]
    fn vectors_stay_what_they_are() {
        let vector = lexical_hash("Bedplate carries the load.");
        let most = (0..DIMENSIONS).max_by(|a, b| vector[*a].abs().total_cmp(&vector[*b].abs()));
        let parts: Vec<u64> = [b'w', b'3'].map(|kind| hash(kind, "load".chars())).into();
        let most = most.map(|at| (at, vector[at].to_bits()));
        assert_eq!((vector.len(), most), (DIMENSIONS, Some((373, 0xBF05_6926))));
        assert_eq!(parts, [17_956_502_641_338_035_553, 1_533_847_728_381_683_213]);
    }

    #[test]
    fn no_words_give_zeros_and_zeros_are_near_nothing() {
        assert!(lexical_hash("?! …").iter().all(|x| *x == 0.0));
        assert_eq!(cosine(&lexical_hash(""), &lexical_hash("word")), 0.0);
        assert_eq!(cosine(&[f32::NAN, 1.0], &[1.0, 1.0]), 0.0);
        assert_eq!(cosine(&[1.0], &[1.0, 1.0]), 0.0);
    }

    proptest! {
        #[test]
        fn length_is_one_or_zero(text in "\\PC{0,200}") {
            let norm: f32 = lexical_hash(&text).iter().map(|x| x * x).sum();
            prop_assert!(norm == 0.0 || (norm - 1.0).abs() < 1e-3);
        }
    }
}
