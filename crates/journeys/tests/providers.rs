//! Providers that misbehave, and clients that leave: the client is told, the
//! record says what happened, and no money stays reserved.

use journeys::{World, binary, eventually, price};
use serde_json::{Value, json};
use std::net::TcpListener;
use testkit::{Answer, Ask, Behaviour, Phase, Provider};

/// A world with a provider of each dialect: models `m` and `claude-m`.
struct Scene {
    world: World,
    provider: Provider,
    key: String,
}

fn scene(binary: std::path::PathBuf, models: &[&str]) -> Scene {
    let world = World::new(binary);
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), models);
    let key = world.team("people");
    world.budget("people", "people", "1000");
    Scene { world, provider, key }
}

impl Scene {
    fn ask(&self, model: &str, stream: bool) -> Answer {
        self.world.send(&self.world.chat(&self.key, model, stream))
    }
    /// Nothing is held any more, the books balance, the process lives.
    fn is_settled(&self) {
        let held = || self.world.budget_now("people")["held_usd"] == "0";
        eventually("nothing is held", || held().then_some(()));
        self.world.check_books();
        self.world.is_sound();
    }
}

fn cost(record: &Value) -> f64 {
    record["cost_usd"].as_str().and_then(|text| text.parse().ok()).expect("a cost in USD")
}

#[track_caller]
fn ended(record: &Value, outcome: &str, code: Value) {
    assert_eq!((&record["outcome"], &record["error_code"]), (&json!(outcome), &code), "{record:#}");
}

#[test]
fn garbage_cut_heads_and_no_http_are_a_502_with_a_record() {
    let Some(binary) = binary() else { return };
    let models = ["garbage", "not-http", "cut-head", "cut-before-head", "wrong-type", "redirect", "huge:65"];
    let scene = scene(binary, &models);
    for model in models {
        for stream in [false, true] {
            // A whole answer under a wrong type is still an answer, and 65 MiB are only too many at once.
            if matches!((model, stream), ("wrong-type", false)) {
                continue;
            }
            let answer = scene.ask(model, stream);
            if answer.status == 200 {
                assert!(stream && model == "garbage", "{model} {stream}: {answer:?}");
                assert!(answer.body.contains("\"error\""), "{model}: {answer:?}");
                assert!(!answer.body.contains("[DONE]"), "{model}: {answer:?}");
            } else {
                let code = answer.header("bedplate-error").unwrap_or_default();
                assert!(code.starts_with("UP"), "{model} {stream}: {answer:?}");
                assert_eq!(answer.status / 100, 5, "{model} {stream}: {answer:?}");
                assert!(answer.json()["error"]["message"].is_string(), "{model} {stream}: {answer:?}");
            }
            let record = scene.world.record_of(&answer);
            assert_eq!(record["outcome"], "failed", "{model} {stream}: {record:#}");
            assert_eq!(record["attempts"][0]["outcome"], "failed", "{model} {stream}: {record:#}");
        }
    }
    scene.is_settled();
}

#[test]
fn trap_x2_a_redirect_of_a_provider_is_not_followed() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary, &["redirect"]);
    let answer = scene.ask("redirect", false);
    assert_eq!(answer.status, 502, "{answer:?}");
    assert_eq!(scene.provider.seen().len(), 1);
    scene.is_settled();
}

#[test]
fn trap_s4_a_cut_stream_ends_in_an_error_and_not_in_done() {
    let Some(binary) = binary() else { return };
    let models = ["cut-stream:2", "half-event", "error-event"];
    let scene = scene(binary, &models);
    for model in models {
        let streamed = scene.ask(model, true);
        assert_eq!(streamed.status, 200, "{streamed:?}");
        let events = streamed.events();
        assert!(!events.contains(&"[DONE]"), "{model}: {streamed:?}");
        assert!(events.iter().any(|e| e.contains("\"error\"")), "{model}: {streamed:?}");
        let record = scene.world.record_of(&streamed);
        let code = if model == "error-event" { "UP0001" } else { "UP0005" };
        ended(&record, "failed", json!(code));
        assert!(cost(&record) > 0.0, "what was produced is paid: {record:#}");

        let anthropic = scene.world.send(&scene.world.message(&scene.key, model, true));
        assert!(anthropic.body.contains("event: error"), "{model}: {anthropic:?}");
        assert!(!anthropic.body.contains("message_stop"), "{model}: {anthropic:?}");
        ended(&scene.world.record_of(&anthropic), "failed", json!(code));
    }
    let whole = scene.ask("cut-stream:2", false);
    assert_eq!((whole.status, whole.header("bedplate-error")), (502, Some("UP0005")), "{whole:?}");
    scene.is_settled();
}

