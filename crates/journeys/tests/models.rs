//! Many local models in one process: memory for one of two, models that go and
//! come back, files that change under them, and what `/readyz` says of it.

use std::path::{Path, PathBuf};
use std::{fs, thread};

use journeys::{Folder, Setup, World, binary, eventually};
use serde_json::{Value, json};
use testkit::Ask;

/// A world whose `models` folder has the repository's model under other names.
struct Shelf {
    world: World,
    data: PathBuf,
    #[expect(dead_code, reason = "removed when the world is gone")]
    folder: Folder,
}

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/guide/bedplate-guide.q8_0.gguf");

fn guide() -> Vec<u8> {
    fs::read(GUIDE).expect("the repository holds its model")
}

/// Puts a file there at once, as `bedplate model pull` does.
fn put(data: &Path, name: &str, bytes: &[u8]) {
    let beside = data.join("models").join(".beside");
    fs::write(&beside, bytes).expect("write a file");
    fs::rename(beside, data.join("models").join(name)).expect("rename a file");
}

impl Shelf {
    /// `one` and `two` are models of this repository's own file; the built-in one is
    /// replaced by a declared one that nobody asks for, so that it takes no memory.
    fn new(binary: &Path, memory: Option<u64>) -> Shelf {
        let folder = Folder::new();
        let data = folder.path().join("data");
        fs::create_dir_all(data.join("models")).expect("make a folder");
        for name in ["one.gguf", "two.gguf"] {
            put(&data, name, &guide());
        }
        let config = folder.path().join("models.yaml");
        let models = [model("one", "one.gguf", ""), model("two", "two.gguf", "")].concat();
        fs::write(&config, models + &model("bedplate-guide", "one.gguf", "")).expect("write a file");
        let mut setup = Setup::new(binary).with_engine().data(&data);
        setup = setup.arg(&format!("--config={}", config.display())).arg("--engine-swap-wait=1");
        if let Some(bytes) = memory {
            setup = setup.arg(&format!("--engine-memory={bytes}"));
        }
        Shelf { world: setup.begin(), data, folder }
    }
    fn memory(&self, name: &str) -> Value {
        let listed = self.world.show("/api/v1/models");
        let model = listed["data"].as_array().into_iter().flatten().find(|m| m["name"] == name);
        model.unwrap_or_else(|| panic!("no model {name} in {listed}"))["targets"][0]["memory"].clone()
    }
    fn totals(&self) -> Value {
        self.world.show("/api/v1/status")["engine_memory"].clone()
    }
    fn ask(&self, name: &str, tokens: u32, stream: bool) -> Ask {
        let body = json!({"model": name, "stream": stream, "max_tokens": tokens, "temperature": 1.9, "seed": 7,
            "logit_bias": {"2": -100}, "messages": [{"role": "user", "content": "What is a budget?"}]});
        Ask::json("/v1/chat/completions", &body).key(&self.world.admin)
    }
    fn ready(&self) -> (u16, String) {
        self.world.server.get("/readyz").expect("reach the server")
    }
}

fn model(name: &str, file: &str, more: &str) -> String {
    format!(
        "---\napiVersion: bedplate/v1\nkind: Model\nmetadata: {{ name: {name} }}\n\
         spec: {{ targets: [ {{ local: {{ file: {file}, contextTokens: 256 {more} }} }} ] }}\n"
    )
}

/// What one such model takes.
fn need(binary: &Path) -> u64 {
    let shelf = Shelf::new(binary, None);
    assert_eq!(shelf.memory("one")["state"], "unloaded");
    assert_eq!(shelf.totals()["used_bytes"], 0, "nothing is loaded that nobody asked for");
    shelf.memory("one")["bytes"].as_u64().expect("a number")
}

#[test]
fn two_models_share_memory_for_one() {
    let Some(binary) = binary() else { return };
    let budget = need(&binary) * 3 / 2;
    let shelf = Shelf::new(&binary, Some(budget));
    for round in 1..=4 {
        for name in ["one", "two"] {
            let answer = shelf.world.send(&shelf.ask(name, 4, false));
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.json()["model"], name);
        }
        let totals = shelf.totals();
        assert_eq!(totals["loads"], round * 2, "each swap is for somebody: {totals}");
        assert!(totals["used_bytes"].as_u64() <= Some(budget), "{totals}");
    }
    let listed = shelf.world.run(&["model", "list"]).exits(0).stdout;
    let line = |name: &str| listed.lines().find(|l| l.starts_with(name)).unwrap_or_default().to_owned();
    assert!(line("one ").contains("unloaded") && line("two ").contains("idle, last used"), "{listed}");

    // At once, both busy: nobody is refused, and they are not swapped for each request.
    let before = shelf.totals()["loads"].as_u64().expect("a number");
    let answers = thread::scope(|scope| {
        let shelf = &shelf;
        let running: Vec<_> = (0..24)
            .map(|n| scope.spawn(move || shelf.world.send(&shelf.ask(["one", "two"][n % 2], 8, n % 3 == 0))))
            .collect();
        running.into_iter().map(|r| r.join().expect("the request")).collect::<Vec<_>>()
    });
    for answer in &answers {
        assert!(answer.status == 200 && answer.whole, "{answer:?}");
        assert_eq!(shelf.world.record_of(answer)["outcome"], "completed");
    }
    let swaps = shelf.totals()["loads"].as_u64().expect("a number") - before;
    assert!(swaps <= 12, "{swaps} loads for 24 requests");
    shelf.world.check_books();
    shelf.world.is_sound();
}

