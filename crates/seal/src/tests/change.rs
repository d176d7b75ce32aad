//! Rotation and moving to another master key: data keys stay, whatever happens in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::kms::{About, FileKms, Wrapping};

#[test]
fn a_tenants_rotation_leaves_its_data_as_it_is() {
    let dir = folder();
    let ring = opened(dir.path(), &Source::File);
    let keys = ring.tenant(team(1));
    let place = Binding { table: "t", row: b"r", version: 1 };
    let sealed = done(keys.seal(Purpose::Documents, &place, b"text"));
    done(ring.tenant(team(2)).key(Purpose::Documents));
    let before = text_of(dir.path());
    assert_eq!(done(ring.rotate_tenant(team(1))), 2);
    assert_eq!(done(ring.rotate_tenant(team(1))), 3);
    let after = text_of(dir.path());
    for ring in [ring, opened(dir.path(), &Source::File)] {
        assert_eq!(&**done(ring.tenant(team(1)).unseal(Purpose::Documents, &place, &sealed)), b"text");
        assert_eq!(ring.tenants().iter().map(|t| t.version).collect::<Vec<_>>(), [Some(3), Some(1)]);
    }
    let others = |text: &str| -> Vec<String> {
        text.lines().filter(|l| l.contains(&team(2).to_string())).map(str::to_owned).collect()
    };
    assert_eq!(others(&before), others(&after), "nobody else's keys were touched");
}

#[test]
fn a_roots_rotation_leaves_all_data_as_it_is_and_no_use_to_the_old_file() {
    let dir = folder();
    let ring = opened(dir.path(), &Source::File);
    let key = done(ring.tenant(team(1)).key(Purpose::Kv));
    let old = fs::read(dir.path().join(RING_FILE)).expect("it reads");
    done(ring.rotate_root(true));
    let again = opened(dir.path(), &Source::File);
    assert!(same(&ring, &again) && again.root_version() == 2 && !again.is_root_owed());
    assert!(done(again.tenant(team(1)).key(Purpose::Kv)).expose() == key.expose());
    write_private(&dir.path().join(RING_FILE), &old).unwrap_or_else(|e| panic!("{e}"));
    let error = refused(dir.path(), &Source::File);
    assert!(matches!(error, Error::NoKey { .. }), "a copy of the old ring is dead: {error}");
}

#[test]
fn a_root_rotated_without_destruction_leaves_copies_readable() {
    let dir = folder();
    let ring = opened(dir.path(), &Source::File);
    let old = fs::read(dir.path().join(RING_FILE)).expect("it reads");
    done(ring.rotate_root(false));
    write_private(&dir.path().join(RING_FILE), &old).unwrap_or_else(|e| panic!("{e}"));
    assert!(same(&ring, &opened(dir.path(), &Source::File)));
}

#[test]
fn a_new_master_key_opens_the_same_data_keys() {
    let dir = folder();
    let phrase = Source::passphrase("a");
    let before = opened(dir.path(), &Source::File);
    let tenant = done(before.tenant(team(1)).key(Purpose::Kv));
    let steps = [
        (Source::File, Source::File),
        (Source::File, phrase.clone()),
        (phrase, given(3)),
        (given(3), given(4)),
        (given(4), Source::File),
    ];
    for (old, new) in &steps {
        let ring = done(KeyRing::rewrap(dir.path(), old, new));
        assert!(same(&ring, &before));
        let again = opened(dir.path(), new);
        assert!(same(&again, &before));
        assert!(done(again.tenant(team(1)).key(Purpose::Kv)).expose() == tenant.expose());
        assert_eq!(dir.path().join(MASTER_FILE).exists(), matches!(new, Source::File));
    }
    assert!(matches!(refused(dir.path(), &given(3)), Error::OtherKind { .. }));
}

/// A key file whose keeper fails at its n-th call.
struct Failing {
    inner: FileKms,
    left: AtomicU32,
}

impl Failing {
    fn new(dir: &Path, calls: u32) -> Failing {
        Failing { inner: FileKms::new(dir), left: AtomicU32::new(calls) }
    }
    fn call(&self) -> Result<(), Error> {
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        left.map(drop).map_err(|_| Error::Unreachable { kms: "the test".into(), why: "it fails".into() })
    }
}

impl Kms for Failing {
    fn kind(&self) -> &'static str {
        "file"
    }
    fn prepare(&self) -> Result<(), Error> {
        self.call().and_then(|()| self.inner.prepare())
    }
    fn about(&self) -> Result<About, Error> {
        self.call().and_then(|()| self.inner.about())
    }
    fn wrap(&self, key: &SecretKey, context: &[u8]) -> Result<Wrapping, Error> {
        self.call().and_then(|()| self.inner.wrap(key, context))
    }
    fn unwrap(&self, wrapping: &Wrapping, context: &[u8]) -> Result<SecretKey, Error> {
        self.call().and_then(|()| self.inner.unwrap(wrapping, context))
    }
    fn rotate(&self) -> Result<u32, Error> {
        self.call().and_then(|()| self.inner.rotate())
    }
    fn destroy(&self, below: u32) -> Result<(), Error> {
        self.call().and_then(|()| self.inner.destroy(below))
    }
}

#[test]
fn a_rotation_cut_short_at_any_call_leaves_a_ring_that_opens_and_is_finished_later() {
    for calls in 0..8 {
        let dir = folder();
        let before = opened(dir.path(), &Source::File);
        let key = done(before.tenant(team(1)).key(Purpose::Kv));
        // Opening takes one call.
        let failing = Source::Kms(Arc::new(Failing::new(dir.path(), 1 + calls)));
        let rotated = opened(dir.path(), &failing).rotate_root(true);
        let ring = opened(dir.path(), &Source::File);
        assert!(same(&ring, &before), "after {calls} calls");
        assert!(done(ring.tenant(team(1)).key(Purpose::Kv)).expose() == key.expose());
        assert!(!ring.is_root_owed(), "what was begun is finished by opening");
        assert!(rotated.is_ok() || calls < 5, "it takes five calls");
        done(ring.rotate_root(true));
        let about = done(ring.about());
        assert_eq!(about.newest, about.oldest, "one version is left");
    }
}

#[test]
fn a_start_whose_keeper_fails_makes_no_ring() {
    for calls in 0..3 {
        let dir = folder();
        let failing = Source::Kms(Arc::new(Failing::new(dir.path(), calls)));
        assert!(matches!(refused(dir.path(), &failing), Error::Unreachable { .. }));
        assert!(!dir.path().join(RING_FILE).exists(), "after {calls} calls");
    }
}
