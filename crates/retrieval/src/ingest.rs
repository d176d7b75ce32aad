//! From a document's bytes to what is searched, in one transaction of the store.

use context::chunk::{self, Size, embedded_text};
use context::embed::lexical_hash;
use context::parse::{Declared, Limits, Parsed, Why, format, parse};
use ring::digest;
use store::documents::{Acl, Change, Collection, Grade, NewChunk, NewDocument, Put, Reader, Span, Trust};
use units::{DocumentId, Labels, Micros, TeamId};

use crate::embed::{self, Embed};
use crate::graph::{new_edges, relate_kept};
use crate::settings::Settings;
use crate::sources::{BATCH, is_of_source};
use crate::{Collections, Error};

/// How often a document is embedded again because the collection's embedder, or the
/// document, was changed while it was embedded.
const TRIES: usize = 4;

/// Of one document as it comes.
pub const DOCUMENT_BYTES_MAX: usize = 32 << 20;

/// A document as somebody hands it in.
#[derive(Clone, Debug)]
pub struct Content<'a> {
    /// What it is known by in its collection: a path, an address.
    pub source: &'a str,
    /// `None`: its own, or its source.
    pub title: Option<&'a str>,
    /// What it is said to be; empty: nothing is said.
    pub media_type: &'a str,
    pub bytes: &'a [u8],
    /// `None`: what its source has already, else what the collection says. Never a wider one by omission.
    pub acl: Option<Acl>,
    /// Joined to the collection's, and to what its source has already: labels do not fall.
    pub labels: Labels,
    pub batch: &'a str,
    pub modified: Option<Micros>,
}

/// On whose word a document is put.
#[derive(Clone, Copy)]
pub(crate) enum Writer<'w> {
    /// Somebody's, who replaces nothing that they may not read, and nothing of a source's.
    Reader(&'w Reader),
    /// A source's of the collection, which replaces nothing but its own. How far it is trusted
    /// is asked while nobody else puts anything.
    Source { team: TeamId, trust: &'w dyn Fn() -> Result<Trust, Error> },
}

impl Writer<'_> {
    fn team(&self) -> TeamId {
        match self {
            Writer::Reader(reader) => reader.team(),
            Writer::Source { team, .. } => *team,
        }
    }
    /// Whether it may put this in place of what is graded so.
    fn may(&self, new: &NewDocument, old: &Grade) -> Result<(), Error> {
        match self {
            Writer::Reader(_) if is_of_source(&old.batch) => Err(Error::OfSource(new.source.clone())),
            Writer::Reader(reader) if reader.may(&old.acl) => Ok(()),
            Writer::Source { .. } if old.batch == new.batch => Ok(()),
            _ => Err(Error::NotYours(new.source.clone())),
        }
    }
}

/// What putting it did.
#[derive(Clone, Debug)]
pub struct Stored {
    pub put: Put,
    /// What was left out of the index, and why.
    pub notes: Vec<String>,
}

impl Collections {
    /// Puts a document: new, or in the place of what its source had before. The same
    /// content again is [`Change::Unchanged`]; what was made from another content (answers
    /// in the cache) goes in the same transaction.
    ///
    /// # Errors
    /// [`Error::Document`] for what cannot be read; [`Error::NotYours`] when the source is
    /// one that the writer may not read; [`store::Error::Invalid`] beyond a bound; what a
    /// collection's own model is refused by or refuses.
    pub fn put(
        &self,
        writer: &Reader,
        collection: &Collection,
        content: &Content<'_>,
        embed: &dyn Embed,
        now: Micros,
    ) -> Result<Stored, Error> {
        if is_of_source(content.batch) {
            let why = format!("batches that begin with \"{BATCH}\" are those of the collection's sources");
            return Err(store::Error::Invalid(why).into());
        }
        self.put_as(Writer::Reader(writer), collection, content, "", embed, now)
    }

