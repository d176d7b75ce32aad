//! The Anthropic side of the scripted provider.

use serde_json::{Value, json};

use super::openai::{Answer, count, limit_text, step, text_of, tokens};
use super::schema;

pub(super) fn input_tokens(request: &Value) -> u64 {
    let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let said: u64 = messages.iter().map(|m| count(&text_of(&m["content"])) + 3).sum();
    (said + count(&text_of(&request["system"]))).max(1)
}

pub(super) fn think(request: &Value) -> Answer {
    let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let last = messages.last().map(|m| &m["content"]).unwrap_or(&Value::Null);
    let result = last.as_array().and_then(|all| all.iter().find(|block| block["type"] == "tool_result"));
    let mut answer = Answer {
        text: match result {
            Some(result) => format!("The tool said: {}", text_of(&result["content"])),
            None => format!("echo: {}", text_of(last)),
        },
        reasoning: (request["thinking"]["type"] == "enabled").then(|| "let me think".to_owned()),
        tools: Vec::new(),
        prompt_tokens: input_tokens(request),
        completion_tokens: 0,
        cut: false,
    };
    let tools = request["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    let wanted = request["tool_choice"]["name"].as_str();
    let in_parallel = request["tool_choice"]["disable_parallel_tool_use"] == false;
    let calls = if in_parallel { tools.len() } else { 1 };
    let called = tools.iter().filter(|t| wanted.is_none_or(|name| t["name"] == name));
    if request["tool_choice"]["type"] != "none" && (result.is_none() || wanted.is_some()) {
        for tool in called.take(calls) {
            let name = tool["name"].as_str().unwrap_or_default().to_owned();
            answer.tools.push((name, schema::instance(&tool["input_schema"])));
            answer.text = String::new();
        }
    }
    if request["output_config"]["format"]["type"] == "json_schema" {
        answer.text = schema::instance(&request["output_config"]["format"]["schema"]).to_string();
    }
    limit_text(&mut answer, request["max_tokens"].as_u64());
    answer
}

/// As [`super::openai::act`].
pub(super) fn act(request: &Value, answer: &mut Answer, calls: u32) {
    let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let blocks = messages.iter().filter_map(|m| m["content"].as_array()).flatten();
    let done = blocks.filter(|block| block["type"] == "tool_result").count();
    let tools = request["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of = |tool: &Value| (tool["name"].clone(), tool["input_schema"].clone());
    step(answer, done, calls, &tools.iter().map(of).collect::<Vec<_>>());
}

fn stop_reason(answer: &Answer) -> &'static str {
    match answer {
        Answer { tools, .. } if !tools.is_empty() => "tool_use",
        Answer { cut: true, .. } => "max_tokens",
        _ => "end_turn",
    }
}

fn blocks(answer: &Answer, id: &str) -> Vec<Value> {
    let mut blocks = Vec::new();
    if let Some(reasoning) = &answer.reasoning {
        blocks.push(json!({"type": "thinking", "thinking": reasoning, "signature": "c2lnbmVk"}));
    }
    if !answer.text.is_empty() {
        blocks.push(json!({"type": "text", "text": answer.text}));
    }
    for (i, (name, input)) in answer.tools.iter().enumerate() {
        let id = if i == 0 { format!("toolu_{id}") } else { format!("toolu_{id}_{i}") };
        blocks.push(json!({"type": "tool_use", "id": id, "name": name, "input": input}));
    }
    blocks
}

fn usage(answer: &Answer, output: u64) -> Value {
    json!({"input_tokens": answer.prompt_tokens, "output_tokens": output,
        "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0})
}

pub(super) fn message(request: &Value, answer: &Answer, id: &str) -> Value {
    json!({"id": format!("msg_{id}"), "type": "message", "role": "assistant", "model": request["model"],
        "content": blocks(answer, id), "stop_reason": stop_reason(answer), "stop_sequence": null,
        "usage": usage(answer, answer.completion_tokens)})
}

/// Names and payloads of a streamed message. `with_usage`: what a broken server leaves out.
pub(super) fn events(
    request: &Value,
    answer: &Answer,
    id: &str,
    with_usage: bool,
) -> Vec<(&'static str, Value)> {
    let mut start = message(request, answer, id);
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    start["usage"] = if with_usage { usage(answer, 1) } else { json!({}) };
    let mut events = vec![("message_start", json!({"type": "message_start", "message": start}))];
    events.push(("ping", json!({"type": "ping"})));
    for (index, block) in blocks(answer, id).into_iter().enumerate() {
        let (empty, deltas) = opened(&block);
        let start = json!({"type": "content_block_start", "index": index, "content_block": empty});
        events.push(("content_block_start", start));
        for delta in deltas {
            let delta = json!({"type": "content_block_delta", "index": index, "delta": delta});
            events.push(("content_block_delta", delta));
        }
        events.push(("content_block_stop", json!({"type": "content_block_stop", "index": index})));
    }
    let mut end = json!({"type": "message_delta",
        "delta": {"stop_reason": stop_reason(answer), "stop_sequence": null}});
    if with_usage {
        end["usage"] = json!({"output_tokens": answer.completion_tokens});
    }
    events.push(("message_delta", end));
    events.push(("message_stop", json!({"type": "message_stop"})));
    events
}

/// A block as it starts, and the deltas that fill it.
fn opened(block: &Value) -> (Value, Vec<Value>) {
    match block["type"].as_str() {
        Some("tool_use") => {
            let text = block["input"].to_string();
            let middle = (0..=text.len() / 2).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
            let mut empty = block.clone();
            empty["input"] = json!({});
            let parts = [&text[..middle], &text[middle..]];
            (empty, parts.map(|p| json!({"type": "input_json_delta", "partial_json": p})).to_vec())
        }
        Some("thinking") => {
            let thought = block["thinking"].as_str().unwrap_or_default();
            let mut deltas: Vec<_> =
                tokens(thought).iter().map(|t| json!({"type": "thinking_delta", "thinking": t})).collect();
            deltas.push(json!({"type": "signature_delta", "signature": block["signature"]}));
            (json!({"type": "thinking", "thinking": "", "signature": ""}), deltas)
        }
        _ => {
            let text = block["text"].as_str().unwrap_or_default();
            let deltas = tokens(text).iter().map(|t| json!({"type": "text_delta", "text": t})).collect();
            (json!({"type": "text", "text": ""}), deltas)
        }
    }
}
