//! Collections and documents come, change and go.

use std::collections::BTreeSet;

use units::{CollectionId, Labels, Sensitivity};

use super::sample::{collection, document, opened, put, reader, team, vector};
use crate::Error;
use crate::conformance::sample::{at, id};
use crate::documents::{
    Change, ChunkId, Collection, Collections, Counts, Generation, Invalidated, Lexing, NewDocument, Tenants,
    Trust, half,
};

pub fn collections_live_and_die(tenants: &dyn Tenants) {
    let tenant = tenants.tenant(team(1)).expect("it opens");
    assert_eq!(tenant.collections().expect("they read"), []);
    for (n, lexing) in [(2, Lexing::Words), (1, Lexing::Stemmed), (3, Lexing::Trigrams)] {
        tenant.create_collection(collection(n, lexing)).expect("the name is free");
    }
    let names = |t: &dyn Collections| -> Vec<String> {
        t.collections().expect("they read").into_iter().map(|c| c.name).collect()
    };
    assert_eq!(names(&*tenant), ["collection-1", "collection-2", "collection-3"]);
    assert_eq!(tenant.collection("collection-2").expect("it reads"), Some(collection(2, Lexing::Words)));
    assert_eq!(tenant.collection("collection-9").expect("it reads"), None);
    let same_name = Collection { id: CollectionId(id(9)), ..collection(1, Lexing::Words) };
    assert!(matches!(tenant.create_collection(same_name), Err(Error::Exists { .. })));
    let same_id = Collection { name: "other".into(), ..collection(1, Lexing::Words) };
    assert!(matches!(tenant.create_collection(same_id), Err(Error::Exists { .. })));

    let labels = Labels { sensitivity: Sensitivity::Confidential, ..Labels::default() };
    let changed = Collection {
        labels,
        settings: "top: 5".into(),
        language: "de".into(),
        ..collection(2, Lexing::Words)
    };
    tenant.update_collection(changed.clone()).expect("it is there");
    assert_eq!(tenant.collection("collection-2").expect("it reads"), Some(changed.clone()));
    for wrong in [
        Collection { lexing: Lexing::Stemmed, ..changed.clone() },
        Collection { name: "renamed".into(), ..changed.clone() },
        Collection { settings: "x".repeat((64 << 10) + 1), ..changed.clone() },
    ] {
        assert!(matches!(tenant.update_collection(wrong), Err(Error::Invalid(_))));
    }
    let none = Collection { id: CollectionId(id(9)), ..changed };
    assert!(matches!(tenant.update_collection(none), Err(Error::Missing { .. })));

    put(&*tenant, document(1, &["one", "two"]));
    let id = collection(1, Lexing::Stemmed).id;
    assert_eq!(tenant.remove_collection(id).expect("it goes"), Some(Invalidated::default()));
    assert_eq!(tenant.remove_collection(id).expect("it went"), None);
    assert_eq!(names(&*tenant), ["collection-2", "collection-3"]);
    assert_eq!(tenant.document(&reader(&[]), document(1, &[]).id).expect("it reads"), None);
    assert_eq!(tenant.chunks(&reader(&[]), &[ChunkId(1), ChunkId(2)]).expect("they read"), []);
    // The name is free again, and the collection empty.
    tenant.create_collection(collection(1, Lexing::Stemmed)).expect("the name is free");
    assert_eq!(tenant.counts(&reader(&[]), id).expect("it counts"), Counts::default());
    assert_eq!(put(&*tenant, document(1, &["one"])).change, Change::Added);
}

