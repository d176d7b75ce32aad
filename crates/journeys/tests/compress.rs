//! Making a model smaller, as a person and as a script do it.

use std::fs;
use std::path::{Path, PathBuf};

use journeys::{Folder, Ran, bedplate, binary};
use serde_json::json;

/// Stories for a model of stories; any text does for what is not about quality.
const TEXT: &str = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. \
    One day, she saw a big red ball. She wanted to play with it, but it was in a tree. Her mom said she could help. ";

struct Place {
    binary: PathBuf,
    dir: Folder,
}

impl Place {
    /// With `model.gguf`, whose weights are F32, and `text.txt`.
    fn new() -> Option<Place> {
        let binary = binary()?;
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let file = "shared/data/models/stories260K/stories260K.gguf";
        let Some(model) = here.ancestors().map(|a| a.join(file)).find(|p| p.exists()) else {
            eprintln!("skipped: {file} is absent");
            return None;
        };
        let dir = Folder::new();
        fs::copy(model, dir.path().join("model.gguf")).expect("it can be copied");
        fs::write(dir.path().join("text.txt"), TEXT.repeat(12)).expect("it is ours");
        Some(Place { binary, dir })
    }
    /// A `bedplate model` command on files of this place, which are written as `@name`.
    fn run(&self, command: &str) -> Ran {
        let words: Vec<String> = ["model"]
            .into_iter()
            .chain(command.split(' '))
            .map(|w| w.strip_prefix('@').map_or(w.to_owned(), |n| self.path(n).display().to_string()))
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        bedplate(&self.binary, &words, &[], "")
    }
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).expect("it is ours");
        let mut names: Vec<String> =
            entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

#[test]
fn a_smaller_model_is_written_measured_and_served_as_json() {
    let Some(place) = Place::new() else { return };
    let made = place.run("quantize @model.gguf @small.gguf --to q8_0 --json").exits(0);
    assert_eq!(made.stderr, "", "progress is silent in a pipe");
    let made = made.json();
    assert_eq!(
        (&made["to"], &made["bound"], &made["bytes"]),
        (&json!("q8_0"), &json!("none"), &json!(344_256))
    );
    assert_eq!(made["tried"][0]["eval"], json!(null), "nothing was asked to be measured");
    let told = place.run("eval @model.gguf @small.gguf --text @text.txt").exits(0);
    assert!(told.stderr.is_empty() && !told.stdout.contains('\x1b'), "{told:#?}");
    for word in ["perplexity", "KL divergence", "same top token", "answer tok/s", "344.3 kB"] {
        assert!(told.stdout.contains(word), "no {word}: {told:#?}");
    }
    let q8 = place.run("eval @model.gguf @small.gguf --text @text.txt --context 128 --json").exits(0).json();
    place.run("quantize @model.gguf @small.gguf --to q4_0 --force").exits(0);
    let q4 = place.run("eval @model.gguf @small.gguf --text @text.txt --context 128 --json").exits(0).json();
    assert_eq!(q8["tokens"], q4["tokens"]);
    assert!(q8["kl_mean"].as_f64() < q4["kl_mean"].as_f64(), "{q8:#} {q4:#}");
    assert!(q8["size_ratio"].as_f64() > q4["size_ratio"].as_f64(), "{q8:#} {q4:#}");
    assert_eq!(place.files(), ["model.gguf", "small.gguf", "text.txt"], "nothing is left beside");
}

