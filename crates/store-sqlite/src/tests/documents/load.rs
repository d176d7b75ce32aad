//! Readers beside a writer, and many tenants.

use std::sync::atomic::{AtomicBool, Ordering};

use seal::KeyRing;
use store::documents::conformance::sample::{collection, document, put, reader, team};
use store::documents::{Lexing, Reader, Tenants, TextQuery};

use super::{opened, tenants};
use crate::tests::kill::variable;
use crate::{SqliteTenants, TenantsConfig, TextConfig};

/// A document is replaced all the time, with one word per version: what is found and what
/// is fetched is always of one version, and nothing that was replaced is ever shown.
#[test]
fn a_document_that_is_replaced_is_seen_whole() {
    let kept = TextConfig { chunks_min: 0, ..TextConfig::default() };
    for text in [TextConfig::default(), TextConfig { wait: true, ..kept.clone() }, kept] {
        replaced_is_seen_whole(TenantsConfig { text, ..TenantsConfig::default() });
    }
}

fn replaced_is_seen_whole(config: TenantsConfig) {
    let dir = tempfile::tempdir().expect("a directory");
    let tenants = SqliteTenants::new(dir.path(), &KeyRing::ephemeral(), config);
    let tenant = opened(&tenants);
    tenant.create_collection(collection(1, Lexing::Stemmed)).expect("the name is free");
    let texts = |version: u64| -> Vec<String> {
        (0..3).map(|at| format!("engine version{version} part{at}")).collect()
    };
    let of_version = |version: u64| {
        let texts = texts(version);
        document(1, &texts.iter().map(String::as_str).collect::<Vec<_>>())
    };
    put(&*tenant, of_version(0));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let terms = ["engine".to_owned()];
                let query = TextQuery { terms: &terms, limit: 10 };
                while !done.load(Ordering::Acquire) {
                    let read =
                        tenant.document_chunks(&reader(&[]), document(1, &[]).id, 0, 10).expect("they read");
                    let version = read[0].version;
                    assert!(read.len() == 3 && read.iter().all(|c| c.version == version), "{read:?}");
                    let words: Vec<&str> = read.iter().filter_map(|c| c.text.split(' ').nth(1)).collect();
                    assert!(words.iter().all(|word| *word == words[0]), "{words:?}");
                    let hits =
                        tenant.search_text(&reader(&[]), read[0].collection, &query).expect("it searches");
                    assert_eq!(hits.len(), 3);
                    // Fetched a moment later, they are all there or all gone.
                    let ids: Vec<_> = hits.iter().map(|hit| hit.chunk).collect();
                    let fetched = tenant.chunks(&reader(&[]), &ids).expect("they read");
                    assert!([0, 3].contains(&fetched.len()), "{fetched:?}");
                }
            });
        }
        for version in 1..60 {
            put(&*tenant, of_version(version));
        }
        done.store(true, Ordering::Release);
    });
    assert_eq!(tenant.team(), team(1));
}

#[test]
fn trap_f8_many_writers_wait_for_each_other_and_lose_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let tenants = tenants(dir.path(), &KeyRing::ephemeral());
    let tenant = opened(&tenants);
    tenant.create_collection(collection(1, Lexing::Stemmed)).expect("the name is free");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let tenant = &*tenant;
            scope.spawn(move || {
                for n in 0..15 {
                    put(tenant, document(thread * 100 + n, &["The engine burns.", "It cools again."]));
                }
            });
        }
    });
    let counts = tenant.counts(&reader(&[]), document(1, &[]).collection).expect("it counts");
    assert_eq!((counts.documents, counts.chunks), (120, 240));
    let mut ids: Vec<_> = tenant.index_classes(document(1, &[]).collection, None, 1_000).expect("they read");
    ids.dedup_by_key(|row| row.0);
    assert_eq!(ids.len(), 240, "no number twice");
}

/// How many tenants a test opens, if not a few; `cargo xtask crash` has ten thousand.
const TENANTS: &str = "BEDPLATE_TENANTS";

/// The files that this process has open below a directory.
fn open_below(dir: &std::path::Path) -> usize {
    let entries = std::fs::read_dir("/proc/self/fd").expect("it lists");
    entries
        .flatten()
        .filter_map(|e| std::fs::read_link(e.path()).ok())
        .filter(|to| to.starts_with(dir))
        .count()
}

#[test]
fn many_tiny_tenants_keep_few_files_open() {
    let count: u64 = variable(TENANTS).map_or(150, |n| n.parse().expect("a number"));
    let dir = tempfile::tempdir().expect("a directory");
    let config = TenantsConfig { open_max: 16, ..TenantsConfig::default() };
    let tenants = SqliteTenants::new(dir.path(), &KeyRing::ephemeral(), config);
    let mut most = 0;
    for n in 1..=count {
        let tenant = tenants.tenant(team(n)).expect("it opens");
        tenant.create_collection(collection(1, Lexing::Words)).expect("the name is free");
        put(&*tenant, document(n, &["The engine burns."]));
        assert!(tenants.open_count() <= 17, "{} are open", tenants.open_count());
        if n % 50 == 0 {
            most = most.max(open_below(dir.path()));
        }
    }
    // Database, log and shared memory of the writer, the mover and a reader.
    assert!((16..=17 * 9).contains(&most), "{most} files are open");
    // The first ones, long closed, and the last: each has its own document and no other.
    for n in (1..=count).step_by(count as usize / 30 + 1) {
        let tenant = tenants.tenant(team(n)).expect("it opens again");
        let found = tenant.documents(&Reader::new(team(n), []), document(1, &[]).collection, None, 9);
        let found: Vec<_> = found.expect("it reads").into_iter().map(|document| document.id).collect();
        assert_eq!(found, [document(n, &[]).id], "tenant {n}");
    }
}
