//! Vectors: rows for the indexes, and a new embedder beside the old one.

use super::sample::{collection, document, opened, put, reader, shared, vector};
use crate::Error;
use crate::documents::{ChunkId, Generation, IndexRow, Lexing, NewDocument, Tenants};

pub fn an_index_is_rebuilt_from_its_rows(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let of = document(1, &[]).collection;
    let mut expected: Vec<IndexRow> = Vec::new();
    for n in 1..=5 {
        let subjects: &[&str] = if n % 2 == 0 { &["team"] } else { &["user:ada"] };
        let put = put(&*tenant, shared(n, &["one", "two", "three"], subjects));
        for (at, chunk) in (0..).zip(put.added) {
            expected.push(IndexRow { chunk, class: put.class, vector: vector(n * 100 + at) });
        }
    }
    let removed = tenant.remove(&[document(2, &[]).id]).expect("it goes").remove(0).chunks;
    expected.retain(|row| !removed.contains(&row.chunk));
    // In pages, as whoever builds an index reads them.
    let (mut rows, mut classes) = (Vec::new(), Vec::new());
    loop {
        let page = tenant.index_rows(of, 1, rows.last().map(|r: &IndexRow| r.chunk), 5).expect("they read");
        if page.is_empty() {
            break;
        }
        rows.extend(page);
    }
    loop {
        let page =
            tenant.index_classes(of, classes.last().map(|c: &(ChunkId, _)| c.0), 5).expect("they read");
        if page.is_empty() {
            break;
        }
        classes.extend(page);
    }
    assert_eq!(rows, expected);
    assert_eq!(classes, expected.iter().map(|row| (row.chunk, row.class)).collect::<Vec<_>>());
    assert_eq!(tenant.index_rows(of, 9, None, 5).expect("there are none"), []);
}

pub fn a_generation_is_filled_and_turned_over(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let row = collection(1, Lexing::Stemmed);
    put(&*tenant, document(1, &["one", "two"]));
    let number = tenant.begin_generation(row.id, "better", 2).expect("the collection is there");
    assert_eq!(number, 2);
    let beside = Generation { number: 2, embedder: "better".into(), dimensions: 2 };
    let read = || tenant.collection(&row.name).expect("it reads").expect("it is there");
    assert_eq!((read().live, read().beside), (row.live.clone(), vec![beside.clone()]));
    let incomplete = |expected: u64| matches!(tenant.activate(row.id, 2), Err(Error::Incomplete { generation: 2, missing }) if missing == expected);
    assert!(incomplete(2));
    let without = tenant.unembedded(row.id, 2, 10).expect("they read");
    assert_eq!(without.iter().map(|row| &*row.text).collect::<Vec<_>>(), ["one", "two"]);
    let labels = document(1, &[]).labels;
    assert!(without.iter().all(|row| row.labels == labels), "what an embedder may read is known");
    let (first, second) = (without[0].chunk, without[1].chunk);
    let gone = ChunkId(9_999);
    let left = tenant.put_vectors(row.id, 2, vec![(first, vec![1.0, 0.5]), (gone, vec![0.0, 0.0])]);
    assert_eq!(left.expect("they are sound"), 1);
    // What comes meanwhile is embedded by the live one, and lacks a vector of the other.
    put(&*tenant, document(2, &["three"]));
    assert!(incomplete(2));
    let without = tenant.unembedded(row.id, 2, 10).expect("they read");
    assert_eq!(without.len(), 2);
    let rest = without.iter().map(|row| (row.chunk, vec![0.25, -1.0])).collect();
    assert_eq!(tenant.put_vectors(row.id, 2, rest).expect("they are sound"), 0);
    tenant.activate(row.id, 2).expect("it is complete");
    assert_eq!((read().live, read().beside), (beside.clone(), vec![row.live.clone()]));
    let vectors = tenant.vectors(&reader(&[]), row.id, 2, &[second, first]).expect("they read");
    assert_eq!(vectors, [(second, vec![0.25, -1.0]), (first, vec![1.0, 0.5])]);
    // Back, and to it again.
    tenant.activate(row.id, 1).expect("the old one is whole");
    assert_eq!(read().live, row.live);
    tenant.activate(row.id, 2).expect("so is the new one");
    assert!(matches!(tenant.drop_generation(row.id, 2), Err(Error::Invalid(_))), "it is searched");
    assert!(tenant.drop_generation(row.id, 1).expect("it goes"));
    assert!(!tenant.drop_generation(row.id, 1).expect("it went"));
    assert_eq!(tenant.index_rows(row.id, 1, None, 9).expect("they went"), []);
    assert!(matches!(tenant.activate(row.id, 1), Err(Error::Missing { .. })));
    assert_eq!(tenant.begin_generation(row.id, "third", 4).expect("it begins"), 3, "no number twice");
    // A chunk that goes takes its vectors of every generation along.
    tenant.remove(&[document(2, &[]).id]).expect("it goes");
    assert!(matches!(tenant.activate(row.id, 3), Err(Error::Incomplete { missing: 2, .. })));
    assert_eq!(tenant.index_rows(row.id, 2, None, 9).expect("they read").len(), 2);
}

pub fn vectors_of_another_generation_are_refused(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let row = collection(1, Lexing::Stemmed);
    let chunk = put(&*tenant, document(1, &["one"])).added[0];
    tenant.begin_generation(row.id, "better", 2).expect("it begins");
    let early = NewDocument { generation: 2, ..document(2, &["two"]) };
    assert!(matches!(tenant.put(vec![early]), Err(Error::Stale { given: 2, live: 1 })));
    for vector in [vec![1.0], vec![1.0; 8], vec![f32::NAN, 0.0]] {
        let wrong = tenant.put_vectors(row.id, 2, vec![(chunk, vector)]);
        assert!(matches!(wrong, Err(Error::Invalid(_))), "{wrong:?}");
    }
    let live = tenant.put_vectors(row.id, 1, vec![(chunk, vec![1.0; 8])]);
    assert!(matches!(live, Err(Error::Invalid(_))), "{live:?}");
    let none = tenant.put_vectors(row.id, 7, vec![(chunk, vec![1.0; 8])]);
    assert!(matches!(none, Err(Error::Missing { .. })), "{none:?}");
    assert!(matches!(tenant.begin_generation(row.id, "x", 0), Err(Error::Invalid(_))));
    assert!(matches!(tenant.begin_generation(row.id, "", 3), Err(Error::Invalid(_))));
    tenant.put_vectors(row.id, 2, vec![(chunk, vec![1.0, 0.0])]).expect("it is sound");
    tenant.activate(row.id, 2).expect("it is complete");
    // Embedded before the turn, put after it.
    assert!(matches!(tenant.put(vec![document(2, &["two"])]), Err(Error::Stale { given: 1, live: 2 })));
}
