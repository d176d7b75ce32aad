//! A Hugging Face folder of the BERT family as a GGUF file.
//!
//! [`plan`] decides everything from the folder's small files and the header of its
//! weights; [`Plan::write`] then streams the weights. What the engine would compute
//! otherwise than the folder says (other positions, other pooling, another tokenizer, a
//! layer behind) is refused: vectors that are nearly right are found by nobody.
//!
//! Names and keys are those of llama.cpp's architecture `bert`.

mod config;
mod vocabulary;

#[cfg(test)]
mod tests;

use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::Kind;
use crate::safetensors::{Entry, Numbers, Safetensors};
use crate::write::{Writer, padding};
use config::{Config, Pooling};
use vocabulary::Vocabulary;

/// Tokens of a vocabulary at most.
const TOKENS_MAX: usize = 1 << 20;
/// Bytes of a folder's small files at most, each.
pub const FILE_MAX: u64 = 64 << 20;
/// Numbers that are converted at once.
const CHUNK: usize = 1 << 16;

/// Why a folder is not imported.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{file}: {why}")]
    File { file: &'static str, why: String },
    #[error("model.safetensors: {0}")]
    Tensors(String),
    #[error("{0}")]
    Unsupported(String),
}

/// A folder's small files, as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Folder<'a> {
    /// Of the model, for people.
    pub name: &'a str,
    /// `config.json`
    pub config: &'a [u8],
    /// `tokenizer.json`
    pub tokenizer: Option<&'a [u8]>,
    /// `tokenizer_config.json`
    pub tokenizer_config: Option<&'a [u8]>,
    /// `vocab.txt`
    pub vocabulary: Option<&'a [u8]>,
    /// `1_Pooling/config.json`
    pub pooling: Option<&'a [u8]>,
    /// `modules.json`
    pub modules: Option<&'a [u8]>,
}

/// A file that can be written.
#[derive(Clone, Debug)]
pub struct Plan {
    header: Writer,
    parts: Vec<Part>,
    /// Numbers of each vector.
    pub dimensions: u64,
    /// Tokens of a text at most.
    pub context: u64,
    /// `mean` or `cls`.
    pub pooling: &'static str,
    /// What the folder does not say, and what was taken instead.
    pub notes: Vec<String>,
    /// Bytes of all weights, as they are written.
    pub bytes: u64,
}

/// A tensor: from where in the folder's file, and how it is written.
#[derive(Clone, Debug)]
struct Part {
    from: Entry,
    kind: Kind,
    name: String,
}

/// Decides how a folder becomes a file.
///
/// # Errors
/// What is missing, cannot be read, or would be computed otherwise.
pub fn plan(folder: &Folder<'_>, tensors: &Safetensors) -> Result<Plan, Error> {
    let config = config::read(folder)?;
    let mut vocabulary = vocabulary::read(folder)?;
    fill(&mut vocabulary, config.vocabulary)?;
    let mut header = Writer::new();
    keys(&mut header, folder.name, &config, &vocabulary);
    let mut parts = Vec::new();
    let mut bytes = 0;
    for (name, path, shape) in wanted(&config) {
        let entry = find(tensors, &path)?;
        if entry.shape != shape {
            let why = format!("tensor \"{path}\" is {:?}, and {shape:?} by config.json", entry.shape);
            return Err(Error::Tensors(why));
        }
        // Rows of 16 bits stay such; what is added to each row is computed in 32.
        let kind = match entry.kind {
            Numbers::F16 if shape.len() > 1 => Kind::F16,
            Numbers::F32 | Numbers::F16 | Numbers::BF16 => Kind::F32,
            Numbers::Other(_) => {
                return Err(Error::Unsupported(format!("tensor \"{path}\" holds no floating-point numbers")));
            }
        };
        let dims: Vec<u64> = shape.iter().rev().copied().collect();
        bytes += header.tensor(&name, &dims, kind);
        parts.push(Part { from: entry.clone(), kind, name: path });
    }
    Ok(Plan {
        header,
        parts,
        dimensions: config.width,
        context: config.positions,
        pooling: if config.pooling == Pooling::Mean { "mean" } else { "cls" },
        notes: config.notes,
        bytes,
    })
}

/// Rows of the embedding that no token has: makers round their number up.
fn fill(vocabulary: &mut Vocabulary, rows: u64) -> Result<(), Error> {
    const UNUSED: i32 = 5;
    let tokens = vocabulary.tokens.len() as u64;
    if tokens > rows {
        return Err(Error::Unsupported(format!(
            "its vocabulary has {tokens} tokens, and its weights {rows}"
        )));
    }
    for n in tokens..rows {
        vocabulary.tokens.push(format!("[PAD{n}]"));
        vocabulary.kinds.push(UNUSED);
    }
    Ok(())
}

