//! Through the whole engine: a model of random weights, and the small real one
//! where it is, write only what they are held to.

use std::path::{Path, PathBuf};

use chat::{Finish, Format, Message, Part, Request, Response, Role, ToolChoice};
use serde_json::Value;

use crate::{Engine, Error, Options};

const REVIEW: &str = r#"{"type":"object","properties":{"mood":{"enum":["good","bad","mixed"]},
    "stars":{"type":"integer","minimum":1,"maximum":5},"tags":{"type":"array","items":{"type":"string","maxLength":6},"maxItems":2}},
    "required":["mood","stars","tags"],"additionalProperties":false}"#;

/// A Llama of random weights whose vocabulary has every byte.
fn random(dir: &Path) -> PathBuf {
    let path = dir.join("random.gguf");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).expect("a file"));
    gguf::random_llama(gguf::Shape::TINY, 3, &mut file).expect("written");
    path
}

/// The models to try: `shared/data` may be absent.
fn models(dir: &Path) -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let real = here.ancestors().map(|a| a.join("shared/data/models/stories260K/stories260K.gguf"));
    let real = real.into_iter().find(|p| p.exists());
    if real.is_none() {
        eprintln!("skipped the real model: shared/data/models/stories260K is absent");
    }
    real.into_iter().chain([random(dir)]).collect()
}

fn open(path: &Path) -> Engine {
    let options = Options { n_ctx: Some(1024), n_seq_max: 4, threads: 1, ..Options::default() };
    Engine::open(path, options).expect("it loads")
}

fn request(format: Format, temperature: f32) -> Request {
    let mut request = Request::new("m");
    request.messages.push(Message::text(Role::User, "A review:"));
    request.max_tokens = Some(200);
    request.sampling.temperature = Some(temperature);
    request.sampling.min_p = Some(0.0);
    request.sampling.seed = Some(7);
    request.format = format;
    request
}

fn schema(text: &str) -> Format {
    Format::JsonSchema { name: "review".into(), schema: text.into(), strict: Some(true) }
}

fn answer(engine: &Engine, request: &Request, chat: bool) -> Response {
    let generation = if chat { engine.submit(request) } else { engine.complete(request) };
    let mut generation = generation.expect("it is taken");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut response = Response::default();
        while let Some(event) = generation.next().await {
            response.push(event);
        }
        response
    })
}

fn fits(text: &str) -> bool {
    let value: Value = serde_json::from_str(text).expect("the answer is JSON");
    let tags = value["tags"].as_array().expect("a list");
    ["good", "bad", "mixed"].contains(&value["mood"].as_str().expect("a text"))
        && value["stars"].as_i64().is_some_and(|n| (1..=5).contains(&n))
        && tags.len() <= 2
        && tags.iter().all(|t| t.as_str().is_some_and(|t| t.chars().count() <= 6))
}

#[test]
fn every_choice_of_every_model_fits_its_schema() {
    let dir = tempfile::tempdir().expect("a directory");
    for path in models(dir.path()) {
        let engine = open(&path);
        for (chat, temperature) in [(true, 0.0), (true, 1.5), (false, 3.0)] {
            let mut request = request(schema(REVIEW), temperature);
            request.n = 3;
            let response = answer(&engine, &request, chat);
            assert_eq!((response.choices.len(), &response.failed), (3, &None), "{path:?}");
            for choice in &response.choices {
                let [Part::Text(text)] = &choice.parts[..] else { panic!("{:?}", choice.parts) };
                assert_eq!(choice.finish, Some(Finish::Stop), "{text}");
                assert!(fits(text), "{text}");
            }
        }
    }
}

#[test]
fn a_json_object_is_one_as_far_as_it_came() {
    let dir = tempfile::tempdir().expect("a directory");
    for path in models(dir.path()) {
        let response = answer(&open(&path), &request(Format::JsonObject, 1.0), true);
        let [Part::Text(text)] = &response.choices[0].parts[..] else { panic!("{response:?}") };
        assert!(text.starts_with('{'), "{text}");
        match response.choices[0].finish {
            Some(Finish::Stop) => assert!(serde_json::from_str::<Value>(text).expect("JSON").is_object()),
            // Cut, and the client is told so.
            ref other => assert_eq!(*other, Some(Finish::Length)),
        }
    }
}

#[test]
fn a_regular_expression_and_a_grammar_hold_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    for path in models(dir.path()) {
        let engine = open(&path);
        for format in [
            Format::Regex("(positive|negative)".into()),
            Format::Grammar("start: /pos/ \"itive\" | \"negative\"".into()),
        ] {
            let response = answer(&engine, &request(format, 1.5), true);
            let [Part::Text(text)] = &response.choices[0].parts[..] else { panic!("{response:?}") };
            assert!(matches!(text.as_str(), "positive" | "negative"), "{text}");
            assert_eq!(response.choices[0].finish, Some(Finish::Stop));
        }
    }
}

#[test]
fn what_cannot_be_held_is_refused_before_anything_is_computed() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = open(&random(dir.path()));
    let code = |request: &Request| match engine.submit(request) {
        Err(e) => e.report().code.0.to_owned(),
        Ok(_) => panic!("it was taken"),
    };
    assert_eq!(code(&request(schema(r#"{"type":"array","uniqueItems":true}"#), 0.0)), "EN0010");
    assert_eq!(code(&request(schema(r#"{"type":"integer","minimum":2,"maximum":1}"#), 0.0)), "EN0011");
    assert_eq!(code(&request(schema("no JSON"), 0.0)), "EN0010");
    let mut named = request(Format::Text, 0.0);
    named.tool_choice = ToolChoice::Named("f".into());
    assert_eq!(code(&named), "EN0004");
    assert!(matches!(engine.complete(&request(schema("{\"enum\":[]}"), 0.0)), Err(Error::Contradiction(_))));
    let stats = engine.stats();
    assert_eq!((stats.queued, stats.running, stats.steps), (0, 0, 0));
}
