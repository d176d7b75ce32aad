//! What is asked and what the mock answers: the same bytes for every system.

use std::net::SocketAddr;

use serde_json::json;

use crate::record::Target;

/// Which wire format the client speaks and which answer the mock gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// OpenAI in, OpenAI out, one JSON answer.
    Json,
    /// OpenAI in, OpenAI out, server-sent events.
    Sse,
    /// Anthropic in, OpenAI out, translated on the way back.
    Anthropic,
}

/// One kind of request.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub wire: Wire,
    /// Size of the request body in bytes, about.
    pub body_bytes: usize,
    /// Requests in one measured round, at full length.
    pub requests: u64,
    /// Bound on CPU microseconds per request with everything on (issue 2).
    pub target: Target,
}

/// The scenarios with the figures expected of them, written before any run.
pub const SCENARIOS: [Scenario; 5] = [
    Scenario {
        name: "chat-1k",
        wire: Wire::Json,
        body_bytes: 1024,
        requests: 20_000,
        target: Target::AtMost(60.0),
    },
    // 16 KiB has no bound in the issue; it is shown beside its neighbours.
    Scenario {
        name: "chat-16k",
        wire: Wire::Json,
        body_bytes: 16 << 10,
        requests: 12_000,
        target: Target::Shown,
    },
    Scenario {
        name: "chat-400k",
        wire: Wire::Json,
        body_bytes: 400 << 10,
        requests: 2000,
        target: Target::AtMost(700.0),
    },
    Scenario {
        name: "stream-64",
        wire: Wire::Sse,
        body_bytes: 1024,
        requests: 12_000,
        target: Target::AtMost(90.0),
    },
    Scenario {
        name: "translate-1k",
        wire: Wire::Anthropic,
        body_bytes: 1024,
        requests: 12_000,
        target: Target::AtMost(110.0),
    },
];

/// Where one system takes requests of one wire format.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub address: SocketAddr,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub model: String,
    /// Root of the process tree that pays for it; `None` for the mock itself.
    pub process: Option<u32>,
}

impl Scenario {
    /// The whole request as it goes on the wire.
    pub fn shot(&self, endpoint: &Endpoint) -> crate::load::Shot {
        let body = self.body(&endpoint.model);
        let bytes = crate::wire::request(
            "POST",
            &endpoint.path,
            endpoint.address,
            &endpoint.headers,
            body.as_bytes(),
        );
        crate::load::Shot { address: endpoint.address, bytes }
    }

    /// A chat with a system line and one long question. Text like text: spaces,
    /// punctuation, a line break and a quote that JSON must escape every so often.
    pub fn body(&self, model: &str) -> String {
        let frame = |question: &str| {
            let mut body = match self.wire {
                Wire::Anthropic => json!({
                    "model": model, "max_tokens": 64, "temperature": 0.2, "system": SYSTEM,
                    "messages": [{"role": "user", "content": question}],
                }),
                _ => json!({
                    "model": model, "max_tokens": 64, "temperature": 0.2,
                    "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}],
                }),
            };
            if self.wire == Wire::Sse {
                body["stream"] = json!(true);
                body["stream_options"] = json!({"include_usage": true});
            }
            body.to_string()
        };
        let room = self.body_bytes.saturating_sub(frame("").len());
        // A sentence is longer on the wire than in memory by its two escapes.
        let whole = room / (SENTENCE.len() + 3);
        frame(&SENTENCE.repeat(whole.max(1)))
    }

    /// Whether an answer is one that this scenario should give: a fast wrong
    /// answer must not enter a table.
    pub fn accepts(&self, body: &str) -> bool {
        match self.wire {
            Wire::Json => body.contains("chat.completion") && body.contains(ANSWER),
            Wire::Sse => body.contains("chat.completion.chunk") && body.contains("[DONE]"),
            Wire::Anthropic => {
                body.contains(ANSWER) && body.contains("\"type\"") && !body.contains("chat.completion")
            }
        }
    }
}

const SYSTEM: &str = "You are a careful assistant. Answer briefly.";
const SENTENCE: &str = "The pump at station 7 reads 4.2 bar, which is \"low\" for this hour.\n";
const ANSWER: &str = "Check the inlet filter first";

/// The mock's one JSON answer: the size and fields of a real short completion.
pub fn json_answer() -> String {
    json!({
        "id": "chatcmpl-bench0000000000000000000001", "object": "chat.completion", "created": 1760000000,
        "model": "mock", "system_fingerprint": "fp_bench",
        "choices": [{"index": 0, "finish_reason": "stop", "logprobs": null, "message": {
            "role": "assistant", "refusal": null,
            "content": format!("{ANSWER}: a clogged filter explains a slow fall in pressure. {}", "Then the valve. ".repeat(24)),
        }}],
        "usage": {"prompt_tokens": 212, "completion_tokens": 118, "total_tokens": 330,
            "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0}},
    })
    .to_string()
}

/// The mock's stream: 64 content events, then the finish, the usage and the end.
pub fn sse_answer() -> String {
    let event = |choices: serde_json::Value, usage: serde_json::Value| {
        let chunk = json!({
            "id": "chatcmpl-bench0000000000000000000002", "object": "chat.completion.chunk",
            "created": 1760000000, "model": "mock", "choices": choices, "usage": usage,
        });
        format!("data: {chunk}\n\n")
    };
    let null = serde_json::Value::Null;
    let mut out = String::new();
    for index in 0..64 {
        let delta = if index == 0 {
            json!({"role": "assistant", "content": "So"})
        } else {
            json!({"content": " word"})
        };
        out += &event(json!([{"index": 0, "delta": delta, "finish_reason": null}]), null.clone());
    }
    out += &event(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]), null);
    out += &event(json!([]), json!({"prompt_tokens": 212, "completion_tokens": 64, "total_tokens": 276}));
    out + "data: [DONE]\n\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_of_the_size_their_name_says() {
        for scenario in SCENARIOS {
            let body = scenario.body("mock");
            serde_json::from_str::<serde_json::Value>(&body).unwrap();
            let share = body.len() as f64 / scenario.body_bytes as f64;
            assert!((0.9..=1.0).contains(&share), "{} is {} bytes", scenario.name, body.len());
        }
    }

    #[test]
    fn the_stream_has_64_pieces_of_text_one_usage_and_an_end() {
        let answer = sse_answer();
        assert_eq!(answer.matches("\"content\"").count(), 64);
        assert_eq!(answer.matches("\"prompt_tokens\"").count(), 1);
        assert!(answer.ends_with("data: [DONE]\n\n"));
    }

    #[test]
    fn an_answer_in_the_wrong_dialect_is_not_accepted() {
        let scenario = |wire| *SCENARIOS.iter().find(|s| s.wire == wire).unwrap();
        assert!(scenario(Wire::Json).accepts(&json_answer()));
        assert!(scenario(Wire::Sse).accepts(&sse_answer()));
        assert!(!scenario(Wire::Anthropic).accepts(&json_answer()));
        assert!(!scenario(Wire::Sse).accepts("{\"error\":{}}"));
    }
}
