//! Step 9: the answer goes to the client, metered, and ends only after its
//! record is durable.
//!
//! Whole answers wait for the group commit and then carry their cost in a
//! header. Streams send everything up to their end marker, settle, and then
//! send the cost as an SSE comment and the marker. Pull drives it all: the next
//! part is read when the client has taken the last, and a client that leaves
//! drops this code at its current `.await`, which closes the target too.

use std::pin::{Pin, pin};

use bytes::{Bytes, BytesMut};
use chat::Event;
use dialects::{Dialect, Ending, StreamDecoder, StreamEncoder, StreamOptions, Tee};
use engine_process::Generation;
use guards::{Question, StreamGuard};
use net::server::{Cut, Response, ResponseBody, Sink};
use report::Report;
use store::{AttemptOutcome, Outcome};
use tokio::time::{Duration, Sleep, timeout};

use crate::account::{Account, Admitted, overdue};
use crate::aside::Told;
use crate::asking::{Asking, Scores};
use crate::cache::{self, Cache};
use crate::decode::Asked;
use crate::journey::Stop;
use crate::models::Lease;
use crate::prepare::Prepared;
use crate::reply::Reply;
use crate::rounds::{self, Next};
use crate::{Worker, headers, local, memory, screen};

pub(crate) async fn stream(
    worker: &Worker,
    prepared: Prepared,
    reply: Result<Reply, Report>,
) -> Result<Response, Stop> {
    let client = prepared.asked.dialect;
    let splices = |wire| wire == client && !prepared.admitted.is_read();
    match reply {
        Err(report) => Err(Stop::Failed(prepared.admitted, report)),
        // A guard, the gate or a loop reads the canonical answer: nothing is spliced past it.
        Ok(Reply::Whole { wire, body, dropped }) if splices(wire) => {
            same(prepared.admitted, wire, body, dropped).await
        }
        Ok(Reply::Frames { wire, response, first, stripped, dropped }) if splices(wire) => {
            let admitted = prepared.admitted;
            let response_head = headers::begin(&admitted, &dropped);
            let splice = Splice { response, next: Some(first), tee: Tee::new(wire, stripped) };
            Ok(response_head.with(ResponseBody::write(move |sink| splice.run(admitted, client, sink))))
        }
        Ok(reply) if prepared.admitted.stream => match Events::of(reply, &prepared.asked) {
            Ok((events, dropped)) => Ok(canonical(worker.clone(), prepared, events, &dropped)),
            Err(report) => Err(Stop::Failed(prepared.admitted, report)),
        },
        Ok(reply) => whole(worker, prepared, reply).await,
    }
}

/// An answer of the cache: as it was, with this request's id.
pub(crate) async fn again(
    worker: &Worker,
    mut prepared: Prepared,
    kept: chat::Response,
) -> Result<Response, Stop> {
    if prepared.admitted.stream {
        return Ok(canonical(worker.clone(), prepared, Events::Kept(kept.into_events()), &[]));
    }
    let mut answer = chat::Response::default();
    let events = guarded(&mut prepared.admitted, kept.into_events(), true);
    events.into_iter().for_each(|event| answer.push(event));
    if let Some(report) = prepared.admitted.guard.as_deref().and_then(ended) {
        return Err(Stop::Failed(prepared.admitted, report));
    }
    memory::hear(&mut prepared.admitted, &answer);
    written(prepared.admitted, prepared.asked.dialect, answer, &[]).await
}

/// A whole answer in the client's own dialect: its bytes, untouched.
async fn same(
    mut admitted: Admitted,
    wire: Dialect,
    body: Bytes,
    dropped: Vec<String>,
) -> Result<Response, Stop> {
    let from = runtime::clock::monotonic_us();
    let seen = dialects::usage_of(wire, &body);
    if let Some(words) = seen.failed {
        return Err(Stop::Failed(admitted, failed_within(words)));
    }
    // Only looked at when no end was found: what is not JSON is no answer.
    if !seen.finished
        && let Err(error) = serde_json::from_slice::<&serde_json::value::RawValue>(&body)
    {
        let report =
            Report::new("UP0004", "the provider's answer could not be read").because(error.to_string());
        return Err(Stop::Failed(admitted, report));
    }
    let live = admitted.live();
    live.output_bytes = seen.output_bytes;
    live.usage = seen.usage;
    live.tier = seen.tier;
    live.upstream_id = seen.id.unwrap_or_default();
    admitted.step("meter", from, String::new());
    finish(admitted, body, &dropped).await
}

