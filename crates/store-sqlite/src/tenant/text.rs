//! Full text of large collections, from memory.
//!
//! FTS5 weighs every chunk that holds a term, and looks each of them up: a microsecond or
//! so a chunk, a tenth of a second at 100,000. So from some size on the lists of terms
//! are also kept in memory ([`postings`]), with the terms that FTS5 makes ([`lexer`]).
//! FTS5 stays the truth and answers whenever this does not.
//!
//! **How it keeps to the file.** After a commit, and before anybody is told of it, the
//! writer notes which chunks came, went or changed their readers ([`Changes`]). A search
//! takes over what was noted before it looks, so it finds what whoever asks could know of. When
//! that is too much at once, FTS5 answers while a thread of this file's takes it over; the
//! same thread makes the lists in the first place, chunk by chunk in the order of their
//! ids, while changes are noted from before it began. A change that is taken over twice, or
//! that what was read had already, changes nothing: ids only grow and a chunk's text stays.
//! What was read may be of a commit that is not noted yet: the thread waits for the writer to
//! have noted all of it, and a search that comes upon a chunk which went in such a commit asks
//! FTS5. So a document that is replaced is found in one version or the other.
//!
//! In doubt (a commit that failed, an error, a panic, too much noted) it is made again.

mod changes;
mod lexer;
mod postings;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;

use rusqlite::{Connection, OptionalExtension};
use store::Error;
use store::documents::{AclClass, ChunkId, Classes, Hit, Lexing, Put, Removed};
use units::CollectionId;

use super::writer::Job;
use super::{locked, schema, search, values};
use crate::error::{Sqlite, from_io};
use crate::queue::Queue;
use changes::{Change, Changes};
use lexer::Lexer;
use postings::{Asked, Postings};

/// Chunks that a search takes over by itself: some ten milliseconds of it.
const AT_ONCE: usize = 256;
/// Chunks read in one statement while the lists are made.
const PAGE: i64 = 500;

/// Which collections have their full text in memory, and what that may take.
#[derive(Clone, Debug)]
pub struct TextConfig {
    /// Chunks from which on a collection has: 10,000 take FTS5 some ten milliseconds.
    pub chunks_min: u64,
    /// Bytes of one collection's at most; beyond, FTS5 answers.
    pub bytes_max: usize,
    /// Whether a search waits for the lists instead of asking FTS5 meanwhile: for tests and benches.
    pub wait: bool,
}

impl Default for TextConfig {
    fn default() -> TextConfig {
        TextConfig { chunks_min: 10_000, bytes_max: 1 << 30, wait: false }
    }
}

/// Those of one tenant's file.
pub(crate) struct Texts {
    pub config: TextConfig,
    all: Mutex<HashMap<CollectionId, Arc<Text>>>,
    workers: Mutex<Vec<JoinHandle<()>>>,
    closed: AtomicBool,
}

/// One collection's.
struct Text {
    /// The number by which its tables know it.
    n: i64,
    kept: RwLock<Kept>,
    lexer: Mutex<Lexer>,
    changes: Mutex<Changes>,
    /// Whether a thread is at it.
    working: AtomicBool,
}

enum Kept {
    /// To be made.
    Nothing,
    /// Not to be made: too large, or it could not be read.
    Refused,
    Made(Made),
}

struct Made {
    /// Of its [`Changes`] when it was made.
    epoch: u64,
    postings: Postings,
    /// Chunks that came and went, the latter in a commit that is not noted yet.
    ahead: BTreeSet<ChunkId>,
}

impl Texts {
    pub fn new(config: TextConfig) -> Texts {
        Texts { config, all: Mutex::default(), workers: Mutex::default(), closed: AtomicBool::new(false) }
    }

    /// What all hold in memory, about.
    pub fn bytes(&self) -> u64 {
        let all: Vec<Arc<Text>> = locked(&self.all).values().cloned().collect();
        let bytes = all.iter().map(|text| match &*text.read() {
            Kept::Made(made) => made.postings.bytes() as u64,
            Kept::Nothing | Kept::Refused => 0,
        });
        bytes.sum()
    }

    /// Notes what a put changed, in the commit that has just been. `of`: the collection that
    /// its new chunks are of, if it is known to have any.
    pub fn put(&self, of: Option<CollectionId>, put: &Put) {
        if put.change == store::documents::Change::Unchanged {
            return;
        }
        let class = put.searched.then_some(put.class);
        for (id, text) in &*locked(&self.all) {
            let mut changes = locked(&text.changes);
            changes.note(&put.removed, Change::Removed);
            if of == Some(*id) {
                changes.note(&put.added, |ids| Change::Added(ids, class));
            }
            changes.note(&put.kept, |ids| Change::Classed(ids, class));
        }
    }

    /// Notes what was removed.
    pub fn removed(&self, removed: &[Removed]) {
        for text in locked(&self.all).values() {
            let mut changes = locked(&text.changes);
            removed.iter().for_each(|removed| changes.note(&removed.chunks, Change::Removed));
        }
    }

