use std::path::PathBuf;

use gguf::Shape;
use testkit::Hub as FakeHub;

use super::*;

const REFERENCE: &str = "hf:org/repo/model.gguf";

fn model() -> Vec<u8> {
    let mut bytes = Vec::new();
    gguf::random_llama(Shape::TINY, 7, &mut bytes).expect("a vector takes it");
    bytes
}

struct World {
    hub: FakeHub,
    folder: tempfile::TempDir,
}

impl World {
    fn new(bytes: Vec<u8>) -> World {
        let hub = FakeHub::start();
        hub.add("org/repo", "model.gguf", bytes);
        World { hub, folder: tempfile::tempdir().expect("a folder") }
    }
    fn pull(&self, quota_bytes: Option<u64>) -> Result<Pulled, Failure> {
        let hub = Hub { base: self.hub.url(), reach: Reach::Private, token: Some("hf-canary".to_owned()) };
        let reference: Reference = REFERENCE.parse().expect("it is one");
        runtime().expect("a runtime").block_on(pull(&hub, &reference, self.folder.path(), quota_bytes))
    }
    fn code(&self, quota_bytes: Option<u64>) -> String {
        let failure = self.pull(quota_bytes).expect_err("it is refused");
        failure.first().map(|e| e.code.clone()).unwrap_or_default()
    }
    fn files(&self) -> Vec<String> {
        let folder = self.folder.path().join("org/repo");
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned())).collect();
        names.sort();
        names
    }
}

#[test]
fn a_model_arrives_whole_verified_and_under_its_name() {
    let world = World::new(model());
    let pulled = world.pull(None).expect("it arrives");
    assert_eq!(pulled.path, world.folder.path().join(PathBuf::from("org/repo/model.gguf")));
    assert!(pulled.verified && !pulled.already && pulled.resumed_bytes == 0);
    assert_eq!(std::fs::read(&pulled.path).expect("it is there"), model());
    assert_eq!(world.files(), ["model.gguf"]);
    assert!(world.pull(None).expect("it is there").already);
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let world = World::new(model());
    world.hub.cut_after([1000, 5000]);
    assert_eq!(world.pull(None).expect("it arrives").bytes, model().len() as u64);
    let ranges: Vec<String> =
        world.hub.seen().iter().filter_map(|r| r.header("range").map(str::to_owned)).collect();
    assert!(ranges.contains(&"bytes=1000-".to_owned()), "{ranges:?}");
    assert!(ranges.contains(&"bytes=6000-".to_owned()), "{ranges:?}");
}

#[test]
fn a_second_run_resumes_what_the_first_left() {
    let world = World::new(model());
    world.hub.cut_after([3000, 0, 0, 0, 0, 0, 0]);
    assert_eq!(world.code(None), "CL0001");
    assert_eq!(world.files(), ["model.gguf.part", "model.gguf.part.etag"]);
    world.hub.cut_after([]);
    assert_eq!(world.pull(None).expect("it arrives").resumed_bytes, 3000);
}

#[test]
fn a_hub_without_ranges_costs_a_fresh_start_and_nothing_else() {
    let world = World::new(model());
    world.hub.ignore_ranges();
    world.hub.cut_after([2000]);
    assert_eq!(std::fs::read(world.pull(None).expect("it arrives").path).expect("it is there"), model());
}

#[test]
fn other_bytes_than_announced_are_deleted() {
    let world = World::new(model());
    world.hub.lie_about("org/repo", "model.gguf");
    assert_eq!(world.code(None), "CL0005");
    assert_eq!(world.files(), [] as [&str; 0]);
}

#[test]
fn trap_x7_a_file_that_is_no_model_is_not_accepted() {
    let mut forged = model();
    forged[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    for bytes in [b"<html>not found</html>".to_vec(), forged] {
        let world = World::new(bytes);
        assert_eq!(world.code(None), "CL0009");
        assert_eq!(world.files(), [] as [&str; 0]);
    }
}

#[test]
fn a_quota_is_checked_before_the_first_byte() {
    let world = World::new(model());
    assert_eq!(world.code(Some(1000)), "CL0006");
    assert!(world.hub.seen().iter().all(|r| r.method == "HEAD"));
}

#[test]
fn a_missing_file_says_so() {
    let world = World { hub: FakeHub::start(), folder: tempfile::tempdir().expect("a folder") };
    assert_eq!(world.code(None), "CL0008");
}

#[test]
fn trap_x4_the_token_goes_to_the_hub_and_not_to_where_it_redirects() {
    let world = World::new(model());
    let elsewhere = FakeHub::start();
    elsewhere.add("org/repo", "model.gguf", model());
    world.hub.redirect_to(&format!("{}/cdn/org/repo/model.gguf", elsewhere.url()));
    world.pull(None).expect("it arrives");
    assert!(world.hub.seen().iter().all(|r| r.header("authorization") == Some("Bearer hf-canary")));
    assert!(elsewhere.seen().iter().all(|r| r.header("authorization").is_none()));
    assert!(!elsewhere.seen().is_empty());
}

#[test]
fn trap_x2_the_public_hub_may_not_redirect_into_the_network() {
    let world = World::new(model());
    let hub = Hub { base: world.hub.url(), reach: Reach::Public, token: None };
    let reference: Reference = REFERENCE.parse().expect("it is one");
    let pulled = runtime().expect("a runtime").block_on(pull(&hub, &reference, world.folder.path(), None));
    assert!(pulled.is_err() && world.hub.seen().is_empty());
}
