//! What the clients of the soak ask, drawn from a seed.

use std::time::Duration;

use serde_json::{Value, json};

use crate::random::Random;
use crate::stream::{Answer, End, Request};

/// The two models that the manifests of the soak declare.
pub const STORIES: &str = "stories";
pub const GUIDE: &str = "guide";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A prompt like no other.
    Random,
    /// One of a few long beginnings, and words of its own.
    Shared,
    /// A chat with the built-in model.
    Chat,
    /// The same without a stream.
    Whole,
    /// A chat whose answer must fit a JSON schema.
    Schema,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Random => "random prompt",
            Kind::Shared => "shared prefix",
            Kind::Chat => "chat",
            Kind::Whole => "chat, no stream",
            Kind::Schema => "JSON schema",
        }
    }
}

/// A quarter of all clients leave early; a schema's answer is awaited.
const LEAVERS_PERCENT: u64 = 25;

pub fn draw(random: &mut Random, keys: &[String]) -> (Kind, Request) {
    let kind = match random.between(0, 99) {
        0..30 => Kind::Random,
        30..60 => Kind::Shared,
        60..80 => Kind::Chat,
        80..90 => Kind::Whole,
        _ => Kind::Schema,
    };
    let leaves = kind != Kind::Schema && random.between(0, 99) < LEAVERS_PERCENT;
    let leaves_after = leaves.then(|| Duration::from_millis(random.between(1, 300)));
    let key = keys.get(random.between(0, keys.len().max(1) as u64 - 1) as usize).cloned();
    let tokens = random.between(4, 64);
    let (path, body) = match kind {
        Kind::Random => {
            let count = random.between(3, 90);
            let prompt = sentence(random.draw(), count);
            completion(random, &prompt, tokens)
        }
        Kind::Shared => {
            let (prefix, own) = (sentence(random.between(0, 3), 80), sentence(random.draw(), 12));
            completion(random, &format!("{prefix} {own}"), tokens)
        }
        Kind::Chat | Kind::Whole => chat(random, tokens, kind == Kind::Chat, None),
        Kind::Schema => {
            let format = schema(random);
            chat(random, 128, false, Some(format))
        }
    };
    (kind, Request { due: Duration::ZERO, path, key, body: body.to_string(), leaves_after })
}

const STORY_WORDS: [&str; 16] = [
    "Lily", "Tom", "the", "a", "dog", "park", "went", "to", "saw", "big", "red", "ball", "and", "was",
    "happy", "mom",
];

fn sentence(seed: u64, count: u64) -> String {
    let mut random = Random::new(seed);
    let words: Vec<&str> =
        (0..count).map(|_| STORY_WORDS[random.between(0, STORY_WORDS.len() as u64 - 1) as usize]).collect();
    words.join(" ")
}

fn completion(random: &mut Random, prompt: &str, tokens: u64) -> (&'static str, Value) {
    let temperature = random.between(0, 1);
    let body = json!({"model": STORIES, "prompt": prompt, "max_tokens": tokens, "temperature": temperature,
        "stream": true, "stream_options": {"include_usage": true}});
    ("/v1/completions", body)
}

const QUESTIONS: [&str; 5] = [
    "What is a budget?",
    "How do I create a key?",
    "What does a team share?",
    "How is a request priced?",
    "What happens when a provider fails?",
];

fn chat(random: &mut Random, tokens: u64, stream: bool, format: Option<Value>) -> (&'static str, Value) {
    let question = QUESTIONS[random.between(0, QUESTIONS.len() as u64 - 1) as usize];
    let mut body = json!({"model": GUIDE, "messages": [{"role": "user", "content": question}],
        "max_tokens": tokens, "stream": stream});
    if let Some(format) = format {
        body["response_format"] = format;
    }
    ("/v1/chat/completions", body)
}

fn schema(random: &mut Random) -> Value {
    let schema = match random.between(0, 2) {
        0 => json!({"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
            "additionalProperties": false}),
        1 => json!({"type": "object", "properties": {"kind": {"enum": ["key", "team", "budget"]}},
            "required": ["kind"], "additionalProperties": false}),
        _ => json!({"type": "object", "properties": {"list": {"type": "array", "items": {"type": "integer",
            "minimum": 0, "maximum": 9}, "maxItems": 3}}, "required": ["list"], "additionalProperties": false}),
    };
    json!({"type": "json_schema", "json_schema": {"name": "answer", "strict": true, "schema": schema}})
}

/// How a request counts at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Answered,
    /// The client hung up.
    Cancelled,
    /// Status 4xx or 503: told so before anything was computed.
    Refused,
    /// Status 5xx but 503, a broken stream or connection.
    Broken,
    /// No end within a minute.
    Wedged,
}

pub fn verdict(answer: &Answer) -> Verdict {
    match &answer.end {
        End::Whole => Verdict::Answered,
        End::Left => Verdict::Cancelled,
        End::Refused(503, _) => Verdict::Refused,
        End::Refused(status, _) if *status < 500 => Verdict::Refused,
        End::Refused(..) | End::Broken(_) => Verdict::Broken,
        End::Late => Verdict::Wedged,
    }
}

/// The server's words, where it did not simply answer.
pub fn words(answer: &Answer) -> Option<String> {
    match &answer.end {
        End::Refused(status, body) => Some(format!("HTTP {status} {body}")),
        End::Broken(why) => Some(why.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_kind_comes_and_the_same_seed_asks_the_same() {
        let keys = ["a".to_owned(), "b".to_owned()];
        let run = |seed| -> Vec<(Kind, String, Option<Duration>)> {
            let mut random = Random::new(seed);
            (0..300)
                .map(|_| draw(&mut random, &keys))
                .map(|(kind, request)| (kind, request.body, request.leaves_after))
                .collect()
        };
        assert_eq!(run(5), run(5));
        let all = run(5);
        assert_eq!(all.iter().map(|(kind, ..)| *kind).collect::<BTreeSet<_>>().len(), 5);
        assert!(all.iter().any(|(.., leaves)| leaves.is_some()));
        assert!(all.iter().all(|(kind, _, leaves)| *kind != Kind::Schema || leaves.is_none()));
        assert!(all.iter().all(|(_, body, _)| serde_json::from_str::<Value>(body).is_ok()));
    }

    #[test]
    fn a_refusal_is_not_a_break() {
        let answer = |end| Answer {
            due: Duration::ZERO,
            texts: Vec::new(),
            ended: Duration::ZERO,
            end,
            text_bytes: 0,
            completion_tokens: None,
        };
        assert_eq!(verdict(&answer(End::Refused(503, String::new()))), Verdict::Refused);
        assert_eq!(verdict(&answer(End::Refused(500, String::new()))), Verdict::Broken);
        assert_eq!(verdict(&answer(End::Late)), Verdict::Wedged);
        assert_eq!(words(&answer(End::Whole)), None);
    }
}
