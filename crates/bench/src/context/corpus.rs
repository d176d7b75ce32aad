//! Documents that look like documents: words by Zipf's law, vectors in clusters,
//! lists of readers that let through one in ten, in a hundred and so on.

use store::documents::conformance::sample;
use store::documents::{
    Acl, Collection, Generation, Lexing, NewChunk, NewDocument, Reader, Span, Subject, Trust,
};
use units::{DocumentId, Labels, TeamId};

use crate::random::Random;

pub const DIMENSIONS: usize = 384;
/// What has computed the vectors.
pub const MADE_BY: &str = "seeds";
/// Chunks of a document.
pub const CHUNKS: u64 = 10;
/// Readers of level `n` may read one document in 10^n.
pub const LEVELS: u32 = 5;
const CLUSTERS: u64 = 200;
const WORDS: u64 = 20_000;
const WORDS_OF_CHUNK: u64 = 120;

pub struct Corpus {
    chunks: u64,
    centres: Vec<Vec<f32>>,
}

pub fn team() -> TeamId {
    sample::team(1)
}

pub fn collection() -> Collection {
    let live =
        Generation { number: 1, embedder: format!("synthetic {MADE_BY}"), dimensions: DIMENSIONS as u32 };
    let settings = r#"{"acl": ["team"]}"#.into();
    Collection { live, settings, ..sample::collection(1, Lexing::Stemmed) }
}

/// Whoever may read one document in 10^`level`.
pub fn reader(level: u32) -> Reader {
    Reader::new(team(), [group(level)])
}

fn group(level: u32) -> Subject {
    Subject::Group(format!("level-{level}").into())
}

/// One number of a bell-like shape between -1 and 1.
fn noise(random: &mut Random) -> f32 {
    (0..4).map(|_| (random.draw() >> 40) as f32 / (1u32 << 23) as f32 - 1.0).sum::<f32>() / 4.0
}

impl Corpus {
    pub fn new(chunks: u64) -> Corpus {
        let mut random = Random::new(384);
        let centre = |random: &mut Random| (0..DIMENSIONS).map(|_| noise(random)).collect();
        let centres = (0..CLUSTERS).map(|_| centre(&mut random)).collect();
        Corpus { chunks: chunks.next_multiple_of(CHUNKS), centres }
    }
    pub fn chunks(&self) -> u64 {
        self.chunks
    }
    pub fn documents(&self) -> u64 {
        self.chunks / CHUNKS
    }
    /// The highest level that lets document `n` through.
    pub fn level(n: u64) -> u32 {
        (0..LEVELS).rev().find(|level| n.is_multiple_of(10u64.pow(*level))).unwrap_or_default()
    }
    /// The vector of a chunk, and of a question near to it.
    pub fn vector(&self, chunk: u64) -> Vec<f32> {
        let mut random = Random::new(chunk.wrapping_mul(31) ^ 77);
        let centre = &self.centres[(random.draw() % CLUSTERS) as usize];
        centre.iter().map(|x| x + 0.7 * noise(&mut random)).collect()
    }
    pub fn question(&self, n: u64) -> Vec<f32> {
        self.vector(u64::MAX / 2 + n)
    }
    /// Words of which the `n`-th is `n` times as rare as the first.
    pub fn words(seed: u64, count: u64) -> Vec<String> {
        let mut random = Random::new(seed);
        let rank = |random: &mut Random| {
            let uniform = (random.draw() >> 11) as f64 / (1u64 << 53) as f64;
            (WORDS as f64).powf(uniform) as u64
        };
        (0..count).map(|_| word(rank(&mut random))).collect()
    }
    pub fn document(&self, n: u64) -> NewDocument {
        let level = Corpus::level(n);
        let chunk = |at: u64| {
            let text = Corpus::words(n * CHUNKS + at, WORDS_OF_CHUNK).join(" ");
            let span = Span { start: at * 1_000, end: at * 1_000 + text.len() as u64 };
            NewChunk { heading: format!("Section {at}"), span, vector: self.vector(n * CHUNKS + at), text }
        };
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&n.to_le_bytes());
        NewDocument {
            id: DocumentId(store::conformance::sample::id(1 << 32 | n)),
            collection: collection().id,
            source: format!("docs/{n:08}.md"),
            hash,
            title: format!("Document {n}"),
            format: "text/markdown".into(),
            acl: Acl::new((0..=level).map(group)).expect("there is level 0"),
            labels: Labels::default(),
            trust: Trust::Known,
            batch: "docs".into(),
            mark: String::new(),
            modified: None,
            at: sample::later(n),
            generation: 1,
            chunks: (0..CHUNKS).map(chunk).collect(),
            edges: Vec::new(),
        }
    }
}

/// A word of syllables, the same for the same rank.
fn word(rank: u64) -> String {
    const SYLLABLES: [&str; 16] = [
        "ka", "to", "mi", "ren", "sol", "va", "du", "pe", "lin", "gor", "ba", "hu", "zet", "fra", "no", "qui",
    ];
    let mut text = String::new();
    let mut rest = rank;
    while rest > 0 {
        text.push_str(SYLLABLES[(rest % 16) as usize]);
        rest /= 16;
    }
    text
}
