//! What a principal said before, and what is known from it: kept for them alone.
//!
//! A memory belongs to the person of a key, or to the key where it has none
//! ([`Reader::alone`]). Every call takes the reader whose memory it is; there is no call
//! that reads another's. What may be recorded as a fact is decided by `context::memory`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use context::memory::{Claim, Refusal, Utterance, Verdict, admit, claims, recorded_at};
use context::text::{self, is_stop, words};
use store::documents::{
    Conversation, Fact, Forgotten, NewFact, PAGE_MAX, Reader, Span, Speaker, Subject, TURN_BYTES_MAX, Tenant,
    Turn, TurnHit,
};
use units::{FactId, Integrity, Labels, Micros, TurnId};

use crate::{Collections, Error};

/// Facts of one owner that are looked through.
const FACTS_MAX: usize = PAGE_MAX;

/// One message as it was said, to be kept.
#[derive(Clone, Debug)]
pub struct Heard {
    pub id: TurnId,
    pub speaker: Speaker,
    /// What does not fit a turn is cut off at its end.
    pub text: String,
    pub labels: Labels,
}

/// What is wanted of a memory.
#[derive(Clone, Copy, Debug)]
pub struct Recall<'a> {
    /// Of one conversation; `None`: of all that are the reader's.
    pub conversation: Option<&'a str>,
    pub question: &'a str,
    pub turns: usize,
    pub facts: usize,
    /// Texts that the model is given anyway.
    pub known: &'a [&'a str],
}

/// What bears on a question.
#[derive(Clone, Debug, Default)]
pub struct Recalled {
    /// In the order in which they were said.
    pub turns: Vec<Turn>,
    /// Those that hold now, what shares a word with the question first.
    pub facts: Vec<Fact>,
    /// The join of the turns' labels, and of those that the facts came from.
    pub labels: Labels,
}

/// A fact as somebody states it by hand.
#[derive(Clone, Copy, Debug)]
pub struct Statement<'a> {
    pub turn: TurnId,
    pub about: &'a str,
    pub relation: &'a str,
    pub value: &'a str,
    /// The bytes of the turn that say so; `None`: all of it.
    pub span: Option<(usize, usize)>,
    /// `None`: since the turn.
    pub valid_from: Option<Micros>,
    pub valid_to: Option<Micros>,
    /// One at a time: the one before ends.
    pub single: bool,
}

/// What became of a statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Stated {
    Recorded {
        id: FactId,
        replaces: Vec<FactId>,
        contradicts: Vec<FactId>,
    },
    /// It was known as this.
    Known(FactId),
}

/// Locks by owner: two requests of one person must not record the same fact twice.
#[derive(Default)]
pub(crate) struct Learning([Mutex<()>; 16]);

impl Learning {
    fn of(&self, reader: &Reader, owner: &Subject) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        (reader.team(), owner).hash(&mut hasher);
        let at = hasher.finish() as usize % self.0.len();
        // It protects no data, only an order.
        self.0[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose memory a conversation of the reader's becomes.
///
/// # Errors
/// [`Error::NoOwner`]: an agent that acts for somebody hears what is neither's alone.
pub fn owner(reader: &Reader) -> Result<&Subject, Error> {
    reader.alone().next().ok_or(Error::NoOwner)
}

impl Collections {
    /// Keeps turns, and what the user says of themselves in them if `learn` says so. Durable
    /// when it returns. Returns how many facts are new.
    ///
    /// # Errors
    /// [`Error::NoOwner`]; when the store cannot be written.
    pub fn remember(
        &self,
        reader: &Reader,
        conversation: &str,
        heard: Vec<Heard>,
        learn: bool,
        now: Micros,
    ) -> Result<usize, Error> {
        let owner = owner(reader)?.clone();
        let tenant = self.tenant(reader.team())?;
        let turns: Vec<Turn> = heard
            .into_iter()
            .map(|heard| Turn {
                id: heard.id,
                owner: owner.clone(),
                conversation: conversation.to_owned(),
                speaker: heard.speaker,
                text: fitting(&heard.text),
                labels: heard.labels,
                at: now,
            })
            .filter(|turn| !turn.text.trim().is_empty())
            .collect();
        if turns.is_empty() {
            return Ok(0);
        }
        tenant.remember(turns.clone())?;
        if !learn {
            return Ok(0);
        }
        let _one_at_a_time = self.learning.of(reader, &owner);
        let mut new = 0;
        for turn in turns.iter().filter(|turn| turn.speaker == Speaker::User) {
            for claim in claims(&turn.text, turn.at) {
                let recorded = record(&*tenant, reader, turn, claim, now);
                new += usize::from(matches!(recorded, Ok(Stated::Recorded { .. })));
            }
        }
        Ok(new)
    }

    /// What the reader said before that bears on a question: turns by their words alone:
    /// they have no vectors. BM25 finds more in conversations than MiniLM alone, and both more than BM25.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn recall(&self, reader: &Reader, wanted: &Recall<'_>, now: Micros) -> Result<Recalled, Error> {
        let tenant = self.tenant(reader.team())?;
        let mut turns: Vec<Turn> = Vec::new();
        if wanted.turns > 0 {
            let terms = text::Query::read(wanted.question, text::Lexing::Stemmed).terms;
            // What the client sends along, and what was said twice, is not shown twice.
            let fetch = wanted.turns * 4 + wanted.known.len();
            let hits = tenant.search_turns(reader, wanted.conversation, &terms, fetch.min(PAGE_MAX))?;
            for TurnHit { turn, .. } in hits {
                let shown = wanted.known.iter().any(|known| known.trim() == turn.text.trim())
                    || turns.iter().any(|other| other.text == turn.text);
                if !shown && turns.len() < wanted.turns {
                    turns.push(turn);
                }
            }
            // A question and its answer have one time, and ids made within a millisecond no order.
            turns.sort_by_key(|turn| (turn.at, turn.speaker == Speaker::Assistant, turn.id));
        }
        let facts = facts_for(&*tenant, reader, wanted, now)?;
        let mut labels = turns.iter().fold(Labels::default(), |all, turn| all.join(&turn.labels));
        for fact in &facts {
            if let Some(turn) = tenant.turn(reader, fact.turn)? {
                labels = labels.join(&turn.labels);
            }
        }
        Ok(Recalled { turns, facts, labels })
    }

    /// The reader's conversations, the newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn conversations(&self, reader: &Reader, limit: usize) -> Result<Vec<Conversation>, Error> {
        Ok(self.tenant(reader.team())?.conversations(reader, limit)?)
    }

