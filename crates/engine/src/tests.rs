//! Against the real llama.cpp and small real weights; skipped where those are absent.

use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::Poll;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use chat::{Axis, Event, Finish, Message, Part, Request, Response, Role};
use scheduler::{Kernel, Row, StepError};
use tokio::runtime::{Builder, Runtime};

use crate::llama::{ContextOptions, LlamaKernel, Model};
use crate::prompt::Prompter;
use crate::template::Template;
use crate::*;

const GREEDY: &str =
    " and a little girl named Lily went to the park with her mom. They saw a big box with a big box.";

pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = here.ancestors().map(|a| a.join("shared/data").join(path)).find(|p| p.exists());
    if found.is_none() {
        eprintln!("skipped: shared/data/{path} is absent");
    }
    found
}
pub(crate) fn stories() -> Option<PathBuf> {
    shared("models/stories260K/stories260K.gguf")
}
pub(crate) fn options() -> Options {
    Options { n_ctx: Some(2048), n_seq_max: 8, threads: 1, ..Options::default() }
}
pub(crate) fn open() -> Option<Engine> {
    Some(Engine::open(&stories()?, options()).expect("it loads"))
}
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime")
}
pub(crate) fn prompt(text: &str) -> Request {
    let mut r = Request::new("m");
    r.messages.push(Message::text(Role::User, text));
    r.max_tokens = Some(30);
    r.sampling.temperature = Some(0.0);
    r
}
pub(crate) fn read(runtime: &Runtime, mut g: Generation) -> Response {
    runtime.block_on(async {
        let mut response = Response::default();
        while let Some(event) = g.next().await {
            response.push(event);
        }
        response
    })
}
pub(crate) fn text(response: &Response, choice: usize) -> String {
    match &response.choices[choice].parts[..] {
        [] => String::new(),
        [Part::Text(t)] => t.clone(),
        other => panic!("{other:?}"),
    }
}
pub(crate) fn complete(engine: &Engine, request: &Request) -> Response {
    read(&runtime(), engine.complete(request).expect("accepted"))
}

/// A Llama of random weights, written where the test can change it.
pub(crate) fn random(pooling: Option<u32>) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("random.gguf");
    let shape = gguf::Shape { pooling, ..gguf::Shape::TINY };
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).expect("a file"));
    gguf::random_llama(shape, 3, &mut file).expect("written");
    (dir, path)
}

#[test]
fn greedy_text_is_the_known_one() {
    let Some(engine) = open() else { return };
    let answer = complete(&engine, &prompt("Once upon a time, Lily"));
    let got = text(&answer, 0);
    assert!(GREEDY.starts_with(&got) && got.len() > 40, "{got:?}");
    let usage = answer.usage.expect("told");
    assert_eq!((usage.get(Axis::Input), usage.get(Axis::Output)), (7, 30));
    assert_eq!(answer.choices[0].finish, Some(Finish::Length));
    let info = engine.info();
    assert_eq!((info.n_ctx_train, info.n_vocab, info.n_embd), (512, 512, 64));
    assert_eq!((info.n_ctx, info.kv_cells, info.fingerprint.len()), (512, 2048, 64));
    assert!(info.can_generate && !info.can_embed && !info.has_template);
}

#[test]
fn a_batch_of_ragged_prompts_answers_as_single_runs_do() {
    let Some(engine) = open() else { return };
    let prompts: Vec<String> =
        (0..8).map(|i| format!("Once upon a time{}, Lily", " there was a dog".repeat(i * 3))).collect();
    let running: Vec<Generation> =
        prompts.iter().map(|p| engine.complete(&prompt(p)).expect("accepted")).collect();
    let runtime = runtime();
    let together: Vec<Response> = running.into_iter().map(|g| read(&runtime, g)).collect();
    for (p, together) in prompts.iter().zip(together) {
        let alone = complete(&engine, &prompt(p));
        assert_eq!(text(&alone, 0), text(&together, 0));
        // What was reused differs; what was asked and written does not.
        let told = |r: &Response| r.usage.as_ref().map(|u| (u.input_total(), u.output_total()));
        assert_eq!(told(&alone), told(&together));
    }
    let stats = engine.stats();
    assert_eq!((stats.queued, stats.running, stats.kv_used), (0, 0, 0));
}

