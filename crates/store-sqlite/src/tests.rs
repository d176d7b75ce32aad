mod crash;
mod damage;
mod disk;
mod documents;
mod kill;

use std::path::Path;

use seal::KeyRing;
use store::conformance::{append, sample};
use store::{Change, Error, Identity, Ledger, ManifestRow, Records, Secrets, Store};

use super::{SqliteStore, health, sync_latency};
use crate::connect::{Role, connect};
use crate::{DATABASE_FILE, schema};

fn opened(dir: &Path, keys: &KeyRing) -> SqliteStore {
    SqliteStore::open(dir, keys).unwrap_or_else(|e| panic!("{e}"))
}

fn refused(dir: &Path, keys: &KeyRing) -> Error {
    match SqliteStore::open(dir, keys) {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

/// A store with some of everything, closed.
fn filled(dir: &Path, keys: &KeyRing) {
    let store = opened(dir, keys);
    store.change(&[Change::PutOrg(sample::org()), Change::PutTeam(sample::team(2))]).expect("sound");
    store.put_secret("openai", b"sk-1").expect("it fits");
    for n in 0..50 {
        append(&store, sample::settle(n)).expect("the entry is sound");
    }
    store.close().expect("it closes");
}

fn is_sound(store: &SqliteStore) -> u64 {
    let check = store.check().expect("the books read");
    assert_eq!((check.unbalanced, check.drifted, check.sum_pico), (0, 0, 0), "{check:?}");
    check.records
}

#[test]
fn the_sqlite_store_conforms() {
    let dir = tempfile::tempdir().expect("a directory");
    let counter = std::cell::Cell::new(0);
    store::conformance::run(|| {
        counter.set(counter.get() + 1);
        let store = opened(&dir.path().join(counter.get().to_string()), &KeyRing::ephemeral());
        Box::new(store) as Box<dyn Store>
    });
}

#[test]
fn everything_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = KeyRing::ephemeral();
    filled(dir.path(), &keys);
    let store = opened(dir.path(), &keys);
    let state = store.load().expect("it reads");
    assert_eq!((state.generation, state.orgs.len(), state.teams.len()), (1, 1, 1));
    assert_eq!(store.secret("openai").expect("it reads").as_deref(), Some(&b"sk-1"[..]));
    assert_eq!(is_sound(&store), 50);
    let (record, postings) = sample::settled(49);
    assert_eq!(store.recent(1).expect("it reads"), vec![record.clone()]);
    assert_eq!(store.postings(record.id).expect("they read"), postings);
    // Numbers go on where they were.
    append(&store, sample::settle(50)).expect("the entry is sound");
    append(&store, sample::settle(3)).expect("it is idempotent across restarts");
    assert_eq!(is_sound(&store), 51);
}

#[test]
fn trap_f8_a_full_queue_makes_callers_wait_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = crate::Config { queue_entries: 1, queue_bytes: 1, ..crate::Config::default() };
    let store = SqliteStore::open_with(dir.path(), &KeyRing::ephemeral(), &config);
    let store = store.unwrap_or_else(|e| panic!("{e}"));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..20 {
                    append(store, sample::settle(thread * 20 + n)).expect("the entry is sound");
                }
            });
        }
    });
    assert_eq!(is_sound(&store), 160);
}

#[test]
fn a_callback_that_panics_stops_nobody() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = opened(dir.path(), &KeyRing::ephemeral());
    store.append(sample::settle(1), Box::new(|_| panic!("on purpose")));
    append(&store, sample::settle(2)).expect("the writer lives");
    assert_eq!(is_sound(&store), 2);
}

