//! Chunks of OpenAI-compatible streams, chat and legacy.

use chat::{Event, Tier, Usage};

use super::{Ending, failure};
use crate::fields::Lenient;
use crate::openai::chat::{finish_from, read_logprobs};
use crate::openai::completions;
use crate::scan::CHOICES_MAX;
use crate::usage;

/// A peer that numbers its calls absurdly must not make us allocate for them.
const CALLS_MAX: u64 = 512;

#[derive(Default)]
pub(super) struct Reader {
    has_started: bool,
    has_failed: bool,
    usage: Option<Usage>,
    tier: Option<Tier>,
    choices: Vec<Choice>,
}

#[derive(Default)]
struct Choice {
    has_spoken: bool,
    has_finished: bool,
    calls: Vec<Call>,
}

#[derive(Default, Clone)]
struct Call {
    has_started: bool,
    has_name: bool,
    id: String,
}

impl Reader {
    pub(super) fn take(&mut self, event: &str, chunk: &Lenient<'_>, out: &mut Vec<Event>) {
        if chunk.has("error") || event == "error" || chunk.raw("object") == Some("\"error\"") {
            self.has_failed = true;
            out.push(failure(chunk));
            return;
        }
        let choices = chunk.objects("choices");
        let (id, model) = (chunk.text("id"), chunk.text("model"));
        // Azure's first chunk carries only filter results: no id, no model.
        if !self.has_started && (!id.is_empty() || !model.is_empty() || !choices.is_empty()) {
            self.has_started = true;
            out.push(Event::Start { id, model, created: chunk.i64("created").unwrap_or(0) });
        }
        if let Some(tier) = chunk.str("service_tier").map(|word| usage::tier(&word))
            && self.tier.as_ref() != Some(&tier)
        {
            self.tier = Some(tier.clone());
            out.push(Event::Tier(tier));
        }
        self.note_usage(&chunk.object("usage"));
        self.note_usage(&chunk.object("x_groq").object("usage"));
        for (position, choice) in (0u64..).zip(&choices) {
            self.note_usage(&choice.object("usage"));
            let index = choice.u64("index").unwrap_or(position);
            if index < u64::from(CHOICES_MAX) {
                self.choice(index as u32, choice, out);
            }
        }
    }

    /// `[DONE]`: usage is told now, so that a client's usage chunk does not wait
    /// for the connection to close.
    pub(super) fn end(&mut self, out: &mut Vec<Event>) {
        out.extend(self.usage.take().map(Event::Usage));
    }

    pub(super) fn finish(&mut self, out: &mut Vec<Event>) -> Ending {
        self.end(out);
        let mut spoken = self.choices.iter().filter(|c| c.has_spoken || c.has_finished).peekable();
        if self.has_failed {
            Ending::Failed
        } else if spoken.peek().is_some() && spoken.all(|c| c.has_finished) {
            Ending::Complete
        } else {
            Ending::Cut
        }
    }

    /// The last usage counts: servers that send it with each chunk count upwards.
    fn note_usage(&mut self, object: &Lenient<'_>) {
        self.usage = usage::from_openai(object).or(self.usage.take());
    }

    fn choice(&mut self, choice: u32, c: &Lenient<'_>, out: &mut Vec<Event>) {
        if self.choices.len() <= choice as usize {
            self.choices.resize_with(choice as usize + 1, Choice::default);
        }
        let state = &mut self.choices[choice as usize];
        let before = out.len();
        let delta = if c.has("delta") { c.object("delta") } else { c.object("message") };
        let thinking =
            delta.str("reasoning_content").filter(|t| !t.is_empty()).or_else(|| delta.str("reasoning"));
        if let Some(text) = thinking.filter(|t| !t.is_empty()) {
            out.push(Event::Reasoning { choice, text: text.into_owned() });
        }
        if let Some(text) = delta.str("content").or_else(|| c.str("text")).filter(|t| !t.is_empty()) {
            out.push(Event::Text { choice, text: text.into_owned() });
        }
        // Mistral's thinking models send a list.
        for item in delta.objects("content") {
            for thought in item.objects("thinking") {
                out.push(Event::Reasoning { choice, text: thought.text("text") });
            }
            if let Some(text) = item.str("text").filter(|t| !t.is_empty()) {
                out.push(Event::Text { choice, text: text.into_owned() });
            }
        }
        if let Some(text) = delta.str("refusal").filter(|t| !t.is_empty()) {
            out.push(Event::Refusal { choice, text: text.into_owned() });
        }
        for call in delta.objects("tool_calls") {
            state.call(choice, &call, out);
        }
        let logprobs = c.object("logprobs");
        let tokens = if logprobs.has("tokens") {
            completions::read_logprobs(&logprobs)
        } else {
            read_logprobs(&logprobs)
        };
        if !tokens.is_empty() {
            out.push(Event::Logprobs { choice, tokens });
        }
        state.has_spoken |= out.len() > before;
        if let Some(word) = c.str("finish_reason").filter(|w| !w.is_empty() && !state.has_finished) {
            state.has_finished = true;
            let stop = c.str("stop_reason").map(|s| s.into_owned());
            out.push(Event::Finish { choice, reason: finish_from(&word), stop });
        }
    }
}

impl Choice {
    /// A fragment of a call. The id and the name stand in the first fragment
    /// only (TRAPS S5), in every one, or without an index at all.
    fn call(&mut self, choice: u32, c: &Lenient<'_>, out: &mut Vec<Event>) {
        let (id, function) = (c.text("id"), c.object("function"));
        let index = c.u64("index").unwrap_or_else(|| {
            let known = self.calls.iter().rposition(|call| !id.is_empty() && call.id == id);
            let last = self.calls.len().saturating_sub(1);
            known.unwrap_or(if id.is_empty() { last } else { self.calls.len() }) as u64
        });
        if index >= CALLS_MAX {
            return;
        }
        let place = index as usize;
        if self.calls.len() <= place {
            self.calls.resize(place + 1, Call::default());
        }
        let (index, call) = (index as u32, &mut self.calls[place]);
        let name = function.text("name");
        if !call.has_started {
            *call = Call { has_started: true, has_name: !name.is_empty(), id: id.clone() };
            out.push(Event::ToolStart { choice, index, id, name });
        } else if !call.has_name && !name.is_empty() {
            call.has_name = true;
            out.push(Event::ToolStart { choice, index, id: String::new(), name });
        }
        let fragment = match function.raw("arguments") {
            // Some imitators send the arguments as an object.
            Some(object) if object.starts_with('{') => object.to_string(),
            _ => function.text("arguments"),
        };
        if !fragment.is_empty() {
            out.push(Event::ToolArguments { choice, index, fragment });
        }
    }
}