#[test]
fn auto_takes_the_smallest_within_the_limits_and_says_what_bound() {
    let Some(place) = Place::new() else { return };
    let auto = "quantize @model.gguf @auto.gguf --to auto --json --eval @text.txt";
    let lax = place.run(&format!("{auto} --kl-max 9")).exits(0).json();
    assert_eq!((&lax["to"], &lax["bound"]), (&json!("q4_0"), &json!("none")), "{lax:#}");
    let q4 = lax["tried"][0]["eval"]["kl_mean"].as_f64().expect("it was measured");
    let strict = place.run(&format!("{auto} --force --kl-max {}", q4 * 0.9)).exits(0).json();
    assert_eq!(
        (&strict["bound"], &strict["tried"][0]["verdict"]),
        (&json!("divergence"), &json!("diverges"))
    );
    assert_ne!(strict["to"], "q4_0", "{strict:#}");
    let length = fs::metadata(place.path("auto.gguf")).expect("it was written").len();
    assert_eq!(strict["bytes"], length);

    let nowhere = |limits: &str, says: &str| {
        let ran = place.run(&format!("{auto} --force {limits}")).exits(1);
        assert!(ran.stdout.is_empty() && ran.stderr.contains("CL0013"), "{ran:#?}");
        assert!(ran.stderr.contains(says), "{ran:#?}");
        assert_eq!(fs::metadata(place.path("auto.gguf")).expect("it stays").len(), length);
    };
    nowhere("--kl-max 0", "every type tried diverges");
    nowhere("--size-max 1KiB", "even the smallest type tried is over");
    nowhere("--size-max 270KiB --kl-max 0", "no type is within both");
    assert_eq!(place.files(), ["auto.gguf", "model.gguf", "text.txt"]);

    let one = place.run("quantize @model.gguf @one.gguf --to q4_0 --eval @text.txt --kl-max 0").exits(1);
    assert!(one.stderr.contains("CL0013") && !place.path("one.gguf").exists(), "{one:#?}");
    let important =
        place.run("quantize @model.gguf @one.gguf --to q5_k_m --imatrix @text.txt --json").exits(0).json();
    assert!(important["imatrix_tokens"].as_u64() > Some(500), "{important:#}");
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_is_written() {
    let Some(place) = Place::new() else { return };
    place.run("quantize @model.gguf @small.gguf --to q8_0").exits(0);
    fs::write(place.path("short.txt"), "Once upon a time").expect("it is ours");
    fs::write(place.path("bytes.txt"), [0xff; 100]).expect("it is ours");
    fs::write(place.path("web.gguf"), "<html>").expect("it is ours");
    let before = place.files();
    for (command, code) in [
        ("quantize @model.gguf @small.gguf --to q4_0", "CL0011"),
        ("quantize @model.gguf @model.gguf --to q4_0 --force", "CL0010"),
        ("quantize @small.gguf @x.gguf --to q4_0", "CL0012"),
        ("quantize @model.gguf @x.gguf --to auto", "CL0010"),
        ("quantize @model.gguf @x.gguf --to q4_0 --kl-max 1", "CL0010"),
        ("quantize @model.gguf @nowhere/x.gguf --to q4_0", "CL0004"),
        ("quantize @nothing.gguf @x.gguf --to q4_0", "EN0005"),
        ("quantize @web.gguf @x.gguf --to q4_0", "EN0005"),
        ("quantize @model.gguf @x.gguf --to auto --eval @nothing.txt", "CL0004"),
        ("quantize @model.gguf @x.gguf --to auto --eval @bytes.txt", "CL0004"),
        ("quantize @model.gguf @x.gguf --to auto --eval @short.txt", "EN0004"),
        ("quantize @model.gguf @x.gguf --to q4_0 --imatrix @short.txt", "EN0004"),
        ("eval @model.gguf @web.gguf --text @text.txt", "EN0005"),
        ("eval @model.gguf @small.gguf --text @short.txt", "EN0004"),
    ] {
        let ran = place.run(command).exits(1);
        assert!(
            ran.stderr.contains(&format!("error[{code}]")) && ran.stdout.is_empty(),
            "{command}: {ran:#?}"
        );
        let error = place.run(&format!("{command} --json")).exits(1).stderr;
        let error: serde_json::Value = serde_json::from_str(&error).expect("the error is JSON");
        assert_eq!(error["error"]["code"], code, "{command}");
    }
    for command in
        ["quantize @model.gguf @x.gguf", "quantize @model.gguf @x.gguf --to q1", "eval @model.gguf"]
    {
        place.run(command).exits(2);
    }
    assert_eq!(place.files(), before);
}
