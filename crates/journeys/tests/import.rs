//! A Hugging Face folder becomes a model that embeds.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use journeys::{Setup, binary};
use serde_json::{Value, json};
use testkit::Ask;

const WIDTH: usize = 32;
const LAYERS: usize = 2;
const POSITIONS: usize = 64;

/// Random weights of BERT's shape, small: what matters is that all of it arrives.
fn folder(at: &Path) {
    fs::create_dir_all(at.join("1_Pooling")).expect("a folder");
    let mut pieces: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from).into();
    for letter in 'a'..='z' {
        pieces.extend([letter.to_string(), format!("##{letter}")]);
    }
    fs::write(at.join("vocab.txt"), pieces.join("\n") + "\n").expect("written");
    let config = json!({
        "model_type": "bert", "architectures": ["BertModel"], "hidden_act": "gelu", "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS, "num_attention_heads": 4, "intermediate_size": WIDTH * 2,
        "max_position_embeddings": POSITIONS, "type_vocab_size": 2, "vocab_size": pieces.len()
    });
    fs::write(at.join("config.json"), config.to_string()).expect("written");
    let pooling = json!({"pooling_mode_mean_tokens": true});
    fs::write(at.join("1_Pooling/config.json"), pooling.to_string()).expect("written");

    let mut tensors: BTreeMap<String, Vec<usize>> = BTreeMap::from([
        ("embeddings.word_embeddings.weight".into(), vec![pieces.len(), WIDTH]),
        ("embeddings.token_type_embeddings.weight".into(), vec![2, WIDTH]),
        ("embeddings.position_embeddings.weight".into(), vec![POSITIONS, WIDTH]),
    ]);
    let mut norm = |name: String| {
        tensors.insert(format!("{name}.weight"), vec![WIDTH]);
        tensors.insert(format!("{name}.bias"), vec![WIDTH]);
    };
    norm("embeddings.LayerNorm".into());
    for layer in 0..LAYERS {
        norm(format!("encoder.layer.{layer}.attention.output.LayerNorm"));
        norm(format!("encoder.layer.{layer}.output.LayerNorm"));
    }
    for layer in 0..LAYERS {
        for (name, rows, width) in [
            ("attention.self.query", WIDTH, WIDTH),
            ("attention.self.key", WIDTH, WIDTH),
            ("attention.self.value", WIDTH, WIDTH),
            ("attention.output.dense", WIDTH, WIDTH),
            ("intermediate.dense", WIDTH * 2, WIDTH),
            ("output.dense", WIDTH, WIDTH * 2),
        ] {
            tensors.insert(format!("encoder.layer.{layer}.{name}.weight"), vec![rows, width]);
            tensors.insert(format!("encoder.layer.{layer}.{name}.bias"), vec![rows]);
        }
    }
    let (mut header, mut data, mut state) = (serde_json::Map::new(), Vec::new(), 1u64);
    for (name, shape) in tensors {
        let from = data.len();
        for _ in 0..shape.iter().product::<usize>() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let unit = (state >> 40) as f32 / (1 << 24) as f32 - 0.5;
            let value = if name.ends_with("LayerNorm.weight") { 1.0 + unit / 4.0 } else { unit };
            data.extend(value.to_le_bytes());
        }
        header.insert(name, json!({"dtype": "F32", "shape": shape, "data_offsets": [from, data.len()]}));
    }
    let header = Value::Object(header).to_string();
    let whole = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat();
    fs::write(at.join("model.safetensors"), whole).expect("written");
}

#[test]
fn a_folder_is_imported_checked_and_served() {
    let Some(binary) = binary() else { return };
    let world = Setup::new(binary).with_engine().begin();
    let source = world.folder.path().join("tiny-bert");
    folder(&source);
    let (source, data) = (source.display().to_string(), world.server.data().display().to_string());
    let import = |more: &[&str]| world.run(&[&["model", "import", &source, "--data", &data], more].concat());
    let made = import(&["--json"]).exits(0).json();
    assert_eq!(
        (&made["dimensions"], &made["context_tokens"]),
        (&json!(WIDTH), &json!(POSITIONS)),
        "{made:#}"
    );
    assert_eq!((&made["file"], &made["pooling"]), (&json!("tiny-bert.gguf"), &json!("mean")), "{made:#}");
    assert!(made["repeated_cosine_min"].as_f64().is_some_and(|c| c > 0.999_999), "{made:#}");
    assert!(import(&[]).exits(1).stderr.contains("CL0011"), "what is there is not replaced");

    world.apply(
        "apiVersion: bedplate/v1\nkind: Model\nmetadata: { name: tiny }\n\
         spec: { targets: [ { local: { file: tiny-bert.gguf } } ] }\n",
    );
    let texts = ["a pump", "Moves Water"];
    let body = json!({"model": "tiny", "input": texts});
    let told = world.send(&Ask::json("/v1/embeddings", &body).key(&world.admin)).json();
    let vectors: Vec<&Value> = (0..2).map(|n| &told["data"][n]["embedding"]).collect();

    // A reference that holds, in other letters of the same words; and one that does not.
    let reference = world.folder.path().join("reference.json");
    let other = world.folder.path().join("other.gguf").display().to_string();
    let with = |text: Value| {
        fs::write(&reference, text.to_string()).expect("written");
        import(&["--reference", &reference.display().to_string(), "-o", &other, "--json"])
    };
    let wrong = with(json!({texts[0]: vectors[1]})).exits(1);
    assert!(wrong.stdout.contains("IM0002") || wrong.stderr.contains("IM0002"), "{wrong:?}");
    let left: Vec<String> = world.folder.files().iter().map(|(path, _)| path.display().to_string()).collect();
    assert!(left.iter().all(|path| !path.contains("other.gguf")), "nothing is left of it: {left:?}");
    let holds = with(json!({texts[0]: vectors[0], "moves  WATER": vectors[1]})).exits(0).json();
    assert_eq!(holds["reference"]["texts"], json!(2), "{holds:#}");
    assert!(holds["reference"]["cosine_min"].as_f64().is_some_and(|c| c > 0.999), "{holds:#}");

    // Rounded weights make nearly the same vectors, of the whole ones and of the reference.
    let smaller = world.folder.path().join("smaller.gguf").display().to_string();
    let reference = reference.display().to_string();
    for kind in ["bf16", "q8_0"] {
        let rounded = import(&["--to", kind, "-o", &smaller, "--force", "--json", "--reference", &reference]);
        let rounded = rounded.exits(0).json();
        assert!(rounded["bytes"].as_u64() < made["bytes"].as_u64(), "{rounded:#}");
        for beside in ["rounded", "reference"] {
            let cosine = rounded[beside]["cosine_min"].as_f64().expect("it was compared");
            assert!((0.999..0.999_999_99).contains(&cosine), "{kind}: {rounded:#}");
        }
    }
    let left: Vec<String> = world.folder.files().iter().map(|(path, _)| path.display().to_string()).collect();
    assert!(left.iter().all(|path| !path.contains(".part")), "nothing is left of the way: {left:?}");

    fs::write(Path::new(&source).join("config.json"), r#"{"model_type": "roberta"}"#).expect("written");
    let refused = import(&["--force"]).exits(1);
    assert!(refused.stderr.contains("IM0001") && refused.stderr.contains("roberta"), "{refused:?}");
    world.is_sound();
}
