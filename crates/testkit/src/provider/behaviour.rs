//! How the provider answers: one line per way to misbehave.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::dates::{self, DateFormat};
use super::openai::Answer;
use super::{End, Phase, anthropic, openai};
use crate::http::{Peer, Received, Waited};

/// A way to answer. The text is the model's name that asks for it; `:N` is
/// optional and shown with its default.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Behaviour {
    /// Any other name: echoes the last message, calls the first tool, fills the schema.
    Normal,
    /// `reasoning`: as `Normal`, with reasoning content before the answer.
    Reasoning,
    /// `agent:2`: calls its tools in their order, one in each answer, until it has
    /// the results of N calls; then as `Normal`.
    Agent(u32),
    /// `chunks:64`: a stream of exactly N content chunks.
    Chunks(u32),
    /// `drip:1000`: the stream's bytes one by one, with a pause of N ms.
    Drip(u32),
    /// `paced:100`: the stream's events one by one, with a pause of N ms.
    Paced(u32),
    /// `slow:1000`: waits N ms before it answers.
    Slow(u32),
    /// `garbage`: 200 and bytes that are not JSON, nor events.
    Garbage,
    /// `not-http`: bytes that are not even HTTP.
    NotHttp,
    /// `half-event`: the stream ends (well, at the HTTP level) inside an event.
    HalfEvent,
    /// `no-usage`: an answer without usage.
    NoUsage,
    /// `usage-twice`: a stream whose last two chunks both carry usage.
    UsageTwice,
    /// `groq-usage`: usage under `x_groq` in the last content chunk.
    GroqUsage,
    /// `no-done`: a stream without its `[DONE]`.
    NoDone,
    /// `429-seconds:2`: refuses, `retry-after` in seconds.
    RateLimited(u32),
    /// `429-imf:2`, `429-rfc850:2`, `429-asctime:2`: refuses, `retry-after` as a date N seconds ahead.
    RateLimitedUntil(DateFormat, u32),
    /// `500`, `503`, `401`, ...: that status with an error body.
    Status(u16),
    /// `503-then-ok:1`: N times 503, then as `Normal`.
    ThenOk,
    /// `error-event`: an error inside a stream that began well.
    ErrorEvent,
    /// `cut-stream:2`: closes the connection after N content events.
    CutStream(u32),
    /// `cut-head`: closes in the middle of the response's head.
    CutHead,
    /// `cut-before-head`: closes without a byte.
    CutBeforeHead,
    /// `hang-before-head`, `hang-after-head`, `hang-mid-stream:2`: goes silent until the client leaves.
    HangBeforeHead,
    HangAfterHead,
    HangMidStream(u32),
    /// `huge:64`: a body of N MiB.
    Huge(u32),
    /// `redirect`: 307 to a cloud metadata address.
    Redirect,
    /// `wrong-type`: a right body under `text/html`.
    WrongType,
    /// `error-200`: an error's body under a status of success.
    ErrorBody,
    /// `leaky`: an error that repeats the key that it was sent; inside a stream if one was asked for.
    Leaky,
}

impl Behaviour {
    /// What a model's name asks for; `earlier`: requests for it so far.
    pub fn of_model(model: &str, earlier: usize) -> Behaviour {
        use Behaviour as B;
        let (name, n) = match model.split_once(':') {
            Some((name, n)) => (name, n.parse().ok()),
            None => (model, None),
        };
        let or = |default: u32| n.unwrap_or(default);
        match name {
            "reasoning" => B::Reasoning,
            "agent" => B::Agent(or(2)),
            "chunks" => B::Chunks(or(64)),
            "drip" => B::Drip(or(1000)),
            "paced" => B::Paced(or(100)),
            "slow" => B::Slow(or(1000)),
            "garbage" => B::Garbage,
            "not-http" => B::NotHttp,
            "half-event" => B::HalfEvent,
            "no-usage" => B::NoUsage,
            "usage-twice" => B::UsageTwice,
            "groq-usage" => B::GroqUsage,
            "no-done" => B::NoDone,
            "429-seconds" => B::RateLimited(or(2)),
            "429-imf" => B::RateLimitedUntil(DateFormat::Imf, or(2)),
            "429-rfc850" => B::RateLimitedUntil(DateFormat::Rfc850, or(2)),
            "429-asctime" => B::RateLimitedUntil(DateFormat::Asctime, or(2)),
            "503-then-ok" if earlier < or(1) as usize => B::Status(503),
            "503-then-ok" => B::ThenOk,
            "error-event" => B::ErrorEvent,
            "cut-stream" => B::CutStream(or(2)),
            "cut-head" => B::CutHead,
            "cut-before-head" => B::CutBeforeHead,
            "hang-before-head" => B::HangBeforeHead,
            "hang-after-head" => B::HangAfterHead,
            "hang-mid-stream" => B::HangMidStream(or(2)),
            "huge" => B::Huge(or(64)),
            "redirect" => B::Redirect,
            "wrong-type" => B::WrongType,
            "error-200" => B::ErrorBody,
            "leaky" => B::Leaky,
            _ => match name.parse() {
                Ok(status @ 400..=599) => B::Status(status),
                _ => B::Normal,
            },
        }
    }

