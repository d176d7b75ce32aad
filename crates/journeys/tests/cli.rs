//! The command line as a person and as a script use it.

use std::fs;

use journeys::{Setup, World, bedplate, binary, price};
use serde_json::{Value, json};
use testkit::Provider;

/// A world with a scripted model `echo`, and a key of team `people` made by the command line.
fn people(binary: &std::path::Path, provider: &Provider) -> (World, String) {
    let world = World::new(binary);
    world.provider("scripted", "openai", &provider.url(), &["echo"]);
    world.run(&["team", "create", "people"]).exits(0);
    world.run(&["budget", "create", "people-month", "--team", "people", "--limit", "5.00"]).exits(0);
    let created = world.run(&["key", "create", "laptop", "--team", "people"]).exits(0);
    let key = created.stdout.trim().to_owned();
    assert!(key.starts_with("bp-") && !key.contains(char::is_whitespace), "only the secret: {created:#?}");
    assert!(!created.stderr.contains(&key), "once is enough: {created:#?}");
    (world, key)
}

#[test]
fn a_question_is_answered_priced_and_explained() {
    let Some(binary) = binary() else { return };
    let provider = Provider::start();
    let (world, key) = people(&binary, &provider);
    for dialect in ["openai", "anthropic"] {
        let asked = ["chat", "hello big world", "--model", "echo", "--dialect", dialect];
        let plain = world.run_with(&key, &asked, "").exits(0);
        assert_eq!(plain.stdout, "echo: hello big world\n", "{plain:#?}");
        assert!(plain.stderr.contains("USD") && plain.stderr.contains("bedplate explain "), "{plain:#?}");
        let shown = world.run_with(&key, &[&asked[..], &["--json"]].concat(), "").exits(0).json();
        assert_eq!(
            (&shown["text"], &shown["model"]),
            (&json!("echo: hello big world"), &json!("echo")),
            "{shown}"
        );
        assert_eq!(shown["target"], "scripted/echo", "{shown}");
        assert!(shown["output_tokens"].as_u64() > Some(0) && shown["cost_usd"].is_string(), "{shown}");
        let id = shown["request_id"].as_str().expect("an id").to_owned();
        let record = world.run(&["explain", &id, "--json"]).exits(0).json();
        assert_eq!((&record["id"], &record["outcome"]), (&json!(id), &json!("completed")), "{record:#}");
        assert!(record["postings"].as_array().is_some_and(|p| !p.is_empty()), "{record:#}");
        let told = world.run(&["explain", "last"]).exits(0);
        for word in [id.as_str(), "identify", "dispatch", "scripted", "ledger"] {
            assert!(told.stdout.contains(word), "no {word}: {told:#?}");
        }
    }
    let piped = world.run_with(&key, &["chat", "-", "--model", "echo"], "from a pipe").exits(0);
    assert_eq!(piped.stdout, "echo: from a pipe\n", "{piped:#?}");

    for by in ["team", "model", "key", "day"] {
        let report = world.run(&["cost", "report", "--by", by, "--json"]).exits(0).json();
        assert_eq!((&report["by"], &report["total"]["attempts"]), (&json!(by), &json!(5)), "{report:#}");
        assert!(report["rows"].as_array().is_some_and(|rows| rows.len() == 1), "{report:#}");
        assert!(!world.run(&["cost", "report", "--by", by]).exits(0).stdout.is_empty());
    }
    assert_eq!(world.run(&["cost", "check", "--json"]).exits(0).json()["ok"], true);
    let budgets = world.run(&["budget", "list", "--json"]).exits(0).json();
    assert_ne!(budgets["data"][0]["spent_usd"], "0", "{budgets:#}");
    world.is_sound();
}

#[test]
fn the_built_in_model_answers_without_any_provider() {
    let Some(binary) = binary() else { return };
    let world = Setup::new(&binary).with_engine().begin();
    let asked = ["chat", "What is a budget?", "--max-tokens", "24", "--temperature", "0", "--json"];
    for dialect in ["openai", "anthropic"] {
        let shown = world.run(&[&asked[..], &["--dialect", dialect]].concat()).exits(0).json();
        assert_eq!(shown["target"], "local/bedplate-guide", "{shown}");
        assert!(shown["text"].as_str().is_some_and(|text| text.split_whitespace().count() >= 3), "{shown}");
        assert!(shown["cost_usd"].as_str().is_some_and(|cost| cost != "0"), "{shown}");
    }
    let models = world.run(&["model", "list", "--json"]).exits(0).json();
    assert_eq!(models["data"][0]["name"], "bedplate-guide", "{models:#}");
    world.check_books();
    world.is_sound();
}

