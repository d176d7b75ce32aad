use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use proptest::prelude::*;
use tempfile::tempdir;

use super::*;
use crate::master::NEXT_FILE;

fn open(dir: &Path, source: &Source) -> Result<KeyRing, Error> {
    KeyRing::open(dir, source)
}

fn opened(dir: &Path, source: &Source) -> KeyRing {
    open(dir, source).unwrap_or_else(|e| panic!("{e}"))
}

fn refused(dir: &Path, source: &Source) -> Error {
    match open(dir, source) {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

fn same(a: &KeyRing, b: &KeyRing) -> bool {
    Purpose::ALL.iter().all(|p| a.key(*p).expose() == b.key(*p).expose())
}

fn some_key(byte: u8) -> Source {
    Source::Given(SecretKey::from_bytes([byte; 32]))
}

#[test]
fn a_first_start_makes_private_files_and_the_next_reads_them() {
    let dir = tempdir().expect("a directory");
    let data = dir.path().join("new").join("data");
    let first = opened(&data, &Source::File);
    assert!(same(&first, &opened(&data, &Source::File)));
    for file in [MASTER_FILE, RING_FILE] {
        let mode = fs::metadata(data.join(file)).expect("it exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert_eq!(inspect(&data).expect("it reads").mode, Some(0o600));
    let names: Vec<_> =
        fs::read_dir(&data).expect("it reads").map(|e| e.expect("it reads").file_name()).collect();
    assert_eq!(names.len(), 2, "nothing is left beside: {names:?}");
    assert!(!same(&first, &opened(dir.path().join("other").as_path(), &Source::File)));
}

#[test]
fn the_purposes_have_different_keys() {
    let ring = KeyRing::ephemeral();
    let keys = Purpose::ALL.map(|p| *ring.key(p).expose());
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
}

#[test]
fn a_ring_of_before_blocks_were_kept_is_given_a_key_for_them_once() {
    let dir = tempdir().expect("a directory");
    let first = opened(dir.path(), &Source::File);
    let path = dir.path().join(RING_FILE);
    let text = fs::read_to_string(&path).expect("it reads");
    let older: String = text.lines().filter(|l| !l.contains(" kv ")).map(|l| format!("{l}\n")).collect();
    fs::write(&path, older.replace("end 4", "end 3")).expect("it is ours");
    let second = opened(dir.path(), &Source::File);
    assert!(first.key(Purpose::Sqlite).expose() == second.key(Purpose::Sqlite).expose());
    assert!(first.key(Purpose::Kv).expose() != second.key(Purpose::Kv).expose());
    assert!(same(&second, &opened(dir.path(), &Source::File)), "it is kept");
    assert!(fs::read_to_string(&path).expect("it reads").ends_with("end 4\n"));
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    let dir = tempdir().expect("a directory");
    opened(dir.path(), &Source::File);
    let path = dir.path().join(MASTER_FILE);
    for mode in [0o640, 0o604, 0o660] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
        let error = refused(dir.path(), &Source::File);
        assert!(matches!(error, Error::Mode { mode: m, .. } if m == mode), "{error}");
        assert!(!inspect(dir.path()).expect("it reads").is_private());
        assert!(error.report().to_string().contains("chmod 600"), "{}", error.report());
    }
}

#[test]
fn a_wrong_master_key_is_said_to_be_wrong_and_never_shown() {
    let dir = tempdir().expect("a directory");
    opened(dir.path(), &some_key(0x41));
    let error = refused(dir.path(), &some_key(0x42));
    assert!(matches!(error, Error::WrongMaster { .. }), "{error}");
    let text = format!("{error} {error:?} {}", error.report());
    assert!(!text.contains("BBBB") && !text.contains("424242") && !text.contains("QkJC"), "{text}");
}

#[test]
fn a_passphrase_opens_what_it_closed() {
    let dir = tempdir().expect("a directory");
    let ring = opened(dir.path(), &Source::passphrase("correct horse"));
    assert!(same(&ring, &opened(dir.path(), &Source::passphrase("correct horse"))));
    assert!(matches!(refused(dir.path(), &Source::passphrase("Correct horse")), Error::WrongMaster { .. }));
    assert!(matches!(refused(dir.path(), &Source::File), Error::OtherKind { .. }));
    assert!(!dir.path().join(MASTER_FILE).exists());
}

#[test]
fn a_missing_key_is_never_replaced_by_a_new_one() {
    let dir = tempdir().expect("a directory");
    opened(dir.path(), &Source::File);
    fs::rename(dir.path().join(MASTER_FILE), dir.path().join("away")).expect("it is ours");
    assert!(matches!(refused(dir.path(), &Source::File), Error::Missing { .. }));
    fs::remove_file(dir.path().join(RING_FILE)).expect("it is ours");
    fs::write(dir.path().join("platform.db"), "data").expect("it is ours");
    assert!(matches!(refused(dir.path(), &Source::File), Error::Missing { .. }));
    assert!(!dir.path().join(MASTER_FILE).exists());
}

#[test]
fn a_ring_cut_or_changed_anywhere_is_refused() {
    let dir = tempdir().expect("a directory");
    let source = some_key(1);
    let before = opened(dir.path(), &source);
    let path = dir.path().join(RING_FILE);
    let good = fs::read(&path).expect("it reads");
    for end in 0..good.len() - 1 {
        fs::write(&path, &good[..end]).expect("it is ours");
        assert!(matches!(refused(dir.path(), &source), Error::Damaged { .. }), "cut at {end}");
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, &bad).expect("it is ours");
        match open(dir.path(), &source) {
            // The last bits of base64 padding and a line's end carry no key.
            Ok(ring) => assert!(same(&ring, &before), "changed at {at}"),
            Err(error) => assert!(
                matches!(error, Error::Damaged { .. } | Error::WrongMaster { .. }),
                "changed at {at}: {error}"
            ),
        }
    }
}

#[test]
fn a_new_master_key_opens_the_same_data_keys() {
    let dir = tempdir().expect("a directory");
    let phrase = Source::passphrase("a");
    let before = opened(dir.path(), &Source::File);
    let old_file = fs::read(dir.path().join(MASTER_FILE)).expect("it reads");
    let steps = [(Source::File, Source::File), (Source::File, phrase.clone()), (phrase, some_key(3))];
    for (old, new) in steps.iter().chain([&(some_key(3), Source::File)]) {
        let ring = KeyRing::rewrap(dir.path(), old, new).unwrap_or_else(|e| panic!("{e}"));
        assert!(same(&ring, &before));
        assert!(same(&opened(dir.path(), new), &before));
    }
    assert_ne!(fs::read(dir.path().join(MASTER_FILE)).expect("it reads"), old_file);
    assert!(matches!(refused(dir.path(), &some_key(3)), Error::WrongMaster { .. }));
}

#[test]
fn a_change_of_master_key_cut_short_leaves_a_ring_that_opens() {
    let dir = tempdir().expect("a directory");
    let (file, next, ring) =
        (dir.path().join(MASTER_FILE), dir.path().join(NEXT_FILE), dir.path().join(RING_FILE));
    let before = opened(dir.path(), &Source::File);
    let old = [&file, &ring].map(|p| fs::read(p).expect("it reads"));
    KeyRing::rewrap(dir.path(), &Source::File, &Source::File).unwrap_or_else(|e| panic!("{e}"));
    let new = [&file, &ring].map(|p| fs::read(p).expect("it reads"));

    // After step 1: the old ring, both key files.
    write_private(&file, &old[0]).unwrap_or_else(|e| panic!("{e}"));
    write_private(&ring, &old[1]).unwrap_or_else(|e| panic!("{e}"));
    write_private(&next, &new[0]).unwrap_or_else(|e| panic!("{e}"));
    assert!(same(&opened(dir.path(), &Source::File), &before));
    assert!(!next.exists(), "the new key that never came into force is gone");

    // After step 2: the new ring, both key files.
    write_private(&ring, &new[1]).unwrap_or_else(|e| panic!("{e}"));
    write_private(&next, &new[0]).unwrap_or_else(|e| panic!("{e}"));
    assert!(same(&opened(dir.path(), &Source::File), &before));
    assert!(!next.exists());
    assert_eq!(fs::read(&file).expect("it reads"), new[0]);
}

#[test]
fn a_given_key_is_base64_or_hexadecimal() {
    let key = SecretKey::from_bytes([0xfb; 32]);
    let text = String::from_utf8(master::key_text(&key).to_vec()).expect("base64 is text");
    for text in [text, "fb".repeat(32), format!(" {}\n", "FB".repeat(32))] {
        let Ok(Source::Given(read)) = Source::given(&text) else { panic!("{text} is a key") };
        assert!(read.expose() == key.expose());
    }
    for bad in ["", "short", &"zz".repeat(32), &"é".repeat(32), &"A".repeat(44), &"A".repeat(43)] {
        assert!(matches!(Source::given(bad), Err(Error::NotAKey)), "{bad}");
    }
}

#[test]
fn forged_stretching_costs_are_refused() {
    let dir = tempdir().expect("a directory");
    let phrase = Source::passphrase("a");
    opened(dir.path(), &phrase);
    let path = dir.path().join(RING_FILE);
    let good = fs::read_to_string(&path).expect("it reads");
    for forged in ["m=4294967295", "m=0", "m=19456 m=1"] {
        fs::write(&path, good.replace("m=19456", forged)).expect("it is ours");
        assert!(matches!(refused(dir.path(), &phrase), Error::Damaged { .. }), "{forged}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sealed_opens_under_its_own_name_only(value in prop::collection::vec(any::<u8>(), 0..200), at: prop::sample::Index) {
        let ring = KeyRing::ephemeral();
        let mut sealed = ring.seal(Purpose::Secrets, "a", &value);
        let opened = ring.unseal(Purpose::Secrets, "a", &sealed);
        prop_assert!(opened.is_ok_and(|plain| *plain == value));
        prop_assert!(ring.unseal(Purpose::Secrets, "b", &sealed).is_err());
        prop_assert!(ring.unseal(Purpose::Pepper, "a", &sealed).is_err());
        prop_assert!(KeyRing::ephemeral().unseal(Purpose::Secrets, "a", &sealed).is_err());
        let at = at.index(sealed.len());
        sealed[at] ^= 0x10;
        prop_assert!(ring.unseal(Purpose::Secrets, "a", &sealed).is_err());
        prop_assert!(ring.unseal(Purpose::Secrets, "a", &sealed[..at]).is_err());
    }

    #[test]
    fn no_ring_text_panics(text in "(bedplate-keyring 1\n)?(master (key|passphrase) [a-f]{4}\n)?(argon2id \\PC{0,40}\n)?(key \\PC{0,40}\n)*(end [0-9]{1,3}\n)?") {
        let _ = ring_text::RingText::read(&text, Path::new("keyring"));
    }
}
