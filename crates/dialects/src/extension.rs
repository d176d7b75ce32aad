//! `bedplate`: the one field of a request that is ours, in every dialect.
//!
//! It is taken out of the body before anybody else reads it, so that no provider,
//! guard or local engine ever sees it; every other byte stays the client's own.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::scan::{boolean, items, string, walk_part, whole};
use crate::{Envelope, Error};

/// The name of the field.
pub const FIELD: &str = "bedplate";
/// Passages that a request may ask for.
pub const PASSAGES_MAX: u64 = 32;
/// Other phrasings of a question that a request may give.
pub const ALSO_MAX: usize = 4;
/// Bytes of a model's name.
const MODEL_BYTES_MAX: usize = 256;
/// Turns, and facts, that a request may ask for.
pub const RECALLED_MAX: u64 = 32;
/// Turns unless told.
const TURNS: u64 = 4;
/// Bytes of a conversation's name.
pub const CONVERSATION_BYTES_MAX: usize = 200;

/// What a client asks of us beside the answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extension {
    pub retrieve: Option<Retrieve>,
    /// The conversation that this question and its answer are kept in.
    pub conversation: Option<String>,
    pub recall: Option<Recall>,
    /// What the user says of themselves is kept as facts.
    pub learn: bool,
}

/// What was said before, to be put before the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recall {
    /// Turns at most.
    pub turns: u32,
    /// Facts at most.
    pub facts: u32,
    /// Of all conversations of whoever asks, not only of the one that is named.
    pub across: bool,
}

/// Passages of collections, to be put before the question.
#[derive(Clone, Debug, PartialEq)]
pub struct Retrieve {
    /// Their names, in the team of whoever asks: one, but where a tool asks for more.
    pub collections: Vec<String>,
    /// Passages at most, 1 to [`PASSAGES_MAX`].
    pub k: Option<u32>,
    /// Also walk the collection's graph.
    pub graph: bool,
    /// The question in other words, or parts of it; at most [`ALSO_MAX`].
    pub also: Vec<String>,
    pub rerank: Rerank,
    /// The least relevance that a passage has.
    pub relevance_min: Option<f32>,
}

/// Who orders the passages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Rerank {
    /// The collection's reranker, if it has one.
    #[default]
    Declared,
    Without,
    /// A model by its name.
    By(String),
}

/// Reads the field and takes it out: what it says, and the body without it. `None`
/// when there is no such field.
///
/// # Errors
/// DI0004 for a field of it that is not known, or not of its type.
pub fn take(body: &Bytes, envelope: &Envelope) -> Result<Option<(Extension, Bytes)>, Error> {
    let Some(span) = &envelope.extension_span else { return Ok(None) };
    let text = std::str::from_utf8(&body[span.clone()]).map_err(|_| Error::field(FIELD, "", "UTF-8"))?;
    Ok(Some((read(text)?, without(body, span))))
}

fn read(text: &str) -> Result<Extension, Error> {
    let mut extension = Extension::default();
    if text == "null" {
        return Ok(extension);
    }
    if !text.starts_with('{') {
        return Err(Error::field(FIELD, text, "an object"));
    }
    walk_part(text, true, |key, span| {
        let value = &text[span];
        match &*key {
            "conversation" => extension.conversation = conversation(value)?,
            "learn" => extension.learn = boolean("bedplate.learn", value)?,
            "recall" => extension.recall = recall(value)?,
            "retrieve" => extension.retrieve = retrieve(value)?,
            other => {
                return Err(Error::field(
                    format!("{FIELD}.{}", crate::error::quote(other)),
                    value,
                    "one of: conversation, learn, recall, retrieve",
                ));
            }
        }
        Ok(())
    })?;
    // An application's conversations are of many people: all of them are only searched when it says so.
    let needs_one = extension.learn || extension.recall.is_some_and(|recall| !recall.across);
    if needs_one && extension.conversation.is_none() {
        return Err(Error::missing("bedplate.conversation"));
    }
    Ok(extension)
}

