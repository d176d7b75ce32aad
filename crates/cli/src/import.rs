//! `model import`: its words, and how its result looks. `app` does the work, for it
//! holds the engine that looks at what was written.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::table::{bytes, grouped};

#[derive(Clone, Debug, Args)]
pub struct Import {
    /// A Hugging Face folder of a BERT embedding model: config.json, model.safetensors, tokenizer.json or vocab.txt.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The file to write; below the data directory's `models` unless told.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// A JSON object of texts and the vectors that the model is known to make of them: the result must make them, too.
    #[arg(long, value_name = "FILE")]
    pub reference: Option<PathBuf>,
    /// The type that the weights are rounded to; as they are unless told. The result must make nearly the vectors that they make.
    #[arg(long, value_name = "TYPE")]
    pub to: Option<Rounded>,
    /// Replace the output file if there is one.
    #[arg(long)]
    pub force: bool,
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rounded {
    /// Half of the memory, and the fastest where the processor multiplies it (AVX-512 BF16).
    #[value(name = "bf16")]
    BF16,
    /// Half of the memory.
    #[value(name = "f16")]
    F16,
    /// A quarter of the memory.
    #[value(name = "q8_0")]
    Q8_0,
}

/// What was written, and how it was checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Imported {
    pub output: String,
    /// As a manifest's `local.file` names it, where it lies below `models`.
    pub file: Option<String>,
    pub bytes: u64,
    /// By which the engine knows the file.
    pub fingerprint: String,
    pub dimensions: u64,
    pub context_tokens: u64,
    pub pooling: String,
    /// The least likeness of a text's vectors in two runs: 1 for a model that is sound.
    pub repeated_cosine_min: f64,
    pub reference: Option<Compared>,
    /// Beside the vectors of the same weights before they were rounded.
    pub rounded: Option<Compared>,
    pub notes: Vec<String>,
}

/// Vectors beside those of the reference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    pub texts: u64,
    pub cosine_min: f64,
    pub cosine_mean: f64,
}

pub fn print(imported: &Imported, json: bool) -> ExitCode {
    if json {
        println!("{}", serde_json::json!(imported));
    } else {
        print!("{}", render(imported));
    }
    ExitCode::SUCCESS
}

fn render(i: &Imported) -> String {
    let mut text = format!(
        "{}\n  {}, fingerprint {}\n  vectors of {} numbers, {} pooling, texts up to {} tokens\n  \
         the same text twice: cosine {:.6}\n",
        i.output,
        bytes(i.bytes),
        i.fingerprint,
        grouped(i.dimensions),
        i.pooling,
        grouped(i.context_tokens),
        i.repeated_cosine_min
    );
    for (what, compared) in [("the reference", &i.reference), ("the weights as they were", &i.rounded)] {
        if let Some(c) = compared {
            text.push_str(&format!(
                "  beside {what}: cosine {:.6} at least, {:.6} on average, over {} texts\n",
                c.cosine_min,
                c.cosine_mean,
                grouped(c.texts)
            ));
        }
    }
    i.notes.iter().for_each(|note| text.push_str(&format!("  note: {note}\n")));
    if let Some(file) = &i.file {
        text.push_str(&format!(
            "\nto serve it:\napiVersion: bedplate/v1\nkind: Model\nmetadata: {{ name: my-embedder }}\nspec:\n  \
             targets:\n    - local: {{ file: {file} }}\n"
        ));
    }
    text
}
