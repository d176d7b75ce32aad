//! One answer of a model whose calls are partly the gateway's to make.
//!
//! A loop asks a model, makes the calls that it answers with, and asks again.
//! Each answer is one round, and what becomes of it is decided here: what of it
//! is the client's, which calls are to be made, and whether the model is asked
//! again. Two views of the same answer are kept apart. What the model wrote goes
//! back to it as its own turn; what guards made of that is the client's, and
//! holds the arguments that a tool is given. So a value that was replaced on its
//! way to the model does not reach it by way of its own answer.
//!
//! The model is asked again only if it waits for nobody else: an answer that
//! also calls a tool of the client's is the client's, without our calls, which
//! the model makes again when it has read the client's results.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chat::{Event, Finish, Message, Response, Role};

/// An answer under way.
pub struct Round {
    own: Arc<BTreeSet<Box<str>>>,
    number: u32,
    /// As the model wrote it.
    heard: Response,
    heard_bytes: usize,
    /// Of calls, of this round and those before.
    ids: BTreeSet<String>,
    /// As guards let them through, by choice and index.
    calls: BTreeMap<(u32, u32), Held>,
    /// Original to given index of the calls that go on, by choice.
    given: BTreeMap<u32, BTreeMap<u32, u32>>,
    /// Text that waits for the end of the round; `None`: text goes on at once.
    waiting: Option<Vec<Event>>,
    last: Vec<Event>,
    /// Text went on in a round before, and in this one.
    spoke_before: bool,
    spoke: bool,
}

/// A call that the gateway is to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub id: String,
    pub name: String,
    /// JSON text as the model wrote it; `cut`, which is none, where it was too long.
    pub arguments: String,
}

/// What an answer comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    /// The model waits for what these calls bring; `said` is its turn so far.
    Calls { said: Message, calls: Vec<Call> },
    /// The answer is the client's: `last` ends it. `unmade`: our tools that it
    /// calls beside the client's, or before it was cut off.
    Over { last: Vec<Event>, unmade: Vec<String> },
}

struct Held {
    call: Call,
    over: bool,
}

/// Calls of one answer; what has a higher index is dropped. Models in use make
/// a few at once.
const CALLS_MAX: u32 = 64;
/// Bytes of arguments that one call may have.
const ARGUMENTS_MAX: usize = 1 << 20;
/// Bytes of one answer that may be given back to the model. A longer one ends the loop.
const HEARD_MAX: usize = 4 << 20;

impl Round {
    /// The first answer. `own`: the names of the gateway's tools. `whole`: text
    /// waits for the end of its round, because only the last round's may be
    /// told: two pieces of JSON are not one.
    pub fn first(own: Arc<BTreeSet<Box<str>>>, whole: bool) -> Round {
        Round {
            own,
            number: 1,
            heard: Response::default(),
            heard_bytes: 0,
            ids: BTreeSet::new(),
            calls: BTreeMap::new(),
            given: BTreeMap::new(),
            waiting: whole.then(Vec::new),
            last: Vec::new(),
            spoke_before: false,
            spoke: false,
        }
    }

    /// The answer after this one.
    pub fn following(&self) -> Round {
        Round {
            number: self.number + 1,
            ids: self.ids.clone(),
            spoke_before: self.has_spoken(),
            ..Round::first(Arc::clone(&self.own), self.waiting.is_some())
        }
    }

    /// Whether the client has been told any text, in this round or one before.
    pub fn has_spoken(&self) -> bool {
        self.spoke_before || self.spoke
    }

    /// From 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Takes an event as the model's target sent it, and gives it on: with an id
    /// where a call has none of its own, or not at all.
    pub fn hear(&mut self, mut event: Event) -> Option<Event> {
        // Whether it ends the answer or only the round is known when all is said.
        if matches!(event, Event::Finish { .. }) {
            self.last.push(event);
            return None;
        }
        match &mut event {
            Event::ToolStart { index, .. } | Event::ToolArguments { index, .. } if *index >= CALLS_MAX => {
                return None;
            }
            Event::ToolStart { index, id, .. } => {
                // Results are told apart by it.
                if id.is_empty() || self.ids.contains(id) {
                    *id = format!("call_{}_{index}", self.number);
                }
                self.ids.insert(id.clone());
            }
            _ => {}
        }
        self.heard_bytes = self.heard_bytes.saturating_add(bytes(&event));
        if self.heard_bytes <= HEARD_MAX {
            self.heard.push(event.clone());
        }
        Some(event)
    }

