//! Tenants in memory: for tests, simulations and the planner. Durable means
//! nothing here; everything else is as the conformance suite demands.

mod derived;
mod lexing;
mod ports;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use units::{AnswerId, CollectionId, DocumentId, Micros, TeamId, TurnId};

use super::{
    Acl, AclClass, Brought, Change, Chunk, ChunkId, Classes, Collection, Collections, Counts, Document,
    Documents, Edge, Fact, Generation, Grade, Hit, IndexRow, IndexRows, Invalidated, NewAnswer, NewChunk,
    NewDocument, NewEdge, PAGE_MAX, Put, Reader, Removed, Tenant, Tenants, TextQuery, Trust, Turn,
    Unembedded, check, half,
};
use crate::Error;

/// Every team has documents here, empty at first.
#[derive(Default)]
pub struct MemoryTenants(Mutex<HashMap<TeamId, Arc<MemoryTenant>>>);

impl MemoryTenants {
    pub fn new() -> MemoryTenants {
        MemoryTenants::default()
    }
}

impl Tenants for MemoryTenants {
    fn tenant(&self, team: TeamId) -> Result<Arc<dyn Tenant>, Error> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(all.entry(team).or_insert_with(|| Arc::new(MemoryTenant::new(team))).clone())
    }
    fn remove_tenant(&self, team: TeamId) -> Result<bool, Error> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&team).is_some())
    }
}

struct MemoryTenant {
    team: TeamId,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    collections: BTreeMap<CollectionId, Held>,
    documents: BTreeMap<DocumentId, Document>,
    marks: BTreeMap<DocumentId, String>,
    by_source: BTreeMap<(CollectionId, String), DocumentId>,
    /// With the document of each.
    chunks: BTreeMap<ChunkId, (DocumentId, u32, NewChunk)>,
    of_document: BTreeMap<DocumentId, Vec<ChunkId>>,
    vectors: BTreeMap<(CollectionId, u32, ChunkId), Vec<u8>>,
    classes: Vec<Acl>,
    last_chunk: u64,
    answers: BTreeMap<AnswerId, NewAnswer>,
    observed: BTreeMap<AnswerId, Vec<(f32, bool)>>,
    turns: BTreeMap<TurnId, (u64, Turn)>,
    /// In the order in which they were recorded.
    facts: Vec<Fact>,
    edges: Vec<Edge>,
}

struct Held {
    row: Collection,
    /// The highest generation that was ever begun.
    begun: u32,
    revision: u64,
    notes: BTreeMap<String, String>,
}

impl MemoryTenant {
    fn new(team: TeamId) -> MemoryTenant {
        MemoryTenant { team, inner: Mutex::default() }
    }
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Every change below is checked first and then made whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// What the reader may see; nothing of it for another team's.
    fn for_reader(&self, reader: &Reader) -> Option<MutexGuard<'_, Inner>> {
        (reader.team() == self.team).then(|| self.inner())
    }
}

fn missing(kind: &'static str, name: impl ToString) -> Error {
    Error::Missing { kind, name: name.to_string() }
}

impl Inner {
    fn held(&self, id: CollectionId) -> Result<&Held, Error> {
        self.collections.get(&id).ok_or_else(|| missing("collection", id))
    }
    fn generation(&self, id: CollectionId, number: u32) -> Result<Generation, Error> {
        let row = &self.held(id)?.row;
        let found = std::iter::once(&row.live).chain(&row.beside).find(|g| g.number == number);
        found.cloned().ok_or_else(|| missing("index generation", number))
    }
    fn touch(&mut self, id: CollectionId) {
        if let Some(held) = self.collections.get_mut(&id) {
            held.revision += 1;
        }
    }
    fn class(&mut self, acl: &Acl) -> AclClass {
        let at = self.classes.iter().position(|known| known == acl).unwrap_or_else(|| {
            self.classes.push(acl.clone());
            self.classes.len() - 1
        });
        AclClass(at as u32)
    }
    fn readable(&self, reader: &Reader, id: DocumentId) -> Option<&Document> {
        self.documents.get(&id).filter(|document| reader.may(&document.acl))
    }
    /// The chunks that a search may find, of those the reader may read.
    fn found(&self, reader: &Reader, id: ChunkId) -> Option<(&Document, u32, &NewChunk)> {
        let (document, n, chunk) = self.chunks.get(&id)?;
        let document = self.readable(reader, *document).filter(|d| d.trust != Trust::Quarantined)?;
        Some((document, *n, chunk))
    }
    /// Every chunk of a collection, in order.
    fn of_collection(&self, id: CollectionId) -> impl Iterator<Item = (ChunkId, &Document, &NewChunk)> {
        let with_document = self.chunks.iter().map(|(chunk, (document, _, new))| {
            (*chunk, self.documents.get(document).expect("a chunk has a document"), new)
        });
        with_document.filter(move |(_, document, _)| document.collection == id)
    }

