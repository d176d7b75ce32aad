//! One suite over an engine here and an engine there, and what only one in
//! another process can suffer. The child is this test binary, which runs the
//! test named `the_child_of_these_tests` and finds a socket on its input.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chat::{Event, Message, Request, Response, Role};
use engine::{BannedTexts, Caller, Error, Health, KvDisks, Options};
use scheduler::{BlockKey, BlockStore};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::{Engine, Generation, Launch, Place};

const CHILD: &str = "BEDPLATE_TEST_IS_CHILD";

#[test]
#[expect(clippy::disallowed_methods, reason = "how a test binary knows that it is the child of another")]
fn the_child_of_these_tests() {
    if std::env::var(CHILD).is_ok() {
        crate::run();
    }
}

fn there() -> Place {
    let program = std::env::current_exe().expect("this test binary");
    // The file's name that is added is one more name of a test for the harness.
    let arguments = ["--exact", "tests::the_child_of_these_tests", "--test-threads=1", "--nocapture"];
    Place::Child(Launch {
        program,
        arguments: arguments.iter().map(Into::into).collect(),
        environment: vec![(CHILD.into(), "1".into())],
    })
}

fn places() -> [Place; 2] {
    [Place::Here, there()]
}

fn guide() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/guide/bedplate-guide.q8_0.gguf"))
}

fn options() -> Options {
    Options { n_ctx: Some(1024), n_seq_max: 4, threads: 1, ..Options::default() }
}

fn open(place: &Place, options: Options) -> Engine {
    Engine::open_with(place, &guide(), options, |_| true).expect("it loads")
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime")
}

fn question(text: &str, tokens: u32) -> Request {
    let mut request = Request::new("m");
    request.messages.push(Message::text(Role::User, text));
    request.max_tokens = Some(tokens);
    request.sampling.temperature = Some(0.0);
    request
}

/// One that goes on: the end of the turn is forbidden.
fn endless() -> Request {
    let mut request = question("What is a budget?", 900);
    request.sampling.logit_bias = (0..8).map(|control| (control, -100.0)).collect();
    request
}

async fn read(mut generation: Generation) -> (Response, Vec<Event>) {
    let (mut response, mut events) = (Response::default(), Vec::new());
    while let Some(event) = generation.next().await {
        response.push(event.clone());
        events.push(event);
    }
    (response, events)
}

async fn ask(engine: &Engine, request: &Request) -> Response {
    read(engine.submit_as(request, &Caller::default()).await.expect("accepted")).await.0
}

fn eventually(what: &str, mut look: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if look() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("waited in vain until {what}");
}

fn idle(engine: &Engine) -> bool {
    let stats = engine.stats();
    (stats.queued, stats.running, stats.kv_used) == (0, 0, 0)
}

#[test]
fn an_engine_there_says_what_one_here_says() {
    let runtime = runtime();
    let [here, there] = places().map(|place| {
        let engine = open(&place, options());
        runtime.block_on(async {
            let request = question("What is a budget?", 24);
            let counted = engine.count_tokens(&request).await.expect("counted");
            let generation = engine.submit_as(&request, &Caller::default()).await.expect("accepted");
            assert_eq!(generation.prompt_tokens(), counted);
            let (answer, events) = read(generation).await;
            assert!(matches!(events.last(), Some(Event::Usage(_))), "{events:?}");
            assert_eq!(events.iter().filter(|e| matches!(e, Event::Finish { .. })).count(), 1);
            let raw = engine.complete_as(&request, &Caller::default()).await.expect("accepted");
            let (raw, _) = read(raw).await;
            assert!(idle(&engine), "who has read the last event finds the cells free");
            (engine.info().clone(), answer, raw, engine.stats().generated_tokens)
        })
    });
    assert_eq!(here.0, there.0);
    assert_eq!(here.1, there.1);
    assert_eq!(here.2, there.2);
    assert_eq!(here.3, there.3);
}