    /// The newest turns of a conversation of the reader's, the oldest of them first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn turns(&self, reader: &Reader, conversation: &str, limit: usize) -> Result<Vec<Turn>, Error> {
        Ok(self.tenant(reader.team())?.turns(reader, conversation, limit)?)
    }

    /// All turns of the reader's, a page at a time: for an export.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn all_turns(
        &self,
        reader: &Reader,
        after: Option<TurnId>,
        limit: usize,
    ) -> Result<Vec<Turn>, Error> {
        Ok(self.tenant(reader.team())?.all_turns(reader, after, limit)?)
    }

    /// The reader's turns that have words of a query, the best first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn search_turns(
        &self,
        reader: &Reader,
        conversation: Option<&str>,
        query: &str,
        limit: usize,
    ) -> Result<Vec<TurnHit>, Error> {
        let terms = text::Query::read(query, text::Lexing::Stemmed).terms;
        Ok(self.tenant(reader.team())?.search_turns(reader, conversation, &terms, limit)?)
    }

    /// The reader's facts that held at a time, by what was known at a time.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn facts(
        &self,
        reader: &Reader,
        valid: Micros,
        known: Micros,
        limit: usize,
    ) -> Result<Vec<Fact>, Error> {
        Ok(self.tenant(reader.team())?.facts(reader, valid, known, limit)?)
    }

    /// Every fact of the reader's with the words that say so, replaced ones too.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn audit_facts(&self, reader: &Reader, limit: usize) -> Result<Vec<(Fact, String)>, Error> {
        let tenant = self.tenant(reader.team())?;
        let facts = tenant.all_facts(reader, limit)?;
        facts
            .into_iter()
            .map(|fact| {
                let said = tenant.turn(reader, fact.turn)?.map(|turn| turn.text).unwrap_or_default();
                let words = said.get(fact.span.start as usize..fact.span.end as usize).unwrap_or_default();
                let words = words.to_owned();
                Ok((fact, words))
            })
            .collect()
    }

    /// Records a fact from a turn of the reader's own.
    ///
    /// # Errors
    /// [`Error::NoOwner`]; [`Error::NoTurn`]; [`Error::NotAFact`] when the turn does not say it.
    pub fn state(&self, reader: &Reader, statement: &Statement<'_>, now: Micros) -> Result<Stated, Error> {
        let owner = owner(reader)?;
        let tenant = self.tenant(reader.team())?;
        let turn = tenant.turn(reader, statement.turn)?.filter(|turn| turn.owner == *owner);
        let turn = turn.ok_or(Error::NoTurn(statement.turn))?;
        let (start, end) = statement.span.unwrap_or((0, turn.text.len()));
        let claim = Claim {
            about: statement.about,
            relation: statement.relation,
            value: statement.value,
            valid_from: statement.valid_from.unwrap_or(turn.at),
            valid_to: statement.valid_to,
            span: start..end,
            single: statement.single,
        };
        let _one_at_a_time = self.learning.of(reader, owner);
        record(&*tenant, reader, &turn, claim, now)
    }

    /// Forgets everything that is the reader's alone, or one conversation of it: turns,
    /// facts and the cached answers that came from them, in one transaction.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn forget(&self, reader: &Reader, conversation: Option<&str>) -> Result<Forgotten, Error> {
        Ok(self.tenant(reader.team())?.forget(reader, conversation)?)
    }
}

