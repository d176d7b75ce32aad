//! `collection`: documents in, and what bears on a question out.

mod eval;
mod export;
mod order;
mod search;
mod sources;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use api::{
    CachedAnswer, Collection, CollectionRanking, CreateCollection, Document, DocumentChange, DocumentPreview,
    List, ReindexCollection, Reindexed,
};
use context::parse::{Declared, Limits, format};
use report::Report;

use super::show;
use crate::client::{Server, encode};
use crate::table::{bytes, grouped, short_time, table};
use crate::{Failure, Progress, args, duration, failure};

/// Documents of a page, when all are listed.
const PAGE: usize = 1_000;
/// Folders inside each other that are walked into.
const DEPTH_MAX: u32 = 64;

pub(super) fn run(server: &Server, command: args::Collection, json: bool) -> Result<ExitCode, Failure> {
    match command {
        args::Collection::Create(args) => {
            let create = CreateCollection {
                name: args.name,
                language: args.language,
                lexing: args.lexing.map(|l| l.name().into()),
                acl: (!args.acl.is_empty()).then_some(args.acl),
                labels: args.labels,
                embedder: args.embedder,
                graph: args.graph,
                ranking: CollectionRanking {
                    reranker: args.reranker,
                    rerank_deadline_ms: args.rerank_deadline_ms,
                    half_life_s: args
                        .half_life
                        .map(|text| duration::seconds("--half-life", &text))
                        .transpose()?,
                    mmr: args.mmr,
                },
            };
            let made: Collection = server.post("/api/v1/collections", &create)?;
            show(json, &made, |c| {
                format!(
                    "collection {} of team {}, read by {} unless a document says otherwise",
                    c.name,
                    c.team,
                    c.acl.join(", ")
                )
            });
        }
        args::Collection::Ingest(args) => return ingest(server, &args, json),
        args::Collection::Search(args) => search::run(server, args, json)?,
        args::Collection::List => {
            let all: List<Collection> = server.get("/api/v1/collections")?;
            show(json, &all, |all| collection_table(&all.data));
        }
        args::Collection::Status { name } => status(server, &name, json)?,
        args::Collection::Show { name, source } => {
            let path = format!("{}/documents/{}", path_of(&name), encode(&source));
            let preview: DocumentPreview = server.get(&path)?;
            show(json, &preview, preview_text);
        }
        args::Collection::Reindex { name, embedder } => reindex(server, &name, embedder, json)?,
        args::Collection::Watch(args) => return watch::run(server, &args, json),
        args::Collection::Sync(args) => return sources::sync(server, &args, json),
        args::Collection::Quarantine(args) => sources::quarantine(server, &args, json)?,
        args::Collection::Release(args) => sources::judge(server, &args, "release", json)?,
        args::Collection::Hold(args) => sources::judge(server, &args, "hold", json)?,
        args::Collection::SetKey(args) => sources::set_key(server, &args, json)?,
        args::Collection::Eval(args) => return eval::run(server, &args, json),
        args::Collection::Gate { name, forget } => order::gate(server, &name, forget, json)?,
        args::Collection::Export(args) => export::run(server, &args, json)?,
        args::Collection::Graph(args) => super::graph::collection(server, &args, json)?,
        args::Collection::Remove(args) => remove(server, &args, json)?,
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn cache(server: &Server, command: args::Cache, json: bool) -> Result<(), Failure> {
    let path = |id: &str| format!("/api/v1/cache/{}", encode(id));
    match command {
        args::Cache::Why { id } => {
            let answer: CachedAnswer = server.get(&path(&id))?;
            show(json, &answer, answer_text);
        }
        args::Cache::Revoke { id } => {
            let answer: CachedAnswer = server.delete(&path(&id))?;
            show(json, &answer, |a| format!("revoked {}; the next one who asks gets a new answer", a.id));
        }
    }
    Ok(())
}

fn answer_text(answer: &CachedAnswer) -> String {
    let mut text = format!(
        "answer    {}\nquestion  {}\nlabels    {}\nsaves     {} USD a time\nsince     {}, until {}\n",
        answer.id,
        answer.question.lines().next().unwrap_or_default(),
        answer.labels,
        answer.saves_usd,
        short_time(&answer.created),
        short_time(&answer.expires)
    );
    if let Some(near) = &answer.near {
        text.push_str(&format!(
            "near      the same for {} of {} questions that say it in other words; right at least {:.2} % of the time\n",
            near.right,
            near.compared,
            near.right_at_least * 100.0
        ));
    }
    if !answer.turns.is_empty() {
        text.push_str(&format!(
            "rests on  {} turns of your memory, and is given to nobody else\n",
            answer.turns.len()
        ));
    }
    if answer.documents.is_empty() {
        if answer.turns.is_empty() {
            text.push_str("given to  everybody of the team\n");
        }
        return text;
    }
    text.push_str("given to  whoever may read all of these, until one of them changes:\n");
    answer
        .documents
        .iter()
        .for_each(|d| text.push_str(&format!("          {} (version {})\n", d.id, d.version)));
    text
}

fn path_of(name: &str) -> String {
    format!("/api/v1/collections/{}", encode(name))
}

/// Where files are put, and how they are shared there.
struct Target {
    name: String,
    acl: Vec<String>,
    labels: Option<String>,
    /// What sources begin with.
    prefix: String,
}

/// A file to be put: where it lies, what it is known by, and what brings it in.
struct Found {
    file: PathBuf,
    source: String,
    batch: String,
    in_folder: bool,
}

/// What an ingestion did.
#[derive(Default, serde::Serialize)]
struct Ingested {
    added: u64,
    replaced: u64,
    regraded: u64,
    unchanged: u64,
    removed: u64,
    answers_invalidated: u64,
    bytes: u64,
    skipped: Vec<String>,
    failed: Vec<String>,
    notes: Vec<String>,
}

fn ingest(server: &Server, args: &args::CollectionIngest, json: bool) -> Result<ExitCode, Failure> {
    let mut done = Ingested::default();
    let target = Target {
        name: args.name.clone(),
        acl: args.acl.clone(),
        labels: args.labels.clone(),
        prefix: args.prefix.clone(),
    };
    let found = find(&target, &args.paths)?;
    let known = documents(server, &args.name)?;
    let hashes: BTreeMap<&str, &str> = known.iter().map(|d| (d.source.as_str(), d.hash.as_str())).collect();
    let total = found.iter().map(|f| std::fs::metadata(&f.file).map_or(0, |m| m.len())).sum();
    let limits = Limits::default();
    let mut progress = Progress::bytes(format!("{} files", grouped(found.len() as u64)), 0, Some(total));
    // What is shared or labelled anew has to be sent even when its content is the same.
    let regrades = !args.acl.is_empty() || args.labels.is_some();
    for item in &found {
        let size = std::fs::metadata(&item.file).map_err(|e| failure::file("read", &item.file, &e))?.len();
        progress.add(size);
        if size > limits.bytes as u64 {
            done.failed.push(format!(
                "{}: it has {}; {} are read at most",
                item.source,
                bytes(size),
                bytes(limits.bytes as u64)
            ));
            continue;
        }
        let content = std::fs::read(&item.file).map_err(|e| failure::file("read", &item.file, &e))?;
        // A folder holds all sorts of things; a file that was named is for the server to judge.
        if item.in_folder
            && let Err(why) = format(Declared { media_type: None, name: Some(&item.source) }, &content)
        {
            done.skipped.push(format!("{}: {why}", item.source));
            continue;
        }
        if !regrades
            && !args.again
            && hashes.get(item.source.as_str()).is_some_and(|hash| **hash == sha256(&content))
        {
            done.unchanged += 1;
        } else {
            match put(server, &target, item, content) {
                Ok(change) => done.note(&change, size),
                // One bad file does not keep the others out; an error of the server's does.
                Err(why) if refused_with(&why, &["CX0003"]) && item.in_folder => {
                    done.skipped.push(format!("{}: {}", item.source, sentence(&why)));
                }
                Err(why) if refused_with(&why, &["CX", "GW0004", "ST0011"]) => {
                    done.failed.push(format!("{}: {}", item.source, sentence(&why)));
                }
                Err(why) => return Err(why),
            }
        }
    }
    drop(progress);
    if args.prune {
        prune(server, args, &found, &known, &mut done)?;
    }
    let code = if done.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) };
    show(json, &done, Ingested::text);
    Ok(code)
}

