//! What may be said, and how the library is told.

use std::fmt::Write;

use llguidance::api::TopLevelGrammar;

use crate::{Error, Vocabulary, schema};

/// Longest Lark text or regular expression. Compiling is linear in it.
const TEXT_MAX: usize = 64 << 10;
/// Deepest brackets of a Lark text or regular expression: they nest on the stack.
const NEST_MAX: usize = 64;
/// Most tools, options and repeats of one [`Grammar::Turn`].
const ITEMS_MAX: usize = 4096;

/// What a whole answer must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grammar {
    /// Any JSON object.
    JsonObject,
    /// JSON Schema, as JSON text.
    JsonSchema(String),
    /// The regular expression matches all of the answer.
    Regex(String),
    /// A grammar in llguidance's form of Lark; `start` is where it begins.
    Lark(String),
    /// Parts, one after the other: how a turn with marks is written.
    Turn(Vec<Item>),
}

/// A part of a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Text(String),
    /// A text that is one token where the vocabulary has it as a mark.
    Mark(String),
    /// JSON that satisfies the schema.
    Json(String),
    /// Text that the regular expression matches whole.
    Regex(String),
    /// Spaces and line ends, none to four.
    Space,
    /// Any text without these marks, whose first letter is not `not_first`.
    Free {
        without: Vec<String>,
        not_first: Option<char>,
    },
    /// Any text without these marks up to the first `mark`, and that mark.
    Until {
        mark: String,
        without: Vec<String>,
    },
    Optional(Vec<Item>),
    OneOf(Vec<Vec<Item>>),
    /// `item` between `min` and `max` times, with `separator` between.
    Repeat {
        item: Vec<Item>,
        separator: String,
        min: usize,
        max: usize,
    },
}

impl Grammar {
    /// Checks the parts and writes them down for the library.
    pub(crate) fn program(&self, vocabulary: &Vocabulary) -> Result<TopLevelGrammar, Error> {
        match self {
            Grammar::JsonObject => Grammar::JsonSchema("{\"type\":\"object\"}".into()).program(vocabulary),
            Grammar::JsonSchema(text) => Ok(TopLevelGrammar::from_json_schema(schema::prepare(text)?)),
            Grammar::Regex(text) => {
                bounded("regular expression", text)?;
                Ok(TopLevelGrammar::from_regex(text))
            }
            Grammar::Lark(text) => {
                bounded("grammar", text)?;
                Ok(TopLevelGrammar::from_lark(text.clone()))
            }
            Grammar::Turn(items) => {
                let mut writer = Writer { vocabulary, rules: String::new(), count: 0 };
                let start = writer.sequence(items)?;
                Ok(TopLevelGrammar::from_lark(format!("start: {start}\n{}", writer.rules)))
            }
        }
    }
}

fn bounded(what: &'static str, text: &str) -> Result<(), Error> {
    if text.len() > TEXT_MAX {
        return Err(Error::TooLarge { what, size: text.len(), max: TEXT_MAX });
    }
    let (mut depth, mut deepest) = (0usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if deepest > NEST_MAX {
        return Err(Error::TooLarge { what: "nesting of the grammar", size: deepest, max: NEST_MAX });
    }
    Ok(())
}

/// Writes Lark. Text of ours and of clients stands only inside of quoted strings.
struct Writer<'a> {
    vocabulary: &'a Vocabulary,
    rules: String,
    count: usize,
}