#[test]
fn a_deadline_that_has_passed_is_told_with_its_own_code() {
    let (_dir, path) = random(None);
    let engine = Engine::open(&path, options()).expect("it loads");
    let caller = Caller { deadline: Some(units::Micros(1)), ..Caller::default() };
    let answer = read(&runtime(), engine.complete_as(&prompt("a"), &caller).expect("accepted"));
    let (kind, message) = answer.failed.expect("it failed");
    assert_eq!(kind, "EN0013");
    assert!(message.contains("deadline"), "{message}");
}

#[test]
fn a_seed_repeats_and_choices_differ() {
    let Some(engine) = open() else { return };
    let mut request = prompt("Once upon a time, Lily");
    request.sampling.temperature = Some(1.2);
    request.sampling.seed = Some(11);
    request.n = 3;
    let (a, b) = (complete(&engine, &request), complete(&engine, &request));
    assert_eq!(a, b);
    assert_eq!(a.choices.len(), 3);
    assert_ne!(text(&a, 0), text(&a, 1));
    let usage = a.usage.expect("told");
    assert_eq!((usage.get(Axis::Input), usage.get(Axis::Output)), (7, 90), "the prompt is counted once");
}

#[test]
fn a_stop_text_ends_the_answer_before_it() {
    let Some(engine) = open() else { return };
    let mut request = prompt("Once upon a time, Lily");
    request.stop = vec!["the moon".into(), "named Lily we".into()];
    let answer = complete(&engine, &request);
    assert_eq!(text(&answer, 0), " and a little girl ");
    assert_eq!(answer.choices[0].finish, Some(Finish::Stop));
    assert_eq!(answer.choices[0].stop.as_deref(), Some("named Lily we"));
}

#[test]
fn log_probabilities_are_told() {
    let Some(engine) = open() else { return };
    let mut request = prompt("Once upon a time, Lily");
    request.logprobs = Some(3);
    request.max_tokens = Some(5);
    let answer = complete(&engine, &request);
    let told = &answer.choices[0].logprobs;
    assert_eq!(told.len(), 5);
    let spelled: String = told.iter().map(|t| t.token.as_str()).collect();
    assert_eq!(spelled, text(&answer, 0));
    assert!(told.iter().all(|t| t.top.len() == 3 && t.top[0].logprob == t.logprob && t.logprob <= 0.0));
}

#[test]
fn trap_s8_a_prompt_that_does_not_fit_is_refused_with_both_numbers() {
    let Some(engine) = open() else { return };
    let request = prompt(&"Lily ".repeat(600));
    let Err(error) = engine.complete(&request) else { panic!("accepted") };
    let Error::TooLong { prompt, context } = error else { panic!("{error:?}") };
    assert!(prompt > 512 && context == 512);
    let report = error.report();
    assert_eq!(report.code.0, "EN0001");
    assert!(report.what.contains(&prompt.to_string()) && report.what.contains("512"));
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let Some(engine) = open() else { return };
    let base = prompt("hi");
    let image = Part::Image(chat::Image::Url { url: "http://x".into(), detail: None });
    let tool = chat::Tool { name: "f".into(), description: None, parameters: None, strict: None };
    let mut requests = vec![
        Request { tool_choice: chat::ToolChoice::Named("f".into()), ..base.clone() },
        Request { n: 9, ..base.clone() },
        Request { tools: vec![tool], ..base.clone() },
        Request { tool_choice: chat::ToolChoice::Required, ..base.clone() },
        Request { messages: vec![], ..base.clone() },
        Request { logprobs: Some(21), ..base.clone() },
    ];
    requests.push(base.clone());
    requests[6].messages[0].parts.push(image);
    requests.push(base.clone());
    requests[7].sampling.temperature = Some(f32::NAN);
    requests.push(base.clone());
    requests[8].sampling.logit_bias = vec![(512, 1.0)];
    for (i, request) in requests.iter().enumerate() {
        match engine.submit(request) {
            Err(e) => assert_eq!(e.report().code.0, "EN0004", "{i}"),
            Ok(_) => panic!("request {i} was accepted"),
        }
    }
    let vectors = runtime().block_on(engine.embed(vec!["hi".into()]));
    assert_eq!(vectors.expect_err("no pooling").report().code.0, "EN0004");
}