    /// A collection is gone.
    pub fn forget(&self, collection: CollectionId) {
        locked(&self.all).remove(&collection);
    }

    /// Nobody knows what has become of a commit: all are made again.
    pub fn doubt(&self) {
        locked(&self.all).values().for_each(|text| locked(&text.changes).doubt());
    }

    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wait();
    }

    /// Until no thread is at work.
    pub fn wait(&self) {
        let workers = std::mem::take(&mut *locked(&self.workers));
        for worker in workers {
            // One that panicked has left nothing that is used.
            let _ = worker.join();
        }
    }

    /// As [`search::search`], or `None`: then that is to be asked. The connection's transaction
    /// must not have read anything yet: it is to see all that was noted.
    pub fn search(
        &self,
        connection: &Connection,
        classes: &Classes,
        collection: CollectionId,
        terms: &[String],
        limit: usize,
    ) -> Result<Option<Vec<Hit>>, Error> {
        let Some(text) = locked(&self.all).get(&collection).cloned() else { return Ok(None) };
        let (epoch, noted) = locked(&text.changes).state();
        if !text.is_of(epoch) || noted.is_some_and(|chunks| chunks > AT_ONCE && !self.config.wait) {
            return Ok(None);
        }
        if noted.is_some() {
            text.catch_up(connection, usize::MAX)?;
        }
        text.search(connection, epoch, classes, terms, limit)
    }

    /// Whether a collection ought to be kept in memory, or what is kept has fallen behind: then
    /// [`Texts::start`] is to be called.
    pub fn wanted(&self, connection: &Connection, collection: CollectionId) -> Result<Option<Wanted>, Error> {
        if self.closed.load(Ordering::Acquire) {
            return Ok(None);
        }
        let there = locked(&self.all).get(&collection).cloned();
        if let Some(text) = there {
            let idle = !text.working.load(Ordering::Acquire) && !matches!(*text.read(), Kept::Refused);
            return Ok(idle.then_some(Wanted { collection, new: None }));
        }
        let sql = "SELECT n, lexing, filled FROM collections
                   JOIN generations ON generations.collection = n AND number = live WHERE id = ?1";
        let mut statement = connection.prepare_cached(sql).sql()?;
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, values::lexing(row, 1), values::count(row, 2)));
        let found = statement.query_row([collection.0.as_bytes()], row).optional().sql()?;
        let Some((n, lexing, chunks)) = found else { return Ok(None) };
        let (lexing, chunks) = (lexing?, chunks?);
        Ok((chunks >= self.config.chunks_min).then_some(Wanted { collection, new: Some((n, lexing)) }))
    }

    /// Starts a thread that makes what is wanted, or takes over what was noted.
    pub fn start(self: &Arc<Self>, wanted: &Wanted, file: File) -> Result<(), Error> {
        let mut workers = locked(&self.workers);
        if self.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        let text = {
            let mut all = locked(&self.all);
            match (all.get(&wanted.collection), wanted.new) {
                (Some(text), _) => Arc::clone(text),
                (None, Some((n, lexing))) => {
                    let text = Arc::new(Text::new(n, Lexer::open(lexing)?));
                    all.insert(wanted.collection, Arc::clone(&text));
                    text
                }
                (None, None) => return Ok(()),
            }
        };
        if text.working.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        workers.retain(|worker| !worker.is_finished());
        let texts = Arc::clone(self);
        let work = move || {
            if text.work(&texts, &file).is_err() {
                *text.write() = Kept::Refused;
            }
            text.working.store(false, Ordering::Release);
        };
        let thread = std::thread::Builder::new().name("docs-text".into()).spawn(work);
        workers.push(thread.map_err(|e| from_io("start a thread", &e))?);
        Ok(())
    }
}

/// A collection that ought to be kept in memory; `new`: the number and lexing of one that is not.
pub(crate) struct Wanted {
    collection: CollectionId,
    new: Option<(i64, Lexing)>,
}

/// What a thread reads by, and whom it asks whether all is noted.
pub(crate) struct File {
    pub connection: Connection,
    pub queue: Arc<Queue<Job>>,
}

