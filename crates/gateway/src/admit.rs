//! Step 4: may this principal ask this model, now, and who pays the worst case?
//!
//! The order is cheapest refusal first: grant, policy, rate, money. Only when
//! all four agree is there an [`Admitted`].

use std::sync::Arc;

use ledger::Ask;
use policy::Principal;
use report::Report;
use store::{Entry, Outcome, Record};
use units::{Labels, Micros, Usd};

use crate::account::{Account, Admitted, Arrival};
use crate::cache::Cache;
use crate::decode::Asked;
use crate::judge::{Findings, Question};
use crate::label;
use crate::leaf;
use crate::{Feature, Gateway, Place, Route, Snapshot, Surface, memory, retrieve};

/// What a request may take, before anything is known of its answer.
#[derive(Clone)]
pub(crate) struct Worst {
    pub model: String,
    pub end_user: Option<String>,
    pub stream: bool,
    pub tier: chat::Tier,
    pub input_tokens: u64,
    /// No tokenizer makes more of the prompt than this.
    pub input_tokens_max: u64,
    /// The client's own limit; `None`: the target's.
    pub output_tokens: Option<u64>,
    pub n: u32,
    /// Passages of a collection will be put before the question.
    pub retrieves: bool,
    /// What was said before will be.
    pub recalls: bool,
}

impl Worst {
    pub(crate) fn of(asked: &Asked) -> Worst {
        let e = &asked.envelope;
        Worst {
            model: e.model.clone(),
            end_user: e.user.clone(),
            stream: e.stream,
            tier: asked.tier(),
            input_tokens: asked.input_tokens_estimate(),
            input_tokens_max: asked.input_tokens_max(),
            output_tokens: e.max_tokens,
            n: e.n,
            retrieves: asked.extension.retrieve.is_some(),
            recalls: asked.extension.recall.is_some(),
        }
    }

    /// A feature's prompt is paid like the client's, and so are passages.
    fn with(&self, feature: Option<&Feature>) -> Worst {
        let retrieves = self.retrieves || feature.is_some_and(|f| f.retrieve.is_some());
        let passages = if retrieves { retrieve::BYTES_MAX as u64 } else { 0 };
        let memories = if self.recalls { memory::BYTES_MAX as u64 } else { 0 };
        let bytes = feature.map_or(0, Feature::prompt_bytes) + passages + memories;
        Worst {
            input_tokens: self.input_tokens + bytes / 3,
            input_tokens_max: self.input_tokens_max + bytes,
            ..self.clone()
        }
    }
}

/// Reserves what the request may cost as it is now: `added` bytes of text more
/// than its client and its feature's prompt brought.
///
/// # Errors
/// As [`Account::cover`].
pub(crate) fn cover_grown(account: &mut Account, asked: &Asked, added: u64) -> Result<(), Report> {
    let mut worst = Worst::of(asked).with(account.route.feature.as_deref());
    worst.input_tokens = worst.input_tokens.saturating_add(added / 3);
    worst.input_tokens_max = worst.input_tokens_max.saturating_add(added);
    account.input_tokens = worst.input_tokens;
    account.worst = worst_cost(&account.snapshot, account.surface, account.at, &account.route, &worst);
    account.cover()
}

pub(crate) fn admit(
    gateway: &Arc<Gateway>,
    arrival: &mut Arrival,
    principal: Principal,
    asked: &Asked,
) -> Result<Admitted, Report> {
    admit_worst(gateway, arrival, principal, Worst::of(asked))
}

