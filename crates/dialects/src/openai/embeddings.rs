//! `/v1/embeddings`: texts or token lists in, vectors out.

use base64ct::{Base64, Encoding};
use bytes::Bytes;
use chat::{Axis, EmbedInput, EmbedRequest, EmbedResponse};

use crate::fields::{self, Lenient, add, list, some_text, text_of, whole};
use crate::json;
use crate::{Encoded, Error, usage};

/// Inputs in one call; OpenAI's own limit.
const INPUTS_MAX: usize = 2048;
/// No embedding model in sight has more.
const DIMENSIONS_MAX: u64 = 65_536;

/// Reads an embeddings request, and the names of the fields nobody here knows.
///
/// # Errors
/// DI0001-DI0005.
pub fn decode(body: &[u8]) -> Result<(EmbedRequest, Vec<String>), Error> {
    let mut request =
        EmbedRequest { model: String::new(), input: Vec::new(), dimensions: None, base64: false, user: None };
    let (mut unknown, mut has_input) = (Vec::new(), false);
    let all = fields::body(body)?;
    let text = fields::text(body);
    for (key, span) in all {
        let value = &text[span];
        match key.as_str() {
            "model" => request.model = text_of(&key, value)?,
            "input" => {
                has_input = true;
                request.input = inputs(value)?;
            }
            "dimensions" => {
                request.dimensions = whole(&key, value, 1, DIMENSIONS_MAX)?.map(|d| d as u32);
            }
            "encoding_format" => {
                request.base64 = match value {
                    "\"base64\"" => true,
                    "\"float\"" | "null" => false,
                    _ => return Err(Error::field(key, value, "float or base64")),
                }
            }
            "user" => request.user = some_text(&key, value)?,
            _ if value == "null" => {}
            _ => add(&mut unknown, key),
        }
    }
    if request.model.is_empty() {
        return Err(Error::missing("model"));
    }
    if !has_input {
        return Err(Error::missing("input"));
    }
    Ok((request, unknown))
}

fn inputs(value: &str) -> Result<Vec<EmbedInput>, Error> {
    let expected = "a text, a list of texts, a list of token ids, or a list of such lists";
    if value.starts_with('"') {
        return Ok(vec![EmbedInput::Text(filled("input", value)?)]);
    }
    let items = list("input", value).map_err(|_| Error::field("input", value, expected))?;
    match items.first() {
        None => Err(Error::field("input", value, expected)),
        Some(first) if first.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
            Ok(vec![EmbedInput::Tokens(tokens("input", &items)?)])
        }
        Some(_) if items.len() > INPUTS_MAX => Err(Error::field(
            "input",
            &format!("a list of {}", items.len()),
            format!("at most {INPUTS_MAX} inputs"),
        )),
        Some(_) => (0usize..)
            .zip(items)
            .map(|(i, item)| {
                let path = format!("input[{i}]");
                match item.as_bytes().first() {
                    Some(b'"') => filled(&path, item).map(EmbedInput::Text),
                    Some(b'[') => tokens(&path, &list(&path, item)?).map(EmbedInput::Tokens),
                    _ => Err(Error::field(path, item, expected)),
                }
            })
            .collect(),
    }
}

fn filled(path: &str, value: &str) -> Result<String, Error> {
    let text = text_of(path, value)?;
    if text.is_empty() { Err(Error::field(path, value, "a text that is not empty")) } else { Ok(text) }
}

fn tokens(path: &str, items: &[&str]) -> Result<Vec<u32>, Error> {
    if items.is_empty() {
        return Err(Error::field(path, "[]", "at least one token id"));
    }
    items
        .iter()
        .map(|item| match whole(path, item, 0, u32::MAX.into())? {
            Some(id) => Ok(id as u32),
            None => Err(Error::field(path, "null", "a token id")),
        })
        .collect()
}

/// Writes an embeddings request for a target. Floats are asked for: one answer
/// shape to read, and a client's base64 is made here.
pub fn encode(model: &str, request: &EmbedRequest) -> Encoded {
    let body = json::text(|w| {
        w.object(|w| {
            w.field_str("model", model);
            w.key("input");
            match &request.input[..] {
                [EmbedInput::Text(text)] => w.str(text),
                many => w.list(many, |w, input| match input {
                    EmbedInput::Text(text) => w.str(text),
                    EmbedInput::Tokens(ids) => w.list(ids, |w, id| w.num(id)),
                }),
            }
            w.some_num("dimensions", request.dimensions);
            w.field_str("encoding_format", "float");
            w.some_str("user", request.user.as_deref());
        });
    });
    Encoded { body, dropped: Vec::new() }
}