#[test]
fn a_banned_text_is_never_said_here_or_there_and_what_was_withheld_is_told() {
    let runtime = runtime();
    let said = |answer: &Response| match &answer.choices[0].parts[..] {
        [chat::Part::Text(text)] => text.clone(),
        other => panic!("{other:?}"),
    };
    let [here, there] = places().map(|place| {
        let engine = open(&place, options());
        runtime.block_on(async {
            let request = question("What is a budget?", 24);
            let free = said(&ask(&engine, &request).await);
            let secret = free.chars().skip(6).take(12).collect::<String>();
            let mut answers = Vec::new();
            // Sets come and go with their callers, and the second is the first again.
            for texts in [vec![&secret[..]], vec!["unrelated", "words"], vec![&secret[..]]] {
                let banned = BannedTexts::new(texts.iter().map(|t| t.as_bytes().to_vec()).collect());
                let caller = Caller { banned, ..Caller::default() };
                let mut generation = engine.submit_as(&request, &caller).await.expect("accepted");
                let mut answer = Response::default();
                while let Some(event) = generation.next().await {
                    answer.push(event);
                }
                answers.push((said(&answer), generation.withheld() > 0));
            }
            assert!(free.contains(&secret) && answers[1] == (free, false));
            assert!(!answers[0].0.contains(&secret) && answers[0].1, "{answers:?} of {secret}");
            assert_eq!(answers[0], answers[2]);
            answers
        })
    });
    assert_eq!(here, there);
}

#[test]
fn refusals_are_the_same_here_and_there() {
    let runtime = runtime();
    for place in places() {
        let engine = open(&place, options());
        runtime.block_on(async {
            let long = question(&"budget ".repeat(3_000), 1);
            let refused = engine.submit_as(&long, &Caller::default()).await.err().expect("too long");
            assert!(matches!(refused, Error::TooLong { context: 1024, .. }), "{refused:?}");
            let refused = engine.embed(vec!["a".into()]).await.expect_err("it gives no vectors");
            assert_eq!(refused.report().code.0, "EN0004");
            let mut many = question("a", 1);
            many.n = 99;
            let refused = engine.submit_as(&many, &Caller::default()).await.err().expect("too many");
            assert_eq!(refused.report().code.0, "EN0004");
            assert!(engine.add_adapter("/absent".as_ref(), 1.0).await.is_err());
        });
        assert_eq!((engine.health(), engine.death()), (Health::Ready, None));
    }
}

#[test]
fn vectors_are_the_same_here_and_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("vectors.gguf");
    let shape = gguf::Shape { pooling: Some(1), ..gguf::Shape::TINY };
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).expect("a file"));
    gguf::random_llama(shape, 3, &mut file).expect("written");
    drop(file);
    let runtime = runtime();
    let [here, there] = places().map(|place| {
        let engine = Engine::open_with(&place, &path, options(), |_| true).expect("it loads");
        runtime.block_on(async {
            let texts: Vec<String> = (0..40).map(|n| "ab ".repeat(n + 1)).collect();
            let counted = engine.count_embed_tokens(&texts[7]).await.expect("counted");
            let vectors = engine.embed(texts).await.expect("vectors");
            assert_eq!(vectors[7].1, counted);
            vectors
        })
    });
    assert_eq!(here, there);
    assert_eq!(here.len(), 40);
}

#[test]
fn scores_are_the_same_here_and_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rank.gguf");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).expect("a file"));
    gguf::random_reranker(5, &mut file).expect("written");
    drop(file);
    let documents: Vec<String> = (0..9).map(|n| "a budget ".repeat(n + 1)).collect();
    let runtime = runtime();
    let [here, there] = places().map(|place| {
        let engine = Engine::open_with(&place, &path, options(), |_| true).expect("it loads");
        runtime.block_on(engine.rerank("what is a budget", &documents)).expect("scores")
    });
    assert_eq!(here, there);
    assert_eq!(here.len(), 9);
}

