//! Hostile files against the real loader, in a child process: a loader that
//! asserts ends the child, not the tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use chat::{Message, Request, Role};
use scheduler::Random;

use crate::{Engine, Options};

const CHILD: &str = "hostile::child_that_may_die";
const PATH: &str = "BEDPLATE_TEST_HOSTILE";

/// Runs the child over `files`, and again after the file it died on; returns those.
fn deaths(dir: &Path) -> Vec<PathBuf> {
    let exe = std::env::current_exe().expect("tests are an executable");
    let out = Command::new(exe)
        .args(["--exact", CHILD, "--ignored", "--nocapture"])
        .env(PATH, dir)
        .output()
        .expect("the child starts");
    if out.status.success() {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(&out.stdout);
    let last = text
        .lines()
        .filter_map(|l| l.split_once("opening "))
        .next_back()
        .map(|(_, name)| dir.join(name.trim()));
    eprintln!(
        "{}",
        String::from_utf8_lossy(&out.stderr).lines().rev().take(12).collect::<Vec<_>>().join("\n")
    );
    last.into_iter().collect()
}

#[test]
#[ignore = "the child of the test below"]
fn child_that_may_die() {
    #[expect(clippy::disallowed_methods, reason = "how the parent names the files")]
    let Ok(dir) = std::env::var(PATH) else { return };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir).expect("a directory").map(|e| e.expect("an entry").path()).collect();
    files.sort();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for file in files {
        println!("opening {}", file.file_name().expect("a name").to_string_lossy());
        let options = Options { n_ctx: Some(256), n_seq_max: 2, threads: 1, ..Options::default() };
        let Ok(engine) = Engine::open(&file, Options { memory_max_bytes: Some(1 << 30), ..options }) else {
            continue;
        };
        let mut request = Request::new("m");
        request.messages.push(Message::text(Role::User, "Once upon <0x41> é"));
        request.max_tokens = Some(3);
        for generation in [engine.complete(&request), engine.submit(&request)] {
            let Ok(mut g) = generation else { continue };
            runtime.block_on(async { while g.next().await.is_some() {} });
        }
    }
}

/// Files that differ from a good one in the part that the loader interprets.
fn write_mutations(good: &[u8], header: &gguf::Header, dir: &Path) -> usize {
    let mut files = 0;
    let mut write = |bytes: &[u8]| {
        std::fs::write(dir.join(format!("{files:05}.gguf")), bytes).expect("written");
        files += 1;
    };
    // Each setting, to each value that has broken a loader.
    for key in header.meta.keys() {
        let at = good.windows(key.len()).position(|w| w == key.as_bytes()).expect("it is there") + key.len();
        for value in [0u32, 1, 2, 3, 5, 31, 255, 511, 513, 65_537, i32::MAX as u32, 1 << 31, u32::MAX] {
            let mut bytes = good.to_vec();
            bytes[at + 4..at + 8].copy_from_slice(&value.to_le_bytes());
            write(&bytes);
        }
        for kind in 0..13u8 {
            let mut bytes = good.to_vec();
            bytes[at] = kind;
            write(&bytes);
        }
    }
    // Another tokenizer over the same words; the name takes up the difference.
    for model in ["gpt2", "bert", "t5", "rwkv", "plamo2", "none", "other"] {
        let old = b"tokenizer.ggml.model\x08\0\0\0\x05\0\0\0\0\0\0\0llama";
        let name = b"general.name\x08\0\0\0\x06\0\0\0\0\0\0\0random";
        let mut new = old[..old.len() - 13].to_vec();
        new.extend((model.len() as u64).to_le_bytes());
        new.extend(model.as_bytes());
        let filler = vec![b'n'; 11 - model.len()];
        let mut new_name = name[..name.len() - 14].to_vec();
        new_name.extend((filler.len() as u64).to_le_bytes());
        new_name.extend(filler);
        write(&replace(&replace(good, old, &new), name, &new_name));
    }
    // Any byte of the header.
    let mut random = Random::new(5, 0);
    let len = header.data_start as u32;
    for _ in 0..200 {
        let mut bytes = good.to_vec();
        for _ in 0..1 + random.next_u32() % 4 {
            bytes[(random.next_u32() % len) as usize] = random.next_u32() as u8;
        }
        write(&bytes);
    }
    files
}

fn replace(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = bytes.windows(old.len()).position(|w| w == old).expect("it is there");
    [&bytes[..at], new, &bytes[at + old.len()..]].concat()
}

#[test]
fn trap_x7_no_mutation_of_a_model_ends_the_process() {
    let dir = tempfile::tempdir().expect("a directory");
    let shape = gguf::Shape {
        vocab: 300,
        width: 32,
        layers: 1,
        heads: 2,
        kv_heads: 1,
        feed_forward: 32,
        ..gguf::Shape::TINY
    };
    let mut good = Vec::new();
    gguf::random_llama(shape, 3, &mut good).expect("written");
    let header = gguf::Header::read(&good[..], good.len() as u64).expect("a good file");
    let files = write_mutations(&good, &header, dir.path());
    let deaths = deaths(dir.path());
    assert!(deaths.is_empty(), "of {files} files, the loader died on {deaths:?}");
}
