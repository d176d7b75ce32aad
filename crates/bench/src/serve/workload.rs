//! The workloads: what is asked and when, the same bytes for every server.
//!
//! A prompt is words of two letters, each one token of the random model's
//! vocabulary, behind the first token that every tokenizer adds. The words are
//! drawn from a seed made of workload, round and request: both sides of a round
//! get the same prompts, and no round finds those of another in a cache.

use std::time::Duration;

use serde_json::json;

use crate::random::Random;
use crate::stream::Request;

/// In the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
#[clap(rename_all = "UPPER")]
pub enum Workload {
    /// One request alone: how near decoding comes to the memory's bandwidth.
    B1,
    /// 16 at once with a long common beginning.
    W1,
    /// 64 short ones at once.
    W2,
    /// Four that write while a long prompt arrives.
    W3,
    /// The same long prompt after a restart.
    W4,
    /// One tenant floods, the other asks once.
    W5,
    /// The client leaves in the middle of a prefill.
    W6,
    /// More text than there are KV cells.
    W7,
}

impl Workload {
    pub const ALL: [Workload; 8] = [
        Workload::B1,
        Workload::W1,
        Workload::W2,
        Workload::W3,
        Workload::W4,
        Workload::W5,
        Workload::W6,
        Workload::W7,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Workload::B1 => "B1",
            Workload::W1 => "W1",
            Workload::W2 => "W2",
            Workload::W3 => "W3",
            Workload::W4 => "W4",
            Workload::W5 => "W5",
            Workload::W6 => "W6",
            Workload::W7 => "W7",
        }
    }

    /// What is expected before anything is run, and from where.
    pub fn expected(self) -> &'static str {
        match self {
            Workload::B1 => "level with llama-server: the same kernels, one row a step",
            Workload::W1 => {
                "ours p50 TTFT below 9 s: 1,500 + 16 x 50 tokens to compute, its 6,800 (measured once: \
                 23.5 s, 28.6 s wall at -np 4; 71 s and 89 s at 16)"
            }
            Workload::W2 => "ours 130-145 tok/s; its 113 at -np 4 and 128 at 16 (measured once)",
            Workload::W3 => "ours at most 0.4 s between tokens, one chunk; its 3.15 s (measured once)",
            Workload::W4 => {
                "ours 0.05-0.2 s: blocks read back, the last part computed; its 8.0 s (measured once)"
            }
            Workload::W5 => "ours B below 1 s, A within 5 % of alone; its B waits for the queue, minutes",
            Workload::W6 => "ours below 50 ms: the step is aborted; its step of up to 2,048 tokens runs on",
            Workload::W7 => "ours 0 errors; its: all that run when the cells are full",
        }
    }

    /// KV cells that both sides get. W7's are fewer than four of its requests
    /// need, so that llama-server overflows at its default of four slots.
    pub fn cells(self) -> u32 {
        if self == Workload::W7 { 3072 } else { 40_960 }
    }

    /// Minutes long, so run half as often.
    pub fn is_long(self) -> bool {
        matches!(self, Workload::W5 | Workload::W7)
    }

    /// A seed of its own for every prompt of a round.
    pub fn seed(self, round: usize, request: usize) -> u64 {
        ((self as u64 + 1) << 48) | ((round as u64) << 24) | request as u64
    }
}

/// Whose key is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenant {
    A,
    B,
}

/// One request of a workload, before it has a server.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    pub due: Duration,
    pub tenant: Tenant,
    pub prompt: String,
    pub prompt_tokens: u32,
    pub max_tokens: u32,
    pub leaves_after: Option<Duration>,
}

impl Ask {
    pub fn new(prompt: String, max_tokens: u32) -> Ask {
        let prompt_tokens = 1 + prompt.split_ascii_whitespace().count() as u32;
        let (due, tenant) = (Duration::ZERO, Tenant::A);
        Ask { due, tenant, prompt, prompt_tokens, max_tokens, leaves_after: None }
    }

    pub fn due(self, due: Duration) -> Ask {
        Ask { due, ..self }
    }

    /// As both servers take it. The bias keeps the model from ending by itself
    /// (`</s>`), and unknown tokens and the bytes of broken characters out of the text, which
    /// servers hold back and would so move in time.
    pub fn request(&self, model: &str, keys: &[String]) -> Request {
        let bias: serde_json::Map<String, serde_json::Value> = [0, 1, 2]
            .into_iter()
            .chain(BYTE_TOKENS)
            .map(|token: u32| (token.to_string(), json!(-100)))
            .collect();
        let body = json!({
            "model": model,
            "prompt": self.prompt,
            "max_tokens": self.max_tokens,
            "temperature": 0,
            "stream": true,
            "stream_options": {"include_usage": true},
            "logit_bias": bias,
        });
        Request {
            due: self.due,
            path: "/v1/completions",
            key: keys.get(self.tenant as usize).cloned(),
            body: body.to_string(),
            leaves_after: self.leaves_after,
        }
    }
}

/// Tokens of the random vocabulary that are single bytes above ASCII.
const BYTE_TOKENS: std::ops::RangeInclusive<u32> = 3 + 128..=258;

/// A prompt of exactly `tokens` tokens, the first one included.
pub fn prompt(seed: u64, tokens: u32) -> String {
    words(seed, tokens.saturating_sub(1))
}

