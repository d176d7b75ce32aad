//! A provider's side of step 8: what it is sent, and what its troubles mean.

use bytes::Bytes;
use dialects::{Dialect, Rewrite};
use net::Phase;
use net::uri::PathAndQuery;
use report::{Report, Retry};

use crate::decode::Asked;
use crate::reply::Trouble;
use crate::{Surface, Target, Upstream};

/// A request in a target's own words.
pub(crate) struct Outgoing {
    pub wire: Dialect,
    pub path: PathAndQuery,
    pub body: Vec<Bytes>,
    /// `include_usage` was added for our meter: the client must not see its chunk.
    pub stripped: bool,
    pub dropped: Vec<String>,
}

/// Same dialect: the client's bytes with a few pieces replaced. Otherwise, and
/// for what we have rewritten: the canonical request in the target's words.
pub(crate) fn outgoing(
    asked: &Asked,
    surface: Surface,
    target: &Target,
    to: &Upstream,
) -> Result<Outgoing, Report> {
    let quirks = &to.table.quirks;
    let wire = if to.table.speaks(asked.dialect) { asked.dialect } else { to.table.chat_dialect() };
    let path = format!("{}{}", to.base_path, to.table.path(wire).replace("{model}", &target.upstream_model));
    let path = PathAndQuery::try_from(path).map_err(|e| {
        Report::new("GW0009", format!("provider {} has no valid URL for this request", to.name))
            .because(e.to_string())
    })?;
    if wire == asked.dialect && !asked.is_rewritten() {
        let ask_usage = asked.envelope.stream
            && !asked.envelope.include_usage
            && !surface.encodes()
            && !wire.is_anthropic()
            && quirks.stream_options;
        let rewrite = Rewrite {
            model: Some(&target.upstream_model),
            include_usage: ask_usage,
            max_tokens_if_absent: None,
            max_tokens_field: quirks.max_tokens_field.as_deref().filter(|_| wire == Dialect::OpenaiChat),
        };
        let pieces = dialects::rewrite(&asked.body, &asked.envelope, &rewrite);
        return Ok(Outgoing {
            wire,
            path,
            body: pieces.0,
            stripped: ask_usage,
            dropped: asked.left_out().to_vec(),
        });
    }
    if surface.encodes() {
        return Err(Report::new(
            "DI0006",
            format!("provider {} does not speak {}", to.name, asked.dialect.name()),
        ));
    }
    let mut decoded = asked.decoded()?.clone();
    decoded.request.stream_usage = true;
    let encoded =
        dialects::encode_request(wire, quirks, &target.upstream_model, &decoded).map_err(Report::from)?;
    let stripped = !asked.envelope.include_usage;
    let mut dropped = encoded.dropped;
    dropped.extend_from_slice(asked.left_out());
    Ok(Outgoing { wire, path, body: vec![encoded.body], stripped, dropped })
}

/// The wire failed before or inside an answer of which the client has seen nothing.
pub(crate) fn unreachable(to: &Upstream, error: &net::Error) -> Trouble {
    let name = &to.name;
    let report = match error {
        net::Error::Timeout { phase: Phase::Connect, .. }
        | net::Error::Resolve { .. }
        | net::Error::Connect { .. } => {
            Report::new("UP0002", format!("provider {name} could not be reached"))
        }
        net::Error::Timeout { .. } => {
            Report::new("UP0003", format!("provider {name} did not answer in time"))
        }
        net::Error::Closed { before_first_byte: false, .. } => {
            Report::new("UP0005", format!("provider {name} cut its answer"))
        }
        net::Error::Protocol(_) | net::Error::TooLarge { .. } => {
            Report::new("UP0004", format!("the answer of provider {name} could not be read"))
        }
        _ => Report::new("UP0002", format!("provider {name} could not be reached")),
    };
    let mut report = report.because(report::chain(error));
    if matches!(error, net::Error::Private { .. }) {
        report = report.hint("set `allowPrivate: true` on the Provider if it is meant to be inside");
    }
    Trouble::unwell(report)
}

/// Most bytes of an error's body that are looked at.
const ERROR_BODY_MAX: u64 = 64 << 10;

/// The provider answered, and said no.
pub(crate) async fn refused(wire: Dialect, to: &Upstream, response: net::client::Response) -> Trouble {
    let status = response.status.as_u16();
    let headers = response.headers.clone();
    // An unreadable error body is still an error with a status.
    let body = response.read_all(ERROR_BODY_MAX).await.unwrap_or_default();
    let fields = headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let error = dialects::decode_error(wire, status, fields, &body, runtime::clock::now());
    let name = &to.name;
    let because = if error.message.is_empty() { format!("status {status}") } else { error.message.clone() };
    if error.context_length {
        let what = format!("provider {name} says the prompt is longer than the model's context");
        return Trouble::elsewhere(Report::new("UP0008", what).because(because));
    }
    match status {
        429 => {
            let after = error.retry_after_ms.map(|ms| Retry::After(ms.div_ceil(1000).min(3600) as u32));
            let report = Report::new("UP0006", format!("provider {name} is over its rate limit"))
                .because(because)
                .retry(after.unwrap_or(Retry::Yes));
            Trouble { retry_after_ms: error.retry_after_ms, ..Trouble::unwell(report) }
        }
        // Its word about our key must not become a word about the client's.
        401 | 403 => Trouble::elsewhere(
            Report::new("UP0001", format!("provider {name} refused our key (status {status})"))
                .hint(format!("set it again with `bedplate provider set-key {name}`")),
        ),
        // A model that this provider does not have is our configuration's fault.
        404 | 405 => Trouble::elsewhere(
            Report::new("UP0001", format!("provider {name} has no such model or path (status {status})"))
                .because(because),
        ),
        400..=499 if !error.retriable => Trouble::final_(
            Report::new("UP0007", format!("provider {name} found the request invalid (status {status})"))
                .because(because),
        ),
        _ => {
            let report = Report::new("UP0001", format!("provider {name} failed with status {status}"))
                .because(because);
            let report = if error.retriable { report } else { report.retry(Retry::Never) };
            Trouble {
                again: error.retriable,
                retry_after_ms: error.retry_after_ms,
                ..Trouble::unwell(report)
            }
        }
    }
}