#[test]
fn trap_m4_a_reader_that_leaves_frees_its_cells_in_every_phase() {
    let Some(engine) = open() else { return };
    let runtime = runtime();
    let mut long = prompt(&"there was a dog ".repeat(60));
    long.max_tokens = Some(200);
    for events in 0..6 {
        let mut g = engine.complete(&long).expect("accepted");
        runtime.block_on(async {
            for _ in 0..events {
                g.next().await;
            }
        });
        drop(g);
    }
    let after = complete(&engine, &prompt("Once upon a time, Lily"));
    assert!(GREEDY.starts_with(&text(&after, 0)));
    let stats = engine.stats();
    assert_eq!((stats.queued, stats.running, stats.kv_used), (0, 0, 0));
}

#[test]
fn a_cancel_ends_a_step_in_its_middle_and_leaves_no_trace() {
    let (_dir, path) = random(None);
    let model = Arc::new(Model::load(&path).expect("it loads"));
    let context = ContextOptions {
        cells: 512,
        seq_max: 2,
        seq_len_max: 512,
        step_rows: 512,
        threads: 1,
        ..ContextOptions::default()
    };
    let mut kernel = LlamaKernel::new(model, context).expect("a context");
    let row = |pos| Row { token: 300 + pos % 9, pos, seq: 0, logits: pos == 399 };
    let rows: Vec<Row> = (0..400).map(row).collect();
    let asked = AtomicU32::new(0);
    let third = || asked.fetch_add(1, Ordering::Relaxed) >= 3;
    assert_eq!(kernel.step(&rows, &third), Err(StepError::Aborted));
    assert!(asked.load(Ordering::Relaxed) < 10, "it asked on and on");
    assert_eq!(kernel.len(0), 0);
    assert_eq!(kernel.step(&rows, &|| false), Ok(()));
    let after = kernel.logits(399).to_vec();
    kernel.clear(0);
    assert_eq!(kernel.step(&rows, &|| false), Ok(()));
    assert_eq!(after, kernel.logits(399));
    kernel.share(0, 1, 400);
    assert_eq!((kernel.len(0), kernel.len(1)), (400, 400));
    assert!(kernel.truncate(1, 100));
    assert_eq!((kernel.len(0), kernel.len(1)), (400, 100));
    for bad in [Row { seq: 2, ..row(0) }, Row { token: 512, ..row(0) }, Row { pos: 512, ..row(0) }] {
        assert!(matches!(kernel.step(&[bad], &|| false), Err(StepError::Fatal(_))), "{bad:?}");
    }
    assert!(matches!(kernel.step(&[], &|| false), Err(StepError::Fatal(_))));
}

#[test]
fn a_step_in_several_calls_has_the_logits_of_its_parts_and_fails_as_one() {
    let (_dir, path) = random(None);
    let model = Arc::new(Model::load(&path).expect("it loads"));
    let context = ContextOptions {
        cells: 256,
        seq_max: 80,
        seq_len_max: 256,
        step_rows: 256,
        threads: 1,
        ..ContextOptions::default()
    };
    let mut kernel = LlamaKernel::new(model, context).expect("a context");
    let row = |seq, pos, logits| Row { token: 300 + (seq + pos) % 9, pos, seq, logits };
    // 70 that write, too many for one call, around a prompt.
    let writers: Vec<Row> = (1..=70).map(|seq| row(seq, 0, true)).collect();
    let prompt: Vec<Row> = (0..100).map(|pos| row(0, pos, pos == 99)).collect();
    let all = [&writers[..30], &prompt, &writers[30..]].concat();
    assert_eq!(kernel.step(&all, &|| false), Ok(()));
    let together: Vec<Vec<f32>> = (0..all.len()).map(|at| kernel.logits(at).to_vec()).collect();
    assert!(together.iter().zip(&all).all(|(logits, row)| logits.is_empty() != row.logits));
    (0..80).for_each(|seq| kernel.clear(seq));
    let mut apart = Vec::new();
    for part in [&prompt[..], &writers[..63], &writers[63..]] {
        assert_eq!(kernel.step(part, &|| false), Ok(()));
        apart.extend((0..part.len()).filter(|at| part[*at].logits).map(|at| kernel.logits(at).to_vec()));
    }
    let order = [129].into_iter().chain(0..30).chain(130..170);
    for (apart, at) in apart.iter().zip(order) {
        let far = apart.iter().zip(&together[at]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far < 1e-3, "row {at}: {far}");
    }

    // Cells for the prompt and not for all the rest: nothing of the step stays.
    (0..80).for_each(|seq| kernel.clear(seq));
    let full: Vec<Row> = (0..120).map(|pos| row(79, pos, false)).collect();
    assert_eq!(kernel.step(&full, &|| false), Ok(()));
    assert_eq!(kernel.step(&all, &|| false), Err(StepError::NoRoom));
    assert_eq!((0..79).map(|seq| kernel.len(seq)).sum::<u32>(), 0);
    assert_eq!(kernel.len(79), 120);
}

