//! Frames on their way out.
//!
//! Whoever sends is an engine's reader, a gateway's worker or a destructor:
//! none may wait for a socket. So frames are queued, and a thread of its own
//! writes all that is there with one call. The queue is bounded by what is in
//! flight and, for requests, by bytes ([`Outbox::offer`]).

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

use crate::frame;
use crate::wire::bytes::Wire;
use crate::wire::encode;

/// Most bytes of requests that may wait to be written: four of the largest.
const WAITING_MAX: usize = 4 * frame::FRAME_MAX;

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    closed: bool,
}

/// Shared by all who send.
#[derive(Default)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    news: Condvar,
}

impl Outbox {
    /// Starts the thread that writes. It ends when the outbox is closed and
    /// empty, or the stream is broken.
    pub fn start(self: &Arc<Outbox>, mut to: UnixStream) -> std::io::Result<JoinHandle<()>> {
        let outbox = Arc::clone(self);
        std::thread::Builder::new().name("engine-send".into()).spawn(move || {
            let mut writing = Vec::new();
            while outbox.take(&mut writing) {
                if to.write_all(&writing).is_err() {
                    // The reader of the same stream sees its end and says so.
                    outbox.close();
                    outbox.lock().bytes.clear();
                    return;
                }
                writing.clear();
                writing.shrink_to(1 << 20);
            }
        })
    }

    /// Queues a message. What is too large for a frame, or comes after the
    /// close, is not sent: false.
    pub fn send(&self, message: &impl Wire) -> bool {
        self.push(&encode(message), usize::MAX)
    }

    /// The same for what others may send without end: refused while much is waiting.
    pub fn offer(&self, message: &impl Wire) -> bool {
        self.push(&encode(message), WAITING_MAX)
    }

    /// Writes what is queued and takes no more.
    pub fn close(&self) {
        self.lock().closed = true;
        self.news.notify_all();
    }

    fn push(&self, contents: &[u8], most: usize) -> bool {
        let mut queue = self.lock();
        let fits = queue.bytes.len().saturating_add(contents.len()) <= most;
        let queued = !queue.closed && fits && frame::put(contents, &mut queue.bytes).is_ok();
        drop(queue);
        self.news.notify_one();
        queued
    }

    /// Waits for frames and moves all of them; false at the end.
    fn take(&self, into: &mut Vec<u8>) -> bool {
        let mut queue = self.lock();
        while queue.bytes.is_empty() && !queue.closed {
            queue = self.news.wait(queue).unwrap_or_else(|e| e.into_inner());
        }
        std::mem::swap(&mut queue.bytes, into);
        !into.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(|e| e.into_inner())
    }
}
