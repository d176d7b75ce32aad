//! Engines in processes of their own: what ends one costs the requests it had,
//! and nothing else.

use std::fs;
use std::process::Command;

use journeys::{Setup, World, binary, eventually};
use serde_json::json;
use testkit::Ask;

const MODEL: &str = "bedplate-guide";

/// A second model: the same file under another name is another engine.
fn second(world: &World) {
    let models = world.server.data().join("models");
    fs::copy(models.join("builtin/bedplate-guide.gguf"), models.join("second.gguf")).expect("copy a model");
    world.apply(
        "apiVersion: bedplate/v1\nkind: Model\nmetadata: { name: second }\n\
         spec: { targets: [ { local: { file: second.gguf } } ] }\n",
    );
}

fn begin() -> Option<World> {
    let setup = Setup::new(binary()?).with_engine().env("JOURNEY_CANARY", "canary-of-the-environment");
    Some(setup.arg("--engine-process=child").begin())
}

fn long(world: &World, model: &str) -> Ask {
    let bias: serde_json::Map<_, _> = (0..8).map(|token: u32| (token.to_string(), json!(-100))).collect();
    let body = json!({"model": model, "stream": true, "max_tokens": 900, "logit_bias": bias,
        "messages": [{"role": "user", "content": "What is a budget?"}]});
    Ask::json("/v1/chat/completions", &body).key(&world.admin)
}

/// The engines' processes: children of the server, with the name of their model.
fn engines(server: u32) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("the list of processes").filter_map(Result::ok) {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let read = |name: &str| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        let stat = read("stat");
        let mut after_name = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let (state, parent) = (after_name.next(), after_name.next());
        if parent == Some(&server.to_string()) && state != Some("Z") {
            found.push((pid, read("cmdline").split('\0').nth(2).unwrap_or_default().to_owned()));
        }
    }
    found
}

fn engine_of(world: &World, file: &str) -> u32 {
    let file = file.to_owned();
    eventually("the engine has a process", || {
        engines(world.server.pid()).into_iter().find(|(_, of)| *of == file).map(|(pid, _)| pid)
    })
}

fn kill(pid: u32) {
    assert!(Command::new("kill").arg("-KILL").arg(pid.to_string()).status().expect("kill runs").success());
}

fn gone(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
        || !fs::exists(format!("/proc/{pid}")).unwrap_or(true)
}

fn ready(world: &World) -> u16 {
    world.send(&Ask::get("/readyz")).status
}

#[test]
fn an_engine_that_is_killed_fails_its_requests_and_is_started_by_the_next() {
    let Some(world) = begin() else { return };
    second(&world);
    for model in [MODEL, "second"] {
        assert_eq!(world.send(&world.chat(&world.admin, model, false)).status, 200, "{model}");
    }
    let (first, other) = (engine_of(&world, "bedplate-guide.gguf"), engine_of(&world, "second.gguf"));
    let mut open = long(&world, MODEL).open(world.server.address()).expect("reach the server");
    let head = open.until("\"content\"").expect("the first words");
    let id = head.lines().find_map(|l| l.strip_prefix("x-request-id: ")).expect("an id").to_owned();
    kill(first);
    let rest = open.until("EN0012").expect("the error is told in the stream");
    assert!(rest.contains("\"error\"") && !rest.contains("[DONE]"), "{rest}");
    let record = world.record(&id);
    assert_eq!(
        (&record["outcome"], &record["error_code"]),
        (&json!("failed"), &json!("EN0012")),
        "{record:#}"
    );

    // The other model has noticed nothing, and the next request starts the engine again.
    assert_eq!(world.send(&world.chat(&world.admin, "second", false)).status, 200);
    assert_eq!(engine_of(&world, "second.gguf"), other);
    let answer = world.send(&world.chat(&world.admin, MODEL, true));
    assert!(answer.status == 200 && answer.whole, "{answer:?}");
    assert_ne!(engine_of(&world, "bedplate-guide.gguf"), first);
    eventually("it is ready", || (ready(&world) == 200).then_some(()));
    world.check_books();
    world.is_sound();
}

