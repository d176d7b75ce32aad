//! Graphs: what a collection's documents say relates names.

use clap::Args;

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
