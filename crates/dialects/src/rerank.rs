//! `/v1/rerank`: a query and documents in, the documents' relevance out. The
//! shape that Jina and Cohere share, and vLLM and llama-server with them.

use bytes::Bytes;
use chat::{RerankRequest, RerankResponse};

use crate::fields::{self, Lenient, add, list, text_of, whole};
use crate::scan::boolean;
use crate::{Error, json};

/// Documents in one call; Cohere's own advice is at most 1,000.
const DOCUMENTS_MAX: usize = 1_024;

/// Reads a rerank request, and the names of the fields nobody here knows.
///
/// # Errors
/// DI0001-DI0005.
pub fn decode(body: &[u8]) -> Result<(RerankRequest, Vec<String>), Error> {
    let mut request = RerankRequest::default();
    let mut unknown = Vec::new();
    let all = fields::body(body)?;
    let text = fields::text(body);
    for (key, span) in all {
        let value = &text[span];
        match key.as_str() {
            "model" => request.model = text_of(&key, value)?,
            "query" => request.query = filled(&key, value)?,
            "documents" => request.documents = documents(value)?,
            "top_n" => request.top_n = whole(&key, value, 1, u32::MAX.into())?.map(|n| n as u32),
            "return_documents" => request.return_documents = boolean(&key, value)?,
            _ if value == "null" => {}
            _ => add(&mut unknown, key),
        }
    }
    for (name, absent) in [
        ("model", request.model.is_empty()),
        ("query", request.query.is_empty()),
        ("documents", request.documents.is_empty()),
    ] {
        if absent {
            return Err(Error::missing(name));
        }
    }
    Ok((request, unknown))
}

/// Texts, or objects with a `text`.
fn documents(value: &str) -> Result<Vec<String>, Error> {
    let items = list("documents", value)?;
    if items.is_empty() || items.len() > DOCUMENTS_MAX {
        let got = format!("a list of {}", items.len());
        return Err(Error::field("documents", &got, format!("1 to {DOCUMENTS_MAX} documents")));
    }
    (0usize..)
        .zip(items)
        .map(|(i, item)| {
            let path = format!("documents[{i}]");
            if !item.starts_with('{') {
                return filled(&path, item);
            }
            let mut found = None;
            crate::scan::walk_part(item, true, |key, span| {
                if key == "text" {
                    found = Some(filled(&format!("{path}.text"), &item[span])?);
                }
                Ok(())
            })?;
            found.ok_or_else(|| Error::missing(format!("{path}.text")))
        })
        .collect()
}

fn filled(path: &str, value: &str) -> Result<String, Error> {
    let text = text_of(path, value)?;
    if text.is_empty() { Err(Error::field(path, value, "a text that is not empty")) } else { Ok(text) }
}

/// Writes a request for a target.
pub fn encode(request: &RerankRequest) -> Bytes {
    json::text(|w| {
        w.object(|w| {
            w.field_str("model", &request.model);
            w.field_str("query", &request.query);
            w.key("documents").list(&request.documents, |w, text| w.str(text));
            w.some_num("top_n", request.top_n);
            if request.return_documents {
                w.field_raw("return_documents", "true");
            }
        });
    })
}

/// Reads a target's scores, by place in the request.
///
/// # Errors
/// UP0004 without results, or with one that has no score.
pub fn decode_response(body: &[u8]) -> Result<Vec<(u32, f32)>, Error> {
    let broken = |because: &str| Error::Upstream { because: because.into() };
    let top = Lenient::body(body).ok_or_else(|| broken("it is not a JSON object"))?;
    let results = top.objects("results").into_iter().map(|result| {
        let index = result.u64("index").and_then(|index| u32::try_from(index).ok());
        index.zip(result.f32("relevance_score")).ok_or_else(|| broken("a result has no index or no score"))
    });
    let results: Vec<(u32, f32)> = results.collect::<Result<_, _>>()?;
    if results.is_empty() { Err(broken("it has no `results`")) } else { Ok(results) }
}

/// Writes scores for a client.
pub fn encode_response(response: &RerankResponse) -> Bytes {
    json::text(|w| {
        w.object(|w| {
            w.field_str("object", "list");
            w.field_str("model", &response.model);
            w.key("results").list(&response.results, |w, ranked| {
                w.object(|w| {
                    w.field_num("index", ranked.index);
                    w.key("relevance_score").float(ranked.score);
                    if let Some(text) = &ranked.document {
                        w.field_object("document", |w| w.field_str("text", text));
                    }
                });
            });
            let input: u64 = response.usage.iter().map(|(_, t)| t).sum();
            w.field_object("usage", |w| {
                w.field_num("prompt_tokens", input);
                w.field_num("total_tokens", input);
            });
        });
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(body: &str) -> &'static str {
        decode(body.as_bytes()).expect_err("refused").code()
    }

    #[test]
    fn documents_are_texts_or_objects_with_one() {
        let body = r#"{"model":"m","query":"q","documents":["a",{"text":"b","id":7}],"top_n":1,
            "return_documents":true,"max_chunks_per_doc":9,"user":null}"#;
        let (request, unknown) = decode(body.as_bytes()).expect("read");
        assert_eq!(request.documents, ["a", "b"]);
        assert_eq!((request.top_n, request.return_documents), (Some(1), true));
        assert_eq!(unknown, ["max_chunks_per_doc"]);
        assert_eq!(decode(&encode(&request)).expect("ours"), (request, Vec::new()));
    }

    #[test]
    fn odd_requests_are_refused() {
        for documents in ["[]", "\"a\"", "[\"\"]", "[7]", "[{}]", "[{\"text\":\"\"}]", "[null]", "[[\"a\"]]"]
        {
            let body = format!(r#"{{"model":"m","query":"q","documents":{documents}}}"#);
            assert!(["DI0004", "DI0005"].contains(&error(&body)), "{documents}");
        }
        assert_eq!(error(r#"{"model":"m","documents":["a"]}"#), "DI0005");
        assert_eq!(error(r#"{"model":"m","query":"q","documents":["a"],"top_n":0}"#), "DI0004");
        let many = vec!["\"a\""; DOCUMENTS_MAX + 1].join(",");
        assert_eq!(error(&format!(r#"{{"model":"m","query":"q","documents":[{many}]}}"#)), "DI0004");
    }

    #[test]
    fn the_best_come_first_and_only_as_many_as_were_asked_for() {
        let (request, _) = decode(
            br#"{"model":"m","query":"q","documents":["a","b","c"],"top_n":2,"return_documents":true}"#,
        )
        .expect("read");
        let usage = chat::Usage::default().with(chat::Axis::Input, 9);
        let answer = RerankResponse::of(&request, "m", &[0.25, 0.75, 0.25], usage);
        let text = String::from_utf8(encode_response(&answer).to_vec()).expect("text");
        assert_eq!(
            text,
            r#"{"object":"list","model":"m","results":[{"index":1,"relevance_score":0.75,"document":{"text":"b"}},{"index":0,"relevance_score":0.25,"document":{"text":"a"}}],"usage":{"prompt_tokens":9,"total_tokens":9}}"#
        );
        assert_eq!(decode_response(text.as_bytes()).expect("ours"), [(1, 0.75), (0, 0.25)]);
        for wrong in ["[]", "{}", r#"{"results":[]}"#, r#"{"results":[{"index":0}]}"#] {
            assert!(decode_response(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
