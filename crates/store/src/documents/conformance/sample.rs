//! Rows to test and measure with, made from a number: the same number, the same row.

use std::sync::Arc;

use units::{CollectionId, DocumentId, Labels, Micros, TeamId};

use crate::conformance::sample::{at, id};
use crate::documents::{
    Acl, Collection, Generation, Lexing, NewChunk, NewDocument, Put, Reader, Span, Subject, Tenant, Tenants,
    Trust,
};

/// Dimensions of [`vector`].
pub const DIMENSIONS: usize = 8;

pub fn team(n: u64) -> TeamId {
    TeamId(id(n))
}

pub fn collection(n: u64, lexing: Lexing) -> Collection {
    Collection {
        id: CollectionId(id(1_000 + n)),
        name: format!("collection-{n}"),
        lexing,
        language: "en".into(),
        labels: Labels::default(),
        live: Generation { number: 1, embedder: "hash".into(), dimensions: DIMENSIONS as u32 },
        beside: Vec::new(),
        settings: String::new(),
        created: at(n),
    }
}

/// Numbers between -1 and 1 that a half holds exactly.
pub fn vector(n: u64) -> Vec<f32> {
    let mixed = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed.to_le_bytes().iter().map(|byte| f32::from(*byte as i8) / 128.0).collect()
}

pub fn acl(subjects: &[&str]) -> Acl {
    Acl::new(subjects.iter().map(|text| text.parse::<Subject>().expect("a subject"))).expect("somebody")
}

/// Somebody of [`team`] 1.
pub fn reader(subjects: &[&str]) -> Reader {
    Reader::new(team(1), subjects.iter().map(|text| text.parse::<Subject>().expect("a subject")))
}

/// A document of [`collection`] 1 that the team reads, a chunk for each text.
pub fn document(n: u64, texts: &[&str]) -> NewDocument {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&n.to_le_bytes());
    for (at, byte) in texts.join("\n").bytes().enumerate() {
        hash[8 + at % 24] = hash[8 + at % 24].wrapping_mul(31).wrapping_add(byte);
    }
    let chunk = |(at, text): (u64, &&str)| NewChunk {
        text: (*text).to_owned(),
        heading: format!("Heading {n}"),
        span: Span { start: at * 100, end: at * 100 + text.len() as u64 },
        vector: vector(n * 100 + at),
    };
    NewDocument {
        id: DocumentId(id(2_000 + n)),
        collection: collection(1, Lexing::Stemmed).id,
        source: format!("docs/{n:04}.md"),
        hash,
        title: format!("Document {n}"),
        format: "text/markdown".into(),
        acl: Acl::team(),
        labels: Labels::default(),
        trust: Trust::Known,
        batch: "docs".into(),
        mark: String::new(),
        modified: Some(at(n)),
        at: at(10_000 + n),
        generation: 1,
        chunks: (0..).zip(texts).map(chunk).collect(),
        edges: Vec::new(),
    }
}

pub fn shared(n: u64, texts: &[&str], subjects: &[&str]) -> NewDocument {
    NewDocument { acl: acl(subjects), ..document(n, texts) }
}

/// Long after everything else.
pub fn later(n: u64) -> Micros {
    at(1_000_000 + n)
}

/// Team 1 with [`collection`] 1.
pub fn opened(tenants: &dyn Tenants) -> Arc<dyn Tenant> {
    let tenant = tenants.tenant(team(1)).expect("it opens");
    tenant.create_collection(collection(1, Lexing::Stemmed)).expect("the name is free");
    tenant
}

pub fn put(tenant: &dyn Tenant, document: NewDocument) -> Put {
    let mut puts = tenant.put(vec![document]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(puts.len(), 1);
    puts.remove(0)
}
