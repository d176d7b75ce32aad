//! Tenants' files: what the suite cannot see.

mod crash;
mod damage;
mod load;
mod text;

use std::path::Path;
use std::sync::Arc;

use seal::{KeyRing, Purpose, Source};
use store::Error;
use store::documents::conformance::sample::{collection, document, later, put, reader, shared, team, vector};
use store::documents::{Change, Lexing, NewAnswer, NewDocument, Speaker, Tenant, Tenants, TextQuery, Turn};
use units::{AnswerId, Labels, Micros, TurnId};

use crate::connect::{Role, connect};
use crate::tenant::schema;
use crate::{SqliteTenants, TENANTS_DIR, TenantsConfig};

fn tenants(dir: &Path, keys: &KeyRing) -> SqliteTenants {
    SqliteTenants::new(dir, keys, TenantsConfig::default())
}

fn opened(tenants: &SqliteTenants) -> Arc<dyn Tenant> {
    tenants.tenant(team(1)).unwrap_or_else(|e| panic!("{e}"))
}

/// A tenant with documents 1 to 20, of two chunks each.
fn filled(dir: &Path, keys: &KeyRing) {
    let tenants = tenants(dir, keys);
    let tenant = opened(&tenants);
    tenant.create_collection(collection(1, Lexing::Stemmed)).expect("the name is free");
    for n in 1..=20 {
        put(&*tenant, document(n, &["The engine burns.", "It cools again."]));
    }
    tenants.close();
}

/// Everything that was filled in reads back.
fn read_all(tenant: &dyn Tenant) -> Result<(), Error> {
    let who = reader(&[]);
    let of = document(1, &[]).collection;
    let terms = ["engine".to_owned()];
    let hits = tenant.search_text(&who, of, &TextQuery { terms: &terms, limit: 100 })?;
    let documents = tenant.documents(&who, of, None, 100)?;
    let rows = tenant.index_rows(of, 1, None, 100)?;
    let ids: Vec<_> = rows.iter().map(|row| row.chunk).collect();
    let chunks = tenant.chunks(&who, &ids)?;
    if (hits.len(), documents.len(), rows.len(), chunks.len()) != (20, 20, 40, 40) {
        return Err(Error::Damaged(format!("{} hits, {} documents", hits.len(), documents.len())));
    }
    let sound = chunks.iter().all(|c| ["The engine burns.", "It cools again."].contains(&&*c.text));
    if sound { Ok(()) } else { Err(Error::Damaged("a text is another".into())) }
}

#[test]
fn tenants_files_conform() {
    let dir = tempfile::tempdir().expect("a directory");
    let counter = std::cell::Cell::new(0);
    store::documents::conformance::run(|| {
        counter.set(counter.get() + 1);
        Box::new(tenants(&dir.path().join(counter.get().to_string()), &KeyRing::ephemeral()))
    });
}

#[test]
fn everything_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = KeyRing::ephemeral();
    filled(dir.path(), &keys);
    let again = tenants(dir.path(), &keys);
    let tenant = opened(&again);
    read_all(&*tenant).unwrap_or_else(|e| panic!("{e}"));
    // Lists of readers, numbers and versions go on where they were.
    let last = tenant.index_classes(document(1, &[]).collection, None, 100).expect("they read");
    let replaced = put(&*tenant, document(3, &["Another."]));
    assert_eq!((replaced.change, replaced.version), (Change::Replaced, 2));
    assert!(replaced.added[0] > last.last().expect("there are forty").0);
    assert_eq!(replaced.class, last[0].1);
}

#[test]
fn calls_after_closing_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let tenants = tenants(dir.path(), &KeyRing::ephemeral());
    let tenant = opened(&tenants);
    tenant.create_collection(collection(1, Lexing::Stemmed)).expect("the name is free");
    tenants.close();
    assert!(matches!(tenant.put(vec![document(1, &["one"])]), Err(Error::Closed)));
    assert!(matches!(tenant.collections(), Err(Error::Closed)));
    // Asked for again it opens again.
    assert_eq!(opened(&tenants).collections().expect("they read").len(), 1);
}

