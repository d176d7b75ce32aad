//! Against SoftHSM, where it is installed (`apt-get install softhsm2`; the test
//! run does that). Its configuration comes from the environment, which a test
//! must not change under others: so the suite runs in a process of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kms_pkcs11::{Options, Pkcs11};
use seal::kms::conformance::{Place, run};
use seal::{Error, Kms, SecretKey};

const MODULES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

fn module() -> Option<PathBuf> {
    MODULES.iter().map(PathBuf::from).find(|p| p.exists())
}

/// A folder with a configuration and an initialised token.
fn token(folder: &Path) {
    let (tokens, config) = (folder.join("tokens"), folder.join("softhsm2.conf"));
    std::fs::create_dir_all(&tokens).expect("a folder");
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        tokens.display()
    );
    std::fs::write(&config, text).expect("it is ours");
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "bedplate-test", "--so-pin", "12345678", "--pin", PIN])
        .env("SOFTHSM2_CONF", &config)
        .output()
        .expect("softhsm2-util runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

const PIN: &str = "canary-97531";

fn inside(name: &str) {
    if module().is_none() {
        eprintln!("skipped: SoftHSM is not installed (softhsm2)");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    token(folder.path());
    let ran = Command::new(std::env::current_exe().expect("it runs"))
        .args(["--ignored", "--exact", "--nocapture", name])
        .env("SOFTHSM2_CONF", folder.path().join("softhsm2.conf"))
        .output()
        .expect("it runs again");
    let said = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
    assert!(!said.contains(PIN), "trap X4: the PIN is shown: {said}");
}

static KEYS: AtomicU32 = AtomicU32::new(0);

struct OnToken(String);

fn pkcs11(key: &str, token: &str, pin: &str) -> Pkcs11 {
    let module = module().expect("checked by whoever started this process");
    Pkcs11::new(Options { module, token: token.into(), pin: pin.to_owned().into(), key: key.into() })
}

impl Place for OnToken {
    fn kms(&self) -> Arc<dyn Kms> {
        Arc::new(pkcs11(&self.0, "bedplate-test", PIN))
    }
    fn set_reachable(&self, _: bool) -> bool {
        // A token cannot be pulled out of a file; the unreachable ones are below.
        false
    }
}

#[test]
fn a_token_conforms() {
    inside("conforms_inside");
}

#[test]
#[ignore = "run by a_token_conforms, with SoftHSM's environment"]
fn conforms_inside() {
    run(|| OnToken(format!("key-{}", KEYS.fetch_add(1, Ordering::Relaxed))));
}

#[test]
fn what_is_not_there_or_not_ours_is_an_error_and_never_a_new_key() {
    inside("refuses_inside");
}

#[test]
#[ignore = "run by what_is_not_there_or_not_ours_is_an_error_and_never_a_new_key"]
fn refuses_inside() {
    let key = SecretKey::random();
    let good = pkcs11("ours", "bedplate-test", PIN);
    assert!(matches!(good.wrap(&key, b""), Err(Error::NoKey { .. })), "wrapping makes no key");
    assert!(matches!(good.rotate(), Err(Error::NoKey { .. })), "nor does rotating");
    good.prepare().unwrap_or_else(|e| panic!("{e}"));
    let wrapping = good.wrap(&key, b"c").unwrap_or_else(|e| panic!("{e}"));
    let says = |kms: &Pkcs11| match kms.unwrap(&wrapping, b"c") {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    };
    assert!(matches!(says(&pkcs11("ours", "elsewhere", PIN)), Error::Unreachable { .. }));
    assert!(matches!(says(&pkcs11("others", "bedplate-test", PIN)), Error::NoKey { .. }));
    let error = says(&pkcs11("ours", "bedplate-test", "canary-97531-wrong"));
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    println!("{error} {error:?}");
    assert!(
        good.unwrap(&wrapping, b"c").is_ok_and(|k| k.expose() == key.expose()),
        "the right PIN still works"
    );
}

#[test]
fn a_module_that_cannot_be_loaded_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let garbage = folder.path().join("module.so");
    std::fs::write(&garbage, "no library").expect("it is ours");
    for module in [garbage, folder.path().join("absent.so")] {
        let shown = module.display().to_string();
        let kms =
            Pkcs11::new(Options { module, token: "t".into(), pin: PIN.to_owned().into(), key: "k".into() });
        let error = kms.prepare().expect_err("refused");
        assert!(matches!(error, Error::Unreachable { .. }) && error.to_string().contains(&shown), "{error}");
        assert!(!format!("{error:?}").contains(PIN));
    }
}
