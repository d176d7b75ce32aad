//! The calls of one turn of a model, made for it.
//!
//! All of them are decided against what the model had read when it wrote them.
//! If a person is to be asked about one, none is made: the turn ends, and a turn
//! that goes on after the approval does not make half of them twice. Any other
//! refusal is something that the model can read, so it becomes a result.

use chat::Part;
use report::Report;
use serde_json::{Map, Value};
use tokio::time::timeout;
use toolgate::{Call, History, Verdict};
use units::{Integrity, Labels, RequestId};

use super::call::{self, Ground, Proposed, Refused};
use super::sessions::{self, SessionId};
use crate::Worker;
use crate::account::Account;

/// What the calls of a turn came to.
pub(crate) enum Ran {
    /// A result for each call, in their order.
    Results(Vec<Part>),
    /// A person has to endorse values first: what stands in the answer.
    Held(String),
}

/// Calls of one turn that are made; a model is told to ask again for the rest.
const CALLS_MAX: usize = 16;
/// Bytes of one result that the model is given: about 16,000 tokens, paid with
/// every round that follows. The gate has read all of it.
const RESULT_MAX: usize = 64 << 10;

/// Makes the calls of a turn. Each has a record of its own, a line in this one,
/// and what it read joins `history` and the labels of the request.
///
/// # Errors
/// What no model can mend: GW0007 for a record that is lost, TG0008 when the
/// request's time is over.
pub(crate) async fn run(
    worker: &Worker,
    account: &mut Account,
    history: &mut History,
    calls: &[Call],
) -> Result<Ran, Report> {
    let seen = Seen { history: history.clone(), labels: account.labels.clone() };
    let asks: Vec<bool> = calls.iter().map(|call| asks(account, &seen.history, call)).collect();
    let mut results: Vec<Option<Part>> = vec![None; calls.len()];
    let mut held = Vec::new();
    for first in [true, false] {
        for (at, call) in calls.iter().enumerate().filter(|(at, _)| asks[*at] == first) {
            if at >= CALLS_MAX {
                let text = format!("[not made: at most {CALLS_MAX} calls are made at once; call again]");
                results[at] = Some(result(call, text, true));
                continue;
            }
            match make(worker, account, history, &seen, call).await? {
                Made::Result(part) => results[at] = Some(part),
                Made::Held(words) => held.push(words),
            }
        }
        if !held.is_empty() {
            return Ok(Ran::Held(held.join("\n")));
        }
    }
    Ok(Ran::Results(results.into_iter().flatten().collect()))
}

/// Whether a person would be asked about a call.
fn asks(account: &Account, history: &History, call: &Call) -> bool {
    let session = SessionId::new(&account.principal, &account.session);
    let now = runtime::clock::now();
    let approvals = account.gateway.tools.sessions().approvals(&session, now);
    let declared = &account.snapshot.tools.declared;
    let decision = toolgate::decide(history, declared, &call.name, &call.arguments, &approvals, now);
    decision.verdict == Verdict::Ask
}

/// What the model had read when it wrote its calls.
struct Seen {
    history: History,
    labels: Labels,
}

enum Made {
    Result(Part),
    Held(String),
}