/// An error in the body of an answer whose status says success.
fn failed_within((kind, message): (String, String)) -> Report {
    Report::new("UP0001", "the provider answered with an error under a status of success")
        .because(format!("{kind}: {message}"))
}

/// A whole answer as events, metered, and the parameters that its target was not told.
async fn read(
    account: &mut Account,
    reply: Reply,
    asked: &Asked,
) -> Result<(Vec<Event>, Vec<String>), Report> {
    match reply {
        Reply::Whole { wire, body, dropped } => {
            let mut answer = dialects::decode_response(wire, &body).map_err(Report::from)?;
            if let Some(words) = answer.failed.take() {
                return Err(failed_within(words));
            }
            let events = answer.into_events();
            events.iter().for_each(|event| local::meter(account, event));
            Ok((events, dropped))
        }
        Reply::Engine(generation, lease) => {
            let answer = local::fold(account, generation).await;
            drop(lease);
            match &answer.failed {
                Some((kind, message)) => Err(local::failure(kind, message)),
                None => Ok((answer.into_events(), asked.unheard())),
            }
        }
        Reply::Frames { .. } => {
            Err(Report::new("UP0004", "the target answered with a stream that nobody asked for"))
        }
    }
}

/// A whole answer in the client's dialect, written from canonical events: of one
/// reply, or of as many as a loop takes.
async fn whole(worker: &Worker, mut prepared: Prepared, mut reply: Reply) -> Result<Response, Stop> {
    let client = prepared.asked.dialect;
    let mut answer = chat::Response::default();
    let (mut dropped, mut asking) = (None, Asking::new(worker));
    if let Some(guard) = &mut prepared.admitted.guard {
        guard.be_patient();
    }
    let last = loop {
        let (events, untold) = match read(&mut prepared.admitted, reply, &prepared.asked).await {
            Ok(read) => read,
            Err(report) => return Err(Stop::Failed(prepared.admitted, report)),
        };
        // What a later round leaves out is nothing that the client wrote.
        dropped.get_or_insert(untold);
        let admitted = &mut prepared.admitted;
        guarded(admitted, events, true).into_iter().for_each(|event| answer.push(event));
        while asking.begin(admitted) {
            let (question, scores) = asking.answer().await;
            let passed = released(admitted, |guard, out| guard.answered(&question, &scores, out));
            passed.into_iter().for_each(|event| answer.push(event));
        }
        if let Some(report) = admitted.guard.as_deref().and_then(ended) {
            return Err(Stop::Failed(prepared.admitted, report));
        }
        if admitted.rounds.is_none() {
            break Vec::new();
        }
        match rounds::go_on(worker, &mut prepared).await {
            Ok(Next::Ask(next)) => reply = next,
            Ok(Next::Over(last)) => break watched(&mut prepared.admitted, last),
            Err(report) => return Err(Stop::Failed(prepared.admitted, report)),
        }
    };
    last.into_iter().for_each(|event| answer.push(event));
    let mut admitted = prepared.admitted;
    memory::hear(&mut admitted, &answer);
    cache::fill(&mut admitted, &answer);
    written(admitted, client, answer, &dropped.unwrap_or_default()).await
}

/// A whole answer as the client's dialect has it, and the end of its request.
async fn written(
    admitted: Admitted,
    client: Dialect,
    mut answer: chat::Response,
    dropped: &[String],
) -> Result<Response, Stop> {
    answer.id = headers::answer_id(client, admitted.id);
    answer.model.clone_from(&admitted.model);
    answer.created = admitted.at.seconds();
    let body = dialects::encode_response(client, &answer);
    finish(admitted, body, dropped).await
}

