//! One request and its response over one connection.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Origin, Request, Shared, Timeouts, connect};
use crate::server::Pieces;
use crate::{Error, Phase};

/// An HTTP connection, driven by whoever holds it.
pub(super) struct Wire {
    sender: SendRequest<Pieces>,
    connection: Connection<TokioIo<connect::Stream>, Pieces>,
    timer: Pin<Box<Sleep>>,
    used: bool,
}

impl Wire {
    async fn open(shared: &Shared, origin: &Origin) -> Result<Box<Wire>, Error> {
        let stream = connect::open(origin, &shared.config.trust).await?;
        let (sender, connection) = http1::Builder::new()
            .max_headers(MAX_HEADERS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| Error::of_exchange(&e, true, false))?;
        let timer = Box::pin(sleep_until(Instant::now() + FAR));
        Ok(Box::new(Wire { sender, connection, timer, used: false }))
    }
    /// Lets the connection notice what happened to it; whether it can take a request.
    pub(super) fn is_alive(&mut self, cx: &mut Context<'_>) -> bool {
        Pin::new(&mut self.connection).poll(cx).is_pending() && self.sender.is_ready()
    }
}

const MAX_HEADERS: usize = 200;
/// The timer of a connection that waits for nothing.
const FAR: Duration = Duration::from_secs(86_400);

/// What an exchange waits for, and until when.
struct Limits {
    /// The end of the present wait.
    at: Instant,
    phase: Phase,
    within: Duration,
    idle: Duration,
    total: Option<(Instant, Duration)>,
}

impl Limits {
    fn start(timeouts: &Timeouts) -> Limits {
        let now = Instant::now();
        let total = timeouts.total.map(|within| (now + within, within));
        let mut limits =
            Limits { at: now, phase: Phase::Connect, within: Duration::ZERO, idle: timeouts.idle, total };
        limits.wait(now, Phase::Connect, timeouts.connect);
        limits
    }
    /// A new wait begins.
    fn wait(&mut self, now: Instant, phase: Phase, within: Duration) {
        let within = within.min(FAR);
        (self.at, self.phase, self.within) = (now + within, phase, within);
        if let Some((at, within)) = self.total
            && at < self.at
        {
            (self.at, self.phase, self.within) = (at, Phase::Total, within);
        }
    }
    fn error(&self) -> Error {
        let after_ms = u64::try_from(self.within.as_millis()).unwrap_or(u64::MAX);
        Error::Timeout { phase: self.phase, after_ms }
    }
    /// Ready with the error when the present wait is over. The timer is only
    /// moved when it fires: a stream of a thousand frames moves it once per
    /// idle time, not a thousand times.
    fn poll(&self, timer: &mut Pin<Box<Sleep>>, cx: &mut Context<'_>) -> Poll<Error> {
        if self.at < timer.deadline() {
            timer.as_mut().reset(self.at);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= self.at {
                return Poll::Ready(self.error());
            }
            timer.as_mut().reset(self.at);
        }
        Poll::Pending
    }
}

pub(super) async fn send(
    shared: &Rc<Shared>,
    origin: &Origin,
    request: Request,
    timeouts: &Timeouts,
    taken: &Cell<bool>,
) -> Result<Response, Error> {
    let mut limits = Limits::start(timeouts);
    let mut message = assemble(origin, request);
    loop {
        let pooled = shared.pool.borrow_mut().take(origin);
        let wire = match pooled {
            Some(wire) => wire,
            None => tokio::time::timeout_at(limits.at, Wire::open(shared, origin))
                .await
                .map_err(|_| limits.error())??,
        };
        limits.wait(Instant::now(), Phase::FirstByte, timeouts.first_byte);
        taken.set(true);
        match once(wire, message, &mut limits).await {
            Ok((wire, head, incoming)) => {
                return Ok(Response::new(shared, origin, limits, wire, head, incoming));
            }
            // Not a byte of it left this process: the pool's connection was dead.
            Err(Failed { unsent: Some(unsent), reused: true, .. }) => message = *unsent,
            Err(failed) => return Err(failed.error),
        }
    }
}

fn assemble(origin: &Origin, request: Request) -> hyper::Request<Pieces> {
    let mut message = hyper::Request::new(Pieces::new(request.body));
    *message.method_mut() = request.method;
    *message.uri_mut() = request.path.into();
    *message.headers_mut() = request.headers;
    message.headers_mut().insert(header::HOST, origin.host_header());
    message
}

struct Failed {
    error: Error,
    unsent: Option<Box<hyper::Request<Pieces>>>,
    reused: bool,
}

