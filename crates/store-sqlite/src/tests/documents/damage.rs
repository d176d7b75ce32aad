//! Tenants' files that were cut, changed, or cannot grow.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use seal::KeyRing;
use store::Error;
use store::documents::conformance::sample::{collection, document, put, reader, team};
use store::documents::{Lexing, Tenants};

use super::{filled, opened, read_all, tenants};
use crate::tests::disk::Tmpfs;

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

#[test]
fn a_full_disk_refuses_documents_and_keeps_those_it_acknowledged() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("disk");
    let Some(_disk) = Tmpfs::mount(&data, "size=4m") else { return };
    let ballast = data.join("ballast");
    let keys = KeyRing::ephemeral();
    let tenants = tenants(&data, &keys);
    let tenant = opened(&tenants);
    tenant.create_collection(collection(1, Lexing::Stemmed)).expect("the name is free");
    fs::write(&ballast, vec![0; 1 << 20]).expect("there is room");
    let text = "The engine burns and cools again. ".repeat(50);
    let texts = [&*text; 4];
    let refused =
        (1..10_000).find_map(|n| tenant.put(vec![document(n, &texts)]).err().map(|error| (n, error)));
    let (refused, error) = refused.expect("the disk fills");
    assert!(matches!(error, Error::Full(_)), "{error:?}");
    assert!(refused > 20, "four megabytes hold more than {refused}");
    let of = document(1, &[]).collection;
    let count = || tenant.counts(&reader(&[]), of).expect("what is there is read").documents;
    assert_eq!(count(), refused - 1, "the refused one left nothing");
    // What makes room is taken, or at least answered; what is there stays.
    let _ = tenant.remove(&[document(1, &[]).id]);
    fs::remove_file(&ballast).expect("it is ours");
    let _ = tenant.remove(&[document(1, &[]).id]).expect("there is room again");
    put(&*tenant, document(refused, &texts));
    assert_eq!(count(), refused - 1);
    drop(tenant);
    tenants.close();
    let again = super::tenants(&data, &keys);
    let tenant = opened(&again);
    for n in 2..=refused {
        let read = tenant.document_chunks(&reader(&[]), document(n, &[]).id, 0, 9).expect("it reads");
        assert_eq!(read.len(), texts.len(), "document {n}");
    }
}
