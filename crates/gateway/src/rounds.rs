//! Between steps 8 and 9, for features with tools: the model is asked, what it
//! calls of the feature's tools is called for it, and it is asked again.
//!
//! The client sees one answer. What each round says of text goes to it as it
//! comes; calls that are made here, and what they brought, never do. A round
//! walks the steps that a request walks: what the tools answered is screened and
//! labelled like input, the policy set is asked again if that changed anything,
//! money is held for the longer prompt, the plan is made anew. So each round is
//! an attempt with its price, and a refusal in the middle is an ordinary one.
//!
//! It ends with an answer, with a call that waits for a person (whose words stand
//! in the answer), or with an error: no budget is left (402), the rounds or the
//! time are over (TG0008). A client that leaves drops the code at its current
//! `.await`, and with it the tool's or the model's connection.

use std::sync::Arc;

use chat::{Event, Finish, Format, Message, Part, Role, ToolChoice};
use dialects::Dialect;
use report::Report;
use store::AttemptOutcome;
use tokio::time::timeout;
use toolgate::{History, Round, Turn};

use crate::account::Admitted;
use crate::decode::Asked;
use crate::prepare::Prepared;
use crate::reply::Reply;
use crate::tools::offer::{self, Offer};
use crate::tools::run::{self, Ran};
use crate::tools::watch;
use crate::{Feature, Surface, Worker, admit, dispatch, plan, screen};

/// The loop of one request.
pub(crate) struct Rounds {
    /// The answer under way.
    round: Round,
    most: u32,
    /// What the model has read, as the gate sees it.
    history: History,
    /// Bytes of text that the prompt has grown by since it was admitted.
    added: u64,
    /// Calls that brought something.
    made: Vec<String>,
}

/// What comes after an answer of the model.
#[expect(clippy::large_enum_variant, reason = "one per round, moved once")]
pub(crate) enum Next {
    /// Another, of which this is the beginning.
    Ask(Reply),
    /// Nothing: these are the last events of the client's answer.
    Over(Vec<Event>),
}

/// Offers a feature's tools to its model beside the client's.
///
/// # Errors
/// TG0011 for a name that both have, DI0004 for more than one choice, 402 when
/// no budget covers the longer prompt.
pub(crate) async fn begin(
    worker: &Worker,
    admitted: &mut Admitted,
    asked: &mut Asked,
    feature: &Feature,
) -> Result<(), Report> {
    // The legacy dialect knows no tools.
    if !matches!(admitted.surface, Surface::Generate(Dialect::OpenaiChat | Dialect::AnthropicMessages)) {
        return Ok(());
    }
    if asked.decoded()?.request.tool_choice == ToolChoice::None {
        return Ok(());
    }
    let from = runtime::clock::monotonic_us();
    let offer = offer::offer(worker, &admitted.snapshot, &admitted.principal, &feature.tools).await;
    admitted.step("tools", from, offer.summary());
    if offer.tools.is_empty() {
        return Ok(());
    }
    let request = &asked.decoded()?.request;
    fits(&offer, request)?;
    let declared = &admitted.snapshot.tools.declared;
    let rounds = Rounds {
        round: Round::first(Arc::new(offer.tools.keys().cloned().collect()), request.format != Format::Text),
        most: feature.rounds_max,
        history: watch::history(admitted, &request.messages, declared),
        added: offer.bytes(),
        made: Vec::new(),
    };
    admit::cover_grown(admitted, asked, rounds.added)?;
    admitted.rounds = Some(Box::new(rounds));
    asked.rewrite(|request| request.tools.extend(offer.tools.into_values()))
}

fn fits(offer: &Offer, request: &chat::Request) -> Result<(), Report> {
    if let Some(theirs) = request.tools.iter().find(|tool| offer.tools.contains_key(tool.name.as_str())) {
        let what = format!("the request brings a tool \"{:.130}\", and so does the feature", theirs.name);
        return Err(Report::new("TG0011", what)
            .because("a model that calls it could mean either")
            .hint("rename the request's tool"));
    }
    if request.n > 1 {
        return Err(Report::new("DI0004", format!("`n` is {}, and this feature calls tools", request.n))
            .because("each choice would call them by itself")
            .hint("ask for one choice"));
    }
    Ok(())
}

impl Rounds {
    /// Takes an event as the target sent it, before guards read it.
    pub fn hear(&mut self, event: Event) -> Option<Event> {
        self.round.hear(event)
    }
    /// Takes what guards let through; what is the client's is appended to `out`.
    pub fn sift(&mut self, event: Event, out: &mut Vec<Event>) {
        self.round.sift(event, out);
    }
    /// Whether the answer ends with this round, as far as it was heard.
    pub fn is_last(&self) -> bool {
        self.round.is_over()
    }
}

