//! Errors: a provider's read, ours written in the client's envelope.

mod http_date;
mod wait;

use bytes::Bytes;
use report::{Class, Report};
use units::Micros;

use crate::fields::{self, Lenient};
use crate::{Dialect, json};

/// What a provider said went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamError {
    pub status: u16,
    /// The provider's own word: `rate_limit_error`, `insufficient_quota`; may be empty.
    pub kind: String,
    /// At most 500 characters, keys redacted.
    pub message: String,
    /// How long to wait, from the headers; at most one hour.
    pub retry_after_ms: Option<u64>,
    /// The same request can succeed later.
    pub retriable: bool,
    /// The prompt is longer than the model's context.
    pub context_length: bool,
}

/// Reads an error answer. `now` places the dates in its headers.
pub fn decode_error<'a>(
    _dialect: Dialect,
    status: u16,
    headers: impl Iterator<Item = (&'a str, &'a str)>,
    body: &[u8],
    now: Micros,
) -> UpstreamError {
    let hints = wait::read(headers, now);
    let (kind, message) = words(body);
    // A spent account is no rate limit, whatever its status says.
    let is_spent = kind.contains("insufficient_quota") || kind.contains("billing");
    let by_status = matches!(status, 408 | 425 | 429 | 500 | 502..=599) && !is_spent;
    let lower = message.to_ascii_lowercase();
    let context_length = kind == "context_length_exceeded"
        || matches!(status, 400 | 413 | 422 | 500)
            && [
                "maximum context length",
                "context_length_exceeded",
                "prompt is too long",
                "context window",
                "exceeds the available context size",
                "context length",
            ]
            .iter()
            .any(|phrase| lower.contains(phrase));
    UpstreamError {
        status,
        kind,
        message,
        retry_after_ms: hints.retry_after_ms,
        retriable: hints.should_retry.unwrap_or(by_status) && !context_length,
        context_length,
    }
}

/// Kind and message, in any of the shapes seen: `{"error":{..}}`,
/// `{"error":".."}`, `{"message":..}`, FastAPI's `{"detail":..}`, Gemini's list
/// of one error, or text.
fn words(body: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(&body[..body.len().min(64 << 10)]);
    let trimmed = text.trim();
    let inner = match trimmed.starts_with('[') {
        true => fields::list("", trimmed).ok().and_then(|l| l.first().copied()).unwrap_or(""),
        false => trimmed,
    };
    let Some(top) = Lenient::body(inner.as_bytes()) else {
        // Proxies answer in HTML; its first line says enough.
        let plain = if trimmed.starts_with('<') { "an HTML page" } else { trimmed };
        return (String::new(), redact(plain));
    };
    let error = top.object("error");
    let from = if error.is_empty() { &top } else { &error };
    let message = from
        .str("message")
        .or_else(|| top.str("error"))
        .or_else(|| top.str("detail"))
        .or_else(|| top.raw("detail").map(Into::into))
        .unwrap_or_else(|| trimmed.into());
    // OpenAI's `code` is the finer word; Gemini's is a number.
    let code = from.str("code").filter(|c| !c.is_empty());
    let kind = code.or_else(|| from.str("type").filter(|t| t != "error")).or_else(|| from.str("status"));
    (redact(&kind.unwrap_or_default()).chars().take(100).collect(), redact(&message))
}

/// The longest message of a provider that is repeated, in characters.
const MESSAGE_MAX: usize = 500;
/// Heads of provider keys; a shorter tail than this is a placeholder.
const KEY_HEADS: [&str; 12] =
    ["sk-", "sk_", "gsk_", "xai-", "aiza", "bp-", "bp_", "pk-", "key-", "fw_", "tgp_", "csk-"];
const KEY_MIN: usize = 10;
/// A run of letters and digits this long is an identifier or a secret, never a word.
const RUN_MIN: usize = 24;

/// A provider's words without what looks like a key, cut to 500 characters.
/// Providers repeat keys in "incorrect API key" messages (TRAPS X4).
pub(crate) fn redact(message: &str) -> String {
    // A word is at most three characters longer as a mark, and one that is cut in two is still found.
    let bound = message.char_indices().nth(4 * MESSAGE_MAX).map_or(message.len(), |(end, _)| end);
    let clean = without_keys(&message[..bound]);
    match clean.char_indices().nth(MESSAGE_MAX) {
        Some((end, _)) => format!("{}...", &clean[..end]),
        None => clean,
    }
}