/// The same for surfaces that know their worst case otherwise.
pub(crate) fn admit_worst(
    gateway: &Arc<Gateway>,
    arrival: &mut Arrival,
    principal: Principal,
    worst: Worst,
) -> Result<Admitted, Report> {
    let from = runtime::clock::monotonic_us();
    match decide(gateway, arrival, &principal, &worst) {
        Ok(Let { route, labels, hold, ticket }) => {
            let decision = format!("admitted: held {} USD", hold.amount);
            arrival.step("admit", from, String::new());
            let mut admitted = Admitted::new(Account {
                gateway: Arc::clone(gateway),
                snapshot: Arc::clone(&arrival.snapshot),
                id: arrival.id,
                at: arrival.at,
                received_us: arrival.received_us,
                surface: arrival.surface,
                principal,
                route,
                model: worst.model,
                end_user: worst.end_user,
                stream: worst.stream,
                request_bytes: arrival.request_bytes,
                response_bytes: 0,
                response: arrival.salts.as_ref().map(|salts| salts.begin(arrival.id, audit::Part::Response)),
                evidence: arrival.evidence(),
                decision,
                steps: std::mem::take(&mut arrival.steps),
                rejected: Vec::new(),
                labels: Labels::default(),
                findings: Findings::default(),
                judged: arrival.judged.take().unwrap_or_default(),
                changed: false,
                denied: None,
                attempts: Vec::with_capacity(1),
                input_tokens: worst.input_tokens,
                worst: Some(hold.amount),
                holds: vec![hold],
                ticket: Some(ticket),
                live: None,
                first_byte_us: None,
                hold_journaled: false,
                verdicts: Vec::new(),
                guard: None,
                session: arrival.session.clone(),
                token: arrival.token.clone(),
                watch: None,
                rounds: None,
                cited: None,
                recalled: None,
                aside: None,
                keeping: None,
                cache: Cache::Off,
                fill: None,
                local_only: false,
                spent: Vec::new(),
                in_flight: gateway.meters.requests_in_flight.hold(),
            });
            admitted.raise(&labels);
            // The decision was made on just these.
            admitted.changed = false;
            Ok(admitted)
        }
        Err(report) => {
            arrival.step("admit", from, report.code.0.into());
            note_refusal(gateway, arrival, &principal, &worst, &report);
            Err(report)
        }
    }
}

/// What letting a request in found and took.
struct Let {
    route: Arc<Route>,
    labels: Labels,
    hold: ledger::Hold,
    ticket: policy::Ticket,
}

fn decide(
    gateway: &Gateway,
    arrival: &mut Arrival,
    principal: &Principal,
    worst: &Worst,
) -> Result<Let, Report> {
    if gateway.shutdown.is_draining() {
        return Err(Report::new("GW0006", "the server is shutting down").retry(report::Retry::After(1)));
    }
    if let Some(unreadable) = &arrival.unreadable {
        return Err(unreadable.clone());
    }
    let route = find_route(arrival, principal, &worst.model)?;
    let labels = label::arriving(arrival, principal, &route);
    let spent = judge(gateway, arrival, principal, &route, &labels)?;
    let worst = &worst.with(route.feature.as_deref());
    let tokens = worst.input_tokens.saturating_add(worst.output_tokens.unwrap_or(TOKENS_UNSAID));
    let ticket = gateway.limits().admit(principal, tokens, arrival.at).map_err(|d| d.report())?;
    let ask = Ask {
        request: arrival.id,
        org: principal.org,
        team: principal.team,
        key: principal.key,
        amount: worst_cost(&arrival.snapshot, arrival.surface, arrival.at, &route, worst),
        now: arrival.at,
    };
    let hold = gateway.book().hold(&ask);
    match hold {
        // The policy set forbids what a budget that is spent pays for, even for nothing.
        Ok(hold) if spent => {
            gateway.book().release(hold);
            gateway.limits().cancel(ticket);
            Err(Report::new("LG0201", "a hard budget is spent").hint("`bedplate budget list` shows which"))
        }
        Ok(hold) => Ok(Let { route, labels, hold, ticket }),
        Err(refusal) => {
            gateway.limits().cancel(ticket);
            Err(refusal.report())
        }
    }
}

/// Settles the user that an agent acts for: the one whom its key belongs to, or
/// the one whom it names.
///
/// # Errors
/// PO0005 for a user that there is not, or that the key does not act for.
pub(crate) fn settle_user(arrival: &mut Arrival, principal: &Principal) -> Result<(), Report> {
    let bound = principal.acting_for.and_then(|id| arrival.snapshot.world.user_name(id));
    if let Some(user) = &arrival.on_behalf_of {
        let known = arrival.snapshot.world.knows_user(user);
        if !known || bound.is_some_and(|bound| bound != user) {
            return Err(Report::new("PO0005", format!("the key does not act for the user \"{user}\""))
                .because(if known { "it belongs to another user" } else { "no user has that name" })
                .hint("`bedplate user list` shows the users; the header `bedplate-on-behalf-of` may be left out"));
        }
    }
    let bound = bound.map(str::to_owned);
    arrival.on_behalf_of = arrival.on_behalf_of.take().or(bound);
    Ok(())
}

