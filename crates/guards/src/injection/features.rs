//! What the model sees of a window of words: hashed words, pairs, pairs with a
//! gap, and the phrase rules that match.

use super::normal::Word;
use super::rules;

/// Buckets of the model.
pub const BUCKETS: usize = 1 << 15;
/// Words of a window: a short paragraph. Longer ones drown an order in its
/// surroundings, shorter ones lose what makes a persona one.
pub const WINDOW: usize = 64;
/// Words of a wide window: a page, over which a persona is described.
pub const WIDE: usize = 256;

/// Windows over so many words: half overlapping, the last at the end.
pub fn windows(words: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    over(words, WINDOW)
}

/// Wide windows; none over a text that is little more than one window.
pub fn wide(words: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    over(if words > WINDOW * 3 / 2 { words } else { 0 }, WIDE)
}

fn over(words: usize, width: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let (last, stride) = (words.saturating_sub(width), width / 2);
    let starts = (0..last.div_ceil(stride)).map(move |i| i * stride).chain((words > 0).then_some(last));
    starts.map(move |start| start..(start + width).min(words))
}

/// The features of one window.
pub struct Features {
    /// Buckets, each once, ascending.
    pub hashes: Vec<u16>,
    /// The first phrase rule that matched.
    pub rule: &'static str,
}

pub fn of(words: &[Word]) -> Features {
    let mut hashes = Vec::with_capacity(3 * words.len() + 4);
    let mut add = |hash: u32| hashes.push(bucket(hash));
    for (at, word) in words.iter().enumerate() {
        add(word.hash);
        if let Some(next) = words.get(at + 1) {
            add(word.hash.rotate_left(5).wrapping_mul(0x9E37_79B1) ^ next.hash);
        }
        if let Some(next) = words.get(at + 2) {
            add(word.hash.rotate_left(11).wrapping_mul(0x85EB_CA77) ^ next.hash);
        }
    }
    let mut rule = "";
    for (index, _) in rules::matching(words).into_iter().enumerate().filter(|(_, found)| *found) {
        if rule.is_empty() {
            rule = rules::name(index);
        }
        add(0xC2B2_AE3D ^ (index as u32).wrapping_mul(0x27D4_EB2F));
    }
    hashes.sort_unstable();
    hashes.dedup();
    Features { hashes, rule }
}

/// Mixed first: neighbouring hashes must not share a bucket.
fn bucket(hash: u32) -> u16 {
    let mixed = (hash ^ (hash >> 15)).wrapping_mul(0x2C1B_3C6D);
    ((mixed ^ (mixed >> 13)) as usize % BUCKETS) as u16
}
