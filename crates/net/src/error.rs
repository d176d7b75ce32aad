//! What goes wrong on a wire, typed by what its receiver may do about it.

use std::fmt;
use std::io;
use std::net::IpAddr;

/// Which wait ended in a timeout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Name resolution, TCP and TLS handshakes.
    Connect,
    /// From the request's first byte to the response's head.
    FirstByte,
    /// Between two frames of the response body.
    Idle,
    /// The whole exchange.
    Total,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Connect => "connecting",
            Phase::FirstByte => "waiting for the response head",
            Phase::Idle => "waiting for the next part of the body",
            Phase::Total => "the exchange",
        })
    }
}

/// An error of an exchange or of a listener.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("listen on {address}")]
    Listen { address: String, source: io::Error },
    /// Not an `http://` or `https://` URL with a host.
    #[error("\"{0}\" is not an http:// or https:// URL with a host")]
    Url(String),
    /// The clearance was given for another place: a bug here, never the client's fault.
    #[error("the clearance does not open {origin}")]
    NotCleared { origin: String },
    #[error("resolve the name {host}")]
    Resolve { host: String, source: io::Error },
    /// The address is private, loopback or link-local, and the origin was not declared as such.
    #[error(
        "{host} has the address {address}, which is not public, and private addresses are not allowed for it"
    )]
    Private { host: String, address: IpAddr },
    #[error("connect to {host}")]
    Connect { host: String, source: io::Error },
    #[error("TLS with {host}: {why}")]
    Tls { host: String, why: String },
    #[error("timed out after {after_ms} ms {phase}")]
    Timeout { phase: Phase, after_ms: u64 },
    /// The peer closed or reset. `before_first_byte`: no byte of a response was received;
    /// `reused`: the connection had served another request before.
    #[error("the peer closed the connection{}", if *before_first_byte { " before it answered" } else { " inside its answer" })]
    Closed { before_first_byte: bool, reused: bool },
    /// The peer's bytes are not HTTP, or break its rules.
    #[error("the peer does not speak HTTP: {0}")]
    Protocol(String),
    /// A body over its limit. `declared`: its `content-length`, where there was one.
    #[error("the body is over the limit of {limit} bytes{}", declared.map(|n| format!(" ({n} were announced)")).unwrap_or_default())]
    TooLarge { limit: u64, declared: Option<u64> },
    #[error("more than {limit} redirects")]
    Redirects { limit: u32 },
    #[error("read TLS file {file}: {why}")]
    TlsFile { file: String, why: String },
}

impl Error {
    /// Whether another attempt at the same target may send the request again
    /// without the risk that it is carried out twice: nothing was sent.
    pub fn nothing_was_sent(&self) -> bool {
        matches!(
            self,
            Error::Resolve { .. }
                | Error::Private { .. }
                | Error::Connect { .. }
                | Error::Tls { .. }
                | Error::Timeout { phase: Phase::Connect, .. }
        )
    }

    /// Reads hyper's error as one of ours.
    pub(crate) fn of_exchange(error: &hyper::Error, before_first_byte: bool, reused: bool) -> Error {
        if error.is_parse() || error.is_parse_too_large() {
            return Error::Protocol(report(error));
        }
        // What is left (incomplete message, canceled, reset, broken pipe) are ways to say: gone.
        Error::Closed { before_first_byte, reused }
    }
}

fn report(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
