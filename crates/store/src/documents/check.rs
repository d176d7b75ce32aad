//! What no back-end stores: the bounds of every row, in one place for all.

use super::{
    ANSWER_BYTES_MAX, CHUNK_BYTES_MAX, CHUNKS_MAX, COLLECTIONS_MAX, Collection, DEPENDENCIES_MAX,
    DIMENSIONS_MAX, EDGES_MAX, Edge, Generation, NAME_BYTES_MAX, NOTE_BYTES_MAX, NOTES_MAX, NewAnswer,
    NewDocument, NewFact, Subject, TURN_BYTES_MAX, Turn, half,
};
use crate::Error;

fn invalid<T>(why: impl Into<String>) -> Result<T, Error> {
    Err(Error::Invalid(why.into()))
}

/// A text of at least `min` and at most `max` bytes.
fn text(what: &str, text: &str, min: usize, max: usize) -> Result<(), Error> {
    match text.len() {
        n if n < min => invalid(format!("{what} is empty")),
        n if n > max => invalid(format!("{what} has {n} bytes; at most {max} fit")),
        // SQLite and its full text end a text at it.
        _ if text.contains('\0') => invalid(format!("{what} holds a zero byte")),
        _ => Ok(()),
    }
}

/// Nothing that a half can hold.
fn is_no_number(x: &f32) -> bool {
    x.is_nan() || x.abs() > half::MAX
}

pub fn generation(generation: &Generation) -> Result<(), Error> {
    text("the embedder's name", &generation.embedder, 1, 200)?;
    if !(1..=DIMENSIONS_MAX).contains(&generation.dimensions) {
        return invalid(format!("{} dimensions; 1 to {DIMENSIONS_MAX} fit", generation.dimensions));
    }
    Ok(())
}

pub fn collection(collection: &Collection) -> Result<(), Error> {
    text("the collection's name", &collection.name, 1, 200)?;
    text("the collection's language", &collection.language, 1, 35)?;
    text("the collection's settings", &collection.settings, 0, 64 << 10)?;
    generation(&collection.live)
}

/// For a collection that is made: as [`collection`], with its first generation alone.
pub fn new_collection(new: &Collection) -> Result<(), Error> {
    collection(new)?;
    if new.live.number != 1 || !new.beside.is_empty() {
        return invalid("a new collection has generation 1 and no other");
    }
    Ok(())
}

pub fn too_many_collections() -> Error {
    Error::Invalid(format!(
        "a team has at most {COLLECTIONS_MAX} collections: put documents into one there is"
    ))
}

/// What cannot be done to the generation that is searched.
pub fn live_generation(number: u32) -> Error {
    Error::Invalid(format!("index generation {number} is the one that is searched"))
}

/// A change of a collection: only language, labels and settings may differ.
pub fn update(old: &Collection, new: &Collection) -> Result<(), Error> {
    collection(new)?;
    let fixed = |c: &Collection| (c.name.clone(), c.lexing, c.live.clone(), c.beside.clone(), c.created);
    if fixed(old) != fixed(new) {
        return invalid(format!(
            "of collection \"{}\" only language, labels and settings can change",
            old.name
        ));
    }
    Ok(())
}

/// Finite, within a half's range, of the generation's dimensions. Zero is allowed: it is
/// near to nothing.
pub fn vector(vector: &[f32], generation: &Generation) -> Result<(), Error> {
    if vector.len() != generation.dimensions as usize {
        return invalid(format!(
            "a vector has {} dimensions; embedder \"{}\" has {}",
            vector.len(),
            generation.embedder,
            generation.dimensions
        ));
    }
    match vector.iter().position(is_no_number) {
        Some(at) => invalid(format!("number {at} of a vector is {}", vector[at])),
        None => Ok(()),
    }
}