impl Text {
    fn new(n: i64, lexer: Lexer) -> Text {
        Text {
            n,
            kept: RwLock::new(Kept::Nothing),
            lexer: Mutex::new(lexer),
            changes: Mutex::default(),
            working: AtomicBool::new(false),
        }
    }
    fn read(&self) -> RwLockReadGuard<'_, Kept> {
        // Whoever changes it takes it out, and puts it back when it is whole.
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn write(&self) -> RwLockWriteGuard<'_, Kept> {
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }
    fn is_of(&self, now: u64) -> bool {
        matches!(&*self.read(), Kept::Made(made) if made.epoch == now)
    }

    fn search(
        &self,
        connection: &Connection,
        now: u64,
        classes: &Classes,
        terms: &[String],
        limit: usize,
    ) -> Result<Option<Vec<Hit>>, Error> {
        let terms: Vec<String> = search::looked_at(terms).collect();
        let read = locked(&self.lexer).read(terms.iter().map(String::as_str))?;
        let kept = self.read();
        let Kept::Made(Made { epoch, postings, ahead }) = &*kept else { return Ok(None) };
        if *epoch != now || !ahead.is_empty() {
            return Ok(None);
        }
        let mut asked = Vec::with_capacity(terms.len());
        for (term, read) in terms.iter().zip(read) {
            match &read[..] {
                [one] => asked.push(Asked::Term(*one)),
                // Where terms stand in a chunk FTS5 alone knows.
                several if !several.is_empty() && several.iter().all(|term| postings.has(*term)) => {
                    asked.push(Asked::Phrase(search::worth(connection, self.n, term)?));
                }
                _ => {}
            }
        }
        Ok(postings.search(&asked, classes, values::limit(limit) as usize))
    }

    /// On a thread of its own.
    fn work(&self, texts: &Texts, file: &File) -> Result<(), Error> {
        let connection = &file.connection;
        let (epoch, _) = locked(&self.changes).state();
        if !self.is_of(epoch) {
            *self.write() = Kept::Nothing;
            let Some(postings) = self.made(texts, connection)? else { return Ok(()) };
            let (job, noted) = Job::new(0, false, |_| Ok(()), |()| {});
            file.queue.push(job);
            if noted.recv().is_err() {
                return Ok(());
            }
            *self.write() = Kept::Made(Made { epoch, postings, ahead: BTreeSet::new() });
        }
        while locked(&self.changes).state().1.is_some() && !texts.closed.load(Ordering::Acquire) {
            self.catch_up(connection, AT_ONCE)?;
        }
        Ok(())
    }

    /// From every row; `None` when the file is being closed.
    fn made(&self, texts: &Texts, connection: &Connection) -> Result<Option<Postings>, Error> {
        // The rows of what FTS5 has, in the order of their ids: quarantined ones too, which
        // count in the weights of terms.
        let sql = format!(
            "SELECT docs.id, heading, text, class FROM {}_docsize AS docs
             CROSS JOIN chunks ON chunks.id = docs.id
             LEFT JOIN acl ON acl.collection = ?1 AND acl.chunk = docs.id
             WHERE docs.id > ?2 ORDER BY docs.id LIMIT ?3",
            schema::fts(self.n)
        );
        let mut statement = connection.prepare_cached(&sql).sql()?;
        let mut postings = Postings::default();
        let mut after = 0;
        loop {
            if texts.closed.load(Ordering::Acquire) {
                return Ok(None);
            }
            let rows = statement.query_map((self.n, after, PAGE), |row| {
                Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get::<_, Option<u32>>(3)?))
            });
            let rows: Vec<(i64, String, String, Option<u32>)> =
                rows.sql()?.collect::<Result<_, _>>().sql()?;
            let Some(last) = rows.last() else { return Ok(Some(postings)) };
            after = last.0;
            let texts_of = rows.iter().flat_map(|(_, heading, text, _)| [heading.as_str(), text]);
            let mut terms = locked(&self.lexer).read(texts_of)?.into_iter();
            for (id, _, _, class) in &rows {
                let (Some(mut heading), Some(text)) = (terms.next(), terms.next()) else { break };
                heading.extend(text);
                postings.add(ChunkId(*id as u64), class.map(AclClass), heading);
            }
            if postings.bytes() > texts.config.bytes_max {
                return Err(Error::Invalid("full text is too large for memory".into()));
            }
        }
    }

    /// Takes over what was noted, up to about so many chunks.
    fn catch_up(&self, connection: &Connection, most: usize) -> Result<(), Error> {
        let mut kept = self.write();
        // Taken out: after an error or a panic it is made again.
        let Kept::Made(mut made) = std::mem::replace(&mut *kept, Kept::Nothing) else { return Ok(()) };
        let changes = locked(&self.changes).take(most);
        for change in changes {
            match change {
                Change::Removed(ids) => {
                    made.postings.remove(&ids);
                    made.ahead.retain(|id| !ids.contains(id));
                }
                Change::Classed(ids, class) => made.postings.classify(&ids, class),
                Change::Added(ids, class) => self.add(connection, &mut made, &ids, class)?,
            }
        }
        *kept = Kept::Made(made);
        Ok(())
    }

    fn add(
        &self,
        connection: &Connection,
        made: &mut Made,
        ids: &[ChunkId],
        class: Option<AclClass>,
    ) -> Result<(), Error> {
        let sql = "SELECT heading, text FROM chunks WHERE id = ?1";
        let mut statement = connection.prepare_cached(sql).sql()?;
        for id in ids {
            let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
            let found: Option<(String, String)> =
                statement.query_row([values::int(id.0)], row).optional().sql()?;
            let Some((heading, text)) = found else {
                made.ahead.insert(*id);
                continue;
            };
            let terms = locked(&self.lexer).read([heading.as_str(), &text].into_iter())?;
            made.postings.add(*id, class, terms.concat());
        }
        Ok(())
    }
}