pub(crate) async fn finish(
    mut admitted: Admitted,
    body: Bytes,
    dropped: &[String],
) -> Result<Response, Stop> {
    admitted.end(AttemptOutcome::Ok);
    let body = Told::of(&admitted).map_or(body.clone(), |told| told.splice(&body));
    admitted.sent(&body);
    let (fill, hit) = (admitted.fill.take(), admitted.cache.hit());
    let keeping = admitted.keeping.take();
    let settled = admitted.close(Outcome::Completed, 200);
    let record = settled.durable().await?;
    // Before the answer that depends on it.
    if let Some(keeping) = keeping {
        keeping.keep().await;
    }
    if let Some(fill) = fill {
        fill.keep(record.cost).await;
    }
    Ok(headers::whole(&record, body, dropped, hit))
}

/// A stream of the client's own dialect: the target's bytes, watched.
struct Splice {
    response: net::client::Response,
    next: Option<Bytes>,
    tee: Tee,
}

/// After a stream's own end marker, how long its connection may take to say
/// that the body is over before it is given up instead of reused.
const LINGER: Duration = Duration::from_millis(100);

impl Splice {
    async fn run(mut self, mut admitted: Admitted, client: Dialect, mut sink: Sink) -> Result<(), Cut> {
        let mut out: Vec<Bytes> = Vec::new();
        let mut overdue = pin!(overdue());
        let broken = loop {
            let frame = match self.next.take() {
                Some(first) => Some(Ok(first)),
                None if self.tee.seen().ended => timeout(LINGER, self.response.frame()).await.ok().flatten(),
                None => admitted.during(overdue.as_mut(), self.response.frame()).await,
            };
            let chunk = match frame {
                None => break None,
                Some(Ok(chunk)) => chunk,
                Some(Err(error)) => break Some(error),
            };
            self.tee.push(chunk, &mut out);
            admitted.live().output_bytes = self.tee.seen().output_bytes;
            if !self.tee.seen().ended {
                admitted.journal_hold();
                send(&mut admitted, &mut sink, &mut out).await;
            }
        };
        let ending = self.tee.finish(&mut out);
        let seen = self.tee.seen();
        let live = admitted.live();
        live.usage.clone_from(&seen.usage);
        live.tier.clone_from(&seen.tier);
        live.upstream_id = seen.id.clone().unwrap_or_default();
        let last = Last { out, error: cut_report(ending, broken, &admitted) };
        last.send(admitted, client, sink).await
    }
}

async fn send(account: &mut Account, sink: &mut Sink, out: &mut Vec<Bytes>) {
    for part in out.drain(..) {
        account.sent(&part);
        sink.send(part).await;
    }
}

/// What is wrong with a stream that ended like this; `None`: nothing.
fn cut_report(ending: Ending, broken: Option<net::Error>, account: &Account) -> Option<(Report, bool)> {
    let provider = account.live.as_ref().map(|l| l.target.provider.to_string()).unwrap_or_default();
    match ending {
        Ending::Complete => None,
        // The target's own error event has already been forwarded.
        Ending::Failed => {
            Some((Report::new("UP0001", format!("provider {provider} failed inside its stream")), true))
        }
        Ending::Cut => {
            let report = match broken {
                Some(error @ net::Error::Timeout { .. }) => {
                    Report::new("UP0003", format!("provider {provider} stopped sending"))
                        .because(error.to_string())
                }
                Some(error) => Report::new("UP0005", format!("provider {provider} cut the stream"))
                    .because(report::chain(&error)),
                None => Report::new("UP0005", format!("provider {provider} cut the stream"))
                    .because("it ended without a finish reason"),
            };
            Some((report, false))
        }
    }
}

/// The end of a stream: what is still to be sent, and what went wrong.
struct Last {
    out: Vec<Bytes>,
    /// The error, and whether the client has been told already.
    error: Option<(Report, bool)>,
}

impl Last {
    /// An answer that ends here, of which the client has not been told why.
    fn broken(buffer: BytesMut, report: Report) -> Last {
        Last { out: parts(buffer), error: Some((report, false)) }
    }

