//! Step 6, its end: an answer that was given before is given again.
//!
//! Only where a feature or a model says so, only to the same question (or, where it says
//! that too, to one that differs by its politeness and as often as the answer's record
//! allows: `retrieval`'s near tier), and only to somebody who may read every document
//! that the answer was made from, as it was then (TRAPS R5). What must be equal before anything is compared is a hash over
//! labels, route, system prompt and policies; the tenant's file is the team's own.
//! Never for tools, images, several choices or personal data.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use chat::{Choice, Finish, Message, Part, Role};
use context::cache::{DELTA, Nature, Partition, Turn, exact_key, may_be_near};
use context::embed::lexical_hash;
use dialects::Dialect;
use guards::{Kind, Secrets, Shield, Spec};
use policy::{Act, Object};
use report::Report;
use retrieval::{Collections, Kept, Nearest};
use store::documents::{ANSWER_BYTES_MAX, Answer, NewAnswer};
use units::{AnswerId, TeamId, TurnId, Usd};

use crate::account::{Account, Admitted};
use crate::aside;
use crate::journey::Stop;
use crate::judge;
use crate::prepare::Prepared;
use crate::{Keeps, retrieve};

/// How long an answer is given: a day.
const LASTS_US: i64 = 86_400_000_000;
/// Bytes of a question that are kept with its answer, for whoever asks why.
const QUESTION_BYTES_MAX: usize = 4 << 10;

/// What the cache has to do with a request.
#[derive(Default)]
pub(crate) enum Cache {
    /// Nothing: it is not asked, and the answer is not kept.
    #[default]
    Off,
    /// It had no answer; the one that comes is kept under this.
    Miss(Box<Key>),
    /// The answer is its.
    Hit(Tier),
}

/// By what an answer was found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    Exact,
    Near,
}

impl Tier {
    /// As the header `bedplate-cache` says it.
    pub const fn name(self) -> &'static str {
        match self {
            Tier::Exact => "exact",
            Tier::Near => "semantic",
        }
    }
}

impl Cache {
    /// The tier that the answer is from, if it is from one.
    pub fn hit(&self) -> Option<Tier> {
        match self {
            Cache::Hit(tier) => Some(*tier),
            Cache::Off | Cache::Miss(_) => None,
        }
    }
}

/// Under what an answer is kept.
pub(crate) struct Key {
    partition: [u8; 32],
    key: [u8; 32],
    question: String,
    /// Of the question, where near ones may find the answer; else empty.
    vector: Vec<f32>,
    /// The answer to a near question, which this one's is compared with.
    judges: Option<Box<Kept>>,
}

/// An answer that is kept once its request is settled.
pub(crate) struct Fill {
    collections: Arc<Collections>,
    team: TeamId,
    answer: NewAnswer,
    /// A kept answer that was compared with it: which, for how similar a question, and
    /// whether it was right.
    judged: Option<(AnswerId, f32, bool)>,
}

/// What looking came to.
pub(crate) enum Looked {
    Hit(Prepared, Box<chat::Response>),
    Miss(Prepared),
}