/// A document against the live generation of its collection.
pub fn document(document: &NewDocument, live: &Generation) -> Result<(), Error> {
    if document.generation != live.number {
        return Err(Error::Stale { given: document.generation, live: live.number });
    }
    text("a document's source", &document.source, 1, 2_048)?;
    text("a document's title", &document.title, 0, 2_000)?;
    text("a document's format", &document.format, 0, 200)?;
    text("a document's batch", &document.batch, 0, 500)?;
    mark(&document.mark)?;
    if document.chunks.len() > CHUNKS_MAX {
        return invalid(format!("a document of {} chunks; at most {CHUNKS_MAX} fit", document.chunks.len()));
    }
    for chunk in &document.chunks {
        text("a chunk's text", &chunk.text, 1, CHUNK_BYTES_MAX)?;
        text("a chunk's heading", &chunk.heading, 0, CHUNK_BYTES_MAX)?;
        if chunk.span.start > chunk.span.end || i64::try_from(chunk.span.end).is_err() {
            return invalid(format!("a chunk spans {} to {}", chunk.span.start, chunk.span.end));
        }
        vector(&chunk.vector, live)?;
    }
    if document.edges.len() > EDGES_MAX {
        return invalid(format!("a document of {} edges; at most {EDGES_MAX} fit", document.edges.len()));
    }
    for edge in &document.edges {
        if edge.chunk as usize >= document.chunks.len() {
            return invalid(format!(
                "an edge of chunk {} in a document of {}",
                edge.chunk,
                document.chunks.len()
            ));
        }
        names(&edge.from, &edge.relation, &edge.to)?;
    }
    Ok(())
}

pub fn mark(mark: &str) -> Result<(), Error> {
    text("a document's mark", mark, 0, 500)
}

/// A collection's note beside `count` others.
pub fn note(name: &str, note: Option<&str>, count: usize) -> Result<(), Error> {
    text("a note's name", name, 1, 300)?;
    text("a note", note.unwrap_or_default(), 0, NOTE_BYTES_MAX)?;
    if note.is_some() && count >= NOTES_MAX {
        return invalid(format!("a collection has at most {NOTES_MAX} notes"));
    }
    Ok(())
}

pub fn answer(answer: &NewAnswer) -> Result<(), Error> {
    text("the question", &answer.question, 0, CHUNK_BYTES_MAX)?;
    if answer.body.len() > ANSWER_BYTES_MAX {
        return invalid(format!("an answer of {} bytes; at most {ANSWER_BYTES_MAX} fit", answer.body.len()));
    }
    if answer.dependencies.len() > DEPENDENCIES_MAX {
        return invalid(format!(
            "an answer from {} documents; at most {DEPENDENCIES_MAX} fit",
            answer.dependencies.len()
        ));
    }
    if answer.turns.len() > DEPENDENCIES_MAX {
        return invalid(format!(
            "an answer from {} turns; at most {DEPENDENCIES_MAX} fit",
            answer.turns.len()
        ));
    }
    if answer.vector.len() > DIMENSIONS_MAX as usize || answer.vector.iter().any(is_no_number) {
        return invalid("the question's vector is not finite, or too long");
    }
    Ok(())
}

pub fn turn(turn: &Turn) -> Result<(), Error> {
    owner(&turn.owner)?;
    text("the conversation's name", &turn.conversation, 1, 200)?;
    text("a turn", &turn.text, 1, TURN_BYTES_MAX)
}

pub fn fact(fact: &NewFact) -> Result<(), Error> {
    owner(&fact.owner)?;
    for (what, name) in
        [("what a fact is about", &fact.about), ("its relation", &fact.relation), ("its value", &fact.value)]
    {
        text(what, name, 1, NAME_BYTES_MAX)?;
    }
    if fact.valid_to.is_some_and(|to| to < fact.valid_from) {
        return invalid("a fact ends before it begins");
    }
    Ok(())
}

/// Memories belong to somebody who can be named again.
fn owner(owner: &Subject) -> Result<(), Error> {
    let read_back = owner.to_string().parse::<Subject>();
    if read_back.as_ref() == Ok(owner) { Ok(()) } else { invalid(format!("\"{owner}\" is not a subject")) }
}

pub fn edge(edge: &Edge) -> Result<(), Error> {
    names(&edge.from, &edge.relation, &edge.to)
}

fn names(from: &str, relation: &str, to: &str) -> Result<(), Error> {
    text("an entity", from, 1, NAME_BYTES_MAX)?;
    text("a relation", relation, 1, NAME_BYTES_MAX)?;
    text("an entity", to, 1, NAME_BYTES_MAX)
}
