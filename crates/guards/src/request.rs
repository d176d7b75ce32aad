//! A request under guard: every text of it, and what becomes of it.
//!
//! All that a target would read is read here: messages of every role, calls and
//! their results, tools, names, the form that the answer is held to. What is inline and no text (images) is neither
//! scanned nor counted.

use chat::{Format, Image, Message, Part, Request, Role};

use crate::injection;
use crate::lane::{Exchange, Lane};
use crate::script::strays;
use crate::shield::{Remote, Shield, Side};
use crate::vault::Vault;
use crate::verdict::{Action, Detector, Finding, Kind, Place, Verdict};

/// What the guards made of a request.
pub struct Screening {
    pub verdict: Verdict,
    /// Values to put back in the answer.
    pub vault: Vault,
    /// The request is no longer what the client sent.
    pub changed: bool,
    /// Only targets inside this process may see it.
    pub local_only: bool,
    /// What only somebody outside can answer.
    pub needs: Vec<Need>,
}

/// A question to a remote detector. The caller asks it, and gives the answer to
/// [`Screening::answered`]: a core never calls out.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    pub remote: Remote,
    /// The texts of users and tools, joined; at most [`NEED_BYTES_MAX`].
    pub text: String,
}

/// What a remote detector is shown at most: the end of the text, where what was
/// added last stands.
pub const NEED_BYTES_MAX: usize = 64 << 10;

const LIMITS: Detector = Detector { name: "limits", version: 1 };
pub(crate) const REMOTE: Detector = Detector { name: "remote", version: 1 };

impl Shield {
    /// Reads a request and changes what must be. `nonce`: random bits for its
    /// placeholders.
    pub fn screen(&self, request: &mut Request, nonce: u64) -> Screening {
        let mut reader = Reader::new(self, Vault::new(nonce));
        for (at, message) in request.messages.iter_mut().enumerate() {
            reader.message(message, at);
        }
        for (at, tool) in request.tools.iter_mut().enumerate() {
            reader.text(&mut tool.name, Place::Tool(at), false);
            for text in [&mut tool.description, &mut tool.parameters].into_iter().flatten() {
                reader.text(text, Place::Tool(at), true);
            }
        }
        let last = request.messages.len().saturating_sub(1);
        for text in [&mut request.user, &mut request.suffix].into_iter().flatten() {
            reader.text(text, Place::Message(last), false);
        }
        if let Some((form, is_prose)) = form(&mut request.format) {
            reader.text(form, Place::Message(last), is_prose);
        }
        reader.end()
    }

    /// Reads what a conversation that was screened has grown by: its messages from
    /// `from` on. `vault`: what was replaced before; the same value gets the same
    /// placeholder. A limit on the whole counts all of it.
    pub fn screen_from(&self, request: &mut Request, from: usize, vault: Vault) -> Screening {
        let from = from.min(request.messages.len());
        let (before, grown) = request.messages.split_at_mut(from);
        let mut reader = Reader::new(self, vault);
        reader.characters = before.iter().flat_map(|message| &message.parts).map(characters).sum();
        for (at, message) in grown.iter_mut().enumerate() {
            reader.message(message, from + at);
        }
        reader.end()
    }

    /// The same for texts that are no conversation: inputs of embeddings, or
    /// fields that have no canonical meaning.
    pub fn screen_texts<'t>(&self, texts: impl IntoIterator<Item = &'t mut String>, nonce: u64) -> Screening {
        let mut reader = Reader::new(self, Vault::new(nonce));
        for (at, text) in texts.into_iter().enumerate() {
            reader.text(text, Place::Message(at), true);
        }
        reader.end()
    }
}

struct Reader<'s> {
    side: &'s Side,
    out: Screening,
    characters: u64,
    strays: bool,
    heard: String,
}

