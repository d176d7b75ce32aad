//! Folders made here, as small as they can be, and broken in every way.

use std::io::Cursor;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{Header, check_model};

const WIDTH: u64 = 4;

fn config() -> Value {
    json!({
        "model_type": "bert", "architectures": ["BertModel"], "hidden_act": "gelu", "hidden_size": WIDTH,
        "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8,
        "max_position_embeddings": 16, "type_vocab_size": 2, "vocab_size": 9, "layer_norm_eps": 1e-12
    })
}

const VOCABULARY: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n##s\na\n";

/// The weights of `config`, each number its place among all.
fn weights(kind: &str) -> Vec<u8> {
    let config = config::read(&Folder { config: config().to_string().as_bytes(), ..Folder::default() });
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    let mut n = 0;
    for (_, path, shape) in wanted(&config.expect("sound")) {
        let from = data.len();
        for _ in 0..shape.iter().product::<u64>() {
            n += 1;
            match kind {
                "F32" => data.extend((n as f32).to_le_bytes()),
                // 1.0 and 2.0 by turns.
                "F16" => data.extend((0x3C00u16 + 0x400 * (n % 2)).to_le_bytes()),
                _ => data.extend((0x3F80u16).to_le_bytes()),
            }
        }
        // Names below `bert.` are of models with a head.
        header.insert(
            format!("bert.{path}"),
            json!({"dtype": kind, "shape": shape, "data_offsets": [from, data.len()]}),
        );
    }
    header.insert("__metadata__".into(), json!({"format": "pt"}));
    file(&Value::Object(header), &data)
}

