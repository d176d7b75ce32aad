//! A conversation as spans: which text came from where, and how much it is believed.

use std::collections::{BTreeMap, BTreeSet};

use chat::{Message, Part, Role};
use units::Sensitivity;

use crate::declare::{Declarations, Kind, Tool, Trust, fits};
use crate::tree::{self, Leaf};
use crate::value::{self, stands_in, words};
use crate::{Effect, links};

/// Who a span comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    System,
    User,
    /// The result of a tool.
    Tool(Box<str>),
    /// A document that was found for the model.
    Retrieved,
}

/// Where exactly.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The message, from 0.
    pub message: usize,
    pub source: Source,
    /// The field of a result, its keys joined by `.`; `$` for the whole.
    pub path: Box<str>,
}

/// A piece of text with one origin and one trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub origin: Origin,
    pub text: String,
    pub trust: Trust,
    /// The user pointed at its record: it may serve as a value of these kinds (empty: of any).
    pub named: Option<Vec<Kind>>,
}

/// What a record tells, and to whom that is no news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Private {
    pub parties: Vec<String>,
    pub origin: Origin,
    pub text: String,
}

/// Everything the model has read.
#[derive(Clone, Debug, Default)]
pub struct History {
    spans: Vec<Span>,
    /// What user and system said, normalised once.
    said: Vec<String>,
    /// Fields that name what there is: the entries of one list each.
    lists: Vec<Vec<String>>,
    private: Vec<Private>,
    readers: Option<BTreeSet<Box<str>>>,
    sensitivity: Sensitivity,
    messages: usize,
    /// What user and system said is not here: see [`History::of_results`].
    partial: bool,
}

impl History {
    /// Follows a conversation. A result belongs to the tool that the call of its
    /// id named; a result without a call is untrusted.
    pub fn read(messages: &[Message], declared: &Declarations) -> History {
        let mut history = History::default();
        history.follow(messages, declared);
        history
    }

    /// Follows a conversation that comes after what was read so far.
    pub fn follow(&mut self, messages: &[Message], declared: &Declarations) {
        let mut calls: BTreeMap<&str, &str> = BTreeMap::new();
        for message in messages {
            for part in &message.parts {
                match part {
                    Part::ToolCall { id, name, .. } => {
                        calls.insert(id, name);
                    }
                    Part::ToolResult { id, parts, .. } => {
                        let name = calls.get(id.as_str()).copied().unwrap_or_default();
                        for part in parts {
                            if let Part::Text(text) = part {
                                self.result(name, text, declared);
                            }
                        }
                    }
                    Part::Text(text) => match message.role {
                        Role::System => self.system(text),
                        Role::User => self.user(text),
                        Role::Tool => self.retrieved(text),
                        // What the model says is not a source: it may repeat anything.
                        Role::Assistant => {}
                    },
                    Part::Image(_) | Part::Reasoning { .. } | Part::Refusal(_) => {}
                }
            }
            self.messages += 1;
        }
    }

    /// A history that sees what tools answered and not what the user said, as a
    /// gateway between a client and its tools does. A value that stands in no
    /// untrusted result is then taken for the client's own.
    pub fn of_results() -> History {
        History { partial: true, ..History::default() }
    }

    /// From now on an unseen value is asked about: something was said that is
    /// here, or something that was read is not.
    pub fn close(&mut self) {
        self.partial = false;
    }

    pub(crate) fn is_partial(&self) -> bool {
        self.partial
    }

    pub fn system(&mut self, text: &str) {
        self.say(Source::System, text);
    }

    pub fn user(&mut self, text: &str) {
        self.say(Source::User, text);
    }

    /// A document that was found for the model: untrusted.
    pub fn retrieved(&mut self, text: &str) {
        let origin = Origin { message: self.messages, source: Source::Retrieved, path: "$".into() };
        self.spans.push(Span { origin, text: text.to_owned(), trust: Trust::Untrusted, named: None });
    }

