//! What a connection waits for from its client, and until when.
//!
//! hyper's own header timer makes and drops a timer per request; on a
//! single-threaded runtime each one that is due before the others costs a write
//! to the runtime's wake-up descriptor and the event that follows (1-2 us of
//! the 15 that a proxied request takes). Here a deadline is a cell, and the one
//! timer of the connection is moved only when it fires.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// The waits of one connection: each is over at its instant, or not under way.
pub(crate) struct Waits {
    head: Cell<Option<Instant>>,
    body: Cell<Option<Instant>>,
    write: Cell<Option<Instant>>,
    head_timeout: Duration,
    body_timeout: Duration,
    write_timeout: Duration,
}

impl Waits {
    pub(super) fn new(head_timeout: Duration, body_timeout: Duration, write_timeout: Duration) -> Waits {
        let waits = Waits {
            head: Cell::new(None),
            body: Cell::new(None),
            write: Cell::new(None),
            head_timeout,
            body_timeout,
            write_timeout,
        };
        waits.for_head();
        waits
    }
    /// The response is done: the client has its time for the next request.
    pub(super) fn for_head(&self) {
        self.head.set(Some(Instant::now() + self.head_timeout));
    }
    pub(super) fn head_came(&self) {
        self.head.set(None);
    }
    /// Somebody wants more of the body than there is.
    pub(crate) fn for_body(&self) {
        if self.body.get().is_none() {
            self.body.set(Some(Instant::now() + self.body_timeout));
        }
    }
    pub(crate) fn body_came(&self) {
        self.body.set(None);
    }
    fn for_write(&self) {
        if self.write.get().is_none() {
            self.write.set(Some(Instant::now() + self.write_timeout));
        }
    }
    fn next(&self) -> Option<Instant> {
        [self.head.get(), self.body.get(), self.write.get()].into_iter().flatten().min()
    }
}

/// The one timer of a connection.
pub(super) struct Timer(Pin<Box<Sleep>>);

impl Timer {
    pub(super) fn new(waits: &Waits) -> Timer {
        Timer(Box::pin(sleep_until(waits.next().unwrap_or_else(Instant::now))))
    }
    /// Ready when the client has let a wait run out.
    pub(super) fn poll(&mut self, waits: &Waits, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = waits.next() else { return Poll::Pending };
        if due < self.0.deadline() {
            self.0.as_mut().reset(due);
        }
        while self.0.as_mut().poll(cx).is_ready() {
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            self.0.as_mut().reset(due);
        }
        Poll::Pending
    }
}

/// A stream that tells [`Waits`] when its peer takes nothing.
pub(super) struct Watched<S> {
    pub(super) stream: S,
    pub(super) waits: Rc<Waits>,
}

impl<S> Watched<S> {
    fn note<T>(&self, written: Poll<T>) -> Poll<T> {
        match written {
            Poll::Pending => self.waits.for_write(),
            Poll::Ready(_) => self.waits.write.set(None),
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(written)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note(written)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.note(flushed)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