    fn remove_chunks(&mut self, document: DocumentId, invalidated: &mut Invalidated) -> Vec<ChunkId> {
        let gone = self.of_document.remove(&document).unwrap_or_default();
        let set: HashSet<ChunkId> = gone.iter().copied().collect();
        self.chunks.retain(|id, _| !set.contains(id));
        self.vectors.retain(|(_, _, id), _| !set.contains(id));
        invalidated.edges += take(&mut self.edges, |edge| set.contains(&edge.chunk));
        invalidated.facts += take(&mut self.facts, |fact| fact.document == Some(document));
        self.reopen();
        gone
    }
    fn remove_answers(&mut self, document: DocumentId) -> u64 {
        let before = self.answers.len();
        self.answers.retain(|_, answer| answer.dependencies.iter().all(|d| d.document != document));
        (before - self.answers.len()) as u64
    }
    fn remove(&mut self, id: DocumentId) -> Option<Removed> {
        let document = self.documents.remove(&id)?;
        self.marks.remove(&id);
        self.by_source.remove(&(document.collection, document.source));
        let answers = self.remove_answers(id);
        let mut invalidated = Invalidated { answers, ..Invalidated::default() };
        let chunks = self.remove_chunks(id, &mut invalidated);
        self.touch(document.collection);
        Some(Removed { document: id, chunks, invalidated })
    }

