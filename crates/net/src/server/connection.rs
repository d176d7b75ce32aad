//! One client connection, on its worker.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::waits::{Timer, Waits, Watched};
use super::{Config, Cut, Handler, Request, Response, ResponseBody};
use crate::Body;
use crate::body::Shared;
use crate::tls;

/// What the connections of one worker share.
pub(super) struct Worker<H> {
    config: Arc<Config>,
    handler: H,
    http: http1::Builder,
    draining: Cell<bool>,
    /// One per open connection, by its number.
    wakers: RefCell<BTreeMap<u64, Waker>>,
    next: Cell<u64>,
    open: Cell<usize>,
    closed: Notify,
}

impl<H: Handler> Worker<H> {
    pub(super) fn new(config: Arc<Config>, handler: H) -> Worker<H> {
        let mut http = http1::Builder::new();
        // Timed by `Waits` instead.
        http.header_read_timeout(None)
            .max_headers(config.max_headers)
            .max_header_size(config.max_header_bytes)
            // Both are the defaults, and both carry cancellation: a half-closed
            // client counts as gone, and responses are not held for a pipeline.
            .half_close(false)
            .pipeline_flush(false);
        Worker {
            config,
            handler,
            http,
            draining: Cell::new(false),
            wakers: RefCell::default(),
            next: Cell::new(0),
            open: Cell::new(0),
            closed: Notify::new(),
        }
    }
    pub(super) fn connections(&self) -> usize {
        self.open.get()
    }
    /// Closes idle connections now and busy ones after their response.
    pub(super) fn drain(&self) {
        self.draining.set(true);
        self.wakers.take().into_values().for_each(Waker::wake);
    }
    pub(super) async fn all_closed(&self) {
        while self.open.get() > 0 {
            self.closed.notified().await;
        }
    }
}

/// Serves a connection until either side closes it.
pub(super) async fn serve<H: Handler>(worker: Rc<Worker<H>>, stream: TcpStream, peer: SocketAddr) {
    worker.open.set(worker.open.get() + 1);
    let number = worker.next.replace(worker.next.get() + 1);
    let _gone = Gone { worker: &worker, number };
    match worker.config.tls.clone() {
        None => speak(&worker, number, stream, Peer { address: peer, spiffe_id: None }).await,
        Some(tls) => {
            let handshake = tokio::time::timeout(worker.config.head_timeout, tls.acceptor().accept(stream));
            if let Ok(Ok(stream)) = handshake.await {
                let spiffe_id = tls::spiffe_id(stream.get_ref().1.peer_certificates());
                speak(&worker, number, stream, Peer { address: peer, spiffe_id }).await;
            }
        }
    }
}

/// Who is at the other end.
struct Peer {
    address: SocketAddr,
    spiffe_id: Option<Arc<str>>,
}

struct Gone<'a, H> {
    worker: &'a Worker<H>,
    number: u64,
}

impl<H> Drop for Gone<'_, H> {
    fn drop(&mut self) {
        self.worker.open.set(self.worker.open.get() - 1);
        self.worker.wakers.borrow_mut().remove(&self.number);
        self.worker.closed.notify_one();
    }
}

async fn speak<H, S>(worker: &Rc<Worker<H>>, number: u64, stream: S, peer: Peer)
where
    H: Handler,
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let config = &worker.config;
    let waits = Waits::new(config.head_timeout, config.body_timeout, config.write_stall_timeout);
    let waits = Rc::new(waits);
    let shared = Rc::new(Shared { leftover: Cell::new(None), waits: Rc::clone(&waits) });
    let service = service_fn(|request: hyper::Request<Incoming>| {
        shared.waits.head_came();
        let (worker, shared, peer) = (Rc::clone(worker), Rc::clone(&shared), &peer);
        async move { Ok::<_, Infallible>(answer(&worker, request, peer, shared).await) }
    });
    let mut timer = Timer::new(&waits);
    let stream = Watched { stream, waits: Rc::clone(&waits) };
    let mut connection = pin!(worker.http.serve_connection(TokioIo::new(stream), service));
    let mut told = false;
    let mut registered = false;
    // What ends a connection (a reset, a cut body, a malformed head, which hyper
    // has answered itself) concerns nobody else: its error is not reported.
    poll_fn(|cx| {
        if worker.draining.get() && !told {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        if !registered {
            registered = true;
            worker.wakers.borrow_mut().insert(number, cx.waker().clone());
        }
        match connection.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => timer.poll(&waits, cx),
        }
    })
    .await;
}

async fn answer<H: Handler>(
    worker: &Worker<H>,
    request: hyper::Request<Incoming>,
    peer: &Peer,
    shared: Rc<Shared>,
) -> hyper::Response<Sent> {
    let (head, incoming) = request.into_parts();
    let body = Body::new(incoming, worker.config.max_body_bytes, Rc::clone(&shared));
    let request = Request {
        method: head.method,
        uri: head.uri,
        headers: head.headers,
        peer: peer.address,
        spiffe_id: peer.spiffe_id.clone(),
        received_us: runtime::clock::monotonic_us(),
        body,
    };
    let response = caught(worker.handler.handle(request)).await;
    if let Some(unread) = shared.leftover.take() {
        discard(unread).await;
    }
    shared.waits.body_came();
    let mut out = hyper::Response::new(Sent { body: response.body, waits: Rc::clone(&shared.waits) });
    *out.status_mut() = response.status;
    *out.headers_mut() = response.headers;
    out
}

/// A response's body; with its end the wait for the next request begins.
struct Sent {
    body: ResponseBody,
    waits: Rc<Waits>,
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Cut>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.waits.for_head();
    }
}

/// A panic in a handler costs its own request, not the connection's worker.
async fn caught(handling: impl Future<Output = Response>) -> Response {
    let mut handling = pin!(handling);
    let polled = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| handling.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(response)) => Poll::Ready(Some(response)),
        Err(_) => Poll::Ready(None),
    });
    polled.await.unwrap_or_else(|| {
        let body =
            r#"{"error":{"type":"server_error","code":"NT0003","message":"the server failed inside"}}"#;
        Response::json(StatusCode::INTERNAL_SERVER_ERROR, Bytes::from_static(body.as_bytes()))
    })
}

/// Most bytes and longest time spent on a body that nobody wants.
const DISCARD_BYTES: usize = 64 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(10);

/// Reads the rest of a refused body, so that the client, which is still
/// sending, gets to see the refusal. Beyond the bounds it gets a reset.
async fn discard(mut unread: Incoming) {
    let reading = async {
        let mut left = DISCARD_BYTES;
        while let Some(Ok(frame)) = unread.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(DISCARD_TIME, reading).await;
}
