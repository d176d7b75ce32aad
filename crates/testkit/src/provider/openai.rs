//! The OpenAI side of the scripted provider: what a well-behaved server says.

use serde_json::{Value, json};

use super::schema;

/// What the model would answer, before it is put in a wire format.
pub(super) struct Answer {
    pub text: String,
    pub reasoning: Option<String>,
    /// Names and arguments: one call, or one of each tool when calls in parallel are asked for.
    pub tools: Vec<(String, Value)>,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    /// Cut by `max_tokens`.
    pub cut: bool,
}

/// Text split so that the pieces joined give it back: one "token" each.
pub(super) fn tokens(text: &str) -> Vec<&str> {
    text.split_inclusive(' ').collect()
}

/// One word is one token.
pub(super) fn count(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

/// All text inside a message's content, string or parts.
pub(super) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part["text"].as_str());
            texts.collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}

pub(super) fn think(request: &Value) -> Answer {
    let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let prompt_tokens = messages.iter().map(|m| count(&text_of(&m["content"])) + 3).sum::<u64>().max(1);
    let last = messages.last();
    let said = last.map(|m| text_of(&m["content"])).unwrap_or_default();
    let after_tool = last.is_some_and(|m| m["role"] == "tool");
    let mut answer = Answer {
        text: if after_tool { format!("The tool said: {said}") } else { format!("echo: {said}") },
        reasoning: None,
        tools: Vec::new(),
        prompt_tokens,
        completion_tokens: 0,
        cut: false,
    };
    let tools = request["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    let wanted = request["tool_choice"]["function"]["name"].as_str();
    let calls = if request["parallel_tool_calls"] == true { tools.len() } else { 1 };
    let called = tools.iter().filter(|t| wanted.is_none_or(|name| t["function"]["name"] == name));
    if request["tool_choice"] != "none" && (!after_tool || wanted.is_some()) {
        for tool in called.take(calls) {
            let name = tool["function"]["name"].as_str().unwrap_or_default().to_owned();
            answer.tools.push((name, schema::instance(&tool["function"]["parameters"])));
            answer.text = String::new();
        }
    }
    match request["response_format"]["type"].as_str() {
        Some("json_object") => answer.text = json!({"echo": said}).to_string(),
        Some("json_schema") => {
            answer.text = schema::instance(&request["response_format"]["json_schema"]["schema"]).to_string();
        }
        _ => {}
    }
    let limit = request["max_completion_tokens"].as_u64().or(request["max_tokens"].as_u64());
    limit_text(&mut answer, limit);
    answer
}

/// One more call, while there are fewer results than that.
pub(super) fn act(request: &Value, answer: &mut Answer, calls: u32) {
    let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let done = messages.iter().filter(|m| m["role"] == "tool").count();
    let tools = request["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of = |tool: &Value| (tool["function"]["name"].clone(), tool["function"]["parameters"].clone());
    step(answer, done, calls, &tools.iter().map(of).collect::<Vec<_>>());
}

/// Calls the next of these tools (name and schema), saying which step it is.
pub(super) fn step(answer: &mut Answer, done: usize, calls: u32, tools: &[(Value, Value)]) {
    if done >= calls as usize || tools.is_empty() {
        return;
    }
    let (name, schema) = &tools[done % tools.len()];
    answer.tools = vec![(name.as_str().unwrap_or_default().to_owned(), schema::instance(schema))];
    answer.text = format!("step {}", done + 1);
}

pub(super) fn limit_text(answer: &mut Answer, limit: Option<u64>) {
    if let Some(limit) = limit
        && count(&answer.text) > limit
    {
        let kept = usize::try_from(limit).unwrap_or(usize::MAX);
        answer.text = tokens(&answer.text).into_iter().take(kept).collect::<String>().trim_end().to_owned();
        answer.cut = true;
    }
    let tool_tokens: u64 =
        answer.tools.iter().map(|(_, arguments)| arguments.to_string().len() as u64 / 4 + 1).sum();
    answer.completion_tokens =
        count(&answer.text) + tool_tokens + answer.reasoning.as_deref().map_or(0, count);
}

pub(super) fn usage(answer: &Answer) -> Value {
    json!({
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": answer.reasoning.as_deref().map_or(0, count)},
    })
}

fn finish(answer: &Answer) -> &'static str {
    match answer {
        Answer { tools, .. } if !tools.is_empty() => "tool_calls",
        Answer { cut: true, .. } => "length",
        _ => "stop",
    }
}

/// The first call of an answer keeps the plain name.
fn call_id(id: &str, i: usize) -> String {
    if i == 0 { format!("call_{id}") } else { format!("call_{id}_{i}") }
}

fn logprobs(request: &Value, pieces: &[&str]) -> Value {
    if request["logprobs"] != true {
        return Value::Null;
    }
    let content: Vec<_> = pieces
        .iter()
        .map(|t| json!({"token": t, "logprob": -0.25, "bytes": t.as_bytes(), "top_logprobs": []}))
        .collect();
    json!({"content": content, "refusal": null})
}

pub(super) fn chat(request: &Value, answer: &Answer, id: &str) -> Value {
    let mut message = json!({"role": "assistant", "content": answer.text, "refusal": null});
    if let Some(reasoning) = &answer.reasoning {
        message["reasoning_content"] = reasoning.clone().into();
    }
    if !answer.tools.is_empty() {
        let call = |(i, (name, arguments)): (usize, &(String, Value))| {
            json!({"id": call_id(id, i), "type": "function",
                "function": {"name": name, "arguments": arguments.to_string()}})
        };
        if answer.text.is_empty() {
            message["content"] = Value::Null;
        }
        message["tool_calls"] = answer.tools.iter().enumerate().map(call).collect();
    }
    let n = request["n"].as_u64().unwrap_or(1);
    let choices: Vec<_> = (0..n)
        .map(|index| {
            json!({"index": index, "message": message, "finish_reason": finish(answer),
                "logprobs": logprobs(request, &tokens(&answer.text))})
        })
        .collect();
    json!({"id": format!("chatcmpl-{id}"), "object": "chat.completion", "created": 1_795_449_609,
        "model": request["model"], "choices": choices, "usage": usage(answer), "system_fingerprint": "fp_test"})
}

/// The `data:` payloads of a streamed chat, without the usage chunk and `[DONE]`.
pub(super) fn chat_chunks(request: &Value, answer: &Answer, id: &str) -> Vec<Value> {
    let chunk = |index: u64, delta: Value, finish_reason: Value, logprobs: Value| {
        json!({"id": format!("chatcmpl-{id}"), "object": "chat.completion.chunk", "created": 1_795_449_609,
            "model": request["model"], "system_fingerprint": "fp_test",
            "choices": [{"index": index, "delta": delta, "finish_reason": finish_reason, "logprobs": logprobs}]})
    };
    let mut chunks = Vec::new();
    for index in 0..request["n"].as_u64().unwrap_or(1) {
        chunks.push(chunk(index, json!({"role": "assistant", "content": ""}), Value::Null, Value::Null));
        for piece in answer.reasoning.as_deref().map(tokens).unwrap_or_default() {
            chunks.push(chunk(index, json!({"reasoning_content": piece}), Value::Null, Value::Null));
        }
        for (i, (name, arguments)) in answer.tools.iter().enumerate() {
            let call = json!({"index": i, "id": call_id(id, i), "type": "function",
                "function": {"name": name, "arguments": ""}});
            chunks.push(chunk(index, json!({"tool_calls": [call]}), Value::Null, Value::Null));
            let text = arguments.to_string();
            let middle = text.len() / 2;
            let middle = (0..=middle).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
            for part in [&text[..middle], &text[middle..]] {
                let call = json!({"index": i, "function": {"arguments": part}});
                chunks.push(chunk(index, json!({"tool_calls": [call]}), Value::Null, Value::Null));
            }
        }
        for piece in tokens(&answer.text) {
            let logprobs = logprobs(request, &[piece]);
            chunks.push(chunk(index, json!({"content": piece}), Value::Null, logprobs));
        }
        chunks.push(chunk(index, json!({}), finish(answer).into(), Value::Null));
    }
    chunks
}

/// The last chunk of a stream whose client asked for usage.
pub(super) fn usage_chunk(request: &Value, answer: &Answer, id: &str) -> Value {
    json!({"id": format!("chatcmpl-{id}"), "object": "chat.completion.chunk", "created": 1_795_449_609,
        "model": request["model"], "choices": [], "usage": usage(answer)})
}

pub(super) fn completion(request: &Value, id: &str) -> (Answer, Value) {
    let prompt = match &request["prompt"] {
        Value::Array(all) => all.first().and_then(Value::as_str).unwrap_or_default().to_owned(),
        prompt => prompt.as_str().unwrap_or_default().to_owned(),
    };
    let mut answer = Answer {
        text: format!("echo: {prompt}"),
        reasoning: None,
        tools: Vec::new(),
        prompt_tokens: count(&prompt).max(1),
        completion_tokens: 0,
        cut: false,
    };
    limit_text(&mut answer, request["max_tokens"].as_u64());
    let body = json!({"id": format!("cmpl-{id}"), "object": "text_completion", "created": 1_795_449_609,
        "model": request["model"], "usage": usage(&answer),
        "choices": [{"index": 0, "text": answer.text, "finish_reason": finish(&answer), "logprobs": null}]});
    (answer, body)
}

pub(super) fn completion_chunks(request: &Value, answer: &Answer, id: &str) -> Vec<Value> {
    let chunk = |text: &str, finish: Value| {
        json!({"id": format!("cmpl-{id}"), "object": "text_completion", "created": 1_795_449_609,
            "model": request["model"],
            "choices": [{"index": 0, "text": text, "finish_reason": finish, "logprobs": null}]})
    };
    let mut chunks: Vec<_> = tokens(&answer.text).into_iter().map(|t| chunk(t, Value::Null)).collect();
    chunks.push(chunk("", finish(answer).into()));
    chunks
}

/// Eight numbers that depend on the text alone, of length 1.
pub(super) fn embeddings(request: &Value) -> Value {
    let inputs: Vec<String> = match &request["input"] {
        Value::Array(all) => {
            all.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect()
        }
        input => vec![input.as_str().unwrap_or_default().to_owned()],
    };
    let data: Vec<_> = inputs
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let vector = vector(text);
            let embedding = if request["encoding_format"] == "base64" {
                base64(&vector.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>()).into()
            } else {
                json!(vector)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let n: u64 = inputs.iter().map(|text| count(text)).sum();
    json!({"object": "list", "model": request["model"], "data": data,
        "usage": {"prompt_tokens": n, "total_tokens": n}})
}

/// The longest document is the best; a total of tokens is all the usage, as Jina has it.
pub(super) fn rerank(request: &Value) -> Value {
    let text = |value: &Value| value.as_str().or(value["text"].as_str()).unwrap_or_default().to_owned();
    let documents: Vec<String> = request["documents"].as_array().into_iter().flatten().map(text).collect();
    let mut ranked: Vec<(usize, &String)> = documents.iter().enumerate().collect();
    ranked.sort_by_key(|(_, text)| std::cmp::Reverse(text.len()));
    let results: Vec<_> = ranked
        .iter()
        .map(|(index, text)| json!({"index": index, "relevance_score": text.len() as f64 / 1000.0}))
        .collect();
    let n: u64 = documents.iter().map(|text| count(text)).sum();
    json!({"model": request["model"], "results": results, "usage": {"total_tokens": n}})
}

fn vector(text: &str) -> [f32; 8] {
    let mut v = [0.1f32; 8];
    for (i, byte) in text.bytes().enumerate() {
        v[i % 8] += f32::from(byte) / 255.0;
    }
    let length = v.iter().map(|x| x * x).sum::<f32>().sqrt();
    v.map(|x| x / length)
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for block in bytes.chunks(3) {
        let n = block.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - block.len()));
        for i in 0..4 {
            let digit = ALPHABET[(n >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= block.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_pads() {
        assert_eq!(["", "f", "fo", "foo"].map(|t| base64(t.as_bytes())), ["", "Zg==", "Zm8=", "Zm9v"]);
    }

    #[test]
    fn the_streamed_text_is_the_whole_text() {
        let request = json!({"model": "m", "messages": [{"role": "user", "content": "hello big world"}]});
        let answer = think(&request);
        let joined: String = chat_chunks(&request, &answer, "1")
            .iter()
            .filter_map(|c| c["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
            .collect();
        assert_eq!(joined, "echo: hello big world");
        assert_eq!(chat(&request, &answer, "1")["choices"][0]["message"]["content"], joined.as_str());
        assert_eq!((answer.prompt_tokens, answer.completion_tokens), (6, 4));
    }
}
