//! Full text without an index: every chunk is read for every query. Terms are
//! what SQLite's FTS5 would make of the text as far as the conformance suite
//! looks; stemming is rough.

use std::collections::BTreeMap;

use crate::documents::Lexing;

/// Chunks that hold any of the terms, best first.
pub(super) fn search<Id: Copy + Ord>(
    lexing: Lexing,
    texts: impl Iterator<Item = (Id, String)>,
    terms: &[String],
) -> Vec<(Id, f32)> {
    let texts: Vec<(Id, Vec<String>)> = texts.map(|(id, text)| (id, tokens(lexing, &text))).collect();
    let phrases: Vec<Vec<String>> = terms
        .iter()
        .take(crate::documents::TERMS_MAX)
        .map(|term| tokens(lexing, term))
        .filter(|phrase| !phrase.is_empty())
        .collect();
    let mean = texts.iter().map(|(_, tokens)| tokens.len()).sum::<usize>() as f32 / texts.len().max(1) as f32;
    let mut scores: BTreeMap<Id, f32> = BTreeMap::new();
    for phrase in &phrases {
        let counts: Vec<(Id, f32, f32)> = texts
            .iter()
            .map(|(id, tokens)| {
                let count = tokens.windows(phrase.len()).filter(|window| window == phrase).count();
                (*id, count as f32, tokens.len() as f32)
            })
            .filter(|(_, count, _)| *count > 0.0)
            .collect();
        // As FTS5 computes it: k1 1.2, b 0.75, and no term counts against a chunk.
        let (all, with) = (texts.len() as f32, counts.len() as f32);
        let idf = ((all - with + 0.5) / (with + 0.5)).ln().max(1e-6);
        for (id, count, length) in counts {
            let weight = count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length / mean.max(1.0)));
            *scores.entry(id).or_default() += idf * weight;
        }
    }
    let mut hits: Vec<(Id, f32)> = scores.into_iter().collect();
    hits.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    hits
}

fn tokens(lexing: Lexing, text: &str) -> Vec<String> {
    let folded = text.to_lowercase();
    let words = folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    match lexing {
        Lexing::Words => words.map(str::to_owned).collect(),
        Lexing::Stemmed => words.map(stem).collect(),
        Lexing::Trigrams => {
            let all: Vec<char> = folded.chars().collect();
            all.windows(3).map(|three| three.iter().collect()).collect()
        }
    }
}

fn stem(word: &str) -> String {
    let cut =
        ["ing", "ed", "es", "s"].into_iter().find_map(|end| word.strip_suffix(end).filter(|w| w.len() > 3));
    cut.unwrap_or(word).trim_end_matches('e').to_owned()
}