    /// What a tool answered. `true`: its owner vouches for every field of it.
    pub fn result(&mut self, name: &str, text: &str, declared: &Declarations) -> bool {
        let unknown = Tool::default();
        let tool = declared.get(name).unwrap_or(&unknown);
        self.sensitivity = self.sensitivity.max(tool.sensitivity);
        if let Some(readers) = &tool.readers {
            self.readers = Some(match &self.readers {
                Some(so_far) => so_far & readers,
                None => readers.clone(),
            });
        }
        let leaves = tree::leaves(text);
        let named = self.pointed_at(tool, &leaves);
        let mut vouched = true;
        let mut lists: BTreeMap<&[String], Vec<String>> = BTreeMap::new();
        for leaf in &leaves {
            let path: Vec<&str> = leaf.path.iter().map(String::as_str).collect();
            let trust = tool.trust(&path);
            vouched &= trust == Trust::Trusted;
            if trust == Trust::Listed {
                lists.entry(&leaf.path).or_default().push(words(&leaf.text));
            }
            let kinds = tool.named.iter().enumerate().find_map(|(at, rule)| {
                let gives = rule.gives.iter().any(|g| fits(g, &path));
                (gives && named.contains(&(at, leaf.record))).then(|| rule.kinds.clone())
            });
            let origin = Origin {
                message: self.messages,
                source: Source::Tool(name.into()),
                path: if path.is_empty() { "$".into() } else { path.join(".").into() },
            };
            self.spans.push(Span { origin, text: leaf.text.clone(), trust, named: kinds });
        }
        self.lists.extend(lists.into_values());
        self.remember_private(name, tool, &leaves);
        vouched
    }

    /// The next result belongs to the next message.
    pub fn turn(&mut self) {
        self.messages += 1;
    }

    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The most sensitive thing that was read.
    pub fn sensitivity(&self) -> Sensitivity {
        self.sensitivity
    }

    /// Who may read everything that was read; `None`: anybody.
    pub fn readers(&self) -> Option<&BTreeSet<Box<str>>> {
        self.readers.as_ref()
    }

    fn say(&mut self, source: Source, text: &str) {
        let origin = Origin { message: self.messages, source, path: "$".into() };
        self.said.push(words(text));
        self.spans.push(Span { origin, text: text.to_owned(), trust: Trust::Trusted, named: None });
    }

    /// The records that the user named by one of their key fields, by rule.
    fn pointed_at(&self, tool: &Tool, leaves: &[Leaf]) -> BTreeSet<(usize, usize)> {
        let mut found = BTreeSet::new();
        for (at, rule) in tool.named.iter().enumerate() {
            for leaf in leaves {
                let path: Vec<&str> = leaf.path.iter().map(String::as_str).collect();
                if rule.by.iter().any(|by| fits(by, &path)) && self.mentioned(&leaf.text) {
                    found.insert((at, leaf.record));
                }
            }
        }
        found
    }

    fn remember_private(&mut self, name: &str, tool: &Tool, leaves: &[Leaf]) {
        if tool.private.is_empty() {
            return;
        }
        let is = |fields: &[Box<str>], leaf: &Leaf| {
            let path: Vec<&str> = leaf.path.iter().map(String::as_str).collect();
            fields.iter().any(|f| fits(f, &path))
        };
        let mut parties: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for leaf in leaves.iter().filter(|l| is(&tool.parties, l)) {
            parties.entry(leaf.record).or_default().push(words(&leaf.text));
        }
        for leaf in leaves.iter().filter(|l| is(&tool.private, l)) {
            self.private.push(Private {
                parties: parties.get(&leaf.record).cloned().unwrap_or_default(),
                origin: Origin {
                    message: self.messages,
                    source: Source::Tool(name.into()),
                    path: leaf.path.join(".").into(),
                },
                text: words(&leaf.text),
            });
        }
    }

    /// Whether user or system said these words, at least three characters of them.
    pub(crate) fn mentioned(&self, text: &str) -> bool {
        let text = words(text);
        text.chars().count() >= 3 && self.said.iter().any(|said| stands_in(&text, said))
    }

