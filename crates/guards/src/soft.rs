//! Soft rules over an answer: a sentence at a time, under a release budget.
//!
//! A score cannot be given to half a sentence, and a reader should not wait for
//! a whole answer. So what the hard rules let pass is kept until its sentence has
//! been judged, but at most so many bytes and so many milliseconds: then it goes,
//! and the verdict comes late. A late verdict is in the record like any other and
//! may still end the answer; how many bytes went before theirs is told beside it.
//! Where no soft rule can end an answer nothing is kept at all.
//!
//! Verdicts depend on the bytes alone, never on how they were cut or on time; how
//! early text goes depends on both. No clock: time is told ([`Soft::tick`]). What a
//! remote detector must be asked is returned ([`Soft::question`]), one question at
//! a time, in which all sentences that have come since stand.
//!
//! Read are text, reasoning and refusals. Arguments of calls are not sentences;
//! they pass in their order.

use std::collections::{BTreeMap, VecDeque};

use chat::Event;

use crate::hold::Watch;
use crate::injection;
use crate::lane::{Exchange, Lane};
use crate::request::{NEED_BYTES_MAX, REMOTE, judged};
use crate::shield::{Deny, Release, Remote, Sensor, Spec};
use crate::vault::Vault;
use crate::verdict::{Action, Finding, Kind, Place, Verdict};

/// A sentence longer than this is judged in parts, in bytes: text without a stop
/// must not be kept in memory without end.
const SENTENCE_MAX: usize = 2048;

/// What somebody outside is asked about an answer under way.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub remotes: Vec<Remote>,
    /// Whole sentences, in their order; at most [`NEED_BYTES_MAX`], the last ones.
    pub text: String,
}

/// The soft rules of answers, compiled.
#[derive(Clone, Default)]
pub(crate) struct Rules {
    pub sensors: Vec<Sensor>,
    pub denied: Vec<Watch>,
    pub remotes: Vec<Remote>,
    pub release: Release,
}

impl Rules {
    /// Of guards that look at answers. Of several budgets the largest counts, so that
    /// adding a guard never lets more go unjudged.
    pub fn new(specs: &[&Spec]) -> Rules {
        let is_soft =
            |s: &&&Spec| s.injection.is_some() || s.remote.is_some() || s.deny.iter().any(|deny| deny.soft);
        let budgets = specs.iter().filter(is_soft).map(|s| s.release);
        let larger = |a: Release, b: Release| Release { bytes: a.bytes.max(b.bytes), ms: a.ms.max(b.ms) };
        let denied = specs.iter().flat_map(|s| &s.deny).filter(|d| d.soft && d.action > Action::Allow);
        let watch = |deny: &Deny| Some(Watch::new(deny.machine()?, |_| deny.action));
        Rules {
            sensors: specs.iter().filter_map(|s| s.injection).filter(|s| s.action > Action::Allow).collect(),
            denied: denied.filter_map(watch).collect(),
            remotes: specs.iter().filter_map(|s| s.remote.clone()).collect(),
            release: budgets.reduce(larger).unwrap_or_default(),
        }
    }
    pub fn is_empty(&self) -> bool {
        self.sensors.is_empty() && self.denied.is_empty() && self.remotes.is_empty()
    }
    /// Whether any of them can end an answer.
    fn can_block(&self) -> bool {
        let failed_closed = |r: &Remote| !r.fail_open;
        self.sensors.iter().any(|s| s.action == Action::Block)
            || self.denied.iter().any(|w| w.actions.contains(&Action::Block))
            || self.remotes.iter().any(|r| r.action == Action::Block || failed_closed(r))
    }
}

/// The state of one answer.
pub(crate) struct Soft {
    rules: Rules,
    holds: bool,
    now_us: u64,
    /// What was not given away, in order, of all choices.
    queue: VecDeque<Kept>,
    /// Bytes of text in it.
    kept: usize,
    /// The sentence in the making of each text that was heard.
    making: BTreeMap<(u32, Speech), Sentence>,
    /// Sentences without a verdict: in the making, to be asked about, or asked about.
    open: BTreeMap<u64, Place>,
    next: u64,
    /// For the next question.
    unasked: (Vec<u64>, String),
    asked: Option<Vec<u64>>,
    blocked: bool,
}

/// The texts that have sentences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Speech {
    Reasoning,
    Text,
    Refusal,
}

#[derive(Default)]
struct Sentence {
    /// From its first byte on.
    id: Option<u64>,
    text: String,
    /// Where it begins, in bytes of what the hard rules let pass.
    from: u64,
    last: Option<char>,
}

struct Kept {
    event: Event,
    sentence: Option<u64>,
    bytes: usize,
    since_us: u64,
}

