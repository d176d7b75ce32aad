//! OpenAI's tool `file_search`, answered by our collections: `vector_store_ids` are their
//! names or ids.
//!
//! A search before the question takes the tool's place: it is taken out of the body before
//! anybody else reads it, as [`crate::extension`] is, so that no provider looks for our
//! collections among its own. What the tool asks for is kept or refused by name, never left out.

use bytes::{Bytes, BytesMut};

use crate::extension::{Rerank, Retrieve, without};
use crate::fields::{body, list, number, object, text_of, whole};
use crate::{Envelope, Error, scan};

/// What a tool of this kind calls itself.
const TYPE: &str = "\"file_search\"";
/// Collections of one request: each is a search.
pub const STORES_MAX: usize = 8;
/// OpenAI's own limit.
const RESULTS_MAX: u64 = 50;

/// Reads the tool and takes it out: what it asks for (`None` where `tool_choice` says that no
/// tool is to be used), and the body without it. `None` when there is no such tool.
///
/// # Errors
/// GW0011 for what our searches do not do; DI0004 and DI0005 as ever.
pub fn take(asked: &Bytes, envelope: &Envelope) -> Result<Option<(Option<Retrieve>, Bytes)>, Error> {
    let Some(span) = envelope.tools_span.clone() else { return Ok(None) };
    let text = std::str::from_utf8(&asked[span.clone()]).unwrap_or_default();
    // However a body escapes the word, a client library does not.
    if !text.starts_with('[') || !text.contains(TYPE) {
        return Ok(None);
    }
    let (mut found, mut others) = (None, Vec::new());
    for (n, item) in list("tools", text)?.into_iter().enumerate() {
        let path = format!("tools[{n}]");
        let is_ours = item.starts_with('{')
            && object(&path, item)?.iter().any(|(key, value)| key == "type" && *value == TYPE);
        match (is_ours, &found) {
            (false, _) => others.push(item),
            (true, None) => found = Some(read(&path, item)?),
            (true, Some(_)) => {
                return Err(unsupported(path, "one search is made; name all its collections in one tool"));
            }
        }
    }
    let Some(found) = found else { return Ok(None) };
    let alone = others.is_empty();
    let mut rest = if alone {
        without(asked, &span)
    } else {
        let mut rest = BytesMut::with_capacity(asked.len());
        rest.extend_from_slice(&asked[..span.start]);
        rest.extend_from_slice(format!("[{}]", others.join(",")).as_bytes());
        rest.extend_from_slice(&asked[span.end..]);
        rest.freeze()
    };
    let mut searches = true;
    for name in ["tool_choice", "parallel_tool_calls"] {
        let Some((_, span)) = body(&rest)?.into_iter().find(|(key, _)| key == name) else { continue };
        let value = std::str::from_utf8(&rest[span.clone()]).unwrap_or_default();
        let goes = match name {
            "tool_choice" => {
                searches = value != "\"none\"";
                is_of_search(value)? || alone && !value.starts_with('{')
            }
            _ => alone,
        };
        if goes {
            rest = without(&rest, &span);
        }
    }
    Ok(Some((searches.then_some(found), rest)))
}

/// Whether a choice of tools names this one, which is used in any case.
fn is_of_search(choice: &str) -> Result<bool, Error> {
    if !choice.starts_with('{') {
        return Ok(false);
    }
    let fields = object("tool_choice", choice)?;
    let named = |kind: &str| fields.iter().any(|(key, value)| key == "type" && *value == kind);
    if named("\"allowed_tools\"") && choice.contains(TYPE) {
        return Err(unsupported(
            "tool_choice",
            "the search is made before the question, so it is no tool to choose",
        ));
    }
    Ok(named(TYPE))
}

