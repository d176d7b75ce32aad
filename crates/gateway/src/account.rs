//! The open side of a request: what will become its record.
//!
//! An [`Admitted`] holds money. It ends in exactly one outcome: the journey
//! takes it to [`Admitted::close`], or it is dropped because the client left
//! (hyper drops the handler or the body it was feeding), which posts `Abandoned`
//! with what was produced until then (TRAPS M4).

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use chat::{Tier, Usage};
use ledger::{Ask, Hold};
use net::server::Request;
use policy::{Principal, Ticket};
use report::Report;
use store::{Attempt, AttemptOutcome, Entry, HoldRow, Judged, Outcome, Rejected, Spent, Step};
use tokio::time::Sleep;
use units::{AttemptId, Labels, Micros, RequestId, Usd};

use crate::cache::{Cache, Fill};
use crate::judge::Findings;
use crate::label;
use crate::leaf::{Evidence, Salts};
use crate::rounds::Rounds;
use crate::settle::{self, Settled};
use crate::tools::tokens::CallerToken;
use crate::{Gateway, Place, Route, Snapshot, Surface, Target};

/// A hold that is still open after this long is written to disk, so that a
/// crash does not forget it. Shorter requests settle before it would matter.
const HOLD_JOURNAL_US: u64 = 20_000;

/// A request before admission.
pub(crate) struct Arrival {
    pub id: RequestId,
    pub at: Micros,
    /// Monotonic.
    pub received_us: u64,
    pub surface: Surface,
    pub snapshot: Arc<Snapshot>,
    pub request_bytes: u64,
    /// Once it is known who asks.
    pub salts: Option<Salts>,
    /// The commitment to the body, once it is here.
    pub request: Option<audit::Hash>,
    pub steps: Vec<Step>,
    /// Whether its errors wear Anthropic's envelope.
    pub anthropic: bool,
    /// What the client says of its data in `bedplate-labels`.
    pub said: Labels,
    /// What the client calls the conversation (`bedplate-session`): endorsements count in it.
    pub session: Box<str>,
    /// Why that could not be read: told once it is known who asks.
    pub unreadable: Option<Report>,
    /// The user that the caller says it acts for.
    pub on_behalf_of: Option<String>,
    /// What the policy set said, once it was asked.
    pub judged: Option<Judged>,
    /// The identity provider's token that it came with, once it was verified.
    pub token: Option<CallerToken>,
}

impl Arrival {
    pub fn new(gateway: &Gateway, surface: Surface, request: &Request) -> Arrival {
        let listing = matches!(surface, Surface::ListModels | Surface::ShowModel);
        let (said, unreadable) = match label::said(request) {
            Ok(said) => (said, None),
            Err(report) => (Labels::default(), Some(report)),
        };
        Arrival {
            id: RequestId(runtime::new_id()),
            at: runtime::clock::now(),
            received_us: request.received_us,
            surface,
            snapshot: gateway.snapshot.load_full(),
            request_bytes: 0,
            salts: None,
            request: None,
            steps: Vec::with_capacity(10),
            anthropic: surface.dialect().is_anthropic()
                || listing && request.headers.contains_key("anthropic-version"),
            said,
            session: session(request),
            unreadable,
            on_behalf_of: label::on_behalf_of(request),
            judged: None,
            token: None,
        }
    }

    /// One that the gateway makes by itself, for somebody.
    pub fn within(
        gateway: &Gateway,
        surface: Surface,
        said: Labels,
        on_behalf_of: Option<String>,
    ) -> Arrival {
        Arrival {
            id: RequestId(runtime::new_id()),
            at: runtime::clock::now(),
            received_us: runtime::clock::monotonic_us(),
            surface,
            snapshot: gateway.snapshot.load_full(),
            request_bytes: 0,
            salts: None,
            request: None,
            steps: Vec::with_capacity(10),
            anthropic: false,
            said,
            session: UNNAMED.into(),
            unreadable: None,
            on_behalf_of,
            judged: None,
            token: None,
        }
    }

    /// Notes a step that began at `from` (monotonic microseconds) and ends now.
    pub fn step(&mut self, name: &'static str, from: u64, note: String) {
        push_step(&mut self.steps, self.received_us, name, from, note);
    }
    /// What its leaf will say of it so far.
    pub fn evidence(&self) -> Evidence {
        let salts = self.salts.as_ref().map_or(0, |salts| salts.version);
        Evidence { request: self.request, salts, ..Evidence::default() }
    }
    /// The dialect its errors are written in.
    pub fn envelope(&self) -> dialects::Dialect {
        if self.anthropic { dialects::Dialect::AnthropicMessages } else { self.surface.dialect() }
    }
}

