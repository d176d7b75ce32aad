//! Keys: SHA-256 over parts whose lengths are hashed with them.

use ring::digest::{Context, SHA256};
use units::Uuid7;

use crate::text::clean;

/// What must be equal before anything is compared. Two requests that differ in any of it
/// never share an answer, however alike they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition<'a> {
    /// Whose memory went into it; empty: nobody's, so that everybody may share it.
    pub owner: &'a str,
    /// Of the data, as text.
    pub labels: &'a str,
    /// As the client named it, and what the route makes of it.
    pub model: &'a str,
    pub system: &'a str,
    /// The tools' definitions, canonical.
    pub tools: &'a str,
    /// Whose passages stand before the question; empty: none's.
    pub collection: &'a str,
    /// Everything else of a request that changes its answer, canonical.
    pub parameters: &'a str,
    /// A digest of the policies and guards in force.
    pub policy: &'a [u8],
}

impl Partition<'_> {
    pub fn key(&self) -> [u8; 32] {
        let mut hash = Hash::new(b"bedplate context partition 3");
        for part in
            [self.owner, self.labels, self.model, self.system, self.tools, self.collection, self.parameters]
        {
            hash.part(part.as_bytes());
        }
        hash.part(self.policy);
        hash.end()
    }
}

/// A turn of the conversation: who, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn<'a> {
    pub role: &'a str,
    pub text: &'a str,
}

/// A version of a document whose text is in the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContextId {
    pub document: Uuid7,
    pub version: u32,
    /// Which of its chunks.
    pub chunk: u64,
}

/// The key of a question: all turns, what was retrieved (in any order: the order of
/// equal context is no other question), and the parameters that change an answer
/// (temperature, limits, format), canonical. White space at the ends of lines and
/// characters that nobody sees are no difference; case and everything else are.
pub fn exact_key(turns: &[Turn<'_>], context: &[ContextId], parameters: &str) -> [u8; 32] {
    let mut hash = Hash::new(b"bedplate context question 1");
    hash.count(turns.len());
    for turn in turns {
        hash.part(turn.role.as_bytes());
        hash.part(canonical(turn.text).as_bytes());
    }
    let mut context = context.to_vec();
    context.sort_unstable();
    context.dedup();
    hash.count(context.len());
    for id in context {
        hash.part(id.document.as_bytes());
        hash.part(&id.version.to_be_bytes());
        hash.part(&id.chunk.to_be_bytes());
    }
    hash.part(parameters.as_bytes());
    hash.end()
}

fn canonical(text: &str) -> String {
    let text = clean(text).text;
    let lines: Vec<&str> = text.trim().lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// SHA-256 of parts: each with its length, behind a name for what is hashed, so that
/// no two lists of parts give the same bytes.
struct Hash(Context);

impl Hash {
    fn new(domain: &[u8]) -> Hash {
        let mut hash = Hash(Context::new(&SHA256));
        hash.part(domain);
        hash
    }
    fn count(&mut self, n: usize) {
        self.0.update(&(n as u64).to_be_bytes());
    }
    fn part(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.update(bytes);
    }
    fn end(self) -> [u8; 32] {
        let mut key = [0; 32];
        key.copy_from_slice(self.0.finish().as_ref());
        key
    }
}
