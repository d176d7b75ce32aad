//! The handle: which collections there are, and their indexes in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::documents::{
    Acl, Chunk, Collection, Counts, Document, Generation, Invalidated, Lexing, Reader, Removed, Tenant,
    Tenants, Trust,
};
use units::{CollectionId, DocumentId, Labels, Micros, TeamId};
use vectors::Snapshots;

use crate::index::Slot;
use crate::memory::Learning;
use crate::search::Evidence;
use crate::settings::{Fitted, Ranking, Settings};
use crate::{Error, embed};

/// The embedder that is built in: no model, no download. It knows words that are
/// written alike, and nothing of their meaning.
pub const EMBEDDER: &str = context::embed::LEXICAL_HASH;

/// Every collection of every team. Clones of its `Arc` share the indexes.
pub struct Collections {
    tenants: Arc<dyn Tenants>,
    snapshots: Option<Arc<Snapshots>>,
    indexes: Mutex<HashMap<(TeamId, CollectionId), Arc<Slot>>>,
    pub(crate) learning: Learning,
    /// Who reads PDF and office files; `None`: nobody.
    pub(crate) reader: Option<formats::Reader>,
}

/// Documents looked at together when one is found by its source.
const PAGE: usize = 1_000;
/// Bytes that all indexes keep together; the one that was asked longest ago goes.
const INDEX_BYTES_MAX: usize = 1 << 30;

/// A collection as somebody wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// Unique in its team.
    pub name: String,
    /// A BCP 47 tag, or `und`.
    pub language: String,
    /// `None`: by the language.
    pub lexing: Option<Lexing>,
    /// Who reads a document that names nobody.
    pub acl: Acl,
    /// What every document has at least.
    pub labels: Labels,
    /// The model that makes its vectors; `None`: the built-in embedder.
    pub embedder: Option<String>,
    /// Whether documents that are put are read for what they relate.
    pub graph: bool,
    pub ranking: Ranking,
}

/// A collection, and what a reader may read of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    pub collection: Collection,
    /// Who reads a document that names nobody.
    pub acl: Acl,
    /// Whether it keeps a graph.
    pub graph: bool,
    pub ranking: Ranking,
    /// The gate that was fitted to it, if it is of the vectors that are searched.
    pub gate: Option<Fitted>,
    pub counts: Counts,
    /// The embedder that it is to have, where its vectors are another's still.
    pub wanted: Option<String>,
}

impl Collections {
    pub fn new(tenants: Arc<dyn Tenants>) -> Collections {
        Collections {
            tenants,
            snapshots: None,
            indexes: Mutex::default(),
            learning: Learning::default(),
            reader: None,
        }
    }

    /// Keeps indexes over a restart: see [`Collections::close`].
    pub fn with_snapshots(self, snapshots: Snapshots) -> Collections {
        Collections { snapshots: Some(Arc::new(snapshots)), ..self }
    }

    /// Writes what snapshots do not have yet. Without this, as after a crash, the next start
    /// makes up for what changed since.
    pub fn close(&self) {
        let slots: Vec<_> = self.indexes().drain().collect();
        slots.iter().for_each(|((team, _), slot)| slot.save(*team));
    }

    /// The same with PDF and office files, which `reader` reads in a process of their own.
    pub fn reading(self, reader: formats::Reader) -> Collections {
        Collections { reader: Some(reader), ..self }
    }

    pub(crate) fn tenant(&self, team: TeamId) -> Result<Arc<dyn Tenant>, Error> {
        Ok(self.tenants.tenant(team)?)
    }

