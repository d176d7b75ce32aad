//! The tool calls in an answer, held until they are decided.
//!
//! For tools that the client runs: the gate cannot stop the client, so it stops
//! the call on its way to it. A declared call is kept until its arguments are
//! whole; one that passes goes on as it was, one that does not becomes a text
//! that says why, which the model reads in its next turn. Everything else in
//! the stream passes at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use chat::{Event, Finish};
use units::Micros;

use crate::{Approvals, Decision, Declarations, Effect, History, Verdict, decide};

/// Holds the calls of one answer.
pub struct Watch {
    history: History,
    declared: Arc<Declarations>,
    approvals: Approvals,
    now: Micros,
    calls: BTreeMap<(u32, u32), Call>,
    choices: BTreeMap<u32, Choice>,
    decided: Vec<(String, Decision)>,
    told: Told,
}

/// What stands in an answer in place of a call that was stopped.
pub type Told = Box<dyn FnMut(&str, &Decision) -> String>;

struct Call {
    id: String,
    name: String,
    arguments: String,
    /// Over the limit: what was cut off could be anything.
    over: bool,
}

#[derive(Default)]
struct Choice {
    /// The index that the next call of the choice gets, without gaps.
    next: u32,
    /// Original to given index, for calls that pass at once.
    given: BTreeMap<u32, u32>,
    stopped: bool,
}

/// Bytes of arguments that one call may have.
const ARGUMENTS_MAX: usize = 1 << 20;
/// Calls held at once.
const CALLS_MAX: usize = 256;

impl Watch {
    pub fn new(
        history: History,
        declared: Arc<Declarations>,
        approvals: Approvals,
        now: Micros,
        told: Told,
    ) -> Watch {
        Watch {
            history,
            declared,
            approvals,
            now,
            calls: BTreeMap::new(),
            choices: BTreeMap::new(),
            decided: Vec::new(),
            told,
        }
    }

    /// Takes one event, and gives what may go on.
    pub fn push(&mut self, event: Event, out: &mut Vec<Event>) {
        match event {
            Event::ToolStart { choice, index, id, name } => {
                if self.is_held(&name) && self.calls.len() < CALLS_MAX {
                    let call = Call { id, name, arguments: String::new(), over: false };
                    self.calls.insert((choice, index), call);
                } else {
                    let state = self.choices.entry(choice).or_default();
                    let given = state.next;
                    state.next += 1;
                    state.given.insert(index, given);
                    out.push(Event::ToolStart { choice, index: given, id, name });
                }
            }
            Event::ToolArguments { choice, index, fragment } => match self.calls.get_mut(&(choice, index)) {
                Some(call) if call.arguments.len() + fragment.len() > ARGUMENTS_MAX => call.over = true,
                Some(call) => call.arguments.push_str(&fragment),
                None => {
                    let given = self.choices.get(&choice).and_then(|c| c.given.get(&index)).copied();
                    // Arguments of a call that never began belong to nothing.
                    out.extend(given.map(|index| Event::ToolArguments { choice, index, fragment }));
                }
            },
            Event::Finish { choice, reason, stop } => {
                self.release(choice, out);
                let state = self.choices.entry(choice).or_default();
                let silent = state.stopped && state.next == 0 && reason == Finish::ToolCalls;
                let reason = if silent { Finish::Stop } else { reason };
                out.push(Event::Finish { choice, reason, stop });
            }
            other => out.push(other),
        }
    }

    /// A whole answer: the same code as a stream of one piece.
    pub fn whole(&mut self, response: chat::Response) -> chat::Response {
        let mut out = Vec::new();
        response.into_events().into_iter().for_each(|event| self.push(event, &mut out));
        let mut folded = chat::Response::default();
        out.into_iter().for_each(|event| folded.push(event));
        folded
    }

    /// What was decided, in order.
    pub fn decided(&self) -> &[(String, Decision)] {
        &self.decided
    }

    fn is_held(&self, name: &str) -> bool {
        self.declared.get(name).is_some_and(|tool| tool.effect != Effect::None)
    }

    fn release(&mut self, choice: u32, out: &mut Vec<Event>) {
        let of_choice: Vec<(u32, u32)> =
            self.calls.range((choice, 0)..=(choice, u32::MAX)).map(|(k, _)| *k).collect();
        for key in of_choice {
            let Some(call) = self.calls.remove(&key) else { continue };
            // Cut arguments are no JSON object, which is what decides.
            let arguments = if call.over { "cut" } else { &call.arguments };
            let decision =
                decide(&self.history, &self.declared, &call.name, arguments, &self.approvals, self.now);
            let state = self.choices.entry(choice).or_default();
            if decision.verdict == Verdict::Allow {
                let index = state.next;
                state.next += 1;
                out.push(Event::ToolStart { choice, index, id: call.id, name: call.name.clone() });
                out.push(Event::ToolArguments { choice, index, fragment: call.arguments });
            } else {
                state.stopped = true;
                let text = (self.told)(&call.name, &decision);
                out.push(Event::Text { choice, text });
            }
            self.decided.push((call.name, decision));
        }
    }
}
