//! What is reused gives the answers of a fresh run, wherever it was meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use chat::{Axis, Message, Request, Response, Role};
use scheduler::{BlockKey, BlockStore, Kernel, Row};

use crate::llama::{ContextOptions, LlamaKernel, Model};
use crate::tests::{complete, options, prompt, read, runtime, stories, text};
use crate::*;

/// A disk that is a map.
#[derive(Default)]
struct Shelf(Mutex<BTreeMap<BlockKey, Vec<u8>>>);

impl BlockStore for Shelf {
    fn keys(&self) -> Vec<(BlockKey, u64)> {
        self.0.lock().expect("no panic").iter().map(|(k, v)| (*k, v.len() as u64)).collect()
    }
    fn load(&self, key: BlockKey) -> Option<Vec<u8>> {
        self.0.lock().expect("no panic").get(&key).cloned()
    }
    fn save(&self, key: BlockKey, contents: &[u8]) -> Vec<BlockKey> {
        self.0.lock().expect("no panic").insert(key, contents.to_vec());
        Vec::new()
    }
}

fn on(shelf: &Arc<Shelf>) -> Options {
    let shelf = Arc::clone(shelf);
    let disks: KvDisks = Arc::new(move |_| Some(Arc::clone(&shelf) as Arc<dyn BlockStore>));
    Options { kv_disk: Some(disks), ..options() }
}

/// About 400 tokens, different from the first for each `kind`.
fn long(kind: &str) -> Request {
    let mut request = prompt(&format!(
        "Once upon a time there was a {kind}. {}",
        "The dog saw a big red ball and was happy. ".repeat(24)
    ));
    request.max_tokens = Some(40);
    request
}

fn reused(answer: &Response) -> u64 {
    answer.usage.as_ref().map_or(0, |u| u.get(Axis::CacheRead))
}

#[test]
fn a_repeated_prompt_is_shared_and_answered_as_the_first_time() {
    let Some(path) = stories() else { return };
    let engine = Engine::open(&path, options()).expect("it loads");
    let (first, second) = (complete(&engine, &long("cat")), complete(&engine, &long("cat")));
    let prompt_tokens = first.usage.as_ref().expect("told").input_total();
    assert_eq!((reused(&first), reused(&second)), (0, prompt_tokens - 1));
    assert_eq!(text(&first, 0), text(&second, 0));
    let stats = engine.stats();
    assert_eq!((stats.kv_used, stats.reused_tokens), (0, prompt_tokens - 1));
    assert!(stats.kv_kept >= prompt_tokens);
}

#[test]
fn trap_x9_nothing_is_reused_across_scopes() {
    let Some(path) = stories() else { return };
    let engine = Engine::open(&path, options()).expect("it loads");
    let ask = |scope| {
        let caller = Caller { scope, ..Caller::default() };
        let answer = read(&runtime(), engine.complete_as(&long("cat"), &caller).expect("accepted"));
        (reused(&answer), text(&answer, 0))
    };
    let (a, b) = (ask(1), ask(2));
    assert_eq!((a.0, b.0), (0, 0));
    assert_eq!(a.1, b.1);
    assert!(ask(1).0 > 300);
}

#[test]
fn an_operators_prompt_stays_in_cells_whatever_else_is_asked() {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/guide/bedplate-guide.q8_0.gguf");
    let ask = |pinned_messages| {
        let options = Options { n_ctx: Some(1024), kv_memory_bytes: 0, ..options() };
        let engine = Engine::open(guide.as_ref(), options).expect("it loads");
        let chat = |pinned_messages, system: &str, user: &str| {
            let caller = Caller { pinned_messages, ..Caller::default() };
            let mut request = Request::new("m");
            request.messages = vec![Message::text(Role::System, system), Message::text(Role::User, user)];
            request.max_tokens = Some(4);
            reused(&read(&runtime(), engine.submit_as(&request, &caller).expect("accepted")))
        };
        let system = "Answer in one short sentence. ".repeat(16);
        chat(pinned_messages, &system, "What is a hold?");
        for n in 0..24 {
            chat(0, &format!("{n} is a number. ").repeat(24), "What is a route?");
        }
        chat(pinned_messages, &system, "What is a budget?")
    };
    let (free, pinned) = (ask(0), ask(1));
    assert!(free < 64 && pinned >= 64, "{free} {pinned}");
}

#[test]
fn requests_that_come_together_compute_their_common_prompt_once() {
    let Some(path) = stories() else { return };
    let engine = Engine::open(&path, options()).expect("it loads");
    let running: Vec<Generation> = (0..6).map(|_| engine.complete(&long("cow")).expect("accepted")).collect();
    let runtime = runtime();
    let answers: Vec<Response> = running.into_iter().map(|g| read(&runtime, g)).collect();
    let prompt_tokens = answers[0].usage.as_ref().expect("told").input_total();
    assert_eq!(engine.stats().prompt_tokens, prompt_tokens + 5, "once, and the last token of each");
    assert!(answers.iter().all(|a| text(a, 0) == text(&answers[0], 0)));
}

