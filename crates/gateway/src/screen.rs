//! Step 5: what the request carries is looked at before it goes anywhere.
//!
//! The guards of the route read the canonical request, whatever its dialect.
//! What they replace is replaced in the body: from here on nobody has what the
//! client sent, so that no target, retry, cache or log can. A body in which
//! nothing was found goes on as its own bytes, unless it has fields inside its
//! messages that no guard can read: then the canonical request goes, without
//! them, because scanned bytes are sent bytes.

use std::sync::Arc;
use std::time::Duration;

use guards::{Screening, Shield, StreamGuard, Vault};
use net::client::{Origin, Reach, Request, Timeouts};
use policy::{Place, PlaceKind, Purpose};
use report::Report;
use units::{Integrity, Labels};

use crate::account::Admitted;
use crate::decode::Asked;
use crate::journey::Stop;
use crate::{Detector, Surface, Worker};

/// A request that its guards let pass.
pub(crate) struct Screened {
    admitted: Admitted,
    asked: Asked,
    /// What was replaced, to be put back in the answer.
    vault: Vault,
}

pub(crate) async fn screen(
    worker: &Worker,
    mut admitted: Admitted,
    mut asked: Asked,
) -> Result<Screened, Stop> {
    let Some(shield) = admitted.route.shield.clone().filter(|s| s.looks_at_input()) else {
        return Ok(Screened { admitted, asked, vault: Vault::default() });
    };
    let from = runtime::clock::monotonic_us();
    let read = match admitted.surface {
        Surface::Embed => vectors(&shield, &mut asked),
        Surface::Rerank => pairs(&shield, &mut asked),
        _ => conversation(&shield, &mut asked),
    };
    let heeded = match read {
        Ok(screening) => heed(worker, &mut admitted, screening, from).await,
        Err(report) => Err(report),
    };
    match heeded {
        Ok(vault) => Ok(Screened { admitted, asked, vault }),
        Err(report) => Err(Stop::Failed(admitted, report)),
    }
}

/// The same for what a loop has added to the request: its messages from the
/// `from`th on, the model's own turn and what tools answered.
///
/// # Errors
/// GD0001, as for what a client sends.
pub(crate) async fn screen_grown(
    worker: &Worker,
    admitted: &mut Admitted,
    asked: &mut Asked,
    from: usize,
) -> Result<(), Report> {
    let shield = admitted.route.shield.clone().unwrap_or_default();
    let vault = admitted.guard.as_mut().map(|guard| guard.take_vault()).unwrap_or_default();
    let vault = match shield.looks_at_input() {
        true => {
            let began = runtime::clock::monotonic_us();
            // Without values there is no nonce yet either.
            let vault = if vault.is_empty() { Vault::new(nonce()) } else { vault };
            let screening = asked.rewrite(|request| shield.screen_from(request, from, vault))?;
            heed(worker, admitted, screening, began).await?
        }
        false => vault,
    };
    match &mut admitted.guard {
        Some(guard) => guard.again(&shield, vault),
        None => admitted.guard = output_guard(&shield, vault, asked),
    }
    Ok(())
}

/// Who reads the answer; `None`: nobody has to.
pub(crate) fn output_guard(shield: &Shield, vault: Vault, asked: &Asked) -> Option<Box<StreamGuard>> {
    if !shield.looks_at_output() && vault.is_empty() {
        return None;
    }
    let logprobs = asked.decoded().is_ok_and(|d| d.request.logprobs.is_some());
    Some(Box::new(StreamGuard::new(shield, vault, logprobs)))
}

/// What was found is acted upon: remote detectors asked, labels raised, the
/// verdict noted. What is left are the values to put back.
async fn heed(
    worker: &Worker,
    admitted: &mut Admitted,
    mut screening: Screening,
    from: u64,
) -> Result<Vault, Report> {
    for need in std::mem::take(&mut screening.needs) {
        let detectors = &admitted.route.detectors;
        let score = ask(worker, detectors, &admitted.labels, &need.remote, &need.text).await;
        screening.answered(&need, score);
    }
    admitted.local_only |= screening.local_only;
    let score = screening.verdict.injection.map(|score| (score * 100.0).round() as u16);
    let personal = screening.verdict.personal();
    admitted.found(score, personal.iter().map(|kind| kind.name().to_owned()));
    if screening.verdict.findings.iter().any(|f| f.kind == guards::Kind::Injection) {
        // Whoever wrote an order to a model is not whoever asks.
        admitted.raise(&Labels { integrity: Integrity::Untrusted, ..Labels::default() });
    }
    let refusal =
        screening.verdict.blocked().map(|finding| {
            // Kind and place, never the text (TRAPS X4).
            Report::new("GD0001", "a guard refused the request")
                .at(finding.place.to_string())
                .because(format!("guards {}: {}", guards::names(&screening.verdict), said(finding)))
        });
    admitted.step("screen", from, screening.verdict.summary());
    admitted.verdicts.push(screening.verdict);
    match refusal {
        Some(report) => Err(report),
        None => Ok(screening.vault),
    }
}

impl Screened {
    pub fn into_parts(self) -> (Admitted, Asked, Vault) {
        (self.admitted, self.asked, self.vault)
    }
}