async fn once(
    mut wire: Box<Wire>,
    message: hyper::Request<Pieces>,
    limits: &mut Limits,
) -> Result<(Box<Wire>, http::response::Parts, Incoming), Failed> {
    let reused = std::mem::replace(&mut wire.used, true);
    let mut reply = pin!(wire.sender.try_send_request(message));
    let (connection, timer) = (&mut wire.connection, &mut wire.timer);
    let answered = poll_fn(|cx| {
        let closed = Pin::new(&mut *connection).poll(cx).is_ready();
        // The reply is only ever completed by the poll above, so it is looked
        // at right after it and needs no waker of its own.
        if let Poll::Ready(reply) = reply.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Poll::Ready(reply.map_err(|mut failed| {
                let unsent = failed.take_message().map(Box::new);
                Failed { error: Error::of_exchange(failed.error(), true, reused), unsent, reused }
            }));
        }
        if closed {
            let error = Error::Closed { before_first_byte: true, reused };
            return Poll::Ready(Err(Failed { error, unsent: None, reused }));
        }
        limits.poll(timer, cx).map(|error| Err(Failed { error, unsent: None, reused }))
    })
    .await?;
    let (head, incoming) = answered.into_parts();
    Ok((wire, head, incoming))
}

/// A response. Dropped before the end of its body, it closes its connection.
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    incoming: Option<Incoming>,
    wire: Option<Box<Wire>>,
    limits: Limits,
    origin: Origin,
    home: Weak<Shared>,
}

impl Response {
    fn new(
        shared: &Rc<Shared>,
        origin: &Origin,
        mut limits: Limits,
        wire: Box<Wire>,
        head: http::response::Parts,
        incoming: Incoming,
    ) -> Response {
        let idle = limits.idle;
        limits.wait(Instant::now(), Phase::Idle, idle);
        let mut response = Response {
            status: head.status,
            headers: head.headers,
            incoming: Some(incoming),
            wire: Some(wire),
            limits,
            origin: origin.clone(),
            home: Rc::downgrade(shared),
        };
        response.finish_if_ended();
        response
    }

    /// The length the peer announced, where it did.
    pub fn declared(&self) -> Option<u64> {
        match &self.incoming {
            Some(incoming) => incoming.size_hint().exact(),
            None => Some(0),
        }
    }

    /// The next part of the body; `None` at its end, and after an error.
    pub async fn frame(&mut self) -> Option<Result<Bytes, Error>> {
        poll_fn(|cx| self.poll_frame(cx)).await
    }

    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let next = ready!(self.poll_incoming(cx));
        match &next {
            Some(Ok(_)) => {
                let idle = self.limits.idle;
                self.limits.wait(Instant::now(), Phase::Idle, idle);
                self.finish_if_ended();
            }
            Some(Err(_)) => (self.incoming, self.wire) = (None, None),
            None => self.release(),
        }
        Poll::Ready(next)
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let (Some(incoming), Some(wire)) = (&mut self.incoming, &mut self.wire) else {
            return Poll::Ready(None);
        };
        let mut closed = false;
        let mut driven = false;
        loop {
            match Pin::new(&mut *incoming).poll_frame(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    return Poll::Ready(Some(Ok(data)));
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(Error::of_exchange(&error, false, true))));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending if closed => {
                    let gone = Error::Closed { before_first_byte: false, reused: true };
                    return Poll::Ready(Some(Err(gone)));
                }
                Poll::Pending if driven => {
                    return self.limits.poll(&mut wire.timer, cx).map(|error| Some(Err(error)));
                }
                Poll::Pending => {
                    closed = Pin::new(&mut wire.connection).poll(cx).is_ready();
                    driven = true;
                }
            }
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`Error::TooLarge`] past `limit`, and those of [`Response::frame`].
    pub async fn read_all(mut self, limit: u64) -> Result<Bytes, Error> {
        let declared = self.declared();
        if let Some(n) = declared.filter(|n| *n > limit) {
            return Err(Error::TooLarge { limit, declared: Some(n) });
        }
        let Some(first) = self.frame().await.transpose()? else { return Ok(Bytes::new()) };
        let Some(second) = self.frame().await.transpose()? else { return Ok(first) };
        let mut whole = BytesMut::with_capacity(first.len() + second.len());
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&second);
        while let Some(part) = self.frame().await.transpose()? {
            if (whole.len() + part.len()) as u64 > limit {
                return Err(Error::TooLarge { limit, declared });
            }
            whole.extend_from_slice(&part);
        }
        Ok(whole.freeze())
    }

    /// As soon as the last byte is here the connection is free, whether or not
    /// anybody asks for one more frame.
    fn finish_if_ended(&mut self) {
        if self.incoming.as_ref().is_some_and(Incoming::is_end_stream) {
            self.release();
        }
    }

    fn release(&mut self) {
        self.incoming = None;
        let (Some(mut wire), Some(home)) = (self.wire.take(), self.home.upgrade()) else { return };
        if wire.is_alive(&mut Context::from_waker(Waker::noop())) {
            home.pool.borrow_mut().put(&self.origin, wire);
        }
    }
}
