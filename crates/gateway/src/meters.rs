//! What the metrics take from a record. Label values come from the configuration
//! and fixed lists, never from the client's text.

use observe::Metrics;
use store::{AttemptOutcome, Outcome, Record};

pub(crate) fn settled(metrics: &Metrics, record: &Record, team: &str, first_byte_us: Option<u64>) {
    let (status, code) = match &record.outcome {
        Outcome::Completed => ("completed", ""),
        Outcome::Refused(code) => ("refused", code.as_str()),
        Outcome::Failed(code) => ("failed", code.as_str()),
        Outcome::Abandoned => ("abandoned", ""),
        Outcome::Crashed => ("crashed", ""),
    };
    let model = record.model.as_str();
    metrics.requests.with(&[&record.surface, status]).one();
    metrics.request_duration.with(&[&record.surface, model, code]).observe(record.duration_us);
    if let Some(us) = first_byte_us {
        metrics.time_to_first_token.with(&[model]).observe(us);
    }
    if record.outcome == Outcome::Abandoned {
        let phase = if first_byte_us.is_some() { "answer" } else { "before_first_byte" };
        metrics.abandoned.with(&[phase]).one();
    }
    if let Ok(pico) = u64::try_from(record.cost.pico()) {
        metrics.cost.with(&[team, model]).add(pico);
    }
    for attempt in &record.attempts {
        let (outcome, code) = match &attempt.outcome {
            AttemptOutcome::Ok => ("ok", ""),
            AttemptOutcome::Failed(code) => ("failed", code.as_str()),
            AttemptOutcome::Cancelled => ("cancelled", ""),
        };
        metrics.attempts.with(&[&attempt.provider, model, outcome]).one();
        metrics.client_duration.with(&[&attempt.provider, model, code]).observe(attempt.duration_us);
        for axis in chat::Axis::ALL {
            let tokens = attempt.usage.get(axis);
            if tokens > 0 {
                metrics.tokens.with(&[model, axis.name()]).add(tokens);
            }
        }
    }
}
