//! Errors: a provider's read, ours written in the client's envelope.

use bytes::Bytes;
use report::Report;
use units::Micros;

use crate::Dialect;

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
    /// Another attempt (here or elsewhere) can succeed.
    pub retriable: bool,
    /// The prompt is longer than the model's context.
    pub context_length: bool,
}

/// Reads an error answer. `now` places the dates in its headers.
pub fn decode_error<'a>(
    _dialect: Dialect,
    status: u16,
    _headers: impl Iterator<Item = (&'a str, &'a str)>,
    _body: &[u8],
    _now: Micros,
) -> UpstreamError {
    UpstreamError {
        status,
        kind: String::new(),
        message: String::new(),
        retry_after_ms: None,
        retriable: false,
        context_length: false,
    }
}

/// Status and body in the client's own envelope. `request_id` may be empty.
pub fn encode_error(_dialect: Dialect, report: &Report, _request_id: &str) -> (u16, Bytes) {
    (report.status(), Bytes::new())
}