fn put(server: &Server, target: &Target, item: &Found, content: Vec<u8>) -> Result<DocumentChange, Failure> {
    let mut path = format!(
        "{}/documents?source={}&batch={}",
        path_of(&target.name),
        encode(&item.source),
        encode(&item.batch)
    );
    if !target.acl.is_empty() {
        path.push_str(&format!("&acl={}", encode(&target.acl.join(","))));
    }
    if let Some(labels) = &target.labels {
        path.push_str(&format!("&labels={}", encode(labels)));
    }
    // The server knows a format by the source's name and by the bytes.
    server.post_bytes(&path, "application/octet-stream", content)
}

/// Whether the server refused what was in a file, rather than the caller or everything.
fn refused_with(failure: &Failure, codes: &[&str]) -> bool {
    failure.first().is_some_and(|e| codes.iter().any(|code| e.code.starts_with(code)))
}

fn sentence(failure: &Failure) -> String {
    let because = |e: &api::ErrorBody| e.because.clone().unwrap_or_else(|| e.message.clone());
    failure.first().map(because).unwrap_or_default()
}

/// Removes documents that this command's folders brought in before, and have no more.
fn prune(
    server: &Server,
    args: &args::CollectionIngest,
    found: &[Found],
    known: &[Document],
    done: &mut Ingested,
) -> Result<(), Failure> {
    let batches: BTreeSet<&str> = found.iter().map(|f| f.batch.as_str()).collect();
    let sources: BTreeSet<&str> = found.iter().map(|f| f.source.as_str()).collect();
    for gone in
        known.iter().filter(|d| batches.contains(d.batch.as_str()) && !sources.contains(d.source.as_str()))
    {
        let change: DocumentChange =
            server.delete(&format!("{}/documents/{}", path_of(&args.name), encode(&gone.id)))?;
        done.note(&change, 0);
    }
    Ok(())
}