#[test]
fn an_engine_that_keeps_dying_is_started_after_longer_and_longer_pauses() {
    let Some(world) = begin() else { return };
    let ask = || world.send(&world.chat(&world.admin, MODEL, false));
    assert_eq!(ask().status, 200);
    kill(engine_of(&world, "bedplate-guide.gguf"));
    // The first time it is started at once.
    eventually("it answers", || (ask().status == 200).then_some(()));
    kill(engine_of(&world, "bedplate-guide.gguf"));
    let refused = eventually("it pauses", || {
        let answer = ask();
        (answer.status == 503 && answer.header("retry-after").is_some_and(|s| s != "1")).then_some(answer)
    });
    assert_eq!(refused.header("bedplate-error"), Some("EN0012"), "{refused:?}");
    eventually("it answers again", || (ask().status == 200).then_some(()));
    world.is_sound();
}

#[test]
fn a_server_that_is_killed_leaves_no_engine_behind() {
    let Some(world) = begin() else { return };
    assert_eq!(world.send(&world.chat(&world.admin, MODEL, false)).status, 200);
    let child = engine_of(&world, "bedplate-guide.gguf");
    // In the middle of its work, which it must not finish first.
    let mut open = long(&world, MODEL).open(world.server.address()).expect("reach the server");
    open.until("\"content\"").expect("the first words");
    let _left = world.server.kill().expect("kill the server");
    eventually("the engine has ended", || gone(child).then_some(()));
}

#[test]
fn a_server_that_drains_takes_its_engines_along() {
    let Some(world) = begin() else { return };
    assert_eq!(world.send(&world.chat(&world.admin, MODEL, false)).status, 200);
    let child = engine_of(&world, "bedplate-guide.gguf");
    assert!(world.server.drain().expect("drained").success());
    eventually("the engine has ended", || gone(child).then_some(()));
}

#[test]
fn trap_x4_an_engines_process_gets_no_secret_of_the_server() {
    let Some(world) = begin() else { return };
    assert_eq!(world.send(&world.chat(&world.admin, MODEL, false)).status, 200);
    let child = engine_of(&world, "bedplate-guide.gguf");
    let environ = fs::read_to_string(format!("/proc/{child}/environ")).expect("its environment");
    assert!(!environ.contains("canary") && !environ.contains("JOURNEY"), "{environ}");
    let server =
        fs::read_to_string(format!("/proc/{}/environ", world.server.pid())).expect("its environment");
    assert!(server.contains("canary-of-the-environment"));
    // Neither files of the store nor connections of clients.
    let held: Vec<String> = fs::read_dir(format!("/proc/{child}/fd"))
        .expect("its files")
        .filter_map(|e| Some(fs::read_link(e.ok()?.path()).ok()?.display().to_string()))
        .collect();
    assert!(!held.iter().any(|file| file.contains(".db") || file.contains("master.key")), "{held:?}");
}

#[test]
fn trap_m4_a_thousand_clients_that_leave_cost_nothing_that_stays() {
    let Some(world) = begin() else { return };
    assert_eq!(world.send(&world.chat(&world.admin, MODEL, false)).status, 200);
    let child = engine_of(&world, "bedplate-guide.gguf");
    let files = |pid: u32| fs::read_dir(format!("/proc/{pid}/fd")).expect("its files").count();
    let before = files(child);
    for n in 0..1_000 {
        let mut open = long(&world, MODEL).open(world.server.address()).expect("reach the server");
        if n % 10 == 0 {
            open.until("\"content\"").expect("the first words");
        }
    }
    eventually("the engine is free", || {
        let status = world.show("/api/v1/status");
        let engine = &status["engine"];
        (engine["running"] == 0 && engine["waiting"] == 0 && status["requests_in_flight"] == 0).then_some(())
    });
    let metrics = world.api("GET", "/metrics", &serde_json::Value::Null).body;
    let used = metrics.lines().find(|l| l.contains("kv_cells") && l.contains("\"used\"")).expect("the gauge");
    assert!(used.ends_with(" 0"), "{used}");
    assert_eq!((engine_of(&world, "bedplate-guide.gguf"), files(child)), (child, before));
    world.check_books();
    world.is_sound();
}
