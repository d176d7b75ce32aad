//! What is destroyed is gone: here, in copies, and for good.

use super::*;

fn filled(dir: &Path, source: &Source) -> (KeyRing, Vec<u8>, Vec<u8>) {
    let ring = opened(dir, source);
    let seal = |n| done(ring.tenant(team(n)).seal(Purpose::Documents, &PLACE, b"content"));
    let (a, b) = (seal(1), seal(2));
    (ring, a, b)
}

const PLACE: Binding<'static> = Binding { table: "t", row: b"r", version: 1 };

#[test]
fn a_destroyed_tenants_data_opens_no_more_and_others_are_whole() {
    let dir = folder();
    let (ring, a, b) = filled(dir.path(), &Source::File);
    done(ring.provide([team(1)].into_iter(), Purpose::Commitments));
    assert_eq!(done(ring.shred(team(1), NOW)), Copies::Dead);
    for ring in [ring, opened(dir.path(), &Source::File)] {
        let keys = ring.tenant(team(1));
        assert!(matches!(keys.unseal(Purpose::Documents, &PLACE, &a), Err(Error::Shredded { .. })));
        assert!(matches!(keys.seal(Purpose::Cache, &PLACE, b"new"), Err(Error::Shredded { .. })));
        assert!(matches!(keys.kept(Purpose::Commitments, None), Err(Error::Shredded { .. })));
        assert!(matches!(ring.rotate_tenant(team(1)), Err(Error::Shredded { .. })));
        assert_eq!(&**done(ring.tenant(team(2)).unseal(Purpose::Documents, &PLACE, &b)), b"content");
        assert_eq!(ring.tenants()[0].gone, Some(NOW));
    }
    let text = text_of(dir.path());
    assert!(!text.contains(&format!("kek {}", team(1))) && text.contains(&format!("gone {}", team(1))));
}

#[test]
fn destroying_twice_and_what_never_was_is_the_same() {
    let dir = folder();
    let ring = opened(dir.path(), &Source::File);
    assert_eq!(done(ring.shred(team(9), NOW)), Copies::Dead);
    let text = text_of(dir.path());
    assert_eq!(done(ring.shred(team(9), Micros(5))), Copies::Dead);
    assert_eq!(text_of(dir.path()), text, "the first time stands");
}

#[test]
fn copies_of_the_ring_die_with_the_tenant_where_the_master_key_changes() {
    let dir = folder();
    let (ring, ..) = filled(dir.path(), &Source::File);
    let old = fs::read(dir.path().join(RING_FILE)).expect("it reads");
    done(ring.shred(team(1), NOW));
    write_private(&dir.path().join(RING_FILE), &old).unwrap_or_else(|e| panic!("{e}"));
    assert!(matches!(refused(dir.path(), &Source::File), Error::NoKey { .. }));
}

#[test]
fn a_master_key_that_cannot_be_destroyed_is_said_to_leave_copies_readable() {
    for source in [given(7), Source::passphrase("p")] {
        let dir = folder();
        let (ring, a, _) = filled(dir.path(), &source);
        let old = fs::read(dir.path().join(RING_FILE)).expect("it reads");
        assert_eq!(done(ring.shred(team(1), NOW)), Copies::Alive);
        assert!(!ring.is_root_owed());
        assert!(opened(dir.path(), &source).tenant(team(1)).unseal(Purpose::Documents, &PLACE, &a).is_err());
        // The honest half: whoever kept the file and the key still reads.
        write_private(&dir.path().join(RING_FILE), &old).unwrap_or_else(|e| panic!("{e}"));
        assert!(opened(dir.path(), &source).tenant(team(1)).unseal(Purpose::Documents, &PLACE, &a).is_ok());
    }
}

#[test]
fn a_keeper_that_is_away_does_not_keep_a_tenant_alive() {
    let dir = folder();
    let (ring, a, b) = filled(dir.path(), &Source::File);
    let (key, away) = (dir.path().join(MASTER_FILE), dir.path().join("away"));
    fs::rename(&key, &away).expect("it is ours");
    assert!(matches!(done(ring.shred(team(1), NOW)), Copies::Owed(_)));
    assert!(ring.is_root_owed() && ring.tenant(team(1)).unseal(Purpose::Documents, &PLACE, &a).is_err());
    fs::rename(&away, &key).expect("it is ours");
    let ring = opened(dir.path(), &Source::File);
    assert!(!ring.is_root_owed(), "the next start pays");
    assert_eq!(ring.root_version(), 2);
    assert_eq!(&**done(ring.tenant(team(2)).unseal(Purpose::Documents, &PLACE, &b)), b"content");
}
