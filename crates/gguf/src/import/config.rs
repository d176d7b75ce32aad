//! What a folder says of its model: `config.json`, `modules.json`, `1_Pooling/config.json`.

use serde_json::Value;

use super::{Error, Folder};

/// Sizes at most, far above any published encoder: they keep products small.
const LAYERS_MAX: u64 = 512;
const WIDTH_MAX: u64 = 65_536;
const POSITIONS_MAX: u64 = 1 << 20;

/// An encoder of BERT's shape.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub layers: u64,
    pub width: u64,
    pub heads: u64,
    pub feed_forward: u64,
    pub positions: u64,
    pub token_types: u64,
    pub vocabulary: u64,
    pub epsilon: f32,
    pub pooling: Pooling,
    /// What its folder does not say, and what was taken instead.
    pub notes: Vec<String>,
}

/// How the vectors of a text's tokens become one. The numbers are the format's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pooling {
    Mean = 1,
    Cls = 2,
}

pub(super) fn read(folder: &Folder<'_>) -> Result<Config, Error> {
    let config = json("config.json", folder.config)?;
    architecture(&config)?;
    let number = |key: &str, max: u64| {
        let value = config[key].as_u64().filter(|n| (1..=max).contains(n));
        value.ok_or_else(|| wrong("config.json", format!("{key} is {}", short(&config[key]))))
    };
    let (width, heads) = (number("hidden_size", WIDTH_MAX)?, number("num_attention_heads", WIDTH_MAX)?);
    // Even parts: the loader's check of models asks for pairs, whatever their positions.
    if !width.is_multiple_of(heads) || !(width / heads).is_multiple_of(2) {
        return Err(wrong("config.json", format!("{heads} heads do not share a width of {width}")));
    }
    let epsilon = config["layer_norm_eps"].as_f64().unwrap_or(1e-12);
    if !(0.0..1.0).contains(&epsilon) {
        return Err(wrong("config.json", format!("layer_norm_eps is {epsilon}")));
    }
    let mut notes = Vec::new();
    modules(folder, &mut notes)?;
    Ok(Config {
        layers: number("num_hidden_layers", LAYERS_MAX)?,
        width,
        heads,
        feed_forward: number("intermediate_size", WIDTH_MAX * 8)?,
        positions: number("max_position_embeddings", POSITIONS_MAX)?,
        token_types: number("type_vocab_size", 64)?,
        vocabulary: number("vocab_size", super::TOKENS_MAX as u64)?,
        epsilon: epsilon as f32,
        pooling: pooling(folder, &mut notes)?,
        notes,
    })
}

/// What would be computed otherwise here than where the model comes from is refused.
fn architecture(config: &Value) -> Result<(), Error> {
    let refuse = |why: String| Err(Error::Unsupported(why));
    let kind = config["model_type"].as_str().unwrap_or("bert");
    if kind != "bert" {
        return refuse(format!("its architecture is \"{kind:.40}\"; \"bert\" is imported"));
    }
    let heads = config["architectures"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let Some(head) = heads.into_iter().find(|a| a.contains("Classification") || a.contains("Answering")) {
        return refuse(format!("it is a \"{head:.60}\", which makes no vectors"));
    }
    let positions = config["position_embedding_type"].as_str().unwrap_or("absolute");
    if positions != "absolute" {
        return refuse(format!("its positions are \"{positions:.40}\"; \"absolute\" ones are imported"));
    }
    let activation = config["hidden_act"].as_str().unwrap_or("gelu");
    if !["gelu", "gelu_new", "gelu_pytorch_tanh"].contains(&activation) {
        return refuse(format!("its activation is \"{activation:.40}\"; \"gelu\" is imported"));
    }
    if config["is_decoder"].as_bool() == Some(true) {
        return refuse("it is a decoder".into());
    }
    Ok(())
}

/// The steps behind the encoder. Vectors are made as long as 1 in any case.
fn modules(folder: &Folder<'_>, notes: &mut Vec<String>) -> Result<(), Error> {
    let Some(bytes) = folder.modules else {
        notes.push("modules.json is absent: pooling and a length of 1 are taken for all there is".into());
        return Ok(());
    };
    let modules = json("modules.json", bytes)?;
    let modules = modules.as_array().ok_or_else(|| wrong("modules.json", "it is no list".into()))?;
    for module in modules {
        let kind = module["type"].as_str().unwrap_or_default().rsplit('.').next().unwrap_or_default();
        if !["Transformer", "Pooling", "Normalize"].contains(&kind) {
            return Err(Error::Unsupported(format!("its module \"{kind:.40}\" changes the vectors")));
        }
    }
    Ok(())
}

fn pooling(folder: &Folder<'_>, notes: &mut Vec<String>) -> Result<Pooling, Error> {
    let Some(bytes) = folder.pooling else {
        notes.push("1_Pooling/config.json is absent: the mean of the tokens is taken".into());
        return Ok(Pooling::Mean);
    };
    let pooling = json("1_Pooling/config.json", bytes)?;
    let set = |key: &str| pooling[key].as_bool() == Some(true);
    let others = [
        "pooling_mode_max_tokens",
        "pooling_mode_mean_sqrt_len_tokens",
        "pooling_mode_weightedmean_tokens",
        "pooling_mode_lasttoken",
    ];
    match (set("pooling_mode_mean_tokens"), set("pooling_mode_cls_token"), others.iter().any(|k| set(k))) {
        (true, false, false) => Ok(Pooling::Mean),
        (false, true, false) => Ok(Pooling::Cls),
        _ => Err(Error::Unsupported("it pools otherwise than by the mean or by the first token".into())),
    }
}

pub(super) fn json(name: &'static str, bytes: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(bytes).map_err(|e| wrong(name, e.to_string()))
}

fn wrong(file: &'static str, why: String) -> Error {
    Error::File { file, why }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    text.chars().take(40).collect()
}
