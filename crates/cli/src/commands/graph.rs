//! `collection graph`: what relates names, and who says so.

use api::{CollectionGraph, GraphEdge};

use super::show;
use crate::client::{Server, encode};
use crate::{Failure, args};

pub(super) fn collection(
    server: &Server,
    args: &args::graph::CollectionGraph,
    json: bool,
) -> Result<(), Failure> {
    let path = format!(
        "/api/v1/collections/{}/graph?entity={}&limit={}",
        encode(&args.name),
        encode(&args.entity),
        args.limit
    );
    let graph: CollectionGraph = server.get(&path)?;
    show(json, &graph, edges_text);
    Ok(())
}

pub(crate) fn edges_text(graph: &CollectionGraph) -> String {
    if graph.edges.is_empty() {
        return format!("nothing that you may read says anything of \"{}\"\n", graph.entity);
    }
    let line = |edge: &GraphEdge| {
        format!(
            "{} -- {} -> {}\n    {} (version {}, bytes {} to {})\n",
            edge.from, edge.relation, edge.to, edge.source, edge.version, edge.start, edge.end
        )
    };
    graph.edges.iter().map(line).collect()
}
