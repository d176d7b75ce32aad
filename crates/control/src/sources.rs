//! Sources that the server reads by itself: what is declared of them, and who reads them when.
//!
//! A reading is a thread of its own, so that nobody waits for it: not the caller, who asks how
//! far it is, and not the drain, which it notices before its next item. One source is read by
//! one at a time. What a crash cuts off is made up for by the next reading.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use manifest::{Kind, SourceKind, Spec};
use policy::Principal;
use report::Report;
use retrieval::{Embed, Embedded, Origin, Outcome as Ended, Progress, Standing, Synced, Wanted};
use store::State;
use store::documents::Collection;
use units::{CollectionId, Labels, Micros, TeamId};

use crate::call::{Call, Outcome, json};
use crate::{Host, Plane, collections, missing};

/// Sources that are read at the same time; the others wait for their turn.
const READ_MAX: usize = 4;
/// Sources that are read or wait.
const RUNS_MAX: usize = 256;

/// One source of one collection.
type Place = (TeamId, CollectionId, String);

/// Which sources are being read, and when those that nobody asks for are due.
#[derive(Default)]
pub struct Syncs {
    inner: Mutex<Inner>,
    turn: Condvar,
}

#[derive(Default)]
struct Inner {
    runs: BTreeMap<Place, Arc<Progress>>,
    reading: usize,
    stopping: bool,
    /// By team, collection, source and interval: when it is next.
    due: BTreeMap<(TeamId, String, String, u64), Micros>,
}

impl Syncs {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn progress(&self, place: &Place) -> Option<Arc<Progress>> {
        self.inner().runs.get(place).cloned()
    }
    /// Ends every reading before its next item, and begins no other.
    pub fn stop(&self) {
        let mut inner = self.inner();
        inner.stopping = true;
        inner.runs.values().for_each(|progress| progress.stop());
        self.turn.notify_all();
    }
    /// Enters a reading; `None`: it is being read, or nothing is read any more.
    fn enter(&self, place: &Place) -> Result<Option<Arc<Progress>>, Report> {
        let mut inner = self.inner();
        if inner.stopping || inner.runs.contains_key(place) {
            return Ok(None);
        }
        if inner.runs.len() >= RUNS_MAX {
            return Err(Report::new("CX0017", format!("{RUNS_MAX} sources are being read"))
                .hint("wait until some of them are done")
                .retry(report::Retry::Yes));
        }
        let progress = Arc::new(Progress::default());
        inner.runs.insert(place.clone(), Arc::clone(&progress));
        Ok(Some(progress))
    }
    /// Waits for its turn; `false`: there is none any more.
    fn wait(&self) -> bool {
        let mut inner = self.inner();
        while inner.reading >= READ_MAX && !inner.stopping {
            inner = self.turn.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        inner.reading += 1;
        !inner.stopping
    }
    fn leave(&self, place: &Place) {
        let mut inner = self.inner();
        inner.reading -= 1;
        inner.runs.remove(place);
        self.turn.notify_one();
    }
}

/// A reading to be begun.
struct Task {
    team: TeamId,
    collection: Collection,
    source: manifest::Source,
    wanted: Wanted,
    /// Who pays for what a model embeds; `None`: nobody.
    payer: Option<Principal>,
}

impl Plane {
    /// Begins to read the sources whose time has come.
    ///
    /// # Errors
    /// When the declared state cannot be read.
    pub fn sync_due(&self, now: Micros) -> Result<(), Report> {
        let state = self.state()?;
        for (team, name, source) in declared(&state) {
            let Some(every_s) = source.every_s else { continue };
            if let Err(why) = self.sync_if_due(&state, team, &name, source, every_s, now) {
                observe::warn!("source.not_read", code = why.code.0, why = why.sentence().as_str());
            }
        }
        Ok(())
    }

