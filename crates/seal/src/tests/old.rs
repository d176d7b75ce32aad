//! Rings of the first format open, once, and are of today's format then.

use base64ct::{Base64, Encoding};
use ring::hmac;

use super::*;
use crate::envelope;

const MASTER: [u8; 32] = [0x41; 32];

/// As release 0.1 wrote it under a key.
fn write_old(dir: &Path, purposes: &[&str]) -> Vec<[u8; 32]> {
    let master = SecretKey::from_bytes(MASTER);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &MASTER), b"bedplate master key fingerprint");
    let fingerprint: String = tag.as_ref()[..8].iter().map(|b| format!("{b:02x}")).collect();
    let mut text = format!("bedplate-keyring 1\nmaster key {fingerprint}\n");
    let mut keys = Vec::new();
    for purpose in purposes {
        let key = SecretKey::random();
        let wrapped = envelope::wrap(&master, format!("bedplate|platform|{purpose}|1|").as_bytes(), &key);
        text.push_str(&format!("key platform {purpose} 1 {}\n", Base64::encode_string(&wrapped)));
        keys.push(*key.expose());
    }
    text.push_str(&format!("end {}\n", purposes.len()));
    done(file::make_dir(dir));
    done(write_private(&dir.join(RING_FILE), text.as_bytes()));
    done(write_private(&dir.join(MASTER_FILE), (Base64::encode_string(&MASTER) + "\n").as_bytes()));
    keys
}

#[test]
fn an_old_ring_keeps_its_keys_and_is_written_anew() {
    for source in [Source::File, given(0x41)] {
        let dir = folder();
        let keys = write_old(dir.path(), &["sqlite", "pepper", "secrets", "kv"]);
        let ring = opened(dir.path(), &source);
        for (purpose, key) in Purpose::ALL.iter().zip(&keys) {
            assert!(ring.key(*purpose).expose() == key, "{}", purpose.name());
        }
        assert!(text_of(dir.path()).starts_with("bedplate-keyring 2\n"));
        assert!(same(&ring, &opened(dir.path(), &source)));
    }
}

#[test]
fn a_ring_of_before_blocks_were_kept_is_given_a_key_for_them_once() {
    let dir = folder();
    let keys = write_old(dir.path(), &["sqlite", "pepper", "secrets"]);
    let ring = opened(dir.path(), &Source::File);
    assert!(ring.key(Purpose::Sqlite).expose() == &keys[0]);
    assert!(same(&ring, &opened(dir.path(), &Source::File)), "it is kept");
}

#[test]
fn an_old_ring_without_a_needed_key_or_under_another_key_is_refused_as_it_is() {
    let dir = folder();
    write_old(dir.path(), &["sqlite", "kv"]);
    let before = text_of(dir.path());
    assert!(matches!(refused(dir.path(), &Source::File), Error::Damaged { .. }));
    assert!(matches!(refused(dir.path(), &given(1)), Error::WrongMaster { .. }));
    assert!(matches!(refused(dir.path(), &Source::passphrase("x")), Error::OtherKind { .. }));
    assert_eq!(text_of(dir.path()), before);
}

#[test]
fn what_older_releases_sealed_opens_under_its_own_name() {
    let dir = folder();
    let keys = write_old(dir.path(), &["sqlite", "pepper", "secrets", "kv"]);
    let key = SecretKey::from_bytes(keys[2]);
    let sealed = envelope::seal(&key, b"bedplate|platform|secrets|1|provider/x", b"sk-1");
    let ring = opened(dir.path(), &Source::File);
    let place = |row| Binding { table: "secret", row, version: 1 };
    assert_eq!(&**done(ring.unseal(Purpose::Secrets, &place(b"provider/x"), &sealed)), b"sk-1");
    assert!(ring.unseal(Purpose::Secrets, &place(b"provider/y"), &sealed).is_err());
}

#[test]
fn a_change_of_master_key_that_an_older_release_did_not_finish_is_finished() {
    // After its first step: both files, and the ring under the one in its place.
    let dir = folder();
    write_old(dir.path(), &["sqlite", "pepper", "secrets"]);
    let next = dir.path().join(kms::NEXT_FILE);
    let other = Base64::encode_string(&[9; 32]);
    done(write_private(&next, other.as_bytes()));
    opened(dir.path(), &Source::File);
    assert!(!next.exists(), "the new key that never came into force is gone");

    // After its second: the ring is under the one beside.
    let dir = folder();
    write_old(dir.path(), &["sqlite", "pepper", "secrets"]);
    let (file, next) = (dir.path().join(MASTER_FILE), dir.path().join(kms::NEXT_FILE));
    fs::rename(&file, &next).expect("it is ours");
    done(write_private(&file, other.as_bytes()));
    let ring = opened(dir.path(), &Source::File);
    assert!(!next.exists() && same(&ring, &opened(dir.path(), &Source::File)));
}