#[test]
fn a_migration_cut_short_goes_on_where_it_was() {
    let keys = KeyRing::ephemeral();
    let key = keys.key(seal::Purpose::Sqlite);
    for steps in 0..=schema::VERSION {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(DATABASE_FILE);
        let mut connection = connect(&path, &key, &Role::Writer).expect("it opens");
        schema::run_steps(&mut connection, &schema::STEPS[..steps as usize]).expect("the steps run");
        // The next step, killed before its commit.
        if let Some(step) = schema::STEPS.get(steps as usize) {
            let transaction = connection.transaction().expect("it begins");
            transaction.execute_batch(step).expect("it runs");
            drop(transaction);
        }
        assert_eq!(schema::version(&connection).expect("it reads"), steps);
        drop(connection);
        filled(dir.path(), &keys);
        assert_eq!(is_sound(&opened(dir.path(), &keys)), 50);
    }
}

#[test]
fn a_file_of_a_newer_version_is_refused_untouched() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = KeyRing::ephemeral();
    filled(dir.path(), &keys);
    let path = dir.path().join(DATABASE_FILE);
    let connection = connect(&path, &keys.key(seal::Purpose::Sqlite), &Role::Writer).expect("it opens");
    connection.pragma_update(None, "user_version", 99).expect("it is set");
    drop(connection);
    let error = refused(dir.path(), &keys);
    assert!(matches!(error, Error::Newer { found: 99, known, .. } if known == schema::VERSION), "{error}");
}

#[test]
fn trap_x4_a_canary_is_in_no_file_of_the_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let canary = "bp-canary-7f3a9c51d2e84b06";
    let keys = KeyRing::open(dir.path(), &seal::Source::File).unwrap_or_else(|e| panic!("{e}"));
    let store = opened(dir.path(), &keys);
    store.put_secret("openai", canary.as_bytes()).expect("it fits");
    let text = format!("key: {canary}\n");
    let row = ManifestRow { kind: "Model".into(), name: canary.into(), text, applied: sample::START };
    store.change(&[Change::PutManifest(row)]).expect("sound");
    for n in 0..20 {
        let (mut record, postings) = sample::settled(n);
        record.decision = canary.into();
        let entry = store::Entry::Settle { record: record.into(), postings, leaf: None };
        append(&store, entry).expect("the entry is sound");
    }
    assert_eq!(is_sound(&store), 20);
    assert_no_file_holds(dir.path(), canary);
    assert!(health(dir.path()).wal_bytes > 0, "the WAL was looked at");
    store.close().expect("it closes");
    assert_no_file_holds(dir.path(), canary);
    // Inside the database it is sealed once more.
    let path = dir.path().join(DATABASE_FILE);
    let connection = connect(&path, &keys.key(seal::Purpose::Sqlite), &Role::Reader).expect("it opens");
    let sealed: Vec<u8> =
        connection.query_row("SELECT sealed FROM secrets", [], |row| row.get(0)).expect("there is one");
    assert!(!contains(&sealed, canary.as_bytes()));
}

fn assert_no_file_holds(dir: &Path, canary: &str) {
    let mut seen = 0;
    for entry in std::fs::read_dir(dir).expect("it reads") {
        let path = entry.expect("it reads").path();
        let bytes = std::fs::read(&path).expect("it reads");
        seen += 1;
        for needle in [canary.as_bytes(), &canary.as_bytes()[3..12], b"SQLite format", b"CREATE TABLE"] {
            assert!(
                !contains(&bytes, needle),
                "{} holds {:?}",
                path.display(),
                String::from_utf8_lossy(needle)
            );
        }
    }
    assert!(seen >= 4, "database, keyring, master key, lock");
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn doctor_sees_versions_sizes_and_sync_latency() {
    let dir = tempfile::tempdir().expect("a directory");
    assert_eq!(health(dir.path()).database_bytes, None);
    filled(dir.path(), &KeyRing::ephemeral());
    let found = health(dir.path());
    assert!(found.database_bytes.is_some_and(|bytes| bytes > 0) && found.schema == schema::VERSION);
    let latency = sync_latency(dir.path(), 5).expect("it is measured");
    assert!(latency.count == 5 && latency.median <= latency.max);
    let left: Vec<_> =
        std::fs::read_dir(dir.path()).expect("it reads").map(|e| e.expect("it reads").file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("sync-test")), "{left:?}");
}
