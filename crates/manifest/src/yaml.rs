//! YAML as a tree that remembers where everything stood.

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span};
use report::Report;

use crate::{DEPTH_MAX, DOCUMENTS_MAX, PROBLEMS_MAX, TEXT_BYTES_MAX};

/// Line and column, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Position {
    pub line: usize,
    pub column: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub at: Position,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Nothing, `~` or `null` without quotes.
    Null,
    /// Text; `plain` when it was written without quotes, so that it may mean a number or a boolean.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// In the order written; keys are unique.
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub text: String,
    pub at: Position,
}

/// One document of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Source<'t> {
    pub root: Node,
    /// From its `---` (left out) to the next, trimmed.
    pub text: &'t str,
}

impl Node {
    /// What it is, for an error.
    pub fn describe(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Scalar { .. } => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

/// Reads a stream. A document that cannot be read is reported and skipped, so
/// that the others are still checked. Empty documents are left out.
pub(crate) fn read<'t>(text: &'t str, file: &str, problems: &mut Vec<Report>) -> Vec<Source<'t>> {
    if text.len() > TEXT_BYTES_MAX {
        problems.push(
            Report::new("MF0001", format!("{file} has {} bytes, the limit is {TEXT_BYTES_MAX}", text.len()))
                .hint("split it into several files"),
        );
        return Vec::new();
    }
    let options = granit_parser::options! {
        emit_comments: false,
        disallow_directives: true,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    let mut reader =
        Reader { parser: Parser::new_from_str_with_options(text, options), file, text, documents: 0 };
    let mut sources: Vec<(usize, Node)> = Vec::new();
    let mut starts: Vec<usize> = Vec::new();
    while problems.len() < PROBLEMS_MAX {
        match reader.document() {
            Ok(Next::End) => break,
            Ok(Next::Document { start, root }) => {
                starts.push(start);
                if let Some(root) = root {
                    sources.push((starts.len() - 1, root));
                }
            }
            Err(problem) => {
                let fatal = problem.code.0 == "MF0001";
                problems.push(*problem);
                starts.push(usize::MAX);
                if fatal || !reader.parser.proceed_next_document().unwrap_or(false) {
                    break;
                }
            }
        }
    }
    sources
        .into_iter()
        .map(|(index, root)| {
            let start = starts[index];
            let end = starts[index + 1..].iter().copied().find(|s| *s != usize::MAX).unwrap_or(text.len());
            Source { root, text: document_text(text.get(start..end).unwrap_or("")) }
        })
        .collect()
}

fn document_text(slice: &str) -> &str {
    let slice = slice.trim_start_matches('\u{feff}');
    let slice = slice.strip_prefix("---").unwrap_or(slice).trim();
    slice.strip_suffix("\n...").unwrap_or(slice).trim_end()
}

struct Reader<'t, 'f> {
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    file: &'f str,
    text: &'t str,
    documents: usize,
}

enum Next {
    Document {
        /// Byte offset of its beginning.
        start: usize,
        root: Option<Node>,
    },
    End,
}

type Problem = Box<Report>;

impl<'t> Reader<'t, '_> {
    fn document(&mut self) -> Result<Next, Problem> {
        let start = loop {
            match self.event()? {
                None | Some((Event::StreamEnd, _)) => return Ok(Next::End),
                Some((Event::DocumentStart(explicit, _), span)) => {
                    // An implicit document begins where the stream does, comments included.
                    break if explicit { self.byte(&span.start) } else { 0 };
                }
                Some(_) => {}
            }
        };
        self.documents += 1;
        if self.documents > DOCUMENTS_MAX {
            return Err(Box::new(
                Report::new("MF0001", format!("the stream has more than {DOCUMENTS_MAX} documents"))
                    .at(self.file)
                    .hint("split it into several files"),
            ));
        }
        let root = self.node(0)?;
        loop {
            match self.event()? {
                None | Some((Event::DocumentEnd | Event::StreamEnd, _)) => break,
                Some(_) => {}
            }
        }
        let empty = matches!(root.value, Value::Null);
        Ok(Next::Document { start, root: (!empty).then_some(root) })
    }

