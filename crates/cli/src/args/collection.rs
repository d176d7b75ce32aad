//! What `collection eval`, `watch` and `export` take.

use std::path::PathBuf;

use clap::Args;

#[derive(Clone, Debug, Args)]
pub struct CollectionEval {
    pub name: String,
    /// Judged questions, a JSON object a line: {"query": "…", "relevant": {"leave.md": 2}, "poison": []}.
    #[arg(long, value_name = "FILE")]
    pub judged: PathBuf,
    /// How many documents of each order are judged.
    #[arg(short = 'k', long = "limit", default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=30))]
    pub limit: u32,
    /// Also write the results as JUnit XML, a case a question.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Exit 1 when the mean nDCG of both arms together is less.
    #[arg(long, value_name = "FROM 0 TO 1")]
    pub min_ndcg: Option<f64>,
}

#[derive(Clone, Debug, Args)]
pub struct CollectionWatch {
    pub name: String,
    /// The folder. A file is known by its path inside it.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// How long to wait between two looks.
    #[arg(long, default_value = "2s", value_name = "TIME")]
    pub interval: String,
    /// Look once, and end.
    #[arg(long)]
    pub once: bool,
    /// Keep documents whose files are gone.
    #[arg(long)]
    pub keep_removed: bool,
    /// Who may read them: team, user:EMAIL, key:ID, group:NAME; repeat for more. As the collection says unless told.
    #[arg(long = "acl", value_name = "WHO")]
    pub acl: Vec<String>,
    /// What they are labelled, beside the collection's own: "confidential eu".
    #[arg(long)]
    pub labels: Option<String>,
    /// What their sources begin with: handbook/.
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub prefix: String,
}

#[derive(Clone, Debug, Args)]
pub struct CollectionExport {
    pub name: String,
    /// Write to this file; otherwise to standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}