impl Soft {
    pub fn new(rules: &Rules) -> Option<Soft> {
        (!rules.is_empty()).then(|| Soft {
            holds: rules.can_block(),
            rules: rules.clone(),
            now_us: 0,
            queue: VecDeque::new(),
            kept: 0,
            making: BTreeMap::new(),
            open: BTreeMap::new(),
            next: 0,
            unasked: Default::default(),
            asked: None,
            blocked: false,
        })
    }

    /// Nobody reads before the end: nothing goes before its verdict.
    pub fn be_patient(&mut self) {
        self.rules.release = Release { bytes: usize::MAX, ms: u32::MAX };
    }
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }
    pub fn kept(&self) -> u64 {
        self.kept as u64
    }
    /// Whether an answer from outside is awaited.
    pub fn is_asking(&self) -> bool {
        self.asked.is_some() || !self.unasked.0.is_empty()
    }

    /// Takes what the hard rules let pass, and gives what may go.
    pub fn take(&mut self, events: Vec<Event>, verdict: &mut Verdict, out: &mut Vec<Event>) {
        for event in events {
            if self.blocked {
                return;
            }
            match event {
                Event::Text { choice, text } => self.hear(choice, Speech::Text, &text, verdict, out),
                Event::Reasoning { choice, text } => {
                    self.hear(choice, Speech::Reasoning, &text, verdict, out);
                }
                Event::Refusal { choice, text } => self.hear(choice, Speech::Refusal, &text, verdict, out),
                event => {
                    // What does something else is not in the middle of a sentence.
                    if let Event::Finish { choice, .. } | Event::ToolStart { choice, .. } = &event {
                        self.end(*choice, verdict);
                    }
                    self.keep(event, None, 0);
                }
            }
            self.release(verdict, out);
        }
    }

    /// The answer is over: every sentence is.
    pub fn finish(&mut self, verdict: &mut Verdict, out: &mut Vec<Event>) {
        let keys: Vec<(u32, Speech)> = self.making.keys().copied().collect();
        keys.into_iter().for_each(|key| self.complete(key, verdict));
        self.release(verdict, out);
    }

    /// The time, monotonic, in microseconds: what has been kept for too long goes.
    pub fn tick(&mut self, now_us: u64, verdict: &mut Verdict, out: &mut Vec<Event>) {
        self.now_us = now_us;
        self.release(verdict, out);
    }

    /// When something will have been kept for too long.
    pub fn due_us(&self) -> Option<u64> {
        let first = self.queue.front().filter(|_| !self.blocked)?;
        Some(first.since_us.saturating_add(u64::from(self.rules.release.ms) * 1000))
    }

    /// What is to be asked, while nothing is being asked.
    pub fn question(&mut self) -> Option<Question> {
        if self.blocked || self.asked.is_some() || self.unasked.0.is_empty() {
            return None;
        }
        let (ids, text) = std::mem::take(&mut self.unasked);
        self.asked = Some(ids);
        Some(Question { remotes: self.rules.remotes.clone(), text })
    }

    /// The scores of the question's remotes, in their order; `None` for one that gave
    /// none in time.
    pub fn answered(
        &mut self,
        question: &Question,
        scores: &[Option<f32>],
        verdict: &mut Verdict,
        out: &mut Vec<Event>,
    ) {
        let Some(ids) = self.asked.take() else { return };
        let place = ids.first().and_then(|id| self.open.get(id)).cloned();
        for (at, remote) in question.remotes.iter().enumerate() {
            let score = scores.get(at).copied().flatten();
            let Some((rule, action)) = judged(remote, score) else { continue };
            self.blocked |= action == Action::Block;
            verdict.add(Finding {
                kind: Kind::Remote,
                rule,
                detector: REMOTE,
                place: place.clone().unwrap_or(Place::Text { choice: 0 }),
                span: 0..question.text.len() as u64,
                action,
                score: score.unwrap_or(0.0),
            });
        }
        self.open.retain(|id, _| !ids.contains(id));
        self.release(verdict, out);
    }

    /// Text, cut where its sentences end.
    fn hear(&mut self, choice: u32, speech: Speech, text: &str, verdict: &mut Verdict, out: &mut Vec<Event>) {
        let mut rest = text;
        while !rest.is_empty() && !self.blocked {
            let key = (choice, speech);
            let sentence = self.making.entry(key).or_default();
            let end = sentence.end_in(rest);
            let (piece, more) = rest.split_at(end.unwrap_or(rest.len()));
            sentence.text.push_str(piece);
            let id = *sentence.id.get_or_insert_with(|| {
                self.next += 1;
                self.open.insert(self.next, speech.place(choice));
                self.next
            });
            self.keep(speech.event(choice, piece.to_owned()), Some(id), piece.len());
            if end.is_some() {
                self.complete(key, verdict);
                // Before what follows is judged, which may end the answer.
                self.release(verdict, out);
            }
            rest = more;
        }
    }

    /// Every sentence of a choice is over.
    fn end(&mut self, choice: u32, verdict: &mut Verdict) {
        for speech in [Speech::Reasoning, Speech::Text, Speech::Refusal] {
            self.complete((choice, speech), verdict);
        }
    }

    /// Judges the sentence in the making, if there is one.
    fn complete(&mut self, key: (u32, Speech), verdict: &mut Verdict) {
        let Some(making) = self.making.get_mut(&key) else { return };
        let Some(id) = making.id else { return };
        // The text may go on, after a call too.
        let next = Sentence { from: making.from + making.text.len() as u64, ..Sentence::default() };
        let sentence = std::mem::replace(making, next);
        self.blocked |= self.rules.judge(&sentence, &key.1.place(key.0), verdict);
        if self.rules.remotes.is_empty() || sentence.text.trim().is_empty() {
            self.open.remove(&id);
        } else {
            let (ids, text) = &mut self.unasked;
            ids.push(id);
            text.push_str(&sentence.text);
            let over = text.len().saturating_sub(NEED_BYTES_MAX);
            let cut = (over..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(over);
            text.drain(..cut);
        }
    }

    fn keep(&mut self, event: Event, sentence: Option<u64>, bytes: usize) {
        self.kept += bytes;
        self.queue.push_back(Kept { event, sentence, bytes, since_us: self.now_us });
    }

    /// Gives what has its verdict, and what the budget lets go without one.
    fn release(&mut self, verdict: &mut Verdict, out: &mut Vec<Event>) {
        if self.blocked {
            self.queue.clear();
            self.kept = 0;
            return;
        }
        let Release { bytes, ms } = self.rules.release;
        while let Some(first) = self.queue.front() {
            let is_judged = first.sentence.is_none_or(|id| !self.open.contains_key(&id));
            let waited_us = self.now_us.saturating_sub(first.since_us);
            let is_over = self.kept > bytes || waited_us >= u64::from(ms) * 1000;
            if self.holds && !is_judged && !is_over {
                break;
            }
            if self.holds && !is_judged {
                verdict.unjudged += first.bytes as u64;
            }
            self.kept -= first.bytes;
            out.extend(self.queue.pop_front().map(|kept| kept.event));
        }
    }
}

