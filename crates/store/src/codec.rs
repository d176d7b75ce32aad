//! Records and postings as bytes: one compact, versioned encoding for every
//! back-end, so that a row can be copied from one to another unread.
//!
//! Hand-written rather than derived: the types that the domain uses are not
//! `Serialize` (DESIGN §7), a stored format must not change because a field was
//! renamed, and this is on the path of every request. A chat with one attempt
//! takes 317 bytes, its three postings 65.
//!
//! Layout: a version byte, then the fields in the order of the type. Integers
//! are LEB128, signed ones zigzagged first; a text is its length and its bytes,
//! or the index of a common word ([`words`]); a list is its length and its
//! items; an option or a variant is one byte first. Reading never panics, never
//! allocates more than a small multiple of the input, and refuses trailing
//! bytes: whatever is not exactly what [`encode_record`] writes is
//! [`Error::Damaged`].

mod reader;
mod words;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use units::{AttemptId, KeyId, Labels, Micros, PicoRate, RequestId, TeamId, Usd, Uuid7};

use crate::{
    Attempt, AttemptOutcome, Error, Judged, Line, Outcome, Posting, Record, Rejected, Spent, Step, UsageRow,
};
use reader::Reader;
use writer::Writer;

/// The version of records written. Readers know it and every earlier one.
/// 2 added labels and the policy's judgement at the end.
const RECORD_VERSION: u8 = 3;
/// The version of postings.
const POSTINGS_VERSION: u8 = 1;

/// Appends a record to `out`.
pub fn encode_record(record: &Record, out: &mut Vec<u8>) {
    let mut w = Writer(out);
    w.byte(RECORD_VERSION);
    w.id(record.id.0);
    w.signed(record.at.0);
    w.id(record.team.0);
    w.id(record.key.0);
    w.text(&record.surface);
    w.text(&record.model);
    w.option(record.end_user.as_ref(), |w, user| w.text(user));
    w.byte(u8::from(record.stream));
    w.number(record.request_bytes);
    w.number(record.response_bytes);
    match &record.outcome {
        Outcome::Completed => w.byte(0),
        Outcome::Refused(code) => w.tagged(1, code),
        Outcome::Failed(code) => w.tagged(2, code),
        Outcome::Abandoned => w.byte(3),
        Outcome::Crashed => w.byte(4),
    }
    w.number(u64::from(record.status));
    w.number(record.generation);
    w.text(&record.decision);
    w.signed(record.held.pico());
    w.signed(record.cost.pico());
    w.number(record.duration_us);
    w.list(&record.steps, |w, step| {
        w.text(&step.name);
        w.number(step.start_us);
        w.number(step.duration_us);
        w.text(&step.note);
    });
    w.list(&record.attempts, write_attempt);
    w.list(&record.rejected, |w, rejected| {
        w.text(&rejected.target);
        w.text(&rejected.reason);
    });
    w.text(&record.labels.to_string());
    w.option(record.judged.as_ref(), write_judged);
    w.list(&record.spent, |w, spent| {
        w.text(&spent.stage);
        w.id(spent.request.0);
        w.number(spent.tokens);
        w.signed(spent.cost.pico());
    });
}

/// Reads what [`encode_record`] wrote, all of it.
pub fn decode_record(bytes: &[u8]) -> Result<Record, Error> {
    let mut r = Reader::new(bytes);
    let version = r.version(RECORD_VERSION)?;
    let record = Record {
        id: RequestId(r.id()?),
        at: Micros(r.signed()?),
        team: TeamId(r.id()?),
        key: KeyId(r.id()?),
        surface: r.text()?,
        model: r.text()?,
        end_user: r.option(Reader::text)?,
        stream: r.flag()?,
        request_bytes: r.number()?,
        response_bytes: r.number()?,
        outcome: match r.byte()? {
            0 => Outcome::Completed,
            1 => Outcome::Refused(r.text()?),
            2 => Outcome::Failed(r.text()?),
            3 => Outcome::Abandoned,
            4 => Outcome::Crashed,
            other => return Err(r.damaged(format_args!("outcome {other}"))),
        },
        status: r.small()?,
        generation: r.number()?,
        decision: r.text()?,
        held: Usd::from_pico(r.signed()?),
        cost: Usd::from_pico(r.signed()?),
        duration_us: r.number()?,
        steps: r.list(|r| {
            Ok(Step { name: r.text()?, start_us: r.number()?, duration_us: r.number()?, note: r.text()? })
        })?,
        attempts: r.list(read_attempt)?,
        rejected: r.list(|r| Ok(Rejected { target: r.text()?, reason: r.text()? }))?,
        labels: if version < 2 { Labels::default() } else { read_labels(&mut r)? },
        judged: if version < 2 { None } else { r.option(read_judged)? },
        spent: if version < 3 { Vec::new() } else { r.list(read_spent)? },
    };
    r.end()?;
    Ok(record)
}

/// Appends the postings of one request to `out`.
pub fn encode_postings(postings: &[Posting], out: &mut Vec<u8>) {
    let mut w = Writer(out);
    w.byte(POSTINGS_VERSION);
    let mut attempt = None;
    w.list(postings, |w, posting| {
        // Legs of one attempt follow each other: its id is written once.
        let again = attempt == Some(posting.attempt);
        w.byte(u8::from(again));
        if !again {
            w.id(posting.attempt.0);
            attempt = Some(posting.attempt);
        }
        w.text(&posting.account);
        w.signed(posting.amount.pico());
    });
}

