//! What a collection keeps of the sources that it reads itself: whether they are trusted,
//! and how the last reading went.
//!
//! A source that is quarantined brings in documents that are kept and found by nobody, until
//! somebody releases it. A release is of what was declared when it was given: a source that
//! reads from elsewhere since then waits again.

use serde_json::{Value, json};
use store::documents::{Acl, Chunk, Collection, Document, Reader, Trust};
use units::{DocumentId, Labels, Micros, TeamId};

use crate::sync::Synced;
use crate::{Collections, Error};

/// What the batches of sources begin with, and no other.
pub(crate) const BATCH: &str = "source:";
/// Documents that are trusted otherwise in one transaction.
const PART: usize = 500;
/// Documents that are looked at together.
const PAGE: usize = 1_000;

/// A source as it is declared, and how what it brings in is graded.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// Unique in its collection.
    pub name: String,
    /// Of where it reads: a release is of this very one.
    pub digest: [u8; 32],
    /// `None`: as the collection says.
    pub acl: Option<Acl>,
    /// Joined to the collection's.
    pub labels: Labels,
    /// Nothing of it is found until it is released.
    pub quarantine: bool,
    /// What it has no more stays.
    pub keep: bool,
}

/// Whether what a source brings in is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was never held back.
    Trusted,
    /// Somebody has to release it.
    Waiting,
    Released(Released),
}

/// Who released a source, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    pub by: String,
    pub at: Micros,
    digest: String,
}

impl Origin {
    /// What it brings in is known by.
    pub fn batch(&self) -> String {
        format!("{BATCH}{}", self.name)
    }
}

pub(crate) fn is_of_source(batch: &str) -> bool {
    batch.starts_with(BATCH)
}

fn release_note(name: &str) -> String {
    format!("release/{name}")
}

pub(crate) fn sync_note(name: &str) -> String {
    format!("sync/{name}")
}

impl Collections {
    /// Whether what the source brings in is found, and how its last reading went.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn source(
        &self,
        team: TeamId,
        collection: &Collection,
        origin: &Origin,
    ) -> Result<(Standing, Option<Synced>), Error> {
        let last = self.tenant(team)?.note(collection.id, &sync_note(&origin.name))?;
        let standing = self.standing(team, collection, origin)?;
        Ok((standing, last.as_deref().and_then(Synced::read)))
    }

    fn standing(&self, team: TeamId, collection: &Collection, origin: &Origin) -> Result<Standing, Error> {
        if !origin.quarantine {
            return Ok(Standing::Trusted);
        }
        let note = self.tenant(team)?.note(collection.id, &release_note(&origin.name))?;
        Ok(match note.as_deref().and_then(released) {
            Some(released) if released.digest == hex(&origin.digest) => Standing::Released(released),
            _ => Standing::Waiting,
        })
    }

    /// How far what the source brings in is trusted now.
    pub(crate) fn trust(
        &self,
        team: TeamId,
        collection: &Collection,
        origin: &Origin,
    ) -> Result<Trust, Error> {
        Ok(match self.standing(team, collection, origin)? {
            Standing::Waiting => Trust::Quarantined,
            // Somebody with the right to declare it did: an authenticated source. Nobody signed it.
            Standing::Trusted | Standing::Released(_) => Trust::Known,
        })
    }

    /// Lets what a source brought in be found, and what it will. Again is the same, and
    /// makes up for what a crash cut off. How many documents it was.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn release(
        &self,
        team: TeamId,
        collection: &Collection,
        origin: &Origin,
        by: &str,
        now: Micros,
    ) -> Result<u64, Error> {
        let tenant = self.tenant(team)?;
        let note = json!({"by": by, "at": now.0, "digest": hex(&origin.digest)}).to_string();
        // First: whoever puts something from now on sees it.
        tenant.put_note(collection.id, &release_note(&origin.name), Some(&note))?;
        self.entrust(team, collection, origin, Trust::Known, now)
    }

    /// Takes a release back.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn hold(
        &self,
        team: TeamId,
        collection: &Collection,
        origin: &Origin,
        now: Micros,
    ) -> Result<u64, Error> {
        self.tenant(team)?.put_note(collection.id, &release_note(&origin.name), None)?;
        match self.trust(team, collection, origin)? {
            Trust::Quarantined => self.entrust(team, collection, origin, Trust::Quarantined, now),
            _ => Ok(0),
        }
    }

    /// Trusts all that a source brought in so.
    pub(crate) fn entrust(
        &self,
        team: TeamId,
        collection: &Collection,
        origin: &Origin,
        trust: Trust,
        now: Micros,
    ) -> Result<u64, Error> {
        let tenant = self.tenant(team)?;
        let slot = self.slot(team, collection.id);
        let batch = origin.batch();
        let mut count = 0;
        loop {
            let entrust = || Ok(tenant.entrust(collection.id, &batch, trust, PART, now)?);
            let puts = slot.entrust(&*tenant, collection, entrust)?;
            count += puts.len() as u64;
            if puts.len() < PART {
                return Ok(count);
            }
        }
    }

    /// Documents that the reader may read and that wait for a release, in the order of their
    /// sources. For whoever reviews them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn quarantined(
        &self,
        reader: &Reader,
        collection: &Collection,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Document>, Error> {
        self.of_trust(reader, collection, after, limit, |trust| trust == Trust::Quarantined)
    }

    /// Documents whose trust is as `wanted` says, page by page until there are enough.
    pub(crate) fn of_trust(
        &self,
        reader: &Reader,
        collection: &Collection,
        after: Option<&str>,
        limit: usize,
        wanted: impl Fn(Trust) -> bool,
    ) -> Result<Vec<Document>, Error> {
        let tenant = self.tenant(reader.team())?;
        let mut after = after.map(str::to_owned);
        let mut found = Vec::new();
        loop {
            let page = tenant.documents(reader, collection.id, after.as_deref(), PAGE)?;
            let last = page.last().map(|d| d.source.clone());
            let whole = page.len() < PAGE;
            found.extend(page.into_iter().filter(|d| wanted(d.trust)));
            if whole || found.len() >= limit {
                found.truncate(limit);
                return Ok(found);
            }
            after = last;
        }
    }

    /// The text of a document that waits, from a part on. For whoever reviews it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn quarantined_text(
        &self,
        reader: &Reader,
        id: DocumentId,
        from: u32,
        limit: usize,
    ) -> Result<Vec<Chunk>, Error> {
        Ok(self.tenant(reader.team())?.document_chunks(reader, id, from, limit)?)
    }
}

/// What cannot be read releases nothing.
fn released(note: &str) -> Option<Released> {
    let value: Value = serde_json::from_str(note).ok()?;
    Some(Released {
        by: value["by"].as_str()?.to_owned(),
        at: Micros(value["at"].as_i64()?),
        digest: value["digest"].as_str()?.to_owned(),
    })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
