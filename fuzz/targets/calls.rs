//! What a model writes: calls in every family, cut anywhere. The cut never
//! matters, and what is told as a call is a JSON object.
//!
//! The readers are part of the engine, which links llama.cpp; they need none of
//! it, so they are taken by their path.
#![no_main]
#![allow(dead_code)]

#[path = "../../crates/engine/src/parse/mod.rs"]
mod parse;

use chat::{Event, Part, Response};
use parse::{Family, Known, SplitOptions, Splitter};

const FAMILIES: [Family; 8] = [
    Family::Unknown,
    Family::Hermes,
    Family::Xml,
    Family::Llama,
    Family::Mistral { args: true },
    Family::DeepSeek { fenced: true },
    Family::DeepSeek { fenced: false },
    Family::Harmony,
];

fn split(options: SplitOptions, text: &str, every: usize) -> Vec<Part> {
    let mut splitter = Splitter::new(0, options);
    let mut events: Vec<Event> = Vec::new();
    let mut start = 0;
    for (n, (at, _)) in text.char_indices().enumerate() {
        if n > 0 && n % every == 0 {
            splitter.push(&text[start..at], &mut events);
            start = at;
        }
    }
    splitter.push(&text[start..], &mut events);
    splitter.finish(&mut events);
    let mut response = Response::default();
    events.into_iter().for_each(|e| response.push(e));
    response.choices.pop().map(|c| c.parts).unwrap_or_default()
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [head, every, rest @ ..] = data else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let known = |name: &str, texts: &[&str]| Known {
        name: name.into(),
        texts: texts.iter().map(|t| (*t).into()).collect(),
    };
    let options = SplitOptions {
        family: FAMILIES[usize::from(head & 7)],
        thinking: head & 8 != 0,
        starts_thinking: head & 16 != 0,
        json: head & 32 != 0,
        one_call: head & 64 != 0,
        tools: [known("search", &["query"]), known("f", &[])].into(),
        id_prefix: "c".into(),
    };
    let whole = split(options.clone(), text, usize::MAX);
    assert_eq!(split(options.clone(), text, 1), whole);
    assert_eq!(split(options, text, usize::from(*every).max(2)), whole);
    for part in whole {
        if let Part::ToolCall { name, arguments, .. } = part {
            let value: serde_json::Value = serde_json::from_str(&arguments).expect("arguments are JSON");
            assert!(!name.is_empty() && value.is_object());
        }
    }
});
