//! One workload against one server, once.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::busy;
use super::subject::{Host, Setting, Standing};
use super::workload::{self, Ask, Tenant, W3_NEWCOMER, Workload, asks, b_asks, long_prompt};
use crate::stats::quantile;
use crate::stream::{Answer, End, open_loop};
use crate::{clock, proc};

/// The figures of one run, by the names that `figures` gives them, and what
/// went wrong. A figure that could not be taken is absent, not zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Taken {
    pub figures: Vec<(&'static str, f64)>,
    pub asked: usize,
    pub errors: Vec<String>,
}

impl Taken {
    pub fn get(&self, figure: &str) -> Option<f64> {
        self.figures.iter().find(|(name, _)| *name == figure).map(|(_, value)| *value)
    }

    fn put(&mut self, figure: &'static str, value: Option<f64>) {
        self.figures.extend(value.filter(|v| v.is_finite()).map(|value| (figure, value)));
    }
}

/// No answer may take longer: W5's flood needs four minutes on two slow cores.
const PATIENCE: Duration = Duration::from_secs(20 * 60);

pub fn run(host: &Host, setting: Setting, workload: Workload, round: usize, quick: bool) -> Result<Taken> {
    let mut taken = match workload {
        Workload::W4 => after_restart(host, setting, round)?,
        Workload::W5 => flood(host, setting, round, quick)?,
        Workload::W6 => disconnect(host, setting, round)?,
        _ => at_once(host, setting, workload, round, quick)?,
    };
    if workload == Workload::W7 {
        let errors = taken.errors.len() as f64;
        taken.put("errors", Some(errors));
    }
    Ok(taken)
}

/// B1, W1, W2, W3 and W7: one batch of requests, and figures over its answers.
fn at_once(host: &Host, setting: Setting, workload: Workload, round: usize, quick: bool) -> Result<Taken> {
    let standing = host.start(setting, workload.cells())?;
    let asks = asks(workload, round, quick);
    let (mut taken, mut cost) = (Taken::default(), Taken::default());
    let answers = metered(&standing, &asks, &mut cost)?;
    taken.put("ttft p50", median_first(&answers));
    taken.put("throughput", rate(&answers));
    if workload == Workload::B1 {
        taken.put("decode", answers.first().and_then(decode_rate));
    }
    if workload == Workload::W3 {
        let (decoders, newcomer) = answers.split_at(4);
        taken.put("worst inter-token", worst_gap(decoders, W3_NEWCOMER));
        taken.put("newcomer ttft", newcomer.first().and_then(Answer::first_text).map(millis));
    }
    taken.figures.append(&mut cost.figures);
    Ok(Taken { figures: taken.figures, ..cost })
}

/// Asks everything; CPU, joules and memory of the server meanwhile.
fn metered(standing: &Standing, asks: &[Ask], taken: &mut Taken) -> Result<Vec<Answer>> {
    let pid = standing.server.pid();
    let cpu = proc::usage(pid)?;
    // The processors' own counters, where there are any; else CPU-seconds stand for joules.
    let mut meter = sensors::Meter::new(sensors::packages());
    if let Some(meter) = &mut meter {
        meter.read(0);
    }
    let answers = asked(standing, asks, taken)?;
    let after = proc::usage(pid)?;
    let served: f64 = answers
        .iter()
        .zip(asks)
        .filter(|(answer, _)| answer.whole())
        .map(|(answer, ask)| f64::from(ask.prompt_tokens) + answer.completion_tokens.unwrap_or(0) as f64)
        .sum();
    taken.put("tokens per CPU-second", Some(served / (after.cpu_seconds - cpu.cpu_seconds)));
    if let Some(spent) = meter.as_mut().and_then(|meter| meter.read(1)) {
        taken.put("tokens per joule", Some(served / (spent.microjoules as f64 / 1e6)));
    }
    taken.put("rss after", Some(after.resident_bytes as f64 / 1e6));
    Ok(answers)
}

fn asked(standing: &Standing, asks: &[Ask], taken: &mut Taken) -> Result<Vec<Answer>> {
    let requests = asks.iter().map(|ask| ask.request(&standing.model, &standing.keys)).collect();
    let answers = open_loop(standing.address, requests, PATIENCE)?;
    taken.asked += asks.len();
    taken.errors.extend(answers.iter().zip(asks).filter_map(|(answer, ask)| error(answer, ask)));
    Ok(answers)
}