    /// `mark`: what the source says of this content.
    pub(crate) fn put_as(
        &self,
        writer: Writer<'_>,
        collection: &Collection,
        content: &Content<'_>,
        mark: &str,
        embed: &dyn Embed,
        now: Micros,
    ) -> Result<Stored, Error> {
        let parsed = self.read(content)?;
        let pieces = pieces(&parsed);
        let tenant = self.tenant(writer.team())?;
        let mut collection = collection.clone();
        for _ in 0..TRIES {
            let kept = Settings::read(&collection.settings)?;
            let title = content.title.map(str::to_owned).or_else(|| parsed.title.clone());
            let title = title.unwrap_or_else(|| content.source.to_owned());
            let edges = match kept.graph {
                true => new_edges(&parsed, content.source, &title, &collection.language),
                false => Vec::new(),
            };
            let new = NewDocument {
                id: DocumentId(runtime::new_id()),
                collection: collection.id,
                source: content.source.to_owned(),
                hash: sha256(content.bytes),
                title,
                format: parsed.format.media_type().to_owned(),
                acl: match &content.acl {
                    Some(acl) => acl.clone(),
                    None => kept.acl,
                },
                labels: collection.labels.join(&content.labels),
                // Somebody with the right to write put it: an authenticated source. Nobody signed it.
                trust: Trust::Known,
                batch: content.batch.to_owned(),
                modified: content.modified,
                mark: mark.to_owned(),
                at: now,
                generation: 0,
                chunks: Vec::new(),
                edges,
            };
            let whole = content.acl.is_none();
            let tried = self.put_once(writer, &collection, new, whole, &pieces, embed);
            match tried.map(|put| Stored { notes: notes(&put, &parsed), put }) {
                Err(Error::Store(store::Error::Stale { .. }) | Error::Contended) => {}
                done => return done,
            }
            let again = tenant.collection(&collection.name)?;
            collection = again.ok_or_else(|| Error::NoCollection(collection.name.clone()))?;
        }
        Err(Error::Contended)
    }

    /// # Errors
    /// [`store::Error::Stale`], [`Error::Contended`]: what was embedded is not what is to be put
    /// now; begin again.
    fn put_once(
        &self,
        writer: Writer<'_>,
        collection: &Collection,
        mut new: NewDocument,
        keeps_acl: bool,
        pieces: &[Piece],
        embed: &dyn Embed,
    ) -> Result<Put, Error> {
        let tenant = self.tenant(writer.team())?;
        let tenant = &*tenant;
        let (source, hash, edges) = (new.source.clone(), new.hash, new.edges.clone());
        let is_current = || -> Result<bool, Error> {
            let same = tenant.are_current(collection.id, &[(source.clone(), hash)])?;
            Ok(same.first() == Some(&true))
        };
        let (generation, vectors, known) = match self.embedder_of(tenant, collection)? {
            None => {
                let vectors = pieces.iter().map(|piece| lexical_hash(&piece.embedded)).collect();
                (collection.live.clone(), vectors, false)
            }
            // The same content keeps its vectors: nobody pays for them again.
            Some(_) if is_current()? => {
                let none = vec![0.0; collection.live.dimensions as usize];
                (collection.live.clone(), vec![none; pieces.len()], true)
            }
            Some(model) => {
                // What may be told to the embedder is decided by what the source has already, too.
                let before = tenant.grade_of(collection.id, &source)?;
                let before = before.map(|grade| grade.labels);
                let labels = before.map_or(new.labels.clone(), |before| new.labels.join(&before));
                let texts: Vec<String> =
                    pieces.iter().map(|p| embed::read_with(&p.chunk.heading, &p.chunk.text)).collect();
                let made = embed::by(embed, &model, &labels, &texts)?;
                let generation = self.first_generation(tenant, collection, &model, made.as_ref())?;
                if let Some(made) = &made {
                    embed::is_of(&generation, &model, made)?;
                }
                (generation, made.map(|made| made.vectors).unwrap_or_default(), false)
            }
        };
        new.generation = generation.number;
        new.chunks = pieces
            .iter()
            .zip(&vectors)
            .map(|(piece, vector)| NewChunk { vector: vector.clone(), ..piece.chunk.clone() })
            .collect();
        let slot = self.slot(writer.team(), collection.id);
        let collection = Collection { live: generation, ..collection.clone() };
        // Asked while nobody else puts anything, so that what is asked still holds.
        let one = || {
            if known && !is_current()? {
                return Err(Error::Contended);
            }
            if let Writer::Source { trust, .. } = writer {
                new.trust = trust()?;
            }
            if let Some(grade) = tenant.grade_of(collection.id, &source)? {
                writer.may(&new, &grade)?;
                if keeps_acl {
                    new.acl = grade.acl;
                }
                new.labels = new.labels.join(&grade.labels);
                // Who releases is asked for that, and nobody does it by putting again.
                new.trust = if grade.trust == Trust::Quarantined { grade.trust } else { new.trust };
            }
            let put = tenant.put(vec![new])?.into_iter().next();
            put.ok_or_else(|| store::Error::Io("the store put nothing".into()).into())
        };
        let put = slot.put(tenant, &collection, one, vectors)?;
        relate_kept(tenant, &put.kept, edges)?;
        Ok(put)
    }

