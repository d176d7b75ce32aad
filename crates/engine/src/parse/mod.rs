//! What the model's text means: thinking, tool calls, or plain words.
//!
//! Each family of chat templates writes thinking and calls in its own marks;
//! one file each. Text comes in fragments, so what could begin a mark is held
//! back until it cannot, and so is white space that a mark would swallow. The
//! events do not depend on how the text was cut. A call is told when it is
//! whole and valid JSON, because nothing can be taken back from a stream; what
//! is no call is the text that it is.

mod deepseek;
mod harmony;
mod hermes;
mod json;
mod llama;
mod marked;
mod mistral;
mod sink;
mod xml;

use std::sync::Arc;

use chat::Event;
use constrain::Item;

use marked::Marked;
use sink::Sink;

/// How a model's template writes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Family {
    /// No form that is known.
    #[default]
    Unknown,
    /// `<tool_call>{"name": .., "arguments": ..}</tool_call>`: Hermes, Qwen, and many others.
    Hermes,
    /// `<tool_call><function=f><parameter=p>`: Qwen3-Coder.
    Xml,
    /// `{"name": .., "parameters": ..}`: Llama 3.
    Llama,
    /// `[TOOL_CALLS][{..}]`, or `[TOOL_CALLS]f[ARGS]{..}` since the eleventh tokenizer.
    Mistral { args: bool },
    /// `<｜tool▁calls▁begin｜>`; fenced JSON until V3.1.
    DeepSeek { fenced: bool },
    /// Channels: gpt-oss.
    Harmony,
}

impl Family {
    /// By what the template writes.
    pub(crate) fn of(template: &str) -> Family {
        let has = |what: &str| template.contains(what);
        if has("<|channel|>") {
            Family::Harmony
        } else if has("[TOOL_CALLS]") {
            Family::Mistral { args: has("[ARGS]") }
        } else if has("tool▁call▁begin") {
            Family::DeepSeek { fenced: has("```json") }
        } else if has("<function=") && has("<parameter=") {
            Family::Xml
        } else if has("<tool_call>") {
            Family::Hermes
        } else if has("<|python_tag|>") || has("<|start_header_id|>") && has("parameters") {
            Family::Llama
        } else {
            Family::Unknown
        }
    }

    /// The marks around thinking.
    pub(crate) fn think(self) -> (&'static str, &'static str) {
        match self {
            Family::Mistral { .. } => ("[THINK]", "[/THINK]"),
            _ => ("<think>", "</think>"),
        }
    }

    /// A turn that is just an answer, with the thinking that may come before.
    pub(crate) fn answer(self, think: Think, body: Vec<Item>) -> Vec<Item> {
        match self {
            Family::Harmony => harmony::answer(body),
            _ => self.thought(think).into_iter().chain(body).collect(),
        }
    }

    /// Thinking is free; what is held begins after it.
    fn thought(self, think: Think) -> Vec<Item> {
        let (open, close) = self.think();
        let until = Item::Until { mark: close.to_owned(), without: Vec::new() };
        match think {
            Think::Never => Vec::new(),
            Think::Opened => vec![until, Item::Space],
            Think::Maybe => vec![Item::Optional(vec![Item::Mark(open.to_owned()), until, Item::Space])],
        }
    }

    /// What a turn may say when it must call, or may: one of `calls`, at most
    /// `most` of them. `None`: the family has no such form.
    pub(crate) fn turn(self, think: Think, calls: &[Call], most: usize, must: bool) -> Option<Vec<Item>> {
        let turn = match self {
            Family::Unknown => return None,
            // Bare values cannot be held to a schema; JSON between the same marks can,
            // and is read.
            Family::Hermes | Family::Xml => hermes::turn(calls, most, must),
            Family::Llama => llama::turn(calls, most, must),
            Family::Mistral { args } => mistral::turn(calls, most, must, args),
            Family::DeepSeek { fenced } => deepseek::turn(calls, most, must, fenced),
            Family::Harmony => return Some(harmony::turn(calls, must)),
        };
        Some(self.thought(think).into_iter().chain(turn).collect())
    }
}

/// Whether thinking may stand before what is held to a grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Think {
    Never,
    Maybe,
    /// The prompt ended inside of it.
    Opened,
}

/// All marks that are tokens of their own in some model. Tokens with these
/// texts are told even where they are control tokens, whose text is not.
pub(crate) const MARKS: [&str; 22] = [
    "<think>",
    "</think>",
    "[THINK]",
    "[/THINK]",
    "<tool_call>",
    "</tool_call>",
    "<|python_tag|>",
    "[TOOL_CALLS]",
    "[ARGS]",
    "[CALL_ID]",
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁calls▁end｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁call▁end｜>",
    "<｜tool▁sep｜>",
    "<|start|>",
    "<|end|>",
    "<|message|>",
    "<|channel|>",
    "<|constrain|>",
    "<|return|>",
    "<|call|>",
];

