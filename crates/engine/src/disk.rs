//! Blocks on their way to and from the disk, on threads that may wait for it.
//!
//! Reading has a thread of its own, so that a prompt that waits for its blocks
//! does not wait for others' to be written. Both queues are bounded: what does
//! not fit is not kept, which costs a computation later and nothing now.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::thread::JoinHandle;

use scheduler::{BlockKey, BlockStore};

use crate::Error;
use crate::worker::Command;

/// Blocks that may wait to be written: a few prompts' worth.
const WRITES: usize = 64;
/// Blocks that may wait to be read.
const READS: usize = 65_536;

/// The engine's way to a block store.
pub(crate) struct Disk {
    reads: Option<SyncSender<BlockKey>>,
    writes: Option<SyncSender<(BlockKey, Vec<u8>)>>,
    threads: Vec<JoinHandle<()>>,
}

impl Disk {
    /// Starts the threads; answers arrive as commands.
    pub(crate) fn open(store: &Arc<dyn BlockStore>, commands: &Sender<Command>) -> Result<Disk, Error> {
        let (reads, to_read) = sync_channel(READS);
        let (writes, to_write) = sync_channel(WRITES);
        let (reader, writer) = (Arc::clone(store), Arc::clone(store));
        let (read, dropped) = (commands.clone(), commands.clone());
        let threads = vec![
            spawn("kv-read", move || read_all(&*reader, &to_read, &read))?,
            spawn("kv-write", move || write_all(&*writer, &to_write, &dropped))?,
        ];
        Ok(Disk { reads: Some(reads), writes: Some(writes), threads })
    }

    /// Asks for a block. False: it will not come.
    pub(crate) fn read(&self, key: BlockKey) -> bool {
        self.reads.as_ref().is_some_and(|reads| reads.try_send(key).is_ok())
    }

    /// Hands over a block. False: it will not be kept.
    pub(crate) fn write(&self, key: BlockKey, contents: Vec<u8>) -> bool {
        self.writes.as_ref().is_some_and(|writes| writes.try_send((key, contents)).is_ok())
    }

    /// The same, waiting for room: at the end, when nobody else waits.
    pub(crate) fn write_last(&self, key: BlockKey, contents: Vec<u8>) {
        if let Some(writes) = &self.writes {
            let _ = writes.send((key, contents));
        }
    }
}

impl Drop for Disk {
    /// Waits for what was handed over.
    fn drop(&mut self) {
        (self.reads, self.writes) = (None, None);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map_err(|e| Error::Failed(format!("no thread could be started: {e}")))
}

fn read_all(store: &dyn BlockStore, keys: &Receiver<BlockKey>, answers: &Sender<Command>) {
    for key in keys {
        let _ = answers.send(Command::Loaded(key, store.load(key)));
    }
}

fn write_all(store: &dyn BlockStore, blocks: &Receiver<(BlockKey, Vec<u8>)>, answers: &Sender<Command>) {
    for (key, contents) in blocks {
        let dropped = store.save(key, &contents);
        if !dropped.is_empty() {
            let _ = answers.send(Command::Dropped(dropped));
        }
    }
}