    fn put(&mut self, new: NewDocument) -> Put {
        let class = self.class(&new.acl);
        let known = self.by_source.get(&(new.collection, new.source.clone())).copied();
        let Some(id) = known else { return self.add(new, class) };
        let old = self.documents[&id].clone();
        self.marks.insert(id, new.mark.clone());
        let mut document = Document {
            acl: new.acl.clone(),
            class,
            title: new.title.clone(),
            format: new.format.clone(),
            labels: new.labels.clone(),
            trust: new.trust,
            batch: new.batch.clone(),
            modified: new.modified,
            ..old.clone()
        };
        let mut put = Put {
            document: id,
            version: old.version,
            change: Change::Unchanged,
            class,
            searched: new.trust != Trust::Quarantined,
            added: Vec::new(),
            kept: Vec::new(),
            removed: Vec::new(),
            invalidated: Invalidated::default(),
        };
        if old.hash != new.hash {
            put.change = Change::Replaced;
            put.removed = self.remove_chunks(id, &mut put.invalidated);
            document.hash = new.hash;
        } else if document != old {
            put.change = Change::Regraded;
        } else {
            put.kept = self.of_document[&id].clone();
            return put;
        }
        let said = |d: &Document| (d.title.clone(), d.labels.clone(), d.trust);
        if put.change == Change::Replaced || said(&document) != said(&old) {
            document.version += 1;
            document.updated = new.at;
            put.version = document.version;
            put.invalidated.answers = self.remove_answers(id);
        }
        let (collection, generation) = (new.collection, new.generation);
        self.documents.insert(id, document);
        match put.change {
            Change::Replaced => {
                put.added = self.add_chunks(id, collection, generation, new.chunks);
                self.add_edges(new.edges, &put.added);
            }
            _ => put.kept = self.of_document[&id].clone(),
        }
        self.touch(collection);
        put
    }
    fn add(&mut self, new: NewDocument, class: AclClass) -> Put {
        let (id, collection, searched) = (new.id, new.collection, new.trust != Trust::Quarantined);
        let document = Document {
            id,
            collection,
            source: new.source.clone(),
            version: 1,
            hash: new.hash,
            title: new.title,
            format: new.format,
            acl: new.acl,
            class,
            labels: new.labels,
            trust: new.trust,
            batch: new.batch,
            modified: new.modified,
            created: new.at,
            updated: new.at,
            chunks: 0,
            bytes: 0,
        };
        self.documents.insert(id, document);
        self.marks.insert(id, new.mark);
        self.by_source.insert((collection, new.source), id);
        let added = self.add_chunks(id, collection, new.generation, new.chunks);
        self.add_edges(new.edges, &added);
        self.touch(collection);
        Put {
            document: id,
            version: 1,
            change: Change::Added,
            class,
            searched,
            added,
            kept: Vec::new(),
            removed: Vec::new(),
            invalidated: Invalidated::default(),
        }
    }
    fn add_chunks(
        &mut self,
        document: DocumentId,
        collection: CollectionId,
        generation: u32,
        chunks: Vec<NewChunk>,
    ) -> Vec<ChunkId> {
        let row = self.documents.get_mut(&document).expect("it was put before");
        row.chunks = chunks.len() as u32;
        row.bytes = chunks.iter().map(|c| c.text.len() as u64).sum();
        let mut ids = Vec::with_capacity(chunks.len());
        for (n, chunk) in (0u32..).zip(chunks) {
            self.last_chunk += 1;
            let id = ChunkId(self.last_chunk);
            self.vectors.insert((collection, generation, id), half::encode(&chunk.vector));
            self.chunks.insert(id, (document, n, chunk));
            ids.push(id);
        }
        self.of_document.insert(document, ids.clone());
        ids
    }
    /// Trusts a document otherwise: what was answered under the old trust goes.
    fn entrust(&mut self, id: DocumentId, trust: Trust, at: Micros) -> Put {
        let document = self.documents.get_mut(&id).expect("whoever asks has just seen it");
        (document.trust, document.updated) = (trust, at);
        document.version += 1;
        let (version, class, collection) = (document.version, document.class, document.collection);
        let answers = self.remove_answers(id);
        self.touch(collection);
        Put {
            document: id,
            version,
            change: Change::Regraded,
            class,
            searched: trust != Trust::Quarantined,
            added: Vec::new(),
            kept: self.of_document[&id].clone(),
            removed: Vec::new(),
            invalidated: Invalidated { answers, ..Invalidated::default() },
        }
    }
    fn add_edges(&mut self, edges: Vec<NewEdge>, chunks: &[ChunkId]) {
        for NewEdge { chunk, from, relation, to } in edges {
            let chunk = chunks[chunk as usize];
            self.add_edge(Edge { from, relation, to, chunk, valid_from: None, valid_to: None });
        }
    }
    /// `false`: it is there.
    fn add_edge(&mut self, edge: Edge) -> bool {
        let same = |e: &Edge| {
            (&e.from, &e.relation, &e.to, e.chunk) == (&edge.from, &edge.relation, &edge.to, edge.chunk)
        };
        let new = !self.edges.iter().any(same);
        if new {
            self.edges.push(edge);
        }
        new
    }
    /// Everything that could be refused, before anything is changed.
    fn check_put(&self, documents: &[NewDocument]) -> Result<(), Error> {
        let mut ids: HashMap<DocumentId, (CollectionId, &str)> = HashMap::new();
        for new in documents {
            check::document(new, &self.held(new.collection)?.row.live)?;
            let place = (new.collection, new.source.as_str());
            let known = self.by_source.contains_key(&(new.collection, new.source.clone()))
                || ids.values().any(|other| *other == place);
            let taken = self.documents.contains_key(&new.id) || ids.contains_key(&new.id);
            if taken && !known {
                return Err(Error::Exists { kind: "document", name: new.id.to_string() });
            }
            if !known {
                ids.insert(new.id, place);
            }
        }
        Ok(())
    }
    fn without_vector(
        &self,
        id: CollectionId,
        generation: u32,
    ) -> impl Iterator<Item = (ChunkId, &Document, &NewChunk)> {
        self.of_collection(id)
            .filter(move |(chunk, ..)| !self.vectors.contains_key(&(id, generation, *chunk)))
    }
}

/// Removes what `gone` says; how many.
fn take<T>(rows: &mut Vec<T>, gone: impl Fn(&T) -> bool) -> u64 {
    let before = rows.len();
    rows.retain(|row| !gone(row));
    (before - rows.len()) as u64
}

fn shown(id: ChunkId, document: &Document, n: u32, chunk: &NewChunk) -> Chunk {
    Chunk {
        id,
        document: document.id,
        version: document.version,
        collection: document.collection,
        n,
        text: chunk.text.clone(),
        heading: chunk.heading.clone(),
        span: chunk.span,
        source: document.source.clone(),
        title: document.title.clone(),
        labels: document.labels.clone(),
        trust: document.trust,
        batch: document.batch.clone(),
        modified: document.modified,
        updated: document.updated,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn tenants_in_memory_conform() {
        super::super::conformance::run(|| Box::new(super::MemoryTenants::new()));
    }
}
