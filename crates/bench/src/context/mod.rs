//! `bench context`: a tenant's documents, encrypted, searched with rights.
//!
//! One collection is put into a tenant's file on the disk in question, a batch a
//! transaction, and searched as `retrieval` searches it: the mask of what the
//! reader may read, the scan, the originals from the encrypted file, ranked
//! again. Beside it stands brute force over what the reader may read, in memory
//! and unencrypted, which is also the truth that recall is counted against; and
//! hnswlib, faiss and usearch in processes of their own, in turn, with the same
//! vectors, the same rights and as much effort as the same recall takes them.
//! Full text is searched from memory where the collection is large enough, and
//! then the whole of a search, both arms and what it reads of the file.
//! pgvector is not among them: it needs a PostgreSQL with the extension.

mod corpus;
mod dense;
mod hybrid;
mod memory;
mod peers;
mod text;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use seal::{KeyRing, Source};
use serde_json::json;
use store::documents::{NewDocument, Tenant, Tenants};
use store_sqlite::{SqliteTenants, TenantsConfig, TextConfig};
use vectors::{DenseIndex, Entry, FlatIndex};

use crate::output::Output;
use crate::record::{Row, Target};
use crate::stats::{self, Summary};
use crate::{clock, machine};
use corpus::Corpus;
use dense::{Rounds, World};
pub use memory::{Memory, run as memory};

/// Options of `bench context`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Chunks of the collection, a vector each [default: 100,000, with --quick 5,000].
    #[arg(long, alias = "vectors")]
    chunks: Option<u64>,
    /// Only ours and brute force: the peers take minutes to build.
    #[arg(long)]
    without_peers: bool,
    /// No full text and no acknowledgements.
    #[arg(long)]
    only_dense: bool,
    /// Rounds of searches [default: 5, with --quick 2].
    #[arg(long)]
    rounds: Option<usize>,
    /// Where the data directory is made: the figures are those of this disk
    /// [default: the bench cache].
    #[arg(long)]
    on: Option<std::path::PathBuf>,
}

/// Documents in one transaction of ingestion.
const BATCH: usize = 50;

pub fn run(options: &Options, output: &Output) -> Result<()> {
    let machine = machine::describe();
    output.say(&format!("machine: {machine}"));
    let home = options.on.clone().unwrap_or_else(|| output.cache.clone());
    std::fs::create_dir_all(&home).with_context(|| format!("create {}", home.display()))?;
    let chunks = options.chunks.unwrap_or(if output.quick { 5_000 } else { 100_000 });
    let rounds = options.rounds.unwrap_or(if output.quick { 2 } else { 5 }).max(1);
    let corpus = Corpus::new(chunks);
    let folder =
        tempfile::Builder::new().prefix("context-").tempdir_in(&home).context("make a data directory")?;
    let keys = KeyRing::open(folder.path(), &Source::File).context("make the keys")?;
    let text = TextConfig { wait: true, ..TextConfig::default() };
    let config = TenantsConfig { text, ..TenantsConfig::default() };
    let tenants = Arc::new(SqliteTenants::new(folder.path(), &keys, config));
    let tenant = tenants.tenant(corpus::team()).context("open the tenant")?;
    tenant.create_collection(corpus::collection()).context("make the collection")?;

    let mut rows = Vec::new();
    let ingested = ingest(&*tenant, &corpus, output)?;
    rows.push(row(
        "ingest without embedding, one writer".into(),
        "chunks/s",
        &[ingested],
        Target::AtLeast(5_000.0),
        chunks,
    ));
    let chunks = corpus.chunks();
    let index = indexed(&*tenant, &keys, folder.path(), chunks, output, &mut rows)?;
    fresh(folder.path(), chunks, rounds, &mut rows)?;
    let searches = Rounds::new(rounds, output.quick);
    let mut peers = if options.without_peers {
        Vec::new()
    } else {
        peers::start(&corpus, searches.all(), folder.path(), output)?
    };
    rows.extend(peers.iter().map(|peer| built(peer, chunks)));
    let world = World { tenant: &*tenant, index: &index, corpus: &corpus };
    let searched = dense::measure(&world, &mut peers, searches, output, &mut rows)?;
    drop(peers);
    let mut raw = json!({"dense": searched});
    if !options.only_dense {
        raw["text"] = text::measure(&*tenant, &corpus, rounds, || tenants.text_bytes(), output, &mut rows)?;
        raw["hybrid"] = hybrid::measure(tenants.clone(), &corpus, rounds, output, &mut rows)?;
        let acks = acknowledged(&*tenant, &corpus, rounds, if output.quick { 50 } else { 400 }, output)?;
        let name = "one document durable, p99, one writer".to_owned();
        rows.push(row(name, "ms", &acks, Target::AtMost(5.0), 400));
        raw["ack_p99_ms"] = json!(acks);
    }
    output.step_done();
    output.say(&format!("load after: {:.2} (1 min)", machine::load().0));
    output.keep_raw("context", &machine, raw)?;
    output.print(&rows);
    Ok(())
}