/// The conversation of all clients that name none.
const UNNAMED: &str = "default";

/// A short name, or one for all that say nothing.
fn session(request: &Request) -> Box<str> {
    let named = request.header("bedplate-session").filter(|s| (1..=128).contains(&s.len()));
    named.unwrap_or(UNNAMED).into()
}

fn push_step(steps: &mut Vec<Step>, origin: u64, name: &'static str, from: u64, note: String) {
    let now = runtime::clock::monotonic_us();
    steps.push(Step {
        name: name.into(),
        start_us: from.saturating_sub(origin),
        duration_us: now.saturating_sub(from),
        note,
    });
}

/// Everything about a request that was let in.
pub(crate) struct Account {
    pub gateway: Arc<Gateway>,
    pub snapshot: Arc<Snapshot>,
    pub id: RequestId,
    pub at: Micros,
    pub received_us: u64,
    pub surface: Surface,
    pub principal: Principal,
    pub route: Arc<Route>,
    pub model: String,
    pub end_user: Option<String>,
    pub stream: bool,
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// To what the client was sent so far.
    pub response: Option<audit::Commitment>,
    /// For the leaf.
    pub evidence: Evidence,
    pub decision: String,
    pub steps: Vec<Step>,
    pub rejected: Vec<Rejected>,
    /// What is known of the data; only ever joined ([`Account::raise`]).
    pub labels: Labels,
    /// What guards found beside labels ([`Account::found`]).
    pub findings: Findings,
    /// What the policy set said of all this.
    pub judged: Judged,
    /// Labels or findings changed since the policy set was asked.
    pub changed: bool,
    /// Why the policy set, asked again, said no: there is no plan then.
    pub denied: Option<Report>,
    pub attempts: Vec<Attempt>,
    /// A guess of the prompt's tokens, for targets that report none.
    pub input_tokens: u64,
    /// Together they cover what was billed so far and the next attempt at its worst.
    pub holds: Vec<Hold>,
    /// What one attempt may cost; with each round of a loop its prompt grows.
    /// `None`: it has no price.
    pub worst: Option<Usd>,
    pub ticket: Option<Ticket>,
    pub live: Option<Live>,
    /// When the first byte of an answer was ready for the client, after `received_us`.
    pub first_byte_us: Option<u64>,
    pub hold_journaled: bool,
    /// What guards said: first of the request, then of the answer.
    pub verdicts: Vec<guards::Verdict>,
    /// The guards of the answer. They stay here, so that a client that leaves
    /// does not take along what they have seen.
    pub guard: Option<Box<guards::StreamGuard>>,
    /// The client's name for the conversation.
    pub session: Box<str>,
    /// The identity provider's token that it came with.
    pub token: Option<CallerToken>,
    /// The gate of calls in the answer, for tools that the client runs.
    pub watch: Option<Box<toolgate::Watch>>,
    /// The loop of a feature whose tools are called here.
    pub rounds: Option<Box<Rounds>>,
    /// What was retrieved for it, and has to be said with the answer.
    pub cited: Option<crate::retrieve::Cited>,
    /// The same of what was said before.
    pub recalled: Option<crate::memory::Remembered>,
    /// What of the request is nobody's word.
    pub aside: Option<crate::aside::Aside>,
    /// What is kept of the conversation, once the answer is whole.
    pub keeping: Option<Box<crate::memory::Keeping>>,
    /// What the cache of answers has to do with it.
    pub cache: Cache,
    /// The answer, to be kept once it is settled.
    pub fill: Option<Box<Fill>>,
    /// A guard allows no target outside of this process.
    pub local_only: bool,
    /// What its stages asked models for, in requests of their own.
    pub spent: Vec<Spent>,
    /// Counts the request as in flight until its account ends.
    #[expect(dead_code, reason = "it counts by being held")]
    pub in_flight: observe::metrics::Held,
}

/// The attempt under way.
pub(crate) struct Live {
    pub id: AttemptId,
    pub target: Arc<Target>,
    pub started: Micros,
    /// Monotonic.
    pub started_us: u64,
    pub first_byte_us: Option<u64>,
    pub status: u16,
    /// What the target reported.
    pub usage: Option<Usage>,
    pub tier: Option<Tier>,
    pub upstream_id: String,
    /// Bytes of answer text seen so far, for an estimate.
    pub output_bytes: u64,
    /// Engine time so far; only for the local engine.
    pub busy_us: u64,
    pub note: String,
    /// The target has been given the request, or a part of it.
    pub reached: Rc<Cell<bool>>,
}