#[test]
fn a_reader_that_does_not_read_holds_up_nobody() {
    for place in places() {
        let engine = open(&place, options());
        runtime().block_on(async {
            let stuck = engine.submit_as(&endless(), &Caller::default()).await.expect("accepted");
            for _ in 0..3 {
                let answer = ask(&engine, &question("What is Bedplate?", 30)).await;
                assert!(answer.choices[0].finish.is_some(), "{answer:?}");
            }
            // It has been computed as far as may be and not further; it goes on where it stood.
            let (answer, events) = read(stuck).await;
            assert!(events.len() > 300, "{}", events.len());
            assert!(answer.usage.is_some());
        });
    }
}

#[test]
fn dropping_an_answer_frees_the_engine() {
    for place in places() {
        let engine = open(&place, options());
        runtime().block_on(async {
            let mut generation = engine.submit_as(&endless(), &Caller::default()).await.expect("accepted");
            for _ in 0..5 {
                assert!(generation.next().await.is_some());
            }
            assert!(generation.busy_us() > 0);
        });
        eventually("it is idle", || idle(&engine));
    }
}

#[test]
fn a_thousand_cancels_in_every_phase_leave_nothing_behind() {
    let engine = open(&there(), options());
    let Engine::There(remote) = &engine else { panic!("it is there") };
    runtime().block_on(async {
        let mut held = std::collections::VecDeque::new();
        for n in 0..1_000u32 {
            let request = endless();
            let caller = Caller { tenant: u128::from(n % 7), ..Caller::default() };
            if n % 3 == 0 {
                // Before it was accepted: the future is polled once and dropped.
                let submit = engine.submit_as(&request, &caller);
                let _ = tokio::time::timeout(Duration::ZERO, submit).await;
                continue;
            }
            match engine.submit_as(&request, &caller).await {
                Ok(mut generation) if n % 3 == 1 => {
                    let _ = generation.next().await;
                }
                Ok(generation) => held.push_back(generation),
                Err(Error::QueueFull { .. }) => held.clear(),
                Err(error) => panic!("{error}"),
            }
            if held.len() > 8 {
                held.pop_front();
            }
        }
        drop(held);
        // It still answers.
        assert!(ask(&engine, &question("What is a budget?", 8)).await.usage.is_some());
    });
    eventually("it is idle", || idle(&engine));
    assert_eq!(remote.waiting(), 0);
}

#[derive(Default)]
struct Memory(Mutex<HashMap<BlockKey, Vec<u8>>>);

impl BlockStore for Memory {
    fn keys(&self) -> Vec<(BlockKey, u64)> {
        self.0.lock().expect("not poisoned").iter().map(|(k, b)| (*k, b.len() as u64)).collect()
    }
    fn load(&self, key: BlockKey) -> Option<Vec<u8>> {
        self.0.lock().expect("not poisoned").get(&key).cloned()
    }
    fn save(&self, key: BlockKey, contents: &[u8]) -> Vec<BlockKey> {
        self.0.lock().expect("not poisoned").insert(key, contents.to_vec());
        Vec::new()
    }
}