impl Writer<'_> {
    fn sequence(&mut self, items: &[Item]) -> Result<String, Error> {
        let parts = items.iter().map(|i| self.item(i)).collect::<Result<Vec<_>, _>>()?;
        Ok(if parts.is_empty() { "\"\"".to_owned() } else { parts.join(" ") })
    }

    fn item(&mut self, item: &Item) -> Result<String, Error> {
        self.count += 1;
        if self.count > ITEMS_MAX {
            return Err(Error::TooLarge { what: "grammar of the turn", size: self.count, max: ITEMS_MAX });
        }
        Ok(match item {
            Item::Text(text) => quoted(text),
            Item::Mark(text) => self.mark(text),
            Item::Json(schema) => {
                let schema = schema::prepare(schema)?;
                self.rule("json", "", &format!("%json {schema}"))
            }
            Item::Regex(text) => {
                bounded("regular expression", text)?;
                self.rule("text", "", &literal(text)?)
            }
            Item::Space => "/[ \\n]{0,4}/".to_owned(),
            Item::Free { without, not_first } => self.free(without, *not_first),
            Item::Until { mark, without } => {
                let token = self.vocabulary.mark(mark);
                // Spelled out, it would be read as the mark as well.
                let spelled = token.map(|_| mark.clone());
                let without: Vec<String> = without.iter().cloned().chain(spelled).collect();
                let text = self.free(&without, None);
                match token {
                    Some(token) => format!("{text} <[{token}]>"),
                    None => self.rule("until", &format!("[suffix={}]", quoted(mark)), &text),
                }
            }
            Item::Optional(items) => format!("({})?", self.sequence(items)?),
            Item::OneOf(options) => {
                let options = options.iter().map(|o| self.sequence(o)).collect::<Result<Vec<_>, _>>()?;
                format!("({})", options.join(" | "))
            }
            Item::Repeat { item, separator, min, max } => {
                let inner = self.sequence(item)?;
                let inner = self.rule("item", "", &inner);
                let more = format!("({} {inner})", quoted(separator));
                let list = match (min.saturating_sub(1), max.saturating_sub(1)) {
                    (_, 0) => inner,
                    (least, most) => format!("{inner} {more}{{{least},{most}}}"),
                };
                if *min == 0 { format!("({list})?") } else { list }
            }
        })
    }

    /// A terminal for text in which no mark is spelled out.
    fn free(&mut self, without: &[String], not_first: Option<char>) -> String {
        self.count += 1;
        let name = format!("FREE{}", self.count);
        let mut body = match not_first {
            Some(c) => format!("/(?s:\\s*([^\\s{}].*)?)/", escaped(&c.to_string())),
            None => "/(?s:.*)/".to_owned(),
        };
        // One complement of them all: each apart multiplies the lexer's states.
        let marks: Vec<String> = without.iter().map(|m| escaped(m)).collect();
        if !marks.is_empty() {
            write!(body, " & ~/(?s:.*)({})(?s:.*)/", marks.join("|")).expect("a string takes all");
        }
        writeln!(self.rules, "{name}: {body}").expect("a string takes all");
        name
    }

    fn mark(&self, text: &str) -> String {
        match self.vocabulary.mark(text) {
            Some(token) => format!("<[{token}]>"),
            None => quoted(text),
        }
    }

    fn rule(&mut self, name: &str, attributes: &str, body: &str) -> String {
        self.count += 1;
        let name = format!("{name}{}", self.count);
        writeln!(self.rules, "{name}{attributes}: {body}").expect("a string takes all");
        name
    }
}

/// As a Lark string, which reads the escapes of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A client's regular expression between slashes: none of its own ends it.
fn literal(text: &str) -> Result<String, Error> {
    let mut out = String::from("/");
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '/' => out.push_str("\\/"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\\' => match chars.next() {
                Some('\n') => out.push_str("\\n"),
                Some('\r') => out.push_str("\\r"),
                Some(next) => out.extend(['\\', next]),
                None => return Err(Error::Invalid("the regular expression ends in a backslash".into())),
            },
            _ => out.push(c),
        }
    }
    out.push('/');
    Ok(out)
}

/// As a Lark regular expression that matches just this text.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || !c.is_ascii() {
            out.push(c);
        } else {
            write!(out, "\\x{:02x}", c as u32).expect("a string takes all");
        }
    }
    out
}
