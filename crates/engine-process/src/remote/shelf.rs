//! The disk tier of an engine in another process: the files are the server's.
//!
//! The child asks for blocks and hands them over; it never sees a key or a file,
//! and it is only served blocks of the fingerprint that the server computed.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use engine::{Error, Options};
use scheduler::{BlockKey, BlockStore};

use crate::outbox::Outbox;
use crate::wire::Down;
use crate::wire::bytes::Blob;

/// The blocks of one model.
pub(super) struct Shelf(Arc<dyn BlockStore>);

impl Shelf {
    /// Reads the file's fingerprint, if there is a disk tier at all.
    pub fn of(path: &Path, options: &Options) -> Result<Option<Shelf>, Error> {
        let Some(disks) = &options.kv_disk else { return Ok(None) };
        let print = engine::kv_fingerprint_of(path, options)?;
        Ok(disks(&print).map(Shelf))
    }

    pub fn blocks(&self) -> Vec<(BlockKey, u64)> {
        self.0.keys()
    }
}

/// Two threads that may wait for the disk, as in the engine itself: a prompt
/// that waits for its blocks does not wait for others' to be written.
pub(super) struct Desk {
    loads: SyncSender<BlockKey>,
    saves: SyncSender<(BlockKey, Vec<u8>)>,
}

/// The child asks for the next when it has the last.
const ONE: usize = 1;

impl Desk {
    pub fn open(shelf: Shelf, outbox: &Arc<Outbox>) -> std::io::Result<Desk> {
        let (loads, to_load) = sync_channel(ONE);
        let (saves, to_save) = sync_channel(ONE);
        let (store, out) = (Arc::clone(&shelf.0), Arc::clone(outbox));
        std::thread::Builder::new().name("kv-read".into()).spawn(move || read(&*store, &to_load, &out))?;
        let (store, out) = (shelf.0, Arc::clone(outbox));
        std::thread::Builder::new().name("kv-write".into()).spawn(move || write(&*store, &to_save, &out))?;
        Ok(Desk { loads, saves })
    }

    pub fn load(&self, key: BlockKey) -> Result<(), String> {
        self.loads.try_send(key).map_err(|_| "it asked for blocks faster than it was answered".into())
    }
    pub fn save(&self, key: BlockKey, block: Vec<u8>) -> Result<(), String> {
        self.saves.try_send((key, block)).map_err(|_| "it handed over blocks faster than it may".into())
    }
}

fn read(store: &dyn BlockStore, keys: &Receiver<BlockKey>, out: &Outbox) {
    for key in keys {
        let block = store.load(key).map(Blob);
        if !out.send(&Down::Loaded { block }) {
            out.send(&Down::Loaded { block: None });
        }
    }
}

fn write(store: &dyn BlockStore, blocks: &Receiver<(BlockKey, Vec<u8>)>, out: &Outbox) {
    for (key, block) in blocks {
        out.send(&Down::Saved { dropped: store.save(key, &block) });
    }
}
