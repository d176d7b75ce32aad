//! `bedplate collection`: documents that are searched by those who may read them.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::graph;

#[derive(Clone, Debug, Subcommand)]
pub enum Collection {
    /// Create a collection of your key's team.
    Create(CollectionCreate),
    /// Put files into a collection: what has not changed is not sent again, so it can be cut short and repeated.
    Ingest(CollectionIngest),
    /// What bears on a question, of what you may read.
    Search(CollectionSearch),
    /// List the collections of your key's team.
    List,
    /// One collection, and its documents that you may read.
    Status { name: String },
    /// Show a document's text, if you may read it.
    Show {
        name: String,
        /// Where it came from, or its id.
        source: String,
    },
    /// Give a collection another embedder: beside what is searched, until all of it is there. Can be cut short and repeated.
    Reindex {
        name: String,
        /// A model, or `lexical-hash`, which is built in; what its manifest says unless told.
        #[arg(long, value_name = "MODEL")]
        embedder: Option<String>,
    },
    /// Keep a collection as a folder is: what is added, changed and removed there, until it is stopped.
    Watch(CollectionWatch),
    /// Read what its manifest declares as sources: what is new, changed and gone there. Can be cut short and repeated.
    Sync(CollectionSync),
    /// What sources brought in that nobody released: kept, and found by nobody.
    Quarantine(CollectionQuarantine),
    /// Let what a source brought in be found, and what it will.
    Release(CollectionSource),
    /// Take a release back.
    Hold(CollectionSource),
    /// Keep a source's key in the server's encrypted store; it is read from standard input.
    SetKey(CollectionSource),
    /// What its search is worth on judged questions: words, vectors, and both. `--fit` learns from them.
    Eval(CollectionEval),
    /// How much vectors count, as `eval --fit` has learned it.
    Gate {
        name: String,
        /// Forget what was learned: the rule holds again that needs no judged questions.
        #[arg(long)]
        forget: bool,
    },
    /// Every document that you may read with its text, a JSON object a line.
    Export(CollectionExport),
    /// What documents that you may read say of a name, and which one says it.
    Graph(graph::CollectionGraph),
    /// Remove a document, or a whole collection; every cached answer that used it goes too.
    Remove(CollectionRemove),
}

#[derive(Clone, Debug, Args)]
pub struct CollectionCreate {
    pub name: String,
    /// The documents' language, as a BCP 47 tag: en, de, zh-Hant.
    #[arg(long, value_name = "TAG")]
    pub language: Option<String>,
    /// How text becomes terms; by the language unless told.
    #[arg(long, value_enum)]
    pub lexing: Option<Lexing>,
    /// Who reads a document that names nobody: team, user:EMAIL, key:ID, group:NAME; repeat for more. The team unless told.
    #[arg(long = "acl", value_name = "WHO")]
    pub acl: Vec<String>,
    /// What every document has at least: "internal", "confidential eu".
    #[arg(long)]
    pub labels: Option<String>,
    /// The model that makes its vectors; `lexical-hash`, which is built in, unless told.
    #[arg(long, value_name = "MODEL")]
    pub embedder: Option<String>,
    /// Keep a graph: read documents for what they say relates names.
    #[arg(long)]
    pub graph: bool,
    /// A model that reads the best 32 with each question and orders them.
    #[arg(long, value_name = "MODEL")]
    pub reranker: Option<String>,
    /// How long it may take, 1000 unless told; later, the order of both arms is given and that is told.
    #[arg(long, value_name = "MS", requires = "reranker")]
    pub rerank_deadline_ms: Option<u32>,
    /// Let age count: after so long the half of a score that can fade has halved. 30d, 52w.
    #[arg(long, value_name = "TIME")]
    pub half_life: Option<String>,
    /// Prefer what is not said yet (maximal marginal relevance): from 0, all difference, to 1, all relevance.
    #[arg(long, value_name = "FROM 0 TO 1")]
    pub mmr: Option<f32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Lexing {
    /// Words without their endings: English.
    Stemmed,
    /// Words as they are: other languages that put spaces between them.
    Words,
    /// Every three characters: Chinese, Japanese, Korean, code.
    Trigrams,
}

impl Lexing {
    pub const fn name(self) -> &'static str {
        match self {
            Lexing::Stemmed => "stemmed",
            Lexing::Words => "words",
            Lexing::Trigrams => "trigrams",
        }
    }
}

