use store::Store;

use super::SqliteStore;

#[test]
fn the_sqlite_store_conforms() {
    let dir = tempfile::tempdir().expect("a directory");
    let counter = std::cell::Cell::new(0);
    store::conformance::run(|| {
        counter.set(counter.get() + 1);
        let keys = seal::KeyRing::ephemeral();
        let store = SqliteStore::open(&dir.path().join(counter.get().to_string()), &keys);
        Box::new(store.unwrap_or_else(|e| panic!("{e}"))) as Box<dyn Store>
    });
}
