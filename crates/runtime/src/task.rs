//! Tasks that cannot die unnoticed.
//!
//! A bare `tokio::spawn` swallows a panic in a handle nobody awaits; here the
//! caller says what a death means. A task that ends well is never a death.

use std::any::Any;
use std::fmt::Display;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::OnceLock;
use std::task::{Context, Poll};

use crate::Shutdown;

/// What it means when a task panics or ends with an error.
#[derive(Clone, Debug)]
pub enum TaskKind {
    /// Nothing: its owner notices by other means.
    Ignore,
    /// It is reported; the process goes on.
    Log,
    /// It is reported and the process drains: it cannot do its work without this task.
    Shutdown(Shutdown),
}

/// How a task's future may end: `()`, or a `Result` whose error is a death.
pub trait Ending {
    fn failure(self) -> Option<String>;
}

impl Ending for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<E: Display> Ending for Result<(), E> {
    fn failure(self) -> Option<String> {
        self.err().map(|e| e.to_string())
    }
}

/// A running task. Dropping the handle leaves it running.
#[derive(Debug)]
pub struct Task(tokio::task::JoinHandle<()>);

impl Task {
    /// Drops the task's future at its next suspension point.
    pub fn abort(&self) {
        self.0.abort();
    }
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
    /// Ends when the task has ended, well or not.
    pub async fn ended(self) {
        let _ = self.0.await;
    }
}

/// Receives the name of a dead task and why it died.
pub type OnDeath = fn(name: &'static str, why: &str);

static ON_DEATH: OnceLock<OnDeath> = OnceLock::new();

/// Sets where deaths are reported; the first call wins. Without one they are
/// written to standard error.
pub fn on_death(report: OnDeath) {
    let _ = ON_DEATH.set(report);
}

/// Starts a task on the current runtime.
#[expect(clippy::disallowed_methods, reason = "the one place where tasks are spawned")]
pub fn spawn<F>(kind: TaskKind, name: &'static str, future: F) -> Task
where
    F: Future + Send + 'static,
    F::Output: Ending,
{
    Task(tokio::spawn(watched(kind, name, future)))
}

/// Starts a task on the current thread's local runtime; its future need not be `Send`.
pub fn spawn_local<F>(kind: TaskKind, name: &'static str, future: F) -> Task
where
    F: Future + 'static,
    F::Output: Ending,
{
    Task(tokio::task::spawn_local(watched(kind, name, future)))
}

async fn watched<F>(kind: TaskKind, name: &'static str, future: F)
where
    F: Future,
    F::Output: Ending,
{
    let why = match (Caught { future: pin!(future) }).await {
        Ok(end) => end.failure(),
        Err(panic) => Some(format!("panic: {}", panic_text(&*panic))),
    };
    let Some(why) = why else { return };
    match kind {
        TaskKind::Ignore => {}
        TaskKind::Log => report(name, &why),
        TaskKind::Shutdown(shutdown) => {
            report(name, &why);
            shutdown.drain(format!("task {name} died: {why}"));
        }
    }
}

fn report(name: &'static str, why: &str) {
    match ON_DEATH.get() {
        Some(report) => report(name, why),
        None => eprintln!("task {name} died: {why}"),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "of unknown cause",
    }
}

/// Turns a panic inside `poll` into an error. Sound without unwind safety of
/// the future, because it is never polled again.
struct Caught<'a, F> {
    future: Pin<&'a mut F>,
}

impl<F: Future> Future for Caught<'_, F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_vital_task_that_panics_drains_the_process() {
        async fn vital() {
            panic!("out of ink")
        }
        let shutdown = Shutdown::new();
        spawn(TaskKind::Shutdown(shutdown.clone()), "ledger", vital()).ended().await;
        shutdown.draining().await;
        assert_eq!(shutdown.reason(), Some("task ledger died: panic: out of ink"));
    }

    #[tokio::test]
    async fn a_vital_task_that_fails_drains_and_one_that_ends_does_not() {
        let shutdown = Shutdown::new();
        spawn(TaskKind::Shutdown(shutdown.clone()), "one", async { Ok::<(), String>(()) }).ended().await;
        assert!(!shutdown.is_draining());
        spawn(TaskKind::Shutdown(shutdown.clone()), "two", async { Err("disk full") }).ended().await;
        assert!(shutdown.is_draining());
    }
}
