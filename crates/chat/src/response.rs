//! A whole answer: the fold of its events.

use crate::{Event, Part, RerankRequest, Tier, TokenLogprob, Usage};

/// Why a choice ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended its turn, or a stop text was met.
    Stop,
    /// `max_tokens`, or the end of the context.
    Length,
    ToolCalls,
    /// The provider's filter, or a guard of ours.
    Filtered,
    /// A word of the dialect that has no canonical meaning, kept.
    Other(String),
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Response {
    pub id: String,
    pub model: String,
    /// Unix seconds; 0 when unknown.
    pub created: i64,
    /// In the order of their index, without gaps.
    pub choices: Vec<Choice>,
    pub usage: Option<Usage>,
    pub tier: Option<Tier>,
    /// The in-band failure that ended the answer, if one did.
    pub failed: Option<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Choice {
    pub parts: Vec<Part>,
    pub logprobs: Vec<TokenLogprob>,
    pub finish: Option<Finish>,
    pub stop: Option<String>,
}

/// Vectors, in the order of the request's inputs.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct EmbedResponse {
    pub model: String,
    pub vectors: Vec<Vec<f32>>,
    pub usage: Usage,
}

/// Documents by relevance, the best first.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct RerankResponse {
    pub model: String,
    pub results: Vec<Ranked>,
    pub usage: Usage,
}

/// One document's relevance.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Ranked {
    /// Its place in the request.
    pub index: u32,
    /// 0 to 1; comparable within one model only.
    pub score: f32,
    pub document: Option<String>,
}

impl RerankResponse {
    /// The answer to a request whose documents have these scores, in their order.
    /// Equal scores keep it.
    pub fn of(request: &RerankRequest, model: &str, scores: &[f32], usage: Usage) -> RerankResponse {
        let ranked = |(index, (score, text)): (u32, (&f32, &String))| Ranked {
            index,
            score: *score,
            document: request.return_documents.then(|| text.clone()),
        };
        let mut results: Vec<Ranked> = (0..).zip(scores.iter().zip(&request.documents)).map(ranked).collect();
        results.sort_by(|a, b| b.score.total_cmp(&a.score));
        results.truncate(request.top_n.map_or(usize::MAX, |n| n as usize));
        RerankResponse { model: model.to_owned(), results, usage }
    }
}

/// A peer that numbers its choices absurdly must not make us allocate for them.
const CHOICES_MAX: u32 = 128;
/// The same for the tool calls of one choice.
const CALLS_MAX: u32 = 512;

impl Response {
    /// Adds one event. Deltas of the same kind join the part they continue;
    /// events for choices beyond 128 or calls beyond 512 are dropped.
    pub fn push(&mut self, event: Event) {
        match event {
            Event::Start { id, model, created } => {
                self.id = id;
                self.model = model;
                self.created = created;
            }
            Event::Text { choice, text } => self.with(choice, |c| match c.parts.last_mut() {
                Some(Part::Text(t)) => t.push_str(&text),
                _ => c.parts.push(Part::Text(text)),
            }),
            Event::Reasoning { choice, text } => self.with(choice, |c| match c.parts.last_mut() {
                Some(Part::Reasoning { text: t, signature: None }) => t.push_str(&text),
                _ => c.parts.push(Part::Reasoning { text, signature: None }),
            }),
            Event::Signature { choice, signature } => self.with(choice, |c| match c.parts.last_mut() {
                Some(Part::Reasoning { signature: s, .. }) => *s = Some(signature),
                _ => c.parts.push(Part::Reasoning { text: String::new(), signature: Some(signature) }),
            }),
            Event::Refusal { choice, text } => self.with(choice, |c| match c.parts.last_mut() {
                Some(Part::Refusal(t)) => t.push_str(&text),
                _ => c.parts.push(Part::Refusal(text)),
            }),
            Event::ToolStart { choice, index, id, name } => self.with(choice, |c| {
                if let Some(call) = call_at(c, index) {
                    if let Part::ToolCall { id: i, name: n, .. } = call {
                        i.push_str(&id);
                        n.push_str(&name);
                    }
                } else if index < CALLS_MAX {
                    c.parts.push(Part::ToolCall { id, name, arguments: String::new() });
                }
            }),
            Event::ToolArguments { choice, index, fragment } => self.with(choice, |c| {
                if let Some(Part::ToolCall { arguments, .. }) = call_at(c, index) {
                    arguments.push_str(&fragment);
                }
            }),
            Event::Logprobs { choice, tokens } => self.with(choice, |c| c.logprobs.extend(tokens)),
            Event::Finish { choice, reason, stop } => self.with(choice, |c| {
                c.finish = Some(reason);
                c.stop = stop;
            }),
            Event::Usage(usage) => self.usage = Some(usage),
            Event::Tier(tier) => self.tier = Some(tier),
            Event::Failed { kind, message, .. } => self.failed = Some((kind, message)),
        }
    }

