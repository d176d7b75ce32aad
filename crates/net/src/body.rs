//! A body as it arrives: pulled frame by frame, or read whole under a limit.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::Error;
use crate::server::Waits;

/// What a connection and the body of its present request share.
pub(crate) struct Shared {
    /// What the handler did not read, so that the connection can drain it: a
    /// client that is still sending when the socket closes gets a reset
    /// instead of its 401 or 413.
    pub(crate) leftover: Cell<Option<Incoming>>,
    pub(crate) waits: Rc<Waits>,
}

/// The body of a request.
pub struct Body {
    incoming: Option<Incoming>,
    limit: u64,
    seen: u64,
    shared: Option<Rc<Shared>>,
}

impl Body {
    pub(crate) fn new(incoming: Incoming, limit: u64, shared: Rc<Shared>) -> Body {
        let incoming = (!incoming.is_end_stream()).then_some(incoming);
        Body { incoming, limit, seen: 0, shared: Some(shared) }
    }
    /// A body with nothing in it, for tests of handlers.
    pub fn empty() -> Body {
        Body { incoming: None, limit: 0, seen: 0, shared: None }
    }
    /// The length the client announced; `None` for a chunked body.
    pub fn declared(&self) -> Option<u64> {
        match &self.incoming {
            Some(incoming) => incoming.size_hint().exact(),
            None => Some(0),
        }
    }
    /// The most bytes this body may have.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// The next part; `None` at the end. After an error: `None`.
    pub async fn frame(&mut self) -> Option<Result<Bytes, Error>> {
        poll_fn(|cx| self.poll_frame(cx)).await
    }

    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
            let polled = Pin::new(&mut *incoming).poll_frame(cx);
            if let Some(shared) = &self.shared {
                if polled.is_pending() { shared.waits.for_body() } else { shared.waits.body_came() }
            }
            let Some(frame) = ready!(polled) else {
                self.incoming = None;
                return Poll::Ready(None);
            };
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    self.incoming = None;
                    return Poll::Ready(Some(Err(Error::of_exchange(&error, false, false))));
                }
            };
            let Ok(data) = frame.into_data() else { continue };
            self.seen = self.seen.saturating_add(data.len() as u64);
            if self.seen > self.limit {
                return Poll::Ready(Some(Err(Error::TooLarge { limit: self.limit, declared: None })));
            }
            if incoming.is_end_stream() {
                self.incoming = None;
            }
            return Poll::Ready(Some(Ok(data)));
        }
    }

    /// The whole body, without a copy where it came in one part.
    ///
    /// # Errors
    /// [`Error::TooLarge`] before a byte is read when the announced length is
    /// over `limit` (or over the server's own limit, if that is lower).
    pub async fn read_all(mut self, limit: u64) -> Result<Bytes, Error> {
        self.limit = self.limit.min(limit);
        let declared = self.declared();
        if let Some(n) = declared.filter(|n| *n > self.limit) {
            return Err(Error::TooLarge { limit: self.limit, declared: Some(n) });
        }
        let Some(first) = self.frame().await.transpose()? else { return Ok(Bytes::new()) };
        let Some(second) = self.frame().await.transpose()? else { return Ok(first) };
        // A forged length must not buy memory: at most 1 MiB on the client's word.
        let mut whole = BytesMut::with_capacity(
            usize::try_from(declared.unwrap_or(0))
                .unwrap_or(0)
                .clamp(first.len() + second.len(), MIB.max(first.len() + second.len())),
        );
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&second);
        while let Some(part) = self.frame().await.transpose()? {
            whole.extend_from_slice(&part);
        }
        Ok(whole.freeze())
    }
}

const MIB: usize = 1 << 20;

impl Drop for Body {
    fn drop(&mut self) {
        if let (Some(incoming), Some(shared)) = (self.incoming.take(), &self.shared) {
            shared.leftover.set(Some(incoming));
        }
    }
}
