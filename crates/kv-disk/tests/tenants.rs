//! Each tenant's blocks are under its own key: destroying it makes them misses.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use kv_disk::{KvDisk, Options};
use scheduler::{BlockKey, BlockStore, Tenant};
use seal::{KeyRing, Purpose, SecretKey};
use units::{TeamId, Uuid7};

type Secrets = Arc<Mutex<BTreeMap<u128, [u8; 32]>>>;

fn open(folder: &Path, secrets: &Secrets) -> KvDisk {
    let secrets = Arc::clone(secrets);
    let options = Options {
        folder: folder.to_owned(),
        key: SecretKey::from_bytes([3; 32]),
        tenants: Arc::new(move |tenant| {
            secrets.lock().expect("no panic").get(&tenant.0).map(|bytes| SecretKey::from_bytes(*bytes))
        }),
        fingerprint: "a",
        quota_bytes: 64 << 20,
    };
    KvDisk::open(options).expect("it opens")
}

fn block(tenant: u128, text: &str) -> Vec<u8> {
    [&tenant.to_be_bytes()[..], text.as_bytes()].concat()
}

#[test]
fn a_destroyed_tenants_blocks_are_misses_and_others_are_hits() {
    let dir = tempfile::tempdir().expect("a folder");
    let secrets: Secrets = Arc::new(Mutex::new(BTreeMap::from([(1, [1; 32]), (2, [2; 32])])));
    let store = open(dir.path(), &secrets);
    for n in 0..20 {
        let tenant = 1 + n % 2;
        assert_eq!(store.save(BlockKey(n), &block(tenant, "prompt")), []);
        assert_eq!(store.load(BlockKey(n)), Some(block(tenant, "prompt")));
    }
    secrets.lock().expect("no panic").remove(&1);
    for store in [store, open(dir.path(), &secrets)] {
        let hits =
            |tenant| (0..20).filter(|n| 1 + n % 2 == tenant && store.load(BlockKey(*n)).is_some()).count();
        assert_eq!((hits(1), hits(2)), (0, 10));
        assert_eq!(store.save(BlockKey(99), &block(1, "more")), [BlockKey(99)], "nothing is kept for it");
        assert_eq!(store.keys().len(), 10, "and its files are gone");
    }
}

#[test]
fn a_block_that_is_given_to_another_tenant_is_a_miss() {
    let dir = tempfile::tempdir().expect("a folder");
    let secrets: Secrets = Arc::new(Mutex::new(BTreeMap::from([(1, [1; 32]), (2, [2; 32])])));
    open(dir.path(), &secrets).save(BlockKey(7), &block(1, "prompt"));
    let mut file = dir.path().to_owned();
    while file.is_dir() {
        file = fs::read_dir(&file).expect("it reads").next().expect("not empty").expect("it reads").path();
    }
    let mut bytes = fs::read(&file).expect("it reads");
    // The header names tenant 1; now tenant 2.
    bytes[87] = 2;
    fs::write(&file, bytes).expect("it is ours");
    assert_eq!(open(dir.path(), &secrets).load(BlockKey(7)), None);
}

#[test]
fn erasing_a_team_from_the_key_ring_leaves_it_no_block() {
    let dir = tempfile::tempdir().expect("a folder");
    let ring = KeyRing::open(&dir.path().join("keys"), &seal::Source::File).unwrap_or_else(|e| panic!("{e}"));
    let open = |ring: &KeyRing| {
        let ring = ring.clone();
        let team = |tenant: Tenant| TeamId(Uuid7::from_bytes(tenant.0.to_be_bytes()));
        let options = Options {
            folder: dir.path().join("kv"),
            key: ring.key(Purpose::Kv),
            tenants: Arc::new(move |tenant| ring.tenant(team(tenant)).key(Purpose::Kv).ok()),
            fingerprint: "a",
            quota_bytes: 64 << 20,
        };
        KvDisk::open(options).expect("it opens")
    };
    let (one, two) = (1 << 100, 2 << 100);
    let store = open(&ring);
    for n in 0..20 {
        assert_eq!(store.save(BlockKey(n), &block(if n < 10 { one } else { two }, "prompt")), []);
    }
    ring.shred(TeamId(Uuid7::from_bytes((1_u128 << 100).to_be_bytes())), Default::default())
        .unwrap_or_else(|e| panic!("{e}"));
    let again =
        KeyRing::open(&dir.path().join("keys"), &seal::Source::File).unwrap_or_else(|e| panic!("{e}"));
    for store in [store, open(&again)] {
        let hits: Vec<u128> = (0..20).filter(|n| store.load(BlockKey(*n)).is_some()).collect();
        assert_eq!(hits, (10..20).collect::<Vec<_>>());
    }
}