/// Reads a target's vectors, floats or base64.
///
/// # Errors
/// UP0004 without a list of vectors, or with one that is not numbers.
pub fn decode_response(body: &[u8]) -> Result<EmbedResponse, Error> {
    let broken = |because: String| Error::Upstream { because };
    let top = Lenient::body(body).ok_or_else(|| broken("it is not a JSON object".into()))?;
    if !top.has("data") {
        return Err(broken("it has no `data`".into()));
    }
    let mut rows = Vec::new();
    for (position, item) in (0u64..).zip(top.objects("data")) {
        let vector = match item.raw("embedding") {
            Some(v) if v.starts_with('"') => from_base64(&item.text("embedding")),
            Some(v) if v.starts_with('[') => {
                item.list("embedding").into_iter().map(|n| n.parse::<f32>().ok()).collect()
            }
            _ => None,
        };
        let vector = vector.ok_or_else(|| broken(format!("vector {position} is not a list of numbers")))?;
        rows.push((item.u64("index").unwrap_or(position), vector));
    }
    rows.sort_by_key(|(index, _)| *index);
    Ok(EmbedResponse {
        model: top.text("model"),
        vectors: rows.into_iter().map(|(_, vector)| vector).collect(),
        usage: usage::from_openai(&top.object("usage")).unwrap_or_default(),
    })
}

fn from_base64(text: &str) -> Option<Vec<f32>> {
    let bytes = Base64::decode_vec(text).ok()?;
    let (floats, tail) = bytes.as_chunks::<4>();
    tail.is_empty().then(|| floats.iter().map(|f| f32::from_le_bytes(*f)).collect())
}

/// Writes vectors for a client. `base64`: little-endian f32, which the official
/// Python SDK asks for by itself.
pub fn encode_response(response: &EmbedResponse, base64: bool) -> Bytes {
    json::text(|w| {
        w.object(|w| {
            w.field_str("object", "list");
            w.key("data").list((0u32..).zip(&response.vectors), |w, (index, vector)| {
                w.object(|w| {
                    w.field_str("object", "embedding");
                    w.field_num("index", index);
                    w.key("embedding");
                    if base64 {
                        let bytes: Vec<u8> = vector.iter().flat_map(|f| f.to_le_bytes()).collect();
                        w.str(&Base64::encode_string(&bytes));
                    } else {
                        w.list(vector, |w, f| w.float(*f));
                    }
                });
            });
            w.field_str("model", &response.model);
            let input: u64 = response.usage.iter().map(|(_, t)| t).sum();
            w.field_object("usage", |w| {
                w.field_num("prompt_tokens", input);
                w.field_num("total_tokens", input);
            });
        });
    })
}

/// Estimated tokens of a request, for a hold: 4 bytes a token, token ids as they are.
pub fn estimate(request: &EmbedRequest) -> u64 {
    let tokens = request.input.iter().map(|input| match input {
        EmbedInput::Text(text) => text.len().div_ceil(4) as u64,
        EmbedInput::Tokens(ids) => ids.len() as u64,
    });
    tokens.sum()
}

/// The usage of an embeddings answer that has none of its own.
pub fn estimated_usage(request: &EmbedRequest) -> chat::Usage {
    let mut usage = chat::Usage::default().with(Axis::Input, estimate(request));
    usage.source = chat::UsageSource::Estimated;
    usage
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(body: &str) -> &'static str {
        decode(body.as_bytes()).expect_err("refused").code()
    }

    #[test]
    fn inputs_of_every_shape_are_read() {
        for (input, want) in [
            (r#""hi""#, vec![EmbedInput::Text("hi".into())]),
            (r#"["a","b"]"#, vec![EmbedInput::Text("a".into()), EmbedInput::Text("b".into())]),
            (r#"[1,2]"#, vec![EmbedInput::Tokens(vec![1, 2])]),
            (r#"[[1],[2,3]]"#, vec![EmbedInput::Tokens(vec![1]), EmbedInput::Tokens(vec![2, 3])]),
        ] {
            let (request, unknown) =
                decode(format!(r#"{{"model":"m","input":{input},"x":1}}"#).as_bytes()).expect(input);
            assert_eq!((request.input, unknown), (want, vec!["x".to_string()]));
        }
    }

    #[test]
    fn odd_inputs_are_refused() {
        for input in ["[]", "\"\"", "[\"\"]", "[-1]", "[4294967296]", "[[]]", "null", "7", "[true]", "[null]"]
        {
            assert_eq!(error(&format!(r#"{{"model":"m","input":{input}}}"#)), "DI0004", "{input}");
        }
        assert_eq!(error(r#"{"model":"m"}"#), "DI0005");
        assert_eq!(error(r#"{"model":"m","input":"a","dimensions":0}"#), "DI0004");
        let many = vec!["\"a\""; INPUTS_MAX + 1].join(",");
        assert_eq!(error(&format!(r#"{{"model":"m","input":[{many}]}}"#)), "DI0004");
    }

    #[test]
    fn vectors_survive_both_encodings() {
        let response = EmbedResponse {
            model: "m".into(),
            vectors: vec![vec![0.25, -1.5e-7, 3.0], vec![1.0]],
            usage: chat::Usage::default().with(Axis::Input, 7),
        };
        for base64 in [false, true] {
            let read = decode_response(&encode_response(&response, base64)).expect("ours");
            assert_eq!(read.vectors, response.vectors);
            assert_eq!(read.usage.get(Axis::Input), 7);
        }
        assert!(decode_response(br#"{"data":[{"embedding":["x"]}]}"#).is_err());
        assert!(decode_response(br#"{"data":[{"embedding":"AAA"}]}"#).is_err());
    }
}