#[test]
fn plan_exits_2_for_changes_1_for_errors_and_0_for_none() {
    let Some(binary) = binary() else { return };
    let world = World::new(&binary);
    let file = world.folder.path().join("models.yaml");
    let path = file.to_str().expect("a UTF-8 path").to_owned();
    let write = |limit: &str| {
        let text = format!(
            "apiVersion: bedplate/v1\nkind: Team\nmetadata: {{ name: search }}\n---\n\
             apiVersion: bedplate/v1\nkind: Budget\nmetadata: {{ name: search-month }}\n\
             spec: {{ team: search, limit: \"{limit}\", period: month }}\n---\n\
             apiVersion: bedplate/v1\nkind: Model\nmetadata: {{ name: fast }}\n\
             spec:\n  targets:\n    - {}\n",
            price("groq", "llama-3.3-70b-versatile", "0")
        );
        fs::write(&file, text).expect("write the manifests");
    };
    write("25.00");
    let plan = world.run(&["plan", "-f", &path]).exits(2);
    assert!(plan.stdout.contains("+ Team search"), "{plan:#?}");
    world.run(&["status", "-f", &path]).exits(1);
    world.run(&["apply", "-f", &path]).exits(0);
    let plan = world.run(&["plan", "-f", &path, "--json"]).exits(0).json();
    assert_eq!(plan["changed"], false, "{plan:#}");
    world.run(&["status", "-f", &path]).exits(0);
    write("30.00");
    let diff = world.run(&["diff", "-f", &path]).exits(2);
    assert!(diff.stdout.contains("25") && diff.stdout.contains("30"), "{diff:#?}");
    assert!(!diff.stdout.contains("Team search"), "only what differs: {diff:#?}");

    fs::write(
        &file,
        "apiVersion: bedplate/v1\nkind: Team\nmetadata: { name: search }\nspec:\n  requestPerMinute: 1\n",
    )
    .expect("write the manifests");
    let wrong = world.run(&["plan", "-f", &path]).exits(1);
    for word in ["MF0007", "requestsPerMinute", "models.yaml:5"] {
        assert!(wrong.stderr.contains(word), "no {word}: {wrong:#?}");
    }
    let wrong = world.run(&["plan", "-f", &path, "--json"]).exits(1);
    let error: Value = serde_json::from_str(wrong.stderr.trim()).expect("one JSON error");
    assert_eq!(error["error"]["code"], "MF0007", "{error}");
    let absent = world.run(&["apply", "-f", "/nowhere/at/all.yaml"]).exits(1);
    assert!(absent.stderr.contains("CL0004"), "{absent:#?}");
    world.is_sound();
}

