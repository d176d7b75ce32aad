//! Both arms over a set: full text by the store, vectors one by one.

use std::collections::BTreeMap;

use ::context::embed::cosine;
use ::context::rank::{Candidate, Trust};
use ::context::text::{self, Query};
use anyhow::{Context, Result};
use store::documents::{
    Acl, Collection, Generation, Lexing, NewChunk, NewDocument, Reader, Span, Tenant, Tenants, TextQuery,
};
use store_sqlite::{SqliteTenants, TenantsConfig};
use units::{CollectionId, DocumentId, Labels, Micros, TeamId, Uuid7};

use super::embedding::Embedding;

/// Candidates that each arm gives.
pub const CANDIDATES: usize = 100;
/// Documents put in one transaction.
const BATCH: usize = 500;

/// A text that is indexed, and where it says it comes from.
#[derive(Clone)]
pub struct Entry {
    pub text: String,
    pub source: String,
    pub batch: String,
    pub trust: Trust,
}

pub struct Index {
    // Holds the file until the end.
    _folder: tempfile::TempDir,
    // Closes the file when nobody holds it.
    _tenants: SqliteTenants,
    tenant: std::sync::Arc<dyn Tenant>,
    reader: Reader,
    collection: CollectionId,
    pub lexing: text::Lexing,
    pub entries: Vec<Entry>,
    vectors: Vec<Vec<f32>>,
    /// Which entry a chunk is.
    chunks: BTreeMap<u64, usize>,
}

/// What one question finds, by entry.
pub struct Found {
    pub query: Query,
    pub rows: Vec<FoundRow>,
}

pub struct FoundRow {
    pub entry: usize,
    pub lexical: Option<f32>,
    pub dense: Option<f32>,
}

impl Index {
    /// Indexes entries as documents of one chunk, in a new tenant's file.
    pub fn new(entries: Vec<Entry>, lexing: text::Lexing, embedding: &Embedding) -> Result<Index> {
        let folder = tempfile::tempdir().context("make a directory")?;
        let tenants =
            SqliteTenants::new(folder.path(), &seal::KeyRing::ephemeral(), TenantsConfig::default());
        let team = TeamId(number(1, 1));
        let tenant = tenants.tenant(team).context("open a tenant")?;
        let collection = CollectionId(number(2, 1));
        let dimensions = embedding.dimensions() as u32;
        let live = Generation { number: 1, embedder: embedding.name().into(), dimensions };
        let made = Collection {
            id: collection,
            name: "bench".into(),
            lexing: match lexing {
                text::Lexing::Stemmed => Lexing::Stemmed,
                text::Lexing::Words => Lexing::Words,
                text::Lexing::Trigrams => Lexing::Trigrams,
            },
            language: "und".into(),
            labels: Labels::default(),
            live,
            beside: Vec::new(),
            settings: String::new(),
            created: Micros(0),
        };
        tenant.create_collection(made).context("make a collection")?;
        let texts: Vec<&str> = entries.iter().map(|entry| entry.text.as_str()).collect();
        let vectors = embedding.embed(&texts)?;
        let mut chunks = BTreeMap::new();
        for start in (0..entries.len()).step_by(BATCH) {
            let range = start..entries.len().min(start + BATCH);
            let documents = range.clone().map(|at| document(collection, at, &entries[at], &vectors[at]));
            let put = tenant.put(documents.collect()).context("put documents")?;
            for (at, put) in range.zip(put) {
                chunks.extend(put.added.iter().map(|chunk| (chunk.0, at)));
            }
        }
        let reader = Reader::new(team, []);
        Ok(Index {
            _folder: folder,
            _tenants: tenants,
            tenant,
            reader,
            collection,
            lexing,
            entries,
            vectors,
            chunks,
        })
    }

    /// What both arms find for each question, in order.
    pub fn find_all(&self, questions: &[&str], embedding: &Embedding) -> Result<Vec<Found>> {
        let queries: Vec<Query> =
            questions.iter().map(|question| Query::read(question, self.lexing)).collect();
        let texts: Vec<&str> = queries.iter().map(|query| query.text.as_str()).collect();
        let vectors = embedding.embed(&texts)?;
        queries.into_iter().zip(vectors).map(|(query, vector)| self.find(query, &vector)).collect()
    }

    /// The best of both arms.
    fn find(&self, query: Query, asked: &[f32]) -> Result<Found> {
        let words = TextQuery { terms: &query.terms, limit: CANDIDATES };
        let hits =
            self.tenant.search_text(&self.reader, self.collection, &words).context("search full text")?;
        let mut rows: BTreeMap<usize, FoundRow> = BTreeMap::new();
        for hit in hits {
            if let Some(entry) = self.chunks.get(&hit.chunk.0).copied() {
                rows.insert(entry, FoundRow { entry, lexical: Some(hit.score), dense: None });
            }
        }
        let mut near: Vec<(f32, usize)> =
            self.vectors.iter().enumerate().map(|(at, vector)| (cosine(asked, vector), at)).collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for (_, entry) in near.into_iter().take(CANDIDATES) {
            rows.entry(entry).or_insert(FoundRow { entry, lexical: None, dense: None });
        }
        // The dense arm knows the original vector of whatever the other arm has found.
        for row in rows.values_mut() {
            row.dense = Some(cosine(asked, &self.vectors[row.entry]));
        }
        Ok(Found { query, rows: rows.into_values().collect() })
    }

    pub fn candidate<'a>(&'a self, row: &FoundRow) -> Candidate<'a> {
        let entry = &self.entries[row.entry];
        Candidate {
            chunk: row.entry as u64,
            lexical: row.lexical,
            dense: row.dense,
            rerank: None,
            graph: None,
            text: &entry.text,
            vector: Some(&self.vectors[row.entry]),
            source: &entry.source,
            batch: &entry.batch,
            trust: entry.trust,
            age_us: None,
        }
    }
}

fn document(collection: CollectionId, at: usize, entry: &Entry, vector: &[f32]) -> NewDocument {
    let hash = {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&(at as u64).to_be_bytes());
        hash
    };
    NewDocument {
        id: DocumentId(number(3, at as u64)),
        collection,
        source: format!("{at}"),
        hash,
        title: String::new(),
        format: "text/plain".into(),
        acl: Acl::team(),
        labels: Labels::default(),
        trust: store::documents::Trust::Known,
        batch: "bench".into(),
        mark: String::new(),
        modified: None,
        at: Micros(0),
        generation: 1,
        chunks: vec![NewChunk {
            text: entry.text.clone(),
            heading: String::new(),
            span: Span { start: 0, end: entry.text.len() as u64 },
            vector: vector.to_vec(),
        }],
        edges: Vec::new(),
    }
}

fn number(kind: u8, n: u64) -> Uuid7 {
    let mut bytes = [0; 16];
    bytes[0] = kind;
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    Uuid7::from_bytes(bytes)
}