fn read(path: &str, tool: &str) -> Result<Retrieve, Error> {
    let at = |name: &str| format!("{path}.{name}");
    let (mut collections, mut k, mut relevance_min) = (Vec::new(), None, None);
    for (key, value) in object(path, tool)? {
        match &*key {
            "type" => {}
            "vector_store_ids" => {
                for (n, id) in list(&at(&key), value)?.into_iter().enumerate() {
                    let id = text_of(&format!("{path}.{key}[{n}]"), id)?;
                    // Twice the same is once.
                    if !collections.contains(&id) {
                        collections.push(id);
                    }
                }
                if !(1..=STORES_MAX).contains(&collections.len()) {
                    return Err(Error::field(at(&key), value, format!("1 to {STORES_MAX} collections")));
                }
            }
            "max_num_results" => k = whole(&at(&key), value, 1, RESULTS_MAX)?,
            "ranking_options" if value != "null" => relevance_min = ranking(&at(&key), value)?,
            "filters" if value != "null" => {
                return Err(unsupported(at(&key), "documents have no attributes to filter by"));
            }
            "ranking_options" | "filters" => {}
            other => {
                return Err(Error::field(
                    at(&crate::error::quote(other)),
                    value,
                    "one of: max_num_results, ranking_options, type, vector_store_ids",
                ));
            }
        }
    }
    if collections.is_empty() {
        return Err(Error::missing(at("vector_store_ids")));
    }
    let k = k.and_then(|k| u32::try_from(k).ok());
    Ok(Retrieve { collections, k, graph: false, also: Vec::new(), rerank: Rerank::Declared, relevance_min })
}

/// The least relevance of a passage.
fn ranking(path: &str, options: &str) -> Result<Option<f32>, Error> {
    let mut least = None;
    for (key, value) in object(path, options)? {
        let at = format!("{path}.{key:.80}");
        match &*key {
            "score_threshold" => least = number(&at, value, 0.0, 1.0)?,
            "ranker" if matches!(value, "\"auto\"" | "null") => {}
            "ranker" => {
                return Err(unsupported(
                    at,
                    "our searches are ordered by their own gate: leave it out, or \"auto\"",
                ));
            }
            "hybrid_search" if value == "null" => {}
            "hybrid_search" => {
                return Err(unsupported(
                    at,
                    "the collection's gate weighs words and vectors, question by question",
                ));
            }
            _ => return Err(Error::field(at, value, "one of: ranker, score_threshold")),
        }
    }
    // Nothing is less relevant than 0.
    Ok(least.filter(|least| *least > 0.0))
}

fn unsupported(parameter: impl Into<String>, because: &str) -> Error {
    Error::FileSearch { parameter: parameter.into(), because: because.into() }
}