    fn sync_if_due(
        &self,
        state: &State,
        team: TeamId,
        name: &str,
        source: manifest::Source,
        every_s: u64,
        now: Micros,
    ) -> Result<(), Report> {
        let key = (team, name.to_owned(), source.name.clone(), every_s);
        let next =
            |from: Micros| from.plus_us(i64::try_from(every_s).unwrap_or(i64::MAX / 2_000_000) * 1_000_000);
        let known = self.syncs.inner().due.get(&key).copied();
        if known.is_some_and(|due| due > now) {
            return Ok(());
        }
        let Some(collection) = self.collections.of_team(team, name).map_err(|e| e.report())? else {
            return Ok(());
        };
        let (_, last) =
            self.collections.source(team, &collection, &origin(&source)).map_err(|e| e.report())?;
        // After a start: from when it was read last.
        if let (None, Some(last)) = (known, last)
            && next(last.begun) > now
        {
            self.syncs.inner().due.insert(key, next(last.begun));
            return Ok(());
        }
        self.syncs.inner().due.insert(key, next(now));
        let payer = match &source.payer {
            None => None,
            Some(payer) => {
                let key =
                    state.keys.iter().find(|k| k.team == team && k.name == *payer && k.revoked.is_none());
                let key = key.ok_or_else(|| missing("key", payer, "the source names it as its payer"))?;
                Some(self.host.principal(key.id, now).map_err(|denied| denied.report())?)
            }
        };
        self.begin(Task { team, collection, source, wanted: Wanted::default(), payer }).map(drop)
    }

