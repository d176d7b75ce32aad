//! The thread that writes one tenant's file.
//!
//! A job is a function over the open transaction. Whatever is queued when the
//! writer gets to it becomes one transaction, each job in a savepoint of its own:
//! a job that fails takes back only itself, and all that succeeded are durable
//! by one sync. Callers are told after the commit, never before.

use std::sync::{Arc, mpsc};

use rusqlite::Connection;
use store::Error;

use crate::books::{begin, end};
use crate::checkpoint::Checkpointer;
use crate::error::Sqlite;
use crate::queue::{Queue, Queued};
use crate::tenant::classes::KnownClasses;
use crate::tenant::text::Texts;

/// Bytes of jobs that one transaction takes on at most, unless one alone is
/// larger: 8 MiB are some 5,000 chunks, half a second of work here.
const GROUP_BYTES: usize = 8 << 20;
/// Pages given back to the disk between two groups, when more than a quarter of the file is free.
const VACUUM_PAGES: u32 = 256;

/// Told what became of the transaction.
type Reply = Box<dyn FnOnce(Result<(), Error>) + Send>;
/// Given the open transaction, or why there is none.
type Work = Box<dyn FnOnce(Result<&Connection, Error>) -> Reply + Send>;

pub(crate) struct Job {
    bytes: usize,
    work: Work,
    /// Whether it makes room in the file.
    frees: bool,
}

impl Queued for Job {
    fn bytes(&self) -> usize {
        self.bytes
    }
    fn fail(self, _: Error) {
        // Dropping the work drops its sender, and who waits reads that it is closed.
    }
}

impl Job {
    /// A job and where its result will be. `bytes`: what it holds in memory, about. `then` is
    /// shown the result between the commit and its caller's learning of it.
    pub fn new<T: Send + 'static>(
        bytes: usize,
        frees: bool,
        work: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
        then: impl FnOnce(&T) + Send + 'static,
    ) -> (Job, mpsc::Receiver<Result<T, Error>>) {
        let (sender, receiver) = mpsc::channel();
        let run = move |transaction: Result<&Connection, Error>| -> Reply {
            let result = transaction.and_then(|connection| nested(connection, work));
            // A caller that no longer waits needs no reply.
            Box::new(move |committed: Result<(), Error>| {
                let result = committed.and(result);
                if let Ok(value) = &result {
                    then(value);
                }
                drop(sender.send(result));
            })
        };
        (Job { bytes: 500 + bytes, frees, work: Box::new(run) }, receiver)
    }
}

/// In a savepoint: all of it or nothing.
fn nested<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    let run = |sql: &str| connection.prepare_cached(sql).sql()?.execute([]).map(|_| ()).sql();
    run("SAVEPOINT job")?;
    let result = work(connection).and_then(|value| run("RELEASE job").map(|()| value));
    // After some errors (a full disk) SQLite has rolled back everything by itself.
    if result.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK TO job; RELEASE job").sql()?;
    }
    result
}

pub(crate) struct Writer {
    pub connection: Connection,
    pub queue: Arc<Queue<Job>>,
    pub classes: Arc<KnownClasses>,
    pub texts: Arc<Texts>,
    pub checkpointer: Arc<Checkpointer>,
}

impl Writer {
    /// Until the queue is closed and everything in it done.
    pub fn run(self) {
        let _abandon = Abandon(&self.queue);
        let mut jobs = Vec::new();
        while self.queue.take(None, &mut jobs).is_some() {
            let mut waiting = jobs.drain(..).peekable();
            while waiting.peek().is_some() {
                let mut room = GROUP_BYTES;
                let mut group = Vec::new();
                while let Some(job) = waiting.next_if(|job| group.is_empty() || job.bytes <= room) {
                    room = room.saturating_sub(job.bytes);
                    group.push(job);
                }
                self.commit(group);
            }
        }
    }

    fn commit(&self, group: Vec<Job>) {
        let bytes = group.iter().map(|job| job.bytes).sum();
        let frees = group.iter().any(|job| job.frees);
        let begun = begin(&self.connection);
        // SQLite rolls back by itself after some errors (a full disk): then all that went
        // before is lost, and what followed would be a transaction of its own.
        let transaction = || match &begun {
            Ok(()) if self.connection.is_autocommit() => {
                Err(Error::Io("the transaction was rolled back".into()))
            }
            Ok(()) => Ok(&self.connection),
            Err(error) => Err(error.clone()),
        };
        let replies: Vec<Reply> = group.into_iter().map(|job| (job.work)(transaction())).collect();
        let result = transaction().and_then(|connection| end(connection, Ok(())));
        // Before anybody is told: whoever asks next must know the new classes.
        let result = result.and_then(|()| self.classes.refresh(&self.connection));
        if result.is_err() {
            self.texts.doubt();
        }
        for reply in replies {
            let result = result.clone();
            // A panic in a reply is its caller's.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || reply(result)));
        }
        self.checkpointer.wrote(bytes);
        if self.checkpointer.must_restart() {
            let _ = self.connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()));
            self.checkpointer.restarted();
        }
        if frees {
            // What fails here is room not given back, and is tried at the next removal.
            let _ = self.vacuum();
        }
    }

    /// Gives free pages back to the disk while nobody waits.
    fn vacuum(&self) -> Result<(), Error> {
        let count = |pragma: &str| -> Result<u32, Error> {
            self.connection.pragma_query_value(None, pragma, |row| row.get(0)).sql()
        };
        while self.queue.is_empty() {
            let free = count("freelist_count")?;
            if free < VACUUM_PAGES || free < count("page_count")? / 4 {
                return Ok(());
            }
            // A page goes with each step: the statement is stepped to its end.
            let sql = format!("PRAGMA incremental_vacuum({VACUUM_PAGES})");
            let mut statement = self.connection.prepare(&sql).sql()?;
            let mut rows = statement.query([]).sql()?;
            while rows.next().sql()?.is_some() {}
            self.checkpointer.wrote(VACUUM_PAGES as usize * 4096);
        }
        Ok(())
    }
}

/// However the thread ends, nobody waits for it in vain.
struct Abandon<'a>(&'a Queue<Job>);

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
