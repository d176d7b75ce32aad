//! The child's side: an engine, and the socket that is its standard input.
//!
//! One thread reads. It must never wait for the engine, because the end of the
//! stream is how the child learns that its server is gone, and then it ends at
//! once, whatever llama.cpp is doing.

mod disk;
mod serve;

use std::io::BufReader;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use engine::{Engine, Error, Options};
use scheduler::BlockKey;
use tokio::sync::mpsc;

use crate::frame;
use crate::launch::{end_now, settle_in};
use crate::outbox::Outbox;
use crate::wire::{Down, Settings, Up, VERSION, decode};
use disk::Lanes;

/// Messages that were read and not yet looked at; each is looked at within microseconds.
const UNREAD: usize = 1_024;

/// What `bedplate engine-process` does: runs one engine for the server at the
/// other end of standard input, until that is closed.
pub fn run() -> ExitCode {
    settle_in();
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("engine-process: {why}");
            ExitCode::from(1)
        }
    }
}

fn serve() -> std::io::Result<()> {
    let stream = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let outbox = Arc::new(Outbox::default());
    let sending = outbox.start(stream.try_clone()?)?;
    let mut from = BufReader::with_capacity(1 << 16, stream);
    let Some(first) = frame::read(&mut from)? else { return Ok(()) };
    let (path, settings, blocks) = match decode(&first) {
        Ok(Down::Open { version: VERSION, path, settings, blocks }) => (path, settings, blocks),
        Ok(Down::Open { version, .. }) => {
            let error = Error::Failed(format!("it speaks version {VERSION} and was asked in {version}"));
            return refuse(&outbox, sending, error);
        }
        _ => return Err(std::io::Error::other("this command is started by `bedplate serve`, not by hand")),
    };
    let lanes = blocks.map(|blocks| Arc::new(Lanes::new(blocks, Arc::clone(&outbox))));
    let (asks, to_do) = mpsc::channel(UNREAD);
    let answers = lanes.clone();
    std::thread::Builder::new()
        .name("engine-hear".into())
        .spawn(move || hear(from, &asks, answers.as_deref()))?;
    match load(path, settings, lanes, &outbox) {
        Ok(engine) => {
            outbox.send(&Up::Opened { info: engine.info().clone() });
            serve::serve(engine, &outbox, to_do)?;
            outbox.close();
            let _ = sending.join();
            Ok(())
        }
        Err(error) => refuse(&outbox, sending, error),
    }
}

fn refuse(outbox: &Outbox, sending: std::thread::JoinHandle<()>, error: Error) -> std::io::Result<()> {
    outbox.send(&Up::Failed { id: 0, error });
    outbox.close();
    let _ = sending.join();
    Ok(())
}

fn load(
    path: PathBuf,
    settings: Settings,
    lanes: Option<Arc<Lanes>>,
    outbox: &Arc<Outbox>,
) -> Result<Engine, Error> {
    let Settings {
        n_ctx,
        n_seq_max,
        threads,
        memory_max_bytes,
        queue_max,
        token_gap_us,
        kv_memory_bytes,
        flash,
    } = settings;
    let options = Options {
        n_ctx,
        n_seq_max,
        threads,
        memory_max_bytes,
        queue_max,
        token_gap_us,
        kv_memory_bytes,
        kv_disk: lanes.map(|lanes| lanes.disks()),
        flash,
    };
    let outbox = Arc::clone(outbox);
    let mut told = -1.0f32;
    Engine::open_with(&path, options, move |done| {
        // A large model has a thousand tensors, and a person sees percents.
        if done - told >= 0.01 || done >= 1.0 {
            told = done;
            outbox.send(&Up::Progress { done });
        }
        true
    })
}

/// Reads until the server is gone.
fn hear(mut from: BufReader<UnixStream>, asks: &mpsc::Sender<Down>, lanes: Option<&Lanes>) {
    loop {
        let Ok(Some(frame)) = frame::read(&mut from) else { end_now() };
        match decode(&frame) {
            Ok(Down::Loaded { block }) => lanes.into_iter().for_each(|l| l.loaded(block.clone())),
            Ok(Down::Saved { dropped }) => lanes.into_iter().for_each(|l| l.saved(dropped.clone())),
            Ok(message) => {
                // Nobody takes it while the engine closes, which still needs its disk.
                let _ = asks.blocking_send(message);
            }
            Err(error) => {
                eprintln!("engine-process: the server spoke nonsense: {error}");
                end_now();
            }
        }
    }
}

/// What the disk tier has, as the server told it at the start.
type Blocks = Vec<(BlockKey, u64)>;
