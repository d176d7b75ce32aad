//! From a document's blocks to what they relate.
//!
//! Each chunk has a **topic**, its heading or its document's name. What is taken from it:
//! names that stand in it; `key: value` lines and the rows of tables; two names in one
//! sentence with a known verb between them; what an acronym stands for; links. Where a script
//! has no capitals, only what is explicit is left: keys, rows, links, headings.

use std::collections::BTreeSet;

use super::names::{BYTES_MAX, Capitals, Name, inner_capitals, is_acronym, names};
use super::sentences::{Token, pair, tokens};
use super::{LINKS, MENTIONS, SOURCE, entity};
use crate::chunk::Chunk;
use crate::parse::{Block, Kind, Parsed};
use crate::text::is_stop;

/// Relations of one chunk at most: some 300 tokens have a dozen names; one of hundreds is a list.
const OF_CHUNK_MAX: usize = 48;
/// Words between two names that are one relation.
const BETWEEN_MAX: usize = 6;
/// Bytes of a source that is an entity: what the store keeps of a name.
const SOURCE_BYTES_MAX: usize = 500;
/// Values of one key: `members: Ada, Eve`.
const VALUES_MAX: usize = 8;

/// First words of what relates two names; with the words behind it. Present tense and
/// participles of what organisations and systems do to each other.
pub(super) const VERBS: [&str; 59] = [
    "acquired",
    "appartient",
    "approves",
    "belongs",
    "berichtet",
    "betreut",
    "bought",
    "built",
    "buys",
    "calls",
    "chairs",
    "contains",
    "created",
    "depends",
    "dirige",
    "dépend",
    "employs",
    "ersetzt",
    "est",
    "founded",
    "gehört",
    "handles",
    "has",
    "heads",
    "hosts",
    "hängt",
    "is",
    "ist",
    "joined",
    "leads",
    "leitet",
    "lives",
    "maintains",
    "manages",
    "married",
    "nutzt",
    "operates",
    "owns",
    "provides",
    "publishes",
    "remplace",
    "replaced",
    "replaces",
    "reports",
    "requires",
    "runs",
    "sends",
    "serves",
    "stores",
    "succeeded",
    "supervises",
    "supplies",
    "supports",
    "teaches",
    "uses",
    "utilise",
    "was",
    "works",
    "wrote",
];

/// One thing that a chunk says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Relation {
    pub from: String,
    pub relation: String,
    pub to: String,
}

/// What a document is, beside its text.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Where it comes from: what links find it by.
    pub source: &'a str,
    pub title: &'a str,
    /// A BCP 47 tag, or `und`.
    pub language: &'a str,
}

impl Relation {
    fn new(from: &str, relation: &str, to: &str) -> Relation {
        Relation { from: from.into(), relation: relation.into(), to: to.into() }
    }
    /// Panics where [`relations`] broke its promises.
    pub(crate) fn check(&self) {
        for name in [&self.from, &self.relation, &self.to] {
            assert!(!name.is_empty() && name.len() <= 500 && !name.contains(['\0', '\n']), "{self:?}");
        }
        assert_ne!(self.from, self.to);
    }
}

/// What each chunk relates, in the order of the chunks; each relation once a chunk.
pub fn relations(parsed: &Parsed, chunks: &[Chunk], about: &About<'_>) -> Vec<Vec<Relation>> {
    // What does not fit into a name is none: links do not find such a document.
    let fits = about.source.len() <= SOURCE_BYTES_MAX && !about.source.contains(char::is_control);
    let source = if fits { about.source } else { "" };
    let document = Some(entity(about.title)).filter(|name| !name.is_empty());
    let reading = Reading {
        parsed,
        capitals: Capitals::of(about.language),
        inner: inner_capitals(&parsed.text),
        document: document.unwrap_or_else(|| source.into()),
        source,
    };
    (0..).zip(chunks).map(|(n, chunk)| reading.chunk(n, chunk)).collect()
}

struct Reading<'a> {
    parsed: &'a Parsed,
    capitals: Capitals,
    inner: BTreeSet<String>,
    /// The document as an entity.
    document: String,
    source: &'a str,
}

/// The relations of one chunk as they are found: explicit ones first, mentions behind them.
#[derive(Default)]
struct Found {
    said: Vec<Relation>,
    mentioned: Vec<Relation>,
}