/// The target has said everything: what comes next. The attempt ends here, so
/// that it is priced before another begins.
///
/// # Errors
/// Why the loop ends without an answer; nothing is under way then.
pub(crate) async fn go_on(worker: &Worker, prepared: &mut Prepared) -> Result<Next, Report> {
    let from = runtime::clock::monotonic_us();
    let admitted = &mut prepared.admitted;
    admitted.end(AttemptOutcome::Ok);
    let mut rounds = admitted.rounds.take().expect("only answers in rounds come here, and each once");
    let following = rounds.round.following();
    let number = rounds.round.number();
    let (said, calls) = match std::mem::replace(&mut rounds.round, following).end() {
        Turn::Calls { said, calls } => (said, calls),
        Turn::Over { mut last, unmade } => {
            if !unmade.is_empty() {
                admitted.step("tool", from, format!("not made: {}", unmade.join(", ")));
            }
            last.push(Event::Usage(admitted.used()));
            return Ok(Next::Over(last));
        }
    };
    if number >= rounds.most {
        let names: Vec<&str> = calls.iter().map(|call| call.name.as_str()).collect();
        return Err(Report::new("TG0008", "the tool loop ended before its answer")
            .because(format!(
                "in round {number} of {} the model still calls {}",
                rounds.most,
                names.join(", ")
            ))
            .hint("ask for less at once, or raise `maxRounds` of the Feature"));
    }
    // No call is made whose result nobody could pay to read.
    admitted.cover()?;
    // A crash while tools run must not forget what this round has cost.
    admitted.journal();
    let results = match run::run(worker, admitted, &mut rounds.history, &calls).await? {
        Ran::Results(results) => results,
        Ran::Held(text) => return Ok(Next::Over(held(admitted, &rounds, &text))),
    };
    let done = calls.iter().zip(&results).filter(|(_, result)| !failed(result));
    rounds.made.extend(done.map(|(call, _)| call.name.clone()));
    let from_message = prepared.asked.rewrite(|request| grow(request, said, results))?;
    screen::screen_grown(worker, admitted, &mut prepared.asked, from_message).await?;
    let request = &prepared.asked.decoded()?.request;
    if admitted.watch.is_some() {
        admitted.watch = watch::watch(admitted, request);
    }
    rounds.added = rounds.added.saturating_add(text_bytes(&request.messages[from_message..]));
    admit::cover_grown(admitted, &prepared.asked, rounds.added)?;
    admitted.step("round", from, format!("{} of at most {}", number + 1, rounds.most));
    admitted.rounds = Some(rounds);
    let plan = plan::plan(prepared);
    let left = prepared.admitted.time_left();
    match timeout(left, dispatch::dispatch(worker, prepared, &plan)).await {
        Ok(reply) => reply.map(Next::Ask),
        Err(_) => {
            prepared.admitted.end(AttemptOutcome::Cancelled);
            Err(run::late())
        }
    }
}

/// The answer while a person is asked: why it ends here, and what was done in it
/// already, so that a turn that goes on later does not do it again.
fn held(admitted: &Admitted, rounds: &Rounds, why: &str) -> Vec<Event> {
    let mut text = if rounds.round.has_spoken() { format!("\n\n{why}") } else { why.to_owned() };
    if !rounds.made.is_empty() {
        text.push_str(&format!("\n[made in this turn: {}]", rounds.made.join(", ")));
    }
    vec![
        Event::Text { choice: 0, text },
        Event::Finish { choice: 0, reason: Finish::Stop, stop: None },
        Event::Usage(admitted.used()),
    ]
}

fn failed(result: &Part) -> bool {
    matches!(result, Part::ToolResult { is_error: true, .. })
}

/// Adds the model's own turn, and what its calls brought; where they begin.
fn grow(request: &mut chat::Request, said: Message, results: Vec<Part>) -> usize {
    let from = request.messages.len();
    request.messages.push(said);
    request.messages.push(Message { role: Role::Tool, parts: results, name: None });
    // A call that must be made has been made: else no answer would ever come.
    if request.tool_choice != ToolChoice::None {
        request.tool_choice = ToolChoice::Auto;
    }
    from
}

fn text_bytes(messages: &[Message]) -> u64 {
    fn of(part: &Part) -> u64 {
        match part {
            Part::Text(text) | Part::Refusal(text) => text.len() as u64,
            Part::Reasoning { text, signature } => {
                (text.len() + signature.as_ref().map_or(0, String::len)) as u64
            }
            Part::ToolCall { id, name, arguments } => (id.len() + name.len() + arguments.len()) as u64,
            Part::ToolResult { id, parts, .. } => id.len() as u64 + parts.iter().map(of).sum::<u64>(),
            // A model's turn and a tool's result hold none.
            Part::Image(_) => 0,
        }
    }
    messages.iter().flat_map(|message| &message.parts).map(of).sum()
}
