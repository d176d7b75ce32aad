//! The HTTP server: one acceptor, N worker threads, no work shared between them.
//!
//! Each worker is a single-threaded runtime with its own handler (and so its
//! own upstream pool, caches and counters). A connection belongs to one worker
//! for life; the acceptor gives it to the worker with the fewest. SO_REUSEPORT
//! lost here: it hashes, and with the dozen connections of a busy client
//! library one of two workers often gets three quarters of them. Work stealing
//! lost to its cost: a wake-up across threads for every read of every request.

mod accept;
mod connection;
mod response;
mod waits;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

pub use response::{Cut, Frames, Pieces, Response, ResponseBody, Sink, Stream};
use runtime::Shutdown;
use socket2::{Domain, Protocol, Socket, Type};
pub(crate) use waits::Waits;

use crate::{Body, Error, ServerTls};

/// A request as a handler gets it.
pub struct Request {
    pub method: http::Method,
    pub uri: http::Uri,
    pub headers: http::HeaderMap,
    pub peer: SocketAddr,
    /// The SPIFFE id in the client's certificate, which was verified in the handshake.
    pub spiffe_id: Option<Arc<str>>,
    /// When its head had been read: `runtime::clock::monotonic_us`.
    pub received_us: u64,
    pub body: Body,
}

impl Request {
    pub fn path(&self) -> &str {
        self.uri.path()
    }
    pub fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Answers requests on one worker. Its futures stay on that worker's thread.
///
/// The future is dropped when the client leaves before the response's head;
/// the response's body when it leaves later.
pub trait Handler: 'static {
    fn handle(&self, request: Request) -> impl Future<Output = Response> + 'static;
}

impl<F, R> Handler for F
where
    F: Fn(Request) -> R + 'static,
    R: Future<Output = Response> + 'static,
{
    fn handle(&self, request: Request) -> impl Future<Output = Response> + 'static {
        self(request)
    }
}

/// What the server allows.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    /// Worker threads; at least 1.
    pub workers: usize,
    /// Open client connections over all workers; one more gets a 503 and is closed.
    pub max_connections: usize,
    /// From the first wait for a request (so also: how long an idle
    /// connection is kept) to the end of its head.
    pub head_timeout: Duration,
    /// Number of header fields, and their bytes together with the request line: 431 beyond.
    pub max_headers: usize,
    pub max_header_bytes: usize,
    /// Largest request body, in bytes: 32 MiB holds the agents' prompts seen in
    /// the field (0.2-2 MB) with images, and a thousand of them do not fit any
    /// machine, so the handlers' own admission has to say no before.
    pub max_body_bytes: u64,
    /// Between two parts of a request's body.
    pub body_timeout: Duration,
    /// A response of which the client takes nothing for this long is cut.
    pub write_stall_timeout: Duration,
    /// How long requests may take to finish after a drain was asked for.
    pub drain_timeout: Duration,
    pub tls: Option<ServerTls>,
}

impl Config {
    pub fn new(listen: SocketAddr) -> Config {
        Config {
            listen,
            workers: std::thread::available_parallelism().map_or(1, usize::from).min(16),
            max_connections: 8192,
            head_timeout: Duration::from_secs(60),
            max_headers: 100,
            max_header_bytes: 64 * 1024,
            max_body_bytes: 32 << 20,
            body_timeout: Duration::from_secs(60),
            write_stall_timeout: Duration::from_secs(120),
            drain_timeout: Duration::from_secs(30),
            tls: None,
        }
    }
}

/// A bound listener; nothing is accepted yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    config: Config,
}

impl Server {
    /// Binds the address.
    ///
    /// # Errors
    /// [`Error::Listen`].
    pub fn bind(config: Config) -> Result<Server, Error> {
        let failed = |source| Error::Listen { address: config.listen.to_string(), source };
        let listener = listen(config.listen).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Server { listener, address, config })
    }
    /// The bound address, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
    /// Starts the threads. `make_handler` runs once on each worker's thread,
    /// inside its runtime, with the worker's index.
    ///
    /// # Errors
    /// [`Error::Listen`] when a thread or its runtime cannot be made.
    pub fn start<H: Handler>(
        self,
        shutdown: Shutdown,
        make_handler: impl Fn(usize) -> H + Send + Sync + 'static,
    ) -> Result<Running, Error> {
        accept::start(self, shutdown, make_handler)
    }
}

/// Connections the kernel holds while the acceptor is busy. Beyond it a
/// client's first packet is dropped and sent again after a second; the
/// standard library's 128 is less than one burst of 512 clients.
const BACKLOG: i32 = 4096;

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the connections of its predecessor to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A server that accepts connections until its [`Shutdown`] drains.
pub struct Running {
    address: SocketAddr,
    threads: Vec<std::thread::JoinHandle<()>>,
    load: std::sync::Arc<accept::Load>,
}

impl Running {
    pub fn address(&self) -> SocketAddr {
        self.address
    }
    /// Client connections now open.
    pub fn connections(&self) -> usize {
        self.load.total()
    }
    /// Blocks until a drain was asked for and every worker has finished or run
    /// out of its drain time. True if no request was cut.
    pub fn wait(self) -> bool {
        let died = self.threads.into_iter().map(std::thread::JoinHandle::join).filter(Result::is_err).count();
        died == 0 && self.load.cut() == 0
    }
}
