//! Edges.

use super::sample::{document, opened, put, reader, shared};
use crate::Error;
use crate::conformance::sample::at;
use crate::documents::{ChunkId, Edge, Invalidated, Reader, Tenants};

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
    let at = |who: &Reader, entities: &[&str], limit| -> Vec<Edge> {
        let entities: Vec<String> = entities.iter().map(|e| (*e).to_owned()).collect();
        tenant.edges(who, &entities, limit).expect("they read")
    };
    let (ada, eve) = (reader(&["user:ada"]), reader(&["user:eve"]));
    assert_eq!(at(&ada, &["ada"], 9), [edges[0].clone(), edges[2].clone()]);
    assert_eq!(at(&eve, &["ada"], 9), edges[..1]);
    assert_eq!(at(&eve, &["eve"], 9), [], "not from the other end either");
    assert_eq!(at(&eve, &["engine", "ada"], 9), edges[..2], "each once");
    assert_eq!(at(&ada, &["engine"], 1), edges[..1]);
    assert_eq!(at(&ada, &["nobody"], 9), []);
    let replaced = put(&*tenant, document(1, &["Nobody built it."]));
    assert_eq!(replaced.invalidated, Invalidated { answers: 0, facts: 0, edges: 2 });
    assert_eq!(at(&ada, &["engine", "ada"], 9), edges[2..]);
    let long = edge(&"x".repeat(501), "is", "long", secret[0]);
    assert!(matches!(tenant.relate(vec![long]), Err(Error::Invalid(_))));
}
