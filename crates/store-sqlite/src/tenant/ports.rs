//! The ports, each call in a transaction of its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use store::Error;
use store::documents::{
    Acl, AclClass, Answer, AnswerVector, Answers, Brought, Chunk, ChunkId, Classes, Collection, Collections,
    Conversation, Counts, Document, Documents, Edge, Fact, Forgotten, Grade, Graph, Hit, IndexRow, IndexRows,
    Invalidated, Memory, NewAnswer, NewDocument, NewFact, Put, Reader, Removed, Tenant, TextQuery, Trust,
    Turn, TurnHit, Unembedded, check,
};
use units::{AnswerId, CollectionId, DocumentId, Micros, TeamId, TurnId};

use crate::connect::{Role, connect};

use super::text::File;
use super::{TenantFile, answers, collections, fetch, graph, index, put, remember, search};

impl Tenant for TenantFile {
    fn team(&self) -> TeamId {
        self.team
    }
}

impl Collections for TenantFile {
    fn collections(&self) -> Result<Vec<Collection>, Error> {
        self.read(collections::all)
    }
    fn collection(&self, name: &str) -> Result<Option<Collection>, Error> {
        self.read(|connection| collections::by_name(connection, name))
    }
    fn create_collection(&self, new: Collection) -> Result<(), Error> {
        check::new_collection(&new)?;
        self.write(new.settings.len(), move |connection| collections::create(connection, &new))
    }
    fn update_collection(&self, new: Collection) -> Result<(), Error> {
        self.write(new.settings.len(), move |connection| collections::update(connection, &new))
    }
    fn remove_collection(&self, id: CollectionId) -> Result<Option<Invalidated>, Error> {
        self.free(0, move |connection| collections::remove(connection, id), move |texts, _| texts.forget(id))
    }
    fn begin_generation(&self, id: CollectionId, embedder: &str, dimensions: u32) -> Result<u32, Error> {
        let embedder = embedder.to_owned();
        self.write(0, move |connection| collections::begin_generation(connection, id, &embedder, dimensions))
    }
    fn activate(&self, id: CollectionId, generation: u32) -> Result<(), Error> {
        self.write(0, move |connection| collections::activate(connection, id, generation))
    }
    fn drop_generation(&self, id: CollectionId, generation: u32) -> Result<bool, Error> {
        self.free(0, move |connection| collections::drop_generation(connection, id, generation), |_, _| {})
    }
    fn note(&self, id: CollectionId, name: &str) -> Result<Option<String>, Error> {
        self.read(|connection| collections::note(connection, id, name))
    }
    fn put_note(&self, id: CollectionId, name: &str, note: Option<&str>) -> Result<(), Error> {
        let (name, note) = (name.to_owned(), note.map(str::to_owned));
        let bytes = note.as_ref().map_or(0, String::len);
        self.write(bytes, move |connection| collections::put_note(connection, id, &name, note.as_deref()))
    }
}

/// What a document holds in memory while it waits, about.
fn bytes(document: &NewDocument) -> usize {
    let chunks = document.chunks.iter().map(|c| c.text.len() + c.heading.len() + 4 * c.vector.len() + 100);
    let edges = document.edges.iter().map(|e| e.from.len() + e.relation.len() + e.to.len() + 50);
    1_000 + chunks.sum::<usize>() + edges.sum::<usize>()
}

impl TenantFile {
    /// Full text from memory, if it is there.
    fn search_kept(
        &self,
        reader: &Reader,
        collection: CollectionId,
        query: &TextQuery<'_>,
    ) -> Result<Option<Vec<Hit>>, Error> {
        self.read_for(reader, None, |connection, reading| {
            self.texts.search(connection, reading.classes(), collection, query.terms, query.limit)
        })
    }
}