fn file(header: &Value, data: &[u8]) -> Vec<u8> {
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn read_file(bytes: &[u8]) -> Result<Safetensors, Error> {
    Safetensors::read(bytes, bytes.len() as u64)
}

fn written(kind: &str) -> (Plan, Vec<u8>) {
    let (config, source) = (config().to_string(), weights(kind));
    let folder = Folder {
        name: "tiny",
        config: config.as_bytes(),
        vocabulary: Some(VOCABULARY.as_bytes()),
        ..Folder::default()
    };
    let plan = plan(&folder, &read_file(&source).expect("sound")).expect("it is imported");
    let (mut out, mut bytes) = (Vec::new(), 0);
    plan.write(&mut Cursor::new(&source), &mut out, |n| bytes += n).expect("written");
    assert_eq!(bytes, plan.bytes);
    (plan, out)
}

#[test]
fn a_folder_becomes_a_file_that_may_be_loaded() {
    let (plan, out) = written("F32");
    assert_eq!((plan.dimensions, plan.context, plan.pooling, plan.notes.len()), (4, 16, "mean", 2));
    let header = Header::read(&out[..], out.len() as u64).expect("a GGUF file");
    check_model(&header).expect("the loader takes it");
    let first = header.tensors.iter().find(|t| t.name == "token_embd.weight").expect("it is there");
    assert_eq!((first.dims.as_slice(), first.kind.name), (&[WIDTH, 9][..], "F32"));
    let at = (header.data_start + first.offset) as usize;
    assert_eq!(out[at..at + 8], [1f32.to_le_bytes(), 2f32.to_le_bytes()].concat());
    let text = String::from_utf8_lossy(&out);
    // A word's beginning is marked, its continuation is not; the row without a token has one.
    assert!(text.contains("\u{2581}the") && !text.contains("##s") && text.contains("[PAD8]"));
    assert_eq!(header.number("pooling_type"), Some(1));
}

#[test]
fn halves_stay_halves_in_matrices_and_are_exact_elsewhere() {
    let (_, out) = written("F16");
    let header = Header::read(&out[..], out.len() as u64).expect("a GGUF file");
    check_model(&header).expect("the loader takes it");
    let kind = |name: &str| header.tensors.iter().find(|t| t.name == name).expect("it is there").kind.name;
    assert_eq!((kind("blk.0.ffn_up.weight"), kind("blk.0.ffn_up.bias")), ("F16", "F32"));
    let (_, out) = written("BF16");
    let header = Header::read(&out[..], out.len() as u64).expect("a GGUF file");
    assert!(header.tensors.iter().all(|t| t.kind.name == "F32"));
    for (bits, value) in [(0x3C00, 1.0), (0xC000, -2.0), (0x0001, 5.960_464_5e-8), (0x7BFF, 65_504.0)] {
        assert_eq!(half(bits), value);
    }
    assert!(half(0x7C00).is_infinite() && half(0x7C01).is_nan());
}

#[test]
fn a_tokenizer_is_read_like_a_vocabulary_of_lines() {
    let vocab: serde_json::Map<String, Value> =
        VOCABULARY.lines().enumerate().map(|(id, line)| (line.to_owned(), json!(id))).collect();
    let tokenizer = json!({
        "normalizer": {"type": "BertNormalizer", "lowercase": true, "strip_accents": null,
            "handle_chinese_chars": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "added_tokens": [{"id": 0, "content": "[PAD]"}, {"id": 8, "content": "[new]"}],
        "model": {"type": "WordPiece", "continuing_subword_prefix": "##", "vocab": vocab}
    });
    let read = |tokenizer: &Value| {
        let text = tokenizer.to_string();
        vocabulary::read(&Folder { tokenizer: Some(text.as_bytes()), ..Folder::default() })
    };
    let of_lines = vocabulary::read(&Folder { vocabulary: Some(VOCABULARY.as_bytes()), ..Folder::default() })
        .expect("sound");
    let of_json = read(&tokenizer).expect("sound");
    assert_eq!(of_json.tokens[..8], of_lines.tokens);
    assert_eq!((of_json.tokens[8].as_str(), of_json.cls, of_json.strip_accents), ("[new]", 2, true));
    for (path, value) in [
        ("/model/type", json!("BPE")),
        ("/normalizer/type", json!("NFC")),
        ("/pre_tokenizer/type", json!("Whitespace")),
        ("/model/vocab/the", json!(6)),
        ("/model/vocab/the", json!(-1)),
        ("/added_tokens/1/id", json!(99)),
    ] {
        let mut broken = tokenizer.clone();
        *broken.pointer_mut(path).expect("it is there") = value;
        assert!(read(&broken).is_err(), "{path}");
    }
}

#[test]
fn what_would_be_computed_otherwise_is_refused() {
    let tensors = read_file(&weights("F32")).expect("sound");
    let check = |config: Value, pooling: Option<Value>, modules: Option<Value>, word: &str| {
        let (config, pooling) = (config.to_string(), pooling.map(|p| p.to_string()));
        let modules = modules.map(|m| m.to_string());
        let folder = Folder {
            config: config.as_bytes(),
            vocabulary: Some(VOCABULARY.as_bytes()),
            pooling: pooling.as_deref().map(str::as_bytes),
            modules: modules.as_deref().map(str::as_bytes),
            ..Folder::default()
        };
        let why = plan(&folder, &tensors).expect_err(word).to_string();
        assert!(why.contains(word), "{why}");
    };
    let with = |key: &str, value: Value| {
        let mut config = config();
        config[key] = value;
        config
    };
    for (key, value) in [
        ("model_type", json!("xlm-roberta")),
        ("architectures", json!(["BertForSequenceClassification"])),
        ("position_embedding_type", json!("relative_key")),
        ("hidden_act", json!("relu")),
        ("hidden_size", json!(0)),
        ("num_attention_heads", json!(3)),
        ("layer_norm_eps", json!(2)),
        ("num_hidden_layers", json!(1u64 << 40)),
    ] {
        check(with(key, value), None, None, "");
    }
    check(with("num_hidden_layers", json!(2)), None, None, "there is no tensor");
    check(with("intermediate_size", json!(16)), None, None, "by config.json");
    check(with("vocab_size", json!(5)), None, None, "8 tokens");
    let max = json!({"pooling_mode_max_tokens": true, "pooling_mode_mean_tokens": true});
    check(config(), Some(max), None, "pools otherwise");
    let dense = json!([{"type": "sentence_transformers.models.Dense"}]);
    check(config(), None, Some(dense), "Dense");
}

#[test]
fn a_weight_that_is_no_number_ends_the_import() {
    let mut source = weights("F32");
    let end = source.len();
    source[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let config = config().to_string();
    let folder =
        Folder { config: config.as_bytes(), vocabulary: Some(VOCABULARY.as_bytes()), ..Folder::default() };
    let plan = plan(&folder, &read_file(&source).expect("sound")).expect("it is imported");
    let error = plan.write(&mut Cursor::new(&source), &mut Vec::new(), |_| {}).expect_err("it has a NaN");
    assert!(error.to_string().contains("NaN"), "{error}");
}

#[test]
fn places_that_lie_are_refused() {
    let row = |shape: Value, offsets: Value| json!({"dtype": "F32", "shape": shape, "data_offsets": offsets});
    let check = |header: &Value, word: &str| {
        let why = read_file(&file(header, &[0; 16])).expect_err(word).to_string();
        assert!(why.contains(word), "{why}");
    };
    check(&json!({"a": row(json!([4]), json!([0, 32]))}), "bytes 0 to 32 of 16");
    check(&json!({"a": row(json!([4]), json!([16, 0]))}), "bytes 16 to 0");
    check(&json!({"a": row(json!([3]), json!([0, 16]))}), "16 bytes for [3]");
    check(&json!({"a": row(json!([1u64 << 62, 4]), json!([0, 0]))}), "0 bytes for");
    check(&json!({"a": row(json!([2]), json!([0, 8])), "b": row(json!([2]), json!([4, 12]))}), "share");
    check(&json!({"a": {"dtype": "F4", "shape": [], "data_offsets": [0, 0]}}), "type \"F4\"");
    check(&json!([1]), "its header");
    let twice = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    let bytes = [&(twice.len() as u64).to_le_bytes(), twice.as_bytes(), &[0; 8]].concat();
    assert!(read_file(&bytes).expect_err("twice").to_string().contains("appears twice"));
    for bytes in [&b""[..], b"1234567", &u64::MAX.to_le_bytes(), &9u64.to_le_bytes()] {
        assert!(read_file(bytes).is_err());
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..400, bit in 0u8..8) {
        let _ = read_file(&bytes);
        let mut flipped = weights("F32");
        flipped[at] ^= 1 << bit;
        if let Ok(tensors) = read_file(&flipped) {
            let text = config().to_string();
            let folder = Folder {
                config: text.as_bytes(),
                vocabulary: Some(VOCABULARY.as_bytes()),
                ..Folder::default()
            };
            let _ = plan(&folder, &tensors);
            let _ = plan(&Folder { config: &bytes, tokenizer: Some(&bytes), ..folder }, &tensors);
        }
    }
}