impl Ingested {
    fn note(&mut self, change: &DocumentChange, size: u64) {
        match change.change.as_str() {
            "added" => self.added += 1,
            "replaced" => self.replaced += 1,
            "regraded" => self.regraded += 1,
            "removed" => self.removed += 1,
            _ => self.unchanged += 1,
        }
        self.answers_invalidated += change.answers_invalidated;
        self.bytes += size;
        self.notes.extend(change.notes.iter().map(|note| format!("{}: {note}", change.source)));
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{} added, {} replaced, {} regraded, {} removed, {} unchanged; {} sent",
            self.added,
            self.replaced,
            self.regraded,
            self.removed,
            self.unchanged,
            bytes(self.bytes)
        );
        if self.answers_invalidated > 0 {
            text.push_str(&format!("\n{} that rested on what changed", cached(self.answers_invalidated)));
        }
        for (what, list) in [("note", &self.notes), ("left out", &self.skipped), ("failed", &self.failed)] {
            list.iter().for_each(|line| text.push_str(&format!("\n{what}: {line}")));
        }
        text
    }
}

/// The files of the given paths, in the order of their sources.
fn find(target: &Target, paths: &[PathBuf]) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    for path in paths {
        let batch = batch_of(path);
        let mut files = Vec::new();
        walk(path, 0, &mut files)?;
        for file in files {
            let inside =
                if path.is_dir() { file.strip_prefix(path).unwrap_or(&file) } else { Path::new(&batch) };
            let parts: Vec<_> =
                inside.components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect();
            let source = format!("{}{}", target.prefix, parts.join("/"));
            let in_folder = path.is_dir();
            let batch = if in_folder { batch.clone() } else { source.clone() };
            found.push(Found { file, source, batch, in_folder });
        }
    }
    found.sort_by(|a, b| a.source.cmp(&b.source));
    if let Some(twice) = found.windows(2).find(|pair| pair[0].source == pair[1].source) {
        return Err(Report::new("CL0010", format!("two files would be known as \"{}\"", twice[0].source))
            .because(format!("{} and {}", twice[0].file.display(), twice[1].file.display()))
            .hint("ingest them one after the other, each with its own `--prefix`")
            .into());
    }
    Ok(found)
}