impl Documents for TenantFile {
    fn put(&self, documents: Vec<NewDocument>) -> Result<Vec<Put>, Error> {
        let bytes = documents.iter().map(bytes).sum();
        let of: Vec<CollectionId> = documents.iter().map(|document| document.collection).collect();
        self.change(
            bytes,
            move |connection| put::put(connection, documents),
            move |texts, puts| of.iter().zip(puts).for_each(|(of, put)| texts.put(Some(*of), put)),
        )
    }
    fn share(&self, reader: &Reader, document: DocumentId, acl: &Acl) -> Result<Option<Put>, Error> {
        if reader.team() != self.team {
            return Ok(None);
        }
        let (reader, acl) = (reader.clone(), acl.clone());
        self.change(
            0,
            move |connection| put::share(connection, &reader, document, &acl),
            |texts, put| put.iter().for_each(|put| texts.put(None, put)),
        )
    }
    fn remove(&self, documents: &[DocumentId]) -> Result<Vec<Removed>, Error> {
        let documents = documents.to_vec();
        self.free(
            16 * documents.len(),
            move |connection| put::remove(connection, &documents),
            |texts, removed| texts.removed(removed),
        )
    }
    fn remove_absent(
        &self,
        collection: CollectionId,
        batch: &str,
        present: &BTreeSet<String>,
    ) -> Result<Vec<Removed>, Error> {
        let (batch, present) = (batch.to_owned(), present.clone());
        let bytes = present.iter().map(|source| source.len() + 50).sum();
        self.free(
            bytes,
            move |connection| put::remove_absent(connection, collection, &batch, &present),
            |texts, removed| texts.removed(removed),
        )
    }
    fn are_current(
        &self,
        collection: CollectionId,
        sources: &[(String, [u8; 32])],
    ) -> Result<Vec<bool>, Error> {
        self.read(|connection| fetch::are_current(connection, collection, sources))
    }
    fn grade_of(&self, collection: CollectionId, source: &str) -> Result<Option<Grade>, Error> {
        self.read(|connection| fetch::grade_of(connection, collection, source))
    }
    fn brought(
        &self,
        collection: CollectionId,
        batch: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Brought>, Error> {
        self.read(|connection| fetch::brought(connection, collection, batch, after, limit))
    }
    fn mark(&self, collection: CollectionId, marks: Vec<(String, String)>) -> Result<(), Error> {
        marks.iter().try_for_each(|(_, mark)| check::mark(mark))?;
        let bytes = marks.iter().map(|(source, mark)| source.len() + mark.len() + 50).sum();
        self.write(bytes, move |connection| put::mark(connection, collection, &marks))
    }
    fn entrust(
        &self,
        collection: CollectionId,
        batch: &str,
        trust: Trust,
        limit: usize,
        at: Micros,
    ) -> Result<Vec<Put>, Error> {
        let batch = batch.to_owned();
        self.change(
            0,
            move |connection| put::entrust(connection, collection, &batch, trust, limit, at),
            |texts, puts| puts.iter().for_each(|put| texts.put(None, put)),
        )
    }
    fn put_vectors(
        &self,
        collection: CollectionId,
        generation: u32,
        vectors: Vec<(ChunkId, Vec<f32>)>,
    ) -> Result<u64, Error> {
        let bytes = vectors.iter().map(|(_, vector)| 50 + 4 * vector.len()).sum();
        self.write(bytes, move |connection| put::put_vectors(connection, collection, generation, &vectors))
    }
    fn classes(&self, reader: &Reader) -> Result<Arc<Classes>, Error> {
        if reader.team() != self.team {
            return Ok(Arc::default());
        }
        Ok(self.classes.mask(reader))
    }
    fn search_text(
        &self,
        reader: &Reader,
        collection: CollectionId,
        query: &TextQuery<'_>,
    ) -> Result<Vec<Hit>, Error> {
        if let Some(hits) = self.search_kept(reader, collection, query)? {
            return Ok(hits);
        }
        if reader.team() == self.team
            && let Some(wanted) = self.read(|connection| self.texts.wanted(connection, collection))?
        {
            let connection = connect(&self.path, &self.key, &Role::Reader)?;
            self.texts.start(&wanted, File { connection, queue: self.queue.clone() })?;
            if self.texts.config.wait {
                self.texts.wait();
                if let Some(hits) = self.search_kept(reader, collection, query)? {
                    return Ok(hits);
                }
            }
        }
        self.read_for(reader, Vec::new(), |connection, reading| {
            search::search(connection, reading.classes(), collection, query.terms, query.limit)
        })
    }
    fn chunks(&self, reader: &Reader, ids: &[ChunkId]) -> Result<Vec<Chunk>, Error> {
        self.read_for(reader, Vec::new(), |connection, reading| fetch::chunks(connection, reading, ids))
    }
    fn vectors(
        &self,
        reader: &Reader,
        collection: CollectionId,
        generation: u32,
        ids: &[ChunkId],
    ) -> Result<Vec<(ChunkId, Vec<f32>)>, Error> {
        self.read_for(reader, Vec::new(), |connection, reading| {
            fetch::vectors(connection, reading, collection, generation, ids)
        })
    }
    fn document(&self, reader: &Reader, id: DocumentId) -> Result<Option<Document>, Error> {
        self.read_for(reader, None, |connection, reading| fetch::document(connection, reading, id))
    }
    fn documents(
        &self,
        reader: &Reader,
        collection: CollectionId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Document>, Error> {
        self.read_for(reader, Vec::new(), |connection, reading| {
            fetch::documents(connection, reading, collection, after, limit)
        })
    }
    fn document_chunks(
        &self,
        reader: &Reader,
        id: DocumentId,
        from: u32,
        limit: usize,
    ) -> Result<Vec<Chunk>, Error> {
        self.read_for(reader, Vec::new(), |connection, reading| {
            fetch::document_chunks(connection, reading, id, from, limit)
        })
    }
    fn counts(&self, reader: &Reader, collection: CollectionId) -> Result<Counts, Error> {
        self.read_for(reader, Counts::default(), |connection, reading| {
            fetch::counts(connection, reading, collection)
        })
    }
}

impl IndexRows for TenantFile {
    fn index_classes(
        &self,
        collection: CollectionId,
        after: Option<ChunkId>,
        limit: usize,
    ) -> Result<Vec<(ChunkId, AclClass)>, Error> {
        self.read(|connection| index::classes(connection, collection, after, limit))
    }
    fn index_rows(
        &self,
        collection: CollectionId,
        generation: u32,
        after: Option<ChunkId>,
        limit: usize,
    ) -> Result<Vec<IndexRow>, Error> {
        self.read(|connection| index::rows(connection, collection, generation, after, limit))
    }
    fn unembedded(
        &self,
        collection: CollectionId,
        generation: u32,
        limit: usize,
    ) -> Result<Vec<Unembedded>, Error> {
        self.read(|connection| index::unembedded(connection, collection, generation, limit))
    }
    fn revision(&self, collection: CollectionId) -> Result<u64, Error> {
        self.read(|connection| index::revision(connection, collection))
    }
}

impl Answers for TenantFile {
    fn keep_answer(&self, answer: NewAnswer) -> Result<bool, Error> {
        check::answer(&answer)?;
        let bytes = answer.body.len() + answer.question.len() + 4 * answer.vector.len();
        self.write(bytes, move |connection| answers::keep(connection, answer))
    }
    fn answer(
        &self,
        reader: &Reader,
        partition: &[u8; 32],
        key: &[u8; 32],
        now: Micros,
    ) -> Result<Option<Answer>, Error> {
        self.read_for(reader, None, |connection, reading| {
            answers::by_key(connection, reading, partition, key, now)
        })
    }
    fn answer_by_id(&self, reader: &Reader, id: AnswerId, now: Micros) -> Result<Option<Answer>, Error> {
        self.read_for(reader, None, |connection, reading| answers::by_id(connection, reading, id, now))
    }
    fn answer_vectors(
        &self,
        reader: &Reader,
        partition: &[u8; 32],
        now: Micros,
        limit: usize,
    ) -> Result<Vec<AnswerVector>, Error> {
        self.read_for(reader, Vec::new(), |connection, reading| {
            answers::vectors(connection, reading, partition, now, limit)
        })
    }
    fn observe_answer(&self, id: AnswerId, similarity: f32, right: bool) -> Result<bool, Error> {
        self.write(64, move |connection| answers::observe(connection, id, similarity, right))
    }
    fn observations(&self, reader: &Reader, id: AnswerId, now: Micros) -> Result<Vec<(f32, bool)>, Error> {
        self.read_for(reader, Vec::new(), |connection, reading| {
            answers::observations(connection, reading, id, now)
        })
    }
    fn revoke_answer(&self, id: AnswerId) -> Result<bool, Error> {
        self.write(0, move |connection| answers::revoke(connection, id))
    }
    fn expire_answers(&self, now: Micros) -> Result<u64, Error> {
        self.free(0, move |connection| answers::expire(connection, now), |_, _| {})
    }
}

impl Memory for TenantFile {
    fn remember(&self, turns: Vec<Turn>) -> Result<(), Error> {
        turns.iter().try_for_each(check::turn)?;
        let bytes = turns.iter().map(|turn| turn.text.len() + 200).sum();
        self.write(bytes, move |connection| remember::remember(connection, &turns))
    }
    fn turns(&self, reader: &Reader, conversation: &str, limit: usize) -> Result<Vec<Turn>, Error> {
        self.read_for(reader, Vec::new(), |connection, _| {
            remember::turns(connection, reader, conversation, limit)
        })
    }
    fn turn(&self, reader: &Reader, id: TurnId) -> Result<Option<Turn>, Error> {
        self.read_for(reader, None, |connection, _| remember::turn(connection, reader, id))
    }
    fn all_turns(&self, reader: &Reader, after: Option<TurnId>, limit: usize) -> Result<Vec<Turn>, Error> {
        self.read_for(reader, Vec::new(), |connection, _| {
            remember::all_turns(connection, reader, after, limit)
        })
    }
    fn conversations(&self, reader: &Reader, limit: usize) -> Result<Vec<Conversation>, Error> {
        self.read_for(reader, Vec::new(), |connection, _| remember::conversations(connection, reader, limit))
    }
    fn search_turns(
        &self,
        reader: &Reader,
        conversation: Option<&str>,
        terms: &[String],
        limit: usize,
    ) -> Result<Vec<TurnHit>, Error> {
        self.read_for(reader, Vec::new(), |connection, _| {
            remember::search(connection, reader, conversation, terms, limit)
        })
    }
    fn record_fact(&self, fact: NewFact) -> Result<(), Error> {
        check::fact(&fact)?;
        self.write(2_000, move |connection| remember::record(connection, &fact))
    }
    fn facts(&self, reader: &Reader, valid: Micros, known: Micros, limit: usize) -> Result<Vec<Fact>, Error> {
        self.read_for(reader, Vec::new(), |connection, reading| {
            remember::facts(connection, reading, reader, Some((valid, known)), limit)
        })
    }
    fn all_facts(&self, reader: &Reader, limit: usize) -> Result<Vec<Fact>, Error> {
        self.read_for(reader, Vec::new(), |connection, reading| {
            remember::facts(connection, reading, reader, None, limit)
        })
    }
    fn forget(&self, reader: &Reader, conversation: Option<&str>) -> Result<Forgotten, Error> {
        if reader.team() != self.team() {
            return Ok(Forgotten::default());
        }
        let (reader, conversation) = (reader.clone(), conversation.map(str::to_owned));
        self.free(
            0,
            move |connection| remember::forget(connection, &reader, conversation.as_deref()),
            |_, _| {},
        )
    }
}

impl Graph for TenantFile {
    fn relate(&self, edges: Vec<Edge>) -> Result<u64, Error> {
        edges.iter().try_for_each(check::edge)?;
        self.write(200 * edges.len(), move |connection| graph::relate(connection, &edges))
    }
    fn edges(
        &self,
        reader: &Reader,
        collection: CollectionId,
        entities: &[String],
        per_entity: usize,
    ) -> Result<Vec<Edge>, Error> {
        self.read_for(reader, Vec::new(), |connection, reading| {
            graph::edges(connection, reading, collection, entities, per_entity)
        })
    }
    fn edges_of_chunks(
        &self,
        reader: &Reader,
        chunks: &[ChunkId],
        per_chunk: usize,
    ) -> Result<Vec<Edge>, Error> {
        self.read_for(reader, Vec::new(), |connection, reading| {
            graph::edges_of_chunks(connection, reading, chunks, per_chunk)
        })
    }
}
