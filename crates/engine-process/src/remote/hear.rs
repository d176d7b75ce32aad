//! The thread that hears the child, until its end.
//!
//! What the child says is checked like anything from outside: a model's file
//! may have taken it over. A child that breaks the rules is killed.

use std::io::{BufReader, Read};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use chat::Event;
use engine::Error;
use tokio::sync::mpsc::error::TrySendError;

use super::shared::{Call, Shared, Told};
use super::shelf::{Desk, Shelf};
use crate::frame;
use crate::wire::{Up, decode};

/// How long a child that has closed its socket may take to be gone.
const LAST_BREATH: Duration = Duration::from_secs(2);

/// Events that were sent without credit.
const UNRULY: &str = "it sent more events than it may";

/// The next message; `None` at the end. The error is a sentence for the operator.
pub(super) fn next(from: &mut impl Read) -> Result<Option<Up>, String> {
    match frame::read(from) {
        Ok(None) => Ok(None),
        Ok(Some(frame)) => decode(&frame).map(Some).map_err(|e| format!("it spoke nonsense: {e}")),
        // A process that dies resets the stream.
        Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => Ok(None),
        Err(e) => Err(format!("it could not be heard: {e}")),
    }
}

pub(super) fn start(
    shared: Arc<Shared>,
    mut from: BufReader<UnixStream>,
    shelf: Option<Shelf>,
) -> std::io::Result<()> {
    let desk = shelf.map(|shelf| Desk::open(shelf, &shared.outbox)).transpose()?;
    let hear = move || {
        let unruly = loop {
            match next(&mut from) {
                Ok(None) => break None,
                Ok(Some(told)) => {
                    if let Err(why) = take(&shared, told, desk.as_ref()) {
                        break Some(why);
                    }
                }
                Err(why) => break Some(why),
            }
        };
        bury(&shared, unruly);
    };
    std::thread::Builder::new().name("engine-hear".into()).spawn(hear).map(drop)
}

fn take(shared: &Shared, told: Up, desk: Option<&Desk>) -> Result<(), String> {
    let mut state = shared.state();
    state.heard_us = runtime::clock::monotonic_us();
    match told {
        Up::Board { board } => state.board = board,
        Up::Events { id, busy_us, withheld, events } => {
            let Some(Call::Stream { events: to, figures, .. }) = state.calls.get(&id) else {
                return Ok(());
            };
            figures.busy_us.store(busy_us, Relaxed);
            figures.withheld.store(withheld, Relaxed);
            for event in events {
                match to.try_send(event) {
                    Ok(()) => {}
                    // The reader is going, and its `Cancel` is on the way.
                    Err(TrySendError::Closed(_)) => break,
                    Err(TrySendError::Full(_)) => return Err(UNRULY.into()),
                }
            }
        }
        Up::End { id, busy_us } => {
            if let Some(Call::Stream { figures, .. }) = state.calls.remove(&id) {
                figures.busy_us.store(busy_us, Relaxed);
            }
        }
        Up::Accepted { id, prompt_tokens } => {
            if let Some(Call::Stream { accepted, .. }) = state.calls.get_mut(&id)
                && let Some(accepted) = accepted.take()
            {
                let _ = accepted.send(Ok(prompt_tokens));
            }
        }
        Up::Failed { id, error } => fail(state.calls.remove(&id), &error),
        Up::Vectors { id, vectors } => answer(state.calls.remove(&id), Told::Vectors(vectors)),
        Up::Scores { id, scores } => answer(state.calls.remove(&id), Told::Scores(scores)),
        Up::Number { id, number } => answer(state.calls.remove(&id), Told::Number(number)),
        Up::Load { key } => desk.ok_or("it asked for a disk tier that it was not given")?.load(key)?,
        Up::Save { key, block } => {
            state.saved += 1;
            shared.bell.notify_all();
            desk.ok_or("it used a disk tier that it was not given")?.save(key, block.0)?;
        }
        Up::Progress { .. } | Up::Opened { .. } => return Err("it loaded twice".into()),
    }
    Ok(())
}

fn answer(call: Option<Call>, told: Told) {
    if let Some(Call::One(sender)) = call {
        let _ = sender.send(Ok(told));
    }
}

/// Tells somebody that there will be no answer, or no more of it.
fn fail(call: Option<Call>, error: &Error) {
    match call {
        None => {}
        Some(Call::One(sender)) => drop(sender.send(Err(error.clone()))),
        Some(Call::Stream { accepted: Some(accepted), .. }) => drop(accepted.send(Err(error.clone()))),
        Some(Call::Stream { accepted: None, events, .. }) => {
            let kind = error.report().code.0.into();
            let _ = events.try_send(Event::Failed { kind, message: error.to_string(), retriable: true });
        }
    }
}

/// The child has ended, or must.
fn bury(shared: &Shared, unruly: Option<String>) {
    let mut child = shared.child.lock().unwrap_or_else(|e| e.into_inner());
    let why = match unruly {
        None => ended(&mut child),
        Some(why) => {
            let _ = child.kill();
            let _ = child.wait();
            why
        }
    };
    drop(child);
    shared.outbox.close();
    let error = Error::Crashed(why);
    let mut state = shared.state();
    state.death = Some(error.clone());
    let calls = std::mem::take(&mut state.calls);
    state.board.stats = engine::Stats { step_time: state.board.stats.step_time, ..Default::default() };
    state.buried = true;
    drop(state);
    calls.into_values().for_each(|call| fail(Some(call), &error));
    shared.bell.notify_all();
}

/// Waits for a child that has closed its socket, and says how it ended.
pub(super) fn ended(child: &mut Child) -> String {
    let pause = Duration::from_millis(5);
    for _ in 0..LAST_BREATH.as_millis() / pause.as_millis() {
        match child.try_wait() {
            Ok(Some(status)) => return describe(status),
            Ok(None) => std::thread::sleep(pause),
            Err(_) => break,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    "the engine's process closed its socket and did not end".into()
}

fn describe(status: ExitStatus) -> String {
    let name = |signal| match signal {
        6 => " (SIGABRT: an assertion)",
        9 => " (SIGKILL: perhaps out of memory)",
        7 | 11 => " (a memory fault)",
        _ => "",
    };
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("the engine's process was ended by signal {signal}{}", name(signal)),
        (None, Some(code)) => format!("the engine's process ended with status {code}"),
        (None, None) => "the engine's process ended".into(),
    }
}