/// What a folder's documents are known to come from.
fn batch_of(path: &Path) -> String {
    path.file_name().map_or_else(|| ".".into(), |n| n.to_string_lossy().into_owned())
}

/// Files below a path, hidden ones left out. Links are not followed: they lead out of the folder.
fn walk(path: &Path, depth: u32, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let kind = if depth == 0 { std::fs::metadata(path) } else { std::fs::symlink_metadata(path) };
    let kind = kind.map_err(|e| failure::file("read", path, &e))?;
    if kind.is_file() {
        files.push(path.to_owned());
    }
    if !kind.is_dir() || depth > DEPTH_MAX {
        return Ok(());
    }
    let entries = std::fs::read_dir(path).map_err(|e| failure::file("read", path, &e))?;
    for entry in entries.filter_map(|e| e.ok().map(|e| e.path())) {
        if !entry.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.')) {
            walk(&entry, depth + 1, files)?;
        }
    }
    Ok(())
}

fn sha256(content: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, content);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every document of a collection that the caller may read.
fn documents(server: &Server, name: &str) -> Result<Vec<Document>, Failure> {
    let mut all: Vec<Document> = Vec::new();
    loop {
        let after = all.last().map_or_else(String::new, |d| format!("&after={}", encode(&d.source)));
        let page: List<Document> = server.get(&format!("{}/documents?limit={PAGE}{after}", path_of(name)))?;
        let full = page.data.len() == PAGE;
        all.extend(page.data);
        if !full {
            return Ok(all);
        }
    }
}

/// Steps of a few seconds each, so that a person sees how far it is. What is cut short goes on where it was.
fn reindex(server: &Server, name: &str, embedder: Option<String>, json: bool) -> Result<(), Failure> {
    let path = format!("{}/reindex", path_of(name));
    let mut wanted = ReindexCollection { embedder };
    let mut progress: Option<Progress> = None;
    let mut total = 0;
    let mut done: Reindexed = loop {
        let step: Reindexed = server.post(&path, &wanted)?;
        total += step.embedded;
        // The first step has said it; later ones go on, whatever others wish meanwhile.
        wanted.embedder = None;
        if step.live {
            break step;
        }
        // What others put meanwhile makes the whole larger: then it stands at its end for a while.
        let label = format!("embedding with {}", step.embedder);
        progress.get_or_insert_with(|| Progress::steps(label, Some(total + step.left))).add(step.embedded);
    };
    drop(progress);
    done.embedded = total;
    show(json, &done, |done| {
        format!(
            "collection {} is searched with {}; {} parts were embedded",
            done.collection,
            done.embedder,
            grouped(done.embedded)
        )
    });
    Ok(())
}

fn status(server: &Server, name: &str, json: bool) -> Result<(), Failure> {
    let collection: Collection = server.get(&path_of(name))?;
    let documents = documents(server, name)?;
    let sources = sources::list(server, name)?.data;
    if json {
        let all = serde_json::json!({ "collection": collection, "documents": documents, "sources": sources });
        println!("{all}");
        return Ok(());
    }
    let c = &collection;
    println!(
        "{} of team {}: {} documents in {} parts that you may read, {} of text, {} in quarantine\n\
         last ingest {}\n\
         language {}, {}; embedder {} (generation {}); labels {}; read by {}{}",
        c.name,
        c.team,
        grouped(c.documents),
        grouped(c.chunks),
        bytes(documents.iter().map(|d| d.bytes).sum()),
        grouped(c.quarantined),
        documents.iter().map(|d| d.updated.as_str()).max().map_or_else(|| "never".into(), short_time),
        c.language,
        c.lexing,
        embedder_text(c),
        c.generation,
        c.labels,
        c.acl.join(", "),
        order::ranking_text(c)
    );
    print!("{}{}", sources::text(&sources), document_table(&documents));
    Ok(())
}