    /// Whether the connection is closed after it.
    pub(super) fn closes(self) -> bool {
        use Behaviour as B;
        matches!(self, B::CutStream(_) | B::CutHead | B::CutBeforeHead | B::NotHttp)
    }
}

const JSON: &[(&str, &str)] = &[("content-type", "application/json"), ("x-request-id", "req_upstream")];
const EVENTS: &[(&str, &str)] = &[("content-type", "text/event-stream"), ("x-request-id", "req_upstream")];

/// Answers one request.
pub(super) fn perform(
    behaviour: Behaviour,
    peer: &mut Peer,
    request: &Received,
    json: &Value,
    number: usize,
) -> io::Result<End> {
    use Behaviour as B;
    let is_anthropic = request.path.starts_with("/v1/messages");
    let until = |seconds: u32, format| dates::format(now() + i64::from(seconds), format);
    match behaviour {
        B::HangBeforeHead => return Ok(left(peer.wait_gone(), Phase::BeforeHead)),
        B::Slow(ms) if peer.wait(Duration::from_millis(ms.into())) == Waited::Gone => {
            return Ok(End::Left(Phase::BeforeHead));
        }
        B::CutBeforeHead => return Ok(End::Answered),
        B::CutHead => return peer.raw("HTTP/1.1 200 OK\r\ncontent-ty").map(|()| End::Answered),
        B::NotHttp => return peer.raw("\x16\x03\x01 this is not HTTP\r\n\r\n").map(|()| End::Answered),
        B::Garbage => {
            let kind = if json["stream"] == true { EVENTS } else { JSON };
            return answered(peer.answer(200, kind, b"\xff\xfe{]data: nope\n\ndata: {\"a\":\n\n"));
        }
        B::RateLimited(seconds) => return refuse(peer, 429, is_anthropic, Some(&seconds.to_string())),
        B::RateLimitedUntil(format, seconds) => {
            return refuse(peer, 429, is_anthropic, Some(&until(seconds, format)));
        }
        B::Status(status) => return refuse(peer, status, is_anthropic, None),
        B::Redirect => {
            let location = ("location", "http://169.254.169.254/latest/meta-data/");
            return answered(peer.answer(307, &[location], ""));
        }
        B::Huge(mib) => return huge(peer, mib),
        B::ErrorBody => {
            let error =
                json!({"error": {"message": "no provider had room", "type": "server_error", "code": 503}});
            return answered(peer.answer(200, JSON, error.to_string()));
        }
        B::Leaky => return leak(peer, request, json["stream"] == true),
        _ => {}
    }
    let id = format!("{number:04}");
    if is_anthropic {
        return messages(behaviour, peer, request, json, &id);
    }
    match request.path.split('?').next().unwrap_or_default() {
        path if path.ends_with("/chat/completions") => {
            let mut answer = openai::think(json);
            match behaviour {
                B::Reasoning => answer.reasoning = Some("let me think".to_owned()),
                B::Agent(calls) => openai::act(json, &mut answer, calls),
                B::Chunks(n) => answer.text = (0..n).map(|i| format!("t{i} ")).collect(),
                _ => {}
            }
            openai::limit_text(&mut answer, None);
            if json["stream"] == true {
                let chunks = openai::chat_chunks(json, &answer, &id);
                stream(behaviour, peer, openai_events(behaviour, json, &answer, chunks, &id))
            } else {
                unary(behaviour, peer, openai::chat(json, &answer, &id))
            }
        }
        path if path.ends_with("/completions") => {
            let (answer, body) = openai::completion(json, &id);
            if json["stream"] == true {
                let chunks = openai::completion_chunks(json, &answer, &id);
                stream(behaviour, peer, openai_events(behaviour, json, &answer, chunks, &id))
            } else {
                unary(behaviour, peer, body)
            }
        }
        path if path.ends_with("/embeddings") => unary(behaviour, peer, openai::embeddings(json)),
        path if path.ends_with("/rerank") => unary(behaviour, peer, openai::rerank(json)),
        path if path.ends_with("/models") => {
            let models = ["echo", "reasoning"].map(
                |id| json!({"id": id, "object": "model", "created": 1_795_449_609, "owned_by": "testkit"}),
            );
            unary(behaviour, peer, json!({"object": "list", "data": models}))
        }
        _ => refuse(peer, 404, false, None),
    }
}

