//! `chat`: one question through a client's own dialect, streamed.

use std::io::{Read, Write};
use std::process::ExitCode;

use report::Report;
use serde::Serialize;
use serde_json::{Value, json};

use super::show;
use crate::Failure;
use crate::args::{Chat, Dialect};
use crate::client::Server;
use crate::sse::{Event, Events};

/// What came back.
#[derive(Debug, Default, Serialize)]
struct Answer {
    text: String,
    model: String,
    request_id: Option<String>,
    target: Option<String>,
    cost_usd: Option<String>,
    input_tokens: u64,
    output_tokens: u64,
    finish: Option<String>,
    first_token_ms: f64,
    total_ms: f64,
    /// `exact`: an answer that was kept, which nothing wrote now.
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<String>,
    /// What the answer rests on, where a collection was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    citations: Option<Value>,
    /// What was brought back of earlier turns, and what is kept of this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    recalled: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remembered: Option<Value>,
    /// Output tokens per second after the first one.
    tokens_per_second: Option<f64>,
}

pub(super) fn run(server: &Server, args: &Chat, json: bool) -> Result<ExitCode, Failure> {
    let prompt = prompt(&args.prompt)?;
    let (path, body) = request(args, &prompt);
    let started = runtime::clock::monotonic_us();
    let mut answer = Answer::default();
    let mut events = Events::default();
    let mut first_us = None;
    let mut error = None;
    let mut cost = None;
    let mut beside = None;
    let headers = server.stream(path, &body, |piece| {
        events.push(piece, |event| {
            let data = match event {
                Event::Data(data) => data,
                Event::Comment(comment) => {
                    cost = comment.strip_prefix("bedplate-cost ").map(str::to_owned).or(cost.take());
                    let ours =
                        comment.strip_prefix("bedplate ").and_then(|t| serde_json::from_str::<Value>(t).ok());
                    beside = ours.or(beside.take());
                    return;
                }
            };
            let Ok(event) = serde_json::from_str::<Value>(data) else { return };
            let text = match args.dialect {
                Dialect::Openai => openai(&event, &mut answer),
                Dialect::Anthropic => anthropic(&event, &mut answer),
            };
            if let Some(message) = event["error"]["message"].as_str() {
                error = Some(message.to_owned());
            }
            if let Some(text) = text {
                first_us.get_or_insert_with(runtime::clock::monotonic_us);
                if !json {
                    let mut out = std::io::stdout().lock();
                    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
                }
                answer.text.push_str(text);
            }
        });
        Ok(())
    })?;
    let ended = runtime::clock::monotonic_us();
    if !json {
        println!();
    }
    if let Some(message) = error {
        return Err(Report::new("UP0005", message).into());
    }
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    answer.request_id = header("x-request-id");
    answer.target = header("bedplate-target");
    answer.cost_usd = cost.or(header("bedplate-cost"));
    let mut part = |name: &str| beside.as_mut().map(|all| all[name].take()).filter(|part| !part.is_null());
    answer.citations = part("citations");
    answer.recalled = part("recalled");
    answer.remembered = part("remembered");
    answer.cache = header("bedplate-cache").filter(|kept| kept != "miss");
    answer.total_ms = (ended - started) as f64 / 1e3;
    if let Some(first) = first_us {
        answer.first_token_ms = (first - started) as f64 / 1e3;
        let after = ended.saturating_sub(first) as f64 / 1e6;
        if answer.output_tokens > 1 && after > 0.0 && answer.cache.is_none() {
            answer.tokens_per_second = Some((answer.output_tokens - 1) as f64 / after);
        }
    }
    if json {
        show(json, &answer, |_| String::new());
    } else {
        eprint!("{}", sources(&answer));
        eprintln!("{}", footer(&answer));
    }
    Ok(ExitCode::SUCCESS)
}

/// One line for each passage that the model was given, and one for what was said before.
fn sources(answer: &Answer) -> String {
    let given = answer.citations.as_ref().and_then(Value::as_array);
    let lines = given.into_iter().flatten().map(|c| {
        let source = c["source"].as_str().unwrap_or_default();
        format!("[{}] {source} (version {}, bytes {} to {})\n", c["id"], c["version"], c["start"], c["end"])
    });
    let recalled = answer.recalled.as_ref().map(|recalled| {
        let count = |what: &str| recalled[what].as_array().map_or(0, Vec::len);
        format!("recalled {} turns and {} facts\n", count("turns"), count("facts"))
    });
    lines.chain(recalled).collect()
}

