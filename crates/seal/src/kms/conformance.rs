//! What every KMS does, and what it never does. A back-end's tests call [`run`].

use std::sync::Arc;

use super::{Kms, WRAPPING_MAX, Wrapping};
use crate::{Error, SecretKey};

/// Where a back-end keeps a key: a folder, a token, a server.
pub trait Place {
    /// A new handle on the same key.
    fn kms(&self) -> Arc<dyn Kms>;
    /// Takes the key out of reach, or back. False where that cannot be done.
    fn set_reachable(&self, reachable: bool) -> bool;
}

/// Runs the suite; `make` gives a place with a key of its own each time.
///
/// # Panics
/// When the back-end does not conform.
pub fn run<P: Place>(make: impl Fn() -> P) {
    what_is_wrapped_opens_in_its_context_only(&make());
    nothing_changed_opens(&make());
    the_key_is_made_once(&make());
    another_key_opens_nothing(&make(), &make());
    a_rotation_keeps_old_wrappings_readable(&make());
    what_is_destroyed_stays_closed(&make());
    an_unreachable_key_is_an_error_and_never_a_new_key(&make());
}

fn ready(place: &impl Place) -> Arc<dyn Kms> {
    let kms = place.kms();
    kms.prepare().unwrap_or_else(|e| panic!("{e}"));
    kms
}

fn wrapped(kms: &Arc<dyn Kms>, key: &SecretKey) -> Wrapping {
    let wrapping = kms.wrap(key, CONTEXT).unwrap_or_else(|e| panic!("{e}"));
    assert!(wrapping.bytes.len() <= WRAPPING_MAX, "{} bytes", wrapping.bytes.len());
    assert!(!wrapping.bytes.windows(16).any(|w| key.expose().windows(16).any(|k| k == w)), "in the clear");
    wrapping
}

const CONTEXT: &[u8] = b"ring 7|root";

#[track_caller]
fn opens(kms: &Arc<dyn Kms>, wrapping: &Wrapping, key: &SecretKey) {
    let opened = kms.unwrap(wrapping, CONTEXT).unwrap_or_else(|e| panic!("{e}"));
    assert!(opened.expose() == key.expose(), "another key came out");
}

#[track_caller]
fn refusal(kms: &Arc<dyn Kms>, wrapping: &Wrapping, context: &[u8]) -> Error {
    match kms.unwrap(wrapping, context) {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

fn what_is_wrapped_opens_in_its_context_only(place: &impl Place) {
    let (kms, key) = (ready(place), SecretKey::random());
    let (a, b) = (wrapped(&kms, &key), wrapped(&kms, &key));
    assert_ne!(a.bytes, b.bytes, "two wrappings of one key look alike");
    opens(&kms, &a, &key);
    opens(&place.kms(), &b, &key);
    for other in [&b"ring 7|roo"[..], b"ring 8|root", b"", b"ring 7|root\0"] {
        let error = refusal(&kms, &a, other);
        assert!(matches!(error, Error::Unwrap { .. }), "{error}");
    }
}

fn nothing_changed_opens(place: &impl Place) {
    let (kms, key) = (ready(place), SecretKey::random());
    let good = wrapped(&kms, &key);
    // Every third byte: a stretched passphrase takes its time for each.
    for at in (0..good.bytes.len()).step_by(3) {
        let mut bad = good.clone();
        bad.bytes[at] ^= 1;
        match kms.unwrap(&bad, CONTEXT) {
            // Base64's last digit has bits that carry nothing.
            Ok(opened) => assert!(opened.expose() == key.expose(), "changed at {at}"),
            Err(e) => assert!(!matches!(e, Error::Unreachable { .. }), "changed at {at}: {e}"),
        }
    }
    for end in [0, 1, 8, 40, good.bytes.len() - 1] {
        let bad = Wrapping { bytes: good.bytes[..end].to_vec(), ..good.clone() };
        refusal(&kms, &bad, CONTEXT);
    }
    opens(&kms, &good, &key);
}

fn the_key_is_made_once(place: &impl Place) {
    let (kms, key) = (ready(place), SecretKey::random());
    let wrapping = wrapped(&kms, &key);
    opens(&ready(place), &wrapping, &key);
    let about = kms.about().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((about.newest, about.oldest, about.kind), (1, 1, kms.kind()));
}

fn another_key_opens_nothing(place: &impl Place, other: &impl Place) {
    let wrapping = wrapped(&ready(place), &SecretKey::random());
    let error = refusal(&ready(other), &wrapping, CONTEXT);
    assert!(matches!(error, Error::Unwrap { .. } | Error::WrongMaster { .. }), "{error}");
}

fn a_rotation_keeps_old_wrappings_readable(place: &impl Place) {
    let (kms, key) = (ready(place), SecretKey::random());
    let old = wrapped(&kms, &key);
    if !kms.about().is_ok_and(|a| a.rotates) {
        assert!(matches!(kms.rotate(), Err(Error::Cannot { .. })));
        return opens(&kms, &old, &key);
    }
    let version = kms.rotate().unwrap_or_else(|e| panic!("{e}"));
    assert!(version > old.version);
    let new = wrapped(&kms, &key);
    assert_eq!(new.version, version);
    for kms in [&kms, &place.kms()] {
        opens(kms, &old, &key);
        opens(kms, &new, &key);
    }
    let about = kms.about().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((about.newest, about.oldest), (version, old.version));
}

fn what_is_destroyed_stays_closed(place: &impl Place) {
    let (kms, key) = (ready(place), SecretKey::random());
    let old = wrapped(&kms, &key);
    if !kms.about().is_ok_and(|a| a.destroys) {
        assert!(matches!(kms.destroy(2), Err(Error::Cannot { .. })));
        return opens(&kms, &old, &key);
    }
    assert!(kms.destroy(2).is_err(), "the newest version cannot be destroyed");
    opens(&kms, &old, &key);
    let version = kms.rotate().unwrap_or_else(|e| panic!("{e}"));
    let new = wrapped(&kms, &key);
    // A destruction that was cut short is finished by doing it again.
    for _ in 0..2 {
        kms.destroy(version).unwrap_or_else(|e| panic!("{e}"));
        for kms in [&kms, &place.kms()] {
            let error = refusal(kms, &old, CONTEXT);
            assert!(matches!(error, Error::NoKey { .. }), "{error}");
            opens(kms, &new, &key);
        }
    }
    let about = kms.about().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((about.newest, about.oldest), (version, version));
}

fn an_unreachable_key_is_an_error_and_never_a_new_key(place: &impl Place) {
    let (kms, key) = (ready(place), SecretKey::random());
    let wrapping = wrapped(&kms, &key);
    if !place.set_reachable(false) {
        return;
    }
    for kms in [&kms, &place.kms()] {
        let error = refusal(kms, &wrapping, CONTEXT);
        assert!(matches!(error, Error::Unreachable { .. } | Error::Missing { .. }), "{error}");
        assert!(kms.wrap(&key, CONTEXT).is_err() && kms.rotate().is_err() && kms.about().is_err());
    }
    assert!(place.set_reachable(true), "it comes back");
    opens(&kms, &wrapping, &key);
    opens(&place.kms(), &wrapping, &key);
}