/// A finding in a sentence for whoever was refused.
pub(crate) fn said(finding: &guards::Finding) -> String {
    let rule = if finding.rule.is_empty() { String::new() } else { format!(" ({})", finding.rule) };
    format!("{}{rule} found by {} {}", finding.kind.name(), finding.detector.name, finding.detector.version)
}

fn nonce() -> u64 {
    u64::from_le_bytes(*runtime::new_id().as_bytes().last_chunk().expect("16 bytes hold 8"))
}

fn conversation(shield: &Shield, asked: &mut Asked) -> Result<Screening, Report> {
    let mut decoded = asked.decoded()?.clone();
    let mut screening = shield.screen(&mut decoded.request, nonce());
    // Fields without a canonical meaning go to targets of the same dialect: a
    // field in which something must be replaced is left out instead.
    let mut kept = Vec::with_capacity(decoded.rest.len());
    for (name, value) in std::mem::take(&mut decoded.rest) {
        let mut text = String::from_utf8_lossy(&value).into_owned();
        let found = shield.screen_texts([&mut text], 0);
        let drop = found.changed;
        merge(&mut screening, found);
        if drop {
            decoded.lost.push(name);
        } else {
            kept.push((name, value));
        }
    }
    decoded.rest = kept;
    if screening.changed || !decoded.lost.is_empty() {
        let model = asked.envelope.model.clone();
        let quirks =
            dialects::Quirks { extended_sampling: true, reasoning_content: true, ..Default::default() };
        let encoded =
            dialects::encode_request(asked.dialect, &quirks, &model, &decoded).map_err(Report::from)?;
        asked.replace(encoded.body, decoded.lost)?;
    }
    Ok(screening)
}

fn vectors(shield: &Shield, asked: &mut Asked) -> Result<Screening, Report> {
    let (mut request, lost) = dialects::openai::embeddings::decode(&asked.body).map_err(Report::from)?;
    let texts = request.input.iter_mut().filter_map(|input| match input {
        chat::EmbedInput::Text(text) => Some(text),
        chat::EmbedInput::Tokens(_) => None,
    });
    let screening = shield.screen_texts(texts, nonce());
    if screening.changed {
        let model = asked.envelope.model.clone();
        let encoded = dialects::openai::embeddings::encode(&model, &request);
        asked.replace(encoded.body, lost)?;
    }
    Ok(screening)
}

fn pairs(shield: &Shield, asked: &mut Asked) -> Result<Screening, Report> {
    let (mut request, lost) = dialects::rerank::decode(&asked.body).map_err(Report::from)?;
    let texts = std::iter::once(&mut request.query).chain(&mut request.documents);
    let screening = shield.screen_texts(texts, nonce());
    if screening.changed {
        asked.replace(dialects::rerank::encode(&request), lost)?;
    }
    Ok(screening)
}

fn merge(into: &mut Screening, other: Screening) {
    into.changed |= other.changed;
    into.local_only |= other.local_only;
    into.verdict.scanned += other.verdict.scanned;
    into.verdict.released += other.verdict.released;
    into.verdict.findings.extend(other.verdict.findings);
    into.verdict.findings.truncate(2 * guards::FINDINGS_MAX);
}

/// Most bytes of a remote detector's answer.
const ANSWER_MAX: u64 = 4096;

/// Asks a detector outside: `{"text": ...}` to it, `{"score": 0..1}` back.
/// `None`: no such answer in time, whatever the reason.
pub(crate) async fn ask(
    worker: &Worker,
    detectors: &[Arc<Detector>],
    labels: &Labels,
    remote: &guards::Remote,
    text: &str,
) -> Option<f32> {
    let detector = detectors.iter().find(|d| d.url == remote.url)?;
    // Data that may not go there is not sent: the question counts as unanswered.
    let clearance = policy::admissible(labels, &detector.admits, Purpose::Guard).ok()?;
    let body = serde_json::json!({ "text": text }).to_string();
    let limit = Duration::from_millis(u64::from(remote.timeout_ms));
    let asking = async {
        let request = Request::post(detector.path.clone(), detector.headers.clone(), vec![body.into()]);
        let response =
            worker.client.send(&clearance, &detector.origin, request, &patience(limit)).await.ok()?;
        if !response.status.is_success() {
            return None;
        }
        let body = response.read_all(ANSWER_MAX).await.ok()?;
        let answer: serde_json::Value = serde_json::from_slice(&body).ok()?;
        let score = answer.get("score")?.as_f64()?;
        (0.0..=1.0).contains(&score).then_some(score as f32)
    };
    tokio::time::timeout(limit, asking).await.ok().flatten()
}

fn patience(limit: Duration) -> Timeouts {
    Timeouts { connect: limit, first_byte: limit, idle: limit, total: Some(limit) }
}

/// Where a remote detector is reached; made when the configuration is.
pub fn detector(url: &str, allow_private: bool) -> Result<Detector, net::Error> {
    let (reach, kind) = if allow_private {
        (Reach::Private, PlaceKind::OnPrem)
    } else {
        (Reach::Public, PlaceKind::External)
    };
    let (origin, path) = Origin::split(url, reach)?;
    let mut admits = Place::of_kind(kind, Arc::clone(origin.name()));
    admits.destination = Some(Arc::clone(origin.name()));
    let mut headers = net::HeaderMap::new();
    headers.insert(net::header::CONTENT_TYPE, net::HeaderValue::from_static("application/json"));
    Ok(Detector { url: url.into(), origin, path, headers, admits })
}