/// Whether what is left of a body is still one, for the fuzzer.
#[doc(hidden)]
pub fn keeps_a_body_whole(asked: &Bytes, envelope: &Envelope) {
    if let Ok(Some((_, rest))) = take(asked, envelope) {
        let left = scan(&rest).expect("what is left scans");
        assert_eq!(left.model, envelope.model);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FUNCTION: &str = r#"{"type":"function","function":{"name":"f"}}"#;

    fn took(body: &str) -> Result<Option<(Option<Retrieve>, String)>, Error> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let taken = take(&body, &scan(&body)?)?;
        Ok(taken.map(|(found, rest)| (found, String::from_utf8(rest.to_vec()).expect("UTF-8"))))
    }

    fn search(more: &str) -> String {
        format!(r#"{{"type":"file_search","vector_store_ids":["handbook"]{more}}}"#)
    }

    #[test]
    fn the_tool_is_taken_out_and_the_others_stay() {
        let handbook = |k, relevance_min| Retrieve {
            collections: vec!["handbook".into()],
            k,
            graph: false,
            also: Vec::new(),
            rerank: Rerank::Declared,
            relevance_min,
        };
        let full = search(
            r#","max_num_results":7,"ranking_options":{"ranker":"auto","score_threshold":0.5},"filters":null"#,
        );
        for (body, wanted, rest) in [
            (
                format!(r#"{{"model":"m","tools":[{}],"n":1}}"#, search("")),
                Some(handbook(None, None)),
                r#"{"model":"m","n":1}"#.into(),
            ),
            (
                format!(r#"{{"tools": [{full}], "model":"m"}}"#),
                Some(handbook(Some(7), Some(0.5))),
                r#"{ "model":"m"}"#.into(),
            ),
            (
                format!(r#"{{"model":"m","tools":[{FUNCTION}, {}],"tool_choice":"required"}}"#, search("")),
                Some(handbook(None, None)),
                format!(r#"{{"model":"m","tools":[{FUNCTION}],"tool_choice":"required"}}"#),
            ),
            (
                format!(
                    r#"{{"model":"m","tools":[{}],"tool_choice":"required","parallel_tool_calls":false}}"#,
                    search("")
                ),
                Some(handbook(None, None)),
                r#"{"model":"m"}"#.into(),
            ),
            (
                format!(
                    r#"{{"model":"m","tools":[{},{FUNCTION}],"tool_choice":{{"type":"file_search"}}}}"#,
                    search("")
                ),
                Some(handbook(None, None)),
                format!(r#"{{"model":"m","tools":[{FUNCTION}]}}"#),
            ),
            (
                format!(r#"{{"model":"m","tools":[{}],"tool_choice":"none"}}"#, search("")),
                None,
                r#"{"model":"m"}"#.into(),
            ),
        ] {
            assert_eq!(took(&body), Ok(Some((wanted, rest))), "{body}");
        }
        for body in [
            format!(r#"{{"model":"m","tools":[{FUNCTION}]}}"#),
            r#"{"model":"m","tools":[]}"#.into(),
            r#"{"model":"m","tools":null,"x":"\"file_search\""}"#.into(),
            r#"{"model":"m","tools":[{"type":"function","function":{"name":"file_search"}}]}"#.into(),
        ] {
            assert_eq!(took(&body), Ok(None), "{body}");
        }
    }

    #[test]
    fn what_our_searches_do_not_do_is_refused_by_its_name() {
        let one = search("");
        for (tool, code, at) in [
            (search(r#","filters":{"type":"eq","key":"a","value":1}"#), "GW0011", "tools[0].filters"),
            (
                search(r#","ranking_options":{"ranker":"default-2024-11-15"}"#),
                "GW0011",
                "tools[0].ranking_options.ranker",
            ),
            (
                search(r#","ranking_options":{"hybrid_search":{}}"#),
                "GW0011",
                "tools[0].ranking_options.hybrid_search",
            ),
            (
                search(r#","ranking_options":{"score_threshold":2}"#),
                "DI0004",
                "tools[0].ranking_options.score_threshold",
            ),
            (search(r#","max_num_results":51"#), "DI0004", "tools[0].max_num_results"),
            (search(r#","rewrite":true"#), "DI0004", "tools[0].rewrite"),
            (r#"{"type":"file_search"}"#.into(), "DI0005", "tools[0].vector_store_ids"),
            (r#"{"type":"file_search","vector_store_ids":[]}"#.into(), "DI0004", "tools[0].vector_store_ids"),
            (
                r#"{"type":"file_search","vector_store_ids":[7]}"#.into(),
                "DI0004",
                "tools[0].vector_store_ids[0]",
            ),
            (format!("{one},{one}"), "GW0011", "tools[1]"),
        ] {
            let error = took(&format!(r#"{{"model":"m","tools":[{tool}]}}"#)).expect_err(&tool);
            assert_eq!((error.code(), error.param()), (code, Some(at)), "{tool}");
        }
        let choice = r#"{"type":"allowed_tools","tools":[{"type":"file_search"}]}"#;
        let error = took(&format!(r#"{{"model":"m","tools":[{one}],"tool_choice":{choice}}}"#));
        assert_eq!(error.expect_err(choice).code(), "GW0011");
    }
}
