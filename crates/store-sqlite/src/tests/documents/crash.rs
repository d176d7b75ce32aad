//! Processes that are killed while they put documents.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use seal::{KeyRing, Source};
use store::documents::conformance::sample::{collection, document, put, reader, team};
use store::documents::{Lexing, Tenant, Tenants, TextQuery};

use super::tenants;
use crate::tests::crash::{random, variable};

const DIR: &str = "BEDPLATE_DOCUMENTS_CRASH_DIR";
const FIRST: &str = "BEDPLATE_DOCUMENTS_CRASH_FIRST";
const ROUNDS: &str = "BEDPLATE_DOCUMENTS_CRASH_ROUNDS";
/// Documents that are put over and over.
const DOCUMENTS: u64 = 12;

/// The texts of a document's version: their number and their words follow from it.
fn texts(n: u64, version: u64) -> Vec<String> {
    (0..=version % 4)
        .map(|at| format!("Document{n} version{version} chunk{at} {}", "word ".repeat(40)))
        .collect()
}

fn version_of(n: u64, version: u64) -> store::documents::NewDocument {
    let texts = texts(n, version);
    document(n, &texts.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Not a test of its own: what the test below starts and kills. Puts version after
/// version of a few documents from two threads, and prints each once it is acknowledged.
#[test]
fn child_puts_until_it_is_killed() {
    let Some(dir) = variable(DIR).map(PathBuf::from) else { return };
    let first: u64 = variable(FIRST).and_then(|n| n.parse().ok()).expect("the parent says");
    say("start");
    let keys = KeyRing::open(&dir, &Source::File).unwrap_or_else(|e| panic!("{e}"));
    let tenants = tenants(&dir, &keys);
    let tenant = tenants.tenant(team(1)).unwrap_or_else(|e| panic!("{e}"));
    // The first round makes it; a later one finds it.
    let _ = tenant.create_collection(collection(1, Lexing::Stemmed));
    say("open");
    std::thread::scope(|scope| {
        for half in 0..2 {
            let tenant = &*tenant;
            scope.spawn(move || {
                for version in first.. {
                    for n in (1..=DOCUMENTS).filter(|n| n % 2 == half) {
                        put(tenant, version_of(n, version));
                        say(&format!("ack {n} {version}"));
                    }
                }
            });
        }
    });
}

fn say(line: &str) {
    // One write: what is read back is whole lines, but for the last.
    std::io::stdout().write_all(format!("\n{line}\n").as_bytes()).expect("the parent reads");
}

fn start(dir: &Path, first: u64) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().expect("a test is a file"))
        .args([
            "--exact",
            "tests::documents::crash::child_puts_until_it_is_killed",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(DIR, dir)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let output = BufReader::new(child.stdout.take().expect("it is piped"));
    (child, output)
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let rounds: u64 = variable(ROUNDS).map_or(20, |n| n.parse().expect("a number of rounds"));
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let mut seed = 5;
    // The newest version of each document that was acknowledged.
    let mut acknowledged: BTreeMap<u64, u64> = BTreeMap::new();
    let mut total = 0;
    for round in 0..rounds {
        let kill_after = match round % 5 {
            0 => 0,
            1 => 1 + random(&mut seed) % 4,
            _ => random(&mut seed) % 120,
        };
        let (mut child, mut output) = start(&data, round * 1_000);
        let mut line = String::new();
        let mut seen = 0;
        let mut killed = false;
        while output.read_line(&mut line).expect("it reads") > 0 {
            if let Some(ack) = line.strip_prefix("ack ").filter(|_| line.ends_with('\n')) {
                let (n, version) = ack.trim_end().split_once(' ').expect("two numbers");
                let version: u64 = version.parse().expect("a number");
                acknowledged.insert(n.parse().expect("a number"), version);
                seen += 1;
            }
            let enough = if kill_after == 0 { line.starts_with("start") } else { seen >= kill_after };
            if enough && !killed {
                child.kill().expect("it is ours");
                killed = true;
            }
            // What it said before it died counts.
            line.clear();
        }
        child.wait().expect("it ends");
        total += seen;
        let keys = KeyRing::open(&data, &Source::File).unwrap_or_else(|e| panic!("{e}"));
        let tenants = tenants(&data, &keys);
        let tenant = tenants.tenant(team(1)).unwrap_or_else(|e| panic!("{e}"));
        is_whole(&*tenant, &acknowledged, round);
    }
    println!("{rounds} kills, {total} puts acknowledged, none lost");
}

/// Each document is in the version that was acknowledged or in one behind it, whole: its
/// texts, its terms, its vectors and its rights are of that version and of no other.
fn is_whole(tenant: &dyn Tenant, acknowledged: &BTreeMap<u64, u64>, round: u64) {
    let who = reader(&[]);
    let of = document(1, &[]).collection;
    let mut chunks = 0;
    for n in 1..=DOCUMENTS {
        let read = tenant.document_chunks(&who, document(n, &[]).id, 0, 100).expect("they read");
        let Some(first) = read.first() else {
            assert!(!acknowledged.contains_key(&n), "round {round}: document {n} is lost");
            continue;
        };
        let version = first.text.split("version").nth(1).and_then(|rest| rest.split(' ').next());
        let version: u64 = version.and_then(|v| v.parse().ok()).expect("a version");
        assert!(
            acknowledged.get(&n).is_none_or(|least| version >= *least),
            "round {round}: document {n} is of {version}, {acknowledged:?}"
        );
        assert_eq!(
            read.iter().map(|c| c.text.clone()).collect::<Vec<_>>(),
            texts(n, version),
            "round {round}"
        );
        let terms = [format!("document{n}")];
        let hits =
            tenant.search_text(&who, of, &TextQuery { terms: &terms, limit: 100 }).expect("it searches");
        let mut found: Vec<_> = hits.iter().map(|hit| hit.chunk).collect();
        found.sort();
        let ids: Vec<_> = read.iter().map(|c| c.id).collect();
        assert_eq!(found, ids, "round {round}: full text of document {n}");
        let vectors = tenant.vectors(&who, of, 1, &ids).expect("they read");
        assert_eq!(vectors.len(), ids.len(), "round {round}: vectors of document {n}");
        chunks += ids.len();
    }
    assert_eq!(tenant.index_classes(of, None, 1_000).map_or(0, |rows| rows.len()), chunks, "round {round}");
    if tenant.collection("collection-1").expect("it reads").is_some() {
        assert_eq!(tenant.index_rows(of, 1, None, 1_000).expect("they read").len(), chunks, "round {round}");
    }
}
