//! `bedplate model pull` against a hub that redirects, cuts, lies and offers hostile files.

use std::fs;
use std::path::{Path, PathBuf};

use journeys::{Folder, Ran, bedplate, binary};
use testkit::Hub;

const FILE: &str = "hf:bedplate/guide/guide.q8_0.gguf";

/// The built-in model's weights: a true file of 3 MB.
fn guide() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/guide/bedplate-guide.q8_0.gguf");
    fs::read(path).expect("read the built-in model")
}

/// A hub with the guide, and a machine that pulls from it.
struct Scene {
    binary: PathBuf,
    hub: Hub,
    folder: Folder,
    bytes: Vec<u8>,
}

fn scene(binary: PathBuf) -> Scene {
    let (hub, bytes) = (Hub::start(), guide());
    hub.add("bedplate/guide", "guide.q8_0.gguf", bytes.clone());
    Scene { binary, hub, folder: Folder::new(), bytes }
}

impl Scene {
    fn pull(&self, reference: &str, more: &[&str]) -> Ran {
        let data = self.folder.path().to_str().expect("a UTF-8 path");
        let mut arguments = vec!["model", "pull", reference, "--json", "--data", data];
        arguments.extend(more);
        bedplate(&self.binary, &arguments, &[("BEDPLATE_HUB", self.hub.url().as_str())], "")
    }
    fn refused(&self, reference: &str, more: &[&str], code: &str) {
        let ran = self.pull(reference, more).exits(1);
        let error: serde_json::Value = serde_json::from_str(ran.stderr.lines().last().unwrap_or_default())
            .unwrap_or_else(|e| panic!("{e}: {ran:#?}"));
        assert_eq!(error["error"]["code"], code, "{ran:#?}");
        let installed = |(path, _): &(PathBuf, Vec<u8>)| path.extension().is_some_and(|e| e == "gguf");
        assert!(!self.folder.files().iter().any(installed), "{:?}", self.folder.files().iter().map(|f| &f.0));
    }
    fn is_installed(&self) {
        let path = self.folder.path().join("models/bedplate/guide/guide.q8_0.gguf");
        assert!(fs::read(&path).expect("the model is there") == self.bytes, "its bytes are those of the hub");
        assert_eq!(self.folder.files().len(), 1, "no part is left");
    }
}

#[test]
fn a_file_comes_through_a_redirect_and_is_verified() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary);
    let pulled = scene.pull(FILE, &[]).exits(0);
    let shown = pulled.json();
    assert_eq!((&shown["verified"], &shown["already"]), (&true.into(), &false.into()), "{pulled:#?}");
    assert_eq!(shown["bytes"], scene.bytes.len(), "{shown}");
    scene.is_installed();
    assert!(
        scene.hub.seen().iter().any(|seen| seen.path.starts_with("/cdn/")),
        "it went through the redirect"
    );
    let fetched =
        scene.hub.seen().iter().filter(|seen| seen.method == "GET" && seen.path.starts_with("/cdn/")).count();
    let again = scene.pull(FILE, &[]).exits(0).json();
    assert_eq!(again["already"], true, "{again}");
    let refetched =
        scene.hub.seen().iter().filter(|seen| seen.method == "GET" && seen.path.starts_with("/cdn/")).count();
    assert_eq!(fetched, refetched, "what is there is not fetched again");
    let data = scene.folder.path().to_str().expect("a UTF-8 path");
    let listed = bedplate(&scene.binary, &["model", "list", "--files", "--data", data], &[], "").exits(0);
    assert!(listed.stdout.contains("guide.q8_0.gguf"), "{listed:#?}");
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary);
    scene.hub.cut_after([700_000, 500_000, 1]);
    let pulled = scene.pull(FILE, &[]).exits(0);
    scene.is_installed();
    let ranges: Vec<String> =
        scene.hub.seen().iter().filter_map(|seen| seen.header("range").map(str::to_owned)).collect();
    assert!(ranges.contains(&"bytes=700000-".to_owned()), "{ranges:?} {pulled:#?}");
    assert!(ranges.contains(&"bytes=1200000-".to_owned()), "{ranges:?}");
}

#[test]
fn a_later_run_goes_on_where_an_earlier_one_gave_up() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary);
    scene.hub.cut_after([1_000_000, 0, 0, 0, 0, 0, 0, 0]);
    scene.refused(FILE, &[], "CL0001");
    scene.hub.cut_after([]);
    let pulled = scene.pull(FILE, &[]).exits(0).json();
    assert_eq!(pulled["resumed_bytes"], 1_000_000, "{pulled}");
    scene.is_installed();
}

#[test]
fn a_hub_that_ignores_ranges_is_read_from_the_start() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary);
    scene.hub.ignore_ranges();
    scene.hub.cut_after([400_000]);
    scene.pull(FILE, &[]).exits(0);
    scene.is_installed();
}

#[test]
fn a_file_that_is_not_what_was_announced_is_refused() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary);
    scene.hub.lie_about("bedplate/guide", "guide.q8_0.gguf");
    scene.refused(FILE, &[], "CL0005");
    scene.hub.add("bedplate/guide", "guide.q8_0.gguf", scene.bytes.clone());
    scene.pull(FILE, &[]).exits(0);
    scene.is_installed();
}

#[test]
fn trap_x7_hostile_model_files_are_refused_before_they_are_installed() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary);
    let patched = |at: usize, with: &[u8]| {
        let mut bytes = scene.bytes.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        bytes
    };
    let hostile: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("html", b"<html>sign in</html>".to_vec()),
        ("truncated", scene.bytes[..scene.bytes.len() / 2].to_vec()),
        ("header-only", scene.bytes[..64].to_vec()),
        ("version", patched(4, &u32::MAX.to_le_bytes())),
        ("tensors", patched(8, &u64::MAX.to_le_bytes())),
        ("keys", patched(16, &u64::MAX.to_le_bytes())),
        ("key-length", patched(24, &u64::MAX.to_le_bytes())),
        ("many-tensors", patched(8, &(1u64 << 40).to_le_bytes())),
    ];
    for (name, bytes) in hostile {
        scene.hub.add("bad/files", &format!("{name}.gguf"), bytes);
        let code = if name == "empty" { "CL00" } else { "CL0009" };
        let reference = format!("hf:bad/files/{name}.gguf");
        if code == "CL0009" {
            scene.refused(&reference, &[], code);
        } else {
            let ran = scene.pull(&reference, &[]).exits(1);
            assert!(ran.stderr.contains(code) && !ran.stderr.contains("panicked"), "{ran:#?}");
        }
    }
}

#[test]
fn references_quotas_and_absent_files() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary);
    for reference in
        ["guide.gguf", "hf:a/b", "hf:a/b/c.bin", "hf:a/../c/d.gguf", "hf:a/b/../../d.gguf", "hf:///x.gguf"]
    {
        scene.refused(reference, &[], "CL0007");
    }
    scene.refused("hf:bedplate/guide/other.gguf", &[], "CL0008");
    scene.refused(FILE, &["--quota-gb", "0"], "CL0006");
    scene.hub.redirect_to("http://127.0.0.1:1/nothing");
    scene.refused(FILE, &[], "CL0001");
}
