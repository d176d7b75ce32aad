//! Graphs: what a collection's documents say relates names, and those that exist elsewhere.

use clap::{Args, Subcommand};

#[derive(Clone, Debug, Subcommand)]
pub enum Graph {
    /// Ask a declared query; `bedplate tool list` shows which there are.
    Query(GraphQuery),
}

#[derive(Clone, Debug, Args)]
pub struct GraphQuery {
    /// The graph: a `Tool` manifest's name.
    pub name: String,
    /// One of its queries.
    pub query: String,
    /// A value: country=Luxembourg; repeat for more.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    pub parameters: Vec<(String, String)>,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[derive(Clone, Debug, Args)]
pub struct CollectionGraph {
    /// The collection.
    pub name: String,
    /// A name, in any case, or a document's source.
    pub entity: String,
    /// How many edges at most.
    #[arg(short = 'k', long = "limit", default_value_t = 50, value_name = "N")]
    pub limit: u32,
}
