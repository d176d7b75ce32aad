//! The orderly end: one token that everything long-lived watches.
//!
//! The first SIGTERM or SIGINT (or a task whose death ends the process) asks
//! for a drain; the second signal exits at once, for the operator whose drain
//! hangs.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use crate::{Error, TaskKind, task};

/// A token; clones watch the same end.
#[derive(Clone, Debug)]
pub struct Shutdown {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    draining: watch::Sender<bool>,
    reason: OnceLock<String>,
}

impl Default for Shutdown {
    fn default() -> Shutdown {
        Shutdown::new()
    }
}

impl Shutdown {
    pub fn new() -> Shutdown {
        Shutdown { inner: Arc::new(Inner { draining: watch::Sender::new(false), reason: OnceLock::new() }) }
    }
    /// Asks everybody to finish. The first reason is kept.
    pub fn drain(&self, reason: impl Into<String>) {
        let _ = self.inner.reason.set(reason.into());
        self.inner.draining.send_replace(true);
    }
    pub fn is_draining(&self) -> bool {
        *self.inner.draining.borrow()
    }
    /// Why, once draining.
    pub fn reason(&self) -> Option<&str> {
        self.inner.reason.get().map(String::as_str)
    }
    /// Ends when a drain was asked for.
    pub async fn draining(&self) {
        let mut watch = self.inner.draining.subscribe();
        // The sender lives in `self`: it cannot be gone.
        let _ = watch.wait_for(|draining| *draining).await;
    }

    /// Drains on the first SIGTERM or SIGINT and exits with 130 on the second.
    ///
    /// # Errors
    /// If the handlers cannot be installed. Must be called inside a runtime.
    pub fn on_signals(&self) -> Result<(), Error> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut term =
            signal(SignalKind::terminate()).map_err(|source| Error::Signal { signal: "SIGTERM", source })?;
        let mut int =
            signal(SignalKind::interrupt()).map_err(|source| Error::Signal { signal: "SIGINT", source })?;
        let shutdown = self.clone();
        task::spawn(TaskKind::Log, "signals", async move {
            loop {
                let name = tokio::select! {
                    Some(()) = term.recv() => "SIGTERM",
                    Some(()) = int.recv() => "SIGINT",
                    else => return,
                };
                if shutdown.is_draining() {
                    std::process::exit(130);
                }
                shutdown.drain(name);
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_sees_the_drain_and_the_first_reason() {
        let shutdown = Shutdown::new();
        let other = shutdown.clone();
        assert!(!other.is_draining());
        shutdown.drain("first");
        shutdown.drain("second");
        other.draining().await;
        assert_eq!(other.reason(), Some("first"));
    }
}