/// Why an answer does not count as one, if so.
fn error(answer: &Answer, ask: &Ask) -> Option<String> {
    match &answer.end {
        End::Whole => {
            let wrote = answer.completion_tokens.unwrap_or(answer.texts.len() as u64);
            let wanted = u64::from(ask.max_tokens);
            (wrote != wanted).then(|| format!("wrote {wrote} tokens of {wanted}"))
        }
        End::Left => None,
        End::Refused(status, body) => Some(format!("HTTP {status} {body}")),
        End::Broken(why) => Some(why.clone()),
        End::Late => Some("no end".into()),
    }
}

/// W4: cold, after a polite restart, and for ours after `kill -9` too. A server
/// that keeps nothing has the same figure for both.
fn after_restart(host: &Host, setting: Setting, round: usize) -> Result<Taken> {
    let mut taken = Taken::default();
    let cells = Workload::W4.cells();
    let ask = long_prompt(Workload::W4, round, 0);
    let first = host.start(setting, cells)?;
    let cold = one(&first, &ask, &mut taken)?;
    taken.put("cold ttft", cold);
    busy::settle(first.server.pid())?;
    first.server.stop(Duration::from_secs(60));
    let second = host.start(setting, cells)?;
    let restarted = one(&second, &ask, &mut taken)?;
    taken.put("ttft after restart", restarted);
    if setting != Setting::Ours {
        taken.put("ttft after kill -9", restarted);
        return Ok(taken);
    }
    let other = long_prompt(Workload::W4, round, 1);
    one(&second, &other, &mut taken)?;
    busy::settle(second.server.pid())?;
    // Dropping a server kills it, as a power cut would.
    drop(second);
    let third = host.start(setting, cells)?;
    let killed = one(&third, &other, &mut taken)?;
    taken.put("ttft after kill -9", killed);
    Ok(taken)
}

/// One request alone: its time to first text, in milliseconds.
fn one(standing: &Standing, ask: &Ask, taken: &mut Taken) -> Result<Option<f64>> {
    let answers = asked(standing, std::slice::from_ref(ask), taken)?;
    Ok(answers.first().and_then(Answer::first_text).map(millis))
}

/// W5: A's flood with B's one question in it; for ours also A alone, on
/// prompts of its own, before it or after it by turns.
fn flood(host: &Host, setting: Setting, round: usize, quick: bool) -> Result<Taken> {
    let mut taken = Taken::default();
    let mut rates = [None, None];
    for with_b in if round.is_multiple_of(2) { [false, true] } else { [true, false] } {
        if !with_b && setting != Setting::Ours {
            continue;
        }
        let mut asks = asks(Workload::W5, 2 * round + usize::from(with_b), quick);
        if with_b {
            asks.push(b_asks(round));
        }
        let standing = host.start(setting, Workload::W5.cells())?;
        let mut run = Taken::default();
        let answers = metered(&standing, &asks, &mut run)?;
        let (b, a): (Vec<_>, Vec<_>) =
            answers.into_iter().zip(&asks).partition(|(_, ask)| ask.tenant == Tenant::B);
        let a: Vec<Answer> = a.into_iter().map(|(answer, _)| answer).collect();
        rates[usize::from(with_b)] = rate(&a);
        taken.asked += run.asked;
        taken.errors.append(&mut run.errors);
        if with_b {
            taken.put("B ttft", b.first().and_then(|(answer, _)| answer.first_text()).map(millis));
            taken.put("A throughput", rates[1]);
            taken.put("tokens per CPU-second", run.get("tokens per CPU-second"));
            taken.put("tokens per joule", run.get("tokens per joule"));
        }
    }
    if let [Some(alone), Some(beside)] = rates {
        taken.put("A beside B, of A alone", Some(beside / alone));
    }
    Ok(taken)
}

/// How long the client of W6 waits before it leaves: the prefill is under way,
/// and takes several times as long on the cores this is for.
const STAYS: Duration = Duration::from_millis(1000);