    /// Settles, waits until that is durable, then sends the rest.
    async fn send(mut self, mut admitted: Admitted, client: Dialect, mut sink: Sink) -> Result<(), Cut> {
        let id = admitted.id.to_string();
        if let Some(told) = Told::of(&admitted).filter(|_| self.error.is_none()) {
            self.out.insert(0, told.comment());
        }
        self.out.iter().for_each(|part| admitted.sent(part));
        let outcome = match &self.error {
            None => {
                admitted.end(AttemptOutcome::Ok);
                Outcome::Completed
            }
            Some((report, _)) => {
                let code = report.code.0.to_string();
                // Between the rounds of a loop none is under way, nor for an answer of the cache.
                if let Some(live) = &mut admitted.live {
                    live.note = report.sentence();
                    // A guard's word says nothing about the target's health.
                    if report.blame == report::Blame::Upstream {
                        live.target.breaker().fail(runtime::clock::now(), None);
                    }
                }
                admitted.end(AttemptOutcome::Failed(code.clone()));
                Outcome::Failed(code)
            }
        };
        let fill = admitted.fill.take().filter(|_| self.error.is_none());
        let keeping = admitted.keeping.take().filter(|_| self.error.is_none());
        let record = match admitted.close(outcome, 200).durable().await {
            Ok(record) => record,
            Err(report) => return cut(sink, in_band(client, &report, &id)).await,
        };
        if let Some(keeping) = keeping {
            keeping.keep().await;
        }
        if let Some(fill) = fill {
            fill.keep(record.cost).await;
        }
        sink.send(Bytes::from(format!(": bedplate-cost {}\n\n", record.cost))).await;
        for part in self.out.drain(..) {
            sink.send(part).await;
        }
        match self.error {
            Some((report, false)) => cut(sink, in_band(client, &report, &id)).await,
            _ => Ok(()),
        }
    }
}

/// Says why, and breaks the connection off. The cut drops what the connection
/// has not written yet: letting it run once writes the reason first.
async fn cut(mut sink: Sink, why: Bytes) -> Result<(), Cut> {
    sink.send(why).await;
    tokio::task::yield_now().await;
    Err(Cut)
}

/// An error as an event of the client's stream: the envelope of a refusal.
fn in_band(client: Dialect, report: &Report, id: &str) -> Bytes {
    let (_, body) = dialects::encode_error(client, report, id);
    let head: &[u8] = if client.is_anthropic() { b"event: error\ndata: " } else { b"data: " };
    Bytes::from([head, &body, b"\n\n"].concat())
}

/// The refusal of an answer that a guard ended: kind and place, never the text.
fn ended(guard: &guards::StreamGuard) -> Option<Report> {
    guard.blocked().map(|finding| {
        Report::new("GD0002", "a guard ended the answer").at(finding.place.to_string()).because(format!(
            "guards {}: {}",
            guards::names(guard.verdict()),
            screen::said(finding)
        ))
    })
}

/// Where canonical events come from.
#[expect(clippy::large_enum_variant, reason = "one per stream, never moved after it was made")]
enum Events {
    Wire {
        response: net::client::Response,
        next: Option<Bytes>,
        decoder: StreamDecoder,
    },
    Engine(Generation, #[expect(dead_code, reason = "it keeps the model in memory")] Lease),
    /// Of the cache: all there at once.
    Kept(Vec<Event>),
}

/// One pull from a source.
enum Pulled {
    Some(Vec<Event>),
    End(Vec<Event>, Ending, Option<net::Error>),
}

impl Events {
    /// Those of a reply, and the parameters that its target was not told.
    fn of(reply: Reply, asked: &Asked) -> Result<(Events, Vec<String>), Report> {
        match reply {
            Reply::Frames { wire, response, first, dropped, .. } => {
                let decoder = StreamDecoder::new(wire);
                Ok((Events::Wire { response, next: Some(first), decoder }, dropped))
            }
            Reply::Engine(generation, lease) => Ok((Events::Engine(generation, lease), asked.unheard())),
            Reply::Whole { .. } => {
                Err(Report::new("UP0004", "the target answered a request for a stream with one piece"))
            }
        }
    }