impl<'s> Reader<'s> {
    fn new(shield: &'s Shield, vault: Vault) -> Reader<'s> {
        let verdict = Verdict { guards: shield.names.clone(), ..Verdict::default() };
        let out = Screening { verdict, vault, changed: false, local_only: false, needs: Vec::new() };
        Reader { side: &shield.input, out, characters: 0, strays: false, heard: String::new() }
    }

    fn message(&mut self, message: &mut Message, at: usize) {
        let heard = matches!(message.role, Role::User | Role::Tool);
        for part in &mut message.parts {
            self.part(part, at, heard);
        }
        if let Some(name) = &mut message.name {
            self.text(name, Place::Message(at), false);
        }
    }

    /// `heard`: whether the injection sensor listens: to users and tools, not to
    /// the operator's own prompt or the model's earlier words.
    fn part(&mut self, part: &mut Part, at: usize, heard: bool) {
        let place = Place::Message(at);
        match part {
            Part::Text(text) => self.text(text, place, heard),
            Part::Refusal(text) => self.text(text, place, false),
            Part::Image(Image::Url { url, .. }) if !url.starts_with("data:") => self.text(url, place, false),
            Part::Image(_) => {}
            Part::ToolCall { name, arguments, .. } => {
                self.text(name, place.clone(), false);
                self.json(arguments, place);
            }
            Part::ToolResult { parts, .. } => parts.iter_mut().for_each(|p| self.part(p, at, true)),
            Part::Reasoning { text, signature } => {
                let mut read = text.clone();
                self.text(&mut read, place, false);
                if read != *text {
                    // The seal is over what was there.
                    *signature = None;
                    *text = read;
                }
            }
        }
    }

    fn text(&mut self, text: &mut String, place: Place, heard: bool) {
        self.read(text, place.clone(), false);
        self.characters += text.chars().count() as u64;
        let limits = &self.side.limits;
        self.strays |= limits.iter().any(|l| !l.scripts.is_empty() && strays(text, &l.scripts));
        if !heard {
            return;
        }
        if !self.side.remotes.is_empty() {
            self.heard.push_str(text);
            self.heard.push('\n');
            let over = self.heard.len().saturating_sub(NEED_BYTES_MAX);
            let cut = (over..self.heard.len()).find(|i| self.heard.is_char_boundary(*i)).unwrap_or(over);
            self.heard.drain(..cut);
        }
        self.sense(text, place);
    }

    fn json(&mut self, text: &mut String, place: Place) {
        self.read(text, place, true);
    }

    fn read(&mut self, text: &mut String, place: Place, json: bool) {
        let (watches, out) = (&self.side.watches, &mut self.out);
        let mut lane = Lane { json, ..Lane::new(place) };
        let mut read = String::with_capacity(text.len());
        let mut exchange = Exchange::Keep(&mut out.vault);
        lane.push(watches, text, &mut exchange, &mut out.verdict, &mut read);
        lane.finish(watches, &mut exchange, &mut out.verdict, &mut read);
        if lane.altered && !lane.hold.is_blocked() {
            out.changed = true;
            *text = read;
        }
    }

    fn sense(&mut self, text: &str, place: Place) {
        if self.side.sensors.is_empty() {
            return;
        }
        let sensed = injection::sense(text);
        let highest = self.out.verdict.injection.get_or_insert(0.0);
        *highest = highest.max(sensed.score);
        for finding in injection::findings(&self.side.sensors, &sensed, &place, 0) {
            self.out.verdict.add(finding);
        }
    }

    fn end(mut self) -> Screening {
        let characters = self.characters;
        for limits in &self.side.limits {
            let whole = |kind, rule| Finding {
                kind,
                rule,
                detector: LIMITS,
                place: Place::Message(0),
                span: 0..characters,
                action: limits.action,
                score: 1.0,
            };
            if limits.input_characters.is_some_and(|most| characters > most) {
                self.out.verdict.add(whole(Kind::TooLong, "input"));
            }
            if self.strays && !limits.scripts.is_empty() {
                self.out.verdict.add(whole(Kind::Script, "input"));
            }
        }
        let heard = &self.heard;
        self.out.needs = self
            .side
            .remotes
            .iter()
            .map(|remote| Need { remote: remote.clone(), text: heard.clone() })
            .collect();
        self.out.local_only = self.out.verdict.findings.iter().any(|f| f.action == Action::RouteLocal);
        self.out
    }
}

/// What an answer is to be held to, and whether a model reads it as words: a schema's
/// descriptions and values stand in many a prompt.
fn form(format: &mut Format) -> Option<(&mut String, bool)> {
    match format {
        Format::Text | Format::JsonObject => None,
        Format::JsonSchema { schema, .. } => Some((schema, true)),
        Format::Regex(text) | Format::Grammar(text) => Some((text, false)),
    }
}

/// Of a part that was read before, as [`Reader::part`] counts them.
fn characters(part: &Part) -> u64 {
    let count = |text: &str| text.chars().count() as u64;
    match part {
        Part::Text(text) | Part::Refusal(text) => count(text),
        Part::Image(Image::Url { url, .. }) if !url.starts_with("data:") => count(url),
        Part::Image(_) => 0,
        Part::ToolCall { name, .. } => count(name),
        Part::ToolResult { parts, .. } => parts.iter().map(characters).sum(),
        Part::Reasoning { text, .. } => count(text),
    }
}

/// What a remote detector's score leads to, and under which rule: its own action, or
/// what the guard declares for when there is none. `None`: it found nothing.
pub(crate) fn judged(remote: &Remote, score: Option<f32>) -> Option<(&'static str, Action)> {
    match score {
        Some(score) if score < 0.5 => None,
        Some(_) => Some(("found", remote.action)),
        None if remote.fail_open => Some(("failed-open", Action::Flag)),
        None => Some(("failed-closed", Action::Block)),
    }
}

impl Screening {
    /// Takes a remote detector's word: its score, or `None` when it gave none in
    /// time, and then what the guard declares counts.
    pub fn answered(&mut self, need: &Need, score: Option<f32>) {
        let Some((rule, action)) = judged(&need.remote, score) else { return };
        self.verdict.add(Finding {
            kind: Kind::Remote,
            rule,
            detector: REMOTE,
            place: Place::Message(0),
            span: 0..need.text.len() as u64,
            action,
            score: score.unwrap_or(0.0),
        });
        self.local_only |= action == Action::RouteLocal;
    }
}
