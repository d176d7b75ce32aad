//! The back-ends of this crate, through the suite.

use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::kms::conformance::{Place, run};
use crate::kms::{FileKms, GivenKms, PassphraseKms};

struct InFile(TempDir);

impl InFile {
    fn away(&self) -> PathBuf {
        self.0.path().join("away")
    }
}

impl Place for InFile {
    fn kms(&self) -> Arc<dyn Kms> {
        Arc::new(FileKms::new(self.0.path()))
    }
    fn set_reachable(&self, reachable: bool) -> bool {
        let key = self.0.path().join(MASTER_FILE);
        let (from, to) = if reachable { (self.away(), key) } else { (key, self.away()) };
        fs::rename(from, to).is_ok()
    }
}

struct InMemory<F>(F);

impl<F: Fn() -> Arc<dyn Kms>> Place for InMemory<F> {
    fn kms(&self) -> Arc<dyn Kms> {
        (self.0)()
    }
    fn set_reachable(&self, _: bool) -> bool {
        false
    }
}

#[test]
fn a_key_file_conforms() {
    run(|| InFile(folder()));
}

#[test]
fn a_given_key_conforms() {
    run(|| {
        let key = SecretKey::random();
        InMemory(move || Arc::new(GivenKms::new(key.clone())) as Arc<dyn Kms>)
    });
}

#[test]
fn a_passphrase_conforms() {
    let n = std::cell::Cell::new(0);
    run(|| {
        n.set(n.get() + 1);
        let text = format!("correct horse {}", n.get());
        InMemory(move || Arc::new(PassphraseKms::new(text.clone())) as Arc<dyn Kms>)
    });
}

#[test]
fn a_given_key_is_base64_or_hexadecimal() {
    let key = SecretKey::from_bytes([0xfb; 32]);
    let text = kms::key_text(&key).to_string();
    for text in [text, "fb".repeat(32), format!(" {}\n", "FB".repeat(32))] {
        let Ok(read) = GivenKms::read(&text) else { panic!("{text} is a key") };
        assert!(read.key().expose() == key.expose());
    }
    for bad in ["", "short", &"zz".repeat(32), &"é".repeat(32), &"A".repeat(44), &"A".repeat(43)] {
        assert!(matches!(Source::given(bad), Err(Error::NotAKey)), "{bad}");
    }
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    let dir = folder();
    opened(dir.path(), &Source::File);
    let path = dir.path().join(MASTER_FILE);
    for mode in [0o640, 0o604, 0o660] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
        let error = refused(dir.path(), &Source::File);
        assert!(matches!(error, Error::Mode { mode: m, .. } if m == mode), "{error}");
        assert!(!done(inspect(dir.path())).is_private());
        assert!(error.report().to_string().contains("chmod 600"), "{}", error.report());
    }
}

#[test]
fn a_wrong_master_key_is_said_to_be_wrong_and_never_shown() {
    let dir = folder();
    opened(dir.path(), &given(0x41));
    let error = refused(dir.path(), &given(0x42));
    assert!(matches!(error, Error::WrongMaster { .. }), "{error}");
    let text = format!("{error} {error:?} {}", error.report());
    assert!(!text.contains("BBBB") && !text.contains("424242") && !text.contains("QkJC"), "{text}");
}

#[test]
fn a_passphrase_opens_what_it_closed() {
    let dir = folder();
    let ring = opened(dir.path(), &Source::passphrase("correct horse"));
    assert!(same(&ring, &opened(dir.path(), &Source::passphrase("correct horse"))));
    assert!(matches!(refused(dir.path(), &Source::passphrase("Correct horse")), Error::WrongMaster { .. }));
    let error = refused(dir.path(), &Source::File);
    assert!(matches!(error, Error::OtherKind { .. }) && error.to_string().contains("passphrase"), "{error}");
    assert!(!dir.path().join(MASTER_FILE).exists());
}

#[test]
fn forged_stretching_costs_are_refused() {
    let kms = PassphraseKms::new("a");
    let good = done(kms.wrap(&SecretKey::random(), b""));
    // Memory of 4 TiB, of nothing, 2^32 passes, no lane.
    for (at, forged) in [(0, u32::MAX), (0, 0), (4, u32::MAX), (8, 0)] {
        let mut bad = good.clone();
        bad.bytes[at..at + 4].copy_from_slice(&forged.to_le_bytes());
        assert!(matches!(kms.unwrap(&bad, b""), Err(Error::Unwrap { .. })), "{forged}");
    }
}

#[test]
fn a_key_file_of_garbage_is_damaged_and_stays_as_it_is() {
    let dir = folder();
    let path = dir.path().join(MASTER_FILE);
    let key = "A".repeat(43) + "=";
    for text in
        ["", "\n", "x", "1", &format!("2 {key}\n1 {key}\n"), &format!("1 {key}\n1 {key}"), "99999999999 x"]
    {
        write_private(&path, text.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
        let error = refused(dir.path(), &Source::File);
        assert!(matches!(error, Error::Damaged { .. }), "{text:?}: {error}");
        assert_eq!(fs::read_to_string(&path).expect("it reads"), text);
    }
}
