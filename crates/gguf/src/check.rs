//! Values on which the C++ loader would end the process.
//!
//! llama.cpp reports most bad metadata as an error, but some only by
//! `GGML_ASSERT`, which aborts: one bad file would take every tenant down.
//! These are checked here first, with the loader's own bounds
//! (`llama_model_base::load_hparams` of the pinned version).

use crate::value::Value;
use crate::{Error, Header};

/// `LLAMA_MAX_LAYERS`.
const LAYERS_MAX: u64 = 512;
/// `LLAMA_MAX_EXPERTS`.
const EXPERTS_MAX: u64 = 512;
/// Per-sequence positions are `i32`, and a context of 16 M tokens is beyond any model.
const CONTEXT_MAX: u64 = 16 << 20;
/// 262,144 is eight times the widest published model; it keeps every product far from overflow.
const WIDTH_MAX: u64 = 1 << 18;
/// What `llama_vocab::impl::load` knows and can tokenize with.
const TOKENIZERS: [&str; 7] = ["llama", "gpt2", "gemma4", "bert", "t5", "rwkv", "plamo2"];
/// Templates of published models are at most 20 KB.
const TEMPLATE_MAX: usize = 256 << 10;

/// Checks a header as a language or embedding model that may be given to the loader.
pub fn check_model(header: &Header) -> Result<(), Error> {
    let arch = header.text("general.architecture").ok_or_else(|| missing("general.architecture"))?;
    if arch.is_empty() || arch.len() > 64 {
        return Err(bad("general.architecture", format!("\"{arch}\" is not a name")));
    }
    if header.text("general.type").is_some_and(|t| t != "model") {
        return Err(bad("general.type", "only models can be served, not adapters or projectors".into()));
    }
    let layers = range(header, "block_count", 1, LAYERS_MAX)?;
    let width = range(header, "embedding_length", 1, WIDTH_MAX)?;
    range(header, "context_length", 1, CONTEXT_MAX)?;
    per_layer(header, "attention.head_count", layers)?;
    per_layer(header, "attention.head_count_kv", layers)?;
    per_layer(header, "feed_forward_length", layers)?;
    heads(header, width)?;
    experts(header)?;
    if let Some(v) = header.of("rope.scaling.type") {
        let known = ["none", "linear", "yarn", "longrope"];
        if !v.as_str().is_some_and(|t| known.contains(&t)) {
            return Err(bad("rope.scaling.type", format!("{v:?} is none of {known:?}")));
        }
    }
    for key in ["rope.freq_base", "rope.scaling.factor", "attention.layer_norm_rms_epsilon"] {
        if header.of(key).and_then(Value::as_f64).is_some_and(|v| !v.is_finite() || v < 0.0) {
            return Err(bad(key, "it is not a finite positive number".into()));
        }
    }
    classifier(header, width)?;
    vocabulary(header)?;
    if header.template().is_some_and(|t| t.len() > TEMPLATE_MAX) {
        return Err(bad("tokenizer.chat_template", format!("it is over {TEMPLATE_MAX} bytes")));
    }
    if header.tensors.is_empty() {
        return Err(bad("general.architecture", "the file has no tensors".into()));
    }
    Ok(())
}

/// Query heads must be whole groups of key heads, and share the width.
fn heads(header: &Header, width: u64) -> Result<(), Error> {
    let Some(value) = header.of("attention.head_count") else {
        return Ok(()); // recurrent models have none
    };
    if matches!(value, Value::Array(_)) {
        return Ok(()); // per layer: zero marks a layer without attention, the loader checks shapes
    }
    let heads = value.as_u64().unwrap_or(0);
    if heads == 0 || heads > width {
        return Err(bad("attention.head_count", format!("{heads} heads over a width of {width}")));
    }
    if let Some(Value::Array(_)) = header.of("attention.head_count_kv") {
        return Ok(());
    }
    let groups = header.number("attention.head_count_kv").unwrap_or(heads);
    if groups == 0 || !heads.is_multiple_of(groups) {
        return Err(bad("attention.head_count_kv", format!("{heads} heads are not groups of {groups}")));
    }
    for key in ["attention.key_length", "attention.value_length", "rope.dimension_count"] {
        if header.number(key).is_some_and(|n| n == 0 || n > WIDTH_MAX) {
            return Err(bad(key, "it is zero or absurd".into()));
        }
    }
    // The rotation works on pairs.
    let head = header.number("attention.key_length").unwrap_or(width / heads);
    let rotated = header.number("rope.dimension_count").unwrap_or(head);
    if rotated > head || !rotated.is_multiple_of(2) {
        return Err(bad("rope.dimension_count", format!("{rotated} of a head of {head}")));
    }
    Ok(())
}

/// A ranking model's head. One number is read of each text for each label, from
/// a row that is as wide as the model where there is no output layer.
fn classifier(header: &Header, width: u64) -> Result<(), Error> {
    const LABELS: &str = "classifier.output_labels";
    let Some(value) = header.of(LABELS) else { return Ok(()) };
    let labels = value.as_array().map_or(0, |a| a.len);
    let has_output = header.tensors.iter().any(|t| t.name == "cls.output.weight");
    if labels == 0 || labels > WIDTH_MAX || (labels > width && !has_output) {
        return Err(bad(LABELS, format!("{labels} labels for a width of {width}")));
    }
    Ok(())
}