    fn read(&self, content: &Content<'_>) -> Result<Parsed, Error> {
        let said = (!content.media_type.is_empty()).then_some(content.media_type);
        let declared = Declared { media_type: said, name: Some(content.source) };
        let limits = Limits { bytes: DOCUMENT_BYTES_MAX, ..Limits::default() };
        let read = format(declared, content.bytes).and_then(|format| {
            match (parse(content.bytes, format, &limits), &self.reader) {
                (Err(context::parse::Error::Unsupported(_)), Some(reader)) => {
                    reader.read(content.bytes, format, &limits)
                }
                (read, _) => read,
            }
        });
        read.map_err(|why| Error::Document { source_name: content.source.to_owned(), why })
    }
}

/// A part of a document before it has a vector.
struct Piece {
    /// Its vector is empty.
    chunk: NewChunk,
    /// What the built-in embedder reads of it.
    embedded: String,
}

fn pieces(parsed: &Parsed) -> Vec<Piece> {
    let pieces = chunk::chunks(parsed, &Size::default());
    let piece = |piece: &chunk::Chunk| Piece {
        chunk: NewChunk {
            text: parsed.text[piece.span.clone()].to_owned(),
            heading: parsed.heading_path(piece.heading).join("\n"),
            span: Span { start: piece.span.start as u64, end: piece.span.end as u64 },
            vector: Vec::new(),
        },
        embedded: embedded_text(parsed, piece),
    };
    pieces.iter().map(piece).collect()
}

/// SHA-256, by which contents are the same.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// What is in the document and not in the index, a line for each kind. The hidden words
/// themselves are not repeated: a note ends up on screens and in logs.
fn notes(put: &Put, parsed: &Parsed) -> Vec<String> {
    if put.change == Change::Unchanged {
        return Vec::new();
    }
    let mut counts: std::collections::BTreeMap<Why, usize> = std::collections::BTreeMap::new();
    parsed.hidden.iter().for_each(|hidden| *counts.entry(hidden.why).or_default() += 1);
    let line = |(why, count): (Why, usize)| {
        let what = match why {
            Why::Invisible => "characters without width",
            Why::Bidi => "characters that turn the direction of writing",
            Why::Tags => "text in a hidden alphabet",
            Why::Control => "control characters",
            Why::Comment => "comments",
            Why::Display => "text that is not displayed",
            Why::Size => "text of no size",
            Why::Colour => "text in the colour of its background",
            Why::Metadata => "metadata",
            Why::Alternative => "another version of the text",
        };
        format!("{what} ({count}): not searched")
    };
    counts.into_iter().map(line).collect()
}