    pub(crate) fn private(&self) -> &[Private] {
        &self.private
    }

    /// Whether a value of this kind comes from somebody who may say where things go.
    pub(crate) fn vouched(&self, kind: Kind, raw: &str, normal: &str) -> bool {
        match kind {
            Kind::Number => self.number_vouched(normal),
            Kind::Url => self.believed(kind).any(|s| links::links(&s.text).any(|l| same_url(l, normal))),
            Kind::Exact => {
                self.believed(kind).any(|s| s.text.trim() == normal)
                    || self.spoken().any(|s| stands_in(normal, &s.text))
            }
            Kind::Account => {
                let plain = words(raw);
                self.said.iter().any(|said| stands_in(&plain, said))
                    || self.believed(kind).any(|s| value::normal(kind, &s.text).as_deref() == Some(normal))
            }
            Kind::Text | Kind::Email => {
                self.said.iter().any(|said| stands_in(normal, said))
                    || self.believed(kind).any(|s| words(&s.text) == normal)
                    || kind == Kind::Text && self.completes(normal)
            }
        }
    }

    /// Where an unvouched value stands, for the person who is asked.
    pub(crate) fn seen(&self, raw: &str) -> Vec<Origin> {
        let plain = words(raw);
        let hit = self.spans.iter().filter(|s| stands_in(&plain, &words(&s.text)));
        hit.take(ORIGINS_MAX).map(|s| s.origin.clone()).collect()
    }

    fn spoken(&self) -> impl Iterator<Item = &Span> {
        self.spans.iter().filter(|s| matches!(s.origin.source, Source::System | Source::User))
    }

    /// Spans that may give a value of this kind.
    fn believed(&self, kind: Kind) -> impl Iterator<Item = &Span> {
        self.spans.iter().filter(move |s| {
            s.trust == Trust::Trusted
                || s.named.as_ref().is_some_and(|kinds| kinds.is_empty() || kinds.contains(&kind))
        })
    }

    /// A number is believed if a believed text has it, or if no text has it: then
    /// the model worked it out.
    fn number_vouched(&self, normal: &str) -> bool {
        let Some(wanted) = value::number(normal) else { return false };
        let has = |s: &Span| value::numbers(&s.text).any(|n| n == wanted);
        self.believed(Kind::Number).any(has) || !self.spans.iter().any(has)
    }

    /// Whether the user began to say it (at least five letters) and it is the
    /// only entry of its list that goes on like that.
    fn completes(&self, normal: &str) -> bool {
        self.lists.iter().filter(|list| list.iter().any(|entry| entry == normal)).any(|list| {
            let begun = |said: &str| {
                said.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
                    .filter(|word| word.chars().count() >= 5 && normal.starts_with(*word))
                    .any(|word| list.iter().filter(|entry| entry.starts_with(word)).count() == 1)
            };
            self.said.iter().any(|said| begun(said))
        })
    }
}

/// Places shown for one value; the first say enough.
const ORIGINS_MAX: usize = 8;

fn same_url(link: &str, normal: &str) -> bool {
    links::url(link).is_some_and(|url| url == normal)
}

impl Origin {
    /// As a person reads it: `result of read_file (message 3, $)`.
    pub fn describe(&self) -> String {
        match &self.source {
            Source::System => format!("the system prompt (message {})", self.message),
            Source::User => format!("the user (message {})", self.message),
            Source::Retrieved => format!("a retrieved document (message {})", self.message),
            Source::Tool(name) => {
                format!("the result of {name} (message {}, {})", self.message, self.path)
            }
        }
    }
}

impl Effect {
    pub const ALL: [Effect; 3] = [Effect::None, Effect::State, Effect::Egress];
    pub const fn name(self) -> &'static str {
        match self {
            Effect::None => "none",
            Effect::State => "state",
            Effect::Egress => "egress",
        }
    }
}