    /// Takes an event that guards let through; what may go on is appended to `out`.
    pub fn sift(&mut self, event: Event, out: &mut Vec<Event>) {
        match event {
            // An answer begins once, and what all rounds used is told at its end.
            Event::Start { .. } if self.number > 1 => {}
            Event::Usage(_) => {}
            Event::ToolStart { choice, index, id, name } if self.own.contains(name.as_str()) => {
                let call = Call { id, name, arguments: String::new() };
                self.calls.insert((choice, index), Held { call, over: false });
            }
            Event::ToolStart { choice, index, id, name } => {
                let given = self.given.entry(choice).or_default();
                let next = u32::try_from(given.len()).unwrap_or(u32::MAX);
                let index = *given.entry(index).or_insert(next);
                out.push(Event::ToolStart { choice, index, id, name });
            }
            Event::ToolArguments { choice, index, fragment } => match self.calls.get_mut(&(choice, index)) {
                Some(held) if held.call.arguments.len() + fragment.len() > ARGUMENTS_MAX => held.over = true,
                Some(held) => held.call.arguments.push_str(&fragment),
                None => {
                    let given = self.given.get(&choice).and_then(|given| given.get(&index)).copied();
                    // Arguments of a call that never began belong to nothing.
                    out.extend(given.map(|index| Event::ToolArguments { choice, index, fragment }));
                }
            },
            Event::Text { .. } | Event::Logprobs { .. } => self.speak(event, out),
            other => out.push(other),
        }
    }

    fn speak(&mut self, event: Event, out: &mut Vec<Event>) {
        if let Some(waiting) = &mut self.waiting {
            waiting.push(event);
            // Too long to be given back, so this round is the last.
            if self.heard_bytes > HEARD_MAX {
                out.append(waiting);
            }
            return;
        }
        if let Event::Text { choice, text } = &event
            && !text.is_empty()
            && !std::mem::replace(&mut self.spoke, true)
            && self.spoke_before
        {
            // What a round says is a paragraph: no word, and no secret, comes
            // together out of two.
            out.push(Event::Text { choice: *choice, text: "\n\n".into() });
        }
        out.push(event);
    }

    /// Whether nothing comes after this round, as far as it was heard.
    pub fn is_over(&self) -> bool {
        self.calls.is_empty() || self.is_shared() || self.is_cut()
    }

    fn is_shared(&self) -> bool {
        self.given.values().any(|given| !given.is_empty())
    }

    fn is_cut(&self) -> bool {
        let cut = |e: &Event| matches!(e, Event::Finish { reason: Finish::Length | Finish::Filtered, .. });
        self.heard_bytes > HEARD_MAX || self.last.iter().any(cut)
    }

    /// The target has said everything.
    pub fn end(self) -> Turn {
        let (is_over, is_shared) = (self.is_over(), self.is_shared());
        let calls = self.calls.into_values().map(|held| match held {
            Held { call, over: false } => call,
            Held { call, over: true } => Call { arguments: "cut".into(), ..call },
        });
        let calls: Vec<Call> = calls.collect();
        if !is_over {
            let parts = self.heard.choices.into_iter().next().map(|c| c.parts).unwrap_or_default();
            return Turn::Calls { said: Message { role: Role::Assistant, parts, name: None }, calls };
        }
        let mut last = self.waiting.unwrap_or_default();
        last.extend(self.last.into_iter().map(|event| match event {
            // The calls that it stopped for are not in the answer.
            Event::Finish { choice, reason: Finish::ToolCalls, stop } if !calls.is_empty() && !is_shared => {
                Event::Finish { choice, reason: Finish::Length, stop }
            }
            other => other,
        }));
        Turn::Over { last, unmade: calls.into_iter().map(|call| call.name).collect() }
    }
}

/// What an event weighs in memory: its texts.
fn bytes(event: &Event) -> usize {
    match event {
        Event::Text { text, .. } | Event::Reasoning { text, .. } | Event::Refusal { text, .. } => text.len(),
        Event::Signature { signature, .. } => signature.len(),
        Event::ToolStart { id, name, .. } => id.len() + name.len(),
        Event::ToolArguments { fragment, .. } => fragment.len(),
        Event::Logprobs { tokens, .. } => tokens.iter().map(|t| t.token.len()).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
