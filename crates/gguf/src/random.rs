//! A Llama of random weights: the same file on every machine.
//!
//! The speed of an engine does not depend on the values of the weights, only on
//! their shapes and types. So benches use this file and not a download, and two
//! people who name the same shape and seed compare the same bytes.

use std::io::{self, Write};

use crate::Kind;
use crate::write::{Writer, padding};

/// The shape of a Llama.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub vocab: u32,
    pub context: u32,
    pub width: u32,
    pub layers: u32,
    pub heads: u32,
    pub kv_heads: u32,
    pub feed_forward: u32,
    /// F16 weights; otherwise F32.
    pub half: bool,
    /// `Some(k)` declares vector pooling (1 mean, 3 last), which makes it an embedding model.
    pub pooling: Option<u32>,
}

impl Shape {
    /// About 300 M parameters; 608 MB as F16, 180 MB as Q4_0.
    pub const BENCH_300M: Shape = Shape {
        vocab: 32_000,
        context: 4096,
        width: 1024,
        layers: 24,
        heads: 16,
        kv_heads: 4,
        feed_forward: 2816,
        half: true,
        pooling: None,
    };
    /// About 200 k parameters, for tests: loads in milliseconds.
    pub const TINY: Shape = Shape {
        vocab: 512,
        context: 512,
        width: 64,
        layers: 3,
        heads: 4,
        kv_heads: 2,
        feed_forward: 128,
        half: false,
        pooling: None,
    };
}

/// Writes the model. Weights are uniform in ±sqrt(3/fan_in), the norms are 1.
///
/// The vocabulary is SPM: `<unk>`, `<s>`, `</s>`, the 256 bytes, then syllables,
/// so that any text can be tokenized.
pub fn random_llama(shape: Shape, seed: u64, out: &mut impl Write) -> io::Result<u64> {
    let mut w = Writer::new();
    describe(shape, &mut w);
    let tensors = tensors(shape);
    for (name, dims) in &tensors {
        w.tensor(name, dims, kind_of(shape, dims));
    }
    let mut written = w.finish(out)?;
    let mut random = Random(seed);
    for (_, dims) in &tensors {
        let kind = kind_of(shape, dims);
        let count: u64 = dims.iter().product();
        let mut block = Vec::with_capacity(1 << 16);
        let scale = (3.0 / dims[0] as f32).sqrt();
        for _ in 0..count {
            let value = if dims.len() == 1 { 1.0 } else { random.next_unit() * scale };
            match kind.id {
                1 => block.extend(half(value).to_le_bytes()),
                _ => block.extend(value.to_le_bytes()),
            }
            if block.len() >= 1 << 16 {
                out.write_all(&block)?;
                block.clear();
            }
        }
        out.write_all(&block)?;
        let bytes = count * kind.bytes;
        out.write_all(padding(bytes))?;
        written += bytes.next_multiple_of(32);
    }
    Ok(written)
}

fn describe(s: Shape, w: &mut Writer) {
    w.text("general.architecture", "llama")
        .text("general.name", "random")
        .u32("general.file_type", u32::from(s.half))
        .u32("llama.vocab_size", s.vocab)
        .u32("llama.context_length", s.context)
        .u32("llama.embedding_length", s.width)
        .u32("llama.block_count", s.layers)
        .u32("llama.feed_forward_length", s.feed_forward)
        .u32("llama.attention.head_count", s.heads)
        .u32("llama.attention.head_count_kv", s.kv_heads)
        .u32("llama.rope.dimension_count", s.width / s.heads)
        .f32("llama.attention.layer_norm_rms_epsilon", 1e-5);
    if let Some(pooling) = s.pooling {
        w.u32("llama.pooling_type", pooling);
    }
    let (mut tokens, mut scores, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..s.vocab {
        let (text, score, kind) = token(i);
        tokens.push(text);
        scores.push(score);
        kinds.push(kind);
    }
    w.text("tokenizer.ggml.model", "llama")
        .texts("tokenizer.ggml.tokens", &tokens)
        .f32s("tokenizer.ggml.scores", &scores)
        .i32s("tokenizer.ggml.token_type", &kinds)
        .u32("tokenizer.ggml.bos_token_id", 1)
        .u32("tokenizer.ggml.eos_token_id", 2)
        .bool("tokenizer.ggml.add_bos_token", true);
}

/// Text, score and type (1 normal, 2 unknown, 3 control, 6 byte) of token `i`.
fn token(i: u32) -> (String, f32, i32) {
    match i {
        0 => ("<unk>".into(), 0.0, 2),
        1 => ("<s>".into(), 0.0, 3),
        2 => ("</s>".into(), 0.0, 3),
        3..=258 => (format!("<0x{:02X}>", i - 3), 0.0, 6),
        _ => {
            // Base-26 words, each new: "a", "b", ... "aa"; every other one starts a word.
            let mut n = i - 259;
            let lead = n.is_multiple_of(2);
            n /= 2;
            let mut letters = Vec::new();
            loop {
                letters.push(b'a' + (n % 26) as u8);
                n /= 26;
                if n == 0 {
                    break;
                }
                n -= 1;
            }
            letters.reverse();
            let word: String = letters.into_iter().map(char::from).collect();
            (if lead { format!("\u{2581}{word}") } else { word }, -(i as f32), 1)
        }
    }
}

fn tensors(s: Shape) -> Vec<(String, Vec<u64>)> {
    let (width, ff) = (u64::from(s.width), u64::from(s.feed_forward));
    let kv = width / u64::from(s.heads) * u64::from(s.kv_heads);
    let mut all = vec![("token_embd.weight".to_owned(), vec![width, u64::from(s.vocab)])];
    for i in 0..s.layers {
        for (name, dims) in [
            ("attn_norm", vec![width]),
            ("attn_q", vec![width, width]),
            ("attn_k", vec![width, kv]),
            ("attn_v", vec![width, kv]),
            ("attn_output", vec![width, width]),
            ("ffn_norm", vec![width]),
            ("ffn_gate", vec![width, ff]),
            ("ffn_up", vec![width, ff]),
            ("ffn_down", vec![ff, width]),
        ] {
            all.push((format!("blk.{i}.{name}.weight"), dims));
        }
    }
    all.push(("output_norm.weight".to_owned(), vec![width]));
    all.push(("output.weight".to_owned(), vec![width, u64::from(s.vocab)]));
    all
}

fn kind_of(shape: Shape, dims: &[u64]) -> Kind {
    if shape.half && dims.len() > 1 { Kind::F16 } else { Kind::F32 }
}

/// Splitmix64. Source: G. Steele et al., "Fast splittable pseudorandom number generators", 2014.
pub(crate) struct Random(pub u64);

impl Random {
    /// Uniform in [-1, 1).
    pub(crate) fn next_unit(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }
}

/// F32 to F16, rounding toward zero; values here are normal and below 2.
fn half(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) & 0x8000;
    let exponent = ((bits >> 23) & 0xff) as i32 - 112;
    if exponent <= 0 {
        return sign as u16;
    }
    (sign | ((exponent as u32) << 10) | ((bits >> 13) & 0x3ff)) as u16
}
