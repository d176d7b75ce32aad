//! Against a server with Vault's shapes and errors.

use std::sync::Arc;

use kms_vault::{Options, Vault};
use seal::kms::conformance::{Place, run};
use seal::{Copies, Error, KeyRing, Kms, SecretKey, Source};
use testkit::vault::{Fault, Vault as Server};

struct OnServer(Server);

fn options(server: &Server) -> Options {
    Options {
        address: server.url(),
        token: server.token().into(),
        namespace: None,
        mount: "transit".into(),
        key: "bedplate".into(),
    }
}

fn vault(options: Options) -> Vault {
    Vault::new(options).unwrap_or_else(|e| panic!("{e}"))
}

impl Place for OnServer {
    fn kms(&self) -> Arc<dyn Kms> {
        Arc::new(vault(options(&self.0)))
    }
    fn set_reachable(&self, reachable: bool) -> bool {
        self.0.set_fault((!reachable).then_some(Fault::Hangup));
        true
    }
}

#[test]
fn a_vault_conforms() {
    run(|| OnServer(Server::start()));
}

#[test]
fn a_vault_that_knows_no_associated_data_conforms_too() {
    run(|| {
        let server = Server::start();
        server.ignore_associated_data();
        OnServer(server)
    });
}

fn refusal(options: Options) -> Error {
    match Vault::new(options) {
        Ok(_) => panic!("it was taken"),
        Err(error) => error,
    }
}

#[test]
fn what_stands_between_is_told_apart_and_makes_no_key() {
    let server = Server::start();
    let kms = vault(options(&server));
    for (fault, unreachable) in [(Fault::Sealed, true), (Fault::Hangup, true), (Fault::Html, false)] {
        server.set_fault(Some(fault));
        for error in [kms.prepare().err(), kms.about().err(), kms.rotate().err()] {
            let error = error.unwrap_or_else(|| panic!("{fault:?} was taken for an answer"));
            assert_eq!(matches!(error, Error::Unreachable { .. }), unreachable, "{fault:?}: {error}");
        }
    }
    server.set_fault(None);
    let wrong = vault(Options { token: "hvs.wrong-canary".to_owned().into(), ..options(&server) });
    let error = wrong.prepare().expect_err("refused");
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("canary"), "trap X4: {error:?}");
    let absent = kms.wrap(&SecretKey::random(), b"").expect_err("there is no key yet");
    assert!(matches!(absent, Error::NoKey { .. }), "{absent}");
    assert!(server.key_names().is_empty(), "none of this made a key");
}

#[test]
fn keys_cross_plain_http_to_this_machine_only() {
    let server = Server::start();
    for address in ["http://vault.example:8200", "http://10.0.0.7:8200", "ftp://localhost", "vault", ""] {
        let error = refusal(Options { address: address.into(), ..options(&server) });
        assert!(matches!(error, Error::Refused { .. }), "{address}: {error}");
    }
    for address in ["http://localhost:1", "http://[::1]:1", "https://vault.example:8200"] {
        assert!(Vault::new(Options { address: address.into(), ..options(&server) }).is_ok(), "{address}");
    }
    for key in ["", "a/b", "../x", "a b", "ä"] {
        assert!(
            matches!(refusal(Options { key: key.into(), ..options(&server) }), Error::Refused { .. }),
            "{key}"
        );
    }
}

#[test]
fn a_ring_under_a_vault_opens_with_it_alone_and_its_copies_die_there() {
    let server = Server::start();
    let folder = std::env::temp_dir().join(format!("kms-vault-ring-{}", std::process::id()));
    let source = || Source::Kms(Arc::new(vault(options(&server))));
    let open = || KeyRing::open(&folder, &source()).unwrap_or_else(|e| panic!("{e}"));
    let ring = open();
    let team = "019a5c1e-7b1c-7c7e-9a51-0d6f5e0b7a11".parse().expect("an id");
    let key = ring.tenant(team).key(seal::Purpose::Kv).unwrap_or_else(|e| panic!("{e}"));
    let copy = std::fs::read(folder.join(seal::RING_FILE)).expect("it reads");
    assert!(open().tenant(team).key(seal::Purpose::Kv).is_ok_and(|k| k.expose() == key.expose()));

    server.set_fault(Some(Fault::MayNotDestroy));
    let owed = ring.shred(team, Default::default()).unwrap_or_else(|e| panic!("{e}"));
    assert!(matches!(&owed, Copies::Owed(why) if why.contains("permission denied")), "{owed:?}");
    server.set_fault(None);
    assert!(!open().is_root_owed(), "the next start pays");
    std::fs::write(folder.join(seal::RING_FILE), copy).expect("it is ours");
    let Err(error) = KeyRing::open(&folder, &source()) else { panic!("a dead copy opened") };
    assert!(matches!(error, Error::NoKey { .. }), "{error}");
    // Neither the root nor a tenant's key was ever sent in the clear but to be wrapped.
    assert!(server.seen().iter().all(|r| !String::from_utf8_lossy(&r.body).contains("019a5c1e")));
    let _ = std::fs::remove_dir_all(folder);
}
