//! Processes that are killed while they put and remove documents.

use std::collections::BTreeMap;

use seal::{KeyRing, Source};
use store::documents::conformance::sample::{collection, document, put, reader, team};
use store::documents::{Lexing, NewDocument, Tenant, Tenants, TextQuery};

use super::tenants;
use crate::tests::kill::{self, say};

const VICTIM: &str = "tests::documents::crash::child_puts_until_it_is_killed";
/// Documents that are put over and over.
const DOCUMENTS: u64 = 12;

/// What was last done with a document. Its texts, so its terms and vectors, follow from
/// its number and the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Put(u64),
    Removed(u64),
}

impl State {
    /// What is done after it: every third version of a document is removed again.
    fn next(self, n: u64) -> State {
        match self {
            State::Put(version) if (version + n).is_multiple_of(3) => State::Removed(version),
            State::Put(version) | State::Removed(version) => State::Put(version + 1),
        }
    }
}

fn texts(n: u64, version: u64) -> Vec<String> {
    (0..=version % 4)
        .map(|at| format!("Document{n} version{version} chunk{at} {}", "word ".repeat(40)))
        .collect()
}

fn version_of(n: u64, version: u64) -> NewDocument {
    let texts = texts(n, version);
    document(n, &texts.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Not a test of its own: what the test below starts and kills. Puts version after
/// version of a few documents from two threads, removes some, and prints each step once
/// it is acknowledged.
#[test]
fn child_puts_until_it_is_killed() {
    let Some((dir, first)) = kill::victim() else { return };
    say("start");
    let keys = KeyRing::open(&dir, &Source::File).unwrap_or_else(|e| panic!("{e}"));
    let tenants = tenants(&dir, &keys);
    let tenant = tenants.tenant(team(1)).unwrap_or_else(|e| panic!("{e}"));
    // The first round makes it; a later one finds it.
    let _ = tenant.create_collection(collection(1, Lexing::Stemmed));
    std::thread::scope(|scope| {
        for half in 0..2 {
            let tenant = &*tenant;
            scope.spawn(move || {
                for version in first.. {
                    for n in (1..=DOCUMENTS).filter(|n| n % 2 == half) {
                        put(tenant, version_of(n, version));
                        say(&format!("put {n} {version}"));
                        if State::Put(version).next(n) == State::Removed(version) {
                            tenant.remove(&[document(n, &[]).id]).expect("it is there");
                            say(&format!("removed {n} {version}"));
                        }
                    }
                }
            });
        }
    });
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let rounds = kill::rounds(20);
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let mut seed = 5;
    let mut known: BTreeMap<u64, State> = BTreeMap::new();
    let mut total = 0;
    for round in 0..rounds {
        let first = round * 1_000;
        let count = kill::patience(round, 4, 120, &mut seed);
        let mut said: BTreeMap<u64, State> = BTreeMap::new();
        kill::kill_after(VICTIM, &data, first, count, |line| {
            let mut words = line.split(' ');
            let state = match words.next() {
                Some("put") => State::Put,
                Some("removed") => State::Removed,
                _ => return false,
            };
            let mut number = || words.next().and_then(|n| n.parse().ok()).expect("a number");
            said.insert(number(), state(number()));
            total += 1;
            true
        });
        let keys = KeyRing::open(&data, &Source::File).unwrap_or_else(|e| panic!("{e}"));
        let tenants = tenants(&data, &keys);
        let tenant = tenants.tenant(team(1)).unwrap_or_else(|e| panic!("{e}"));
        let mut chunks = 0;
        for n in 1..=DOCUMENTS {
            // What was acknowledged, or else what was known before; and the one step behind
            // that may have been under way.
            let least = said.get(&n).or(known.get(&n)).copied();
            let under_way = said.get(&n).map_or(State::Put(first), |state| state.next(n));
            let found = state_of(&*tenant, n, round, &mut chunks);
            let is = |state: State| match state {
                State::Put(version) => found == Some(version),
                State::Removed(_) => found.is_none(),
            };
            assert!(
                least.map_or(found.is_none(), is) || is(under_way),
                "round {round}: document {n} is of {found:?}; {least:?} was acknowledged, {under_way:?} came next"
            );
            if let Some(state) = [Some(under_way), least].into_iter().flatten().find(|state| is(*state)) {
                known.insert(n, state);
            }
        }
        let of = document(1, &[]).collection;
        assert_eq!(
            tenant.index_classes(of, None, 1_000).map_or(0, |rows| rows.len()),
            chunks,
            "round {round}"
        );
        if tenant.collection("collection-1").expect("it reads").is_some() {
            assert_eq!(
                tenant.index_rows(of, 1, None, 1_000).expect("they read").len(),
                chunks,
                "round {round}"
            );
        }
    }
    println!("{rounds} kills, {total} puts and removals acknowledged, none lost");
}

/// The version that a document is of, whole: its texts, its terms, its vectors and its rights
/// are of that version and of no other. `None` when there is none of it.
fn state_of(tenant: &dyn Tenant, n: u64, round: u64, chunks: &mut usize) -> Option<u64> {
    let who = reader(&[]);
    let of = document(1, &[]).collection;
    let read = tenant.document_chunks(&who, document(n, &[]).id, 0, 100).expect("they read");
    let terms = [format!("document{n}")];
    let hits = tenant.search_text(&who, of, &TextQuery { terms: &terms, limit: 100 }).expect("it searches");
    let mut found: Vec<_> = hits.iter().map(|hit| hit.chunk).collect();
    found.sort();
    let ids: Vec<_> = read.iter().map(|c| c.id).collect();
    assert_eq!(found, ids, "round {round}: full text of document {n}");
    *chunks += ids.len();
    let first = read.first()?;
    let version = first.text.split("version").nth(1).and_then(|rest| rest.split(' ').next());
    let version: u64 = version.and_then(|v| v.parse().ok()).expect("a version");
    let now: Vec<String> = read.iter().map(|c| c.text.clone()).collect();
    assert_eq!(now, texts(n, version), "round {round}: document {n}");
    let vectors = tenant.vectors(&who, of, 1, &ids).expect("they read");
    assert_eq!(vectors.len(), ids.len(), "round {round}: vectors of document {n}");
    Some(version)
}