    async fn pull(&mut self, account: &mut Account, overdue: Pin<&mut Sleep>) -> Pulled {
        match self {
            Events::Wire { response, next, decoder } => {
                let frame = match next.take() {
                    Some(first) => Some(Ok(first)),
                    None => account.during(overdue, response.frame()).await,
                };
                let broken = match frame {
                    Some(Ok(chunk)) => {
                        let events = decoder.push(&chunk);
                        events.iter().for_each(|e| local::meter(account, e));
                        return Pulled::Some(events);
                    }
                    Some(Err(error)) => Some(error),
                    None => None,
                };
                let (events, ending) = decoder.finish();
                events.iter().for_each(|e| local::meter(account, e));
                Pulled::End(events, ending, broken)
            }
            Events::Kept(events) => Pulled::End(std::mem::take(events), Ending::Complete, None),
            Events::Engine(generation, _) => match local::next(account, generation).await {
                Some(event) => Pulled::Some(vec![event]),
                None => Pulled::End(Vec::new(), Ending::Complete, None),
            },
        }
    }
}

/// What happens next to a stream.
enum Turn {
    Pulled(Pulled),
    /// What waited for the verdict of its guards has waited long enough.
    Due,
    /// Somebody outside has answered what the guards asked.
    Answered(Question, Scores),
}

/// Ends when something is due, by the monotonic clock in microseconds.
async fn until(due_us: Option<u64>) {
    let Some(due_us) = due_us else { return std::future::pending().await };
    tokio::time::sleep(Duration::from_micros(due_us.saturating_sub(runtime::clock::monotonic_us()))).await;
}

/// The events that may go to the client: guards first, so that the gate decides
/// about the arguments that the client, or a tool of ours, would get. `is_end`:
/// the target has said everything.
fn guarded(account: &mut Account, mut batch: Vec<Event>, is_end: bool) -> Vec<Event> {
    if let Some(rounds) = &mut account.rounds {
        batch = batch.into_iter().filter_map(|event| rounds.hear(event)).collect();
    }
    if let Some(guard) = &mut account.guard {
        let mut out = Vec::with_capacity(batch.len());
        guard.tick(runtime::clock::monotonic_us(), &mut out);
        for event in batch {
            guard.push(event, &mut out);
        }
        batch = out;
    }
    batch = sifted(account, batch);
    if is_end && let Some(guard) = &mut account.guard {
        let mut rest = Vec::new();
        match &account.rounds {
            Some(rounds) if !rounds.is_last() => guard.rest(&mut rest),
            _ => {
                guard.finish(&mut rest);
            }
        }
        batch.extend(sifted(account, rest));
    }
    watched(account, batch)
}

/// The same for what guards let go without a new event.
fn released(account: &mut Account, act: impl FnOnce(&mut StreamGuard, &mut Vec<Event>)) -> Vec<Event> {
    let mut out = Vec::new();
    if let Some(guard) = &mut account.guard {
        act(guard, &mut out);
    }
    let out = sifted(account, out);
    watched(account, out)
}

/// Without the calls that are made here.
fn sifted(account: &mut Account, batch: Vec<Event>) -> Vec<Event> {
    let Some(rounds) = &mut account.rounds else { return batch };
    let mut out = Vec::with_capacity(batch.len());
    batch.into_iter().for_each(|event| rounds.sift(event, &mut out));
    out
}

/// Without the calls that the gate of the client's tools stops.
fn watched(account: &mut Account, batch: Vec<Event>) -> Vec<Event> {
    let Some(watch) = &mut account.watch else { return batch };
    let mut out = Vec::with_capacity(batch.len());
    batch.into_iter().for_each(|event| watch.push(event, &mut out));
    out
}

/// A stream in the client's dialect, written from canonical events: of one
/// reply, or of as many as a loop takes.
fn canonical(worker: Worker, prepared: Prepared, events: Events, dropped: &[String]) -> Response {
    let client = prepared.asked.dialect;
    let admitted = &prepared.admitted;
    let head = headers::begin(admitted, dropped);
    let options = StreamOptions {
        id: headers::answer_id(client, admitted.id),
        model: admitted.model.clone(),
        created: admitted.at.seconds(),
        include_usage: prepared.asked.envelope.include_usage,
        input_tokens: admitted.input_tokens,
    };
    head.with(ResponseBody::write(move |mut sink| async move {
        let mut prepared = prepared;
        let mut encoder = StreamEncoder::new(client, options);
        let mut buffer = BytesMut::with_capacity(1024);
        let mut failed = None;
        // Of the engine in this house: told at the end, in the client's envelope, with its code.
        let mut ours = None;
        let is_kept =
            matches!(prepared.admitted.cache, Cache::Miss(_)) || prepared.admitted.keeping.is_some();
        let mut folded = is_kept.then(chat::Response::default);
        let mut overdue = pin!(overdue());
        let mut source = Some(events);
        let (mut end, mut asking) = (None, Asking::new(&worker));
        let (ending, broken) = loop {
            let admitted = &mut prepared.admitted;
            let Some(events) = &mut source else { break (Ending::Failed, None) };
            let due_us = admitted.guard.as_ref().and_then(|guard| guard.due_us());
            let turn = tokio::select! {
                biased;
                (question, scores) = asking.answer() => Turn::Answered(question, scores),
                () = until(due_us) => Turn::Due,
                pulled = events.pull(admitted, overdue.as_mut()), if end.is_none() => Turn::Pulled(pulled),
            };
            let passed = match turn {
                Turn::Pulled(Pulled::Some(batch)) => guarded(admitted, batch, false),
                Turn::Pulled(Pulled::End(batch, ending, broken)) => {
                    end = Some((ending, broken));
                    guarded(admitted, batch, true)
                }
                Turn::Due => released(admitted, |guard, out| {
                    guard.tick(runtime::clock::monotonic_us(), out);
                }),
                Turn::Answered(question, scores) => released(admitted, |guard, out| {
                    guard.answered(&question, &scores, out);
                }),
            };
            // Neither the answer nor a round of it ends before its verdict.
            let is_judged = !asking.begin(admitted);
            for event in passed {
                match &event {
                    Event::Failed { kind, message, .. } if matches!(events, Events::Engine(..)) => {
                        ours = Some(local::failure(kind, message));
                        continue;
                    }
                    Event::Failed { kind, message, .. } => failed = Some(format!("{kind}: {message}")),
                    _ => {}
                }
                encoder.push(&event, &mut buffer);
                if let Some(folded) = &mut folded {
                    folded.push(event);
                }
            }
            if let Some(report) = admitted.guard.as_deref().and_then(ended) {
                // Dropped at once: the target stops computing what nobody may read.
                drop(source.take());
                return Last::broken(buffer, report).send(prepared.admitted, client, sink).await;
            }
            let is_over = failed.is_some() || ours.is_some() || admitted.rounds.is_none();
            let over = end.take_if(|_| is_judged);
            let goes_on = matches!(over, Some((Ending::Complete, _))) && !is_over;
            if !goes_on && let Some(over) = over {
                break over;
            }
            // What was said before calls is read while they are made.
            if !buffer.is_empty() {
                admitted.journal_hold();
                admitted.sent(&buffer);
                sink.send(buffer.split().freeze()).await;
            }
            if !goes_on {
                continue;
            }
            // The connection is free, and the model in memory, before a tool is called.
            drop(source.take());
            match rounds::go_on(&worker, &mut prepared).await {
                Ok(Next::Ask(reply)) => match Events::of(reply, &prepared.asked) {
                    Ok((events, _)) => source = Some(events),
                    Err(report) => {
                        return Last::broken(buffer, report).send(prepared.admitted, client, sink).await;
                    }
                },
                Ok(Next::Over(last)) => {
                    let last = watched(&mut prepared.admitted, last);
                    last.iter().for_each(|event| encoder.push(event, &mut buffer));
                    break (Ending::Complete, None);
                }
                Err(report) => {
                    return Last::broken(buffer, report).send(prepared.admitted, client, sink).await;
                }
            }
        };
        let mut admitted = prepared.admitted;
        let ending = if failed.is_some() { Ending::Failed } else { ending };
        if ending == Ending::Complete && ours.is_none() {
            encoder.finish(&mut buffer);
        }
        let mut error = cut_report(ending, broken, &admitted);
        if let (Some((report, _)), Some(why)) = (&mut error, failed) {
            *report = report.clone().because(why);
        }
        let error = ours.map(|report| (report, false)).or(error);
        if let Some(folded) = folded.filter(|_| error.is_none()) {
            memory::hear(&mut admitted, &folded);
            cache::fill(&mut admitted, &folded);
        }
        Last { out: parts(buffer), error }.send(admitted, client, sink).await
    }))
}

fn parts(buffer: BytesMut) -> Vec<Bytes> {
    if buffer.is_empty() { Vec::new() } else { vec![buffer.freeze()] }
}
