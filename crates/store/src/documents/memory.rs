//! Tenants in memory: for tests, simulations and the planner. Durable means
//! nothing here; everything else is as the conformance suite demands.

mod derived;
mod lexing;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use units::{AnswerId, CollectionId, DocumentId, Labels, TeamId, TurnId};

use super::{
    Acl, AclClass, Change, Chunk, ChunkId, Classes, Collection, Collections, Counts, Document, Documents,
    Edge, Fact, Generation, Hit, IndexRow, IndexRows, Invalidated, NewAnswer, NewChunk, NewDocument,
    PAGE_MAX, Put, Reader, Removed, Tenant, Tenants, TextQuery, Trust, Turn, Unembedded, check, half,
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
    by_source: BTreeMap<(CollectionId, String), DocumentId>,
    /// With the document of each.
    chunks: BTreeMap<ChunkId, (DocumentId, u32, NewChunk)>,
    of_document: BTreeMap<DocumentId, Vec<ChunkId>>,
    vectors: BTreeMap<(CollectionId, u32, ChunkId), Vec<u8>>,
    classes: Vec<Acl>,
    last_chunk: u64,
    answers: BTreeMap<AnswerId, NewAnswer>,
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
            Change::Replaced => put.added = self.add_chunks(id, collection, generation, new.chunks),
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
        self.by_source.insert((collection, new.source), id);
        let added = self.add_chunks(id, collection, new.generation, new.chunks);
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

impl Tenant for MemoryTenant {
    fn team(&self) -> TeamId {
        self.team
    }
}

impl Collections for MemoryTenant {
    fn collections(&self) -> Result<Vec<Collection>, Error> {
        let mut all: Vec<Collection> = self.inner().collections.values().map(|c| c.row.clone()).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }
    fn collection(&self, name: &str) -> Result<Option<Collection>, Error> {
        Ok(self.inner().collections.values().map(|c| &c.row).find(|row| row.name == name).cloned())
    }
    fn create_collection(&self, row: Collection) -> Result<(), Error> {
        check::new_collection(&row)?;
        let mut inner = self.inner();
        if inner.collections.values().any(|c| c.row.name == row.name || c.row.id == row.id) {
            return Err(Error::Exists { kind: "collection", name: row.name });
        }
        if inner.collections.len() >= super::COLLECTIONS_MAX {
            return Err(check::too_many_collections());
        }
        inner.collections.insert(row.id, Held { row, begun: 1, revision: 0 });
        Ok(())
    }
    fn update_collection(&self, row: Collection) -> Result<(), Error> {
        let mut inner = self.inner();
        check::update(&inner.held(row.id)?.row, &row)?;
        let held = inner.collections.get_mut(&row.id).expect("just seen");
        held.row = row;
        Ok(())
    }
    fn remove_collection(&self, id: CollectionId) -> Result<Option<Invalidated>, Error> {
        let mut inner = self.inner();
        if !inner.collections.contains_key(&id) {
            return Ok(None);
        }
        let documents: Vec<DocumentId> =
            inner.documents.values().filter(|d| d.collection == id).map(|d| d.id).collect();
        let mut all = Invalidated::default();
        for document in documents {
            if let Some(removed) = inner.remove(document) {
                all.add(removed.invalidated);
            }
        }
        inner.collections.remove(&id);
        Ok(Some(all))
    }
    fn begin_generation(&self, id: CollectionId, embedder: &str, dimensions: u32) -> Result<u32, Error> {
        let mut inner = self.inner();
        let number = inner.held(id)?.begun + 1;
        let generation = Generation { number, embedder: embedder.to_owned(), dimensions };
        check::generation(&generation)?;
        let held = inner.collections.get_mut(&id).expect("just seen");
        held.begun = number;
        held.row.beside.push(generation);
        Ok(number)
    }
    fn activate(&self, id: CollectionId, generation: u32) -> Result<(), Error> {
        let mut inner = self.inner();
        let wanted = inner.generation(id, generation)?;
        let missing = inner.without_vector(id, generation).count() as u64;
        if missing > 0 {
            return Err(Error::Incomplete { generation, missing });
        }
        let row = &mut inner.collections.get_mut(&id).expect("just seen").row;
        let old = std::mem::replace(&mut row.live, wanted);
        if old.number != generation {
            row.beside.retain(|g| g.number != generation);
            row.beside.push(old);
            row.beside.sort_by_key(|g| g.number);
        }
        Ok(())
    }
    fn drop_generation(&self, id: CollectionId, generation: u32) -> Result<bool, Error> {
        let mut inner = self.inner();
        if inner.held(id)?.row.live.number == generation {
            return Err(check::live_generation(generation));
        }
        let row = &mut inner.collections.get_mut(&id).expect("just seen").row;
        let dropped = take(&mut row.beside, |g| g.number == generation) > 0;
        inner.vectors.retain(|(of, number, _), _| (*of, *number) != (id, generation));
        Ok(dropped)
    }
}

impl Documents for MemoryTenant {
    fn put(&self, documents: Vec<NewDocument>) -> Result<Vec<Put>, Error> {
        let mut inner = self.inner();
        inner.check_put(&documents)?;
        Ok(documents.into_iter().map(|new| inner.put(new)).collect())
    }
    fn share(&self, reader: &Reader, id: DocumentId, acl: &Acl) -> Result<Option<Put>, Error> {
        let Some(mut inner) = self.for_reader(reader) else { return Ok(None) };
        let Some(document) = inner.readable(reader, id).cloned() else { return Ok(None) };
        let class = inner.class(acl);
        let change = if class == document.class { Change::Unchanged } else { Change::Regraded };
        let kept = inner.of_document[&id].clone();
        if change == Change::Regraded {
            let row = inner.documents.get_mut(&id).expect("just seen");
            (row.acl, row.class) = (acl.clone(), class);
            inner.touch(document.collection);
        }
        Ok(Some(Put {
            document: id,
            version: document.version,
            change,
            class,
            searched: document.trust != Trust::Quarantined,
            added: Vec::new(),
            kept,
            removed: Vec::new(),
            invalidated: Invalidated::default(),
        }))
    }
    fn remove(&self, documents: &[DocumentId]) -> Result<Vec<Removed>, Error> {
        let mut inner = self.inner();
        Ok(documents.iter().filter_map(|id| inner.remove(*id)).collect())
    }
    fn remove_absent(
        &self,
        collection: CollectionId,
        batch: &str,
        present: &BTreeSet<String>,
    ) -> Result<Vec<Removed>, Error> {
        let mut inner = self.inner();
        inner.held(collection)?;
        let absent =
            |d: &&Document| d.collection == collection && d.batch == batch && !present.contains(&d.source);
        let gone: Vec<DocumentId> = inner.documents.values().filter(absent).map(|d| d.id).collect();
        Ok(gone.into_iter().filter_map(|id| inner.remove(id)).collect())
    }
    fn are_current(
        &self,
        collection: CollectionId,
        sources: &[(String, [u8; 32])],
    ) -> Result<Vec<bool>, Error> {
        let inner = self.inner();
        let is = |(source, hash): &(String, [u8; 32])| {
            let id = inner.by_source.get(&(collection, source.clone()));
            id.is_some_and(|id| inner.documents[id].hash == *hash)
        };
        Ok(sources.iter().map(is).collect())
    }
    fn grade_of(&self, collection: CollectionId, source: &str) -> Result<Option<(Acl, Labels)>, Error> {
        let inner = self.inner();
        let id = inner.by_source.get(&(collection, source.to_owned()));
        Ok(id.map(|id| (inner.documents[id].acl.clone(), inner.documents[id].labels.clone())))
    }
    fn put_vectors(
        &self,
        collection: CollectionId,
        generation: u32,
        vectors: Vec<(ChunkId, Vec<f32>)>,
    ) -> Result<u64, Error> {
        let mut inner = self.inner();
        let of = inner.generation(collection, generation)?;
        if inner.held(collection)?.row.live.number == generation {
            return Err(check::live_generation(generation));
        }
        vectors.iter().try_for_each(|(_, vector)| check::vector(vector, &of))?;
        for (chunk, vector) in vectors {
            let is_of = |d: &(DocumentId, u32, NewChunk)| inner.documents[&d.0].collection == collection;
            if inner.chunks.get(&chunk).is_some_and(is_of) {
                inner.vectors.entry((collection, generation, chunk)).or_insert_with(|| half::encode(&vector));
            }
        }
        Ok(inner.without_vector(collection, generation).count() as u64)
    }
    fn classes(&self, reader: &Reader) -> Result<Arc<Classes>, Error> {
        let Some(inner) = self.for_reader(reader) else { return Ok(Arc::default()) };
        let may = (0u32..).zip(&inner.classes).filter(|(_, acl)| reader.may(acl));
        Ok(Arc::new(Classes::of(may.map(|(n, _)| AclClass(n)))))
    }
    fn search_text(
        &self,
        reader: &Reader,
        collection: CollectionId,
        query: &TextQuery<'_>,
    ) -> Result<Vec<Hit>, Error> {
        let Some(inner) = self.for_reader(reader) else { return Ok(Vec::new()) };
        let Ok(held) = inner.held(collection) else { return Ok(Vec::new()) };
        let all =
            inner.of_collection(collection).map(|(id, _, c)| (id, format!("{}\n{}", c.heading, c.text)));
        let mut hits = lexing::search(held.row.lexing, all, query.terms);
        hits.retain(|(id, _)| inner.found(reader, *id).is_some());
        hits.truncate(query.limit.min(PAGE_MAX));
        Ok(hits.into_iter().map(|(chunk, score)| Hit { chunk, score }).collect())
    }
    fn chunks(&self, reader: &Reader, ids: &[ChunkId]) -> Result<Vec<Chunk>, Error> {
        let Some(inner) = self.for_reader(reader) else { return Ok(Vec::new()) };
        let fetch = |id: &ChunkId| {
            let (document, n, chunk) = inner.found(reader, *id)?;
            Some(shown(*id, document, n, chunk))
        };
        Ok(ids.iter().take(PAGE_MAX).filter_map(fetch).collect())
    }
    fn vectors(
        &self,
        reader: &Reader,
        collection: CollectionId,
        generation: u32,
        ids: &[ChunkId],
    ) -> Result<Vec<(ChunkId, Vec<f32>)>, Error> {
        let Some(inner) = self.for_reader(reader) else { return Ok(Vec::new()) };
        let fetch = |id: &ChunkId| {
            inner.found(reader, *id)?;
            Some((*id, half::decode(inner.vectors.get(&(collection, generation, *id))?)?))
        };
        Ok(ids.iter().take(PAGE_MAX).filter_map(fetch).collect())
    }
    fn document(&self, reader: &Reader, id: DocumentId) -> Result<Option<Document>, Error> {
        Ok(self.for_reader(reader).and_then(|inner| inner.readable(reader, id).cloned()))
    }
    fn documents(
        &self,
        reader: &Reader,
        collection: CollectionId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Document>, Error> {
        let Some(inner) = self.for_reader(reader) else { return Ok(Vec::new()) };
        let sources = inner.by_source.iter().filter(|((of, source), _)| {
            *of == collection && after.is_none_or(|after| source.as_str() > after)
        });
        let readable = sources.filter_map(|(_, id)| inner.readable(reader, *id));
        Ok(readable.take(limit.min(PAGE_MAX)).cloned().collect())
    }
    fn document_chunks(
        &self,
        reader: &Reader,
        id: DocumentId,
        from: u32,
        limit: usize,
    ) -> Result<Vec<Chunk>, Error> {
        let Some(inner) = self.for_reader(reader) else { return Ok(Vec::new()) };
        let Some(document) = inner.readable(reader, id) else { return Ok(Vec::new()) };
        let ids = inner.of_document[&id].iter().skip(from as usize).take(limit.min(PAGE_MAX));
        Ok(ids.map(|id| shown(*id, document, inner.chunks[id].1, &inner.chunks[id].2)).collect())
    }
    fn counts(&self, reader: &Reader, collection: CollectionId) -> Result<Counts, Error> {
        let Some(inner) = self.for_reader(reader) else { return Ok(Counts::default()) };
        let mut counts = Counts::default();
        for document in inner.documents.values() {
            if document.collection == collection && reader.may(&document.acl) {
                counts.documents += 1;
                counts.chunks += u64::from(document.chunks);
                counts.quarantined += u64::from(document.trust == Trust::Quarantined);
            }
        }
        Ok(counts)
    }
}

impl IndexRows for MemoryTenant {
    fn index_classes(
        &self,
        collection: CollectionId,
        after: Option<ChunkId>,
        limit: usize,
    ) -> Result<Vec<(ChunkId, AclClass)>, Error> {
        let inner = self.inner();
        let behind = inner
            .of_collection(collection)
            .filter(|(id, d, _)| after.is_none_or(|after| *id > after) && d.trust != Trust::Quarantined);
        Ok(behind.map(|(id, d, _)| (id, d.class)).take(limit.min(PAGE_MAX)).collect())
    }
    fn index_rows(
        &self,
        collection: CollectionId,
        generation: u32,
        after: Option<ChunkId>,
        limit: usize,
    ) -> Result<Vec<IndexRow>, Error> {
        let inner = self.inner();
        let behind = inner
            .of_collection(collection)
            .filter(|(id, d, _)| after.is_none_or(|after| *id > after) && d.trust != Trust::Quarantined);
        let row = |(chunk, document, _): (ChunkId, &Document, &NewChunk)| {
            let vector = half::decode(inner.vectors.get(&(collection, generation, chunk))?)?;
            Some(IndexRow { chunk, class: document.class, vector })
        };
        Ok(behind.filter_map(row).take(limit.min(PAGE_MAX)).collect())
    }
    fn unembedded(
        &self,
        collection: CollectionId,
        generation: u32,
        limit: usize,
    ) -> Result<Vec<Unembedded>, Error> {
        let inner = self.inner();
        inner.generation(collection, generation)?;
        let without = inner.without_vector(collection, generation).take(limit.min(PAGE_MAX));
        let row = |(chunk, document, new): (ChunkId, &Document, &NewChunk)| Unembedded {
            chunk,
            heading: new.heading.clone(),
            text: new.text.clone(),
            labels: document.labels.clone(),
        };
        Ok(without.map(row).collect())
    }
    fn revision(&self, collection: CollectionId) -> Result<u64, Error> {
        self.inner().held(collection).map(|held| held.revision)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn tenants_in_memory_conform() {
        super::super::conformance::run(|| Box::new(super::MemoryTenants::new()));
    }
}