pub fn a_document_reads_back(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let new = document(1, &["The engine burns.", "It cools again."]);
    let added = put(&*tenant, new.clone());
    assert_eq!((added.document, added.version, added.change), (new.id, 1, Change::Added));
    assert_eq!((added.added.len(), added.kept.len(), added.removed.len()), (2, 0, 0));
    assert!(added.searched);
    let read = tenant.document(&reader(&[]), new.id).expect("it reads").expect("it is there");
    assert_eq!(
        (&read.source, &read.title, &read.format, &read.batch, &read.acl, read.trust),
        (&new.source, &new.title, &new.format, &new.batch, &new.acl, new.trust)
    );
    assert_eq!(
        (read.version, read.hash, read.chunks, read.bytes, read.modified, read.created, read.updated),
        (1, new.hash, 2, 32, new.modified, new.at, new.at)
    );
    assert_eq!((read.collection, read.class), (new.collection, added.class));
    // In the order in which they are asked for; those that there are none of are left out.
    let ids = [added.added[1], ChunkId(u64::MAX >> 1), added.added[0]];
    let chunks = tenant.chunks(&reader(&[]), &ids).expect("they read");
    assert_eq!(chunks.iter().map(|c| c.id).collect::<Vec<_>>(), [added.added[1], added.added[0]]);
    let second = &chunks[0];
    assert_eq!((second.n, &*second.text, &*second.heading), (1, "It cools again.", "Heading 1"));
    assert_eq!((second.span, second.document, second.version), (new.chunks[1].span, new.id, 1));
    assert_eq!((&second.source, &second.title, &second.batch), (&new.source, &new.title, &new.batch));
    assert_eq!((second.collection, second.updated, second.modified), (new.collection, new.at, new.modified));
    let from_first = tenant.document_chunks(&reader(&[]), new.id, 1, 10).expect("they read");
    assert_eq!(&from_first, &chunks[..1]);
    let vectors = tenant.vectors(&reader(&[]), new.collection, 1, &ids).expect("they read");
    assert_eq!(vectors, [(ids[0], vector(101)), (ids[2], vector(100))]);
    let listed = tenant.documents(&reader(&[]), new.collection, None, 10).expect("they read");
    assert_eq!(listed, [read]);
    let counts = tenant.counts(&reader(&[]), new.collection).expect("it counts");
    assert_eq!(counts, Counts { documents: 1, chunks: 2, quarantined: 0 });
}

pub fn the_same_content_again_changes_nothing(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let new = document(1, &["one", "two"]);
    let first = put(&*tenant, new.clone());
    let revision = tenant.revision(new.collection).expect("it reads");
    let other_id = NewDocument { id: document(77, &[]).id, at: at(99_999), ..new.clone() };
    let again = put(&*tenant, other_id);
    assert_eq!((again.document, again.version, again.change), (new.id, 1, Change::Unchanged));
    assert_eq!((again.kept, again.added, again.removed), (first.added, Vec::new(), Vec::new()));
    assert_eq!(tenant.revision(new.collection).expect("it reads"), revision);
    let read = tenant.document(&reader(&[]), new.id).expect("it reads").expect("it is there");
    assert_eq!(read.updated, new.at);
    let other = [0xff; 32];
    let sources = [(new.source.clone(), new.hash), (new.source.clone(), other), ("none".into(), new.hash)];
    assert_eq!(tenant.are_current(new.collection, &sources).expect("it reads"), [true, false, false]);
}

pub fn another_content_is_another_version(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let first = put(&*tenant, document(1, &["one", "two"]));
    let revision = tenant.revision(document(1, &[]).collection).expect("it reads");
    let changed = NewDocument { at: at(20_000), ..document(1, &["one", "three", "four"]) };
    let second = put(&*tenant, changed.clone());
    assert_eq!((second.document, second.version, second.change), (changed.id, 2, Change::Replaced));
    assert_eq!(second.removed, first.added);
    assert_eq!((second.added.len(), second.kept.len()), (3, 0));
    assert!(tenant.revision(changed.collection).expect("it reads") > revision);
    assert_eq!(tenant.chunks(&reader(&[]), &first.added).expect("they read"), []);
    assert_eq!(tenant.vectors(&reader(&[]), changed.collection, 1, &first.added).expect("they read"), []);
    let texts = tenant.document_chunks(&reader(&[]), changed.id, 0, 10).expect("they read");
    assert_eq!(texts.iter().map(|c| &*c.text).collect::<Vec<_>>(), ["one", "three", "four"]);
    let read = tenant.document(&reader(&[]), changed.id).expect("it reads").expect("it is there");
    assert_eq!((read.version, read.chunks, read.bytes, read.updated), (2, 3, 12, at(20_000)));
    assert_eq!(read.created, document(1, &[]).at);
}