    fn node(&mut self, depth: usize) -> Result<Node, Problem> {
        let Some((event, span)) = self.event()? else {
            return Err(Box::new(
                Report::new("MF0002", "the YAML ends in the middle of a document").at(self.file),
            ));
        };
        self.node_from(event, span, depth)
    }

    fn node_from(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Problem> {
        let at = position(&span.start);
        if depth > DEPTH_MAX {
            return Err(Box::new(
                Report::new("MF0001", format!("the YAML is nested more than {DEPTH_MAX} deep"))
                    .at(self.place(at)),
            ));
        }
        let (anchor, tag) = match &event {
            Event::Scalar(_, _, anchor, tag)
            | Event::SequenceStart(_, anchor, tag)
            | Event::MappingStart(_, anchor, tag) => (*anchor, tag.is_some()),
            _ => (0, false),
        };
        if anchor != 0 || tag {
            let what = if tag { "a tag (`!name`)" } else { "an anchor (`&name`)" };
            return Err(self.refused(what, at));
        }
        let value = match event {
            Event::Scalar(text, style, ..) => scalar(&text, style),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match self.event()? {
                        None | Some((Event::SequenceEnd, _)) => break,
                        Some((event, span)) => items.push(self.node_from(event, span, depth + 1)?),
                    }
                }
                Value::List(items)
            }
            Event::MappingStart(..) => self.map(depth)?,
            Event::Alias(_) | Event::UnresolvedAlias(_) => return Err(self.refused("an alias (`*name`)", at)),
            _ => return Err(Box::new(Report::new("MF0002", "the YAML cannot be read").at(self.place(at)))),
        };
        Ok(Node { at, value })
    }

    fn map(&mut self, depth: usize) -> Result<Value, Problem> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut seen = std::collections::BTreeMap::<String, usize>::new();
        loop {
            let (event, span) = match self.event()? {
                None | Some((Event::MappingEnd, _)) => return Ok(Value::Map(entries)),
                Some(next) => next,
            };
            let key = self.node_from(event, span, depth + 1)?;
            let Value::Scalar { text, .. } = key.value else {
                return Err(Box::new(
                    Report::new("MF0003", format!("a key must be a word, this is {}", key.describe()))
                        .at(self.place(key.at)),
                ));
            };
            if text == "<<" {
                return Err(self.refused("a merge key (`<<`)", key.at));
            }
            if let Some(line) = seen.insert(text.clone(), key.at.line) {
                return Err(Box::new(
                    Report::new("MF0004", format!("key `{}` is given twice", clip(&text)))
                        .at(self.place(key.at))
                        .because(format!("it already stands on line {line}"))
                        .hint("remove one of the two"),
                ));
            }
            let value = self.node(depth + 1)?;
            entries.push((Key { text, at: key.at }, value));
        }
    }

    fn event(&mut self) -> Result<Option<(Event<'t>, Span)>, Problem> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok(next)) => Ok(Some(next)),
            Some(Err(error)) => {
                let at = self.place(position(error.marker()));
                Err(Box::new(
                    Report::new("MF0002", "the YAML cannot be read").at(at).because(error.info().to_string()),
                ))
            }
        }
    }

    fn refused(&self, what: &str, at: Position) -> Problem {
        Box::new(
            Report::new("MF0003", format!("{what} is not accepted"))
                .at(self.place(at))
                .because("a manifest is read as it is written, without expansion")
                .hint("write the value out where it is used"),
        )
    }

    fn place(&self, at: Position) -> String {
        place(self.file, at)
    }

    fn byte(&self, marker: &Marker) -> usize {
        marker.byte_offset().unwrap_or_else(|| {
            self.text.char_indices().nth(marker.index()).map_or(self.text.len(), |(i, _)| i)
        })
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    let plain = style == ScalarStyle::Plain;
    if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Value::Null;
    }
    Value::Scalar { text: text.to_owned(), plain }
}

fn position(marker: &Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}

pub(crate) fn place(file: &str, at: Position) -> String {
    format!("{file}:{}:{}", at.line, at.column)
}

/// At most forty characters of someone's text, for an error.
pub(crate) fn clip(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