fn messages(
    behaviour: Behaviour,
    peer: &mut Peer,
    request: &Received,
    json: &Value,
    id: &str,
) -> io::Result<End> {
    if request.path.contains("/count_tokens") {
        return unary(behaviour, peer, json!({"input_tokens": anthropic::input_tokens(json)}));
    }
    let mut answer = anthropic::think(json);
    match behaviour {
        Behaviour::Reasoning => answer.reasoning = Some("let me think".to_owned()),
        Behaviour::Agent(calls) => anthropic::act(json, &mut answer, calls),
        Behaviour::Chunks(n) => answer.text = (0..n).map(|i| format!("t{i} ")).collect(),
        _ => {}
    }
    openai::limit_text(&mut answer, None);
    if json["stream"] != true {
        return unary(behaviour, peer, anthropic::message(json, &answer, id));
    }
    let with_usage = behaviour != Behaviour::NoUsage;
    let mut events: Vec<_> = anthropic::events(json, &answer, id, with_usage)
        .into_iter()
        .map(|(name, data)| format!("event: {name}\ndata: {data}\n\n"))
        .collect();
    match behaviour {
        Behaviour::UsageTwice => {
            let again = events.len() - 2;
            events.insert(again, events[again].clone());
        }
        Behaviour::ErrorEvent => {
            events.truncate(4);
            let error =
                json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
            events.push(format!("event: error\ndata: {error}\n\n"));
        }
        _ => {}
    }
    stream(behaviour, peer, events)
}

fn openai_events(
    behaviour: Behaviour,
    request: &Value,
    answer: &Answer,
    mut chunks: Vec<Value>,
    id: &str,
) -> Vec<String> {
    use Behaviour as B;
    let wants_usage = request["stream_options"]["include_usage"] == true;
    match behaviour {
        B::GroqUsage => {
            if let Some(last) = chunks.last_mut() {
                last["x_groq"] = json!({"id": "req_groq", "usage": openai::usage(answer)});
            }
        }
        B::NoUsage => {}
        B::UsageTwice => {
            if let Some(last) = chunks.last_mut() {
                last["usage"] = openai::usage(answer);
            }
            chunks.push(openai::usage_chunk(request, answer, id));
        }
        B::ErrorEvent => {
            chunks.truncate(3);
            chunks.push(
                json!({"error": {"message": "the model fell over", "type": "server_error", "code": 500}}),
            );
        }
        _ if wants_usage => chunks.push(openai::usage_chunk(request, answer, id)),
        _ => {}
    }
    let mut events: Vec<_> = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    if !matches!(behaviour, B::NoDone | B::ErrorEvent) {
        events.push("data: [DONE]\n\n".to_owned());
    }
    events
}

fn unary(behaviour: Behaviour, peer: &mut Peer, mut body: Value) -> io::Result<End> {
    match behaviour {
        Behaviour::NoUsage => {
            body.as_object_mut().map(|object| object.shift_remove("usage"));
        }
        Behaviour::WrongType => {
            return answered(peer.answer(200, &[("content-type", "text/html")], body.to_string()));
        }
        Behaviour::HangAfterHead | Behaviour::HangMidStream(_) => {
            peer.raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n")?;
            return Ok(left(peer.wait_gone(), Phase::AfterHead));
        }
        Behaviour::CutStream(_) | Behaviour::HalfEvent => {
            let text = body.to_string();
            peer.raw(format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{}",
                text.len(),
                &text[..20]
            ))?;
            return Ok(End::Left(Phase::MidStream));
        }
        Behaviour::Drip(ms) => {
            let text = body.to_string();
            peer.raw(format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                text.len()
            ))?;
            for byte in text.bytes() {
                peer.raw([byte])?;
                if peer.wait(Duration::from_millis(ms.into())) == Waited::Gone {
                    return Ok(End::Left(Phase::MidStream));
                }
            }
            return Ok(End::Answered);
        }
        _ => {}
    }
    answered(peer.answer(200, JSON, body.to_string()))
}

