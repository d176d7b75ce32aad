//! Messages in channels: gpt-oss.
//!
//! `<|channel|>analysis<|message|>` is thinking, `final` the answer, `commentary`
//! a preamble, or a call when a recipient is named: `to=functions.f`. A message
//! ends with `<|end|>`, `<|call|>` or `<|return|>`, or where the next begins.

use constrain::Item;

use super::json::{End as JsonEnd, Scan, arguments};
use super::sink::Sink;
use super::{Call, Reader, first, overlap};

const START: &str = "<|start|>";
const CHANNEL: &str = "<|channel|>";
const MESSAGE: &str = "<|message|>";
const END: &str = "<|end|>";
const CALL: &str = "<|call|>";
const CONSTRAIN: &str = "<|constrain|>";
const ENDS: [&str; 5] = [END, CALL, "<|return|>", START, CHANNEL];

#[derive(Clone, Debug)]
enum State {
    /// Before the first mark, or after a message.
    Between,
    /// After `<|start|>` or `<|channel|>`, up to `<|message|>`.
    Header,
    Analysis,
    Text,
    /// An answer that is JSON, up to its end.
    Json(Scan),
    /// The arguments of a call: JSON until it ends or is none, and the bytes in
    /// which no end of the message stands.
    Call(String, Option<Scan>, usize),
}

pub(super) struct Harmony {
    tools: bool,
    json: bool,
    state: State,
}

impl Harmony {
    /// `json`: the final answer is.
    pub(super) fn new(tools: bool, json: bool) -> Harmony {
        Harmony { tools, json, state: State::Between }
    }

    /// What a message is, by its header.
    fn kind(&self, header: &str) -> State {
        let header = header.replace(CONSTRAIN, " ");
        let (before, after) = header.split_once(CHANNEL).unwrap_or((&header, ""));
        let channel = after.split_whitespace().next().unwrap_or("");
        let recipient =
            before.split_whitespace().chain(after.split_whitespace()).find_map(|w| w.strip_prefix("to="));
        match recipient {
            Some(to) if self.tools => {
                State::Call(to.strip_prefix("functions.").unwrap_or(to).to_owned(), Some(Scan::default()), 0)
            }
            _ if channel == "analysis" => State::Analysis,
            _ if self.json => State::Json(Scan::default()),
            _ => State::Text,
        }
    }

    fn step(&mut self, buffer: &mut String, end: bool, sink: &mut Sink) -> bool {
        match &mut self.state {
            State::Between => {
                let marks = [START, CHANNEL, MESSAGE, END, CALL, "<|return|>"];
                let Some((at, mark)) = first(buffer, &marks) else {
                    return rest(buffer, end, &marks, |text| sink.text(text));
                };
                sink.text(&buffer[..at]);
                buffer.drain(..at);
                sink.mark();
                self.state = match mark {
                    START | CHANNEL => State::Header,
                    MESSAGE => State::Text,
                    _ => State::Between,
                };
                // The channel's mark is part of the header.
                if mark != CHANNEL {
                    buffer.drain(..mark.len());
                }
                true
            }
            State::Header => match buffer.find(MESSAGE) {
                Some(at) => {
                    self.state = self.kind(&buffer[..at]);
                    buffer.drain(..at + MESSAGE.len());
                    true
                }
                None => {
                    // A header that was cut says nothing.
                    if end {
                        buffer.clear();
                    }
                    false
                }
            },
            State::Analysis | State::Text => {
                let thinking = matches!(self.state, State::Analysis);
                let mut say = |text: &str| if thinking { sink.reasoning(text) } else { sink.text(text) };
                let Some((at, _)) = first(buffer, &ENDS) else {
                    return rest(buffer, end, &ENDS, say);
                };
                say(&buffer[..at]);
                buffer.drain(..at);
                sink.mark();
                self.state = State::Between;
                true
            }
            State::Json(scan) => {
                let (take, over) = match scan.end(buffer) {
                    JsonEnd::More => (buffer.len(), false),
                    JsonEnd::At(at) => (at, true),
                    JsonEnd::Not => (0, true),
                };
                scan.forget();
                sink.text(&buffer[..take]);
                buffer.drain(..take);
                if over {
                    self.state = State::Text;
                }
                over
            }
            State::Call(name, scan, seen) => {
                // A mark inside of the JSON is a word of it. JSON that is broken
                // ends at the first mark.
                match scan.as_mut().map(|scan| scan.end(buffer)) {
                    Some(JsonEnd::More) if !end => return false,
                    Some(JsonEnd::At(at)) => *seen = at,
                    _ => {}
                }
                *scan = None;
                let from = (0..=*seen).rev().find(|i| buffer.is_char_boundary(*i)).unwrap_or(0);
                let found = first(&buffer[from..], &ENDS).map(|(at, _)| from + at);
                let Some(at) = found.or(end.then_some(buffer.len())) else {
                    *seen = (*seen).max(buffer.len().saturating_sub(16));
                    return false;
                };
                let name = std::mem::take(name);
                let body: String = buffer.drain(..at).collect();
                match arguments(&body) {
                    Some(arguments) if !name.is_empty() && (found.is_some() || !body.trim().is_empty()) => {
                        sink.call(name, arguments);
                    }
                    _ => {
                        sink.text(&body);
                        sink.mark();
                    }
                }
                self.state = State::Between;
                true
            }
        }
    }
}

