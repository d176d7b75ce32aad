//! HTTP/1.1 at both edges of the process: server, client, TLS, bodies, drain.
//!
//! Built on hyper's connection types alone, without tower layers or a shared
//! connection pool: a request is served by one task on one thread, and that
//! task polls the upstream connection itself. No channel, lock or wake-up
//! crosses a thread while a request is under way; that is worth about a third
//! of the CPU cost of a proxied 1 KB request (see `docs/benchmarks.md`).
//!
//! *Cancellation is drop.* When a client leaves, hyper drops the handler's
//! future or the response body; whatever they own upstream closes with them.

mod body;
mod error;
mod percent;
mod tls;

pub mod client;
pub mod server;

pub use body::Body;
pub use bytes::Bytes;
pub use client::{Client, Origin};
pub use error::{Error, Phase};
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, uri};
pub use percent::percent_decode;
pub use server::{Request, Response, ResponseBody, Sink};
pub use tls::{Clients, ServerTls, TlsFiles, Trust};