    /// The events that fold to this answer.
    pub fn into_events(self) -> Vec<Event> {
        let mut events = vec![Event::Start { id: self.id, model: self.model, created: self.created }];
        events.extend(self.tier.map(Event::Tier));
        for (choice, c) in (0u32..).zip(self.choices) {
            let mut calls = 0u32;
            for part in c.parts {
                match part {
                    Part::Text(text) => events.push(Event::Text { choice, text }),
                    Part::Refusal(text) => events.push(Event::Refusal { choice, text }),
                    Part::Reasoning { text, signature } => {
                        events.push(Event::Reasoning { choice, text });
                        events.extend(signature.map(|signature| Event::Signature { choice, signature }));
                    }
                    Part::ToolCall { id, name, arguments } => {
                        let index = calls;
                        calls += 1;
                        events.push(Event::ToolStart { choice, index, id, name });
                        events.push(Event::ToolArguments { choice, index, fragment: arguments });
                    }
                    Part::Image(_) | Part::ToolResult { .. } => {}
                }
            }
            if !c.logprobs.is_empty() {
                events.push(Event::Logprobs { choice, tokens: c.logprobs });
            }
            if let Some(reason) = c.finish {
                events.push(Event::Finish { choice, reason, stop: c.stop });
            }
        }
        events.extend(self.usage.map(Event::Usage));
        if let Some((kind, message)) = self.failed {
            events.push(Event::Failed { kind, message, retriable: false });
        }
        events
    }

    fn with(&mut self, choice: u32, edit: impl FnOnce(&mut Choice)) {
        if choice >= CHOICES_MAX {
            return;
        }
        let index = choice as usize;
        if self.choices.len() <= index {
            self.choices.resize_with(index + 1, Choice::default);
        }
        edit(&mut self.choices[index]);
    }
}

/// The `index`-th tool call of a choice, whatever stands between the calls.
fn call_at(choice: &mut Choice, index: u32) -> Option<&mut Part> {
    choice.parts.iter_mut().filter(|p| matches!(p, Part::ToolCall { .. })).nth(index as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Axis;

    #[test]
    fn an_answer_folds_from_its_own_events() {
        let answer = Response {
            id: "r1".into(),
            model: "m".into(),
            created: 7,
            choices: vec![Choice {
                parts: vec![
                    Part::Reasoning { text: "hm".into(), signature: Some("s".into()) },
                    Part::Text("hello".into()),
                    Part::ToolCall { id: "c1".into(), name: "f".into(), arguments: "{}".into() },
                    Part::ToolCall { id: "c2".into(), name: "g".into(), arguments: "{\"a\":1}".into() },
                ],
                finish: Some(Finish::ToolCalls),
                ..Choice::default()
            }],
            usage: Some(Usage::default().with(Axis::Input, 3).with(Axis::Output, 5)),
            tier: Some(Tier::Flex),
            failed: None,
        };
        let mut folded = Response::default();
        answer.clone().into_events().into_iter().for_each(|e| folded.push(e));
        assert_eq!(folded, answer);
    }

    #[test]
    fn an_absurd_choice_index_allocates_nothing() {
        let mut answer = Response::default();
        answer.push(Event::Text { choice: u32::MAX, text: "x".into() });
        assert!(answer.choices.is_empty());
    }

    #[test]
    fn axes_that_do_not_add_up_are_noticed() {
        let mut usage = Usage::default().with(Axis::Input, 4);
        usage.claimed_input = Some(10);
        assert!(!usage.reconciles());
        assert!(usage.with(Axis::CacheRead, 6).reconciles());
    }
}
