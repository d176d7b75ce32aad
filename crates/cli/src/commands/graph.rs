//! `collection graph`: what relates names, and who says so. `graph query`: graphs elsewhere.

use api::{CollectionGraph, GraphEdge, GraphRows, QueryGraph};
use serde_json::Value;

use super::show;
use crate::client::{Server, encode};
use crate::table::table;
use crate::{Failure, args};

pub(super) fn run(server: &Server, command: args::graph::Graph, json: bool) -> Result<(), Failure> {
    let args::graph::Graph::Query(args) = command;
    let path = format!("/api/v1/graphs/{}/queries/{}", encode(&args.name), encode(&args.query));
    let parameters = args.parameters.into_iter().map(|(name, value)| (name, value.into())).collect();
    let rows: GraphRows = server.post(&path, &QueryGraph { parameters })?;
    show(json, &rows, rows_text);
    Ok(())
}

fn rows_text(rows: &GraphRows) -> String {
    let shown = |value: &Value| match value {
        Value::Null => "-".into(),
        Value::String(text) => text.replace(['\n', '\t'], " "),
        other => other.to_string(),
    };
    let names: Vec<String> = rows.columns.iter().map(|name| name.to_uppercase()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let cells: Vec<Vec<String>> = rows.rows.iter().map(|row| row.iter().map(shown).collect()).collect();
    let mut text = table(&names, &cells);
    if rows.left_out > 0 {
        text.push_str(&format!("{} more rows came and were left out (maxRows)\n", rows.left_out));
    }
    text
}

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