/// Asks the policy set, and notes what it said. `true`: a spent budget alone
/// forbids it; the ledger then tells which, with its numbers.
fn judge(
    gateway: &Gateway,
    arrival: &mut Arrival,
    principal: &Principal,
    route: &Route,
    labels: &Labels,
) -> Result<bool, Report> {
    settle_user(arrival, principal)?;
    let budget_left = gateway.book().left(principal.org, principal.team, principal.key, arrival.at);
    let (judged, verdict) = Question {
        snapshot: &arrival.snapshot,
        principal,
        on_behalf_of: arrival.on_behalf_of.as_deref(),
        route,
        surface: arrival.surface,
        labels,
        findings: &Findings::default(),
        budget_left,
    }
    .ask();
    let spent = judged.determining == ["bedplate-budget"];
    arrival.judged = Some(judged);
    match verdict {
        Err(_) if spent => Ok(true),
        verdict => verdict.map(|()| false),
    }
}

/// Tokens of answer that count against a tokens-per-minute limit until the true
/// number is known, when the client set no limit of its own.
const TOKENS_UNSAID: u64 = 1_024;

/// The route of a model that the principal may use. A model that exists but is
/// not granted reads like one that does not, except in its hint: names are no secret.
pub(crate) fn find_route(
    arrival: &Arrival,
    principal: &Principal,
    model: &str,
) -> Result<Arc<Route>, Report> {
    let Some(route) = arrival.snapshot.routes.get(model) else {
        let names: Vec<&str> = arrival.snapshot.routes.keys().map(AsRef::as_ref).take(8).collect();
        let hint = if names.is_empty() {
            "declare one with `bedplate apply -f model.yaml`, or see `bedplate model list`".into()
        } else {
            format!("models here: {}", names.join(", "))
        };
        return Err(Report::new("GW0005", format!("no model is named \"{model:.100}\"")).hint(hint));
    };
    policy::may_use(principal, &route.name).map_err(|denied| denied.report())?;
    if let Some(feature) = &route.feature {
        feature.may_use(principal)?;
    }
    Ok(Arc::clone(route))
}

/// The dearest of the route's targets, since a fallback may end at any of them;
/// `None` when one has no price.
fn worst_cost(
    snapshot: &Snapshot,
    surface: Surface,
    at: Micros,
    route: &Route,
    worst: &Worst,
) -> Option<Usd> {
    route.targets.iter().try_fold(Usd::ZERO, |dearest, target| {
        let output = match surface {
            surface if surface.encodes() => 0,
            _ => worst.output_tokens.unwrap_or(target.output_tokens_max).min(target.output_tokens_max.max(1)),
        };
        let cost = match &target.place {
            Place::Remote(_) => snapshot.prices.worst_case(
                &target.sku,
                &worst.tier,
                at,
                worst.input_tokens_max,
                output,
                worst.n,
            )?,
            Place::Engine { machine, .. } => {
                let tokens = worst.input_tokens.saturating_add(output.saturating_mul(u64::from(worst.n)));
                machine.worst_case(tokens.saturating_mul(ENGINE_TOKEN_US))?
            }
        };
        Some(dearest.max(cost))
    })
}

/// Engine time per token at worst: 100 ms is a 7-billion-parameter model decoding
/// alone on two cores. What is really used is settled to the microsecond.
const ENGINE_TOKEN_US: u64 = 100_000;

/// A refusal is remembered like an answer, but nobody waits for its disk.
fn note_refusal(
    gateway: &Gateway,
    arrival: &mut Arrival,
    principal: &Principal,
    worst: &Worst,
    report: &Report,
) {
    gateway.meters.refusals.with(&[report.code.0]).one();
    let record = Record {
        id: arrival.id,
        at: arrival.at,
        team: principal.team,
        key: principal.key,
        surface: arrival.surface.name().into(),
        model: worst.model.clone(),
        end_user: worst.end_user.clone(),
        stream: worst.stream,
        request_bytes: arrival.request_bytes,
        response_bytes: 0,
        outcome: Outcome::Refused(report.code.0.into()),
        status: report.status(),
        generation: arrival.snapshot.generation,
        decision: report.what.clone(),
        held: Usd::ZERO,
        cost: Usd::ZERO,
        duration_us: runtime::clock::monotonic_us().saturating_sub(arrival.received_us),
        steps: std::mem::take(&mut arrival.steps),
        attempts: Vec::new(),
        rejected: Vec::new(),
        labels: arrival
            .snapshot
            .routes
            .get(worst.model.as_str())
            .map_or_else(|| arrival.said.clone(), |route| label::arriving(arrival, principal, route)),
        judged: arrival.judged.take(),
        spent: Vec::new(),
    };
    let leaf = Some(leaf::of(&record, principal, arrival.evidence()));
    let entry = Entry::Settle { record: Arc::new(record), postings: Vec::new(), leaf };
    gateway.store.append(entry, Box::new(|_| {}));
}
