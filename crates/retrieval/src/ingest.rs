//! From a document's bytes to what is searched, in one transaction of the store.

use context::chunk::{Size, chunks, embedded_text};
use context::embed::lexical_hash;
use context::parse::{Declared, Limits, Parsed, Why, format, parse};
use ring::digest;
use store::documents::{Acl, Change, Collection, NewChunk, NewDocument, Put, Reader, Span, Trust};
use units::{DocumentId, Labels, Micros};

use crate::open::settings;
use crate::{Collections, Error};

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
    /// one that the writer may not read; [`store::Error::Invalid`] beyond a bound.
    pub fn put(
        &self,
        writer: &Reader,
        collection: &Collection,
        content: &Content<'_>,
        now: Micros,
    ) -> Result<Stored, Error> {
        let parsed = read(content)?;
        let pieces = chunks(&parsed, &Size::default());
        let made: Vec<NewChunk> = pieces
            .iter()
            .map(|piece| NewChunk {
                text: parsed.text[piece.span.clone()].to_owned(),
                heading: parsed.heading_path(piece.heading).join("\n"),
                span: Span { start: piece.span.start as u64, end: piece.span.end as u64 },
                vector: lexical_hash(&embedded_text(&parsed, piece)),
            })
            .collect();
        let vectors: Vec<Vec<f32>> = made.iter().map(|chunk| chunk.vector.clone()).collect();
        let title = content.title.map(str::to_owned).or_else(|| parsed.title.clone());
        let mut new = NewDocument {
            id: DocumentId(runtime::new_id()),
            collection: collection.id,
            source: content.source.to_owned(),
            hash: sha256(content.bytes),
            title: title.unwrap_or_else(|| content.source.to_owned()),
            format: parsed.format.media_type().to_owned(),
            acl: match &content.acl {
                Some(acl) => acl.clone(),
                None => settings(&collection.settings)?,
            },
            labels: collection.labels.join(&content.labels),
            // Somebody with the right to write put it: an authenticated source. Nobody signed it.
            trust: Trust::Known,
            batch: content.batch.to_owned(),
            modified: content.modified,
            at: now,
            generation: collection.live.number,
            chunks: made,
        };
        let tenant = self.tenant(writer.team())?;
        let slot = self.slot(writer.team(), collection.id);
        // Asked while nobody else puts anything, so that what is asked still holds.
        let one = || {
            if let Some((acl, labels)) = tenant.grade_of(collection.id, content.source)? {
                if !writer.may(&acl) {
                    return Err(Error::NotYours(content.source.to_owned()));
                }
                if content.acl.is_none() {
                    new.acl = acl;
                }
                new.labels = new.labels.join(&labels);
            }
            let put = tenant.put(vec![new])?.into_iter().next();
            put.ok_or_else(|| store::Error::Io("the store put nothing".into()).into())
        };
        let put = slot.put(&*tenant, collection, one, vectors)?;
        let notes = if put.change == Change::Unchanged { Vec::new() } else { notes(&parsed) };
        Ok(Stored { put, notes })
    }
}

fn read(content: &Content<'_>) -> Result<Parsed, Error> {
    let said = (!content.media_type.is_empty()).then_some(content.media_type);
    let declared = Declared { media_type: said, name: Some(content.source) };
    let limits = Limits { bytes: DOCUMENT_BYTES_MAX, ..Limits::default() };
    let read = format(declared, content.bytes).and_then(|format| parse(content.bytes, format, &limits));
    read.map_err(|why| Error::Document { source_name: content.source.to_owned(), why })
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// What is in the document and not in the index, a line for each kind. The hidden words
/// themselves are not repeated: a note ends up on screens and in logs.
fn notes(parsed: &Parsed) -> Vec<String> {
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
