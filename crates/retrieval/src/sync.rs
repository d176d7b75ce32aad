//! A collection brought in line with one of its sources.
//!
//! What is there is asked item by item; what has not changed, by its mark or by the hash of
//! its content, is left alone; what the source has no more goes, once all of it was seen.
//! Each document is put in a transaction of its own with its mark, so that a reading that
//! was cut short, by a crash too, is made up for by the next one, which reads the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use context::source::{ADDRESS_BYTES_MAX, Content as Held, ITEMS_MAX, Item, MARK_BYTES_MAX, Read, Source};
use report::Report;
use serde_json::{Value, json};
use store::documents::{Change, Collection, PAGE_MAX, Tenant};
use units::{Micros, TeamId};

use crate::embed::Embed;
use crate::ingest::{Writer, sha256};
use crate::settings::Settings;
use crate::sources::{Origin, hex, sync_note};
use crate::{Collections, Content, Error};

/// Items that could not be read, with their reasons; more are counted.
const FAILURES_MAX: usize = 100;
/// Bytes of one reason.
const WHY_BYTES_MAX: usize = 300;
/// Items in a row that the source does not give: then it is the source that is away.
const IN_A_ROW_MAX: u32 = 20;

/// What a reading did so far. Shared between whoever reads and whoever looks on.
#[derive(Debug, Default)]
pub struct Progress {
    seen: AtomicU64,
    added: AtomicU64,
    changed: AtomicU64,
    removed: AtomicU64,
    unchanged: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
    failures: Mutex<Vec<Failed>>,
    stopping: AtomicBool,
}

/// An item that was not brought in, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    pub address: String,
    pub why: String,
}

/// What a reading did, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// Items that the source named.
    pub seen: u64,
    pub added: u64,
    pub changed: u64,
    pub removed: u64,
    pub unchanged: u64,
    pub failed: u64,
    /// Of contents that were read.
    pub bytes: u64,
}

/// How a reading ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has not; or the process ended before it did.
    Begun,
    /// All of the source was seen.
    Complete,
    /// Somebody ended it.
    Stopped,
    Failed(String),
}

/// The last reading of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    pub begun: Micros,
    pub ended: Option<Micros>,
    pub outcome: Outcome,
    pub counts: Counts,
    pub failures: Vec<Failed>,
    /// What the source said of all that it has, as a [`Graded`] mark.
    mark: String,
}

/// How a reading is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Wanted {
    /// What has its mark is read all the same.
    pub full: bool,
    /// A source in which nothing is any more is believed.
    pub empty: bool,
}

impl Progress {
    /// Ends the reading before its next item.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
    pub fn counts(&self) -> Counts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            seen: of(&self.seen),
            added: of(&self.added),
            changed: of(&self.changed),
            removed: of(&self.removed),
            unchanged: of(&self.unchanged),
            failed: of(&self.failed),
            bytes: of(&self.bytes),
        }
    }
    pub fn failures(&self) -> Vec<Failed> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
    fn fail(&self, address: &str, report: &Report) {
        add(&self.failed, 1);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() < FAILURES_MAX {
            let (address, why) = (clipped(address, ADDRESS_BYTES_MAX), sentence(report));
            failures.push(Failed { address, why });
        }
    }
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

fn clipped(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes.min(text.len()))].to_owned()
}

/// What and why, without a person's hint.
fn sentence(report: &Report) -> String {
    let why = report.because.as_deref().map_or_else(String::new, |why| format!(": {why}"));
    clipped(&format!("{}{why}", report.what), WHY_BYTES_MAX)
}