/// Reads what [`encode_postings`] wrote, all of it.
pub fn decode_postings(bytes: &[u8]) -> Result<Vec<Posting>, Error> {
    let mut r = Reader::new(bytes);
    r.version(POSTINGS_VERSION)?;
    let mut last = None;
    let postings = r.list(|r| {
        let attempt = match (r.flag()?, last) {
            (true, Some(attempt)) => attempt,
            (true, None) => return Err(r.damaged(format_args!("a first posting without an attempt"))),
            (false, _) => AttemptId(r.id()?),
        };
        last = Some(attempt);
        Ok(Posting { attempt, account: Arc::from(r.text()?), amount: Usd::from_pico(r.signed()?) })
    })?;
    r.end()?;
    Ok(postings)
}

fn read_spent(r: &mut Reader<'_>) -> Result<Spent, Error> {
    Ok(Spent {
        stage: r.text()?,
        request: RequestId(r.id()?),
        tokens: r.number()?,
        cost: Usd::from_pico(r.signed()?),
    })
}

fn read_labels(r: &mut Reader<'_>) -> Result<Labels, Error> {
    let text = r.text()?;
    let labels: Labels = text.parse().map_err(|e| r.damaged(e))?;
    // One encoding per value: zones in their order, each once.
    if labels.to_string() == text { Ok(labels) } else { Err(r.damaged("labels out of order")) }
}

fn write_judged(w: &mut Writer<'_>, judged: &Judged) {
    w.byte(u8::from(judged.allowed));
    w.bytes(&judged.hash);
    w.list(&judged.determining, |w, id| w.text(id));
    w.text(&judged.action);
    w.text(&judged.purpose);
    w.option(judged.on_behalf_of.as_ref(), |w, user| w.text(user));
    w.option(judged.budget_left.as_ref(), |w, left| w.signed(left.pico()));
    w.option(judged.injection_score.as_ref(), |w, score| w.number(u64::from(*score)));
    w.list(&judged.pii_types, |w, kind| w.text(kind));
    w.option(judged.region.as_ref(), |w, region| w.text(region));
}

fn read_judged(r: &mut Reader<'_>) -> Result<Judged, Error> {
    Ok(Judged {
        allowed: r.flag()?,
        hash: r.array()?,
        determining: r.list(Reader::text)?,
        action: r.text()?,
        purpose: r.text()?,
        on_behalf_of: r.option(Reader::text)?,
        budget_left: r.option(|r| Ok(Usd::from_pico(r.signed()?)))?,
        injection_score: r.option(Reader::small)?,
        pii_types: r.list(Reader::text)?,
        region: r.option(Reader::text)?,
    })
}

fn write_attempt(w: &mut Writer<'_>, attempt: &Attempt) {
    w.id(attempt.id.0);
    w.text(&attempt.purpose);
    w.text(&attempt.provider);
    w.text(&attempt.upstream_model);
    w.signed(attempt.started.0);
    w.option(attempt.first_byte_us.as_ref(), |w, us| w.number(*us));
    w.number(attempt.duration_us);
    match &attempt.outcome {
        AttemptOutcome::Ok => w.byte(0),
        AttemptOutcome::Failed(code) => w.tagged(1, code),
        AttemptOutcome::Cancelled => w.byte(2),
    }
    w.number(u64::from(attempt.status));
    for tokens in attempt.usage.0 {
        w.number(tokens);
    }
    w.byte(u8::from(attempt.estimated));
    w.byte(u8::from(attempt.unreconciled));
    w.text(&attempt.tier);
    w.list(&attempt.lines, |w, line| {
        w.text(&line.item);
        w.number(line.quantity);
        w.signed(line.rate.pico());
        w.signed(line.amount.pico());
    });
    w.signed(attempt.cost.pico());
    w.option(attempt.price.as_ref(), |w, (from, source)| {
        w.signed(from.0);
        w.text(source);
    });
    w.text(&attempt.upstream_id);
    w.text(&attempt.note);
}

fn read_attempt(r: &mut Reader<'_>) -> Result<Attempt, Error> {
    Ok(Attempt {
        id: AttemptId(r.id()?),
        purpose: r.text()?,
        provider: r.text()?,
        upstream_model: r.text()?,
        started: Micros(r.signed()?),
        first_byte_us: r.option(Reader::number)?,
        duration_us: r.number()?,
        outcome: match r.byte()? {
            0 => AttemptOutcome::Ok,
            1 => AttemptOutcome::Failed(r.text()?),
            2 => AttemptOutcome::Cancelled,
            other => return Err(r.damaged(format_args!("attempt outcome {other}"))),
        },
        status: r.small()?,
        usage: {
            let mut usage = UsageRow::default();
            for tokens in &mut usage.0 {
                *tokens = r.number()?;
            }
            usage
        },
        estimated: r.flag()?,
        unreconciled: r.flag()?,
        tier: r.text()?,
        lines: r.list(|r| {
            Ok(Line {
                item: r.text()?,
                quantity: r.number()?,
                rate: PicoRate::from_pico(r.signed()?),
                amount: Usd::from_pico(r.signed()?),
            })
        })?,
        cost: Usd::from_pico(r.signed()?),
        price: r.option(|r| Ok((Micros(r.signed()?), r.text()?)))?,
        upstream_id: r.text()?,
        note: r.text()?,
    })
}

impl Writer<'_> {
    fn id(&mut self, id: Uuid7) {
        self.bytes(id.as_bytes());
    }
}

impl Reader<'_> {
    fn id(&mut self) -> Result<Uuid7, Error> {
        Ok(Uuid7::from_bytes(self.array()?))
    }
}