    /// Whether a reading began; `false`: one is under way.
    fn begin(&self, task: Task) -> Result<bool, Report> {
        let place = (task.team, task.collection.id, task.source.name.clone());
        let Some(progress) = self.syncs.enter(&place)? else { return Ok(false) };
        let (host, all, syncs) =
            (Arc::clone(&self.host), Arc::clone(&self.collections), Arc::clone(&self.syncs));
        let left = place.clone();
        let run = move || {
            let turn = syncs.wait();
            // However it ends, others are let in.
            let read = catch_unwind(AssertUnwindSafe(|| match turn {
                true => read(&*host, &all, &task, &progress),
                false => Ok(()),
            }));
            syncs.leave(&place);
            let why = match read {
                Ok(Ok(())) => return,
                Ok(Err(why)) => why.sentence(),
                Err(_) => "it ended unexpectedly".into(),
            };
            observe::error!("source.not_kept", source = task.source.name.as_str(), why = why.as_str());
        };
        let started = std::thread::Builder::new().name("source".into()).spawn(run);
        started.map(|_| true).map_err(|e| {
            let mut inner = self.syncs.inner();
            inner.runs.remove(&left);
            Report::new("CT0005", "the source could not be read").because(e.to_string())
        })
    }
}

/// Reads one source to its end.
fn read(
    host: &dyn Host,
    all: &retrieval::Collections,
    task: &Task,
    progress: &Progress,
) -> Result<(), Report> {
    let (collection, origin) = (&task.collection, origin(&task.source));
    let mut source = match host.open_source(&collection.name, &task.source) {
        Ok(source) => source,
        Err(why) => {
            return all.sync_failed(task.team, collection, &origin, &why).map_err(|e| e.report());
        }
    };
    let purpose = format!("source {} of collection {}", origin.name, collection.name);
    let embed: Box<dyn Embed> = match &task.payer {
        Some(payer) => host.lend(payer, purpose),
        None => Box::new(Nobody),
    };
    let synced = all.sync(task.team, collection, &origin, &mut *source, &*embed, task.wanted, progress);
    let synced = synced.map_err(|e| e.report())?;
    let counts = &synced.counts;
    observe::info!(
        "source.read",
        collection = collection.name.as_str(),
        source = origin.name.as_str(),
        outcome = word(&synced.outcome),
        added = counts.added,
        changed = counts.changed,
        removed = counts.removed,
        failed = counts.failed
    );
    Ok(())
}

/// Who pays when nobody asked and nobody was named.
struct Nobody;

impl Embed for Nobody {
    fn embed(&self, model: &str, _: &Labels, _: &[String]) -> Result<Embedded, Report> {
        Err(Report::new("CX0014", "the source cannot be read as it is declared")
            .because(format!(
                "its documents are embedded by model \"{model:.100}\", and nobody pays for that"
            ))
            .hint("name a key of the team in its manifest: `payer: NAME`"))
    }
}

/// Every declared source with its team and its collection.
fn declared(state: &State) -> Vec<(TeamId, String, manifest::Source)> {
    let mut found = Vec::new();
    for row in state.manifests.iter().filter(|m| m.kind == Kind::Collection.name()) {
        for document in manifest::parse(&row.text, &row.name).unwrap_or_default() {
            let Spec::Collection(collection) = document.spec else { continue };
            let team = state.teams.iter().find(|t| t.name == collection.team).map(|t| t.id);
            let of = |source| Some((team?, document.name.clone(), source));
            found.extend(collection.sources.into_iter().filter_map(of));
        }
    }
    found
}

fn origin(source: &manifest::Source) -> Origin {
    Origin {
        name: source.name.clone(),
        digest: retrieval::digest(source.kind.place().as_bytes()),
        acl: source.acl.clone(),
        labels: source.labels.clone(),
        quarantine: source.quarantine,
        keep: source.keep,
    }
}

/// A collection's sources, in the order of its manifest.
fn of(plane: &Plane, team: TeamId, collection: &str) -> Result<Vec<manifest::Source>, Report> {
    let all = declared(&plane.state()?).into_iter();
    Ok(all.filter(|(of, name, _)| *of == team && name == collection).map(|(.., source)| source).collect())
}

fn named(sources: Vec<manifest::Source>, name: &str, collection: &str) -> Result<manifest::Source, Report> {
    sources.into_iter().find(|source| source.name == name).ok_or_else(|| {
        Report::new("CX0010", format!("the collection \"{collection}\" has no source \"{name:.100}\""))
            .because("sources are declared in its manifest")
            .hint(format!("`bedplate collection status {collection}` shows those that it has"))
    })
}

pub(crate) fn list(plane: &Plane, call: &Call) -> Outcome {
    let collection = collections::found(plane, call)?;
    shown(plane, call, &collection)
}

fn shown(plane: &Plane, call: &Call, collection: &Collection) -> Outcome {
    let team = call.principal.team;
    let mut all = Vec::new();
    for source in of(plane, team, &collection.name)? {
        all.push(show(plane, call, collection, &source)?);
    }
    json(&api::List::from(all))
}

/// Begins to read; how far it is, `list_sources` says.
pub(crate) fn sync(plane: &Plane, call: &Call) -> Outcome {
    let asked: api::SyncCollection = if call.body.is_empty() { Default::default() } else { call.read()? };
    let collection = collections::found(plane, call)?;
    let mut sources = of(plane, call.principal.team, &collection.name)?;
    if let Some(name) = &asked.source {
        sources = vec![named(sources, name, &collection.name)?];
    }
    if sources.is_empty() {
        return Err(Report::new("CX0010", format!("the collection \"{}\" has no sources", collection.name))
            .because("sources are declared in its manifest")
            .hint("`bedplate collection ingest` puts files from here")
            .into());
    }
    for source in sources {
        plane.begin(Task {
            team: call.principal.team,
            collection: collection.clone(),
            source,
            wanted: Wanted { full: asked.full, empty: asked.empty },
            payer: Some(call.principal.clone()),
        })?;
    }
    shown(plane, call, &collection)
}

pub(crate) fn release(plane: &Plane, call: &Call) -> Outcome {
    judge(plane, call, |collection, origin| {
        let who = &call.principal;
        plane.collections.release(who.team, collection, origin, &who.key_name, call.now)
    })
}

pub(crate) fn hold(plane: &Plane, call: &Call) -> Outcome {
    judge(plane, call, |collection, origin| {
        plane.collections.hold(call.principal.team, collection, origin, call.now)
    })
}

fn judge(
    plane: &Plane,
    call: &Call,
    judge: impl FnOnce(&Collection, &Origin) -> Result<u64, retrieval::Error>,
) -> Outcome {
    let collection = collections::found(plane, call)?;
    let team = call.principal.team;
    let source = named(of(plane, team, &collection.name)?, call.param(1), &collection.name)?;
    let origin = origin(&source);
    let documents = judge(&collection, &origin).map_err(|e| e.report())?;
    let (standing, _) = plane.collections.source(team, &collection, &origin).map_err(|e| e.report())?;
    json(&api::ReleasedSource {
        collection: collection.name,
        source: source.name,
        standing: stands(&standing).into(),
        documents,
    })
}

pub(crate) fn set_key(plane: &Plane, call: &Call) -> Outcome {
    let wanted: api::SetSourceKey = call.read()?;
    let collection = collections::found(plane, call)?;
    let source = named(of(plane, call.principal.team, &collection.name)?, call.param(1), &collection.name)?;
    let Some(manifest::KeyFrom::Store(name)) = &source.key else {
        return Err(Report::new(
            "CT0004",
            format!("the source \"{}\" takes no key from the store", source.name),
        )
        .hint("name one in its manifest: `keySecret: NAME`")
        .into());
    };
    let key = wanted.key.expose().trim();
    if key.is_empty() || key.len() > 4_096 || !key.bytes().all(|b| b.is_ascii_graphic()) {
        let what = "the key is empty or holds characters that no header can carry";
        return Err(Report::new("CT0002", what).into());
    }
    plane.store.put_secret(name, key.as_bytes()).map_err(|e| e.report())?;
    json(&show(plane, call, &collection, &source)?)
}

/// What waits for a release, of what the caller may read.
pub(crate) fn quarantine(plane: &Plane, call: &Call) -> Outcome {
    let collection = collections::found(plane, call)?;
    let limit = collections::page(call)?;
    let reader = call.principal.reader();
    let page = plane.collections.quarantined(&reader, &collection, call.query("after"), limit);
    let page: Vec<api::Document> =
        page.map_err(|e| e.report())?.iter().map(collections::show_document).collect();
    json(&api::List::from(page))
}

pub(crate) fn quarantined_text(plane: &Plane, call: &Call) -> Outcome {
    let collection = collections::found(plane, call)?;
    let document = collections::document(plane, call, &collection)?;
    let reader = call.principal.reader();
    collections::preview(call, &document, |from, limit| {
        plane.collections.quarantined_text(&reader, document.id, from, limit)
    })
}

fn show(
    plane: &Plane,
    call: &Call,
    collection: &Collection,
    source: &manifest::Source,
) -> Result<api::CollectionSource, Report> {
    let (team, origin) = (call.principal.team, origin(source));
    // Before what is kept of it is read: a reading that ends between the two has kept its end.
    let running = plane.syncs.progress(&(team, collection.id, source.name.clone()));
    let (standing, last) = plane.collections.source(team, collection, &origin).map_err(|e| e.report())?;
    let released = match &standing {
        Standing::Released(released) => Some((released.by.clone(), released.at.to_string())),
        _ => None,
    };
    let (counts, failures) = match (&running, &last) {
        (Some(progress), _) => (progress.counts(), progress.failures()),
        (None, Some(last)) => (last.counts, last.failures.clone()),
        (None, None) => Default::default(),
    };
    // Addresses say as much as titles: they are those documents' readers' to see.
    let acl = origin.acl.clone().map_or_else(|| plane.collections.acl(collection), Ok);
    let may = call.principal.reader().may(&acl.map_err(|e| e.report())?);
    Ok(api::CollectionSource {
        name: source.name.clone(),
        kind: source.kind.name().into(),
        address: address(&source.kind),
        every_seconds: source.every_s,
        standing: stands(&standing).into(),
        released_by: released.as_ref().map(|(by, _)| by.clone()),
        released: released.map(|(_, at)| at),
        state: state(running.is_some(), last.as_ref()).into(),
        begun: last.as_ref().map(|last| last.begun.to_string()),
        ended: last.as_ref().and_then(|last| last.ended).map(|at| at.to_string()),
        because: match last.map(|last| last.outcome) {
            Some(Ended::Failed(why)) if running.is_none() => Some(why),
            _ => None,
        },
        counts: api::SyncCounts {
            seen: counts.seen,
            added: counts.added,
            changed: counts.changed,
            removed: counts.removed,
            unchanged: counts.unchanged,
            failed: counts.failed,
            bytes: counts.bytes,
        },
        failures: failures
            .into_iter()
            .filter(|_| may)
            .map(|f| api::SyncFailure { address: f.address, because: f.why })
            .collect(),
    })
}

/// Without its query: a person knows it by the rest.
fn address(kind: &SourceKind) -> String {
    kind.address().split('?').next().unwrap_or_default().to_owned()
}

const fn stands(standing: &Standing) -> &'static str {
    match standing {
        Standing::Trusted => "trusted",
        Standing::Waiting => "waiting",
        Standing::Released(_) => "released",
    }
}

fn state(running: bool, last: Option<&Synced>) -> &'static str {
    match last {
        _ if running => "running",
        None => "never",
        Some(last) if last.outcome == Ended::Begun => "interrupted",
        Some(last) => word(&last.outcome),
    }
}

const fn word(outcome: &Ended) -> &'static str {
    match outcome {
        Ended::Begun => "begun",
        Ended::Complete => "complete",
        Ended::Stopped => "stopped",
        Ended::Failed(_) => "failed",
    }
}