#[test]
fn trap_m3_no_usage_is_estimated_and_never_free() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary, &["no-usage"]);
    for stream in [false, true] {
        let answer = scene.ask("no-usage", stream);
        assert_eq!(answer.status, 200, "{answer:?}");
        let record = scene.world.record_of(&answer);
        ended(&record, "completed", Value::Null);
        let attempt = &record["attempts"][0];
        assert_eq!(attempt["estimated"], true, "{record:#}");
        assert!(cost(&record) > 0.0, "{record:#}");
        assert!(attempt["tokens"]["output"].as_u64() > Some(0), "{record:#}");
    }
    scene.is_settled();
}

#[test]
fn trap_s1_usage_is_taken_from_any_chunk_and_counted_once() {
    let Some(binary) = binary() else { return };
    let models = ["usage-twice", "groq-usage", "echo"];
    let scene = scene(binary, &models);
    let mut costs = Vec::new();
    for model in models {
        let answer = scene.ask(model, true);
        assert_eq!((answer.status, answer.whole), (200, true), "{answer:?}");
        assert!(answer.body.contains("[DONE]"), "{answer:?}");
        let record = scene.world.record_of(&answer);
        ended(&record, "completed", Value::Null);
        assert_eq!(record["attempts"][0]["estimated"], false, "{record:#}");
        costs.push(cost(&record));
    }
    assert!(costs.windows(2).all(|pair| pair[0] == pair[1]), "{costs:?}");
    // Nobody asked for usage: our own question for it is not shown.
    let echo = scene.ask("echo", true);
    assert!(!echo.body.contains("\"usage\":{"), "{echo:?}");
    scene.is_settled();
}

#[test]
fn a_429_carries_its_time_in_seconds_and_in_three_date_formats() {
    let Some(binary) = binary() else { return };
    let models = ["429-seconds:30", "429-imf:30", "429-rfc850:30", "429-asctime:30"];
    let scene = scene(binary, &models);
    for model in models {
        let answer = scene.ask(model, false);
        assert_eq!((answer.status, answer.header("bedplate-error")), (429, Some("UP0006")), "{answer:?}");
        let after = answer.header("retry-after").and_then(|v| v.parse::<u32>().ok());
        assert!(after.is_some_and(|s| (1..=31).contains(&s)), "{model}: {answer:?}");
        ended(&scene.world.record_of(&answer), "failed", json!("UP0006"));
    }
    assert_eq!(scene.provider.seen().len(), models.len());
    scene.is_settled();
}

#[test]
fn trap_s3_a_stream_of_single_bytes_comes_out_whole() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary, &["drip:0"]);
    for ask in [scene.world.chat(&scene.key, "drip:0", true), scene.world.message(&scene.key, "drip:0", true)]
    {
        let answer = scene.world.send(&ask);
        assert!(answer.whole && answer.status == 200, "{answer:?}");
        for word in ["echo: ", "hello ", "big ", "world"] {
            assert_eq!(answer.body.matches(word).count(), 1, "{word}: {answer:?}");
        }
        ended(&scene.world.record_of(&answer), "completed", Value::Null);
    }
    scene.is_settled();
}