/// `shared` tokens drawn from one seed, then `own` from another.
pub fn prompt_with_prefix(shared_seed: u64, shared: u32, seed: u64, own: u32) -> String {
    format!("{} {}", prompt(shared_seed, shared), words(seed, own))
}

/// So many words of two letters.
fn words(seed: u64, count: u32) -> String {
    let mut random = Random::new(seed);
    let mut out = String::with_capacity(count as usize * 3);
    for place in 0..count {
        let draw = random.draw();
        if place > 0 {
            out.push(' ');
        }
        out.push(char::from(b'a' + (draw % 26) as u8));
        out.push(char::from(b'a' + (draw / 26 % 26) as u8));
    }
    out
}

/// What is sent in one go. W4 and W6 are sequences and ask with [`long_prompt`].
pub fn asks(workload: Workload, round: usize, quick: bool) -> Vec<Ask> {
    let seed = |request| workload.seed(round, request);
    let many = |count: usize, tokens, answer| -> Vec<Ask> {
        (0..count).map(|i| Ask::new(prompt(seed(i), tokens), answer)).collect()
    };
    match workload {
        Workload::B1 => many(1, 16, 128),
        Workload::W1 => {
            (0..16).map(|i| Ask::new(prompt_with_prefix(seed(1000), 1500, seed(i), 50), 32)).collect()
        }
        Workload::W2 => many(64, 40, 24),
        // The decoders end one after the other, so that a server with four
        // slots gives one to the newcomer while the others still write.
        Workload::W3 => (0..4)
            .map(|i| Ask::new(prompt(seed(i), 16), 192 + 64 * i as u32))
            .chain([Ask::new(prompt(seed(4), 1024), 16).due(W3_NEWCOMER)])
            .collect(),
        Workload::W4 | Workload::W6 => Vec::new(),
        Workload::W5 => many(if quick { 16 } else { 64 }, 1024, 128),
        Workload::W7 => many(32, 600, if quick { 200 } else { 300 }),
    }
}

/// When W3's long prompt arrives: the decoders are under way.
pub const W3_NEWCOMER: Duration = Duration::from_millis(1500);

/// When tenant B asks in W5: the flood is in the queue and being computed.
const W5_B: Duration = Duration::from_secs(5);

/// Tenant B's one short request.
pub fn b_asks(round: usize) -> Ask {
    let ask = Ask::new(prompt(Workload::W5.seed(round, 5000), 40), 8).due(W5_B);
    Ask { tenant: Tenant::B, ..ask }
}

/// The prompt of W4 (again and again) and W6 (left alone).
pub fn long_prompt(workload: Workload, round: usize, which: usize) -> Ask {
    Ask::new(prompt(workload.seed(round, which), 2048), 8)
}

/// What each server computes first: pages are touched, buffers are made.
pub fn warm_up(seed: u64) -> Ask {
    Ask::new(prompt(u64::MAX - seed, 32), 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_round_is_the_same_bytes_and_another_round_is_not() {
        for workload in Workload::ALL {
            assert_eq!(asks(workload, 3, false), asks(workload, 3, false));
            let (one, other) = (asks(workload, 0, false), asks(workload, 1, false));
            assert!(one.iter().zip(&other).all(|(a, b)| a.prompt != b.prompt), "{workload:?}");
        }
    }

    #[test]
    fn shapes_are_those_of_the_issue() {
        let shape = |workload| -> Vec<(u32, u32)> {
            asks(workload, 0, false).iter().map(|a| (a.prompt_tokens, a.max_tokens)).collect()
        };
        assert_eq!(shape(Workload::W1), vec![(1550, 32); 16]);
        assert_eq!(shape(Workload::W2), vec![(40, 24); 64]);
        assert_eq!(shape(Workload::W3)[4], (1024, 16));
        assert_eq!(shape(Workload::W5), vec![(1024, 128); 64]);
        let w7 = shape(Workload::W7);
        let four: u32 = w7.iter().take(4).map(|(prompt, answer)| prompt + answer).sum();
        assert!(w7.len() == 32 && four > Workload::W7.cells());
        assert_eq!(long_prompt(Workload::W4, 0, 0).prompt_tokens, 2048);
    }

    #[test]
    fn a_common_beginning_is_common_and_the_rest_is_not() {
        let asks = asks(Workload::W1, 0, false);
        let beginning = prompt(Workload::W1.seed(0, 1000), 1500);
        assert!(asks.iter().all(|a| a.prompt.starts_with(&beginning)));
        let mut ends: Vec<&str> = asks.iter().map(|a| &a.prompt[beginning.len()..]).collect();
        ends.sort_unstable();
        ends.dedup();
        assert_eq!(ends.len(), 16);
    }

    #[test]
    fn a_request_carries_its_tenants_key_and_cannot_end_by_itself() {
        let keys = ["ka".to_owned(), "kb".to_owned()];
        let request = b_asks(0).request("m", &keys);
        assert_eq!(request.key.as_deref(), Some("kb"));
        let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
        assert_eq!(body["logit_bias"]["2"], -100);
        assert_eq!((body["stream"].as_bool(), body["max_tokens"].as_u64()), (Some(true), Some(8)));
        assert_eq!(b_asks(0).request("m", &[]).key, None);
    }
}
