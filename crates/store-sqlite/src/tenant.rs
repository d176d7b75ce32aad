//! One tenant's file: documents, full text, vectors, answers, memory and graph
//! of a team, encrypted under a key of the team's own.
//!
//! One writer thread ([`writer`]), readers beside it in WAL. What a reader may
//! see is decided twice: searches filter by [`classes`] on the narrow table `acl`,
//! and what is fetched is asked by its document's own row ([`fetch`]).

mod answers;
mod classes;
mod collections;
mod fetch;
mod graph;
mod index;
mod ports;
mod put;
mod remember;
pub(crate) mod schema;
mod search;
pub(crate) mod text;
mod values;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use seal::SecretKey;
use store::Error;
use store::documents::Reader;
use units::TeamId;

use crate::checkpoint::Checkpointer;
use crate::connect::{Role, connect};
use crate::error::{Sqlite, from_io};
use crate::queue::Queue;
use crate::schema::migrate_by;
use classes::KnownClasses;
use fetch::Reading;
use text::{TextConfig, Texts};
use writer::{Job, Writer};

/// Jobs queued at most; a caller waits for room.
const QUEUE_ENTRIES: usize = 1_024;
/// Bytes of jobs queued at most: 32 MiB are some 20,000 chunks.
const QUEUE_BYTES: usize = 32 << 20;
/// Connections kept for the next reader. More readers at once open their own, which
/// takes a tenth of a millisecond.
const READERS_IDLE: usize = 4;

/// A tenant's file, open.
pub(crate) struct TenantFile {
    team: TeamId,
    path: PathBuf,
    key: SecretKey,
    queue: Arc<Queue<Job>>,
    classes: Arc<KnownClasses>,
    texts: Arc<Texts>,
    checkpointer: Arc<Checkpointer>,
    readers: Mutex<Vec<Connection>>,
    closed: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the locks of this file guard is replaced whole or not at all.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TenantFile {
    /// Opens the file, making or migrating it, and starts its writer.
    pub fn open(path: &Path, key: SecretKey, team: TeamId, text: TextConfig) -> Result<TenantFile, Error> {
        let mut connection = connect(path, &key, &Role::Documents)?;
        migrate_by(&mut connection, path, schema::STEPS)?;
        let queue = Arc::new(Queue::new(QUEUE_ENTRIES, QUEUE_BYTES));
        let classes = Arc::new(KnownClasses::open(&connection)?);
        let texts = Arc::new(Texts::new(text));
        let checkpointer = Arc::new(Checkpointer::default());
        let mover = connect(path, &key, &Role::Reader)?;
        mover.execute_batch("PRAGMA query_only = OFF").sql()?;
        let writer = Writer {
            connection,
            queue: queue.clone(),
            classes: classes.clone(),
            texts: texts.clone(),
            checkpointer: checkpointer.clone(),
        };
        let start = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.into()).spawn(run);
            thread.map_err(|e| from_io("start a thread", &e))
        };
        let moving = checkpointer.clone();
        let threads = vec![
            start("docs-checkpoint", Box::new(move || moving.run(&mover)))?,
            start("docs-writer", Box::new(move || writer.run()))?,
        ];
        Ok(TenantFile {
            team,
            path: path.to_owned(),
            key,
            queue,
            classes,
            texts,
            checkpointer,
            readers: Mutex::default(),
            closed: AtomicBool::new(false),
            threads: Mutex::new(threads),
        })
    }

    /// Finishes what is queued; later calls fail. What reads now reads to its end.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.queue.close();
        self.checkpointer.close();
        self.texts.close();
        // The writer's connection goes last: SQLite then moves the whole WAL back.
        locked(&self.readers).clear();
        for thread in locked(&self.threads).drain(..) {
            // One that panicked has told its callers already.
            let _ = thread.join();
        }
    }

    /// What is kept in memory beside the connections' caches.
    pub fn text_bytes(&self) -> u64 {
        self.texts.bytes()
    }

    /// In the writer's next transaction; returns when that is durable.
    fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.ask(Job::new(bytes, false, work, |_| {}))
    }

    /// The same for what changes chunks: `then` notes it before anybody learns of it.
    fn change<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
        then: impl FnOnce(&Texts, &T) + Send + 'static,
    ) -> Result<T, Error> {
        let texts = self.texts.clone();
        self.ask(Job::new(bytes, false, work, move |value| then(&texts, value)))
    }

    /// The same for what makes room in the file.
    fn free<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
        then: impl FnOnce(&Texts, &T) + Send + 'static,
    ) -> Result<T, Error> {
        let texts = self.texts.clone();
        self.ask(Job::new(bytes, true, work, move |value| then(&texts, value)))
    }

    fn ask<T>(
        &self,
        (job, receiver): (Job, std::sync::mpsc::Receiver<Result<T, Error>>),
    ) -> Result<T, Error> {
        self.queue.push(job);
        receiver.recv().unwrap_or(Err(Error::Closed))
    }

    /// Everything that `read` reads is of one moment.
    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        let idle = locked(&self.readers).pop();
        let connection = idle.map_or_else(|| connect(&self.path, &self.key, &Role::Reader), Ok)?;
        // Dropped with its transaction if `read` fails or panics.
        connection.prepare_cached("BEGIN").sql()?.execute([]).sql()?;
        let result = read(&connection)?;
        connection.prepare_cached("COMMIT").sql()?.execute([]).sql()?;
        let mut readers = locked(&self.readers);
        if readers.len() < READERS_IDLE && !self.closed.load(Ordering::Acquire) {
            readers.push(connection);
        }
        Ok(result)
    }

    /// For a reader of this team; anybody else's result is `none`.
    fn read_for<T>(
        &self,
        reader: &Reader,
        none: T,
        read: impl FnOnce(&Connection, &Reading<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if reader.team() != self.team {
            return Ok(none);
        }
        // The rights first, then the rows: a class that comes between the two is not read,
        // and one that was taken from a document between them is read as it is now.
        let reading = Reading::new(&self.classes, reader);
        self.read(|connection| read(connection, &reading))
    }
}

impl Drop for TenantFile {
    fn drop(&mut self) {
        self.close();
    }
}
