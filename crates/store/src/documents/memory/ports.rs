//! Collections, documents and the rows of indexes: the ports as they are called.

use super::*;

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
        if inner.collections.len() >= crate::documents::COLLECTIONS_MAX {
            return Err(check::too_many_collections());
        }
        inner.collections.insert(row.id, Held { row, begun: 1, revision: 0, notes: BTreeMap::new() });
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
    fn note(&self, id: CollectionId, name: &str) -> Result<Option<String>, Error> {
        Ok(self.inner().collections.get(&id).and_then(|held| held.notes.get(name).cloned()))
    }
    fn put_note(&self, id: CollectionId, name: &str, note: Option<&str>) -> Result<(), Error> {
        let mut inner = self.inner();
        inner.held(id)?;
        let notes = &mut inner.collections.get_mut(&id).expect("just seen").notes;
        check::note(name, note, notes.len() - usize::from(notes.contains_key(name)))?;
        match note {
            Some(note) => notes.insert(name.to_owned(), note.to_owned()),
            None => notes.remove(name),
        };
        Ok(())
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
    fn grade_of(&self, collection: CollectionId, source: &str) -> Result<Option<Grade>, Error> {
        let inner = self.inner();
        let id = inner.by_source.get(&(collection, source.to_owned()));
        Ok(id.map(|id| {
            let Document { acl, labels, trust, batch, .. } = inner.documents[id].clone();
            Grade { acl, labels, trust, batch }
        }))
    }
    fn brought(
        &self,
        collection: CollectionId,
        batch: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Brought>, Error> {
        let inner = self.inner();
        let behind = inner.by_source.iter().filter(|((of, source), id)| {
            *of == collection
                && after.is_none_or(|after| source.as_str() > after)
                && inner.documents[*id].batch == batch
        });
        let row = |((_, source), id): (&(CollectionId, String), &DocumentId)| Brought {
            source: source.clone(),
            hash: inner.documents[id].hash,
            mark: inner.marks[id].clone(),
        };
        Ok(behind.map(row).take(limit.min(PAGE_MAX)).collect())
    }
    fn mark(&self, collection: CollectionId, marks: Vec<(String, String)>) -> Result<(), Error> {
        marks.iter().try_for_each(|(_, mark)| check::mark(mark))?;
        let mut inner = self.inner();
        for (source, mark) in marks {
            if let Some(id) = inner.by_source.get(&(collection, source)).copied() {
                inner.marks.insert(id, mark);
            }
        }
        Ok(())
    }
    fn entrust(
        &self,
        collection: CollectionId,
        batch: &str,
        trust: Trust,
        limit: usize,
        at: Micros,
    ) -> Result<Vec<Put>, Error> {
        let mut inner = self.inner();
        inner.held(collection)?;
        let other = |d: &&Document| d.collection == collection && d.batch == batch && d.trust != trust;
        let wanted = inner.documents.values().filter(other).map(|d| d.id);
        let wanted: Vec<DocumentId> = wanted.take(limit.min(PAGE_MAX)).collect();
        Ok(wanted.into_iter().map(|id| inner.entrust(id, trust, at)).collect())
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
