//! A caller's own memory: listed, searched, audited, exported, forgotten.
//!
//! Whose it is comes from the matched key alone. No operation takes a person or a key as a
//! parameter, so that there is nobody's to be asked for but one's own; what is another's
//! reads like what is not there.

use policy::{Act, Facts, Object};
use report::Report;
use retrieval::{Stated, Statement};
use store::documents::{Conversation, Fact, Reader, Turn};
use units::{Day, Labels, Micros, TurnId};

use crate::call::{Call, Outcome, json, lines};
use crate::{Plane, missing, policies};

/// Conversations, facts, and lines of an export at once.
const LIMIT_MAX: usize = 1_000;
const LIMIT: usize = 100;
/// Turns that a search returns unless told.
const FOUND: u32 = 20;

pub(crate) fn list(plane: &Plane, call: &Call) -> Outcome {
    let reader = own(plane, call, Act::MemoryRead)?;
    let all = plane.collections.conversations(&reader, limit(call)?).map_err(|e| e.report())?;
    json(&api::List::from(all.into_iter().map(show_conversation).collect::<Vec<_>>()))
}

pub(crate) fn search(plane: &Plane, call: &Call) -> Outcome {
    let asked: api::SearchMemory = call.read()?;
    let reader = own(plane, call, Act::MemoryRead)?;
    let limit = asked.limit.unwrap_or(FOUND) as usize;
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Report::new("CT0002", format!("limit is {limit}; write 1 to {LIMIT_MAX}")).into());
    }
    let conversation = asked.conversation.as_deref();
    let found: Vec<api::RememberedTurn> = match (asked.query.trim(), conversation) {
        ("", None) => {
            return Err(Report::new("CT0002", "there is nothing to search for")
                .hint("write words in `query`, or name a conversation to see its newest turns")
                .into());
        }
        ("", Some(name)) => {
            let turns = plane.collections.turns(&reader, name, limit).map_err(|e| e.report())?;
            turns.into_iter().map(|turn| show_turn(turn, None)).collect()
        }
        (query, within) => {
            let hits =
                plane.collections.search_turns(&reader, within, query, limit).map_err(|e| e.report())?;
            hits.into_iter().map(|hit| show_turn(hit.turn, Some(f64::from(hit.score)))).collect()
        }
    };
    json(&api::List::from(found))
}

/// Those that hold, or held at a time, by what is known, or was known at a time.
pub(crate) fn facts(plane: &Plane, call: &Call) -> Outcome {
    let reader = own(plane, call, Act::MemoryRead)?;
    let time = |name: &str, unless| call.query(name).map_or(Ok(unless), |text| time(name, text));
    let valid = time("valid", call.now)?;
    // What was recorded under a clock that was ahead is known, too.
    let known = time("known", Micros(i64::MAX))?;
    let facts = plane.collections.facts(&reader, valid, known, limit(call)?).map_err(|e| e.report())?;
    json(&api::List::from(facts.into_iter().map(|fact| show_fact(fact, None)).collect::<Vec<_>>()))
}

pub(crate) fn audit(plane: &Plane, call: &Call) -> Outcome {
    let reader = own(plane, call, Act::MemoryRead)?;
    let facts = plane.collections.audit_facts(&reader, limit(call)?).map_err(|e| e.report())?;
    json(&api::List::from(
        facts.into_iter().map(|(fact, said)| show_fact(fact, Some(said))).collect::<Vec<_>>(),
    ))
}

pub(crate) fn state(plane: &Plane, call: &Call) -> Outcome {
    let wanted: api::StateFact = call.read()?;
    let reader = own(plane, call, Act::MemoryWrite)?;
    let turn: TurnId = wanted
        .turn
        .parse()
        .map_err(|_| missing("turn", &wanted.turn, "`bedplate memory export` shows yours with their ids"))?;
    let place = |n: Option<u64>| n.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let span = match (place(wanted.start), place(wanted.end)) {
        (None, None) => None,
        (Some(start), Some(end)) if start <= end => Some((start, end)),
        _ => {
            return Err(Report::new(
                "CT0002",
                "the span has a start without an end, or ends before it begins",
            )
            .hint("write both `start` and `end`, or neither for the whole turn")
            .into());
        }
    };
    let statement = Statement {
        turn,
        about: wanted.about.as_deref().unwrap_or("user"),
        relation: &wanted.relation,
        value: &wanted.value,
        span,
        valid_from: wanted.valid_from.as_deref().map(|text| time("valid_from", text)).transpose()?,
        valid_to: wanted.valid_to.as_deref().map(|text| time("valid_to", text)).transpose()?,
        single: wanted.single,
    };
    let stated = plane.collections.state(&reader, &statement, call.now).map_err(|e| e.report())?;
    let texts = |ids: Vec<units::FactId>| ids.iter().map(ToString::to_string).collect();
    json(&match stated {
        Stated::Known(id) => api::StatedFact {
            id: id.to_string(),
            outcome: "known".into(),
            replaces: Vec::new(),
            contradicts: Vec::new(),
        },
        Stated::Recorded { id, replaces, contradicts } => api::StatedFact {
            id: id.to_string(),
            outcome: "recorded".into(),
            replaces: texts(replaces),
            contradicts: texts(contradicts),
        },
    })
}