async fn make(
    worker: &Worker,
    account: &mut Account,
    history: &mut History,
    seen: &Seen,
    call: &Call,
) -> Result<Made, Report> {
    let from = runtime::clock::monotonic_us();
    let id = RequestId(runtime::new_id());
    let text = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
    let proposed = Proposed {
        id,
        at: runtime::clock::now(),
        principal: &account.principal,
        session: &account.session,
        name: &call.name,
        arguments: serde_json::from_str::<Map<String, Value>>(text).ok(),
        ground: Ground::Conversation { request: account.id, history: &seen.history, labels: &seen.labels },
        on_behalf_of: account.judged.on_behalf_of.as_deref(),
        token: account.token.as_ref(),
        findings: account.findings.clone(),
        surface: "tool",
    };
    let making = call::call(worker, &account.snapshot, proposed);
    let done = timeout(account.time_left(), making).await;
    let (made, note) = match done {
        Err(_) => {
            account.step("tool", from, format!("{}: given up, request {id}", call.name));
            return Err(late());
        }
        Ok(Ok(answer)) => {
            let note = format!("{} bytes", answer.text.len());
            (Made::Result(read(account, history, call, &answer)), note)
        }
        Ok(Err(Refused::Held(report, _))) => {
            (Made::Held(told(&report)), format!("held with {}", report.code.0))
        }
        // Nothing that the model could do about it.
        Ok(Err(Refused::Report(report))) if report.code.0 == "GW0007" => {
            account.step(
                "tool",
                from,
                format!("{}: refused with {}, request {id}", call.name, report.code.0),
            );
            return Err(report);
        }
        Ok(Err(Refused::Report(report))) => {
            if report.code.0 == "TG0005" {
                // It may repeat the words of a server that nobody vouches for.
                account.raise(&Labels { integrity: Integrity::Untrusted, ..Labels::default() });
            }
            let text = format!("[{}] {}", report.code.0, report.sentence());
            history.retrieved(&text);
            history.turn();
            (Made::Result(result(call, text, true)), format!("refused with {}", report.code.0))
        }
    };
    account.step("tool", from, format!("{}: {note}, request {id}", call.name));
    Ok(made)
}

/// The end of a loop whose time is over.
pub(crate) fn late() -> Report {
    Report::new("TG0008", "the tool loop ended before its answer")
        .because("the request's time is over")
        .hint("ask for less at once, or raise `timeouts.totalMs` of the model")
}

/// What a tool answered goes into the history whole, and its labels onto the
/// request: it is as sensitive as declared, and untrusted unless its owner
/// declares every field of it trusted.
fn read(account: &mut Account, history: &mut History, call: &Call, answer: &mcp::CallResult) -> Part {
    let snapshot = account.snapshot.clone();
    let declared = &snapshot.tools.declared;
    let vouched = history.result(&call.name, &answer.text, declared);
    history.turn();
    let sensitivity = declared.get(&call.name).map(|tool| tool.sensitivity).unwrap_or_default();
    account.raise(&sessions::read(sensitivity, vouched));
    if account.is_named() {
        let session = SessionId::new(&account.principal, &account.session);
        let now = runtime::clock::now();
        account.gateway.tools.sessions().read(&session, declared, &call.name, &answer.text, now);
    }
    result(call, cut(&answer.text), answer.is_error)
}

fn cut(text: &str) -> String {
    if text.len() <= RESULT_MAX {
        return text.to_owned();
    }
    let end = (0..=RESULT_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}\n[cut: {end} of {} bytes]", &text[..end], text.len())
}

fn result(call: &Call, text: String, is_error: bool) -> Part {
    Part::ToolResult { id: call.id.clone(), parts: vec![Part::Text(text)], is_error }
}

/// A refusal where the answer would be: the words that the gate of a client's tools uses, too.
fn told(report: &Report) -> String {
    let because = report.because.as_deref().unwrap_or("no reason is known");
    format!("[{}: {}: {because}]", report.code.0, report.what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_result_is_cut_at_a_character_and_says_so() {
        assert_eq!(cut("short"), "short");
        let long = "é".repeat(RESULT_MAX);
        let shown = cut(&long);
        assert!(
            shown.ends_with(&format!("é\n[cut: {RESULT_MAX} of {} bytes]", long.len())),
            "{}",
            shown.len()
        );
        let odd = format!("x{long}");
        assert!(cut(&odd).ends_with(&format!("[cut: {} of {} bytes]", RESULT_MAX - 1, odd.len())));
    }

    #[test]
    fn a_held_call_is_told_with_the_approval_that_it_waits_for() {
        let report = Report::new("TG0002", "the call of desk__send waits for approval 7")
            .because("to \"a@b\" comes from a mail")
            .hint("grant it");
        assert_eq!(
            told(&report),
            "[TG0002: the call of desk__send waits for approval 7: to \"a@b\" comes from a mail]"
        );
    }
}