impl Collections {
    /// Brings a collection in line with a source, and keeps how that went. Beside another
    /// reading of the same source it is of no use: whoever calls sees to that.
    ///
    /// # Errors
    /// When the store cannot be written: then not even that is kept. That the source cannot
    /// be read is an outcome.
    #[expect(clippy::too_many_arguments, reason = "each is another's: who, what, from where, by whom, how")]
    pub fn sync(
        &self,
        team: TeamId,
        collection: &Collection,
        origin: &Origin,
        source: &mut dyn Source,
        embed: &dyn Embed,
        wanted: Wanted,
        progress: &Progress,
    ) -> Result<Synced, Error> {
        let (_, last) = self.source(team, collection, origin)?;
        let graded = Graded::new(collection, origin)?;
        let mut synced = Synced {
            begun: runtime::clock::now(),
            ended: None,
            outcome: Outcome::Begun,
            counts: Counts::default(),
            failures: Vec::new(),
            // Of the last reading that saw all of it.
            mark: last.map(|last| last.mark).unwrap_or_default(),
        };
        self.keep(team, collection, origin, &synced)?;
        let known = graded.read(&synced.mark).filter(|_| !wanted.full).unwrap_or_default().to_owned();
        let reading = Reading { of: self, team, collection, origin, embed, progress, wanted, graded };
        let outcome = match reading.run(source, &known) {
            Ok(true) => Outcome::Complete,
            Ok(false) => Outcome::Stopped,
            Err(Error::Store(store::Error::Closed)) => return Err(store::Error::Closed.into()),
            Err(why) => Outcome::Failed(sentence(&why.report())),
        };
        synced.counts = progress.counts();
        synced.failures = progress.failures();
        if outcome == Outcome::Complete {
            // What failed is asked for again, whatever the source says of the whole.
            let mark = if synced.counts.failed == 0 { source.mark() } else { String::new() };
            synced.mark = reading.graded.write(&mark);
        }
        synced.outcome = outcome;
        synced.ended = Some(runtime::clock::now());
        self.keep(team, collection, origin, &synced)?;
        Ok(synced)
    }

    /// Keeps why a source could not even be asked.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn sync_failed(
        &self,
        team: TeamId,
        collection: &Collection,
        origin: &Origin,
        why: &Report,
    ) -> Result<(), Error> {
        let (_, last) = self.source(team, collection, origin)?;
        let now = runtime::clock::now();
        let synced = Synced {
            begun: now,
            ended: Some(now),
            outcome: Outcome::Failed(sentence(why)),
            counts: Counts::default(),
            failures: Vec::new(),
            mark: last.map(|last| last.mark).unwrap_or_default(),
        };
        self.keep(team, collection, origin, &synced)
    }

    fn keep(
        &self,
        team: TeamId,
        collection: &Collection,
        origin: &Origin,
        synced: &Synced,
    ) -> Result<(), Error> {
        let tenant = self.tenant(team)?;
        Ok(tenant.put_note(collection.id, &sync_note(&origin.name), Some(&synced.to_text()))?)
    }
}

/// One reading of one source.
struct Reading<'r> {
    of: &'r Collections,
    team: TeamId,
    collection: &'r Collection,
    origin: &'r Origin,
    embed: &'r dyn Embed,
    progress: &'r Progress,
    wanted: Wanted,
    graded: Graded,
}

/// What the collection has of the source: by address, the hash and the mark of each.
type Known = BTreeMap<String, ([u8; 32], String)>;

