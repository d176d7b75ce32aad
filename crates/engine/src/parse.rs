//! What the model's text means: thinking, tool calls, or plain words.
//!
//! Models mark thinking with `<think>` and, in the Hermes and Qwen form, a tool
//! call with `<tool_call>{"name": .., "arguments": ..}</tool_call>`. Text comes
//! in fragments, so a fragment that could begin a mark is held back until it
//! cannot. A call that is not valid JSON is shown as the text it is.

use std::collections::BTreeMap;

use chat::Event;
use serde_json::value::RawValue;

const THINK: (&str, &str) = ("<think>", "</think>");
const CALL: (&str, &str) = ("<tool_call>", "</tool_call>");

/// One choice's reader.
#[derive(Debug)]
pub(crate) struct Splitter {
    choice: u32,
    options: SplitOptions,
    state: State,
    buffer: String,
    calls: u32,
    /// Whether white space before the next text is dropped: after a mark.
    trim: bool,
}

/// What to look for.
#[derive(Clone, Debug, Default)]
pub(crate) struct SplitOptions {
    pub thinking: bool,
    /// The prompt ended inside `<think>`.
    pub starts_thinking: bool,
    pub tools: bool,
    /// Calls after the first are dropped.
    pub one_call: bool,
    /// Begins the ids of calls.
    pub id_prefix: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Text,
    Thinking,
    Call,
}

impl Splitter {
    pub(crate) fn new(choice: u32, options: SplitOptions) -> Splitter {
        let state = if options.starts_thinking { State::Thinking } else { State::Text };
        let trim = options.starts_thinking;
        Splitter { choice, options, state, buffer: String::new(), calls: 0, trim }
    }

    /// Whether tokens now are thinking.
    pub(crate) fn is_thinking(&self) -> bool {
        self.state == State::Thinking
    }
    pub(crate) fn called(&self) -> bool {
        self.calls > 0
    }

    pub(crate) fn push(&mut self, text: &str, out: &mut impl Extend<Event>) {
        if !self.options.thinking && !self.options.tools {
            self.emit(text.to_owned(), out);
            return;
        }
        self.buffer.push_str(text);
        while self.advance(out) {}
    }

    /// Nothing follows: what is held back is text.
    pub(crate) fn finish(&mut self, out: &mut impl Extend<Event>) {
        let rest = std::mem::take(&mut self.buffer);
        if self.state == State::Call {
            self.state = State::Text;
            // Some models end their turn without closing the mark.
            if self.call(&rest, out) {
                return;
            }
            self.trim = false;
            self.emit(format!("{}{rest}", CALL.0), out);
        } else {
            self.emit(rest, out);
        }
    }

    /// Handles the buffer up to the next mark. False when more text is needed.
    fn advance(&mut self, out: &mut impl Extend<Event>) -> bool {
        let marks: &[&str] = match self.state {
            State::Text => match (self.options.thinking, self.options.tools) {
                (true, true) => &[THINK.0, CALL.0],
                (true, false) => &[THINK.0],
                _ => &[CALL.0],
            },
            State::Thinking => &[THINK.1],
            State::Call => &[CALL.1],
        };
        let found = marks.iter().filter_map(|m| self.buffer.find(m).map(|at| (at, *m))).min();
        let Some((at, mark)) = found else {
            if self.state != State::Call {
                let keep = marks.iter().map(|m| overlap(&self.buffer, m)).max().unwrap_or(0);
                let rest = self.buffer.split_off(self.buffer.len() - keep);
                let text = std::mem::replace(&mut self.buffer, rest);
                self.emit(text, out);
            }
            return false;
        };
        let rest = self.buffer.split_off(at + mark.len());
        let mut text = std::mem::replace(&mut self.buffer, rest);
        text.truncate(at);
        match self.state {
            State::Text if mark == THINK.0 => {
                self.emit(text, out);
                self.state = State::Thinking;
            }
            State::Text => {
                // The white space between an answer and a call belongs to neither.
                self.emit(text.trim_end().to_owned(), out);
                self.state = State::Call;
            }
            State::Thinking => {
                self.emit(text.trim_end().to_owned(), out);
                self.state = State::Text;
            }
            State::Call => {
                self.state = State::Text;
                if !self.call(&text, out) {
                    self.trim = false;
                    self.emit(format!("{}{text}{}", CALL.0, CALL.1), out);
                    return true;
                }
            }
        }
        self.trim = true;
        true
    }

    fn emit(&mut self, mut text: String, out: &mut impl Extend<Event>) {
        if self.trim {
            let start = text.len() - text.trim_start().len();
            text.drain(..start);
            self.trim = text.is_empty();
        }
        if text.is_empty() {
            return;
        }
        let choice = self.choice;
        out.extend([match self.state {
            State::Thinking => Event::Reasoning { choice, text },
            _ => Event::Text { choice, text },
        }]);
    }

