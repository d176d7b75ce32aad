//! Real engines over the model in the repository.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use tempfile::TempDir;
use tokio::task::JoinSet;

use super::*;

static GUIDE: &[u8] = include_bytes!("../../../../models/guide/bedplate-guide.q8_0.gguf");
const PATIENCE: Duration = Duration::from_secs(30);

struct Shelf {
    folder: TempDir,
    models: Models,
    changes: Arc<AtomicU32>,
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.models.close();
    }
}

impl Shelf {
    fn new(budget_bytes: u64) -> Shelf {
        let changes = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&changes);
        let engine = engine::Options { threads: 1, ..engine::Options::default() };
        let config = Config { budget_bytes, swap_wait: Duration::from_secs(1), engine, place: Place::Here };
        let models = Models::start(config, move || {
            counted.fetch_add(1, SeqCst);
        });
        Shelf { folder: tempfile::tempdir().expect("a folder"), models, changes }
    }
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    /// Puts bytes there in the way that does not hurt: a new file, then a rename.
    fn put(&self, name: &str, bytes: &[u8]) {
        let beside = self.path("beside");
        std::fs::write(&beside, bytes).expect("write");
        std::fs::rename(beside, self.path(name)).expect("rename");
    }
    fn key(&self, name: &str) -> Key {
        Key { path: self.path(name), context_tokens: Some(256) }
    }
    fn declare(&self, name: &str, keep_alive: Option<Duration>, preload: bool) -> Result<Model, Report> {
        self.models.declare(&self.key(name), Wish { keep_alive, preload })
    }
    fn shown(&self, name: &str) -> Shown {
        self.models.show(&self.key(name)).expect("it is declared")
    }
    fn until(&self, name: &str, state: &str) -> Shown {
        for _ in 0..2_000 {
            let shown = self.shown(name);
            if shown.state == state {
                return shown;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{name} is never {state}: {:?}", self.shown(name));
    }
}

/// What one such model takes.
fn need() -> u64 {
    let shelf = Shelf::new(u64::MAX);
    shelf.put("a.gguf", GUIDE);
    shelf.declare("a.gguf", None, false).expect("it is a model").need_bytes()
}

async fn works(lease: &Lease) {
    let request = chat::Request {
        messages: vec![chat::Message::text(chat::Role::User, "What is a budget?")],
        max_tokens: Some(2),
        ..chat::Request::default()
    };
    let mut generation =
        lease.submit_as(&request, &engine::Caller::default()).await.expect("it takes the request");
    let mut finished = false;
    while let Some(event) = generation.next().await {
        finished |= matches!(event, chat::Event::Finish { .. });
    }
    assert!(finished, "it answers to the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_models_share_the_memory_of_one() {
    let need = need();
    let shelf = Shelf::new(need + need / 2);
    for name in ["a.gguf", "b.gguf"] {
        shelf.put(name, GUIDE);
    }
    let a = shelf.declare("a.gguf", None, false).expect("a model");
    let b = shelf.declare("b.gguf", None, false).expect("a model");
    assert_eq!((shelf.shown("a.gguf").state, shelf.models.totals().loads), ("unloaded", 0));
    for round in 1..=3 {
        for model in [&a, &b] {
            let lease = model.acquire(PATIENCE).await.expect("it is loaded in its turn");
            assert!(shelf.models.totals().committed_bytes <= need + need / 2);
            works(&lease).await;
        }
        assert_eq!(shelf.models.totals().loads, 2 * round);
    }
    // In flight it stays, whoever waits: the other is told to come again.
    let lease = b.acquire(PATIENCE).await.expect("it is loaded");
    let refused = a.acquire(Duration::from_millis(50)).await.err().expect("there is no room");
    assert_eq!((refused.code.0, refused.status()), ("EN0007", 503));
    assert_eq!(shelf.shown("b.gguf").state, "loaded");
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { a.acquire(PATIENCE).await.map(drop) });
    works(&lease).await;
    drop(lease);
    waiting.join_all().await.remove(0).expect("its turn comes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_come_while_it_loads_are_served_by_one_load() {
    let shelf = Shelf::new(need() * 4);
    shelf.put("a.gguf", GUIDE);
    let a = shelf.declare("a.gguf", None, false).expect("a model");
    let mut asked = JoinSet::new();
    for _ in 0..16 {
        let a = a.clone();
        asked.spawn(async move { works(&a.acquire(PATIENCE).await.expect("it is loaded")).await });
    }
    // One of them leaves.
    let left = tokio::time::timeout(Duration::from_micros(1), a.acquire(PATIENCE)).await;
    drop(left);
    asked.join_all().await;
    let shown = shelf.until("a.gguf", "idle");
    assert_eq!((shown.loads, shown.requests, shown.waiting), (1, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_model_goes_after_its_keep_alive_and_comes_back() {
    let shelf = Shelf::new(need() * 4);
    shelf.put("a.gguf", GUIDE);
    let a = shelf.declare("a.gguf", Some(Duration::from_millis(20)), true).expect("a model");
    for _ in 0..2 {
        let lease = a.acquire(PATIENCE).await.expect("it is loaded");
        works(&lease).await;
        drop(lease);
        let shown = shelf.until("a.gguf", "unloaded");
        assert!(shown.used.is_some() && shown.stats.is_none());
    }
    assert_eq!(shelf.models.totals().committed_bytes, 0);
    assert_eq!(shelf.models.readiness(), Readiness::Ready, "it was there, and may come back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_swapped_under_a_running_engine_is_a_new_model() {
    let shelf = Shelf::new(need() * 4);
    shelf.put("a.gguf", GUIDE);
    let a = shelf.declare("a.gguf", None, false).expect("a model");
    let old = a.acquire(PATIENCE).await.expect("it is loaded");
    let mut other = GUIDE.to_vec();
    *other.last_mut().expect("it has bytes") ^= 1;
    shelf.put("a.gguf", &other);
    let new = a.acquire(PATIENCE).await.expect("the new file is loaded");
    assert_ne!(old.info().fingerprint, new.info().fingerprint);
    works(&old).await;
    works(&new).await;
    drop(old);
    assert_eq!(shelf.shown("a.gguf").loads, 1, "of this version");
    // Gone is not swapped: what is loaded lives on.
    std::fs::remove_file(shelf.path("a.gguf")).expect("remove");
    works(&a.acquire(PATIENCE).await.expect("it is loaded")).await;
    // Overwritten by half a file it is no model, and nothing loads it.
    shelf.put("a.gguf", &GUIDE[..GUIDE.len() / 2]);
    let refused = a.acquire(PATIENCE).await.err().expect("half a file is no model");
    assert_eq!(refused.code.0, "EN0005");
    assert_eq!(shelf.changes.load(SeqCst), 1, "its routes know");
    works(&new).await;
    shelf.put("a.gguf", GUIDE);
    works(&a.acquire(PATIENCE).await.expect("it is whole again")).await;
}

/// How many tokens of a long prompt were there from before.
async fn reused(lease: &Lease) -> u64 {
    let request = chat::Request {
        messages: vec![chat::Message::text(chat::Role::User, "what an erased team has asked ".repeat(20))],
        max_tokens: Some(1),
        ..chat::Request::default()
    };
    let caller = engine::Caller::default();
    let mut generation = lease.submit_as(&request, &caller).await.expect("it takes the request");
    let mut reused = 0;
    while let Some(event) = generation.next().await {
        if let chat::Event::Usage(usage) = event {
            reused = usage.get(chat::Axis::CacheRead);
        }
    }
    reused
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_computed_outlives_an_erasure_but_in_requests_in_flight() {
    let need = need();
    let shelf = Shelf::new(need * 4);
    shelf.put("a.gguf", GUIDE);
    let a = shelf.declare("a.gguf", None, false).expect("a model");
    let lease = a.acquire(PATIENCE).await.expect("it is loaded");
    assert_eq!(reused(&lease).await, 0);
    assert!(reused(&lease).await > 0, "it is kept");
    shelf.models.begin_anew();
    works(&lease).await;
    let anew = a.acquire(PATIENCE).await.expect("it is loaded again");
    assert_eq!((reused(&anew).await, shelf.models.totals().loads), (0, 2));
    // The old one goes with its last request.
    drop((lease, anew));
    for _ in 0..2_000 {
        if shelf.models.totals().committed_bytes == need {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(shelf.models.totals().committed_bytes, need);
    // An idle one needs no request to go.
    assert!(reused(&a.acquire(PATIENCE).await.expect("it is loaded")).await > 0);
    shelf.models.begin_anew();
    assert_eq!(reused(&a.acquire(PATIENCE).await.expect("it is loaded again")).await, 0);
}

/// A LoRA adapter of rank 2 on the first layer's value projection of the guide.
fn lora(arch: &str, strength: f32) -> Vec<u8> {
    let header = gguf::Header::read(GUIDE, GUIDE.len() as u64).expect("it is a model");
    let base = header.tensors.iter().find(|t| t.name == "blk.0.attn_v.weight").expect("a Llama has it");
    let (width, out) = (base.dims[0], base.dims[1]);
    let mut writer = gguf::write::Writer::new();
    writer.text("general.architecture", arch).text("general.type", "adapter").text("adapter.type", "lora");
    writer.f32("adapter.lora.alpha", 2.0);
    let mut bytes = Vec::new();
    let sizes = [
        writer.tensor("blk.0.attn_v.weight.lora_a", &[width, 2], gguf::Kind::F32),
        writer.tensor("blk.0.attn_v.weight.lora_b", &[2, out], gguf::Kind::F32),
    ];
    writer.finish(&mut bytes).expect("it is memory");
    for size in sizes {
        let numbers = (0..size / 4).flat_map(|n| (strength * (n % 7) as f32).to_le_bytes());
        bytes.extend(numbers);
        bytes.extend(gguf::write::padding(size));
    }
    bytes
}

async fn says(lease: &Lease, adapter: u32) -> String {
    let request = chat::Request {
        messages: vec![chat::Message::text(chat::Role::User, "What is a budget?")],
        max_tokens: Some(12),
        sampling: chat::Sampling { temperature: Some(0.0), ..chat::Sampling::default() },
        ..chat::Request::default()
    };
    let caller = engine::Caller { adapter, ..engine::Caller::default() };
    let mut generation = lease.submit_as(&request, &caller).await.expect("it takes the request");
    let mut said = String::new();
    while let Some(event) = generation.next().await {
        if let chat::Event::Text { text, .. } = event {
            said.push_str(&text);
        }
    }
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adapter_is_loaded_once_and_only_for_those_who_ask_for_it() {
    let shelf = Shelf::new(need() * 4);
    shelf.put("a.gguf", GUIDE);
    shelf.put("strong.gguf", &lora("llama", 0.5));
    shelf.put("foreign.gguf", &lora("qwen2", 0.5));
    let adapter = |name: &str| Adapter { name: name.into(), path: shelf.path(name), scale: 1.0 };
    let a = shelf.declare("a.gguf", None, false).expect("a model");
    let lease = a.acquire(PATIENCE).await.expect("it is loaded");
    let plain = says(&lease, 0).await;
    let strong = lease.adapter(&adapter("strong.gguf")).await.expect("it fits");
    assert_eq!(lease.adapter(&adapter("strong.gguf")).await, Ok(strong), "once");
    assert_ne!(says(&lease, strong).await, plain, "it counts");
    assert_eq!(says(&lease, 0).await, plain, "nobody else notices");
    let refused = lease.adapter(&adapter("foreign.gguf")).await.expect_err("another architecture");
    assert_eq!(refused.code.0, "EN0008");
    // Replaced, it is another adapter.
    shelf.put("strong.gguf", &lora("llama", 0.25));
    let other = lease.adapter(&adapter("strong.gguf")).await.expect("it fits");
    assert_ne!(other, strong);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_never_fit_is_refused_at_once_with_both_numbers() {
    let need = need();
    let shelf = Shelf::new(need - 1);
    shelf.put("a.gguf", GUIDE);
    let a = shelf.declare("a.gguf", None, true).expect("a model");
    let refused = a.acquire(PATIENCE).await.err().expect("it can never fit");
    assert_eq!(refused.code.0, "EN0006");
    assert!(refused.what.contains(&need.to_string()), "{}", refused.what);
    assert_eq!(shelf.shown("a.gguf").state, "failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_waits_for_preloads_and_tells_what_is_wrong_with_them() {
    let shelf = Shelf::new(need() * 4);
    assert!(shelf.declare("later.gguf", None, true).is_err());
    let Readiness::Broken(why) = shelf.models.readiness() else { panic!("a preload is missing") };
    assert!(why.contains("later.gguf"), "{why}");
    // The keeper sees it come.
    shelf.put("later.gguf", GUIDE);
    shelf_until_ready(&shelf);
    assert!(shelf.changes.load(SeqCst) >= 1);
    assert_eq!(shelf.until("later.gguf", "idle").loads, 1);
}

fn shelf_until_ready(shelf: &Shelf) {
    for _ in 0..2_000 {
        if shelf.models.readiness() == Readiness::Ready {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it never gets ready: {:?}", shelf.models.readiness());
}
