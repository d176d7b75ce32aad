//! The thread that writes.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use store::{Change, CheckpointRow, Done, Error, Record, TileRow};
use units::RequestId;

use crate::books::{append, begin, end, last_seq};
use crate::checkpoint::Checkpointer;
use crate::derive::{GROUP, catch_up, derive, is_settled};
use crate::error::Sqlite;
use crate::holds::{Due, Holds, Outcome};
use crate::identity::Cache;
use crate::log;
use crate::queue::{Append, Job, Queue, call};
use crate::sessions;

/// Settles per commit at most: about 5 ms of work.
const COMMIT_MAX: usize = 1024;
/// Rows left underived at most before appends must wait for a group of them.
const PENDING_MAX: usize = 4 * GROUP;
/// Rows left underived at most at all: reached only when deriving fails, which
/// a full disk makes it do. Then appends fail too, rather than fill the memory.
const PENDING_LIMIT: usize = 1 << 16;
/// How long rows may stay underived while nothing is asked for.
const DERIVE_AFTER: Duration = Duration::from_millis(200);

/// The shortest time between two commits, unless a group is large enough: what
/// it adds to an answer's end is less than the millisecond the gateway may add,
/// and at 5,000 requests a second it makes groups of four instead of one.
const PACE: Duration = Duration::from_micros(700);
/// A group worth its commit at once.
const GATHERED: usize = 64;

/// How far the books are, for readers.
#[derive(Default)]
pub(crate) struct Progress {
    appended: AtomicI64,
    derived: AtomicI64,
}

impl Progress {
    /// Whether something acknowledged is not derived yet.
    pub fn is_behind(&self) -> bool {
        self.appended.load(Ordering::Acquire) > self.derived.load(Ordering::Acquire)
    }
}

pub(crate) struct Writer {
    connection: Connection,
    queue: Arc<Queue>,
    progress: Arc<Progress>,
    cache: Arc<Cache>,
    checkpointer: Arc<Checkpointer>,
    holds: Holds,
    pending: VecDeque<(i64, Arc<Record>)>,
    pending_ids: HashSet<RequestId>,
    pending_since: Option<Instant>,
    next_seq: i64,
    /// The number of the next leaf of the audit log.
    next_leaf: i64,
    /// When the last commit ended, and how many settles it held.
    committed: Option<Instant>,
    last_group: usize,
}

/// The one place of this crate that reads a clock.
#[expect(clippy::disallowed_methods, reason = "holds are due after a time; nothing of it is stored")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

impl Writer {
    /// Brings the derived tables up to date first: a crash may have left them behind.
    pub fn open(
        connection: Connection,
        queue: Arc<Queue>,
        progress: Arc<Progress>,
        cache: Arc<Cache>,
        checkpointer: Arc<Checkpointer>,
    ) -> Result<Writer, Error> {
        catch_up(&connection)?;
        let holds = Holds::open(&connection)?;
        let last = last_seq(&connection)?;
        let next_leaf = log::next(&connection)?;
        progress.appended.store(last, Ordering::Release);
        progress.derived.store(last, Ordering::Release);
        Ok(Writer {
            connection,
            queue,
            progress,
            cache,
            checkpointer,
            holds,
            pending: VecDeque::new(),
            pending_ids: HashSet::new(),
            pending_since: None,
            next_seq: last + 1,
            next_leaf,
            committed: None,
            last_group: 0,
        })
    }

    /// Until the queue is closed and everything in it done.
    pub fn run(mut self) {
        let queue = self.queue.clone();
        // However this thread ends, nobody waits for it in vain.
        let _abandon = OnExit(|| queue.abandon());
        let mut jobs = Vec::new();
        let mut group = Vec::new();
        while queue.take(self.patience(), &mut jobs).is_some() {
            self.gather(&mut jobs);
            for job in jobs.drain(..) {
                match job {
                    Job::Append(append, done) => {
                        group.push((append, done));
                        if group.len() >= COMMIT_MAX {
                            self.commit(&mut group, Due::At(now()));
                        }
                    }
                    Job::Hold(hold, done) => self.holds.add(hold, done, now()),
                    other => {
                        self.commit(&mut group, Due::At(now()));
                        self.other(other);
                    }
                }
            }
            self.commit(&mut group, Due::At(now()));
            self.keep_house();
        }
        self.commit(&mut group, Due::All);
        let _ = self.derive_all();
    }

    /// Lets a group grow while the writer is busy. A commit costs about 50 µs of
    /// CPU however little it holds, so under load there is at most one in
    /// [`PACE`]. Requests that come one at a time, however evenly, never wait.
    fn gather(&self, jobs: &mut Vec<Job>) {
        let Some(left) = self.committed.and_then(|at| PACE.checked_sub(now().saturating_duration_since(at)))
        else {
            return;
        };
        let crowded = self.last_group > 1 || jobs.len() > 1;
        if crowded && jobs.len() < GATHERED {
            std::thread::sleep(left);
            self.queue.more(jobs);
        }
    }

