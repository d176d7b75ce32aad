//! The store: opening, closing, and the ports.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

use rusqlite::Connection;
use seal::{Binding, KeyRing, Purpose};
use store::totals::check_balance;
use store::{
    AuditLog, Change, CheckpointRow, Done, Entry, Error, HoldRow, Identity, Ledger, LedgerCheck, Posting,
    Record, Records, Secrets, SessionPart, Sessions, Settlement, SpendQuery, SpendRow, State, Store, TileRow,
    check_leaf, check_secret, check_session, codec,
};
use units::{RequestId, TeamId};

use crate::DATABASE_FILE;
use crate::checkpoint::Checkpointer;
use crate::connect::{Role, connect};
use crate::error::{Sqlite, from_io};
use crate::identity::Cache;
use crate::lock::Lock;
use crate::queue::{Append, Job, Queue, Settled};
use crate::writer::{Progress, Writer};
use crate::{holds, log, read, schema, sessions};

/// Bounds, with what they buy.
#[derive(Clone, Debug)]
pub struct Config {
    /// Jobs queued at most; a caller waits for room. 8,192 is half a second of
    /// settles at the rate the writer reaches here.
    pub queue_entries: usize,
    /// Bytes of rows queued at most.
    pub queue_bytes: usize,
    /// The largest size of the database in pages of 4 KiB; `None` is SQLite's own (16 TiB).
    pub pages_max: Option<u32>,
}

impl Default for Config {
    fn default() -> Config {
        Config { queue_entries: 8_192, queue_bytes: 32 << 20, pages_max: None }
    }
}

/// A data directory, open. The only one on it: see [`Error::Locked`].
pub struct SqliteStore {
    queue: Arc<Queue>,
    progress: Arc<Progress>,
    cache: Arc<Cache>,
    checkpointer: Arc<Checkpointer>,
    /// `None` once closed: then nothing is left to read with.
    reader: Mutex<Option<Connection>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    keys: KeyRing,
    lock: Mutex<Option<Lock>>,
}

impl SqliteStore {
    /// Opens `<dir>/platform.db`, making or migrating it, and starts the writer.
    pub fn open(dir: &Path, keys: &KeyRing) -> Result<SqliteStore, Error> {
        SqliteStore::open_with(dir, keys, &Config::default())
    }

    pub fn open_with(dir: &Path, keys: &KeyRing, config: &Config) -> Result<SqliteStore, Error> {
        std::fs::create_dir_all(dir).map_err(|e| from_io(&dir.display().to_string(), &e))?;
        let lock = Lock::take(dir)?;
        let path = dir.join(DATABASE_FILE);
        let key = keys.key(Purpose::Sqlite);
        let mut connection = connect(&path, &key, &Role::Writer)?;
        schema::migrate(&mut connection, &path)?;
        if let Some(pages) = config.pages_max {
            connection.pragma_update(None, "max_page_count", pages).sql()?;
        }
        let queue = Arc::new(Queue::new(config.queue_entries, config.queue_bytes));
        let progress = Arc::new(Progress::default());
        let cache = Arc::new(Cache::open(&connection)?);
        let checkpointer = Arc::new(Checkpointer::default());
        let writer =
            Writer::open(connection, queue.clone(), progress.clone(), cache.clone(), checkpointer.clone())?;
        let reader = connect(&path, &key, &Role::Reader)?;
        let mover = connect(&path, &key, &Role::Reader)?;
        mover.execute_batch("PRAGMA query_only = OFF").sql()?;
        let start = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.into()).spawn(run);
            thread.map_err(|e| from_io("start a thread", &e))
        };
        let moving = checkpointer.clone();
        let threads = vec![
            start("store-checkpoint", Box::new(move || moving.run(&mover)))?,
            start("store-writer", Box::new(move || writer.run()))?,
        ];
        Ok(SqliteStore {
            queue,
            progress,
            cache,
            checkpointer,
            reader: Mutex::new(Some(reader)),
            threads: Mutex::new(threads),
            keys: keys.clone(),
            lock: Mutex::new(Some(lock)),
        })
    }

    /// Asks the writer and waits for its answer.
    fn ask<T>(&self, job: impl FnOnce(mpsc::Sender<Result<T, Error>>) -> Job) -> Result<T, Error> {
        let (sender, receiver) = mpsc::channel();
        self.queue.push(job(sender));
        receiver.recv().unwrap_or(Err(Error::Closed))
    }

    /// Reads what is there, acknowledged or older.
    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        locked(&self.reader).as_ref().map_or(Err(Error::Closed), read)
    }

    /// Reads after everything acknowledged has been derived.
    fn read_books<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        if self.progress.is_behind() {
            self.ask(Job::Flush)?;
        }
        self.read(read)
    }
}

/// What the locks of this file guard is replaced whole or not at all.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Identity for SqliteStore {
    fn load(&self) -> Result<State, Error> {
        Ok(self.cache.get())
    }
    fn change(&self, changes: &[Change]) -> Result<u64, Error> {
        if changes.is_empty() {
            return Ok(self.cache.generation());
        }
        self.ask(|reply| Job::Change(changes.to_vec(), reply))
    }
}