#[test]
fn the_shapes_of_json_that_scripts_rely_on() {
    let Some(binary) = binary() else { return };
    let provider = Provider::start();
    let (world, key) = people(&binary, &provider);
    let json = |arguments: &[&str]| world.run(&[arguments, &["--json"]].concat()).exits(0).json();
    let has = |value: &Value, names: &[&str]| {
        for name in names {
            assert!(value.get(name).is_some(), "no {name}: {value:#}");
        }
    };
    has(&json(&["team", "create", "more"]), &["id", "name", "live_keys", "created"]);
    let created = json(&["key", "create", "ci", "--team", "more", "--model", "echo", "--expires", "30d"]);
    has(&created, &["key", "secret"]);
    has(
        &created["key"],
        &["id", "team", "name", "role", "models", "versions", "created", "expires", "revoked"],
    );
    let id = created["key"]["id"].as_str().expect("an id").to_owned();
    let rotated = json(&["key", "rotate", &id, "--overlap", "1h"]);
    assert_eq!(rotated["key"]["versions"].as_array().map(Vec::len), Some(2), "{rotated:#}");
    let secret = |value: &Value| value["secret"].as_str().expect("a secret").to_owned();
    for version in [secret(&created), secret(&rotated)] {
        let asked = ["chat", "hi", "--model", "echo"];
        assert_eq!(world.run_with(&version, &asked, "").exits(0).stdout, "echo: hi\n");
    }
    assert!(json(&["key", "revoke", &id])["revoked"].is_string());
    let refused = world.run_with(&secret(&rotated), &["chat", "hi", "--model", "echo"], "").exits(1);
    assert!(refused.stderr.contains("ID0004"), "{refused:#?}");
    assert_eq!(json(&["key", "list"])["data"].as_array().map(Vec::len), Some(3));
    let budget =
        json(&["budget", "create", "total", "--key", &id, "--limit", "0.10", "--period", "total", "--soft"]);
    has(
        &budget,
        &["id", "name", "scope", "limit_usd", "period", "kind", "spent_usd", "held_usd", "left_usd"],
    );
    assert_eq!((&budget["limit_usd"], &budget["kind"]), (&json!("0.1"), &json!("soft")), "{budget}");
    has(&json(&["budget", "delete", "total"]), &["name", "spent_usd"]);
    has(&json(&["status"]), &["version", "state", "generation", "roles", "requests_total", "rss_bytes"]);
    has(&json(&["model", "list"])["data"][0], &["name", "aliases", "targets"]);
    has(&json(&["provider", "list"])["data"][0], &["name", "dialect", "base_url", "key_source"]);
    let doctor = bedplate(
        &binary,
        &["doctor", "--json", "--data", world.server.data().to_str().expect("a UTF-8 path")],
        &[],
        "",
    );
    let doctor = doctor.json();
    let names: Vec<&str> = doctor["checks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|check| check["name"].as_str())
        .collect();
    assert!(doctor["ok"].is_boolean(), "{doctor:#}");
    for name in ["version", "clock", "open files", "master key"] {
        assert!(names.contains(&name), "no {name}: {doctor:#}");
    }
    let _ = key;
    world.is_sound();
}

#[test]
fn trap_x3_a_key_cannot_make_more_of_itself() {
    let Some(binary) = binary() else { return };
    let provider = Provider::start();
    let (world, key) = people(&binary, &provider);
    let refused =
        world.run_with(&key, &["key", "create", "mine", "--team", "people", "--role", "admin"], "").exits(1);
    assert!(refused.stderr.contains("ID0006"), "{refused:#?}");
    let viewer = world.run(&["key", "create", "viewer", "--team", "people", "--role", "viewer"]).exits(0);
    let viewer = viewer.stdout.trim();
    world.run_with(viewer, &["cost", "report"], "").exits(0);
    for writes in
        [&["team", "create", "x"][..], &["key", "create", "x", "--team", "people"], &["key", "list"]]
    {
        let refused = world.run_with(viewer, writes, "").exits(1);
        assert!(refused.stderr.contains("ID0006"), "{refused:#?}");
    }
    world.is_sound();
}

#[test]
fn wrong_use_exits_2_and_refusals_exit_1_with_a_code() {
    let Some(binary) = binary() else { return };
    let alone =
        |arguments: &[&str], environment: &[(&str, &str)]| bedplate(&binary, arguments, environment, "");
    for wrong in
        [&["nonsense"][..], &["key"], &["budget", "create", "x", "--limit", "1"], &["serve", "--listen", "x"]]
    {
        let ran = alone(wrong, &[]).exits(2);
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{ran:#?}");
    }
    alone(&["--help"], &[]).exits(0);
    assert!(alone(&["--version"], &[]).exits(0).stdout.starts_with("bedplate "));
    let nowhere =
        alone(&["--url", "http://127.0.0.1:1", "team", "list"], &[("BEDPLATE_KEY", "bp-x")]).exits(1);
    assert!(nowhere.stderr.contains("CL0001"), "{nowhere:#?}");
    let world = World::new(&binary);
    let url = world.server.url();
    let keyless = alone(&["team", "list"], &[("BEDPLATE_URL", &url)]).exits(1);
    assert!(keyless.stderr.contains("CL0002") || keyless.stderr.contains("ID0001"), "{keyless:#?}");
    for (arguments, code) in [
        (&["team", "create", "Bad Name"][..], "CT0002"),
        (&["budget", "create", "b", "--team", "nobody", "--limit", "1"], "CT0003"),
        (&["budget", "create", "b", "--team", "admin", "--limit", "much"], "CL0010"),
        (&["key", "create", "k", "--team", "admin", "--expires", "soon"], "CL0010"),
        (&["key", "revoke", "nobody/nothing"], "CT0003"),
        (&["explain", "01a20973-ac64-7ba8-a4f7-9f64875adecc"], "CT0003"),
        (&["explain", "nonsense"], "CT0002"),
        (&["chat", "hi", "--model", "nobody"], "GW0005"),
    ] {
        let ran = world.run(arguments).exits(1);
        assert!(ran.stderr.contains(code), "wanted {code}: {ran:#?}");
    }
    world.is_sound();
}

#[test]
fn a_key_belongs_to_a_user_who_exists() {
    let Some(binary) = binary() else { return };
    let world = World::new(binary);
    let user = world.run(&["user", "create", "ada", "--json"]).exits(0).json();
    assert_eq!((&user["name"], &user["live_keys"]), (&"ada".into(), &0.into()));
    let again = world.run(&["user", "create", "ada"]).exits(1);
    assert!(again.stderr.contains("CT0004"), "{again:#?}");
    world.run(&["team", "create", "search"]).exits(0);
    let create = ["key", "create", "laptop", "--team", "search", "--json", "--user"];
    let created = world.run(&[&create[..], &["ada"]].concat()).exits(0).json();
    assert_eq!(created["key"]["user"], "ada", "{created}");
    let nobody = world.run(&[&create[..], &["eve"]].concat()).exits(1);
    assert!(nobody.stderr.contains("CT0003") && nobody.stderr.contains("eve"), "{nobody:#?}");
    let listed = world.run(&["user", "list"]).exits(0).stdout;
    assert!(listed.lines().any(|l| l.starts_with("ada") && l.contains(" 1 ")), "{listed}");
    world.is_sound();
}

#[test]
fn a_reader_that_leaves_ends_the_command_in_silence() {
    let Some(binary) = binary() else { return };
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let child = std::process::Command::new(&binary)
        .args(["completions", "bash"])
        .stdout(writer)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!((ended.status.code(), ended.stderr), (Some(141), Vec::new()));
}