fn row(row: String, unit: &'static str, ours: &[f64], target: Target, n: u64) -> Row {
    Row {
        bench: "context",
        row,
        unit,
        ours: Summary::of(ours),
        peer: None,
        peer_name: None,
        target,
        ratios: None,
        n,
    }
}

/// Chunks a second, durable, with full text and vectors.
fn ingest(tenant: &dyn Tenant, corpus: &Corpus, output: &Output) -> Result<f64> {
    let mut seconds = 0.0;
    let mut done = 0;
    while done < corpus.documents() {
        let until = (done + BATCH as u64).min(corpus.documents());
        let batch: Vec<NewDocument> = (done..until).map(|n| corpus.document(n)).collect();
        let start = clock::now();
        tenant.put(batch).context("put a batch")?;
        seconds += start.elapsed().as_secs_f64();
        done = until;
        output.step(&format!("ingest: {done} of {} documents", corpus.documents()));
    }
    Ok(corpus.chunks() as f64 / seconds)
}

/// Builds the index from the file, and opens it again from its snapshot.
fn indexed(
    tenant: &dyn Tenant,
    keys: &KeyRing,
    folder: &Path,
    chunks: u64,
    output: &Output,
    rows: &mut Vec<Row>,
) -> Result<FlatIndex> {
    output.step("index: build from the file");
    let keys = keys.tenant(tenant.team());
    let place = memory::place();
    let start = clock::now();
    let path = folder.join(place.file_name(&keys));
    let built = FlatIndex::keeping(corpus::DIMENSIONS, &path, &keys, place).context("keep the originals")?;
    let mut after = None;
    loop {
        let page = tenant.index_rows(place.collection, 1, after, 5_000).context("read the rows")?;
        let Some(last) = page.last() else { break };
        after = Some(last.chunk);
        let entries: Vec<Entry> =
            page.into_iter().map(|r| Entry { chunk: r.chunk, class: r.class, vector: r.vector }).collect();
        built.add(&entries).context("add to the index")?;
    }
    built.settle();
    let rebuilt = start.elapsed().as_secs_f64();
    anyhow::ensure!(built.len() as u64 == chunks, "{} of {chunks} chunks are indexed", built.len());
    let start = clock::now();
    vectors::save(&path, &keys, place, &built, 1).context("save the index")?;
    let saved = start.elapsed().as_secs_f64();
    rows.push(row("index built from the file".into(), "s", &[rebuilt], Target::Shown, chunks));
    rows.push(row("index saved, sealed".into(), "s", &[saved], Target::Shown, chunks));
    let counted = built.bytes() as f64 / chunks as f64;
    let name = "memory of the index, as it counts".to_owned();
    rows.push(row(name, "B/vector", &[counted], Target::AtMost(250.0), chunks));
    Ok(built)
}