/// The same, uncut. JSON stays JSON: no letter of a key has a meaning there.
pub(crate) fn without_keys(message: &str) -> String {
    let is_key_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*');
    let mut clean = String::with_capacity(message.len());
    let mut rest = message;
    while !rest.is_empty() {
        let word_len = rest.find(|c| !is_key_char(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(word_len);
        clean.push_str(if looks_like_key(word) { "[redacted]" } else { word });
        let gap = after.find(is_key_char).unwrap_or(after.len());
        clean.push_str(&after[..gap]);
        rest = &after[gap..];
    }
    clean
}

fn looks_like_key(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    let has_head = word.len() >= KEY_MIN && KEY_HEADS.iter().any(|head| lower.starts_with(head));
    let has_run = word.split(['-', '*']).any(|run| {
        run.len() >= RUN_MIN
            && run.bytes().any(|b| b.is_ascii_digit())
            && run.bytes().any(|b| b.is_ascii_alphabetic())
    });
    has_head || has_run
}

/// Status and body in the client's own envelope. `request_id` may be empty.
pub fn encode_error(dialect: Dialect, report: &Report, request_id: &str) -> (u16, Bytes) {
    let body = match dialect.is_anthropic() {
        true => anthropic_envelope(report, request_id),
        false => openai_envelope(report),
    };
    (report.status(), body)
}

/// The official SDKs choose the exception by status; the type is for people and
/// for clients that look.
fn openai_envelope(report: &Report) -> Bytes {
    let kind = match report.class {
        Class::Invalid
        | Class::ContextLength
        | Class::NotFound
        | Class::Method
        | Class::MediaType
        | Class::Conflict
        | Class::TooLarge => "invalid_request_error",
        Class::Unauthenticated => "authentication_error",
        Class::OverBudget => "insufficient_quota",
        Class::Forbidden => "permission_error",
        Class::RateLimited => "rate_limit_error",
        Class::Timeout => "timeout_error",
        Class::Internal | Class::BadUpstream | Class::Unavailable => "server_error",
    };
    let is_context = report.class == Class::ContextLength;
    let message = match is_context {
        true => format!("{} [{}]", report.sentence(), report.code.0),
        false => report.sentence(),
    };
    let is_field = matches!(report.code.0, "DI0004" | "DI0005" | "DI0006");
    json::text(|w| {
        w.object(|w| {
            w.field_object("error", |w| {
                w.field_str("message", &message);
                w.field_str("type", kind);
                match report.at.as_deref().filter(|_| is_field) {
                    Some(param) => w.field_str("param", param),
                    None => w.key("param").null(),
                }
                // Clients compact their history on exactly this word.
                w.field_str("code", if is_context { "context_length_exceeded" } else { report.code.0 });
            });
        });
    })
}

fn anthropic_envelope(report: &Report, request_id: &str) -> Bytes {
    let kind = match report.class {
        Class::Invalid | Class::ContextLength | Class::Method | Class::MediaType | Class::Conflict => {
            "invalid_request_error"
        }
        Class::Unauthenticated => "authentication_error",
        Class::OverBudget => "billing_error",
        Class::Forbidden => "permission_error",
        Class::NotFound => "not_found_error",
        Class::TooLarge => "request_too_large",
        Class::RateLimited => "rate_limit_error",
        Class::Timeout => "timeout_error",
        Class::Internal | Class::BadUpstream => "api_error",
        Class::Unavailable => "overloaded_error",
    };
    // Clients of this dialect know an over-long prompt by these words.
    let message = match report.class {
        Class::ContextLength => format!("prompt is too long: {}", report.sentence()),
        _ => report.sentence(),
    };
    json::text(|w| {
        w.object(|w| {
            w.field_str("type", "error");
            w.field_object("error", |w| {
                w.field_str("type", kind);
                w.field_str("message", &message);
                w.field_str("code", report.code.0);
            });
            if !request_id.is_empty() {
                w.field_str("request_id", request_id);
            }
        });
    })
}

#[cfg(test)]
mod tests;
