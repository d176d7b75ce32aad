//! Edges.

use super::sample::{collection, document, opened, put, reader, shared};
use crate::Error;
use crate::conformance::sample::at;
use crate::documents::{
    ChunkId, Edge, Invalidated, Lexing, NewDocument, NewEdge, Reader, Tenant, Tenants, Trust,
};

fn edge(from: &str, relation: &str, to: &str, chunk: ChunkId) -> Edge {
    Edge {
        from: from.into(),
        relation: relation.into(),
        to: to.into(),
        chunk,
        valid_from: Some(at(1)),
        valid_to: None,
    }
}

fn new(chunk: u32, from: &str, relation: &str, to: &str) -> NewEdge {
    NewEdge { chunk, from: from.into(), relation: relation.into(), to: to.into() }
}

fn at_entities(tenant: &dyn Tenant, who: &Reader, entities: &[&str], each: usize) -> Vec<Edge> {
    let entities: Vec<String> = entities.iter().map(|e| (*e).to_owned()).collect();
    let id = collection(1, Lexing::Stemmed).id;
    tenant.edges(who, id, &entities, each).expect("they read")
}

/// Names alone, for edges that have no times.
fn names(edges: &[Edge]) -> Vec<String> {
    edges.iter().map(|e| format!("{} {} {}", e.from, e.relation, e.to)).collect()
}

pub fn an_edge_goes_with_its_chunk(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let open = put(&*tenant, document(1, &["Ada built the engine.", "It drives itself."])).added;
    let secret = put(&*tenant, shared(2, &["Ada owes Eve."], &["user:ada"])).added;
    let edges = vec![
        edge("ada", "built", "engine", open[0]),
        edge("engine", "drives", "engine", open[1]),
        edge("ada", "owes", "eve", secret[0]),
    ];
    assert_eq!(tenant.relate(edges.clone()).expect("they are sound"), 3);
    assert_eq!(tenant.relate(edges.clone()).expect("they are sound"), 0, "each once");
    let gone = edge("ada", "left", "port", ChunkId(9_999));
    assert_eq!(tenant.relate(vec![gone]).expect("its chunk is gone"), 0);
    let at = |who: &Reader, entities: &[&str], each| at_entities(&*tenant, who, entities, each);
    let (ada, eve) = (reader(&["user:ada"]), reader(&["user:eve"]));
    assert_eq!(at(&ada, &["ada"], 9), [edges[0].clone(), edges[2].clone()]);
    assert_eq!(at(&eve, &["ada"], 9), edges[..1]);
    assert_eq!(at(&eve, &["eve"], 9), [], "not from the other end either");
    assert_eq!(at(&eve, &["engine", "ada"], 9), edges[..2], "each once");
    assert_eq!(at(&ada, &["engine"], 1), edges[..1]);
    assert_eq!(at(&ada, &["engine", "eve"], 1), [edges[0].clone(), edges[2].clone()], "the first of each");
    assert_eq!(at(&ada, &["nobody"], 9), []);
    let chunks = [open[1], secret[0], open[0], ChunkId(9_999)];
    assert_eq!(tenant.edges_of_chunks(&ada, &chunks, 9).expect("they read"), edges);
    assert_eq!(tenant.edges_of_chunks(&eve, &chunks, 9).expect("they read"), edges[..2]);
    let replaced = put(&*tenant, document(1, &["Nobody built it."]));
    assert_eq!(replaced.invalidated, Invalidated { answers: 0, facts: 0, edges: 2 });
    assert_eq!(at(&ada, &["engine", "ada"], 9), edges[2..]);
    let long = edge(&"x".repeat(501), "is", "long", secret[0]);
    assert!(matches!(tenant.relate(vec![long]), Err(Error::Invalid(_))));
}

/// Edges that are put with a document are its chunks' in the same transaction: they come with
/// them, are shared and quarantined with them, stay with them, and go with them.
pub fn edges_are_put_with_their_document(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    tenant.create_collection(collection(2, Lexing::Stemmed)).expect("the name is free");
    let (ada, eve) = (reader(&["user:ada"]), reader(&["user:eve"]));
    let at = |who: &Reader, entity: &str| names(&at_entities(&*tenant, who, &[entity], 9));
    let first = vec![new(0, "ada", "built", "engine"), new(1, "engine", "drives", "loom")];
    let with = |edges: &[NewEdge], document: NewDocument| NewDocument { edges: edges.to_vec(), ..document };
    let texts = ["Ada built the engine.", "The engine drives the loom."];
    let added = put(&*tenant, with(&first, document(1, &texts))).added;
    assert_eq!(at(&eve, "engine"), ["ada built engine", "engine drives loom"]);
    let of_second = tenant.edges_of_chunks(&eve, &added[1..], 9).expect("they read");
    assert_eq!(names(&of_second), ["engine drives loom"]);
    // In another collection the same names are other edges.
    let elsewhere =
        NewDocument { collection: collection(2, Lexing::Stemmed).id, ..document(7, &["Engine."]) };
    put(&*tenant, with(&[new(0, "engine", "burns", "coal")], elsewhere));
    assert_eq!(at(&eve, "engine"), ["ada built engine", "engine drives loom"]);
    assert_eq!(at(&eve, "coal"), [""; 0]);
    // Shared with Ada alone: the chunks stay, and the edges are hers.
    put(&*tenant, with(&first, shared(1, &texts, &["user:ada"])));
    assert_eq!((at(&eve, "engine").len(), at(&ada, "engine").len()), (0, 2));
    let held = NewDocument { trust: Trust::Quarantined, ..document(1, &texts) };
    put(&*tenant, with(&first, held));
    assert_eq!(at(&ada, "engine"), [""; 0], "what is in quarantine relates nothing");
    let put_again =
        put(&*tenant, with(&[new(0, "eve", "built", "mill")], document(1, &["Eve built the mill."])));
    assert_eq!(put_again.invalidated.edges, 2);
    assert_eq!((at(&eve, "engine").len(), at(&eve, "mill").len()), (0, 1));
    let removed = tenant.remove(&[put_again.document]).expect("removed");
    assert_eq!(removed[0].invalidated.edges, 1);
    assert_eq!(at(&eve, "mill"), [""; 0]);
    // A wrong edge refuses the document: nothing of it is put.
    let wrong = with(&[new(1, "a", "b", "c")], document(3, &["one chunk"]));
    assert!(matches!(tenant.put(vec![wrong]), Err(Error::Invalid(_))));
    assert!(tenant.documents(&eve, collection(1, Lexing::Stemmed).id, None, 9).expect("listed").is_empty());
}