/// A text as a turn takes it: without zero bytes, at most so long.
fn fitting(text: &str) -> String {
    let text = text.replace('\0', "");
    let end = text.floor_char_boundary(TURN_BYTES_MAX.min(text.len()));
    text[..end].to_owned()
}

/// Facts that hold now, even when the clock has gone back since they were recorded.
fn facts_for(
    tenant: &dyn Tenant,
    reader: &Reader,
    wanted: &Recall<'_>,
    now: Micros,
) -> Result<Vec<Fact>, Error> {
    if wanted.facts == 0 {
        return Ok(Vec::new());
    }
    let mut facts = tenant.all_facts(reader, FACTS_MAX)?;
    let now = recorded_at(now, facts.iter().map(|fact| fact.recorded).max());
    let of = |fact: &Fact| wanted.conversation.is_none_or(|name| name == fact.conversation);
    facts.retain(|fact| of(fact) && fact.holds(now, now));
    let asked: Vec<String> = words(wanted.question).into_iter().filter(|word| !is_stop(word)).collect();
    let shares = |fact: &Fact| {
        let said = [&fact.about, &fact.relation, &fact.value];
        said.iter().any(|part| words(part).iter().any(|word| asked.contains(word)))
    };
    // Stable: the latest recorded first among equals.
    facts.sort_by_key(|fact| !shares(fact));
    facts.truncate(wanted.facts);
    Ok(facts)
}

/// Asks the rules about a claim, and records it if they agree.
fn record(
    tenant: &dyn Tenant,
    reader: &Reader,
    turn: &Turn,
    mut claim: Claim<'_>,
    now: Micros,
) -> Result<Stated, Error> {
    let known = tenant.all_facts(reader, FACTS_MAX)?;
    // Whoever says "now" means after all that was said before, also when the clock has gone back.
    let recorded = match known.iter().map(|fact| fact.recorded).max() {
        Some(last) if last > now => last.plus_us(1),
        _ => now,
    };
    if claim.valid_from == turn.at && turn.at >= now {
        claim.valid_from = recorded;
    }
    let known: Vec<context::memory::Fact> = known.iter().map(as_known).collect();
    let said = Utterance {
        text: &turn.text,
        by_user: turn.speaker == Speaker::User,
        tainted: turn.labels.integrity == Integrity::Untrusted,
    };
    let (replaces, valid_to, contradicts) = match admit(&claim, said, &known) {
        Verdict::Record { replaces, valid_to, contradicts } => (replaces, valid_to, contradicts),
        Verdict::Duplicate(id) => return Ok(Stated::Known(FactId(id))),
        Verdict::Refused(refusal) => return Err(Error::NotAFact(refusal)),
    };
    let ids = |ids: Vec<units::Uuid7>| ids.into_iter().map(FactId).collect::<Vec<_>>();
    let (replaces, contradicts) = (ids(replaces), ids(contradicts));
    let id = FactId(runtime::new_id());
    let Range { start, end } = claim.span;
    tenant.record_fact(NewFact {
        id,
        owner: turn.owner.clone(),
        about: claim.about.to_owned(),
        relation: claim.relation.to_owned(),
        value: claim.value.to_owned(),
        valid_from: claim.valid_from,
        valid_to,
        recorded,
        turn: turn.id,
        span: Span { start: start as u64, end: end as u64 },
        document: None,
        replaces: replaces.clone(),
    })?;
    Ok(Stated::Recorded { id, replaces, contradicts })
}

fn as_known(fact: &Fact) -> context::memory::Fact {
    context::memory::Fact {
        id: fact.id.0,
        about: fact.about.clone(),
        relation: fact.relation.clone(),
        value: fact.value.clone(),
        valid_from: fact.valid_from,
        valid_to: fact.valid_to,
        recorded: fact.recorded,
        replaced: fact
            .ended
            .map(|ended| context::memory::Replaced { valid: ended.at, recorded: ended.recorded }),
    }
}

/// Why the rules refuse a claim, in words.
pub(crate) const fn because(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NotUser => "the turn is not the user's own words",
        Refusal::Tainted => "the turn holds what others wrote",
        Refusal::Size => "a part of it is empty, or has more than 512 bytes",
        Refusal::Span => "the span is not in the turn",
        Refusal::NotSaid => "the words of the value are not in the span of the turn",
        Refusal::Times => "it ends before it begins",
    }
}

#[cfg(test)]
mod tests;