#[test]
fn a_migration_cut_short_goes_on_where_it_was() {
    let keys = KeyRing::ephemeral();
    let key = keys.tenant(team(1)).key(Purpose::Documents).expect("it is made");
    for steps in 0..=schema::STEPS.len() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = tenants(dir.path(), &keys).path(team(1));
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("it is made");
        let mut connection = connect(&path, &key, &Role::Documents).expect("it opens");
        crate::schema::run_steps(&mut connection, &schema::STEPS[..steps]).expect("the steps run");
        if let Some(step) = schema::STEPS.get(steps) {
            let transaction = connection.transaction().expect("it begins");
            transaction.execute_batch(step).expect("it runs");
            drop(transaction);
        }
        drop(connection);
        filled(dir.path(), &keys);
        read_all(&*opened(&tenants(dir.path(), &keys))).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn a_file_of_a_newer_version_is_refused_untouched() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = KeyRing::ephemeral();
    filled(dir.path(), &keys);
    let tenants = tenants(dir.path(), &keys);
    let key = keys.tenant(team(1)).key(Purpose::Documents).expect("it is there");
    let connection = connect(&tenants.path(team(1)), &key, &Role::Documents).expect("it opens");
    connection.pragma_update(None, "user_version", 99).expect("it is set");
    drop(connection);
    let error = tenants.tenant(team(1)).err().expect("it is refused");
    assert!(matches!(error, Error::Newer { found: 99, .. }), "{error}");
}

/// What a tenant's keys protect, wherever it may have been put.
#[test]
fn trap_x4_a_canary_is_in_no_file_of_the_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let canary = "canaryword7f3a9c51d2e84b06";
    let keys = KeyRing::open(dir.path(), &Source::File).unwrap_or_else(|e| panic!("{e}"));
    let tenants = tenants(dir.path(), &keys);
    let tenant = opened(&tenants);
    tenant.create_collection(collection(1, Lexing::Stemmed)).expect("the name is free");
    let texts: Vec<String> =
        (0..40).map(|n| format!("{canary} number {n} {}", "filler ".repeat(200))).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for n in 0..20 {
        let new = NewDocument { title: canary.into(), batch: canary.into(), ..document(n, &texts) };
        put(&*tenant, NewDocument { source: format!("{canary}-{n}"), ..new });
    }
    let answer = NewAnswer {
        id: AnswerId(document(1, &[]).id.0),
        partition: [1; 32],
        key: [2; 32],
        vector: vector(1),
        question: canary.into(),
        body: canary.into(),
        labels: Labels::default(),
        cost_pico: 1,
        dependencies: Vec::new(),
        turns: Vec::new(),
        created: Micros(0),
        expires: later(9),
    };
    assert!(tenant.keep_answer(answer).expect("it is sound"));
    let turn = Turn {
        id: TurnId(document(1, &[]).id.0),
        owner: format!("user:{canary}").parse().expect("a subject"),
        conversation: canary.into(),
        speaker: Speaker::User,
        text: canary.into(),
        labels: Labels::default(),
        at: Micros(0),
    };
    tenant.remember(vec![turn]).expect("it is sound");
    // A search that sorts every hit, a replacement, and a removal write too.
    let terms = [canary.to_owned(), "filler".to_owned()];
    let query = TextQuery { terms: &terms, limit: 10_000 };
    let hits = tenant.search_text(&reader(&[]), document(1, &[]).collection, &query).expect("it searches");
    assert_eq!(hits.len(), 800);
    let again = NewDocument { source: format!("{canary}-1"), ..document(1, &texts[..3]) };
    assert_eq!(put(&*tenant, again).change, Change::Replaced);
    assert_no_file_holds(dir.path(), canary);
    let wal = dir.path().join(TENANTS_DIR).join(format!("{}.db-wal", team(1)));
    assert!(std::fs::metadata(&wal).is_ok_and(|meta| meta.len() > 0), "the WAL was looked at");
    tenants.close();
    assert_no_file_holds(dir.path(), canary);
}

fn assert_no_file_holds(dir: &Path, canary: &str) {
    let mut seen = 0;
    for entry in std::fs::read_dir(dir).expect("it reads") {
        let path = entry.expect("it reads").path();
        if path.is_dir() {
            assert_no_file_holds(&path, canary);
            continue;
        }
        let bytes = std::fs::read(&path).expect("it reads");
        seen += 1;
        for needle in [canary.as_bytes(), b"SQLite format", b"CREATE ", b"filler"] {
            let found = bytes.windows(needle.len()).any(|window| window == needle);
            assert!(!found, "{} holds {:?}", path.display(), String::from_utf8_lossy(needle));
        }
    }
    assert!(seen > 0, "{} has files", dir.display());
}