/// For [`Account::during`]: over when the hold should be on disk.
pub(crate) fn overdue() -> Sleep {
    tokio::time::sleep(Duration::from_micros(HOLD_JOURNAL_US))
}

impl Account {
    pub fn step(&mut self, name: &'static str, from: u64, note: String) {
        push_step(&mut self.steps, self.received_us, name, from, note);
    }

    /// Notes a part of the answer that the client is about to be sent.
    pub fn sent(&mut self, part: &[u8]) {
        self.response_bytes += part.len() as u64;
        if let Some(response) = &mut self.response {
            response.update(part);
        }
    }

    /// Whether the client says which conversation this belongs to.
    pub fn is_named(&self) -> bool {
        &*self.session != UNNAMED
    }

    /// Whether somebody reads the answer on its way, so that it has to be canonical.
    pub fn is_read(&self) -> bool {
        self.guard.is_some()
            || self.watch.is_some()
            || self.rounds.is_some()
            || self.keeping.is_some()
            || matches!(self.cache, Cache::Miss(_))
    }

    /// Begins an attempt. The one before must have ended.
    pub fn begin(&mut self, target: &Arc<Target>) {
        debug_assert!(self.live.is_none(), "one attempt at a time");
        self.evidence.model = None;
        target.breaker().begin();
        self.live = Some(Live {
            id: AttemptId(runtime::new_id()),
            target: Arc::clone(target),
            started: runtime::clock::now(),
            started_us: runtime::clock::monotonic_us(),
            first_byte_us: None,
            status: 0,
            usage: None,
            tier: None,
            upstream_id: String::new(),
            output_bytes: 0,
            busy_us: 0,
            note: String::new(),
            reached: Rc::default(),
        });
    }

    /// The attempt under way.
    pub fn live(&mut self) -> &mut Live {
        self.live.as_mut().expect("called between the beginning and the end of an attempt")
    }

    /// The first byte of the attempt's answer is here.
    pub fn first_byte(&mut self) {
        let now = runtime::clock::monotonic_us();
        let received = self.received_us;
        let live = self.live();
        live.first_byte_us.get_or_insert(now.saturating_sub(live.started_us));
        self.first_byte_us.get_or_insert(now.saturating_sub(received));
    }

    /// Ends the attempt under way: prices it and adds its line.
    pub fn end(&mut self, outcome: AttemptOutcome) {
        let Some(live) = self.live.take() else { return };
        if outcome == AttemptOutcome::Cancelled {
            live.target.breaker().forget();
        }
        let attempt = live.into_attempt(
            &self.snapshot,
            self.gateway.power.milliwatts(),
            self.surface,
            self.input_tokens,
            outcome,
        );
        self.attempts.push(attempt);
    }

    /// Reserves what is missing for one more attempt at its worst, beside what
    /// was billed so far.
    ///
    /// # Errors
    /// LG0202 and its kin: no budget has that much left.
    pub fn cover(&mut self) -> Result<(), Report> {
        let Some(worst) = self.worst else { return Ok(()) };
        let billed = Usd::sum(self.attempts.iter().map(|a| a.cost).chain([worst]));
        let held = Usd::sum(self.holds.iter().map(|h| h.amount));
        let missing = Usd::from_wide(billed - held).unwrap_or(Usd::MAX);
        if missing <= Usd::ZERO {
            return Ok(());
        }
        let ask = Ask {
            request: self.id,
            org: self.principal.org,
            team: self.principal.team,
            key: self.principal.key,
            amount: Some(missing),
            now: self.at,
        };
        let hold = self.gateway.book().hold(&ask).map_err(|refusal| refusal.report())?;
        self.holds.push(hold);
        if self.hold_journaled {
            self.journal();
        }
        Ok(())
    }

    /// How long the request may still take.
    pub fn time_left(&self) -> Duration {
        let spent_us = runtime::clock::monotonic_us().saturating_sub(self.received_us);
        Duration::from_millis(u64::from(self.route.deadlines.total_ms))
            .saturating_sub(Duration::from_micros(spent_us))
    }

    /// Waits for the target; when that takes long, the hold is written to disk meanwhile.
    pub async fn during<F: Future>(&mut self, overdue: Pin<&mut Sleep>, wait: F) -> F::Output {
        let mut wait = pin!(wait);
        if !self.hold_journaled {
            tokio::select! {
                biased;
                out = &mut wait => return out,
                () = overdue => self.journal_hold(),
            }
        }
        wait.await
    }

    /// Writes the hold to disk once the request has taken long enough for a crash to matter.
    pub fn journal_hold(&mut self) {
        let lasted = runtime::clock::monotonic_us().saturating_sub(self.received_us);
        if !self.hold_journaled && lasted >= HOLD_JOURNAL_US {
            self.journal();
        }
    }