pub fn what_is_said_otherwise_is_regraded(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let new = document(1, &["one"]);
    let first = put(&*tenant, new.clone());
    let labels = Labels { sensitivity: Sensitivity::Restricted, ..Labels::default() };
    // Each after the one before; whether it is another version.
    let noted = NewDocument { batch: "feed".into(), modified: None, ..new.clone() };
    let shared = NewDocument { acl: super::sample::acl(&["team", "group:x"]), ..noted.clone() };
    let titled = NewDocument { title: "Another".into(), ..shared.clone() };
    let labelled = NewDocument { labels: labels.clone(), ..titled.clone() };
    let trusted = NewDocument { trust: Trust::Signed, ..labelled.clone() };
    let mut version = 1;
    for (next, anew) in [(&noted, 0), (&shared, 0), (&titled, 1), (&labelled, 1), (&trusted, 1)] {
        version += anew;
        let regraded = put(&*tenant, next.clone());
        assert_eq!((regraded.change, regraded.version), (Change::Regraded, version), "{next:?}");
        assert_eq!((&regraded.kept, regraded.added.len()), (&first.added, 0));
    }
    let chunk = &tenant.chunks(&reader(&[]), &first.added).expect("they read")[0];
    assert_eq!((&*chunk.title, &chunk.labels, chunk.trust), ("Another", &labels, Trust::Signed));
    assert_eq!((&*chunk.batch, chunk.modified, chunk.version), ("feed", None, 4));
}

pub fn a_batch_is_put_whole_or_not_at_all(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let stale = NewDocument { generation: 2, ..document(3, &["three"]) };
    let batch = vec![document(1, &["one"]), document(2, &["two"]), stale];
    assert!(matches!(tenant.put(batch), Err(Error::Stale { given: 2, live: 1 })));
    let of = document(1, &[]).collection;
    assert_eq!(tenant.counts(&reader(&[]), of).expect("it counts"), Counts::default());
    assert_eq!(tenant.revision(of).expect("it reads"), 0);
    let taken = NewDocument { source: "elsewhere".into(), ..document(1, &["x"]) };
    let error = tenant.put(vec![document(1, &["one"]), taken]).expect_err("the id is taken");
    assert!(matches!(error, Error::Exists { .. }), "{error}");
    assert_eq!(tenant.counts(&reader(&[]), of).expect("it counts"), Counts::default());
    let puts = tenant.put(vec![document(1, &["one"]), document(2, &["two"])]).expect("both are sound");
    assert_eq!(puts.iter().map(|p| p.change).collect::<Vec<_>>(), [Change::Added, Change::Added]);
}

pub fn a_source_twice_ends_as_the_last(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let puts = tenant.put(vec![document(1, &["one"]), document(1, &["other"])]).expect("both are sound");
    assert_eq!(puts[1].change, Change::Replaced);
    assert_eq!(puts[1].removed, puts[0].added);
    let texts = tenant.document_chunks(&reader(&[]), document(1, &[]).id, 0, 9).expect("they read");
    assert_eq!(texts.iter().map(|c| &*c.text).collect::<Vec<_>>(), ["other"]);
}