fn keys(header: &mut Writer, name: &str, config: &Config, vocabulary: &Vocabulary) {
    header
        .text("general.architecture", "bert")
        .text("general.name", name)
        .u32("bert.block_count", config.layers as u32)
        .u32("bert.context_length", config.positions as u32)
        .u32("bert.embedding_length", config.width as u32)
        .u32("bert.feed_forward_length", config.feed_forward as u32)
        .u32("bert.attention.head_count", config.heads as u32)
        .f32("bert.attention.layer_norm_epsilon", config.epsilon)
        .bool("bert.attention.causal", false)
        .u32("bert.pooling_type", config.pooling as u32)
        .text("tokenizer.ggml.model", "bert")
        .text("tokenizer.ggml.pre", "default")
        .texts("tokenizer.ggml.tokens", &vocabulary.tokens)
        .i32s("tokenizer.ggml.token_type", &vocabulary.kinds)
        .u32("tokenizer.ggml.token_type_count", config.token_types as u32)
        .bool("tokenizer.ggml.normalizer.lowercase", vocabulary.lowercase)
        .bool("tokenizer.ggml.normalizer.strip_accents", vocabulary.strip_accents)
        // What begins a text, by both of its names.
        .u32("tokenizer.ggml.bos_token_id", vocabulary.cls)
        .u32("tokenizer.ggml.cls_token_id", vocabulary.cls)
        .u32("tokenizer.ggml.seperator_token_id", vocabulary.sep)
        .u32("tokenizer.ggml.unknown_token_id", vocabulary.unknown);
    if let Some(pad) = vocabulary.pad {
        header.u32("tokenizer.ggml.padding_token_id", pad);
    }
    if let Some(mask) = vocabulary.mask {
        header.u32("tokenizer.ggml.mask_token_id", mask);
    }
}

/// Every tensor: its name, the folder's name for it, and its shape there.
fn wanted(c: &Config) -> Vec<(String, String, Vec<u64>)> {
    let mut all: Vec<(String, String, Vec<u64>)> = Vec::new();
    let mut add = |to: String, from: String, shape: &[u64]| all.push((to, from, shape.to_vec()));
    for (to, from, rows) in [
        ("token_embd", "word_embeddings", c.vocabulary),
        ("token_types", "token_type_embeddings", c.token_types),
        ("position_embd", "position_embeddings", c.positions),
    ] {
        add(format!("{to}.weight"), format!("embeddings.{from}.weight"), &[rows, c.width]);
    }
    for part in ["weight", "bias"] {
        add(format!("token_embd_norm.{part}"), format!("embeddings.LayerNorm.{part}"), &[c.width]);
    }
    for i in 0..c.layers {
        for (to, from, rows, width) in [
            ("attn_q", "attention.self.query", c.width, c.width),
            ("attn_k", "attention.self.key", c.width, c.width),
            ("attn_v", "attention.self.value", c.width, c.width),
            ("attn_output", "attention.output.dense", c.width, c.width),
            ("ffn_up", "intermediate.dense", c.feed_forward, c.width),
            ("ffn_down", "output.dense", c.width, c.feed_forward),
        ] {
            let (to, from) = (format!("blk.{i}.{to}"), format!("encoder.layer.{i}.{from}"));
            add(format!("{to}.weight"), format!("{from}.weight"), &[rows, width]);
            add(format!("{to}.bias"), format!("{from}.bias"), &[rows]);
        }
        for (to, from) in
            [("attn_output_norm", "attention.output.LayerNorm"), ("layer_output_norm", "output.LayerNorm")]
        {
            for part in ["weight", "bias"] {
                add(format!("blk.{i}.{to}.{part}"), format!("encoder.layer.{i}.{from}.{part}"), &[c.width]);
            }
        }
    }
    all
}

/// By its name, or by that below `bert.`, where the encoder is a part of a larger model.
fn find<'a>(tensors: &'a Safetensors, path: &str) -> Result<&'a Entry, Error> {
    let all = &tensors.tensors;
    let found = all.get(path).or_else(|| all.get(&format!("bert.{path}")));
    found.ok_or_else(|| Error::Tensors(format!("there is no tensor \"{path}\"")))
}

impl Plan {
    /// Writes the file. `source` is the folder's `model.safetensors`, whose header was
    /// planned with; `written` is told bytes of weights as they go.
    ///
    /// # Errors
    /// When either file fails, or a weight is no finite number: such a model's vectors are none.
    pub fn write(
        &self,
        source: &mut (impl Read + Seek),
        out: &mut impl Write,
        mut written: impl FnMut(u64),
    ) -> io::Result<()> {
        self.header.finish(out)?;
        let mut buffer = Vec::new();
        for part in &self.parts {
            source.seek(SeekFrom::Start(part.from.at))?;
            let (mut left, mut size) = (part.from.elements() as usize, 0);
            while left > 0 {
                let count = left.min(CHUNK);
                let numbers = read(source, part.from.kind, count, &mut buffer)?;
                if let Some(bad) = numbers.iter().find(|n| !n.is_finite()) {
                    let why = format!("tensor \"{}\" holds {bad}", part.name);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                }
                // What is kept as it is, is not rounded on its way.
                let whole = if part.kind == Kind::F16 {
                    std::mem::take(&mut buffer)
                } else {
                    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
                };
                out.write_all(&whole)?;
                size += whole.len() as u64;
                written(whole.len() as u64);
                left -= count;
            }
            out.write_all(padding(size))?;
        }
        Ok(())
    }
}

fn read(source: &mut impl Read, kind: Numbers, count: usize, buffer: &mut Vec<u8>) -> io::Result<Vec<f32>> {
    let width = if kind == Numbers::F32 { 4 } else { 2 };
    buffer.resize(count * width, 0);
    source.read_exact(buffer)?;
    let pairs = |b: &[u8]| u16::from_le_bytes([b[0], b[1]]);
    Ok(match kind {
        Numbers::F32 => {
            buffer.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        }
        Numbers::BF16 => buffer.chunks_exact(2).map(|b| f32::from_bits(u32::from(pairs(b)) << 16)).collect(),
        _ => buffer.chunks_exact(2).map(|b| half(pairs(b))).collect(),
    })
}

/// A 16-bit float of IEEE 754 in 32 bits: exact.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 0x3FF));
    sign * match exponent {
        0 => fraction * (-24f32).exp2(),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (fraction / 1024.0 + 1.0) * ((exponent - 15) as f32).exp2(),
    }
}
