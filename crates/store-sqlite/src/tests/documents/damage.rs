//! Tenants' files that were cut, changed, or cannot grow.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use seal::KeyRing;
use store::Error;
use store::documents::Tenants;
use store::documents::conformance::sample::{document, put, reader, team};

use super::{filled, opened, read_all, tenants};

#[test]
fn a_file_cut_anywhere_is_refused_clearly() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = KeyRing::ephemeral();
    filled(dir.path(), &keys);
    let path = tenants(dir.path(), &keys).path(team(1));
    let good = fs::read(&path).expect("it reads");
    for cut in [1, 16, 100, 4_095, 4_096, 4_097, good.len() / 2, good.len() - 4_096, good.len() - 1] {
        fs::write(&path, &good[..cut]).expect("it is ours");
        let result = catch_unwind(AssertUnwindSafe(|| {
            let tenants = tenants(dir.path(), &keys);
            let tenant = tenants.tenant(team(1))?;
            read_all(&*tenant)
        }));
        let error = result.expect("no panic").expect_err("pages are missing");
        assert!(matches!(error, Error::Damaged(_) | Error::WrongKey { .. }), "cut at {cut}: {error:?}");
        let code = error.report().code.0;
        assert!(["ST0002", "ST0006"].contains(&code), "{code}");
    }
    fs::write(&path, &good).expect("it is ours");
    read_all(&*opened(&tenants(dir.path(), &keys))).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn a_flipped_bit_is_noticed_and_never_a_panic() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = KeyRing::ephemeral();
    filled(dir.path(), &keys);
    let path = tenants(dir.path(), &keys).path(team(1));
    let good = fs::read(&path).expect("it reads");
    let mut noticed = 0;
    for page in 0..good.len() / 4_096 {
        let mut bad = good.clone();
        bad[page * 4_096 + (page * 1_361 + 5) % 4_096] ^= 0x20;
        fs::write(&path, &bad).expect("it is ours");
        let result = catch_unwind(AssertUnwindSafe(|| {
            let tenants = tenants(dir.path(), &keys);
            let tenant = tenants.tenant(team(1))?;
            read_all(&*tenant)
        }));
        match result.expect("no panic") {
            Err(error) => {
                assert!(
                    matches!(error, Error::Damaged(_) | Error::WrongKey { .. }),
                    "page {page}: {error:?}"
                );
                noticed += 1;
            }
            // Nobody read it: the table of another part.
            Ok(()) => assert!(page > 0, "page 0 is always read"),
        }
    }
    assert!(noticed > 10, "{noticed} pages were read");
}

#[test]
fn one_document_that_is_refused_takes_nobody_with_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = KeyRing::ephemeral();
    filled(dir.path(), &keys);
    let tenants = tenants(dir.path(), &keys);
    let tenant = opened(&tenants);
    // All in flight at once, so that they share transactions.
    std::thread::scope(|scope| {
        for n in 100..140 {
            let tenant = &*tenant;
            scope.spawn(move || {
                let mut new = document(n, &["The engine burns."]);
                if n % 4 == 0 {
                    new.chunks[0].vector[0] = f32::NAN;
                    assert!(matches!(tenant.put(vec![new]), Err(Error::Invalid(_))));
                } else {
                    put(tenant, new);
                }
            });
        }
    });
    let counts = tenant.counts(&reader(&[]), document(1, &[]).collection).expect("it counts");
    assert_eq!((counts.documents, counts.chunks), (20 + 30, 40 + 30));
}