pub(crate) async fn look_up(mut prepared: Prepared) -> Result<Looked, Stop> {
    if prepared.admitted.route.cache == Keeps::Nothing {
        return Ok(Looked::Miss(prepared));
    }
    // What is given here never meets the plan, so what the plan asks is asked here.
    if let Err(denied) = prepared.admitted.judge_again() {
        return Err(Stop::Failed(prepared.admitted, denied));
    }
    let from = runtime::clock::monotonic_us();
    let Some(mut key) = key(&prepared) else { return Ok(Looked::Miss(prepared)) };
    let account = &mut prepared.admitted;
    if !may(account, Act::CacheRead) {
        return Ok(Looked::Miss(prepared));
    }
    let kept = match find(account, &key).await {
        Ok(kept) => kept,
        Err(report) => {
            // A cache that cannot be read is a miss.
            observe::warn!("cache.unread", code = report.code.0);
            None
        }
    };
    if let Some((kept, response)) = kept {
        let saved = Usd::from_pico(kept.cost_pico);
        account.step("cache", from, format!("exact: answer {}, saved {saved} USD", kept.id));
        given(account, Tier::Exact, &kept);
        return Ok(Looked::Hit(prepared, Box::new(response)));
    }
    let nearest = match near(account, &key).await {
        Ok(nearest) => nearest,
        Err(report) => {
            observe::warn!("cache.unread", code = report.code.0);
            Nearest::Nothing
        }
    };
    match nearest {
        Nearest::Give(kept) => {
            // What cannot be read is a miss, as above.
            if let Ok(response) = dialects::decode_response(Dialect::OpenaiChat, &kept.answer.body) {
                let saved = Usd::from_pico(kept.answer.cost_pico);
                let note = format!("near: answer {}, saved {saved} USD, {}", kept.answer.id, sure(&kept));
                account.step("cache", from, note);
                given(account, Tier::Near, &kept.answer);
                return Ok(Looked::Hit(prepared, Box::new(response)));
            }
            account.step("cache", from, "miss".into());
        }
        Nearest::Judge(kept) => {
            let note = format!("miss: answer {} is near, {}; compared instead", kept.answer.id, sure(&kept));
            account.step("cache", from, note);
            key.judges = Some(kept);
        }
        Nearest::Nothing => account.step("cache", from, "miss".into()),
    }
    account.cache = Cache::Miss(Box::new(key));
    Ok(Looked::Miss(prepared))
}

/// Notes that an answer is given again, and what that saves.
fn given(account: &mut Account, tier: Tier, kept: &Answer) {
    let saved = Usd::from_pico(kept.cost_pico);
    let _ = write!(account.decision, "; answered from the cache, saved {saved} USD");
    account.raise(&kept.labels);
    account.cache = Cache::Hit(tier);
}

fn sure(kept: &Kept) -> String {
    format!("similarity {:.3}, right at least {:.4} of the time", kept.similarity, kept.right_at_least)
}

/// The kept answer to a question that says the same in other words.
async fn near(account: &Account, key: &Key) -> Result<Nearest, Report> {
    if key.vector.is_empty() {
        return Ok(Nearest::Nothing);
    }
    let (collections, reader) = (Arc::clone(&account.gateway.collections), retrieve::reader(account));
    let (partition, text, vector, now) =
        (key.partition, key.question.clone(), key.vector.clone(), account.at);
    let documents = account.cited.as_ref().map(|cited| cited.dependencies()).unwrap_or_default();
    let draw = u64::from_le_bytes(runtime::random::bytes()) as f64 / u64::MAX as f64;
    let found = tokio::task::spawn_blocking(move || {
        let question = retrieval::Question {
            partition: &partition,
            text: &text,
            vector: &vector,
            documents: &documents,
        };
        collections.near_answer(&reader, &question, DELTA, draw, now)
    });
    let found = found.await.map_err(|_| Report::new("CT0005", "the cache failed unexpectedly"))?;
    found.map_err(|e| e.report())
}

async fn find(account: &Account, key: &Key) -> Result<Option<(Answer, chat::Response)>, Report> {
    let (collections, reader) = (Arc::clone(&account.gateway.collections), retrieve::reader(account));
    let (partition, key, now) = (key.partition, key.key, account.at);
    // The store waits for a disk, and this thread has other connections.
    let found = tokio::task::spawn_blocking(move || collections.answer(&reader, &partition, &key, now));
    let found = found.await.map_err(|_| Report::new("CT0005", "the cache failed unexpectedly"))?;
    let Some(kept) = found.map_err(|e| e.report())? else { return Ok(None) };
    let response = dialects::decode_response(Dialect::OpenaiChat, &kept.body).ok();
    Ok(response.map(|response| (kept, response)))
}

/// Whether the policy set lets whoever asks read from, or write to, the team's answers.
fn may(account: &Account, act: Act) -> bool {
    let by = account.judged.on_behalf_of.as_deref();
    let object = Object::space("answers");
    let (snapshot, principal) = (&account.snapshot, &account.principal);
    judge::may(snapshot, principal, by, act, &object, &account.labels, "the team's answers").is_ok()
}

