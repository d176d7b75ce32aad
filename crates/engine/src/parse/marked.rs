//! Families that write plain text, with marks around thinking and calls.
//!
//! Thinking stands where nothing was said yet: in the middle of an answer its
//! mark is a word, as it is inside of a JSON text.

use super::sink::Sink;
use super::{Reader, first, overlap};

/// What stands where a call could begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// More text decides.
    More,
    /// No call: the mark is text.
    Not,
    /// Calls, and the bytes that they took, the mark included.
    Calls(Vec<(String, String)>, usize),
}

/// How a family writes calls.
pub(super) trait Calls: Send {
    /// The texts that a call begins with.
    fn opens(&self) -> &'static [&'static str];
    /// Those that count only where nothing but white space was said before.
    fn opens_at_start(&self) -> &'static [&'static str] {
        &[]
    }
    /// What may stand between two calls.
    fn separator(&self) -> Option<char> {
        None
    }
    /// Looks at `text`, which begins with one of the marks. Called again with
    /// more of the same text until it decides; it forgets the text then.
    fn find(&mut self, text: &str, end: bool) -> Found;
    /// Forgets the text: it is given up undecided.
    fn reset(&mut self);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was said since the start, or since a call (`true`).
    Fresh(bool),
    Text,
    Thinking,
    Call,
}

pub(super) struct Marked {
    think: Option<(&'static str, &'static str)>,
    calls: Option<Box<dyn Calls>>,
    state: State,
    /// Once an answer has begun nothing is looked for in it.
    plain: bool,
}

impl Marked {
    pub(super) fn new(
        think: Option<(&'static str, &'static str)>,
        starts_thinking: bool,
        calls: Option<Box<dyn Calls>>,
        plain: bool,
    ) -> Marked {
        let state = if starts_thinking && think.is_some() { State::Thinking } else { State::Fresh(false) };
        Marked { think, calls, state, plain }
    }

    /// True when it took something, or changed its mind about what it sees.
    fn step(&mut self, buffer: &mut String, end: bool, sink: &mut Sink) -> bool {
        match self.state {
            State::Call => self.in_call(buffer, end, sink),
            State::Thinking => self.in_thinking(buffer, end, sink),
            State::Fresh(after) => self.at_start(after, buffer, end, sink),
            State::Text => self.in_text(buffer, end, sink),
        }
    }

    fn at_start(&mut self, after: bool, buffer: &mut String, end: bool, sink: &mut Sink) -> bool {
        let mut space = buffer.len() - buffer.trim_start().len();
        let separator = self.calls.as_ref().and_then(|c| c.separator());
        if after && separator.is_some_and(|s| buffer[space..].starts_with(s)) {
            space += separator.map_or(0, char::len_utf8);
            buffer.drain(..space);
            return true;
        }
        if space > 0 {
            let white: String = buffer.drain(..space).collect();
            sink.text(&white);
            return true;
        }
        if buffer.is_empty() {
            return false;
        }
        if let Some((open, _)) = self.think.filter(|(open, _)| buffer.starts_with(open)) {
            buffer.drain(..open.len());
            sink.mark();
            self.state = State::Thinking;
            return true;
        }
        let opens = self.calls.as_ref().map_or(Vec::new(), |c| [c.opens(), c.opens_at_start()].concat());
        if opens.iter().any(|o| buffer.starts_with(o)) {
            self.state = State::Call;
            return true;
        }
        let mut possible = opens.iter().copied().chain(self.think.map(|(open, _)| open));
        if !end && possible.any(|o| o.starts_with(buffer.as_str())) {
            return false;
        }
        self.state = State::Text;
        true
    }

    fn in_text(&mut self, buffer: &mut String, end: bool, sink: &mut Sink) -> bool {
        let marks = self.calls.as_ref().filter(|_| !self.plain).map_or(&[][..], |c| c.opens());
        let Some((at, _)) = first(buffer, marks) else {
            let keep = if end { 0 } else { overlap(buffer, marks) };
            let take = buffer.len() - keep;
            sink.text(&buffer[..take]);
            buffer.drain(..take);
            return false;
        };
        sink.text(&buffer[..at]);
        buffer.drain(..at);
        self.state = State::Call;
        true
    }

    fn in_thinking(&mut self, buffer: &mut String, end: bool, sink: &mut Sink) -> bool {
        let close = self.think.map_or("</think>", |(_, close)| close);
        let Some(at) = buffer.find(close) else {
            let keep = if end { 0 } else { overlap(buffer, &[close]) };
            let take = buffer.len() - keep;
            sink.reasoning(&buffer[..take]);
            buffer.drain(..take);
            return false;
        };
        sink.reasoning(&buffer[..at]);
        buffer.drain(..at + close.len());
        sink.mark();
        self.state = State::Fresh(false);
        true
    }

    fn in_call(&mut self, buffer: &mut String, end: bool, sink: &mut Sink) -> bool {
        let Some(calls) = &mut self.calls else {
            self.state = State::Text;
            return true;
        };
        match calls.find(buffer, end) {
            Found::More if !end => false,
            Found::More | Found::Not => {
                calls.reset();
                // The mark is text; a call may still begin after it.
                let opens = [calls.opens(), calls.opens_at_start()].concat();
                let mark = opens.iter().filter(|m| buffer.starts_with(**m)).map(|m| m.len()).max();
                let len = mark.unwrap_or(1).min(buffer.len());
                sink.text(&buffer[..len]);
                buffer.drain(..len);
                self.state = State::Text;
                true
            }
            Found::Calls(found, len) => {
                buffer.drain(..len);
                sink.mark();
                for (name, arguments) in found {
                    sink.call(name, arguments);
                }
                self.state = State::Fresh(true);
                true
            }
        }
    }
}

impl Reader for Marked {
    fn read(&mut self, buffer: &mut String, end: bool, sink: &mut Sink) {
        while self.step(buffer, end, sink) {}
    }
    fn is_thinking(&self) -> bool {
        self.state == State::Thinking
    }
}