#[test]
fn cells_that_run_out_go_to_memory_and_come_back_with_the_same_text() {
    let Some(path) = stories() else { return };
    let free = Engine::open(&path, options()).expect("it loads");
    let kinds = ["cat", "cow", "bird", "fish", "frog"];
    let expected: Vec<String> = kinds.iter().map(|k| text(&complete(&free, &long(k)), 0)).collect();
    // Room for one and a half.
    let tight = Engine::open(&path, Options { n_ctx: Some(704), ..options() }).expect("it loads");
    let runtime = runtime();
    for _ in 0..2 {
        let running: Vec<Generation> =
            kinds.iter().map(|k| tight.complete(&long(k)).expect("accepted")).collect();
        for (g, expected) in running.into_iter().zip(&expected) {
            assert_eq!(&text(&read(&runtime, g), 0), expected);
        }
    }
    let stats = tight.stats();
    assert!(stats.reused_from_memory > 300, "{stats:?}");
    assert_eq!(stats.kv_used, 0);
}

#[test]
fn a_preempted_request_goes_on_with_the_same_text() {
    let Some(path) = stories() else { return };
    let mut story = prompt("Once upon a time");
    story.max_tokens = Some(300);
    let free = Engine::open(&path, options()).expect("it loads");
    let expected = text(&complete(&free, &story), 0);
    let tight = Engine::open(&path, Options { n_ctx: Some(512), ..options() }).expect("it loads");
    let runtime = runtime();
    let callers = (0..8).map(|tenant| Caller { tenant, scope: tenant, ..Caller::default() });
    let running: Vec<Generation> =
        callers.map(|c| tight.complete_as(&story, &c).expect("accepted")).collect();
    for answer in running.into_iter().map(|g| read(&runtime, g)) {
        assert_eq!(text(&answer, 0), expected);
    }
    assert!(tight.stats().preempted > 0);
}

#[test]
fn a_restarted_engine_finds_its_prompts_on_disk() {
    let Some(path) = stories() else { return };
    let shelf = Arc::new(Shelf::default());
    let first = Engine::open(&path, on(&shelf)).expect("it loads");
    let expected = complete(&first, &long("cat"));
    drop(first);
    assert!(shelf.keys().len() >= 5);
    let second = Engine::open(&path, on(&shelf)).expect("it loads");
    let answer = complete(&second, &long("cat"));
    assert_eq!(text(&answer, 0), text(&expected, 0));
    assert!(reused(&answer) >= 320, "{}", reused(&answer));
    assert_eq!(second.stats().reused_from_disk, reused(&answer));
}

#[test]
fn a_damaged_block_is_computed_again() {
    let Some(path) = stories() else { return };
    let shelf = Arc::new(Shelf::default());
    let first = Engine::open(&path, on(&shelf)).expect("it loads");
    let expected = text(&complete(&first, &long("cat")), 0);
    drop(first);
    // As a broken block store might give them: cut, flipped, of others, empty.
    type Harm = fn(&mut Vec<u8>, &[u8]);
    let damage: [Harm; 4] = [
        |block, _| block.truncate(block.len() / 2),
        |block, _| block[300] ^= 1,
        |block, other| *block = other.to_vec(),
        |block, _| block.clear(),
    ];
    for harm in damage {
        let broken = Arc::new(Shelf(Mutex::new(shelf.0.lock().expect("no panic").clone())));
        {
            let mut blocks = broken.0.lock().expect("no panic");
            let other = blocks.values().next().cloned().expect("some");
            blocks.values_mut().skip(1).step_by(2).for_each(|b| harm(b, &other));
        }
        let engine = Engine::open(&path, on(&broken)).expect("it loads");
        let got = complete(&engine, &long("cat"));
        // A flipped bit inside of a value is the block store's to find.
        if text(&got, 0) != expected {
            assert!(reused(&got) > 0, "only what was reused can differ");
        }
    }
}

#[test]
fn restored_keys_and_values_give_the_logits_of_shared_ones() {
    let Some(path) = stories() else { return };
    let model = Arc::new(Model::load(&path).expect("it loads"));
    let context = ContextOptions {
        cells: 512,
        seq_max: 4,
        seq_len_max: 512,
        step_rows: 512,
        threads: 1,
        ..ContextOptions::default()
    };
    let mut kernel = LlamaKernel::new(model, context).expect("a context");
    let row = |pos, seq| Row { token: 300 + pos % 9, pos, seq, logits: pos == 129 };
    kernel.step(&(0..129).map(|pos| row(pos, 0)).collect::<Vec<_>>(), &|| false).expect("computed");
    kernel.share(0, 1, 129);
    let parts: Vec<Vec<u8>> = [(0, 64), (64, 128), (128, 129)]
        .into_iter()
        .map(|(from, to)| kernel.save(0, from, to).expect("saved"))
        .collect();
    assert!(kernel.save(0, 128, 130).is_none(), "it holds no 130 tokens");
    assert!(!kernel.restore(2, 64, &parts[1]), "what is before is not there");
    for (part, from) in parts.iter().zip([0, 64, 128]) {
        assert!(kernel.restore(2, from, part));
    }
    assert_eq!(kernel.len(2), 129);
    let logits = |kernel: &mut LlamaKernel, seq| {
        kernel.step(&[row(129, seq)], &|| false).expect("computed");
        kernel.logits(0).to_vec()
    };
    let (shared, restored) = (logits(&mut kernel, 1), logits(&mut kernel, 2));
    assert_eq!(shared, restored);
    for garbage in [&[][..], &[0; 64], &[0xff; 4096], &parts[1][..parts[1].len() - 1]] {
        assert!(!kernel.restore(3, 0, garbage));
        assert_eq!(kernel.len(3), 0);
    }
}