fn disconnect(host: &Host, setting: Setting, round: usize) -> Result<Taken> {
    let mut taken = Taken::default();
    let standing = host.start(setting, Workload::W6.cells())?;
    let ask = Ask { leaves_after: Some(STAYS), ..long_prompt(Workload::W6, round, 0) };
    let answers = asked(&standing, &[ask], &mut taken)?;
    let left = clock::now();
    ensure!(answers[0].end == End::Left, "the prefill was over before the client left: {:?}", answers[0]);
    ensure!(answers[0].texts.is_empty(), "the prefill was over before the client left");
    let free = busy::until_quiet(standing.server.pid(), left)?;
    taken.put("core free after", free.map(millis));
    if free.is_none() {
        taken.errors.push("still computing after a minute".into());
    }
    // A server that lost its mind with the request would be quick, too.
    let check = workload::warm_up(u64::MAX / 2);
    one(&standing, &check, &mut taken)?;
    Ok(taken)
}

fn median_first(answers: &[Answer]) -> Option<f64> {
    let mut all: Vec<f64> = answers.iter().filter_map(Answer::first_text).map(millis).collect();
    quantile(&mut all, 0.5)
}

/// Tokens written per second, from when the first was due to the last end.
/// Answers that failed wrote nothing that anybody can use.
fn rate(answers: &[Answer]) -> Option<f64> {
    let start = answers.iter().map(|a| a.due).min()?;
    let end = answers.iter().map(|a| a.ended).max()?;
    let wrote: u64 = answers.iter().filter(|a| a.whole()).filter_map(|a| a.completion_tokens).sum();
    Some(wrote as f64 / end.saturating_sub(start).as_secs_f64())
}

/// Tokens per second after the first.
fn decode_rate(answer: &Answer) -> Option<f64> {
    let (first, last) = (answer.texts.first()?, answer.texts.last()?);
    let steps = answer.completion_tokens?.checked_sub(1)?;
    Some(steps as f64 / last.saturating_sub(*first).as_secs_f64())
}

/// The longest wait between two texts of one answer that ended after `from`.
fn worst_gap(answers: &[Answer], from: Duration) -> Option<f64> {
    let gaps = answers.iter().flat_map(Answer::gaps);
    gaps.filter(|(ended, _)| *ended >= from).map(|(_, gap)| gap).max().map(millis)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(due: u64, texts: &[u64], end: End) -> Answer {
        let ms = Duration::from_millis;
        Answer {
            due: ms(due),
            texts: texts.iter().copied().map(ms).collect(),
            ended: ms(texts.last().copied().unwrap_or(due)),
            end,
            text_bytes: texts.len() * 3,
            completion_tokens: Some(texts.len() as u64),
        }
    }

    #[test]
    fn a_latency_counts_from_when_the_request_was_due() {
        let all = [answer(100, &[150, 160], End::Whole), answer(0, &[300], End::Whole)];
        assert_eq!(median_first(&all), Some(50.0));
        assert_eq!(median_first(&[]), None);
    }

    #[test]
    fn a_broken_answer_adds_time_and_no_tokens() {
        let all = [answer(0, &[500, 1000], End::Whole), answer(0, &[2000], End::Broken("x".into()))];
        assert_eq!(rate(&all), Some(1.0));
    }

    #[test]
    fn decoding_is_timed_after_the_first_token() {
        assert_eq!(decode_rate(&answer(0, &[1000, 1100, 1200], End::Whole)), Some(10.0));
    }

    #[test]
    fn a_wait_that_began_before_the_newcomer_and_ended_after_counts() {
        let all = [answer(0, &[10, 900, 1400, 1700], End::Whole)];
        assert_eq!(worst_gap(&all, Duration::from_millis(1500)), Some(300.0));
        assert_eq!(worst_gap(&all, Duration::from_millis(1800)), None);
    }

    #[test]
    fn a_short_answer_is_an_error_and_a_client_that_left_is_not() {
        let ask = Ask::new("ab cd".into(), 3);
        assert_eq!(error(&answer(0, &[1, 2, 3], End::Whole), &ask), None);
        assert!(error(&answer(0, &[1, 2], End::Whole), &ask).is_some());
        assert_eq!(error(&answer(0, &[], End::Left), &ask), None);
        assert!(error(&answer(0, &[], End::Refused(500, "x".into())), &ask).unwrap().contains("500"));
    }
}