    fn patience(&mut self) -> Option<Duration> {
        let now = now();
        let derive =
            self.pending_since.map(|since| DERIVE_AFTER.saturating_sub(now.saturating_duration_since(since)));
        match (self.holds.due_in(now), derive) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// One transaction: the group's settles and leaves, and the holds that are due.
    fn commit(&mut self, group: &mut Vec<(Append, Done)>, due: Due) {
        let holds_due = match due {
            Due::At(now) => self.holds.due_in(now).is_some_and(|left| left.is_zero()),
            Due::All => true,
        };
        if group.is_empty() && !holds_due {
            return;
        }
        let mut outcome = Outcome::default();
        let room =
            if self.pending.len() + group.len() <= PENDING_LIMIT { Ok(()) } else { self.derive_group() };
        let result = room.and_then(|()| begin(&self.connection)).and_then(|()| {
            let work = self.write(group, due, &mut outcome);
            end(&self.connection, work)
        });
        self.committed = Some(now());
        self.last_group = group.len();
        let told = match result {
            Ok(()) => {
                self.keep(group);
                self.holds.keep(outcome)
            }
            Err(_) => self.holds.give_up(due),
        };
        for done in group.drain(..).map(|(_, done)| done).chain(told) {
            call(done, result.clone());
        }
    }

    fn write(&self, group: &[(Append, Done)], due: Due, outcome: &mut Outcome) -> Result<(), Error> {
        let (mut seq, mut next_leaf) = (self.next_seq, self.next_leaf);
        for (Append { settled, leaf, session }, _) in group {
            if let Some(change) = session {
                sessions::write(&self.connection, change)?;
            }
            let mut number = None;
            if let Some(leaf) = leaf {
                log::append(&self.connection, next_leaf, leaf)?;
                number = Some(next_leaf);
                next_leaf += 1;
            }
            if let Some(settled) = settled {
                append(&self.connection, seq, settled, number)?;
                self.holds.settle(&self.connection, settled.record.id, outcome)?;
                seq += 1;
            }
        }
        // A hold of this group's requests is closed already.
        let settled = |id: RequestId| {
            if self.pending_ids.contains(&id) { Ok(true) } else { is_settled(&self.connection, id) }
        };
        self.holds.write_due(&self.connection, due, settled, outcome)
    }

    /// What was appended is to be derived.
    fn keep(&mut self, group: &[(Append, Done)]) {
        let mut bytes = 0;
        for (append, _) in group {
            bytes += append.bytes();
            self.next_leaf += i64::from(append.leaf.is_some());
            if let Some(settled) = &append.settled {
                self.pending.push_back((self.next_seq, settled.record.clone()));
                self.pending_ids.insert(settled.record.id);
                self.next_seq += 1;
            }
        }
        if !self.pending.is_empty() {
            self.pending_since.get_or_insert_with(now);
            self.progress.appended.store(self.next_seq - 1, Ordering::Release);
        }
        self.checkpointer.wrote(bytes);
    }

    fn other(&mut self, job: Job) {
        // A caller that no longer waits for its reply needs none.
        match job {
            Job::Change(changes, reply) => drop(reply.send(self.change(&changes))),
            Job::PutSecret(name, sealed, reply) => drop(reply.send(self.put_secret(&name, &sealed))),
            Job::RemoveSecret(name, reply) => drop(reply.send(self.remove_secret(&name))),
            Job::Publish(tiles, checkpoint, reply) => {
                drop(reply.send(self.publish(&tiles, &checkpoint)));
            }
            Job::EraseSessions(team, reply) => {
                drop(reply.send(sessions::erase(&self.connection, team)));
            }
            Job::Flush(reply) => drop(reply.send(self.derive_all())),
            Job::Hold(..) | Job::Append(..) => unreachable!("`run` handles entries itself"),
        }
    }

    fn change(&mut self, changes: &[Change]) -> Result<u64, Error> {
        let next = self.cache.applied(changes)?;
        begin(&self.connection)?;
        let work = crate::identity::write(&self.connection, changes, next.generation);
        end(&self.connection, work)?;
        let generation = next.generation;
        self.cache.set(next);
        Ok(generation)
    }

    fn publish(&self, tiles: &[TileRow], checkpoint: &CheckpointRow) -> Result<(), Error> {
        begin(&self.connection)?;
        let work = log::publish(&self.connection, tiles, checkpoint);
        end(&self.connection, work)
    }

    fn put_secret(&self, name: &str, sealed: &[u8]) -> Result<(), Error> {
        let sql = "INSERT OR REPLACE INTO secrets (name, sealed) VALUES (?1, ?2)";
        self.connection.execute(sql, (name, sealed)).map(|_| ()).sql()
    }

    fn remove_secret(&self, name: &str) -> Result<bool, Error> {
        let removed = self.connection.execute("DELETE FROM secrets WHERE name = ?1", [name]).sql()?;
        Ok(removed > 0)
    }

    fn derive_all(&mut self) -> Result<(), Error> {
        while !self.pending.is_empty() {
            self.derive_group()?;
        }
        Ok(())
    }

    fn derive_group(&mut self) -> Result<(), Error> {
        let result = derive(&self.connection, &mut self.pending);
        self.pending_ids.clear();
        self.pending_ids.extend(self.pending.iter().map(|(_, record)| record.id));
        // Again later, whether some are left or it failed (a full disk).
        self.pending_since = (!self.pending.is_empty()).then(now);
        let first_left = self.pending.front().map_or(self.next_seq, |(seq, _)| *seq);
        self.progress.derived.store(first_left - 1, Ordering::Release);
        result
    }

    /// Between commits: derive when there is enough, or it waited long, and nobody waits.
    fn keep_house(&mut self) {
        let waited =
            self.pending_since.is_some_and(|since| now().saturating_duration_since(since) >= DERIVE_AFTER);
        let idle = self.queue.is_empty();
        let enough = self.pending.len() >= GROUP / 2;
        if self.pending.len() >= PENDING_MAX || (idle && (enough || waited)) {
            // A failure shows at the next read, which derives again.
            let _ = self.derive_group();
        }
        if self.checkpointer.must_restart() {
            // Waits for readers at most as long as the busy timeout.
            let _ = self.connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()));
            self.checkpointer.restarted();
        }
    }
}

/// Runs when dropped, after a panic too.
struct OnExit<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnExit<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