#[derive(Clone, Debug, Args)]
pub struct CollectionIngest {
    pub name: String,
    /// Files and folders. A file of a folder is known by its path inside it.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Who may read them: team, user:EMAIL, key:ID, group:NAME; repeat for more. As the collection says unless told.
    #[arg(long = "acl", value_name = "WHO")]
    pub acl: Vec<String>,
    /// What they are labelled, beside the collection's own: "confidential eu".
    #[arg(long)]
    pub labels: Option<String>,
    /// What their sources begin with: handbook/.
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub prefix: String,
    /// Also remove documents of the same folders whose files are gone.
    #[arg(long)]
    pub prune: bool,
    /// Also send what has not changed: a collection that has begun to keep a graph reads it anew.
    #[arg(long)]
    pub again: bool,
}

#[derive(Clone, Debug, Args)]
pub struct CollectionSearch {
    pub name: String,
    /// What to look for.
    pub query: String,
    /// The same in other words, or a part of it; repeat for more, at most four. What any of them finds is found.
    #[arg(long, value_name = "TEXT")]
    pub also: Vec<String>,
    /// How many parts at most.
    #[arg(short = 'k', long = "limit", default_value_t = 8, value_name = "N")]
    pub limit: u32,
    /// Only documents whose source begins so.
    #[arg(long, value_name = "PREFIX")]
    pub source: Option<String>,
    /// Also walk the collection's graph: for questions whose answer takes several documents.
    #[arg(long)]
    pub graph: bool,
    /// Also show how the answer came about.
    #[arg(long)]
    pub explain: bool,
    /// As this user of the team would search. Takes the right to manage access; texts that you may not read are withheld.
    #[arg(long = "as", value_name = "USER")]
    pub as_user: Option<String>,
    /// A model that reads the best 32 with the question and orders them; the collection's own unless told.
    #[arg(long, value_name = "MODEL")]
    pub rerank: Option<String>,
    /// How long it may take; later, the order of both arms is given and that is told.
    #[arg(long, value_name = "MS", requires = "rerank")]
    pub rerank_deadline_ms: Option<u32>,
    /// Leave the order as both arms have it, whatever the collection says.
    #[arg(long, conflicts_with = "rerank")]
    pub no_rerank: bool,
}

#[derive(Clone, Debug, Args)]
pub struct CollectionRemove {
    pub name: String,
    /// One document: where it came from, or its id. Without it the whole collection goes.
    #[arg(required_unless_present = "confirm", conflicts_with = "confirm")]
    pub source: Option<String>,
    /// The collection's name again, to remove all of it.
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
}

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
    /// First learn from them how much vectors count, for all searches of the collection. What is shown then is of
    /// questions that it has seen, but for the line that says otherwise.
    #[arg(long)]
    pub fit: bool,
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
pub struct CollectionSync {
    pub name: String,
    /// One of its sources; all of them unless told.
    #[arg(long)]
    pub source: Option<String>,
    /// Also read what says of itself that it has not changed.
    #[arg(long)]
    pub full: bool,
    /// Believe a source that has nothing any more: remove all that it brought in.
    #[arg(long)]
    pub empty: bool,
}

#[derive(Clone, Debug, Args)]
pub struct CollectionQuarantine {
    pub name: String,
    /// Show the text of one of them: where it came from, or its id.
    #[arg(long, value_name = "SOURCE")]
    pub show: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub struct CollectionSource {
    pub name: String,
    /// As the collection's manifest calls it.
    #[arg(long)]
    pub source: String,
}

#[derive(Clone, Debug, Args)]
pub struct CollectionExport {
    pub name: String,
    /// Only what waits in quarantine, for whoever may release it.
    #[arg(long)]
    pub quarantined: bool,
    /// Write to this file; otherwise to standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}
