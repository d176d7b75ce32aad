//! Files that were cut, changed, or are under another key.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use seal::KeyRing;
use store::{Error, Identity, Ledger, Records, Secrets, SpendQuery};
use units::Day;

use super::{filled, refused};
use crate::{DATABASE_FILE, SqliteStore};

/// Opens and reads everything.
fn read_all(dir: &Path, keys: &KeyRing) -> Result<(), Error> {
    let store = SqliteStore::open(dir, keys)?;
    store.load()?;
    store.secret("openai")?;
    store.recent(100)?;
    store.open_holds()?;
    store.spend(&SpendQuery { from: Day(0), to: Day(i32::MAX), team: None, key: None })?;
    let check = store.check()?;
    if (check.records, check.drifted, check.unbalanced) == (50, 0, 0) {
        Ok(())
    } else {
        Err(Error::Damaged(format!("{check:?}")))
    }
}

#[test]
fn a_wrong_key_is_said_to_be_wrong() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = KeyRing::ephemeral();
    filled(dir.path(), &keys);
    let error = refused(dir.path(), &KeyRing::ephemeral());
    assert!(matches!(error, Error::WrongKey { .. }), "{error}");
    assert!(error.report().to_string().contains("ST0002"));
    read_all(dir.path(), &keys).expect("the right key still opens it");
}

#[test]
fn a_file_cut_anywhere_is_refused_clearly() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = KeyRing::ephemeral();
    filled(dir.path(), &keys);
    let path = dir.path().join(DATABASE_FILE);
    let good = fs::read(&path).expect("it reads");
    let cuts =
        [1, 15, 16, 17, 100, 4_095, 4_096, 4_097, 8_192, good.len() / 2, good.len() - 4_096, good.len() - 1];
    for cut in cuts {
        fs::write(&path, &good[..cut]).expect("it is ours");
        let result = catch_unwind(AssertUnwindSafe(|| read_all(dir.path(), &keys))).expect("no panic");
        let error = result.expect_err("pages are missing");
        assert!(matches!(error, Error::Damaged(_) | Error::WrongKey { .. }), "cut at {cut}: {error:?}");
    }
}

#[test]
fn a_flipped_bit_is_noticed_and_never_a_panic() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = KeyRing::ephemeral();
    filled(dir.path(), &keys);
    let path = dir.path().join(DATABASE_FILE);
    let good = fs::read(&path).expect("it reads");
    // A page each, at another place in each: salt, body, IV, HMAC.
    for (page, at) in good.chunks(4_096).enumerate().map(|(page, _)| (page, (page * 1_361 + 5) % 4_096)) {
        let mut bad = good.clone();
        bad[page * 4_096 + at] ^= 0x20;
        fs::write(&path, &bad).expect("it is ours");
        let result = catch_unwind(AssertUnwindSafe(|| read_all(dir.path(), &keys))).expect("no panic");
        // A page that nobody reads (an index that no query needs) is not noticed.
        if let Err(error) = result {
            assert!(matches!(error, Error::Damaged(_) | Error::WrongKey { .. }), "page {page}: {error:?}");
        } else {
            assert!(page > 1, "page {page} holds the schema or the state");
        }
    }
    fs::write(&path, &good).expect("it is ours");
    read_all(dir.path(), &keys).expect("it is whole again");
}

#[test]
fn a_flipped_bit_in_the_log_costs_what_follows_and_no_more() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = KeyRing::ephemeral();
    filled(dir.path(), &keys);
    // A copy of the files of a running store, as a crash would leave them.
    let copy = tempfile::tempdir().expect("a directory");
    let store = super::opened(dir.path(), &keys);
    for n in 50..60 {
        store::conformance::append(&store, store::conformance::sample::settle(n)).expect("sound");
    }
    for name in [DATABASE_FILE, "platform.db-wal"] {
        fs::copy(dir.path().join(name), copy.path().join(name)).expect("it is there");
    }
    drop(store);
    let wal = copy.path().join("platform.db-wal");
    let good = fs::read(&wal).expect("it reads");
    let database = fs::read(copy.path().join(DATABASE_FILE)).expect("it reads");
    for at in (0..good.len()).step_by(good.len() / 40 + 1) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&wal, &bad).expect("it is ours");
        fs::write(copy.path().join(DATABASE_FILE), &database).expect("it is ours");
        let _ = fs::remove_file(copy.path().join("platform.db-shm"));
        let store = super::opened(copy.path(), &keys);
        let records = super::is_sound(&store);
        assert!((50..=60).contains(&records), "flipped at {at}: {records} records");
    }
}