pub fn what_cannot_be_stored_is_refused(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let with = |change: &dyn Fn(&mut NewDocument)| {
        let mut new = document(1, &["one"]);
        change(&mut new);
        new
    };
    let refused: Vec<(&str, NewDocument)> = vec![
        ("NaN", with(&|d| d.chunks[0].vector[3] = f32::NAN)),
        ("infinite", with(&|d| d.chunks[0].vector[3] = f32::INFINITY)),
        ("beyond a half", with(&|d| d.chunks[0].vector[3] = half::MAX * 2.0)),
        ("dimensions", with(&|d| d.chunks[0].vector = vec![1.0; 7])),
        ("no vector", with(&|d| d.chunks[0].vector.clear())),
        ("no text", with(&|d| d.chunks[0].text.clear())),
        ("zero byte", with(&|d| d.chunks[0].text = "a\0b".into())),
        ("long text", with(&|d| d.chunks[0].text = "x".repeat((64 << 10) + 1))),
        ("no source", with(&|d| d.source.clear())),
        ("long source", with(&|d| d.source = "x".repeat(3_000))),
        ("span", with(&|d| d.chunks[0].span.start = 1 << 40)),
    ];
    for (name, new) in refused {
        let error = tenant.put(vec![new]).expect_err(name);
        assert!(matches!(error, Error::Invalid(_)), "{name}: {error}");
    }
    let nowhere = with(&|d| d.collection = CollectionId(id(9)));
    assert!(matches!(tenant.put(vec![nowhere]), Err(Error::Missing { .. })));
    let large = Generation { number: 1, embedder: "e".into(), dimensions: 9_000 };
    let large = Collection { live: large, ..collection(2, Lexing::Words) };
    assert!(matches!(tenant.create_collection(large), Err(Error::Invalid(_))));
    // A zero vector and an empty document are allowed: they are found by nothing.
    let zero = with(&|d| d.chunks[0].vector = vec![0.0; 8]);
    assert_eq!(put(&*tenant, zero).added.len(), 1);
    assert_eq!(put(&*tenant, document(2, &[])).added.len(), 0);
}

pub fn what_a_source_no_longer_has_goes(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let all: Vec<NewDocument> = (1..=4).map(|n| document(n, &["one"])).collect();
    let other = NewDocument { batch: "other".into(), ..document(5, &["one"]) };
    let puts = tenant.put(all.iter().cloned().chain([other]).collect()).expect("they are sound");
    let present: BTreeSet<String> = [all[0].source.clone(), all[2].source.clone()].into();
    let of = all[0].collection;
    let removed = tenant.remove_absent(of, "docs", &present).expect("they go");
    let gone: Vec<_> = removed.iter().map(|r| (r.document, r.chunks.clone())).collect();
    assert_eq!(gone, [(all[1].id, puts[1].added.clone()), (all[3].id, puts[3].added.clone())]);
    let left = tenant.documents(&reader(&[]), of, None, 10).expect("they read");
    let left: Vec<&str> = left.iter().map(|d| &*d.source).collect();
    assert_eq!(left, ["docs/0001.md", "docs/0003.md", "docs/0005.md"], "another batch's stays");
    let behind = tenant.documents(&reader(&[]), of, Some("docs/0001.md"), 1).expect("they read");
    assert_eq!(behind.iter().map(|d| &*d.source).collect::<Vec<_>>(), ["docs/0003.md"]);
    let removed = tenant.remove(&[all[0].id, all[1].id]).expect("one is left");
    assert_eq!(removed.iter().map(|r| r.document).collect::<Vec<_>>(), [all[0].id]);
    assert!(matches!(
        tenant.remove_absent(CollectionId(id(9)), "docs", &present),
        Err(Error::Missing { .. })
    ));
}

pub fn chunk_numbers_are_never_given_twice(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let mut last = ChunkId(0);
    for round in 0..5 {
        let text = format!("round {round}");
        let put = put(&*tenant, document(1, &[&text, "tail"]));
        assert!(put.added.iter().all(|id| *id > last), "{:?} after {last:?}", put.added);
        last = put.added[1];
        if round % 2 == 0 {
            tenant.remove(&[put.document]).expect("it goes");
        }
    }
}
