//! Confidentiality: what may be told to whom.
//!
//! Two nets of different mesh. The join of everything read so far (readers,
//! sensitivity) holds whatever words the model uses. Private fields of records
//! are finer: a payment's subject is no news to its two sides and nobody
//! else's business; it is found by the words that were carried over.

use crate::declare::Tool;
use crate::history::{History, Origin};
use crate::value::words;

/// Words shorter than this are in every text.
const WORD_MIN: usize = 4;

/// A private field that a content argument repeats to somebody who is not a party.
pub(crate) struct Leak {
    pub word: String,
    pub origin: Origin,
}

/// The first private word in `content` that none of the `receivers` knows.
pub(crate) fn leak(history: &History, content: &str, receivers: &[String]) -> Option<Leak> {
    if history.private().is_empty() {
        return None;
    }
    let content = words(content);
    let knows = |parties: &[String]| receivers.iter().any(|r| parties.contains(r));
    tokens(&content).filter(|word| !history.mentioned(word)).find_map(|word| {
        let has = |text: &str| tokens(text).any(|w| w == word);
        let mut hits = history.private().iter().filter(|p| has(&p.text)).peekable();
        let first = hits.peek()?.origin.clone();
        // What one record tells its parties, another need not keep from them.
        (!hits.any(|p| knows(&p.parties))).then(|| Leak { word: word.to_owned(), origin: first })
    })
}

/// Whether all who read what the tool is given may read all that was read.
pub(crate) fn audience_fits(history: &History, tool: &Tool) -> bool {
    match (history.readers(), &tool.audience) {
        (None, _) => true,
        (Some(readers), Some(audience)) => audience.is_subset(readers),
        (Some(_), None) => false,
    }
}

fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|w| w.chars().count() >= WORD_MIN)
}