/// Opening the snapshot in processes that have held nothing else.
fn fresh(folder: &Path, chunks: u64, rounds: usize, rows: &mut Vec<Row>) -> Result<()> {
    let (mut seconds, mut added, mut most) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (s, bytes, high) = memory::ask(folder)?;
        seconds.push(s);
        added.push(bytes / chunks as f64);
        most.push(high / (1 << 20) as f64);
    }
    rows.push(row("index opened from its snapshot".into(), "s", &seconds, Target::AtMost(1.5), chunks));
    let name = "resident memory that opening added".to_owned();
    rows.push(row(name, "B/vector", &added, Target::AtMost(250.0), chunks));
    rows.push(row("most resident memory while opening".into(), "MiB", &most, Target::Shown, chunks));
    Ok(())
}

/// What building took a peer.
fn built(peer: &peers::Peer, chunks: u64) -> Row {
    let (theirs, name) = match &peer.state {
        Ok(running) => {
            let name = format!("{}, built in {:.0} s", peer.name, running.built_s);
            (Summary::of(&[running.bytes / chunks as f64]), name)
        }
        Err(why) => (None, format!("{}: {why}", peer.name)),
    };
    let ours = row("resident memory".into(), "B/vector", &[], Target::Shown, chunks);
    Row { peer: theirs, peer_name: Some(name), ..ours }
}

/// The p99 of each round, in milliseconds: one document of one chunk at a time.
fn acknowledged(
    tenant: &dyn Tenant,
    corpus: &Corpus,
    rounds: usize,
    count: u64,
    output: &Output,
) -> Result<Vec<f64>> {
    let mut p99s = Vec::new();
    for round in 0..rounds as u64 {
        output.step(&format!("acknowledge: round {}/{rounds}", round + 1));
        let mut waits = Vec::new();
        for n in 0..count {
            let mut new = corpus.document(corpus.documents() + round * count + n);
            new.chunks.truncate(1);
            let start = clock::now();
            tenant.put(vec![new]).context("put a document")?;
            waits.push(start.elapsed().as_secs_f64() * 1e3);
        }
        p99s.push(stats::quantile(&mut waits, 0.99).context("nothing was put")?);
    }
    Ok(p99s)
}

#[cfg(test)]
mod tests {
    use store::documents::MemoryTenants;

    use super::*;

    #[test]
    fn what_is_measured_finds_what_it_should() {
        let output = Output { json: true, quick: true, peers: "/nowhere".into(), cache: "/nowhere".into() };
        let corpus = Corpus::new(400);
        let tenants = Arc::new(MemoryTenants::new());
        let tenant = tenants.tenant(corpus::team()).unwrap();
        tenant.create_collection(corpus::collection()).unwrap();
        assert!(ingest(&*tenant, &corpus, &output).unwrap() > 0.0);
        let folder = tempfile::tempdir().unwrap();
        let mut rows = Vec::new();
        let keys = KeyRing::ephemeral();
        let index = indexed(&*tenant, &keys, folder.path(), 400, &output, &mut rows).unwrap();
        let world = World { tenant: &*tenant, index: &index, corpus: &corpus };
        dense::measure(&world, &mut [], Rounds::new(1, true), &output, &mut rows).expect("it is measured");
        text::measure(&*tenant, &corpus, 1, || 0, &output, &mut rows).unwrap();
        hybrid::measure(tenants, &corpus, 1, &output, &mut rows).unwrap();
        let recalls: Vec<f64> =
            rows.iter().filter(|r| r.row.starts_with("recall")).map(|r| r.ours.unwrap().median).collect();
        assert!(recalls.len() >= 3 && recalls.iter().all(|r| *r >= 0.99), "{recalls:?}");
        let found = rows.iter().find(|r| r.row.starts_with("hits")).and_then(|r| r.ours).unwrap();
        assert!(found.median > 0.0, "full text finds something");
        assert_eq!(acknowledged(&*tenant, &corpus, 1, 3, &output).unwrap().len(), 1);
    }
}