#[test]
fn blocks_go_to_the_servers_disk_and_come_back_to_either_kind() {
    let (store, prints) = (Arc::new(Memory::default()), Arc::new(Mutex::new(Vec::new())));
    let (stored, seen) = (Arc::clone(&store), Arc::clone(&prints));
    let disks: KvDisks = Arc::new(move |print: &str| {
        seen.lock().expect("not poisoned").push(print.to_owned());
        Some(Arc::clone(&stored) as Arc<dyn BlockStore>)
    });
    let runtime = runtime();
    let request = question(&"What is a budget? ".repeat(60), 8);
    let mut answers = Vec::new();
    let mut reused = Vec::new();
    // What one there has put away at its end, one there and one here find again.
    for place in [there(), there(), Place::Here] {
        let engine = open(&place, Options { kv_disk: Some(Arc::clone(&disks)), ..options() });
        let answer = runtime.block_on(ask(&engine, &request));
        answers.push(answer.choices);
        reused.push(engine.stats().reused_from_disk);
        drop(engine);
    }
    assert!(!store.keys().is_empty());
    assert_eq!((&answers[0], &answers[0]), (&answers[1], &answers[2]));
    assert_eq!(reused[0], 0);
    assert!(reused[1] >= 64 && reused[2] >= 64, "{reused:?}");
    let prints = prints.lock().expect("not poisoned");
    assert!(prints.iter().all(|print| *print == prints[0]), "{prints:?}");
}

#[test]
fn a_child_that_dies_fails_what_is_in_flight_and_nothing_else() {
    let other = open(&there(), options());
    for name in ["KILL", "ABRT", "SEGV"] {
        let engine = open(&there(), options());
        runtime().block_on(async {
            let mut streaming = engine.submit_as(&endless(), &Caller::default()).await.expect("accepted");
            let unread = engine.submit_as(&endless(), &Caller::default()).await.expect("accepted");
            assert!(streaming.next().await.is_some());
            let process = engine.process().expect("it has a process of its own");
            // Again and again: Rust's own handler lets the first fault pass that no instruction caused.
            eventually("it is dead", || {
                let _ = Command::new("kill").arg(format!("-{name}")).arg(process.to_string()).output();
                engine.health() == Health::Dead
            });
            for generation in [streaming, unread] {
                let (_, events) = read(generation).await;
                let Some(Event::Failed { kind, message, retriable }) = events.last() else {
                    panic!("{events:?}");
                };
                assert_eq!((kind.as_str(), retriable), ("EN0012", &true));
                assert!(message.contains("signal"), "{message}");
            }
            assert_eq!(engine.health(), Health::Dead);
            let refused = engine.submit_as(&endless(), &Caller::default()).await.err().expect("it is dead");
            assert_eq!(Some(refused.clone()), engine.death());
            let report = refused.report();
            assert_eq!((report.code.0, report.status()), ("EN0012", 503));
            assert!(engine.count_tokens(&endless()).await.is_err());
            assert!(ask(&other, &question("What is a budget?", 4)).await.usage.is_some());
        });
    }
}

#[test]
fn a_child_that_breaks_the_rules_is_refused() {
    let cases = [
        ("exit 3", "status 3"),
        ("printf '\\377\\377\\377\\377' >&0", "a frame of"),
        ("printf '\\001\\000\\000\\000\\143' >&0", "nonsense"),
        ("printf '\\003\\000\\000\\000\\006\\001\\001' >&0", "before it had loaded"),
    ];
    for (script, why) in cases {
        let launch = Launch {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: Vec::new(),
        };
        let refused = Engine::open_with(&Place::Child(launch), &guide(), options(), |_| true);
        let error = refused.err().expect("it is no engine");
        assert!(matches!(&error, Error::Crashed(text) if text.contains(why)), "{script}: {error:?}");
    }
    let absent = Launch { program: "/absent".into(), arguments: Vec::new(), environment: Vec::new() };
    let refused = Engine::open_with(&Place::Child(absent), &guide(), options(), |_| true);
    assert!(matches!(refused.err(), Some(Error::Crashed(_))));
}

#[test]
fn a_load_that_is_given_up_leaves_no_process() {
    let refused = Engine::open_with(&there(), &guide(), options(), |_| false);
    assert!(matches!(refused.err(), Some(Error::Failed(_))));
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("text.gguf");
    std::fs::write(&path, "no model").expect("written");
    let refused = Engine::open_with(&there(), &path, options(), |_| true).err().expect("no model");
    assert_eq!(refused.report().code.0, "EN0005");
}