fn experts(header: &Header) -> Result<(), Error> {
    let experts = header.number("expert_count").unwrap_or(0);
    let used = header.number("expert_used_count").unwrap_or(0);
    let groups = header.number("expert_group_count").unwrap_or(0);
    let groups_used = header.number("expert_group_used_count").unwrap_or(0);
    if experts > EXPERTS_MAX {
        return Err(bad("expert_count", format!("{experts} is over {EXPERTS_MAX}")));
    }
    if used > experts || (experts > 0) != (used > 0) {
        return Err(bad("expert_used_count", format!("{used} of {experts} experts")));
    }
    let grouped = groups > 1;
    if (groups > 0 && groups >= experts)
        || (grouped && (!experts.is_multiple_of(groups) || !(1..groups).contains(&groups_used)))
    {
        return Err(bad("expert_group_count", format!("{groups} groups of {experts} experts")));
    }
    Ok(())
}

fn vocabulary(header: &Header) -> Result<(), Error> {
    const TOKENS: &str = "tokenizer.ggml.tokens";
    let model = header.text("tokenizer.ggml.model").ok_or_else(|| missing("tokenizer.ggml.model"))?;
    if !TOKENIZERS.contains(&model) {
        return Err(bad("tokenizer.ggml.model", format!("\"{model}\" is none of {TOKENIZERS:?}")));
    }
    let tokens = header.get(TOKENS).and_then(Value::as_array).ok_or_else(|| missing(TOKENS))?;
    if tokens.kind != 8 || tokens.len == 0 || tokens.len > 4 << 20 {
        return Err(bad(TOKENS, format!("{} elements of type {}", tokens.len, tokens.kind)));
    }
    // The loader aborts when it meets a byte in these.
    if matches!(model, "bert" | "rwkv") && header.byte_typed > 0 {
        return Err(bad("tokenizer.ggml.token_type", format!("a \"{model}\" vocabulary has no byte tokens")));
    }
    // It asserts that a token which it is told to add exists.
    for (name, default) in [
        ("bos", matches!(model, "llama" | "gpt2" | "plamo2" | "bert")),
        ("eos", model != "rwkv"),
        ("seperator", model == "bert"),
    ] {
        let id = header.get(&format!("tokenizer.ggml.{name}_token_id")).and_then(Value::as_u64);
        let flag = format!("tokenizer.ggml.add_{}_token", if name == "seperator" { "sep" } else { name });
        let wanted = model == "bert" || header.get(&flag).and_then(Value::as_bool) == Some(true);
        let known = id.map_or(default, |id| id < tokens.len);
        if wanted && !known && (model != "bert" || name != "eos") {
            return Err(bad(&flag, format!("there is no {name} token")));
        }
    }
    // Text that no token covers falls back to bytes, and the loader throws on one that is missing.
    if model == "llama" && header.byte_tokens < 256 {
        return Err(bad(TOKENS, format!("only {} of 256 bytes have a token", header.byte_tokens)));
    }
    for key in ["tokenizer.ggml.scores", "tokenizer.ggml.token_type"] {
        let Some(v) = header.get(key) else { continue };
        if v.as_array().is_none_or(|a| a.len != tokens.len) {
            return Err(bad(key, format!("it does not have one element for each of {} tokens", tokens.len)));
        }
    }
    for (key, value) in &header.meta {
        let named = key.starts_with("tokenizer.ggml.") && key.ends_with("_token_id");
        // All ones is how some converters write "none".
        let none = u64::from(u32::MAX);
        if named && value.as_u64().is_none_or(|id| id >= tokens.len && id != none) {
            return Err(bad(key, format!("{value:?} is not one of {} tokens", tokens.len)));
        }
    }
    let embeddings = header.tensors.iter().find(|t| t.name == "token_embd.weight");
    if let Some(t) = embeddings {
        let rows = t.dims.get(1).copied().unwrap_or(1);
        if rows != tokens.len {
            return Err(bad(TOKENS, format!("{} tokens, but token_embd.weight has {rows} rows", tokens.len)));
        }
    }
    Ok(())
}

fn range(header: &Header, key: &str, min: u64, max: u64) -> Result<u64, Error> {
    let full = format!("{}.{key}", header.arch());
    let value = header.get(&full).ok_or_else(|| missing(&full))?;
    match value.as_u64() {
        Some(n) if (min..=max).contains(&n) => Ok(n),
        _ => Err(bad(&full, format!("{value:?} is outside {min} to {max}"))),
    }
}

/// A setting that is one number, or one for each layer.
fn per_layer(header: &Header, key: &str, layers: u64) -> Result<(), Error> {
    let Some(Value::Array(a)) = header.of(key) else { return Ok(()) };
    if a.len != layers || a.numbers.iter().any(|n| *n < 0.0 || *n > WIDTH_MAX as f64) {
        return Err(bad(key, format!("{} elements for {layers} layers, or one out of range", a.len)));
    }
    Ok(())
}

fn bad(key: &str, why: String) -> Error {
    Error::Meta { key: key.to_owned(), why }
}
fn missing(key: &str) -> Error {
    Error::Missing(key.to_owned())
}