/// Takes the text without what could begin a mark.
fn rest(buffer: &mut String, end: bool, marks: &[&str], mut say: impl FnMut(&str)) -> bool {
    let keep = if end { 0 } else { overlap(buffer, marks) };
    let take = buffer.len() - keep;
    say(&buffer[..take]);
    buffer.drain(..take);
    false
}

impl Reader for Harmony {
    fn read(&mut self, buffer: &mut String, end: bool, sink: &mut Sink) {
        while self.step(buffer, end, sink) {}
    }
    fn is_thinking(&self) -> bool {
        matches!(self.state, State::Analysis)
    }
}

/// The marks that end a message, but for one.
fn others(but: &str) -> Vec<String> {
    ENDS.iter().filter(|m| **m != but).map(|m| (*m).to_owned()).collect()
}

/// The thinking that may come first, and where the next message begins.
fn analysis() -> Item {
    Item::Optional(vec![
        Item::Mark(CHANNEL.into()),
        Item::Text("analysis".into()),
        Item::Mark(MESSAGE.into()),
        Item::Until { mark: END.into(), without: others(END) },
        Item::Mark(START.into()),
        Item::Text("assistant".into()),
    ])
}

/// The final answer, held to `body`.
pub(crate) fn answer(body: Vec<Item>) -> Vec<Item> {
    let head = [Item::Mark(CHANNEL.into()), Item::Text("final".into()), Item::Mark(MESSAGE.into())];
    std::iter::once(analysis()).chain(head).chain(body).collect()
}

pub(super) fn turn(calls: &[Call], must: bool) -> Vec<Item> {
    let body = |call: &Call| {
        vec![
            Item::Mark(CHANNEL.into()),
            Item::Text(format!("commentary to=functions.{} ", call.name)),
            Item::Mark(CONSTRAIN.into()),
            Item::Text("json".into()),
            Item::Mark(MESSAGE.into()),
            Item::Json(call.schema.clone()),
        ]
    };
    let mut options: Vec<Vec<Item>> = calls.iter().map(body).collect();
    if !must {
        let without = others("");
        options.push(vec![
            Item::Mark(CHANNEL.into()),
            Item::Text("final".into()),
            Item::Mark(MESSAGE.into()),
            Item::Free { without, not_first: None },
        ]);
    }
    vec![analysis(), Item::OneOf(options)]
}
