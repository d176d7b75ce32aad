//! The HTTP client of one worker thread.
//!
//! A connection is polled by the task that uses it and by nobody else: no
//! connection task, no channel, no wake-up between two tasks. The price is
//! that an idle connection is not watched; it is polled once when it is taken
//! from the pool, which finds every close that the kernel knows of by then.
//!
//! **Nothing leaves without a [`Clearance`].** Each way out takes one, made by
//! `policy::admissible` for data with labels and bound to one origin, or by
//! `Clearance::errand` for the operator's own traffic. This module opens the
//! only outbound sockets of the product (`cargo xtask tidy` looks).
//!
//! Dropping a response or the future that waits for it closes the connection:
//! that is how a target learns that its client has left.

mod address;
mod connect;
mod download;
mod exchange;
mod origin;
mod pool;
mod socket;

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use policy::Clearance;

pub use address::is_public;
pub use download::{Download, Fetch};
pub use exchange::Response;
pub use origin::{Origin, Reach};
pub use socket::Socket;

use crate::{Error, Trust};

/// What the pool keeps.
#[derive(Clone, Debug)]
pub struct Config {
    /// Idle connections kept per origin, per worker.
    pub idle_per_origin: usize,
    /// Idle connections kept in all, per worker.
    pub idle_total: usize,
    /// An idle connection older than this is not used again.
    pub idle_timeout: Duration,
    pub trust: Trust,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            idle_per_origin: 256,
            idle_total: 1024,
            idle_timeout: Duration::from_secs(55),
            trust: Trust::system(),
        }
    }
}

/// How long each part of an exchange may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Duration,
    /// From the request to the head of its response: a unary chat of a slow
    /// model spends all its time here.
    pub first_byte: Duration,
    /// Between two frames of the response.
    pub idle: Duration,
    /// Over everything, from `send` to the end of the body.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(300),
            idle: Duration::from_secs(60),
            total: None,
        }
    }
}

/// A request to an origin. `host`, `content-length` and `connection` are the client's business.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    pub path: PathAndQuery,
    pub headers: HeaderMap,
    /// Sent one after the other without being joined.
    pub body: Vec<Bytes>,
}

impl Request {
    pub fn get(path: PathAndQuery) -> Request {
        Request { method: Method::GET, path, headers: HeaderMap::new(), body: Vec::new() }
    }
    pub fn post(path: PathAndQuery, headers: HeaderMap, body: Vec<Bytes>) -> Request {
        Request { method: Method::POST, path, headers, body }
    }
}

/// A client and its pool. Clones share the pool; it never leaves its thread.
#[derive(Clone)]
pub struct Client {
    shared: Rc<Shared>,
}

struct Shared {
    config: Config,
    pool: RefCell<pool::Pool>,
}

impl Client {
    pub fn new(config: Config) -> Client {
        let pool = RefCell::new(pool::Pool::new(&config));
        Client { shared: Rc::new(Shared { config, pool }) }
    }

    /// Sends a request and waits for the head of its response. Redirects are
    /// responses like any other: on the data path they are never followed.
    ///
    /// # Errors
    /// Every variant of [`Error`] but those of listeners.
    pub async fn send(
        &self,
        clearance: &Clearance,
        origin: &Origin,
        request: Request,
        timeouts: &Timeouts,
    ) -> Result<Response, Error> {
        self.send_noting(clearance, origin, request, timeouts, &Cell::new(false)).await
    }

    /// As [`Client::send`]; sets `taken` when a connection stands and is given
    /// the request. Until then nobody has seen any of it.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn send_noting(
        &self,
        clearance: &Clearance,
        origin: &Origin,
        request: Request,
        timeouts: &Timeouts,
        taken: &Cell<bool>,
    ) -> Result<Response, Error> {
        if !clearance.opens(origin.name()) {
            return Err(Error::NotCleared { origin: origin.to_string() });
        }
        exchange::send(&self.shared, origin, request, timeouts, taken).await
    }

    /// A GET that follows redirects, checking each new address as strictly as
    /// its `fetch` says; for downloads, never for the data path.
    ///
    /// # Errors
    /// As [`Client::send`], and [`Error::Redirects`].
    pub async fn download(&self, clearance: &Clearance, url: &str, fetch: &Fetch) -> Result<Download, Error> {
        download::get(self, clearance, Method::GET, url, fetch).await
    }

    /// As [`Client::download`], asking for the head alone.
    ///
    /// # Errors
    /// As [`Client::download`].
    pub async fn head(&self, clearance: &Clearance, url: &str, fetch: &Fetch) -> Result<Download, Error> {
        download::get(self, clearance, Method::HEAD, url, fetch).await
    }

    /// Whom it trusts: for a [`Socket`] beside it.
    pub fn trust(&self) -> &Trust {
        &self.shared.config.trust
    }
    /// Connections now idle in the pool.
    pub fn idle(&self) -> usize {
        self.shared.pool.borrow().len()
    }
    /// Closes idle connections past their time, or closed by their peer. A
    /// pool in use does this by itself; one that nobody uses keeps at most
    /// `idle_total` dead sockets until its owner calls this.
    pub fn sweep(&self) {
        self.shared.pool.borrow_mut().sweep();
    }
}
