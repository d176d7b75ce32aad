//! Files that were cut, changed or forged.

use proptest::prelude::*;

use super::*;

#[test]
fn a_ring_cut_or_changed_anywhere_is_refused() {
    let dir = folder();
    let source = given(1);
    let before = opened(dir.path(), &source);
    done(before.tenant(team(1)).key(Purpose::Kv));
    done(before.shred(team(2), NOW));
    let path = dir.path().join(RING_FILE);
    let good = fs::read(&path).expect("it reads");
    for end in (0..good.len()).step_by(3).chain([good.len() - 1]) {
        fs::write(&path, &good[..end]).expect("it is ours");
        let error = refused(dir.path(), &source);
        assert!(matches!(error, Error::Damaged { .. }), "cut at {end}: {error}");
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, &bad).expect("it is ours");
        match open(dir.path(), &source) {
            // The last bits of base64 padding carry nothing.
            Ok(ring) => assert!(same(&ring, &before), "changed at {at}"),
            Err(error) => assert!(
                matches!(
                    error,
                    Error::Damaged { .. }
                        | Error::WrongMaster { .. }
                        | Error::Unwrap { .. }
                        | Error::OtherKind { .. }
                ),
                "changed at {at}: {error}"
            ),
        }
    }
}

#[test]
fn lines_of_an_older_copy_or_of_another_ring_are_refused() {
    let dir = folder();
    let source = given(1);
    let ring = opened(dir.path(), &source);
    done(ring.tenant(team(1)).key(Purpose::Kv));
    let before = text_of(dir.path());
    done(ring.shred(team(1), NOW));
    let after = text_of(dir.path());
    let path = dir.path().join(RING_FILE);
    let line = |text: &str, begins: &str| {
        text.lines().find(|l| l.starts_with(begins)).expect("it is there").to_owned()
    };
    // The destroyed tenant's key put back in the place of its tombstone.
    let back = after.replace(&line(&after, "gone "), &line(&before, &format!("kek {}", team(1))));
    // The end of the older file under the newer keys.
    let end = after.replace(&line(&after, "end "), &line(&before, "end "));
    for forged in [back, end] {
        write_private(&path, forged.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
        assert!(matches!(refused(dir.path(), &source), Error::Damaged { .. }));
    }
    let other = folder();
    opened(other.path(), &source);
    let mixed = after.replace(&line(&after, "root "), &line(&text_of(other.path()), "root "));
    write_private(&path, mixed.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
    assert!(matches!(refused(dir.path(), &source), Error::Unwrap { .. }), "bound to its ring");
}

#[test]
fn a_newer_format_is_left_alone() {
    let dir = folder();
    opened(dir.path(), &given(1));
    let text = text_of(dir.path()).replace("keyring 2", "keyring 3");
    fs::write(dir.path().join(RING_FILE), &text).expect("it is ours");
    let error = refused(dir.path(), &given(1));
    assert!(error.to_string().contains("newer version"), "{error}");
    assert_eq!(text_of(dir.path()), text);
}

#[test]
fn costs_of_a_passphrase_that_overflow_are_refused() {
    for lanes in [9, 900_000_000, u32::MAX] {
        let text = format!(
            "bedplate-keyring 1\nmaster passphrase 5f3c\nargon2id m=19456 t=2 p={lanes} salt=AAAAAAAAAAAAAAAAAAAAAA==\n"
        );
        assert!(check_ring_text(&text).is_err(), "{lanes}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_ring_text_panics(text in "(bedplate-keyring [12]\n)?(ring [0-9a-f]{30,33}\n)?(root \\PC{0,40}\n)?(master (key|passphrase) [a-f]{4}\n)?(argon2id \\PC{0,40}\n)?((key|kek|gone|retire) \\PC{0,60}\n)*(end [0-9]{1,3} \\PC{0,50}\n)?") {
        let _ = check_ring_text(&text);
    }
}
