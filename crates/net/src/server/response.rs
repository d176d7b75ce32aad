//! What a handler answers with.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body::{Frame, SizeHint};

/// A response; its headers are sent when its handler returns it, its body as it is pulled.
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: ResponseBody,
}

impl Response {
    pub fn new(status: StatusCode, body: ResponseBody) -> Response {
        Response { status, headers: HeaderMap::new(), body }
    }
    /// A whole JSON body.
    pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Response {
        Response::new(status, ResponseBody::Full(body.into()))
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }
    /// A whole text body.
    pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Response {
        Response::new(status, ResponseBody::Full(body.into()))
            .header(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))
    }
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Response {
        self.headers.insert(name, value);
        self
    }
}

/// The body of a response. Dropped before its end when the client left.
pub enum ResponseBody {
    Full(Bytes),
    /// Parts sent in one vectored write, without being joined.
    Pieces(Pieces),
    /// Parts made as the client takes them: chunked, each flushed as it is made.
    Stream(Stream),
}

/// A body that is made while it is sent; see [`ResponseBody::write`] and [`ResponseBody::pull`].
pub struct Stream(Source);

enum Source {
    Pulled(Pin<Box<dyn Frames>>),
    Written { slot: Slot, future: Option<Writer> },
}

type Slot = Rc<RefCell<Option<Bytes>>>;
type Writer = Pin<Box<dyn Future<Output = Result<(), Cut>>>>;

impl Stream {
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        match &mut self.0 {
            Source::Pulled(frames) => frames.as_mut().poll_next(cx),
            Source::Written { slot, future } => {
                let Some(running) = future else { return Poll::Ready(None) };
                let end = running.as_mut().poll(cx);
                if end.is_ready() {
                    *future = None;
                }
                match (slot.take(), end) {
                    (Some(part), _) => Poll::Ready(Some(Ok(part))),
                    (None, Poll::Ready(Ok(()))) => Poll::Ready(None),
                    (None, Poll::Ready(Err(cut))) => Poll::Ready(Some(Err(cut))),
                    (None, Poll::Pending) => Poll::Pending,
                }
            }
        }
    }
}

/// A source of body parts, pulled when the client can take more.
pub trait Frames {
    /// The next part; `None` ends the body well, an error cuts the connection
    /// so that the client sees that the body is not whole.
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>>;
}

/// The body ends here, unfinished: the connection is closed without the end marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the response was cut")]
pub struct Cut;

impl ResponseBody {
    pub fn empty() -> ResponseBody {
        ResponseBody::Full(Bytes::new())
    }
    pub fn pieces(pieces: Vec<Bytes>) -> ResponseBody {
        ResponseBody::Pieces(Pieces::new(pieces))
    }
    /// A body written by straight-line code. The future is polled by the
    /// connection itself, so it runs only while the client takes what it
    /// sends, and is dropped at its current `.await` when the client leaves.
    ///
    /// ```ignore
    /// ResponseBody::write(|mut sink| async move {
    ///     while let Some(part) = upstream.frame().await {
    ///         sink.send(part.map_err(|_| Cut)?).await;
    ///     }
    ///     settle().await; // durable before the end marker
    ///     Ok(())
    /// })
    /// ```
    pub fn write<W, F>(writer: W) -> ResponseBody
    where
        W: FnOnce(Sink) -> F,
        F: Future<Output = Result<(), Cut>> + 'static,
    {
        let slot = Slot::default();
        let future = writer(Sink { slot: Rc::clone(&slot) });
        ResponseBody::Stream(Stream(Source::Written { slot, future: Some(Box::pin(future)) }))
    }
    /// A body from a hand-written source.
    pub fn pull(frames: impl Frames + 'static) -> ResponseBody {
        ResponseBody::Stream(Stream(Source::Pulled(Box::pin(frames))))
    }
}

/// Where [`ResponseBody::write`]'s future puts the parts of the body. Stays in that future.
pub struct Sink {
    slot: Slot,
}

impl Sink {
    /// Hands over one part; ready when the connection has taken it.
    pub async fn send(&mut self, part: Bytes) {
        if part.is_empty() {
            return;
        }
        *self.slot.borrow_mut() = Some(part);
        // The connection empties the slot between two polls of this future,
        // and polls again as soon as it can write: nothing needs waking.
        poll_fn(|_| if self.slot.borrow().is_some() { Poll::Pending } else { Poll::Ready(()) }).await;
    }
}

/// Parts of a body of known length.
#[derive(Debug, Default)]
pub struct Pieces {
    parts: std::vec::IntoIter<Bytes>,
    left: u64,
}

impl Pieces {
    pub fn new(parts: Vec<Bytes>) -> Pieces {
        let left = parts.iter().map(|part| part.len() as u64).sum();
        Pieces { parts: parts.into_iter(), left }
    }
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        let part = self.parts.find(|part| !part.is_empty())?;
        self.left -= part.len() as u64;
        Some(part)
    }
    /// Bytes not yet taken.
    pub fn left(&self) -> u64 {
        self.left
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.next().map(|part| Ok(Frame::data(part))))
    }
    fn is_end_stream(&self) -> bool {
        self.left == 0
    }
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let next = match &mut *self {
            ResponseBody::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                return Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))));
            }
            ResponseBody::Pieces(pieces) => {
                return Poll::Ready(pieces.next().map(|part| Ok(Frame::data(part))));
            }
            ResponseBody::Stream(stream) => stream.poll_next(cx),
        };
        next.map(|part| part.map(|part| part.map(Frame::data)))
    }
    fn is_end_stream(&self) -> bool {
        match self {
            ResponseBody::Full(bytes) => bytes.is_empty(),
            ResponseBody::Pieces(pieces) => pieces.left == 0,
            ResponseBody::Stream(_) => false,
        }
    }
    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            ResponseBody::Pieces(pieces) => SizeHint::with_exact(pieces.left),
            ResponseBody::Stream(_) => SizeHint::default(),
        }
    }
}
