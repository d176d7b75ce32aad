//! A tiny BERT of random weights, with a classification head or without: a model that
//! ranks, and one that embeds, for tests.

use std::io::{self, Write};

use crate::Kind;
use crate::random::Random;
use crate::write::{Writer, padding};

const WIDTH: u64 = 32;
const LAYERS: u32 = 2;
const HEADS: u32 = 4;
const FEED_FORWARD: u64 = 64;
const CONTEXT: u64 = 128;

/// Writes it: 2 layers of 32, a WordPiece vocabulary of the letters and a few
/// words, absolute positions up to 128, pooling by rank. Everything F32.
pub fn random_reranker(seed: u64, out: &mut impl Write) -> io::Result<()> {
    random_bert(seed, true, out)
}

/// The same without the head: vectors of 32 numbers, the mean of a text's tokens.
pub fn random_embedder(seed: u64, out: &mut impl Write) -> io::Result<()> {
    random_bert(seed, false, out)
}

fn random_bert(seed: u64, ranks: bool, out: &mut impl Write) -> io::Result<()> {
    let mut tokens: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from).into();
    for letter in 'a'..='z' {
        tokens.push(format!("\u{2581}{letter}"));
        tokens.push(letter.to_string());
    }
    for word in
        ["what", "is", "the", "a", "budget", "key", "team", "limit", "paris", "france", "capital", "of"]
    {
        let word = format!("\u{2581}{word}");
        if !tokens.contains(&word) {
            tokens.push(word);
        }
    }
    let kinds: Vec<i32> = (0..tokens.len()).map(|i| if i < 5 { 3 } else { 1 }).collect();
    let vocab = tokens.len() as u64;
    let mut w = Writer::new();
    w.text("general.architecture", "bert")
        .text("general.name", if ranks { "random-reranker" } else { "random-embedder" })
        .u32("general.file_type", 0)
        .u32("bert.block_count", LAYERS)
        .u32("bert.context_length", CONTEXT as u32)
        .u32("bert.embedding_length", WIDTH as u32)
        .u32("bert.feed_forward_length", FEED_FORWARD as u32)
        .u32("bert.attention.head_count", HEADS)
        .f32("bert.attention.layer_norm_epsilon", 1e-12)
        .bool("bert.attention.causal", false)
        .u32("bert.pooling_type", if ranks { 4 } else { 1 })
        .text("tokenizer.ggml.model", "bert")
        .text("tokenizer.ggml.pre", "default")
        .texts("tokenizer.ggml.tokens", &tokens)
        .i32s("tokenizer.ggml.token_type", &kinds)
        .u32("tokenizer.ggml.token_type_count", 2)
        .u32("tokenizer.ggml.bos_token_id", 2)
        .u32("tokenizer.ggml.cls_token_id", 2)
        .u32("tokenizer.ggml.seperator_token_id", 3)
        .u32("tokenizer.ggml.unknown_token_id", 1)
        .u32("tokenizer.ggml.padding_token_id", 0)
        .u32("tokenizer.ggml.mask_token_id", 4);
    let mut tensors = tensors(vocab);
    tensors.retain(|(name, _)| ranks || !name.starts_with("cls."));
    for (name, dims) in &tensors {
        w.tensor(name, dims, Kind::F32);
    }
    w.finish(out)?;
    let mut random = Random(seed);
    for (name, dims) in &tensors {
        let count: u64 = dims.iter().product();
        let is_norm = name.contains("norm.weight");
        // Larger than a trained model's, so that scores differ visibly.
        let scale =
            if dims.len() > 1 && !name.contains("embd") { (6.0 / dims[0] as f32).sqrt() } else { 1.0 };
        for _ in 0..count {
            let value = random.next_unit() * scale;
            out.write_all(&(if is_norm { 1.0 + value / 4.0 } else { value }).to_le_bytes())?;
        }
        out.write_all(padding(count * 4))?;
    }
    Ok(())
}

fn tensors(vocab: u64) -> Vec<(String, Vec<u64>)> {
    let mut all: Vec<(String, Vec<u64>)> = vec![
        ("token_embd.weight".into(), vec![WIDTH, vocab]),
        ("token_types.weight".into(), vec![WIDTH, 2]),
        ("position_embd.weight".into(), vec![WIDTH, CONTEXT]),
        ("token_embd_norm.weight".into(), vec![WIDTH]),
        ("token_embd_norm.bias".into(), vec![WIDTH]),
    ];
    for i in 0..LAYERS {
        for (name, width, rows) in [
            ("attn_q", WIDTH, WIDTH),
            ("attn_k", WIDTH, WIDTH),
            ("attn_v", WIDTH, WIDTH),
            ("attn_output", WIDTH, WIDTH),
            ("ffn_up", WIDTH, FEED_FORWARD),
            ("ffn_down", FEED_FORWARD, WIDTH),
        ] {
            all.push((format!("blk.{i}.{name}.weight"), vec![width, rows]));
            all.push((format!("blk.{i}.{name}.bias"), vec![rows]));
        }
        for name in ["attn_output_norm", "layer_output_norm"] {
            all.push((format!("blk.{i}.{name}.weight"), vec![WIDTH]));
            all.push((format!("blk.{i}.{name}.bias"), vec![WIDTH]));
        }
    }
    all.push(("cls.weight".into(), vec![WIDTH, WIDTH]));
    all.push(("cls.bias".into(), vec![WIDTH]));
    all.push(("cls.output.weight".into(), vec![WIDTH, 1]));
    all.push(("cls.output.bias".into(), vec![1]));
    all
}