/// The shape of the Hermes and Qwen templates, shortened.
const HERMES: &str = "{%- if tools %}<|im_start|>system\nTools:{% for t in tools %}\n{{ t | tojson }}{% endfor %}\n\
Answer with <tool_call>{...}</tool_call><|im_end|>\n{% endif %}\
{%- for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}\
{%- for c in m.tool_calls or [] %}<tool_call>{\"name\": \"{{ c.function.name }}\", \"arguments\": \
{{ c.function.arguments | tojson }}}</tool_call>{% endfor %}<|im_end|>\n{% endfor %}\
{%- if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

fn prompter(template: &str) -> Prompter {
    let template = Template::new(Some(template), String::new(), "</s>".into()).expect("it compiles");
    Prompter::new(template, vec!["</s>".into(), "<s>".into(), "<|im_start|>".into()])
}

#[test]
fn tools_and_calls_go_through_the_template() {
    let (_dir, path) = random(None);
    let model = Model::load(&path).expect("it loads");
    let mut request = prompt("what is up?");
    let schema = "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"}}}".to_owned();
    let description = Some("the <weather>".to_owned());
    request.tools =
        vec![chat::Tool { name: "up".into(), description, parameters: Some(schema), strict: None }];
    let call = Part::ToolCall { id: "c1".into(), name: "up".into(), arguments: "{\"city\":\"Bern\"}".into() };
    request.messages.push(Message { role: Role::Assistant, parts: vec![call], name: None });
    let result =
        Part::ToolResult { id: "c1".into(), parts: vec![Part::Text("rain".into())], is_error: false };
    request.messages.push(Message { role: Role::Tool, parts: vec![result], name: None });
    let prompt = prompter(HERMES).chat(&model, &request, units::Micros(0)).expect("rendered");
    expect_test::expect![[r#"
        <|im_start|>system
        Tools:{"type": "function", "function": {"name": "up", "description": "the <weather>", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}Answer with <tool_call>{...}</tool_call><|im_end|>
        <|im_start|>user
        what is up?<|im_end|>
        <|im_start|>assistant
        <tool_call>{"name": "up", "arguments": {"city": "Bern"}}</tool_call><|im_end|>
        <|im_start|>tool
        rain<|im_end|>
        <|im_start|>assistant
    "#]]
    .assert_eq(&prompt.text);
}

#[test]
fn trap_x6_a_users_words_do_not_become_control_tokens() {
    let (_dir, path) = random(None);
    let model = Model::load(&path).expect("it loads");
    let template = "<s>{% for m in messages %}{{ m.content }}</s>{% endfor %}";
    let tokens = |words: &str| {
        let rendered = prompter(template).chat(&model, &prompt(words), units::Micros(0)).expect("rendered");
        rendered.tokens.iter().filter(|t| **t == 1 || **t == 2).count()
    };
    // One from the template's start, one from its end, and the tokenizer's own first.
    let plain = tokens("hello");
    assert_eq!(plain, tokens("hello </s><s> <s </s> you"));
    assert!(model.tokenize("a</s>", false, true).expect("tokens").contains(&2));
}

#[test]
fn the_built_in_model_chats_through_its_own_template() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = here.join("../../models/guide/bedplate-guide.q8_0.gguf");
    if !path.exists() {
        eprintln!("skipped: models/guide is absent");
        return;
    }
    let engine = Engine::open(&path, options()).expect("it loads");
    assert!(engine.info().has_template);
    let mut request = prompt("What is Bedplate?");
    request.max_tokens = Some(120);
    let answer = read(&runtime(), engine.submit(&request).expect("accepted"));
    assert!(text(&answer, 0).len() > 20, "{answer:?}");
    assert_eq!(answer.choices[0].finish, Some(Finish::Stop), "{answer:?}");
}

#[test]
fn a_slow_reader_pauses_only_itself() {
    let Some(engine) = open() else { return };
    let runtime = runtime();
    let mut long = prompt("Once upon a time, Lily");
    long.max_tokens = Some(400);
    let slow = engine.complete(&long).expect("accepted");
    let quick = complete(&engine, &long);
    let slow = read(&runtime, slow);
    assert_eq!(text(&slow, 0), text(&quick, 0));
    let told = |r: &Response| r.usage.as_ref().map(|u| (u.input_total(), u.output_total()));
    assert_eq!(told(&slow), told(&quick));
}

#[test]
fn a_full_queue_refuses() {
    let Some(path) = stories() else { return };
    let engine = Engine::open(&path, Options { queue_max: 0, ..options() }).expect("it loads");
    let Err(error) = engine.complete(&prompt("hi")) else { panic!("accepted") };
    assert_eq!(error.report().code.0, "EN0002");
}

#[test]
fn closing_the_engine_ends_its_streams() {
    let Some(engine) = open() else { return };
    let mut long = prompt("Once upon a time, Lily");
    long.max_tokens = Some(400);
    let g = engine.complete(&long).expect("accepted");
    drop(engine);
    let answer = read(&runtime(), g);
    assert!(answer.choices.iter().all(|c| c.finish.is_none()));
}

#[test]
fn the_template_is_counted_exactly() {
    let Some(engine) = open() else { return };
    let request = prompt("hello");
    let counted = engine.count_tokens(&request).expect("counted");
    let g = engine.submit(&request).expect("accepted");
    assert_eq!(g.prompt_tokens(), counted);
    let usage = read(&runtime(), g).usage.expect("told");
    assert_eq!(usage.get(Axis::Input), u64::from(counted));
}

#[test]
fn a_model_that_pools_gives_unit_vectors() {
    let (_dir, path) = random(Some(1));
    let engine = Engine::open(&path, options()).expect("it loads");
    assert!(engine.info().can_embed && engine.info().can_generate);
    let texts: Vec<String> = (0..50).map(|i| format!("text {} {}", i % 25, "x".repeat(i % 25))).collect();
    let vectors = runtime().block_on(engine.embed(texts.clone())).expect("vectors");
    assert_eq!(vectors.len(), 50);
    for (i, (vector, tokens)) in vectors.iter().enumerate() {
        assert_eq!(vector.len(), 64);
        assert_eq!(*tokens, engine.count_embed_tokens(&texts[i]).expect("counted"));
        assert!((vector.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-4);
        let same: f32 = vector.iter().zip(&vectors[(i + 25) % 50].0).map(|(a, b)| a * b).sum();
        let other: f32 = vector.iter().zip(&vectors[(i + 7) % 50].0).map(|(a, b)| a * b).sum();
        assert!(same > 0.9999 && other < same, "{i}: {same} {other}");
    }
    let long = runtime().block_on(engine.embed(vec!["x ".repeat(4000)]));
    assert_eq!(long.expect_err("too long").report().code.0, "EN0001");
}

#[test]
fn a_model_over_the_memory_limit_is_refused_before_it_is_loaded() {
    let (_dir, path) = random(None);
    let refused = Engine::open(&path, Options { memory_max_bytes: Some(1 << 20), ..options() });
    assert_eq!(refused.err().map(|e| e.report().code.0), Some("EN0006"));
}

#[test]
fn a_polled_stream_wakes_its_reader() {
    let Some(engine) = open() else { return };
    let mut g = engine.complete(&prompt("Once upon a time, Lily")).expect("accepted");
    let first = runtime().block_on(poll_fn(move |cx| {
        let mut next = Box::pin(g.next());
        match Pin::new(&mut next).poll(cx) {
            Poll::Ready(event) => Poll::Ready(event),
            Poll::Pending => Poll::Pending,
        }
    }));
    assert!(matches!(first, Some(Event::Start { .. })));
}
