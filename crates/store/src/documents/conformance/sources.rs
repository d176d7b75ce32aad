//! What is brought in again and again: marks, trust by batch, a collection's notes.

use units::CollectionId;

use super::sample::{collection, document, opened, put, reader};
use crate::Error;
use crate::conformance::sample::{at, id};
use crate::documents::{
    Brought, Change, Lexing, NOTE_BYTES_MAX, NOTES_MAX, NewDocument, Tenants, TextQuery, Trust,
};

pub fn a_batch_is_known_again(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let marked = |n: u64, mark: &str| NewDocument { mark: mark.into(), ..document(n, &["one"]) };
    let other = NewDocument { batch: "other".into(), ..marked(3, "c") };
    tenant.put(vec![marked(1, "a"), marked(2, ""), other]).expect("they are sound");
    let of = document(1, &[]).collection;
    let known = |after: Option<&str>, limit: usize| -> Vec<(String, String)> {
        let all = tenant.brought(of, "docs", after, limit).expect("they read");
        all.into_iter().map(|Brought { source, mark, .. }| (source, mark)).collect()
    };
    let is = |n: u64, mark: &str| (document(n, &[]).source, mark.to_owned());
    assert_eq!(known(None, 9), [is(1, "a"), is(2, "")]);
    assert_eq!(known(Some(&is(1, "").0), 9), [is(2, "")]);
    assert_eq!(known(None, 1), [is(1, "a")]);
    let first = &tenant.brought(of, "docs", None, 1).expect("they read")[0];
    assert_eq!(first.hash, document(1, &["one"]).hash);
    // Another mark of the same content is no change, by whichever way it comes.
    assert_eq!(put(&*tenant, marked(1, "b")).change, Change::Unchanged);
    let revision = tenant.revision(of).expect("it reads");
    tenant.mark(of, vec![is(2, "z"), ("nowhere".into(), "x".into())]).expect("it is noted");
    assert_eq!(known(None, 9), [is(1, "b"), is(2, "z")]);
    assert_eq!(tenant.revision(of).expect("it reads"), revision);
    let replaced = NewDocument { mark: "d".into(), ..document(1, &["two"]) };
    assert_eq!(put(&*tenant, replaced).change, Change::Replaced);
    assert_eq!(known(None, 1), [is(1, "d")]);
    let long = vec![is(1, &"x".repeat(501))];
    assert!(matches!(tenant.mark(of, long), Err(Error::Invalid(_))));
    assert_eq!(tenant.brought(CollectionId(id(9)), "docs", None, 9).expect("it reads"), []);
}

pub fn a_batch_is_trusted_otherwise(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let held = |n: u64| NewDocument { trust: Trust::Quarantined, ..document(n, &["The engine burns."]) };
    let other = NewDocument { batch: "other".into(), ..held(4) };
    let puts = tenant.put(vec![held(1), held(2), held(3), other]).expect("they are sound");
    let of = puts[0].document;
    let collection = document(1, &[]).collection;
    let found = || {
        let terms = ["engine".to_owned()];
        let query = TextQuery { terms: &terms, limit: 9 };
        let hits = tenant.search_text(&reader(&[]), collection, &query).expect("it searches");
        (hits.len(), tenant.index_classes(collection, None, 9).expect("they read").len())
    };
    assert_eq!(found(), (0, 0));
    let released = tenant.entrust(collection, "docs", Trust::Known, 2, at(20_000)).expect("two are");
    assert_eq!((released.len(), found()), (2, (2, 2)));
    let one = &released[0];
    assert_eq!((one.document, one.version, one.change), (of, 2, Change::Regraded));
    assert_eq!((one.searched, &one.kept), (true, &puts[0].added));
    let shown = tenant.document(&reader(&[]), of).expect("it reads").expect("it is there");
    assert_eq!((shown.trust, shown.version, shown.updated), (Trust::Known, 2, at(20_000)));
    let rest = tenant.entrust(collection, "docs", Trust::Known, 9, at(20_001)).expect("the rest is");
    assert_eq!((rest.len(), found()), (1, (3, 3)));
    let revision = tenant.revision(collection).expect("it reads");
    assert_eq!(tenant.entrust(collection, "docs", Trust::Known, 9, at(20_002)).expect("none is left"), []);
    assert_eq!(tenant.revision(collection).expect("it reads"), revision);
    tenant.entrust(collection, "docs", Trust::Quarantined, 9, at(20_003)).expect("and back again");
    assert_eq!(found(), (0, 0));
    let nowhere = CollectionId(id(9));
    let refused = tenant.entrust(nowhere, "docs", Trust::Known, 9, at(20_004));
    assert!(matches!(refused, Err(Error::Missing { .. })));
}

pub fn notes_are_kept_and_go(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let of = collection(1, Lexing::Stemmed).id;
    let kept = |name: &str| tenant.note(of, name).expect("it reads");
    tenant.put_note(of, "sync/b", Some("1")).expect("it is kept");
    tenant.put_note(of, "sync/a", Some("")).expect("it is kept");
    tenant.put_note(of, "sync/b", Some("2")).expect("it is replaced");
    assert_eq!((kept("sync/a").as_deref(), kept("sync/b").as_deref()), (Some(""), Some("2")));
    tenant.put_note(of, "sync/a", None).expect("it goes");
    tenant.put_note(of, "sync/a", None).expect("it is gone already");
    assert_eq!((kept("sync/a"), kept("sync/b").as_deref()), (None, Some("2")));
    let long = "x".repeat(NOTE_BYTES_MAX + 1);
    for (name, note) in [("", "1"), ("a\0", "1"), ("a", long.as_str())] {
        assert!(matches!(tenant.put_note(of, name, Some(note)), Err(Error::Invalid(_))), "{name:?}");
    }
    let nowhere = CollectionId(id(9));
    assert!(matches!(tenant.put_note(nowhere, "a", Some("1")), Err(Error::Missing { .. })));
    assert_eq!(tenant.note(nowhere, "a").expect("it reads"), None);
    for n in 1..NOTES_MAX {
        tenant.put_note(of, &format!("n{n}"), Some("")).expect("there is room");
    }
    assert!(matches!(tenant.put_note(of, "one more", Some("")), Err(Error::Invalid(_))));
    tenant.put_note(of, "sync/b", Some("3")).expect("one that there is can change");
    tenant.remove_collection(of).expect("it goes");
    tenant.create_collection(collection(1, Lexing::Stemmed)).expect("the name is free");
    assert_eq!(kept("sync/b"), None);
}