fn stream(behaviour: Behaviour, peer: &mut Peer, events: Vec<String>) -> io::Result<End> {
    use Behaviour as B;
    let kind: &[(&str, &str)] =
        if behaviour == B::WrongType { &[("content-type", "text/html")] } else { EVENTS };
    peer.start_chunked(200, kind)?;
    if behaviour == B::HangAfterHead {
        return Ok(left(peer.wait_gone(), Phase::AfterHead));
    }
    let whole = events.concat();
    match behaviour {
        B::Drip(ms) => {
            for byte in whole.bytes() {
                peer.chunk([byte])?;
                if peer.wait(Duration::from_millis(ms.into())) == Waited::Gone {
                    return Ok(End::Left(Phase::MidStream));
                }
            }
        }
        B::HalfEvent => {
            // Two whole events and half of the third.
            let cut = events.iter().take(2).map(String::len).sum::<usize>() + 30;
            peer.chunk(&whole.as_bytes()[..cut.min(whole.len())])?;
        }
        _ => {
            for (i, event) in events.iter().enumerate() {
                match behaviour {
                    // The first event carries the role, not content.
                    B::CutStream(n) if i > n as usize => return Ok(End::Answered),
                    B::HangMidStream(n) if i > n as usize => {
                        return Ok(left(peer.wait_gone(), Phase::MidStream));
                    }
                    B::Paced(ms) if peer.wait(Duration::from_millis(ms.into())) == Waited::Gone => {
                        return Ok(End::Left(Phase::MidStream));
                    }
                    _ => {}
                }
                peer.chunk(event)?;
            }
        }
    }
    answered(peer.end_chunked())
}

fn huge(peer: &mut Peer, mib: u32) -> io::Result<End> {
    let block = vec![b'x'; 1 << 20];
    let length = (u64::from(mib) << 20) + 12;
    peer.raw(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{{\"echo\": \""
    ))?;
    for _ in 0..mib {
        if peer.raw(&block).is_err() {
            return Ok(End::Left(Phase::MidStream));
        }
    }
    answered(peer.raw("\"}"))
}

fn refuse(peer: &mut Peer, status: u16, is_anthropic: bool, retry_after: Option<&str>) -> io::Result<End> {
    let kind = match status {
        401 => "authentication_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    };
    let message = format!("the scripted provider answers {status}");
    let body = if is_anthropic {
        json!({"type": "error", "error": {"type": kind, "message": message}})
    } else {
        json!({"error": {"type": kind, "message": message, "param": null, "code": status.to_string()}})
    };
    let mut headers = JSON.to_vec();
    headers.extend(retry_after.map(|value| ("retry-after", value)));
    answered(peer.answer(status, &headers, body.to_string()))
}

fn leak(peer: &mut Peer, request: &Received, stream: bool) -> io::Result<End> {
    let key = request.header("authorization").or(request.header("x-api-key")).unwrap_or_default();
    let message = format!("Incorrect API key provided: {key}. ({key})");
    let error = json!({"error": {"message": message, "type": key, "param": null, "code": "invalid_api_key"}});
    if !stream {
        return answered(peer.answer(401, JSON, error.to_string()));
    }
    peer.start_chunked(200, EVENTS)?;
    peer.chunk(format!("data: {error}\n\n"))?;
    answered(peer.end_chunked())
}

fn left(waited: Waited, phase: Phase) -> End {
    if waited == Waited::Gone { End::Left(phase) } else { End::Answered }
}

fn answered(sent: io::Result<()>) -> io::Result<End> {
    sent.map(|()| End::Answered)
}

#[expect(clippy::disallowed_methods, reason = "a retry-after date is relative to the real clock")]
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default()
}
