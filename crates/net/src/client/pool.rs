//! Idle connections of one worker.

use std::collections::{HashMap, VecDeque};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::exchange::Wire;
use super::{Config, Origin};

/// Idle connections by origin, the longest idle first.
pub(super) struct Pool {
    idle: HashMap<Origin, VecDeque<Idle>>,
    len: usize,
    per_origin: usize,
    total: usize,
    timeout: Duration,
    swept: Instant,
}

struct Idle {
    wire: Box<Wire>,
    since: Instant,
}

impl Pool {
    pub(super) fn new(config: &Config) -> Pool {
        Pool {
            idle: HashMap::new(),
            len: 0,
            per_origin: config.idle_per_origin,
            total: config.idle_total,
            timeout: config.idle_timeout,
            swept: Instant::now(),
        }
    }
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The connection used last, which its peer is the least likely to have
    /// closed; the dead ones met on the way are dropped.
    pub(super) fn take(&mut self, origin: &Origin) -> Option<Box<Wire>> {
        let list = self.idle.get_mut(origin)?;
        while let Some(idle) = list.pop_back() {
            self.len -= 1;
            if let Some(wire) = usable(idle, self.timeout) {
                return Some(wire);
            }
        }
        None
    }

    pub(super) fn put(&mut self, origin: &Origin, wire: Box<Wire>) {
        let now = Instant::now();
        if self.len >= self.total || now.saturating_duration_since(self.swept) > self.timeout / 4 {
            self.sweep();
        }
        if self.len >= self.total {
            return;
        }
        if !self.idle.contains_key(origin) {
            self.idle.insert(origin.clone(), VecDeque::new());
        }
        let Some(list) = self.idle.get_mut(origin) else { return };
        if list.len() >= self.per_origin {
            list.pop_front();
            self.len -= 1;
        }
        list.push_back(Idle { wire, since: now });
        self.len += 1;
    }

    /// Drops what is old or closed, and origins without connections.
    pub(super) fn sweep(&mut self) {
        self.swept = Instant::now();
        let timeout = self.timeout;
        self.idle.retain(|_, list| {
            let kept = std::mem::take(list).into_iter().filter_map(|idle| {
                let since = idle.since;
                usable(idle, timeout).map(|wire| Idle { wire, since })
            });
            *list = kept.collect();
            !list.is_empty()
        });
        self.len = self.idle.values().map(VecDeque::len).sum();
    }
}

fn usable(mut idle: Idle, timeout: Duration) -> Option<Box<Wire>> {
    if idle.since.elapsed() >= timeout {
        return None;
    }
    idle.wire.is_alive(&mut Context::from_waker(Waker::noop())).then_some(idle.wire)
}