    /// Writes all that is held to disk, in the place of what was written before.
    pub fn journal(&mut self) {
        let held = Usd::sum(self.holds.iter().map(|h| h.amount));
        self.hold_journaled = true;
        let row = HoldRow {
            request: self.id,
            team: self.principal.team,
            key: self.principal.key,
            budgets: Vec::new(),
            model: self.model.clone(),
            amount: Usd::from_wide(held).unwrap_or(Usd::MAX),
            at: self.at,
        };
        self.gateway.store.append(Entry::Hold(row), Box::new(|_| {}));
    }

    /// What all attempts that answered used, as the client is told: one sum,
    /// however often a model was asked.
    pub fn used(&self) -> Usage {
        let mut sum = Usage::default();
        let answered = self.attempts.iter().filter(|a| a.outcome == AttemptOutcome::Ok);
        for attempt in answered {
            if attempt.estimated {
                sum.source = chat::UsageSource::Estimated;
            }
            for axis in chat::Axis::ALL {
                sum.set(axis, sum.get(axis).saturating_add(attempt.usage.get(axis)));
            }
        }
        sum
    }
}

impl Live {
    fn into_attempt(
        mut self,
        snapshot: &Snapshot,
        milliwatts: Option<u64>,
        surface: Surface,
        input_tokens: u64,
        outcome: AttemptOutcome,
    ) -> Attempt {
        let target = &self.target;
        // An attempt that failed before a success status produced nothing that anybody bills.
        let produced = match outcome {
            AttemptOutcome::Failed(_) => (200..300).contains(&self.status),
            AttemptOutcome::Ok => true,
            // A client that left while we were still connecting owes nothing.
            AttemptOutcome::Cancelled => self.reached.get(),
        };
        let reported = self.usage.take();
        let estimated = reported.is_none() && produced;
        let usage = reported.unwrap_or_else(|| {
            let mut usage = Usage::default();
            usage.source = chat::UsageSource::Estimated;
            if produced {
                usage.set(chat::Axis::Input, input_tokens);
                usage.set(chat::Axis::Output, self.output_bytes.div_ceil(4));
            }
            usage
        });
        let tier = self.tier.take().unwrap_or_default();
        let priced = match &target.place {
            Place::Remote(_) => snapshot.prices.price(&target.sku, &tier, self.started, &usage),
            Place::Engine { machine, .. } => match milliwatts {
                Some(milliwatts) => machine.price_measured(self.busy_us, milliwatts),
                None => machine.price(self.busy_us),
            },
        };
        Attempt {
            id: self.id,
            purpose: surface.purpose().name().into(),
            provider: target.provider.to_string(),
            upstream_model: target.upstream_model.to_string(),
            started: self.started,
            first_byte_us: self.first_byte_us,
            duration_us: runtime::clock::monotonic_us().saturating_sub(self.started_us),
            outcome,
            status: self.status,
            usage: (&usage).into(),
            estimated,
            unreconciled: !usage.reconciles(),
            tier: tier_name(&tier).into(),
            lines: priced.lines,
            cost: priced.total,
            price: priced.price,
            upstream_id: self.upstream_id,
            note: self.note,
        }
    }
}

fn tier_name(tier: &Tier) -> &str {
    match tier {
        Tier::Standard => "standard",
        Tier::Auto => "auto",
        Tier::Flex => "flex",
        Tier::Priority => "priority",
        Tier::Batch => "batch",
        Tier::Other(name) => name,
    }
}

/// Proof that a request was let in and its worst case reserved.
pub(crate) struct Admitted(Option<Box<Account>>);

impl Admitted {
    /// Only [`crate::admit`] calls this.
    pub fn new(account: Account) -> Admitted {
        Admitted(Some(Box::new(account)))
    }
    /// The one outcome.
    pub fn close(mut self, outcome: Outcome, status: u16) -> Settled {
        let account = self.0.take().expect("an Admitted is closed once: close takes it by value");
        settle::settle(*account, outcome, status)
    }
}

impl Deref for Admitted {
    type Target = Account;
    fn deref(&self) -> &Account {
        self.0.as_deref().expect("only close and drop take the account, and both end the Admitted")
    }
}

impl DerefMut for Admitted {
    fn deref_mut(&mut self) -> &mut Account {
        self.0.as_deref_mut().expect("only close and drop take the account, and both end the Admitted")
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(mut account) = self.0.take() {
            account.end(AttemptOutcome::Cancelled);
            // Nobody is left to wait for its durability; the writer queue keeps it.
            let _ = settle::settle(*account, Outcome::Abandoned, 499);
        }
    }
}
