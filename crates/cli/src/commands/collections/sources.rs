//! `collection sync|quarantine|release|hold|set-key`: what the server reads by itself.

use std::process::ExitCode;
use std::time::Duration;

use api::{
    CollectionSource, Document, DocumentPreview, List, ReleasedSource, Secret, SetSourceKey, SyncCollection,
};

use super::path_of;
use crate::client::{Server, encode};
use crate::commands::access::read_secret;
use crate::commands::show;
use crate::table::{bytes, grouped, or_dash, short_time, table};
use crate::{Failure, Progress, args};

/// Between two looks at how far a reading is.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Documents of a page, when all are listed.
const PAGE: usize = 1_000;

/// Begins to read, and waits for the end. The server reads on when this is cut short.
pub(super) fn sync(server: &Server, args: &args::CollectionSync, json: bool) -> Result<ExitCode, Failure> {
    let asked = SyncCollection { source: args.source.clone(), full: args.full, empty: args.empty };
    let mut all: List<CollectionSource> = server.post(&format!("{}/sync", path_of(&args.name)), &asked)?;
    let mut progress = Progress::steps(format!("reading into {}", args.name), None);
    let mut seen = 0;
    loop {
        all.data.retain(|source| args.source.as_ref().is_none_or(|name| *name == source.name));
        let now: u64 = all.data.iter().map(|source| source.counts.seen).sum();
        progress.add(now.saturating_sub(seen));
        seen = now.max(seen);
        if all.data.iter().all(|source| source.state != "running") {
            break;
        }
        server.pause(LOOK_EVERY);
        all = list(server, &args.name)?;
    }
    drop(progress);
    let whole = all.data.iter().all(|source| source.state == "complete" && source.counts.failed == 0);
    show(json, &all, |all| text(&all.data));
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

pub(super) fn list(server: &Server, name: &str) -> Result<List<CollectionSource>, Failure> {
    server.get(&format!("{}/sources", path_of(name)))
}

/// A table, and below it what went wrong.
pub(super) fn text(sources: &[CollectionSource]) -> String {
    if sources.is_empty() {
        return String::new();
    }
    let row = |s: &CollectionSource| {
        let c = &s.counts;
        vec![
            s.name.clone(),
            s.kind.clone(),
            s.state.clone(),
            s.begun.as_deref().map_or_else(|| "-".into(), short_time),
            or_dash(&s.every_seconds.map(interval)),
            grouped(c.seen),
            grouped(c.added),
            grouped(c.changed),
            grouped(c.removed),
            grouped(c.unchanged),
            grouped(c.failed),
            bytes(c.bytes),
            s.standing.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = sources.iter().map(row).collect();
    let heads = [
        "SOURCE",
        "KIND",
        "STATE",
        "READ",
        "EVERY",
        "SEEN",
        "ADDED",
        "CHANGED",
        "REMOVED",
        "UNCHANGED",
        "FAILED",
        "BYTES",
        "STANDING",
    ];
    let mut text = table(&heads, &rows);
    for source in sources {
        if let Some(why) = &source.because {
            text.push_str(&format!("{}: {why}\n", source.name));
        }
        source
            .failures
            .iter()
            .for_each(|f| text.push_str(&format!("failed: {}: {}\n", f.address, f.because)));
    }
    text
}

fn interval(seconds: u64) -> String {
    match seconds {
        s if s % 86_400 == 0 => format!("{}d", s / 86_400),
        s if s % 3_600 == 0 => format!("{}h", s / 3_600),
        s if s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

pub(super) fn quarantine(
    server: &Server,
    args: &args::CollectionQuarantine,
    json: bool,
) -> Result<(), Failure> {
    let path = format!("{}/quarantine", path_of(&args.name));
    if let Some(source) = &args.show {
        let preview: DocumentPreview = server.get(&format!("{path}/{}", encode(source)))?;
        show(json, &preview, super::preview_text);
        return Ok(());
    }
    let all = waiting(server, &args.name)?;
    show(json, &List::from(all), |all: &List<Document>| match all.data.is_empty() {
        true => "nothing that you may read waits for a release\n".into(),
        false => super::document_table(&all.data),
    });
    Ok(())
}

/// Every document that waits, of those that the caller may read.
pub(super) fn waiting(server: &Server, name: &str) -> Result<Vec<Document>, Failure> {
    let mut all: Vec<Document> = Vec::new();
    loop {
        let after = all.last().map_or_else(String::new, |d| format!("&after={}", encode(&d.source)));
        let path = format!("{}/quarantine?limit={PAGE}{after}", path_of(name));
        let page: List<Document> = server.get(&path)?;
        let full = page.data.len() == PAGE;
        all.extend(page.data);
        if !full {
            return Ok(all);
        }
    }
}

/// `verb`: `release` or `hold`.
pub(super) fn judge(
    server: &Server,
    args: &args::CollectionSource,
    verb: &str,
    json: bool,
) -> Result<(), Failure> {
    let path = format!("{}/sources/{}/{verb}", path_of(&args.name), encode(&args.source));
    let judged: ReleasedSource = server.post(&path, &serde_json::json!({}))?;
    show(json, &judged, |r| {
        let what = if r.standing == "waiting" { "are found no more" } else { "are found from now on" };
        format!(
            "source {} of {} is {}: {} documents {what}",
            r.source,
            r.collection,
            r.standing,
            grouped(r.documents)
        )
    });
    Ok(())
}

pub(super) fn set_key(server: &Server, args: &args::CollectionSource, json: bool) -> Result<(), Failure> {
    let set = SetSourceKey { key: Secret::new(read_secret(&args.source)?) };
    let path = format!("{}/sources/{}/key", path_of(&args.name), encode(&args.source));
    let source: CollectionSource = server.put(&path, &set)?;
    show(json, &source, |s| format!("the key of {} is in the encrypted store", s.name));
    Ok(())
}