    /// Reads a call. False when it is none.
    fn call(&mut self, text: &str, out: &mut impl Extend<Event>) -> bool {
        let Ok(fields) = serde_json::from_str::<BTreeMap<&str, &RawValue>>(text.trim()) else { return false };
        let Some(name) = fields.get("name").and_then(|n| serde_json::from_str::<String>(n.get()).ok()) else {
            return false;
        };
        let raw = fields.get("arguments").or(fields.get("parameters")).map_or("{}", |a| a.get());
        // Some models write the object as a text.
        let arguments = match serde_json::from_str::<String>(raw) {
            Ok(inner) => inner,
            Err(_) => raw.to_owned(),
        };
        let (choice, index) = (self.choice, self.calls);
        if self.options.one_call && index > 0 {
            return true;
        }
        self.calls += 1;
        let id = format!("{}{choice}{index:02}", self.options.id_prefix);
        out.extend([
            Event::ToolStart { choice, index, id, name },
            Event::ToolArguments { choice, index, fragment: arguments },
        ]);
        true
    }
}

/// Bytes at the end of `text` that `mark` begins with.
fn overlap(text: &str, mark: &str) -> usize {
    let most = (mark.len() - 1).min(text.len());
    (1..=most).rev().find(|n| text.as_bytes().ends_with(&mark.as_bytes()[..*n])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use chat::{Part, Response};

    use super::*;

    fn split(options: SplitOptions, text: &str, size: usize) -> Vec<Part> {
        let mut splitter = Splitter::new(0, options);
        let mut events = Vec::new();
        let chars: Vec<char> = text.chars().collect();
        for piece in chars.chunks(size) {
            splitter.push(&piece.iter().collect::<String>(), &mut events);
        }
        splitter.finish(&mut events);
        let mut response = Response::default();
        events.into_iter().for_each(|e| response.push(e));
        response.choices.pop().map(|c| c.parts).unwrap_or_default()
    }
    fn all() -> SplitOptions {
        SplitOptions { thinking: true, tools: true, id_prefix: "call_".into(), ..SplitOptions::default() }
    }
    fn reasoning(text: &str) -> Part {
        Part::Reasoning { text: text.into(), signature: None }
    }
    fn call(id: &str, name: &str, arguments: &str) -> Part {
        Part::ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() }
    }

    #[test]
    fn thinking_and_calls_are_found_at_every_split() {
        let text = "<think>\nhm < 3 </think>\n\nLet me see.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\" : 1}}\n\
            </tool_call>\n<tool_call>{\"name\":\"g\",\"arguments\":\"{}\"}</tool_call>";
        let expected = vec![
            reasoning("hm < 3"),
            Part::Text("Let me see.".into()),
            call("call_000", "f", "{\"a\" : 1}"),
            call("call_001", "g", "{}"),
        ];
        for size in 1..40 {
            let mut got = split(all(), text, size);
            // Trailing white space of thinking is only known to be trailing when it arrives with the mark.
            if let Part::Reasoning { text, .. } = &mut got[0] {
                text.truncate(text.trim_end().len());
            }
            if let Part::Text(text) = &mut got[1] {
                text.truncate(text.trim_end().len());
            }
            assert_eq!(got, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_prompt_that_opens_the_thinking_is_continued() {
        let options = SplitOptions { starts_thinking: true, ..all() };
        assert_eq!(split(options, "hm</think>\nyes", 3), [reasoning("hm"), Part::Text("yes".into())]);
    }

    #[test]
    fn a_broken_call_is_shown_as_text() {
        let text = "<tool_call>{\"name\": }</tool_call> x";
        assert_eq!(split(all(), text, 5), [Part::Text("<tool_call>{\"name\": }</tool_call> x".into())]);
        assert_eq!(split(all(), "<tool_call>{\"na", 5), [Part::Text("<tool_call>{\"na".into())]);
    }

    #[test]
    fn an_unclosed_call_at_the_end_counts() {
        let text = "<tool_call>{\"name\":\"f\",\"arguments\":{}}";
        assert_eq!(split(all(), text, 4), [call("call_000", "f", "{}")]);
    }

    #[test]
    fn only_one_call_when_parallel_calls_are_off() {
        let one = "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>";
        let options = SplitOptions { one_call: true, ..all() };
        assert_eq!(split(options, &format!("{one}\n{one}"), 7), [call("call_000", "f", "{}")]);
    }

    #[test]
    fn marks_mean_nothing_to_models_that_do_not_use_them() {
        let text = "a <think> b <tool_call>";
        assert_eq!(split(SplitOptions::default(), text, 3), [Part::Text(text.into())]);
    }
}
