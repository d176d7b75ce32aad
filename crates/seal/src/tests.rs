use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::{TempDir, tempdir};
use units::{Micros, TeamId, Uuid7};

use super::*;

mod backends;
mod binding;
mod change;
mod damage;
mod old;
mod shred;

fn folder() -> TempDir {
    tempdir().expect("a directory")
}

fn open(dir: &Path, source: &Source) -> Result<KeyRing, Error> {
    KeyRing::open(dir, source)
}

#[track_caller]
fn opened(dir: &Path, source: &Source) -> KeyRing {
    open(dir, source).unwrap_or_else(|e| panic!("{e}"))
}

#[track_caller]
fn refused(dir: &Path, source: &Source) -> Error {
    match open(dir, source) {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

#[track_caller]
fn done<T>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|e| panic!("{e}"))
}

fn same(a: &KeyRing, b: &KeyRing) -> bool {
    Purpose::ALL.iter().all(|p| a.key(*p).expose() == b.key(*p).expose())
}

fn given(byte: u8) -> Source {
    done(Source::given(&format!("{byte:02x}").repeat(32)))
}

fn team(n: u8) -> TeamId {
    TeamId(Uuid7::new(Micros(1_000_000), [n; 10]))
}

fn text_of(dir: &Path) -> String {
    fs::read_to_string(dir.join(RING_FILE)).expect("it reads")
}

const NOW: Micros = Micros(1_795_773_600_000_000);

#[test]
fn a_first_start_makes_private_files_and_the_next_reads_them() {
    let dir = folder();
    let data = dir.path().join("new").join("data");
    let first = opened(&data, &Source::File);
    assert!(same(&first, &opened(&data, &Source::File)));
    for file in [MASTER_FILE, RING_FILE] {
        let mode = fs::metadata(data.join(file)).expect("it exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert_eq!(done(inspect(&data)).mode, Some(0o600));
    let names: Vec<_> =
        fs::read_dir(&data).expect("it reads").map(|e| e.expect("it reads").file_name()).collect();
    assert_eq!(names.len(), 2, "nothing is left beside: {names:?}");
    assert!(!same(&first, &opened(dir.path().join("other").as_path(), &Source::File)));
}

#[test]
fn purposes_and_tenants_have_different_keys() {
    let ring = KeyRing::ephemeral();
    let mut keys: Vec<[u8; 32]> = Purpose::ALL.map(|p| *ring.key(p).expose()).into();
    for n in 1..4 {
        for purpose in [Purpose::Kv, Purpose::Documents, Purpose::Commitments] {
            let key = done(ring.tenant(team(n)).key(purpose));
            assert!(done(ring.tenant(team(n)).key(purpose)).expose() == key.expose(), "it is the same again");
            keys.push(*key.expose());
        }
    }
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), count);
}

#[test]
fn keys_are_provided_to_many_at_once_and_asking_for_one_never_makes_it() {
    let dir = folder();
    let ring = opened(dir.path(), &Source::File);
    let kept = |ring: &KeyRing, n| done(ring.tenant(team(n)).kept(Purpose::Commitments, None));
    assert!(kept(&ring, 1).is_none() && ring.tenants().is_empty(), "asking made none");
    done(ring.shred(team(3), NOW));
    let version = ring.root_version();
    done(ring.provide((1..4).map(team), Purpose::Commitments));
    let written = text_of(dir.path());
    done(ring.provide((1..4).map(team), Purpose::Commitments));
    assert_eq!(text_of(dir.path()), written, "nothing was lacking");
    let (one, key) = kept(&ring, 1).expect("it was provided");
    let reopened = opened(dir.path(), &Source::File);
    let again = done(reopened.tenant(team(1)).kept(Purpose::Commitments, Some(one))).expect("it is there");
    assert!(again.1.expose() == key.expose() && ring.root_version() == version);
    assert!(kept(&ring, 2).is_some_and(|(_, other)| other.expose() != key.expose()));
    assert!(done(ring.tenant(team(1)).kept(Purpose::Commitments, Some(one + 1))).is_none());
    let gone = ring.tenant(team(3)).kept(Purpose::Commitments, None);
    assert!(matches!(gone, Err(Error::Shredded { .. })), "the destroyed get none");
}

#[test]
fn keys_of_tenants_survive_a_restart() {
    let dir = folder();
    let before = done(opened(dir.path(), &Source::File).tenant(team(1)).key(Purpose::Memory));
    let ring = opened(dir.path(), &Source::File);
    assert!(done(ring.tenant(team(1)).key(Purpose::Memory)).expose() == before.expose());
    let shown = ring.tenants();
    assert_eq!((shown.len(), shown[0].team, shown[0].version), (1, team(1), Some(1)));
    assert_eq!(shown[0].purposes, ["memory"]);
}

#[test]
fn a_missing_key_is_never_replaced_by_a_new_one() {
    let dir = folder();
    opened(dir.path(), &Source::File);
    fs::rename(dir.path().join(MASTER_FILE), dir.path().join("away")).expect("it is ours");
    assert!(matches!(refused(dir.path(), &Source::File), Error::Missing { .. }));
    fs::remove_file(dir.path().join(RING_FILE)).expect("it is ours");
    fs::write(dir.path().join("platform.db"), "data").expect("it is ours");
    assert!(matches!(refused(dir.path(), &Source::File), Error::Missing { .. }));
    assert!(!dir.path().join(MASTER_FILE).exists());
}

/// The figures, and how they were measured, are in docs/benchmarks.md.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn what_ten_thousand_tenants_cost() {
    let dir = folder();
    let ring = opened(dir.path(), &Source::File);
    let at = std::time::Instant::now();
    let team = |n: u32| {
        let mut random = [0; 10];
        random[4..8].copy_from_slice(&n.to_be_bytes());
        TeamId(Uuid7::new(Micros(1_000_000), random))
    };
    done(ring.provide((0..10_000).map(team), Purpose::Kv));
    println!("made 10,000: {:?}", at.elapsed());
    let time = |what: &str, work: &dyn Fn()| {
        let mut times: Vec<_> = (0..11)
            .map(|_| {
                let at = std::time::Instant::now();
                work();
                at.elapsed()
            })
            .collect();
        times.sort();
        println!("{what}: median {:?}, worst {:?}", times[5], times[10]);
    };
    println!("file: {} bytes", text_of(dir.path()).len());
    time("open", &|| drop(opened(dir.path(), &Source::File)));
    time("a key that is there", &|| drop(done(ring.tenant(team(77)).key(Purpose::Kv))));
    time("rotate a tenant", &|| {
        done(ring.rotate_tenant(team(78)));
    });
    time("rotate the root", &|| done(ring.rotate_root(true)));
    let n = std::cell::Cell::new(20_000);
    time("one more tenant", &|| {
        n.set(n.get() + 1);
        drop(done(ring.tenant(team(n.get())).key(Purpose::Kv)));
    });
    time("shred a tenant", &|| {
        n.set(n.get() - 1);
        done(ring.shred(team(n.get()), NOW));
    });
}