impl Ledger for SqliteStore {
    fn append(&self, entry: Entry, done: Done) {
        let job = match entry {
            Entry::Hold(hold) => Job::Hold(hold, done),
            Entry::Leaf(leaf) => {
                if let Err(error) = check_leaf(&leaf) {
                    return done(Err(error));
                }
                Job::Append(Append { leaf: Some(leaf), ..Append::default() }, done)
            }
            Entry::Session(change) => {
                if let Err(error) = check_session(&change) {
                    return done(Err(error));
                }
                Job::Append(Append { session: Some(change), ..Append::default() }, done)
            }
            Entry::Settle { record, postings, leaf } => {
                let sound =
                    check_balance(&postings).and_then(|()| leaf.as_deref().map_or(Ok(()), check_leaf));
                if let Err(error) = sound {
                    return done(Err(error));
                }
                // Here, on the caller's thread: the writer is the narrow place.
                let mut record_bytes = Vec::with_capacity(512);
                codec::encode_record(&record, &mut record_bytes);
                let mut posting_bytes = Vec::with_capacity(128);
                codec::encode_postings(&postings, &mut posting_bytes);
                let settled = Some(Settled { record, record_bytes, posting_bytes });
                Job::Append(Append { settled, leaf, session: None }, done)
            }
        };
        self.queue.push(job);
    }
    fn open_holds(&self) -> Result<Vec<HoldRow>, Error> {
        self.read(holds::read)
    }
    fn postings(&self, request: RequestId) -> Result<Vec<Posting>, Error> {
        self.read_books(|connection| read::postings(connection, request))
    }
    fn settlements(&self, number: u64, limit: usize) -> Result<Vec<Settlement>, Error> {
        self.read_books(|connection| read::settlements(connection, number, limit))
    }
    fn spend(&self, query: &SpendQuery) -> Result<Vec<SpendRow>, Error> {
        self.read_books(|connection| read::spend(connection, query))
    }
    fn check(&self) -> Result<LedgerCheck, Error> {
        self.read_books(read::check)
    }
}

impl Records for SqliteStore {
    fn record(&self, id: RequestId) -> Result<Option<Record>, Error> {
        self.read_books(|connection| read::record(connection, id))
    }
    fn recent(&self, limit: usize) -> Result<Vec<Record>, Error> {
        self.read_books(|connection| read::recent(connection, limit))
    }
}

/// Where a secret stands, so that one cannot be put in another's place.
fn place(name: &str) -> Binding<'_> {
    Binding { table: "secret", row: name.as_bytes(), version: 1 }
}

impl Secrets for SqliteStore {
    fn put_secret(&self, name: &str, value: &[u8]) -> Result<(), Error> {
        check_secret(name, value)?;
        let sealed = self.keys.seal(Purpose::Secrets, &place(name), value);
        self.ask(|reply| Job::PutSecret(name.to_owned(), sealed, reply))
    }
    fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(sealed) = self.read(|connection| read::sealed_secret(connection, name))? else {
            return Ok(None);
        };
        let value = self.keys.unseal(Purpose::Secrets, &place(name), &sealed);
        value.map(|value| Some(value.to_vec())).map_err(|e| Error::Damaged(format!("secret \"{name}\": {e}")))
    }
    fn secret_names(&self) -> Result<Vec<String>, Error> {
        self.read(read::secret_names)
    }
    fn remove_secret(&self, name: &str) -> Result<bool, Error> {
        self.ask(|reply| Job::RemoveSecret(name.to_owned(), reply))
    }
}

impl AuditLog for SqliteStore {
    fn log_size(&self) -> Result<u64, Error> {
        self.read(log::size)
    }
    fn leaves(&self, from: u64, limit: usize) -> Result<Vec<Vec<u8>>, Error> {
        self.read(|connection| log::leaves(connection, from, limit))
    }
    fn leaf_of(&self, request: RequestId) -> Result<Option<u64>, Error> {
        self.read_books(|connection| log::leaf_of(connection, request))
    }
    fn publish(&self, tiles: &[TileRow], checkpoint: &CheckpointRow) -> Result<(), Error> {
        self.ask(|reply| Job::Publish(tiles.to_vec(), checkpoint.clone(), reply))
    }
    fn tile(&self, level: u8, n: u64) -> Result<Option<Vec<u8>>, Error> {
        self.read(|connection| log::tile(connection, level, n))
    }
    fn checkpoints(&self, limit: usize) -> Result<Vec<CheckpointRow>, Error> {
        self.read(|connection| log::checkpoints(connection, limit))
    }
    fn last_cosigned(&self) -> Result<Option<CheckpointRow>, Error> {
        self.read(log::last_cosigned)
    }
}

impl Sessions for SqliteStore {
    fn session_parts(&self, from: ([u8; 32], u32), limit: usize) -> Result<Vec<SessionPart>, Error> {
        self.read(|connection| sessions::read(connection, from, limit))
    }
    fn erase_sessions(&self, team: TeamId) -> Result<(), Error> {
        self.ask(|reply| Job::EraseSessions(team, reply))
    }
}

impl Store for SqliteStore {
    fn close(&self) -> Result<(), Error> {
        self.queue.close();
        self.checkpointer.close();
        // The writer's connection goes last: SQLite then moves the whole WAL
        // back, and the next start has nothing to recover.
        locked(&self.reader).take();
        for thread in locked(&self.threads).drain(..) {
            thread.join().map_err(|_| Error::Io("a thread of the store panicked".into()))?;
        }
        locked(&self.lock).take();
        Ok(())
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        let _ = self.close();
    }
}
