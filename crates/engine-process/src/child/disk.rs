//! The disk tier as the child sees it: questions to the server.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use engine::KvDisks;
use scheduler::{BlockKey, BlockStore};

use super::Blocks;
use crate::outbox::Outbox;
use crate::wire::Up;
use crate::wire::bytes::Blob;

/// One way to ask and one to hand over, each for one block at a time.
pub(super) struct Lanes {
    blocks: Mutex<Blocks>,
    outbox: Arc<Outbox>,
    load: Lane<Option<Blob>>,
    save: Lane<Vec<BlockKey>>,
}

struct Lane<T> {
    tell: Sender<T>,
    /// Held from the question to its answer.
    told: Mutex<Receiver<T>>,
}

impl<T> Lane<T> {
    fn new() -> Lane<T> {
        let (tell, told) = channel();
        Lane { tell, told: Mutex::new(told) }
    }
    fn ask(&self, question: impl FnOnce() -> bool) -> Option<T> {
        let told = self.told.lock().unwrap_or_else(|e| e.into_inner());
        if question() { told.recv().ok() } else { None }
    }
}

impl Lanes {
    pub fn new(blocks: Blocks, outbox: Arc<Outbox>) -> Lanes {
        Lanes { blocks: Mutex::new(blocks), outbox, load: Lane::new(), save: Lane::new() }
    }
    /// As the engine's options want it. The server has checked the fingerprint.
    pub fn disks(self: Arc<Lanes>) -> KvDisks {
        Arc::new(move |_| Some(Arc::clone(&self) as Arc<dyn BlockStore>))
    }
    pub fn loaded(&self, block: Option<Blob>) {
        let _ = self.load.tell.send(block);
    }
    pub fn saved(&self, dropped: Vec<BlockKey>) {
        let _ = self.save.tell.send(dropped);
    }
}

impl BlockStore for Lanes {
    fn keys(&self) -> Vec<(BlockKey, u64)> {
        // Read once, when the model is loaded.
        std::mem::take(&mut *self.blocks.lock().unwrap_or_else(|e| e.into_inner()))
    }
    fn load(&self, key: BlockKey) -> Option<Vec<u8>> {
        let block = self.load.ask(|| self.outbox.send(&Up::Load { key }));
        block.flatten().map(|Blob(block)| block)
    }
    fn save(&self, key: BlockKey, contents: &[u8]) -> Vec<BlockKey> {
        let block = Blob(contents.to_vec());
        // One that is too large for a frame is not kept.
        self.save.ask(|| self.outbox.send(&Up::Save { key, block })).unwrap_or_else(|| vec![key])
    }
}