/// Under what the answer to a request is kept; `None` for one that is not kept at all.
fn key(prepared: &Prepared) -> Option<Key> {
    let account = &prepared.admitted;
    let request = &prepared.asked.decoded().ok()?.request;
    let unlike = request.n != 1
        || request.logprobs.is_some()
        || !request.tools.is_empty()
        || account.watch.is_some()
        || account.rounds.is_some()
        || !account.findings.pii_types.is_empty()
        || matches!(prepared.asked.dialect, Dialect::OpenaiCompletions);
    if unlike {
        return None;
    }
    // The marks of what was put before it are random; that itself is told apart below.
    let messages = account.aside.as_ref().map(|aside| aside.apart(&request.messages).0);
    let messages = messages.as_deref().unwrap_or(&request.messages);
    let texts: Vec<(Role, String)> = messages.iter().map(said).collect::<Option<_>>()?;
    let system: Vec<&str> =
        texts.iter().filter(|(role, _)| *role == Role::System).map(|(_, t)| t.as_str()).collect();
    let turns: Vec<Turn<'_>> = texts
        .iter()
        .filter(|(role, _)| *role != Role::System)
        .map(|(role, text)| Turn { role: if *role == Role::User { "user" } else { "assistant" }, text })
        .collect();
    let question = turns.iter().rev().find(|t| t.role == "user").map(|t| t.text).unwrap_or_default();
    let context = account.cited.as_ref().map(|cited| cited.context()).unwrap_or_default();
    let mut parameters = parameters(request);
    if let Some(recalled) = &account.recalled {
        parameters.push_str(&recalled.key());
    }
    let nature = Nature {
        turns: turns.len() != 1,
        // What was said before changes what the words mean.
        fresh: account.keeping.is_some() || account.recalled.is_some(),
        ..Nature::default()
    };
    let is_near = account.route.cache == Keeps::Near
        && question.len() <= QUESTION_BYTES_MAX
        && may_be_near(nature)
        && is_impersonal(question);
    Some(Key {
        partition: partition(account, &system.join("\n\n"), &collection(prepared), &parameters),
        key: exact_key(&turns, &context, &parameters),
        question: question[..question.floor_char_boundary(QUESTION_BYTES_MAX)].to_owned(),
        vector: if is_near { lexical_hash(question) } else { Vec::new() },
        judges: None,
    })
}

/// The collections that are asked; empty where none is.
fn collection(prepared: &Prepared) -> String {
    let asked = prepared.asked.extension.retrieve.as_ref();
    let of_feature = prepared.admitted.route.feature.as_ref().and_then(|f| f.retrieve.as_ref());
    asked.or(of_feature).map(|retrieve| retrieve.collections.join("\n")).unwrap_or_default()
}

/// Whether a text has no personal data and no secrets in it, also where no guard looks.
fn is_impersonal(text: &str) -> bool {
    static LOOK: LazyLock<Shield> = LazyLock::new(|| {
        let personal = Kind::PERSONAL.iter().map(|kind| (*kind, guards::Action::Flag)).collect();
        let spec = Spec { input: true, personal, secrets: guards::Action::Flag, ..Spec::default() };
        Shield::new(&[&spec], Secrets::default())
    });
    let mut text = text.to_owned();
    LOOK.screen_texts([&mut text], 0).verdict.findings.is_empty()
}

/// A turn's words; `None` when it has something else than words.
fn said(message: &Message) -> Option<(Role, String)> {
    let mut text = String::new();
    for part in &message.parts {
        match part {
            Part::Text(t) => text.push_str(t),
            Part::Image(_)
            | Part::ToolCall { .. }
            | Part::ToolResult { .. }
            | Part::Reasoning { .. }
            | Part::Refusal(_) => {
                return None;
            }
        }
    }
    (message.role != Role::Tool).then_some((message.role, text))
}

fn partition(account: &Account, system: &str, collection: &str, parameters: &str) -> [u8; 32] {
    let route = &account.route;
    let mut model = format!("{}\n{}", account.model, route.name);
    route.targets.iter().for_each(|target| model.push_str(&format!("\n{}", target.sku)));
    let mut policy = account.snapshot.policies.hash().to_vec();
    if route.shield.is_some() {
        // What guards look for has no hash of its own: another configuration, another partition.
        policy.extend_from_slice(&account.snapshot.generation.to_be_bytes());
    }
    let labels = account.labels.to_string();
    // What was said to one is nobody else's, however alike two questions are.
    let owner = match (&account.keeping, &account.recalled) {
        (None, None) => String::new(),
        _ => retrieve::reader(account).alone().next().map(ToString::to_string).unwrap_or_default(),
    };
    Partition {
        owner: &owner,
        labels: &labels,
        model: &model,
        system,
        tools: "",
        collection,
        parameters,
        policy: &policy,
    }
    .key()
}