#[test]
fn trap_m5_every_attempt_has_a_line_in_the_record() {
    let Some(binary) = binary() else { return };
    let world = World::new(binary);
    let (first, second) = (Provider::start(), Provider::start());
    world.provider("one", "openai", &first.url(), &[]);
    world.provider("two", "openai", &second.url(), &[]);
    let model = |name: &str, retries: u32, targets: &[String]| {
        let targets: String = targets.iter().map(|t| format!("    - {t}\n")).collect();
        world.apply(&format!(
            "apiVersion: bedplate/v1\nkind: Model\nmetadata: {{ name: {name} }}\n\
             spec:\n  retries: {retries}\n  targets:\n{targets}"
        ));
    };
    model("again", 1, &[price("one", "again", "0")]);
    model("elsewhere", 0, &[price("one", "elsewhere", "0"), price("two", "other", "0")]);
    first.script("again", [Behaviour::Status(500), Behaviour::Normal]);
    first.script("elsewhere", [Behaviour::Status(503)]);
    let key = world.team("people");
    world.budget("people", "people", "1000");
    let scene = Scene { world, provider: first, key };

    let answer = scene.ask("again", false);
    assert_eq!(answer.status, 200, "{answer:?}");
    let record = scene.world.record_of(&answer);
    let outcomes = |record: &Value| -> Vec<String> {
        let attempts = record["attempts"].as_array().expect("attempts");
        attempts.iter().map(|a| format!("{} {}", a["provider"], a["outcome"]).replace('"', "")).collect()
    };
    assert_eq!(outcomes(&record), ["one failed", "one ok"], "{record:#}");

    for stream in [true, false] {
        scene.provider.script("elsewhere", [Behaviour::Status(503)]);
        let answer = scene.ask("elsewhere", stream);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("bedplate-target"), Some("two/other"), "{answer:?}");
        let record = scene.world.record_of(&answer);
        assert_eq!(outcomes(&record), ["one failed", "two ok"], "{record:#}");
        assert_eq!(record["attempts"][0]["cost_usd"], "0", "{record:#}");
    }
    assert_eq!(second.seen().len(), 2);
    scene.is_settled();
}

#[test]
fn a_request_that_the_provider_finds_invalid_is_not_tried_again() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary, &["400", "401"]);
    let invalid = scene.ask("400", false);
    assert_eq!((invalid.status, invalid.header("bedplate-error")), (400, Some("UP0007")), "{invalid:?}");
    // Its word about our key is not a word about the client's.
    let unauthorised = scene.ask("401", false);
    assert_eq!(unauthorised.status, 502, "{unauthorised:?}");
    assert_eq!(scene.provider.seen().len(), 2);
    scene.is_settled();
}

/// Leaves in each phase of an answer, and looks at what is left.
fn client_leaves(model: &str, stream: bool, dialect: &str, phase: Phase) {
    let Some(binary) = binary() else { return };
    let scene = scene(binary, &[model]);
    let ask = match dialect {
        "openai" => scene.world.chat(&scene.key, model, stream),
        _ => scene.world.message(&scene.key, model, stream),
    };
    let mut open = ask.open(scene.world.server.address()).expect("reach the server");
    scene.provider.wait_for("the request", |seen| seen.len() == 1);
    if phase == Phase::MidStream {
        open.until("echo").expect("the first piece of the answer");
    }
    let held = scene.world.budget_now("people");
    assert_ne!(held["held_usd"], "0", "money is reserved while it runs: {held}");
    drop(open);
    assert_eq!(scene.provider.wait_until_left(0), phase, "{model} {stream} {dialect}");
    let record = scene.world.record_for(model);
    ended(&record, "abandoned", Value::Null);
    assert_eq!(record["attempts"][0]["outcome"], "cancelled", "{record:#}");
    if phase == Phase::MidStream {
        assert!(cost(&record) > 0.0, "what was produced is paid: {record:#}");
    }
    scene.is_settled();
}

#[test]
fn trap_m4_the_client_leaves_before_the_head_of_a_whole_answer() {
    client_leaves("hang-before-head", false, "openai", Phase::BeforeHead);
}

#[test]
fn trap_m4_the_client_leaves_before_the_head_of_a_stream() {
    client_leaves("hang-before-head", true, "anthropic", Phase::BeforeHead);
}

#[test]
fn trap_m4_the_client_leaves_inside_a_whole_answer() {
    client_leaves("hang-after-head", false, "openai", Phase::AfterHead);
}

#[test]
fn trap_m4_the_client_leaves_before_the_first_event() {
    client_leaves("hang-after-head", true, "openai", Phase::AfterHead);
}

#[test]
fn trap_m4_the_client_leaves_in_the_middle_of_a_stream() {
    client_leaves("hang-mid-stream:2", true, "openai", Phase::MidStream);
}

#[test]
fn trap_m4_the_client_leaves_in_the_middle_of_a_translated_stream() {
    client_leaves("hang-mid-stream:2", true, "anthropic", Phase::MidStream);
}