impl Reading<'_> {
    fn chunk(&self, n: usize, chunk: &Chunk) -> Vec<Relation> {
        let mut found = Found::default();
        if n == 0 && !self.source.is_empty() {
            found.said.push(Relation::new(&self.document, SOURCE, self.source));
        }
        // A chunk may begin within a block, by its overlap; what stands there is said there, too.
        let blocks = &self.parsed.blocks;
        let first = blocks.partition_point(|block| block.span.end <= chunk.span.start);
        let mut columns: Option<Vec<&str>> = None;
        for (at, block) in (first..).zip(&blocks[first..]) {
            if block.span.start >= chunk.span.end {
                break;
            }
            let text =
                &self.parsed.text[block.span.start.max(chunk.span.start)..block.span.end.min(chunk.span.end)];
            let topic = self.topic(block);
            if block.kind == Kind::Row && text.contains(" | ") {
                let cells: Vec<&str> = text.split(" | ").map(str::trim).collect();
                match columns.as_ref().filter(|names| names.len() == cells.len()) {
                    Some(names) => row(names, &cells, &topic, &mut found),
                    None => columns = Some(cells),
                }
                continue;
            }
            columns = None;
            self.links(at, &topic, &mut found);
            match block.kind {
                Kind::Heading => self.heading(block, &topic, &mut found),
                Kind::Code => {}
                _ => {
                    self.pairs(block, text, &topic, &mut found);
                    self.sentences(text, &topic, &mut found);
                }
            }
        }
        let mut seen = BTreeSet::new();
        let mut all: Vec<Relation> = found.said.into_iter().chain(found.mentioned).collect();
        all.retain(|r| r.from != r.to && !r.from.is_empty() && !r.to.is_empty() && seen.insert(r.clone()));
        all.truncate(OF_CHUNK_MAX);
        all
    }

    /// What a block is about: its heading, else the document.
    fn topic(&self, block: &Block) -> String {
        let heading = block.heading.and_then(|at| self.parsed.headings.get(at as usize));
        heading.map(|h| entity(&h.text)).filter(|h| !h.is_empty()).unwrap_or_else(|| self.document.clone())
    }

    /// A section belongs to the one above it, the outermost to the document.
    fn heading(&self, block: &Block, topic: &str, found: &mut Found) {
        let headings = &self.parsed.headings;
        let above = block.heading.and_then(|at| headings[at as usize].parent);
        let above = above.map(|at| entity(&headings[at as usize].text)).filter(|h| !h.is_empty());
        let above = above.unwrap_or_else(|| self.document.clone());
        found.said.push(Relation::new(topic, "is a section of", &above));
    }

    fn links(&self, block: usize, topic: &str, found: &mut Found) {
        let links = &self.parsed.links;
        let from = links.partition_point(|link| (link.block as usize) < block);
        for link in links[from..].iter().take_while(|link| link.block as usize == block) {
            if let Some(to) = resolved(self.source, &link.to) {
                found.said.push(Relation::new(topic, LINKS, &to));
            }
        }
    }

    /// `owner: Ada` of the topic; of a record, of what its first field names.
    fn pairs(&self, block: &Block, text: &str, topic: &str, found: &mut Found) {
        let record = block.kind == Kind::Row;
        let separators: &[char] = if record { &[';', '\n'] } else { &['\n'] };
        let mut subject = topic.to_owned();
        let mut first = record;
        for (key, value) in text.split(separators).filter_map(pair) {
            let relation = entity(key);
            if std::mem::take(&mut first) {
                let named = entity(value);
                found.said.push(Relation::new(topic, MENTIONS, &named));
                if !named.is_empty() {
                    subject = named;
                    continue;
                }
            }
            if !relation.is_empty() {
                for value in value.split([',', '、']).take(VALUES_MAX) {
                    found.said.push(Relation::new(&subject, &relation, &entity(value)));
                }
            }
        }
    }

    fn sentences(&self, text: &str, topic: &str, found: &mut Found) {
        if shouts(text) {
            return;
        }
        let tokens = tokens(text);
        let names = names(&tokens, self.capitals, &self.inner);
        for pair in names.windows(2) {
            if let Some(relation) =
                between(&tokens[pair[0].tokens.end..pair[1].tokens.start], &tokens, &pair[1])
            {
                found.said.push(Relation::new(&pair[0].key, &relation, &pair[1].key));
            }
        }
        stands_for(text, &tokens, found);
        for name in names {
            found.mentioned.push(Relation::new(topic, MENTIONS, &name.key));
        }
    }
}