impl Reading<'_> {
    /// Whether it came to the end of the source.
    fn run(&self, source: &mut dyn Source, mark: &str) -> Result<bool, Error> {
        let (of, team, now) = (self.of, self.team, runtime::clock::now());
        let trust = of.trust(team, self.collection, self.origin)?;
        of.entrust(team, self.collection, self.origin, trust, now)?;
        let tenant = of.tenant(team)?;
        let batch = self.origin.batch();
        let known = known(&*tenant, self.collection, &batch)?;
        if !source.begin(mark).map_err(Error::Source)? {
            add(&self.progress.seen, known.len() as u64);
            add(&self.progress.unchanged, known.len() as u64);
            return Ok(true);
        }
        let mut present = BTreeSet::new();
        let mut in_a_row = 0;
        while let Some(item) = source.next().map_err(Error::Source)? {
            if self.progress.is_stopping() {
                return Ok(false);
            }
            if let Some(why) = unsound(&item.address) {
                add(&self.progress.seen, 1);
                self.progress.fail(&item.address, &why);
                continue;
            }
            // Named twice, it is the first one.
            if present.contains(&item.address) {
                continue;
            }
            if present.len() == ITEMS_MAX {
                return Err(Error::Source(too_many()));
            }
            add(&self.progress.seen, 1);
            present.insert(item.address.clone());
            match self.item(&*tenant, source, &item, known.get(&item.address)) {
                Ok(Met::Gone) => {
                    present.remove(&item.address);
                }
                Ok(Met::Brought) => in_a_row = 0,
                Ok(Met::NotGiven(why)) => {
                    // What is too large, or leads elsewhere, says nothing of the source.
                    in_a_row = if why.code.0 == "CX0011" { in_a_row + 1 } else { 0 };
                    if in_a_row == IN_A_ROW_MAX {
                        return Err(Error::Source(why));
                    }
                    self.progress.fail(&item.address, &why);
                }
                Err(why @ (Error::Document { .. } | Error::NotYours(_) | Error::Contended)) => {
                    self.progress.fail(&item.address, &why.report());
                }
                Err(Error::Store(store::Error::Invalid(why))) => {
                    let why = Report::new("CX0002", "it is beyond a limit").because(why);
                    self.progress.fail(&item.address, &why);
                }
                Err(why) => return Err(why),
            }
        }
        if self.origin.keep {
            return Ok(true);
        }
        // More often it is one that lost its way than one that was emptied.
        if present.is_empty() && !known.is_empty() && !self.wanted.empty {
            return Err(Error::Source(emptied(known.len())));
        }
        let remove = || Ok(tenant.remove_absent(self.collection.id, &batch, &present)?);
        let removed = of.slot(team, self.collection.id).remove(&*tenant, self.collection, remove)?;
        add(&self.progress.removed, removed.len() as u64);
        Ok(true)
    }

    fn item(
        &self,
        tenant: &dyn Tenant,
        source: &mut dyn Source,
        item: &Item,
        known: Option<&([u8; 32], String)>,
    ) -> Result<Met, Error> {
        // Without this there is nothing there, or it is graded as it is not any more.
        let graded = known.and_then(|(_, mark)| self.graded.read(mark));
        let mark = graded.filter(|_| !self.wanted.full).unwrap_or_default();
        if !mark.is_empty() && item.mark == mark {
            add(&self.progress.unchanged, 1);
            return Ok(Met::Brought);
        }
        let read = match &item.content {
            Some(content) => Ok(Read::Content(content.clone())),
            None => source.read(item, mark),
        };
        let held = match read {
            Ok(Read::Gone) => return Ok(Met::Gone),
            Ok(Read::Same) => {
                add(&self.progress.unchanged, 1);
                return Ok(Met::Brought);
            }
            Ok(Read::Content(held)) => held,
            Err(why) => return Ok(Met::NotGiven(why)),
        };
        add(&self.progress.bytes, held.bytes.len() as u64);
        let new_mark = self.graded.write(&held.mark);
        let same = known.is_some_and(|(hash, _)| *hash == sha256(&held.bytes));
        if let (true, Some(old)) = (same, graded) {
            if old != held.mark {
                tenant.mark(self.collection.id, vec![(item.address.clone(), new_mark)])?;
            }
            add(&self.progress.unchanged, 1);
            return Ok(Met::Brought);
        }
        let change = self.put(item, &held, &new_mark)?;
        let count = match change {
            Change::Added => &self.progress.added,
            Change::Replaced | Change::Regraded => &self.progress.changed,
            Change::Unchanged => &self.progress.unchanged,
        };
        add(count, 1);
        Ok(Met::Brought)
    }

    fn put(&self, item: &Item, held: &Held, mark: &str) -> Result<Change, Error> {
        let trust = || self.of.trust(self.team, self.collection, self.origin);
        let writer = Writer::Source { team: self.team, trust: &trust };
        let acl = match &self.origin.acl {
            Some(acl) => acl.clone(),
            // Not what it had before: what is declared of a source holds for all of it.
            None => Settings::read(&self.collection.settings)?.acl,
        };
        let content = Content {
            source: &item.address,
            title: held.title.as_deref(),
            media_type: &held.media_type,
            bytes: &held.bytes,
            acl: Some(acl),
            labels: self.origin.labels.clone(),
            batch: &self.origin.batch(),
            modified: held.modified,
        };
        let now = runtime::clock::now();
        let stored = self.of.put_as(writer, self.collection, &content, mark, self.embed, now)?;
        Ok(stored.put.change)
    }
}

/// What became of an item.
enum Met {
    Brought,
    Gone,
    NotGiven(Report),
}

fn known(tenant: &dyn Tenant, collection: &Collection, batch: &str) -> Result<Known, Error> {
    let mut known = Known::new();
    loop {
        let after = known.last_key_value().map(|(source, _)| source.clone());
        let page = tenant.brought(collection.id, batch, after.as_deref(), PAGE_MAX)?;
        let whole = page.len() < PAGE_MAX;
        known.extend(page.into_iter().map(|b| (b.source, (b.hash, b.mark))));
        if whole {
            return Ok(known);
        }
    }
}