/// Everything else of a request that can change its answer.
fn parameters(request: &chat::Request) -> String {
    format!(
        "1 {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        request.sampling,
        request.max_tokens,
        request.stop,
        request.format,
        request.reasoning,
        request.tier,
        request.suffix
    )
}

/// Notes an answer as it was given, to be kept once its cost is known. Only a whole one
/// of words: one that was cut, refused or calls tools is not.
pub(crate) fn fill(admitted: &mut Admitted, answer: &chat::Response) {
    let Cache::Miss(key) = &admitted.cache else { return };
    let is_whole = |choice: &Choice| {
        choice.finish == Some(Finish::Stop)
            && choice.parts.iter().all(|part| matches!(part, Part::Text(_)))
            && !choice.parts.is_empty()
    };
    if answer.failed.is_some() || answer.choices.len() != 1 || !is_whole(&answer.choices[0]) {
        return;
    }
    let said_now = words(answer);
    let body = dialects::encode_response(Dialect::OpenaiChat, answer);
    let account: &Account = admitted;
    if body.len() > ANSWER_BYTES_MAX || !may(account, Act::CacheWrite) {
        return;
    }
    let judged = key.judges.as_ref().map(|kept| {
        let before = dialects::decode_response(Dialect::OpenaiChat, &kept.answer.body);
        let right = before.is_ok_and(|before| same(&words(&before), &said_now));
        (kept.answer.id, kept.similarity, right)
    });
    // One that says what another says is found by its key alone: the other goes on with its record.
    let finds = !judged.is_some_and(|(_, _, right)| right) && is_impersonal(&said_now);
    let answer = NewAnswer {
        id: AnswerId(runtime::new_id()),
        partition: key.partition,
        key: key.key,
        vector: if finds { key.vector.clone() } else { Vec::new() },
        question: key.question.clone(),
        body: body.to_vec(),
        labels: account.labels.clone(),
        cost_pico: 0,
        dependencies: account.cited.as_ref().map(|cited| cited.dependencies()).unwrap_or_default(),
        turns: rests_on(account),
        created: account.at,
        expires: account.at.plus_us(LASTS_US),
    };
    let (collections, team) = (Arc::clone(&account.gateway.collections), account.principal.team);
    if let Some((id, _, right)) = judged {
        let from = runtime::clock::monotonic_us();
        let found = if right { "the same" } else { "another" };
        admitted.step("judge", from, format!("answer {id}: {found}"));
    }
    admitted.fill = Some(Box::new(Fill { collections, team, answer, judged }));
}

/// What an answer says.
fn words(answer: &chat::Response) -> String {
    let parts = answer.choices.iter().flat_map(|choice| &choice.parts);
    parts.filter_map(aside::text).collect()
}

/// Whether two answers say the same: word by word but for politeness, because nobody
/// reads them.
fn same(one: &str, other: &str) -> bool {
    one == other || context::cache::near(one, other) == context::cache::Near::Equal
}

/// The turns that an answer goes with: those that it was made from, and its own.
fn rests_on(account: &Account) -> Vec<TurnId> {
    let own = account.keeping.iter().flat_map(|keeping| keeping.turns());
    account.recalled.iter().flat_map(|recalled| recalled.rests_on()).chain(own).collect()
}

impl Fill {
    /// Keeps the answer with what it cost: what the next one saves.
    pub async fn keep(self: Box<Self>, cost: Usd) {
        let Fill { collections, team, answer, judged } = *self;
        let answer = NewAnswer { cost_pico: cost.pico(), ..answer };
        let kept = tokio::task::spawn_blocking(move || {
            if let Some((id, similarity, right)) = judged {
                collections.judge_answer(team, id, similarity, right)?;
            }
            collections.keep_answer(team, answer)
        });
        // A cache that cannot be filled takes nothing from the answer.
        if let Ok(Err(error)) = kept.await {
            observe::warn!("cache.unfilled", code = error.report().code.0);
        }
    }
}
