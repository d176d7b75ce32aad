//! Blocks of keys and values on an encrypted disk: the tier that survives a restart.
//!
//! A prompt's keys and values are a function of its text, so they are kept as
//! the text would be: encrypted under a key of the tenant whose prompt it was, in
//! a folder that only its owner reads. Destroying that key makes all of the
//! tenant's blocks misses. One file per block, because blocks are
//! evicted one by one and a log would have to be compacted; written beside and
//! renamed, so that a reader sees a block or none.
//!
//! **Any doubt is a miss.** Keys and values that are not exactly those of the
//! prompt would change the answer without a trace. So every bit of a file is
//! authenticated, together with the block's name and the fingerprint of model,
//! engine and settings; what does not open is removed, and its prompt computed again.
//!
//! One quota covers all fingerprints of a folder, with the least recently used
//! block going first, whichever model it is of: a model that was replaced
//! leaves as others need the room, and at the latest when nobody used its
//! blocks for 30 days.
//!
//! Invariants: no lock is held during I/O; after [`KvDisk::open`] the folder
//! holds no more than its quota; a failing or full disk costs hits, never a request.

mod block;
mod error;
mod folder;
mod index;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use scheduler::{BlockKey, BlockStore};
use seal::SecretKey;

use block::Cipher;
pub use block::TenantSecrets;
pub use error::Error;
use index::{Index, Room};

/// What a folder is opened with.
pub struct Options<'a> {
    /// Made if it is not there. For one process at a time: a second one is safe
    /// but counts the quota for itself.
    pub folder: PathBuf,
    /// The names of fingerprints are derived from it. With another one all blocks are misses.
    pub key: SecretKey,
    /// The keys of blocks are derived from these.
    pub tenants: TenantSecrets,
    /// Everything that the contents depend on beside the tokens: the model file,
    /// the engine's build, the types of keys and values, the kind of attention.
    pub fingerprint: &'a str,
    /// Most bytes of the folder, over all fingerprints, counted in pages of 4 KiB.
    pub quota_bytes: u64,
}

/// What happened since the folder was opened, and what there is. Over all
/// fingerprints that share it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Loads that gave contents.
    pub hits: u64,
    pub misses: u64,
    /// Blocks written.
    pub saved: u64,
    /// Blocks that could not be kept: too large, no space, an error.
    pub refused: u64,
    /// Blocks removed to make room.
    pub evicted: u64,
    pub blocks: u64,
    /// Bytes of the quota in use.
    pub bytes: u64,
}

/// The blocks of one fingerprint in a folder.
pub struct KvDisk {
    shared: Arc<Shared>,
    cipher: Cipher,
}

struct Shared {
    folder: PathBuf,
    key: SecretKey,
    tenants: TenantSecrets,
    index: Mutex<Index>,
    hits: AtomicU64,
    misses: AtomicU64,
    saved: AtomicU64,
    refused: AtomicU64,
    evicted: AtomicU64,
}

impl KvDisk {
    /// Makes the folder or reads which blocks are in it; what is no block, was
    /// idle for 30 days or is over the quota is removed. Blocks.
    ///
    /// # Errors
    /// When the folder can be neither made nor read.
    pub fn open(options: Options<'_>) -> Result<KvDisk, Error> {
        let Options { folder, key, tenants, fingerprint, quota_bytes } = options;
        folder::make(&folder)
            .map_err(|source| Error::Folder { path: folder.display().to_string(), source })?;
        let mut index = Index::new(quota_bytes);
        for block in folder::scan(&folder, runtime::clock::now()) {
            index.found(block.id, block.length);
        }
        for id in index.shrink(0) {
            remove(&folder::path(&folder, id));
        }
        let cipher = Cipher::new(&key, &tenants, fingerprint);
        let (hits, misses, saved, refused, evicted) = Default::default();
        let index = Mutex::new(index);
        let shared = Shared { folder, key, tenants, index, hits, misses, saved, refused, evicted };
        Ok(KvDisk { shared: Arc::new(shared), cipher })
    }

    /// The blocks of another fingerprint in the same folder, under the same
    /// quota and order of use: for a second model in the process.
    pub fn sibling(&self, fingerprint: &str) -> KvDisk {
        let cipher = Cipher::new(&self.shared.key, &self.shared.tenants, fingerprint);
        KvDisk { shared: self.shared.clone(), cipher }
    }

    pub fn counters(&self) -> Counters {
        let (blocks, bytes) = self.index().size();
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let s = &self.shared;
        let (hits, misses, saved) = (get(&s.hits), get(&s.misses), get(&s.saved));
        Counters { hits, misses, saved, refused: get(&s.refused), evicted: get(&s.evicted), blocks, bytes }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        // Nothing in there panics half way; and if it did, doubt is a miss.
        self.shared.index.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn read(&self, key: BlockKey, path: &Path) -> Option<Vec<u8>> {
        let mut file = File::open(path).ok()?;
        let contents = self.cipher.open(key, &mut file)?;
        folder::mark_used(&file);
        Some(contents)
    }
}

impl BlockStore for KvDisk {
    fn keys(&self) -> Vec<(BlockKey, u64)> {
        self.index().of(self.cipher.fingerprint)
    }

    fn load(&self, key: BlockKey) -> Option<Vec<u8>> {
        let id = (self.cipher.fingerprint, key);
        let known = self.index().touch(id);
        let contents = known.and_then(|born| {
            let path = folder::path(&self.shared.folder, id);
            let contents = self.read(key, &path);
            // What cannot be read now is not tried again.
            if contents.is_none() && self.index().forget(id, born) {
                remove(&path);
            }
            contents
        });
        count(if contents.is_some() { &self.shared.hits } else { &self.shared.misses });
        contents
    }

    fn save(&self, key: BlockKey, contents: &[u8]) -> Vec<BlockKey> {
        let id = (self.cipher.fingerprint, key);
        let room = self.index().reserve(id, contents.len() as u64);
        let (born, evicted) = match room {
            Room::Known => return Vec::new(),
            Room::Refused => {
                count(&self.shared.refused);
                return vec![key];
            }
            Room::Reserved { born, evicted } => (born, evicted),
        };
        for id in &evicted {
            remove(&folder::path(&self.shared.folder, *id));
            count(&self.shared.evicted);
        }
        let mut gone: Vec<BlockKey> = evicted.iter().filter(|e| e.0 == id.0).map(|e| e.1).collect();
        let path = folder::path(&self.shared.folder, id);
        let sealed = self.cipher.seal(key, contents);
        match sealed.map(|file| folder::write(&path, &file)) {
            Some(Ok(())) => {
                self.index().keep(id, born);
                count(&self.shared.saved);
            }
            None | Some(Err(_)) => {
                self.index().forget(id, born);
                count(&self.shared.refused);
                gone.push(key);
            }
        }
        gone
    }
}

/// A file that stays is overwritten or found at the next start.
fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