/// Marks as they are kept: behind a word for all that a document depends on beside its source.
/// Where that is another, what has the mark is graded otherwise, and is to be put again.
struct Graded(String);

impl Graded {
    fn new(collection: &Collection, origin: &Origin) -> Result<Graded, Error> {
        let settings = Settings::read(&collection.settings)?;
        let acl = origin.acl.as_ref().unwrap_or(&settings.acl).to_string();
        let labels = [origin.labels.to_string(), collection.labels.to_string()];
        let text = json!([hex(&origin.digest), acl, labels, settings.graph]).to_string();
        Ok(Graded(hex(&sha256(text.as_bytes())[..8])))
    }
    fn write(&self, mark: &str) -> String {
        let mark = Some(mark).filter(|mark| mark.len() <= MARK_BYTES_MAX).unwrap_or_default();
        format!("{}/{mark}", self.0)
    }
    fn read<'m>(&self, kept: &'m str) -> Option<&'m str> {
        kept.strip_prefix(self.0.as_str())?.strip_prefix('/')
    }
}

fn unsound(address: &str) -> Option<Report> {
    let sound = (1..=ADDRESS_BYTES_MAX).contains(&address.len()) && !address.chars().any(char::is_control);
    (!sound).then(|| {
        Report::new("CX0012", format!("its address has {} bytes, or is no line of text", address.len()))
            .because(format!(
                "a document is known by 1 to {ADDRESS_BYTES_MAX} bytes without control characters"
            ))
    })
}

fn too_many() -> Report {
    Report::new("CX0012", format!("it has more than {ITEMS_MAX} items"))
        .because("what is gone is only known when all of a source was seen; nothing was removed")
        .hint("declare several sources, each of a part: a `prefix` of a bucket")
}

fn emptied(count: usize) -> Report {
    Report::new("CX0013", format!("it has nothing any more, and brought in {count} documents before"))
        .because("a source that lost its way looks the same; nothing was removed")
        .hint("`bedplate collection sync NAME --source SOURCE --empty` removes them")
}

impl Synced {
    fn to_text(&self) -> String {
        let (outcome, why) = match &self.outcome {
            Outcome::Begun => ("begun", None),
            Outcome::Complete => ("complete", None),
            Outcome::Stopped => ("stopped", None),
            Outcome::Failed(why) => ("failed", Some(why)),
        };
        let c = &self.counts;
        let text = |failures: &[Failed]| {
            let failures: Vec<Value> = failures.iter().map(|f| json!([f.address, f.why])).collect();
            json!({
                "begun": self.begun.0, "ended": self.ended.map(|at| at.0), "outcome": outcome, "why": why,
                "counts": [c.seen, c.added, c.changed, c.removed, c.unchanged, c.failed, c.bytes],
                "failures": failures, "mark": self.mark,
            })
            .to_string()
        };
        // Long addresses leave room for fewer.
        let mut failures = &self.failures[..];
        loop {
            let text = text(failures);
            if text.len() <= store::documents::NOTE_BYTES_MAX || failures.is_empty() {
                return text;
            }
            failures = &failures[..failures.len() / 2];
        }
    }

    /// What [`Synced::to_text`] wrote; of anything else there is nothing to be told.
    pub(crate) fn read(text: &str) -> Option<Synced> {
        let value: Value = serde_json::from_str(text).ok()?;
        let count = |at: usize| value["counts"][at].as_u64().unwrap_or_default();
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let failures = value["failures"].as_array()?;
        Some(Synced {
            begun: Micros(value["begun"].as_i64()?),
            ended: value["ended"].as_i64().map(Micros),
            outcome: match value["outcome"].as_str()? {
                "complete" => Outcome::Complete,
                "stopped" => Outcome::Stopped,
                "failed" => Outcome::Failed(word(&value["why"])),
                _ => Outcome::Begun,
            },
            counts: Counts {
                seen: count(0),
                added: count(1),
                changed: count(2),
                removed: count(3),
                unchanged: count(4),
                failed: count(5),
                bytes: count(6),
            },
            failures: failures.iter().map(|f| Failed { address: word(&f[0]), why: word(&f[1]) }).collect(),
            mark: word(&value["mark"]),
        })
    }
}