fn footer(answer: &Answer) -> String {
    let mut parts = vec![format!(
        "{} tokens in, {} out, first after {:.0} ms, {:.0} ms in all",
        answer.input_tokens, answer.output_tokens, answer.first_token_ms, answer.total_ms
    )];
    if let Some(rate) = answer.tokens_per_second {
        parts.push(format!("{rate:.0} tokens/s"));
    }
    if let Some(kept) = &answer.cache {
        parts.push(format!("from the cache, {kept}"));
    }
    if let Some(cost) = &answer.cost_usd {
        parts.push(format!("{cost} USD"));
    }
    if let Some(target) = &answer.target {
        parts.push(target.clone());
    }
    let mut text = format!("[{}]", parts.join(" | "));
    if let Some(id) = &answer.request_id {
        text.push_str(&format!("\nbedplate explain {id}"));
    }
    text
}

fn prompt(given: &str) -> Result<String, Failure> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|e| Report::new("CL0004", "could not read standard input").because(e.to_string()))?;
    Ok(text)
}

fn request(args: &Chat, prompt: &str) -> (&'static str, Value) {
    let user = json!({ "role": "user", "content": prompt });
    let (path, mut body) = match args.dialect {
        Dialect::Openai => {
            let system = args.system.as_ref().map(|s| json!({ "role": "system", "content": s }));
            let messages: Vec<Value> = system.into_iter().chain([user]).collect();
            let body = json!({ "messages": messages, "stream_options": { "include_usage": true } });
            ("/v1/chat/completions", body)
        }
        Dialect::Anthropic => {
            let mut body = json!({ "messages": [user] });
            if let Some(system) = &args.system {
                body["system"] = json!(system);
            }
            ("/v1/messages", body)
        }
    };
    body["model"] = json!(args.model);
    body["stream"] = json!(true);
    body["max_tokens"] = json!(args.max_tokens);
    if let Some(conversation) = &args.conversation {
        body["bedplate"]["conversation"] = json!(conversation);
        body["bedplate"]["learn"] = json!(args.learn);
    }
    if let Some(turns) = args.recall {
        let across = args.conversation.is_none();
        body["bedplate"]["recall"] = json!({ "turns": turns, "facts": turns, "across": across });
    }
    if let Some(collection) = &args.collection {
        body["bedplate"]["retrieve"] = json!({ "collection": collection });
        if let Some(passages) = args.passages {
            body["bedplate"]["retrieve"]["k"] = json!(passages);
        }
    }
    if let Some(temperature) = args.temperature {
        body["temperature"] = json!(temperature);
    }
    if let Some(seed) = args.seed.filter(|_| args.dialect == Dialect::Openai) {
        body["seed"] = json!(seed);
    }
    (path, body)
}

fn openai<'e>(event: &'e Value, answer: &mut Answer) -> Option<&'e str> {
    if let Some(model) = event["model"].as_str() {
        model.clone_into(&mut answer.model);
    }
    if let Some(usage) = event["usage"].as_object() {
        let count = |name: &str| usage.get(name).and_then(Value::as_u64);
        answer.input_tokens = count("prompt_tokens").unwrap_or(answer.input_tokens);
        answer.output_tokens = count("completion_tokens").unwrap_or(answer.output_tokens);
    }
    let choice = &event["choices"][0];
    if let Some(finish) = choice["finish_reason"].as_str() {
        answer.finish = Some(finish.to_owned());
    }
    choice["delta"]["content"].as_str().filter(|t| !t.is_empty())
}

fn anthropic<'e>(event: &'e Value, answer: &mut Answer) -> Option<&'e str> {
    match event["type"].as_str()? {
        "message_start" => {
            let message = &event["message"];
            message["model"].as_str().unwrap_or_default().clone_into(&mut answer.model);
            answer.input_tokens = message["usage"]["input_tokens"].as_u64().unwrap_or(0);
            None
        }
        "content_block_delta" => event["delta"]["text"].as_str(),
        "message_delta" => {
            let usage = &event["usage"];
            answer.output_tokens = usage["output_tokens"].as_u64().unwrap_or(answer.output_tokens);
            answer.input_tokens = usage["input_tokens"].as_u64().unwrap_or(answer.input_tokens);
            answer.finish = event["delta"]["stop_reason"].as_str().map(str::to_owned);
            None
        }
        _ => None,
    }
}