pub(crate) fn forget(plane: &Plane, call: &Call) -> Outcome {
    let wanted: api::ForgetMemory = call.read()?;
    let reader = own(plane, call, Act::MemoryWrite)?;
    if wanted.conversation.is_some() == wanted.everything {
        return Err(Report::new("CT0002", "what to forget is not clear")
            .hint("name a `conversation`, or write `\"everything\": true`; not both")
            .into());
    }
    let gone = plane.collections.forget(&reader, wanted.conversation.as_deref()).map_err(|e| e.report())?;
    json(&api::Forgotten { turns: gone.turns, facts: gone.facts, answers: gone.answers })
}

/// A page of turns, a line each; behind the last of them the facts.
pub(crate) fn export(plane: &Plane, call: &Call) -> Outcome {
    let reader = own(plane, call, Act::MemoryRead)?;
    let limit = limit(call)?;
    let after: Option<TurnId> = match call.query("after") {
        None => None,
        Some(id) => Some(id.parse().map_err(|_| missing("turn", id, "leave `after` out to begin"))?),
    };
    let turns = plane.collections.all_turns(&reader, after, limit).map_err(|e| e.report())?;
    let is_last = turns.len() < limit;
    let mut all: Vec<serde_json::Value> =
        turns.into_iter().map(|turn| line("turn", &show_turn(turn, None))).collect();
    if is_last {
        let facts = plane.collections.audit_facts(&reader, usize::MAX).map_err(|e| e.report())?;
        all.extend(facts.into_iter().map(|(fact, said)| line("fact", &show_fact(fact, Some(said)))));
    }
    lines(&all)
}

fn line(kind: &str, value: &impl serde::Serialize) -> serde_json::Value {
    serde_json::json!({ kind: value })
}

/// Whoever asks, as the one whose memory it is; an agent that acts for a user has none.
fn own(plane: &Plane, call: &Call, act: Act) -> Result<Reader, Report> {
    let labels = Labels::default();
    let facts = Facts::new(&labels, "memory");
    policies::allows_on(plane, &call.principal, act, &Object::space("memory"), &facts, "your memory")?;
    let reader = call.principal.reader();
    retrieval::owner(&reader).map_err(|e| e.report())?;
    Ok(reader)
}

fn limit(call: &Call) -> Result<usize, Report> {
    match call.query("limit") {
        None => Ok(LIMIT),
        Some(text) => {
            text.parse().ok().filter(|n| (1..=LIMIT_MAX).contains(n)).ok_or_else(|| {
                Report::new("CT0002", format!("limit is \"{text:.20}\"; write 1 to {LIMIT_MAX}"))
            })
        }
    }
}

fn time(name: &str, text: &str) -> Result<Micros, Report> {
    let bad = || {
        Report::new("CT0002", format!("{name} is \"{text:.40}\", which is no time"))
            .hint("such as 2026-11-28 or 2026-11-28T07:00:00Z, in UTC")
    };
    let (day, clock) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
    let day: Day = day.parse().map_err(|_| bad())?;
    let parts: Vec<&str> = clock.strip_suffix('Z').ok_or_else(bad)?.split(':').collect();
    let [hours, minutes, seconds] = parts.as_slice() else { return Err(bad()) };
    let whole = |text: &str, below: i64| text.parse().ok().filter(|n| (0..below).contains(n));
    let seconds = seconds.parse().ok().filter(|s: &f64| (0.0..60.0).contains(s)).ok_or_else(bad)?;
    let minutes = whole(hours, 24).ok_or_else(bad)? * 60 + whole(minutes, 60).ok_or_else(bad)?;
    Ok(day.start().plus_us(minutes * 60_000_000 + (seconds * 1e6) as i64))
}

fn show_conversation(c: Conversation) -> api::Conversation {
    api::Conversation { name: c.name, turns: c.turns, began: c.began.to_string(), last: c.last.to_string() }
}

fn show_turn(turn: Turn, score: Option<f64>) -> api::RememberedTurn {
    api::RememberedTurn {
        id: turn.id.to_string(),
        conversation: turn.conversation,
        speaker: turn.speaker.name().into(),
        text: turn.text,
        labels: turn.labels.to_string(),
        at: turn.at.to_string(),
        score,
    }
}

fn show_fact(fact: Fact, said: Option<String>) -> api::RememberedFact {
    api::RememberedFact {
        id: fact.id.to_string(),
        about: fact.about,
        relation: fact.relation,
        value: fact.value,
        conversation: fact.conversation,
        turn: fact.turn.to_string(),
        start: fact.span.start,
        end: fact.span.end,
        said,
        valid_from: fact.valid_from.to_string(),
        valid_to: fact.valid_to.map(|at| at.to_string()),
        recorded: fact.recorded.to_string(),
        replaced: fact.ended.map(|ended| api::ReplacedFact {
            by: ended.by.to_string(),
            at: ended.at.to_string(),
            recorded: ended.recorded.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for text in ["2026-11-28T07:00:00.000Z", "1969-12-31T23:59:59.500Z"] {
            assert_eq!(time("valid", text).expect(text).to_string(), text);
        }
        assert_eq!(time("valid", "2026-11-28").expect("a day").to_string(), "2026-11-28T00:00:00.000Z");
        for text in
            ["", "now", "2026-11-28T", "2026-11-28T25:00:00Z", "2026-11-28T07:00:00", "2026-11-28T07:00:NaNZ"]
        {
            assert_eq!(time("valid", text).expect_err(text).code.0, "CT0002");
        }
    }
}