impl Rules {
    /// What is found in a sentence goes into the verdict. Whether the answer ends.
    fn judge(&self, sentence: &Sentence, place: &Place, verdict: &mut Verdict) -> bool {
        let mut blocked = false;
        if !self.sensors.is_empty() {
            let sensed = injection::sense(&sentence.text);
            let highest = verdict.injection.get_or_insert(0.0);
            *highest = highest.max(sensed.score);
            for finding in injection::findings(&self.sensors, &sensed, place, sentence.from) {
                blocked |= finding.action == Action::Block;
                verdict.add(finding);
            }
        }
        if !self.denied.is_empty() {
            let mut found = Verdict::default();
            let (mut lane, vault, mut passed) = (Lane::new(place.clone()), Vault::default(), String::new());
            let mut exchange = Exchange::Restore(&vault);
            lane.push(&self.denied, &sentence.text, &mut exchange, &mut found, &mut passed);
            lane.finish(&self.denied, &mut exchange, &mut found, &mut passed);
            blocked |= lane.hold.is_blocked();
            for mut finding in found.findings {
                finding.span = finding.span.start + sentence.from..finding.span.end + sentence.from;
                verdict.add(finding);
            }
        }
        blocked
    }
}

impl Sentence {
    /// Where the sentence ends in what comes next, in bytes: behind the space after a
    /// stop, behind a stop that takes no space, behind a line's end.
    fn end_in(&mut self, text: &str) -> Option<usize> {
        for (at, c) in text.char_indices() {
            let end = at + c.len_utf8();
            let stopped = matches!(self.last, Some('.' | '!' | '?' | '…'));
            self.last = Some(c);
            let ends = c == '\n' || matches!(c, '。' | '！' | '？') || stopped && c.is_whitespace();
            if ends || self.text.len() + end >= SENTENCE_MAX {
                return Some(end);
            }
        }
        None
    }
}

impl Speech {
    fn place(self, choice: u32) -> Place {
        match self {
            Speech::Reasoning => Place::Reasoning { choice },
            Speech::Text => Place::Text { choice },
            Speech::Refusal => Place::Refusal { choice },
        }
    }
    fn event(self, choice: u32, text: String) -> Event {
        match self {
            Speech::Reasoning => Event::Reasoning { choice, text },
            Speech::Text => Event::Text { choice, text },
            Speech::Refusal => Event::Refusal { choice, text },
        }
    }
}

#[cfg(test)]
mod tests;