    /// Those of the reader's team, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self, reader: &Reader) -> Result<Vec<Shown>, Error> {
        let tenant = self.tenant(reader.team())?;
        tenant.collections()?.into_iter().map(|c| shown(&*tenant, reader, c)).collect()
    }

    /// One of the reader's team, by name or id. Neither is a secret (TRAPS X8): what
    /// is read of it is decided by the reader.
    ///
    /// # Errors
    /// [`Error::NoCollection`].
    pub fn find(&self, reader: &Reader, name: &str) -> Result<Collection, Error> {
        let tenant = self.tenant(reader.team())?;
        let found = match tenant.collection(name)? {
            Some(collection) => Some(collection),
            None => match name.parse::<CollectionId>() {
                Ok(id) => tenant.collections()?.into_iter().find(|c| c.id == id),
                Err(_) => None,
            },
        };
        found.ok_or_else(|| Error::NoCollection(name.chars().take(100).collect()))
    }

    /// One of a team's, for what the server does with it by itself. Nothing of it is shown.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn of_team(&self, team: TeamId, name: &str) -> Result<Option<Collection>, Error> {
        Ok(self.tenant(team)?.collection(name)?)
    }

    /// Who reads a document of it that names nobody.
    ///
    /// # Errors
    /// When what it keeps of itself cannot be read.
    pub fn acl(&self, collection: &Collection) -> Result<Acl, Error> {
        Ok(Settings::read(&collection.settings)?.acl)
    }

    /// The same with what the reader may read of it.
    ///
    /// # Errors
    /// As [`Collections::find`].
    pub fn show(&self, reader: &Reader, name: &str) -> Result<Shown, Error> {
        let found = self.find(reader, name)?;
        shown(&*self.tenant(reader.team())?, reader, found)
    }

    /// Makes one.
    ///
    /// # Errors
    /// [`Error::Taken`].
    pub fn create(&self, team: TeamId, wish: &Wish, now: Micros) -> Result<(), Error> {
        let tenant = self.tenant(team)?;
        match tenant.create_collection(made(wish, now)) {
            Err(store::Error::Exists { .. }) => Err(Error::Taken(wish.name.clone())),
            done => Ok(done?),
        }
    }

    /// Makes one, or changes the one that there is into it. With another embedder it is
    /// searched as before until it is indexed again ([`Collections::reindex`]).
    ///
    /// # Errors
    /// [`store::Error::Invalid`] when what cannot change would: how text becomes terms.
    pub fn declare(&self, team: TeamId, wish: &Wish, now: Micros) -> Result<(), Error> {
        let tenant = self.tenant(team)?;
        let new = made(wish, now);
        let Some(old) = tenant.collection(&wish.name)? else {
            return Ok(tenant.create_collection(new)?);
        };
        if old.lexing != new.lexing {
            return Err(store::Error::Invalid(format!(
                "the collection \"{}\" has its documents in another lexing; make another collection, and ingest into it",
                wish.name
            ))
            .into());
        }
        // What was learned of it is not declared, and stays.
        let gate = Settings::read(&old.settings)?.gate;
        let settings = Settings { gate, ..Settings::read(&new.settings)? }.to_text();
        let changed = Collection { language: new.language, labels: new.labels, settings, ..old.clone() };
        if changed != old {
            tenant.update_collection(changed)?;
        }
        Ok(())
    }

    /// Removes one with all that is in it; `None` when there was none.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn remove(&self, team: TeamId, id: CollectionId) -> Result<Option<Invalidated>, Error> {
        let gone = self.tenant(team)?.remove_collection(id)?;
        self.indexes().remove(&(team, id));
        if let Some(snapshots) = &self.snapshots {
            snapshots.remove(team, id, None);
        }
        Ok(gone)
    }

    /// Forgets all of a team whose keys were destroyed: its indexes, and its file.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn erase(&self, team: TeamId) -> Result<(), Error> {
        self.indexes().retain(|(owner, _), _| *owner != team);
        self.tenants.remove_tenant(team)?;
        Ok(())
    }

    /// Removes one in which nothing is.
    ///
    /// # Errors
    /// [`Error::NotEmpty`], and nothing is removed.
    pub fn remove_empty(&self, team: TeamId, name: &str) -> Result<(), Error> {
        let tenant = self.tenant(team)?;
        let Some(collection) = tenant.collection(name)? else { return Ok(()) };
        if !tenant.index_classes(collection.id, None, 1)?.is_empty() {
            return Err(Error::NotEmpty { name: name.into() });
        }
        self.remove(team, collection.id).map(drop)
    }

    /// Documents that the reader may read and that are not quarantined, in the order of their
    /// sources.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn documents(
        &self,
        reader: &Reader,
        collection: &Collection,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Document>, Error> {
        self.of_trust(reader, collection, after, limit, |trust| trust != Trust::Quarantined)
    }

    /// A document of a collection by its id or its source; `None` when the reader may
    /// not know of one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn document(
        &self,
        reader: &Reader,
        collection: &Collection,
        name: &str,
    ) -> Result<Option<Document>, Error> {
        let tenant = self.tenant(reader.team())?;
        if let Ok(id) = name.parse::<DocumentId>()
            && let Some(found) = tenant.document(reader, id)?.filter(|d| d.collection == collection.id)
        {
            return Ok(Some(found));
        }
        // Sources are in the order of their bytes, so what begins like the name stands around it.
        let mut after = name[..name.floor_char_boundary(name.len().saturating_sub(1))].to_owned();
        loop {
            let page = tenant.documents(reader, collection.id, Some(&after), PAGE)?;
            if let Some(found) = page.iter().find(|d| d.source == name) {
                return Ok(Some(found.clone()));
            }
            match page.last() {
                Some(last) if page.len() == PAGE && *last.source < *name => after.clone_from(&last.source),
                _ => return Ok(None),
            }
        }
    }

    /// The parts of a document in their order, from one on (0 is the first); empty when the reader
    /// may not, and while it is quarantined.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn text(
        &self,
        reader: &Reader,
        id: DocumentId,
        from: u32,
        limit: usize,
    ) -> Result<Vec<Chunk>, Error> {
        let tenant = self.tenant(reader.team())?;
        match tenant.document(reader, id)? {
            Some(document) if document.trust != Trust::Quarantined => {
                let chunks = tenant.document_chunks(reader, id, from, limit)?;
                // It may have been taken out of service between the two.
                Ok(chunks.into_iter().filter(|chunk| chunk.trust != Trust::Quarantined).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Removes a document, and in the same transaction what was made from it.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn remove_document(
        &self,
        team: TeamId,
        collection: &Collection,
        id: DocumentId,
    ) -> Result<Option<Removed>, Error> {
        let tenant = self.tenant(team)?;
        let slot = self.slot(team, collection.id);
        let removed = slot.remove(&*tenant, collection, || Ok(tenant.remove(&[id])?))?;
        Ok(removed.into_iter().next())
    }

    /// Which of these passages a reader may read: for whoever searched as another.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn readable(&self, reader: &Reader, evidence: &[Evidence]) -> Result<Vec<bool>, Error> {
        let ids: Vec<_> = evidence.iter().map(|e| e.chunk.id).collect();
        let chunks = self.tenant(reader.team())?.chunks(reader, &ids)?;
        Ok(ids.iter().map(|id| chunks.iter().any(|c| c.id == *id)).collect())
    }

    pub(crate) fn slot(&self, team: TeamId, id: CollectionId) -> Arc<Slot> {
        let mut indexes = self.indexes();
        let slot = indexes.entry((team, id)).or_insert_with(|| Arc::new(Slot::new(self.snapshots.clone())));
        let slot = Arc::clone(slot);
        slot.touch();
        let mut total: usize = indexes.values().map(|s| s.bytes()).sum();
        let mut closing = Vec::new();
        while total > INDEX_BYTES_MAX && indexes.len() > 1 {
            let oldest = indexes.iter().filter(|(key, _)| **key != (team, id)).min_by_key(|(_, s)| s.used());
            let Some((key, bytes)) = oldest.map(|(key, slot)| (*key, slot.bytes())) else { break };
            closing.extend(indexes.remove(&key).map(|slot| (key.0, slot)));
            total -= bytes;
        }
        drop(indexes);
        closing.iter().for_each(|(team, slot)| slot.save(*team));
        slot
    }

    fn indexes(&self) -> MutexGuard<'_, HashMap<(TeamId, CollectionId), Arc<Slot>>> {
        // Whatever happened to whoever held it: an index that is not of the store's
        // revision is made again.
        self.indexes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shown(tenant: &dyn Tenant, reader: &Reader, collection: Collection) -> Result<Shown, Error> {
    let counts = tenant.counts(reader, collection.id)?;
    let settings = Settings::read(&collection.settings)?;
    let wanted = (settings.embedder.as_deref() != embed::model_of(&collection.live))
        .then(|| settings.embedder.unwrap_or_else(|| EMBEDDER.into()));
    let gate = settings.gate.filter(|fitted| fitted.generation == collection.live.number);
    let (acl, graph, ranking) = (settings.acl, settings.graph, settings.ranking);
    Ok(Shown { acl, graph, ranking, gate, counts, wanted, collection })
}

fn made(wish: &Wish, now: Micros) -> Collection {
    let lexing = wish.lexing.unwrap_or_else(|| by_language(&wish.language));
    Collection {
        id: CollectionId(runtime::new_id()),
        name: wish.name.clone(),
        lexing,
        language: wish.language.clone(),
        labels: wish.labels.clone(),
        // A model says how long its vectors are when it makes the first: until then there are none.
        live: Generation {
            number: 1,
            embedder: EMBEDDER.into(),
            dimensions: context::embed::DIMENSIONS as u32,
        },
        beside: Vec::new(),
        settings: Settings {
            acl: wish.acl.clone(),
            embedder: wish.embedder.clone(),
            graph: wish.graph,
            ranking: wish.ranking.clone(),
            gate: None,
        }
        .to_text(),
        created: now,
    }
}

/// Where nobody says the language: words as they are, which suits most.
fn by_language(language: &str) -> Lexing {
    if language == "und" {
        return Lexing::Words;
    }
    match context::text::lexing(language, "") {
        context::text::Lexing::Stemmed => Lexing::Stemmed,
        context::text::Lexing::Words => Lexing::Words,
        context::text::Lexing::Trigrams => Lexing::Trigrams,
    }
}