/// `lexical-hash-1`; `lexical-hash-1, to be minilm`.
fn embedder_text(c: &Collection) -> String {
    match &c.embedder_wanted {
        None => c.embedder.clone(),
        Some(wanted) => format!("{}, to be {wanted}", c.embedder),
    }
}

/// `1 cached answer went`
fn cached(answers: u64) -> String {
    format!("{answers} cached answer{} went", if answers == 1 { "" } else { "s" })
}

fn remove(server: &Server, args: &args::CollectionRemove, json: bool) -> Result<(), Failure> {
    if let Some(source) = &args.source {
        let path = format!("{}/documents/{}", path_of(&args.name), encode(source));
        let change: DocumentChange = server.delete(&path)?;
        show(json, &change, |c| format!("removed {}; {} with it", c.source, cached(c.answers_invalidated)));
        return Ok(());
    }
    if args.confirm.as_deref() != Some(args.name.as_str()) {
        return Err(Report::new(
            "CL0010",
            format!("`--confirm` does not name the collection \"{}\"", args.name),
        )
        .hint("it removes every document of the collection; write its name again to do that")
        .into());
    }
    let gone: Collection = server.delete(&path_of(&args.name))?;
    show(json, &gone, |c| format!("removed the collection {} of team {}", c.name, c.team));
    Ok(())
}

fn preview_text(preview: &DocumentPreview) -> String {
    let d = &preview.document;
    let mut text =
        format!("{} (version {}, {}, read by {})\n", d.source, d.version, d.format, d.acl.join(", "));
    for part in &preview.parts {
        text.push_str(&format!("\n{}\n", part.text.trim_end()));
    }
    if preview.more {
        text.push_str("\n(there is more)\n");
    }
    text
}

fn collection_table(collections: &[Collection]) -> String {
    let rows: Vec<Vec<String>> = collections
        .iter()
        .map(|c| {
            vec![
                c.name.clone(),
                c.team.clone(),
                grouped(c.documents),
                grouped(c.chunks),
                c.language.clone(),
                embedder_text(c),
                c.acl.join(","),
                c.labels.clone(),
            ]
        })
        .collect();
    table(&["NAME", "TEAM", ">DOCUMENTS", ">PARTS", "LANGUAGE", "EMBEDDER", "READERS", "LABELS"], &rows)
}

fn document_table(documents: &[Document]) -> String {
    let rows: Vec<Vec<String>> = documents
        .iter()
        .map(|d| {
            vec![
                d.source.clone(),
                d.version.to_string(),
                grouped(u64::from(d.chunks)),
                bytes(d.bytes),
                d.acl.join(","),
                d.labels.clone(),
                short_time(&d.updated),
            ]
        })
        .collect();
    table(&["SOURCE", ">VERSION", ">PARTS", ">BYTES", "READERS", "LABELS", "UPDATED"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_walked_without_hidden_files_and_links() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in [("a.md", "# A"), ("sub/b.txt", "b"), (".git/c.md", "c"), ("d.exe", "d")] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("e.txt")).expect("a link");
        let target = Target { name: "c".into(), acl: Vec::new(), labels: None, prefix: "p/".into() };
        let found = find(&target, &[folder.path().to_owned()]).expect("a folder");
        let sources: Vec<String> = found.into_iter().map(|f| f.source).collect();
        assert_eq!(sources, ["p/a.md", "p/d.exe", "p/sub/b.txt"]);
    }
}
