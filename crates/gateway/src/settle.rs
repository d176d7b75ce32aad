//! Step 10: the outcome becomes one record, its postings, its leaf of the audit
//! log, and released money.

use std::sync::Arc;

use report::Report;
use store::{Entry, Outcome, Record};
use tokio::sync::oneshot;
use units::Usd;

use crate::account::Account;
use crate::{leaf, meters};

/// A settled request.
#[must_use = "an answer ends only after its record is durable"]
pub(crate) struct Settled {
    pub record: Arc<Record>,
    durable: oneshot::Receiver<Result<(), store::Error>>,
}

impl Settled {
    /// Waits for the group commit.
    pub async fn durable(self) -> Result<Arc<Record>, Report> {
        let because = match self.durable.await {
            Ok(Ok(())) => return Ok(self.record),
            Ok(Err(error)) => error.to_string(),
            Err(_) => String::from("the store stopped"),
        };
        // The one place where money could be lost from sight: a person must act.
        observe::error!(
            "record.lost",
            request = self.record.id.to_string().as_str(),
            cost_usd = self.record.cost.to_string().as_str(),
            why = because.as_str()
        );
        Err(Report::new("GW0007", "the record of the request could not be made durable")
            .because(because)
            .hint("see `bedplate doctor`; the answer is withheld because its cost could be lost"))
    }
}

/// Closes the account. Synchronous, so that dropping an `Admitted` can do it too.
pub(crate) fn settle(mut account: Account, outcome: Outcome, status: u16) -> Settled {
    let from = runtime::clock::monotonic_us();
    let gateway = Arc::clone(&account.gateway);
    // Each is below nine million dollars.
    let cost = Usd::from_wide(Usd::sum(account.attempts.iter().map(|a| a.cost))).unwrap_or(Usd::MAX);
    let tokens = account.attempts.iter().flat_map(|a| a.usage.0).fold(0u64, u64::saturating_add);
    let held = Usd::from_wide(Usd::sum(account.holds.iter().map(|h| h.amount))).unwrap_or(Usd::MAX);
    if cost > held {
        account.decision.push_str("; overran its hold");
    }
    {
        let mut book = gateway.book();
        // The whole cost settles against the first hold; the others only kept room for it.
        let mut holds = account.holds.drain(..);
        if let Some(first) = holds.next() {
            let _ = book.settle(first, cost);
        }
        holds.for_each(|hold| book.release(hold));
    }
    if let Some(ticket) = account.ticket.take() {
        gateway.limits().true_up(ticket, tokens);
    }
    account.verdicts.iter().for_each(|verdict| account.evidence.add(verdict, audit::Part::Request));
    if let Some(guard) = account.guard.take() {
        let verdict = guard.into_verdict();
        account.step("guard", from, verdict.summary());
        account.evidence.add(&verdict, audit::Part::Response);
        account.verdicts.push(verdict);
    }
    if let Some(watch) = account.watch.take().filter(|w| !w.decided().is_empty()) {
        account.step("gate", from, crate::tools::watch::summary(&watch));
    }
    let mut postings = Vec::with_capacity(3);
    for attempt in &account.attempts {
        postings.extend(ledger::postings(&account.principal.team_name, &account.model, attempt));
    }
    account.step("settle", from, String::new());
    let record = Arc::new(Record {
        id: account.id,
        at: account.at,
        team: account.principal.team,
        key: account.principal.key,
        surface: account.surface.name().into(),
        model: account.model,
        end_user: account.end_user,
        stream: account.stream,
        request_bytes: account.request_bytes,
        response_bytes: account.response_bytes,
        outcome,
        status,
        generation: account.snapshot.generation,
        decision: account.decision,
        held,
        cost,
        duration_us: runtime::clock::monotonic_us().saturating_sub(account.received_us),
        steps: account.steps,
        attempts: account.attempts,
        rejected: account.rejected,
        labels: account.labels,
        judged: Some(account.judged),
        spent: account.spent,
    });
    meters::settled(&gateway.meters, &record, &account.principal.team_name, account.first_byte_us);
    let (done, durable) = oneshot::channel();
    account.evidence.response =
        account.response.take().filter(|c| c.bytes() > 0).map(audit::Commitment::finish);
    let leaf = Some(leaf::of(&record, &account.principal, account.evidence));
    let entry = Entry::Settle { record: Arc::clone(&record), postings, leaf };
    gateway.store.append(
        entry,
        Box::new(move |result| {
            // The client may have left meanwhile.
            let _ = done.send(result);
        }),
    );
    Settled { record, durable }
}