/// What the words between two names of one sentence say, if they begin with a known verb.
fn between(words: &[Token<'_>], all: &[Token<'_>], next: &Name) -> Option<String> {
    let verb = words.first()?;
    let one_sentence = words.iter().chain([&all[next.tokens.start]]).all(|token| token.gap == " ");
    if words.len() > BETWEEN_MAX || !one_sentence || VERBS.binary_search(&verb.text).is_err() {
        return None;
    }
    let article = |word: &str| matches!(word, "a" | "an" | "the" | "der" | "die" | "das" | "le" | "la");
    let said: Vec<&str> = words.iter().map(|token| token.text).filter(|word| !article(word)).collect();
    let said = said.join(" ").to_lowercase();
    (said.len() <= BYTES_MAX).then_some(said)
}

/// `service level objective (SLO)`: the words before an acronym in brackets that begin with its letters.
fn stands_for(text: &str, tokens: &[Token<'_>], found: &mut Found) {
    for (at, token) in tokens.iter().enumerate() {
        let bracketed = token.gap.ends_with(" (") && text[token.end..].starts_with(')');
        let letters: Vec<char> = token.text.chars().filter(|c| c.is_alphabetic()).collect();
        if !bracketed || !is_acronym(token.text) || letters.len() > at {
            continue;
        }
        let words = &tokens[at - letters.len()..at];
        let fits = words.iter().zip(&letters).all(|(word, letter)| {
            word.text.chars().next().is_some_and(|c| c.to_lowercase().eq(letter.to_lowercase()))
        });
        if fits && words[1..].iter().all(|word| matches!(word.gap, " " | "-")) {
            let long: Vec<&str> = words.iter().map(|word| word.text).collect();
            found.said.push(Relation::new(&entity(token.text), "stands for", &entity(&long.join(" "))));
        }
    }
}

/// A row of a table by the names of its columns: its first cell is what the others are said of.
fn row(columns: &[&str], cells: &[&str], topic: &str, found: &mut Found) {
    let subject = entity(cells[0]);
    if subject.is_empty() {
        return;
    }
    found.said.push(Relation::new(topic, MENTIONS, &subject));
    for (column, cell) in columns.iter().zip(cells).skip(1) {
        let relation = entity(column);
        // A sentence in a cell is no name.
        if !relation.is_empty() && !cell.contains(['.', '!', '?']) && cell.split_whitespace().count() <= 6 {
            for value in cell.split(',').take(VALUES_MAX) {
                found.said.push(Relation::new(&subject, &relation, &entity(value)));
            }
        }
    }
}

/// Mostly capitals: they say nothing there.
fn shouts(text: &str) -> bool {
    let (mut large, mut small) = (0usize, 0usize);
    for c in text.chars() {
        large += usize::from(c.is_uppercase());
        small += usize::from(c.is_lowercase());
    }
    large > small && large > 12
}

/// The source that a link leads to, as the collection knows it. `None` above the root, and
/// for a link to itself.
pub(super) fn resolved(source: &str, link: &str) -> Option<String> {
    let path = link.split(['#', '?']).next().unwrap_or_default();
    let path = percent_decoded(path)?;
    let root = source.find("://").map_or(0, |at| {
        let host = at + 3;
        source[host..].find('/').map_or(source.len(), |slash| host + slash + 1)
    });
    let (origin, of_source) = source.split_at(root);
    let mut parts: Vec<&str> = match path.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => of_source.split('/').collect(),
    };
    parts.pop();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop()?;
        } else {
            parts.push(part);
        }
    }
    let to = format!("{origin}{}", parts.join("/"));
    (to != source && !parts.is_empty() && to.len() <= SOURCE_BYTES_MAX && !to.contains(char::is_control))
        .then_some(to)
}

/// `%20` as a space; `None` where what comes out is no text.
fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.into());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..2).filter(|d| d.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|d| std::str::from_utf8(d).ok());
        match digits.filter(|_| *first == b'%').and_then(|d| u8::from_str_radix(d, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

/// The names that a question may mean: its runs of up to five words, without those that are
/// nothing but function words. Longer ones first.
pub(super) fn asked(question: &str) -> Vec<String> {
    const WORDS: usize = 48;
    const RUN: usize = 5;
    let mut words = crate::text::words(question);
    words.truncate(WORDS);
    let mut all = Vec::new();
    for length in (1..=RUN.min(words.len())).rev() {
        for run in words.windows(length) {
            let says = !is_stop(&run[0]) && !is_stop(&run[length - 1]);
            if says {
                all.push(run.join(" "));
            }
        }
    }
    let mut seen = BTreeSet::new();
    all.retain(|run| !entity(run).is_empty() && seen.insert(run.clone()));
    all
}