/// A tool as a grammar sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub name: String,
    /// JSON Schema of its arguments.
    pub schema: String,
}

/// A tool as the readers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub name: String,
    /// Parameters that are text, for forms without quotes.
    pub texts: Vec<String>,
}

/// What to look for.
#[derive(Clone, Debug, Default)]
pub(crate) struct SplitOptions {
    pub family: Family,
    pub thinking: bool,
    /// The prompt ended inside the thinking.
    pub starts_thinking: bool,
    /// Empty: no calls are looked for.
    pub tools: Arc<[Known]>,
    /// Calls after the first are dropped.
    pub one_call: bool,
    /// The answer is held to JSON: a mark inside of it is only text.
    pub json: bool,
    /// Begins the ids of calls.
    pub id_prefix: String,
}

/// How a family's text is read.
trait Reader: Send {
    /// Takes what can be taken from the front of `buffer`; all of it at the `end`.
    fn read(&mut self, buffer: &mut String, end: bool, sink: &mut Sink);
    /// Whether tokens now are thinking.
    fn is_thinking(&self) -> bool;
}

/// One choice's reader.
pub(crate) struct Splitter {
    /// `None`: there is nothing to look for.
    reader: Option<Box<dyn Reader>>,
    buffer: String,
    sink: Sink,
}

impl std::fmt::Debug for Splitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Splitter").field("buffer", &self.buffer).finish_non_exhaustive()
    }
}

impl Splitter {
    pub(crate) fn new(choice: u32, options: SplitOptions) -> Splitter {
        let tools = !options.tools.is_empty();
        let known = Arc::clone(&options.tools);
        let calls: Option<Box<dyn marked::Calls>> = match options.family {
            _ if !tools => None,
            Family::Unknown | Family::Harmony => None,
            Family::Hermes => Some(Box::new(hermes::Hermes::default())),
            Family::Xml => Some(Box::new(xml::Xml::new(known))),
            Family::Llama => Some(Box::new(llama::Llama::new(known))),
            Family::Mistral { .. } => Some(Box::new(mistral::Mistral::default())),
            Family::DeepSeek { .. } => Some(Box::new(deepseek::DeepSeek::default())),
        };
        let reader: Option<Box<dyn Reader>> = match options.family {
            Family::Harmony => Some(Box::new(harmony::Harmony::new(tools, options.json))),
            _ if calls.is_some() || options.thinking => {
                let think = options.thinking.then(|| options.family.think());
                Some(Box::new(Marked::new(think, options.starts_thinking, calls, options.json)))
            }
            _ => None,
        };
        let sink = Sink::new(choice, options.one_call, options.id_prefix, options.starts_thinking);
        Splitter { reader, buffer: String::new(), sink }
    }

    /// Whether tokens now are thinking.
    pub(crate) fn is_thinking(&self) -> bool {
        self.reader.as_ref().is_some_and(|r| r.is_thinking())
    }
    pub(crate) fn called(&self) -> bool {
        self.sink.calls() > 0
    }

    pub(crate) fn push(&mut self, text: &str, out: &mut impl Extend<Event>) {
        match &mut self.reader {
            None => self.sink.verbatim(text),
            Some(reader) => {
                self.buffer.push_str(text);
                reader.read(&mut self.buffer, false, &mut self.sink);
            }
        }
        out.extend(self.sink.drain());
    }

    /// Nothing follows: what is held back is text.
    pub(crate) fn finish(&mut self, out: &mut impl Extend<Event>) {
        if let Some(reader) = &mut self.reader {
            reader.read(&mut self.buffer, true, &mut self.sink);
        }
        self.sink.finish();
        out.extend(self.sink.drain());
    }
}

/// The first of `marks` in `text`: where, and which. The longest of those there.
fn first<'a>(text: &str, marks: &[&'a str]) -> Option<(usize, &'a str)> {
    marks
        .iter()
        .filter_map(|m| text.find(m).map(|at| (at, std::cmp::Reverse(m.len()), *m)))
        .min()
        .map(|(at, _, mark)| (at, mark))
}

/// Bytes at the end of `text` that one of `marks` begins with.
fn overlap(text: &str, marks: &[&str]) -> usize {
    let longest = |mark: &&str| {
        let most = (mark.len() - 1).min(text.len());
        (1..=most).rev().find(|n| text.as_bytes().ends_with(&mark.as_bytes()[..*n]))
    };
    marks.iter().filter_map(longest).max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