#[test]
fn trap_m4_the_client_leaves_while_the_provider_is_being_connected() {
    let Some(binary) = binary() else { return };
    // Accepts nothing: its queue fills, and then connecting hangs.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
    let address = silent.local_addr().expect("its address");
    let mut waiting = Vec::new();
    loop {
        match std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_millis(300)) {
            Ok(stream) if waiting.len() < 10_000 => waiting.push(stream),
            Ok(_) => {
                eprintln!("SKIPPED: this system's queue of connections has no end");
                return;
            }
            Err(_) => break,
        }
    }
    let world = World::new(binary);
    world.provider("silent", "openai", &format!("http://{address}"), &["never"]);
    let key = world.team("people");
    world.budget("people", "people", "1000");
    let open = world.chat(&key, "never", true).open(world.server.address()).expect("reach the server");
    let held = || world.budget_now("people")["held_usd"] != "0";
    eventually("money is reserved", || held().then_some(()));
    drop(open);
    let record = world.record_for("never");
    ended(&record, "abandoned", Value::Null);
    assert_eq!(cost(&record), 0.0, "nothing was asked, nothing is owed: {record:#}");
    let scene = Scene { world, provider: Provider::start(), key };
    scene.is_settled();
}

#[test]
fn providers_that_are_too_slow_or_not_there_are_given_up() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary, &[]);
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its address");
    scene.world.provider("nobody", "openai", &format!("http://{nobody}"), &["closed"]);
    let timeouts = "timeouts: { firstByteMs: 150, idleMs: 150, totalMs: 20000 }";
    for model in ["hang-before-head", "hang-after-head", "hang-mid-stream:2", "drip:400"] {
        scene.world.apply(&format!(
            "apiVersion: bedplate/v1\nkind: Model\nmetadata: {{ name: \"{model}\" }}\n\
             spec:\n  retries: 0\n  {timeouts}\n  targets:\n    - {}\n",
            price("scripted", model, "0")
        ));
    }
    let closed = scene.ask("closed", true);
    assert_eq!((closed.status, closed.header("bedplate-error")), (502, Some("UP0002")), "{closed:?}");
    for model in ["hang-before-head", "hang-after-head", "drip:400"] {
        let late = scene.ask(model, false);
        assert_eq!((late.status, late.header("bedplate-error")), (504, Some("UP0003")), "{model}: {late:?}");
        ended(&scene.world.record_of(&late), "failed", json!("UP0003"));
    }
    for model in ["hang-mid-stream:2", "drip:400"] {
        let late = scene.ask(model, true);
        assert!(late.body.contains("UP0003") && !late.body.contains("[DONE]"), "{model}: {late:?}");
        ended(&scene.world.record_of(&late), "failed", json!("UP0003"));
    }
    scene.provider.wait_for("every connection to be closed", |seen| {
        seen.iter().all(|seen| !matches!(seen.end, testkit::End::Open))
    });
    scene.is_settled();
}

#[test]
fn an_error_under_a_status_of_success_is_an_error() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary, &["leaky", "error-event", "error-200"]);
    for ask in [
        scene.world.chat(&scene.key, "error-200", false),
        scene.world.message(&scene.key, "error-200", false),
    ] {
        let answer = scene.world.send(&ask);
        assert_eq!(answer.status / 100, 5, "{answer:?}");
        assert!(answer.body.contains("no provider had room"), "{answer:?}");
        assert_eq!(scene.world.record_of(&answer)["outcome"], "failed");
    }
    let streamed = scene.ask("error-event", true);
    assert!(streamed.body.contains("the model fell over"), "{streamed:?}");
    ended(&scene.world.record_of(&streamed), "failed", json!("UP0001"));
    let refused = scene.ask("leaky", false);
    assert_eq!((refused.status, refused.header("bedplate-error")), (502, Some("UP0001")), "{refused:?}");
    scene.is_settled();
}

#[test]
fn a_client_that_leaves_before_its_request_is_whole_leaves_nothing() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary, &["echo"]);
    let half = Ask::new("POST", "/v1/chat/completions")
        .key(&scene.key)
        .header("content-type", "application/json")
        .header("transfer-encoding", "chunked");
    drop(half.open(scene.world.server.address()).expect("reach the server"));
    let answer = scene.ask("echo", false);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(scene.provider.seen().len(), 1);
    scene.is_settled();
}