fn conversation(text: &str) -> Result<Option<String>, Error> {
    if text == "null" {
        return Ok(None);
    }
    let name = string("bedplate.conversation", text)?;
    let sound = (1..=CONVERSATION_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
    if !sound {
        return Err(Error::field("bedplate.conversation", text, "a name of 1 to 200 bytes"));
    }
    Ok(Some(name.into_owned()))
}

fn recall(text: &str) -> Result<Option<Recall>, Error> {
    if text == "null" {
        return Ok(None);
    }
    if !text.starts_with('{') {
        return Err(Error::field("bedplate.recall", text, "an object"));
    }
    let (mut turns, mut facts, mut across) = (None, None, false);
    walk_part(text, true, |key, span| {
        let value = &text[span];
        match &*key {
            "turns" => turns = whole("bedplate.recall.turns", value, 0, RECALLED_MAX)?,
            "facts" => facts = whole("bedplate.recall.facts", value, 0, RECALLED_MAX)?,
            "across" => across = boolean("bedplate.recall.across", value)?,
            other => {
                let path = format!("bedplate.recall.{}", crate::error::quote(other));
                return Err(Error::field(path, value, "one of: across, facts, turns"));
            }
        }
        Ok(())
    })?;
    let count = |n: Option<u64>, unless: u64| u32::try_from(n.unwrap_or(unless)).unwrap_or_default();
    Ok(Some(Recall { turns: count(turns, TURNS), facts: count(facts, 0), across }))
}

fn retrieve(text: &str) -> Result<Option<Retrieve>, Error> {
    if text == "null" {
        return Ok(None);
    }
    if !text.starts_with('{') {
        return Err(Error::field("bedplate.retrieve", text, "an object"));
    }
    let (mut collection, mut k, mut graph) = (None, None, false);
    let (mut also, mut rerank) = (Vec::new(), Rerank::default());
    walk_part(text, true, |key, span| {
        let value = &text[span];
        match &*key {
            "collection" => collection = Some(string("bedplate.retrieve.collection", value)?.into_owned()),
            "k" => k = whole("bedplate.retrieve.k", value, 1, PASSAGES_MAX)?,
            "graph" => graph = boolean("bedplate.retrieve.graph", value)?,
            "also" => also = phrasings(value)?,
            "rerank" => {
                rerank = match value {
                    "null" => Rerank::Declared,
                    "false" => Rerank::Without,
                    _ => Rerank::By(model(value)?),
                }
            }
            other => {
                let path = format!("bedplate.retrieve.{}", crate::error::quote(other));
                return Err(Error::field(path, value, "one of: also, collection, graph, k, rerank"));
            }
        }
        Ok(())
    })?;
    let collection = collection.ok_or_else(|| Error::missing("bedplate.retrieve.collection"))?;
    let k = k.and_then(|k| u32::try_from(k).ok());
    Ok(Some(Retrieve { collections: vec![collection], k, graph, also, rerank, relevance_min: None }))
}

fn phrasings(text: &str) -> Result<Vec<String>, Error> {
    const PATH: &str = "bedplate.retrieve.also";
    if text == "null" {
        return Ok(Vec::new());
    }
    let expected = format!("a list of at most {ALSO_MAX} texts");
    let items =
        if text.starts_with('[') { items(text)? } else { return Err(Error::field(PATH, text, expected)) };
    if items.len() > ALSO_MAX {
        return Err(Error::field(PATH, text, expected));
    }
    items.into_iter().map(|item| Ok(string(PATH, item)?.into_owned())).collect()
}

fn model(text: &str) -> Result<String, Error> {
    let name = string("bedplate.retrieve.rerank", text)?;
    if name.is_empty() || name.len() > MODEL_BYTES_MAX {
        return Err(Error::field("bedplate.retrieve.rerank", text, "a model's name, or false"));
    }
    Ok(name.into_owned())
}

/// The body without the field whose value lies at `value`: its key, and one comma.
pub(crate) fn without(body: &Bytes, value: &Range<usize>) -> Bytes {
    // Back over `"bedplate" :`. However the key is escaped, it holds no quote.
    let colon = body[..value.start].trim_ascii_end().len() - 1;
    let quote = body[..colon].trim_ascii_end().len() - 1;
    let key = body[..quote].iter().rposition(|b| *b == b'"').unwrap_or(quote);
    let before = body[..key].trim_ascii_end();
    let (from, to) = if before.ends_with(b",") {
        (before.len() - 1, value.end)
    } else {
        let after = body[value.end..].trim_ascii_start();
        let next = body.len() - after.len();
        (key, if after.starts_with(b",") { next + 1 } else { value.end })
    };
    let mut rest = BytesMut::with_capacity(body.len());
    rest.extend_from_slice(&body[..from]);
    rest.extend_from_slice(&body[to..]);
    rest.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan;

    fn took(body: &str) -> Result<Option<(Extension, String)>, Error> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let envelope = scan(&body)?;
        let taken = take(&body, &envelope)?;
        Ok(taken.map(|(extension, rest)| (extension, String::from_utf8(rest.to_vec()).expect("UTF-8"))))
    }

    #[test]
    fn the_field_is_taken_out_wherever_it_stands_and_nothing_else_changes() {
        let (also, rerank) = (vec!["a \"b\"".to_owned()], Rerank::By("judge".into()));
        let retrieve = Some(Retrieve {
            collections: vec!["h".into()],
            k: Some(3),
            graph: true,
            also,
            rerank,
            relevance_min: None,
        });
        let wanted = Extension { retrieve, ..Extension::default() };
        let field = r#""bedplate" : {"retrieve": {"collection":"h","k":3,"graph":true,"also":["a \"b\""],"rerank":"judge"}}"#;
        for (body, rest) in [
            (format!(r#"{{{field},"model":"m"}}"#), r#"{"model":"m"}"#),
            (format!(r#"{{"model":"m" , {field}}}"#), r#"{"model":"m" }"#),
            (format!(r#"{{"model":"m",{field} , "n":1}}"#), r#"{"model":"m" , "n":1}"#),
        ] {
            assert_eq!(took(&body), Ok(Some((wanted.clone(), rest.to_owned()))), "{body}");
        }
        let escaped = r#"{"model":"m","bedpl\u0061te":null}"#;
        assert_eq!(took(escaped), Ok(Some((Extension::default(), r#"{"model":"m"}"#.into()))));
        assert_eq!(took(r#"{"model":"m","x":{"bedplate":1}}"#), Ok(None), "not inside of others");
    }

    #[test]
    fn a_conversation_is_named_recalled_and_learned_from() {
        for (field, conversation, recall, learn) in [
            (r#"{"conversation":"tr\u0069p"}"#, Some("trip"), None, false),
            (r#"{"conversation":"trip","learn":true,"recall":{}}"#, Some("trip"), Some((4, 0, false)), true),
            (r#"{"recall":{"turns":0,"facts":3,"across":true}}"#, None, Some((0, 3, true)), false),
            (r#"{"conversation":null,"recall":null,"learn":null}"#, None, None, false),
        ] {
            let (read, _) =
                took(&format!(r#"{{"model":"m","bedplate":{field}}}"#)).expect(field).expect(field);
            let recall = recall.map(|(turns, facts, across)| Recall { turns, facts, across });
            let conversation = conversation.map(str::to_owned);
            assert_eq!(read, Extension { retrieve: None, conversation, recall, learn }, "{field}");
        }
    }

    #[test]
    fn what_is_misspelt_is_refused() {
        let long = format!(r#"{{"model":"m","bedplate":{{"conversation":"{}"}}}}"#, "x".repeat(201));
        for (body, path) in [
            (r#"{"model":"m","bedplate":{"retreive":{}}}"#, "bedplate.retreive"),
            (r#"{"model":"m","bedplate":{"retrieve":{"collection":"h","top":3}}}"#, "bedplate.retrieve.top"),
            (r#"{"model":"m","bedplate":{"retrieve":{"k":3}}}"#, "bedplate.retrieve.collection"),
            (r#"{"model":"m","bedplate":{"retrieve":{"collection":"h","k":33}}}"#, "bedplate.retrieve.k"),
            (r#"{"model":"m","bedplate":{"retrieve":{"also":"x"}}}"#, "bedplate.retrieve.also"),
            (r#"{"model":"m","bedplate":{"retrieve":{"also":[1]}}}"#, "bedplate.retrieve.also"),
            (r#"{"model":"m","bedplate":{"retrieve":{"also":["","","","",""]}}}"#, "bedplate.retrieve.also"),
            (r#"{"model":"m","bedplate":{"retrieve":{"rerank":""}}}"#, "bedplate.retrieve.rerank"),
            (r#"{"model":"m","bedplate":{"retrieve":{"rerank":true}}}"#, "bedplate.retrieve.rerank"),
            (r#"{"model":"m","bedplate":7}"#, "bedplate"),
            (r#"{"model":"m","bedplate":{"conversation":""}}"#, "bedplate.conversation"),
            (r#"{"model":"m","bedplate":{"conversation":"a\nb"}}"#, "bedplate.conversation"),
            (r#"{"model":"m","bedplate":{"conversation":7}}"#, "bedplate.conversation"),
            (&long, "bedplate.conversation"),
            (r#"{"model":"m","bedplate":{"recall":{"turns":2}}}"#, "bedplate.conversation"),
            (r#"{"model":"m","bedplate":{"learn":true}}"#, "bedplate.conversation"),
            (r#"{"model":"m","bedplate":{"learn":1}}"#, "bedplate.learn"),
            (r#"{"model":"m","bedplate":{"recall":{"turn":2}}}"#, "bedplate.recall.turn"),
            (r#"{"model":"m","bedplate":{"recall":{"turns":33,"across":true}}}"#, "bedplate.recall.turns"),
            (r#"{"model":"m","bedplate":{"recall":4}}"#, "bedplate.recall"),
        ] {
            assert_eq!(took(body).expect_err(body).param(), Some(path), "{body}");
        }
    }
}