#[test]
fn a_shredded_team_has_neither_keys_nor_files() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = KeyRing::open(dir.path(), &Source::File).unwrap_or_else(|e| panic!("{e}"));
    filled(dir.path(), &keys);
    let tenants = tenants(dir.path(), &keys);
    let path = tenants.path(team(1));
    let copy = std::fs::read(&path).expect("it reads");
    let held = opened(&tenants);
    keys.shred(team(1), Micros(1)).unwrap_or_else(|e| panic!("{e}"));
    assert!(tenants.remove_tenant(team(1)).expect("it goes"));
    assert!(!tenants.remove_tenant(team(1)).expect("it went"));
    assert!(held.collections().is_err(), "whoever held it reads no more");
    assert!(matches!(held.put(vec![document(1, &["one"])]), Err(Error::Closed)));
    let error = tenants.tenant(team(1)).err().expect("there are no keys");
    assert!(matches!(error, Error::Missing { kind: "tenant", .. }), "{error}");
    let left = std::fs::read_dir(dir.path().join(TENANTS_DIR)).expect("it reads").count();
    assert_eq!(left, 0, "database, WAL and shared memory are gone");
    // A copy of the file is of no use to anybody.
    std::fs::write(&path, copy).expect("it is ours");
    assert!(tenants.tenant(team(1)).is_err());
    let other = keys.tenant(team(2)).key(Purpose::Documents).expect("it is made");
    assert!(connect(&path, &other, &Role::Reader).is_err());
}

#[test]
fn a_file_put_in_another_teams_place_does_not_open() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = KeyRing::ephemeral();
    filled(dir.path(), &keys);
    let tenants = tenants(dir.path(), &keys);
    std::fs::copy(tenants.path(team(1)), tenants.path(team(2))).expect("it is ours");
    let error = tenants.tenant(team(2)).err().expect("it is another's");
    assert!(matches!(error, Error::WrongKey { .. }), "{error}");
}

#[test]
fn the_least_used_tenants_are_closed_when_others_need_the_room() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = KeyRing::ephemeral();
    let config = TenantsConfig { open_max: 3, ..TenantsConfig::default() };
    let tenants = SqliteTenants::new(dir.path(), &keys, config);
    let held = tenants.tenant(team(1)).expect("it opens");
    for n in 2..=10 {
        let tenant = tenants.tenant(team(n)).expect("it opens");
        tenant.create_collection(collection(n, Lexing::Words)).expect("the name is free");
        assert!(tenants.open_count() <= 4, "three, and the one in hand");
    }
    // What somebody holds is not closed under them.
    held.create_collection(collection(1, Lexing::Words)).expect("it is open");
    drop(held);
    for n in 1..=10 {
        let row = tenants.tenant(team(n)).expect("it opens").collection(&format!("collection-{n}"));
        assert_eq!(row.expect("it reads"), Some(collection(n, Lexing::Words)));
    }
    assert!(tenants.open_count() <= 4);
    let small = TenantsConfig { open_bytes_max: 1, ..TenantsConfig::default() };
    let tenants = SqliteTenants::new(&dir.path().join("small"), &keys, small);
    for n in 1..=5 {
        drop(tenants.tenant(team(n)).expect("it opens"));
    }
    assert!(tenants.open_count() <= 1, "bytes count too");
}

#[test]
fn room_goes_back_to_the_disk() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = KeyRing::ephemeral();
    let tenants = tenants(dir.path(), &keys);
    let tenant = opened(&tenants);
    tenant.create_collection(collection(1, Lexing::Stemmed)).expect("the name is free");
    let text = "words of no great weight ".repeat(100);
    for n in 0..100 {
        let texts: Vec<String> = (0..20).map(|at| format!("{n} {at} {text}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        put(&*tenant, shared(n, &texts, &["team"]));
    }
    drop(tenant);
    tenants.close();
    let path = tenants.path(team(1));
    let full = std::fs::metadata(&path).expect("it is there").len();
    let tenant = opened(&tenants);
    let all: Vec<_> = (0..100).map(|n| document(n, &[]).id).collect();
    assert_eq!(tenant.remove(&all).expect("they go").len(), 100);
    drop(tenant);
    tenants.close();
    let left = std::fs::metadata(&path).expect("it is there").len();
    assert!(left < full / 2, "{full} bytes became {left}");
    read_back(&*opened(&tenants));
}

fn read_back(tenant: &dyn Tenant) {
    put(tenant, document(1, &["The engine burns."]));
    let terms = ["engine".to_owned()];
    let query = TextQuery { terms: &terms, limit: 9 };
    let hits = tenant.search_text(&reader(&[]), document(1, &[]).collection, &query);
    assert_eq!(hits.expect("it searches").len(), 1);
}
