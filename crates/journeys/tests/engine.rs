//! The embedded engine, through both dialects: parallel requests, clients that
//! leave, prompts that do not fit, and a model file that is not one.

use std::fs;
use std::thread;

use journeys::{Setup, World, binary, eventually};
use serde_json::{Value, json};
use testkit::Ask;

const MODEL: &str = "bedplate-guide";

fn long(world: &World, stream: bool, tokens: u32) -> Ask {
    let messages = json!([{"role": "user", "content": "What is a budget?"}]);
    let body = json!({"model": MODEL, "stream": stream, "max_tokens": tokens, "messages": messages,
        "temperature": 1.9, "seed": 7, "logit_bias": {"2": -100}});
    Ask::json("/v1/chat/completions", &body).key(&world.admin)
}

fn idle(world: &World) -> bool {
    let engine = &world.show("/api/v1/status")["engine"];
    engine["running"] == 0 && engine["waiting"] == 0
}

#[test]
fn trap_m4_clients_that_leave_free_the_engine_and_pay_for_what_was_computed() {
    let Some(binary) = binary() else { return };
    let world = Setup::new(binary).with_engine().begin();
    let address = world.server.address();
    let mut left = Vec::new();
    for _ in 0..3 {
        let mut open = long(&world, true, 900).open(address).expect("reach the server");
        let head = open.until("\"content\"").expect("the first words");
        let id = head.lines().find_map(|l| l.strip_prefix("x-request-id: ")).expect("an id").to_owned();
        left.push(id);
        drop(open);
    }
    // Whole answers: nobody has seen a byte yet.
    let silent = long(&world, false, 900).open(address).expect("reach the server");
    eventually("it runs", || (!idle(&world)).then_some(()));
    drop(silent);
    eventually("the engine is free", || idle(&world).then_some(()));
    for id in left {
        let record = world.record(&id);
        if record["outcome"] == "completed" {
            // The model came to its end before the client could leave.
            continue;
        }
        assert_eq!(record["outcome"], "abandoned", "{record:#}");
        assert_ne!(record["cost_usd"], "0", "{record:#}");
    }
    world.check_books();
    world.is_sound();
}

#[test]
fn parallel_requests_share_the_engine_and_each_gets_its_own_answer() {
    let Some(binary) = binary() else { return };
    let world = Setup::new(binary).with_engine().begin();
    let ask = |n: usize| {
        let content = ["What is a budget?", "What is Bedplate?", "How do I create a key?"][n % 3];
        let body = json!({"model": MODEL, "max_tokens": 16, "temperature": 0, "stream": n.is_multiple_of(2),
            "messages": [{"role": "user", "content": content}]});
        Ask::json(if n < 6 { "/v1/chat/completions" } else { "/v1/messages" }, &body).key(&world.admin)
    };
    let answers = thread::scope(|scope| {
        let world = &world;
        let running: Vec<_> = (0..12).map(|n| scope.spawn(move || world.send(&ask(n)))).collect();
        running.into_iter().map(|r| r.join().expect("the request")).collect::<Vec<_>>()
    });
    for answer in &answers {
        assert!(answer.status == 200 && answer.whole, "{answer:?}");
        assert_eq!(world.record_of(answer)["outcome"], "completed");
    }
    world.check_books();
    world.is_sound();
}

#[test]
fn trap_s8_a_prompt_that_does_not_fit_is_refused_with_both_numbers() {
    let Some(binary) = binary() else { return };
    let world = Setup::new(binary).with_engine().begin();
    let content = "budget ".repeat(20_000);
    for path in ["/v1/chat/completions", "/v1/messages"] {
        let body =
            json!({"model": MODEL, "max_tokens": 8, "messages": [{"role": "user", "content": content}]});
        let answer = world.send(&Ask::json(path, &body).key(&world.admin));
        assert_eq!((answer.status, answer.header("bedplate-error")), (400, Some("EN0001")), "{answer:?}");
        let message = answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        let numbers = message.split(|c: char| !c.is_ascii_digit()).filter(|n| n.len() >= 3).count();
        assert!(numbers >= 2, "{message}");
    }
    assert!(idle(&world));
    world.is_sound();
}

#[test]
fn trap_x7_a_declared_model_that_is_no_model_harms_nobody_else() {
    let Some(binary) = binary() else { return };
    let world = Setup::new(binary).with_engine().begin();
    let models = world.server.data().join("models");
    let guide = fs::read(models.join("builtin/bedplate-guide.gguf")).expect("the built-in model's file");
    fs::write(models.join("cut.gguf"), &guide[..guide.len() / 3]).expect("write a file");
    fs::write(models.join("text.gguf"), "not a model").expect("write a file");
    for name in ["cut", "text", "absent"] {
        world.apply(&format!(
            "apiVersion: bedplate/v1\nkind: Model\nmetadata: {{ name: {name} }}\n\
             spec: {{ targets: [ {{ local: {{ file: {name}.gguf }} }} ] }}\n"
        ));
        let answer = eventually("the file is found to be none", || {
            let answer = world.send(&world.chat(&world.admin, name, false));
            (!answer.body.contains("loading")).then_some(answer)
        });
        assert_eq!(answer.status, 503, "{name}: {answer:?}");
        let listed = world.show("/api/v1/models");
        let model = listed["data"].as_array().into_iter().flatten().find(|m| m["name"] == name);
        let target = &model.expect("it is listed")["targets"][0];
        assert_eq!(target["ready"], false, "{target:#}");
        assert!(target["reason"].as_str().is_some_and(|why| why.len() > 10), "{target:#}");
    }
    assert_eq!(world.send(&world.chat(&world.admin, MODEL, false)).status, 200);
    let metrics = world.api("GET", "/metrics", &Value::Null);
    assert!(metrics.status == 200 && metrics.body.contains("bedplate_"), "{metrics:?}");
    world.is_sound();
}