#[test]
fn a_model_that_never_fits_is_refused_with_both_numbers() {
    let Some(binary) = binary() else { return };
    let need = need(&binary);
    let shelf = Shelf::new(&binary, Some(need - 1));
    let answer = shelf.world.send(&shelf.ask("one", 4, false));
    assert_eq!(answer.header("bedplate-error"), Some("EN0006"), "{answer:?}");
    assert!(answer.body.contains(&need.to_string()) && answer.body.contains(&(need - 1).to_string()));
    assert_eq!(shelf.memory("one")["state"], "failed");
    shelf.world.is_sound();
}

#[test]
fn an_idle_model_goes_after_its_keep_alive_and_comes_back_when_asked() {
    let Some(binary) = binary() else { return };
    let shelf = Shelf::new(&binary, None);
    shelf.world.apply(&model("one", "one.gguf", ", keepAlive: 0s"));
    for loads in 1..=3 {
        assert_eq!(shelf.world.send(&shelf.ask("one", 4, loads == 2)).status, 200);
        eventually("it is unloaded", || (shelf.memory("one")["state"] == "unloaded").then_some(()));
        let memory = shelf.memory("one");
        assert_eq!((&memory["loads"], &memory["requests"]), (&json!(loads), &json!(0)));
        assert!(memory["last_used"].is_string(), "{memory}");
    }
    assert_eq!(shelf.totals()["used_bytes"], 0);
    assert_eq!(shelf.ready().0, 200, "an unloaded model is no fault");
    shelf.world.is_sound();
}

#[test]
fn a_file_swapped_under_a_running_engine_serves_the_next_request() {
    let Some(binary) = binary() else { return };
    let shelf = Shelf::new(&binary, None);
    let mut open = shelf.ask("one", 200, true).open(shelf.world.server.address()).expect("reach the server");
    open.until("\"content\"").expect("the first words");
    let mut other = guide();
    *other.last_mut().expect("it has bytes") ^= 1;
    put(&shelf.data, "one.gguf", &other);
    let next = shelf.world.send(&shelf.ask("one", 4, false));
    assert_eq!(next.status, 200, "{next:?}");
    let whole = open.rest().expect("the first stream goes on");
    assert!(whole.body.contains("[DONE]"), "{whole:?}");
    // Overwritten in place by something that is no model: told, and nobody else is harmed.
    fs::write(shelf.data.join("models").join("two.gguf"), "not a model").expect("write a file");
    let broken = shelf.world.send(&shelf.ask("two", 4, false));
    assert!(broken.status >= 400 && broken.status != 404, "{broken:?}");
    assert_eq!(shelf.world.send(&shelf.ask("one", 4, false)).status, 200);
    put(&shelf.data, "two.gguf", &guide());
    eventually("it is a model again", || {
        (shelf.world.send(&shelf.ask("two", 4, false)).status == 200).then_some(())
    });
    shelf.world.check_books();
    shelf.world.is_sound();
}

#[test]
fn trap_r2_readiness_says_which_preloaded_model_cannot_be_loaded() {
    let Some(binary) = binary() else { return };
    let shelf = Shelf::new(&binary, None);
    assert_eq!(shelf.ready(), (200, "ok\n".into()));
    put(&shelf.data, "cut.gguf", &guide()[..10_000]);
    shelf.world.apply(&model("first", "cut.gguf", ", preload: true"));
    let (status, why) = shelf.ready();
    assert!(status == 503 && why.contains("cut.gguf"), "{status} {why}");
    assert_eq!(shelf.world.server.get("/livez").expect("reach the server").0, 200, "the process lives");
    assert_eq!(shelf.world.show("/api/v1/status")["state"], "broken");
    assert_eq!(shelf.world.send(&shelf.ask("one", 4, false)).status, 200, "the others serve");
    put(&shelf.data, "cut.gguf", &guide());
    eventually("the whole file is found and loaded", || (shelf.ready().0 == 200).then_some(()));
    eventually("it is in memory", || (shelf.memory("first")["loads"] == 1).then_some(()));
    shelf.world.is_sound();
}

#[test]
fn an_adapter_that_does_not_fit_is_refused_and_its_model_serves() {
    let Some(binary) = binary() else { return };
    let shelf = Shelf::new(&binary, None);
    put(&shelf.data, "lora.gguf", &guide());
    let adapters = ", adapters: [ { name: legal, file: lora.gguf } ]";
    shelf.world.apply(&model("one", "one.gguf", adapters));
    let refused = shelf.world.send(&shelf.ask("one:legal", 4, false));
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.body.contains("general.type"), "{refused:?}");
    assert_eq!(shelf.world.send(&shelf.ask("one:other", 4, false)).status, 404);
    assert_eq!(shelf.world.send(&shelf.ask("one", 4, false)).status, 200);
    shelf.world.is_sound();
}
