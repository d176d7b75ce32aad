//! The audit log of the running process: receipts, crashes, witnesses, and what
//! somebody does who would rather have another past.

use std::path::{Path, PathBuf};

use journeys::{Folder, World, bedplate, binary, eventually};
use serde_json::{Value, json};
use testkit::{Answer, Bedplate, Provider};

fn id(answer: &Answer) -> String {
    answer.header("x-request-id").expect("every answer has an id").to_owned()
}

/// A world with a scripted provider and a team's key.
fn world(binary: &Path) -> (World, Provider, String) {
    let world = World::new(binary);
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &["echo"]);
    let key = world.team("people");
    (world, provider, key)
}

/// Asks `count` times, whole and streamed in turns; the ids.
fn ask(world: &World, key: &str, count: usize) -> Vec<String> {
    let one = |n: usize| {
        let answer = world.send(&world.chat(key, "echo", n % 2 == 1));
        assert_eq!(answer.status, 200, "{answer:?}");
        id(&answer)
    };
    (0..count).map(one).collect()
}

fn receipt(world: &World, id: &str) -> Value {
    world.show(&format!("/api/v1/audit/receipts/{id}"))
}

#[test]
fn a_receipt_verifies_on_another_machine_without_a_server() {
    let Some(binary) = binary() else { return };
    let (world, _provider, key) = world(&binary);
    let ids = ask(&world, &key, 3);
    let folder = Folder::new();
    let file = folder.path().join("request.tlog-proof");
    let path = file.to_str().expect("a plain path");
    world.run(&["audit", "receipt", &ids[1], "--out", path]).exits(0);
    let public = world.run(&["audit", "key"]).exits(0).stdout.trim().to_owned();
    let record = world.record(&ids[1]);
    // The server and its directory are gone.
    drop(world);

    let verify = |key: &str| {
        bedplate(&binary, &["audit", "verify", "--receipt", path, "--key", key, "--json"], &[], "")
    };
    let held = verify(&public).exits(0).json();
    assert_eq!((&held["verified"], &held["leaf"]["request_id"]), (&json!(true), &json!(ids[1])));
    assert_eq!(held["leaf"]["cost_usd"], record["cost_usd"]);
    assert_eq!(held["leaf"]["outcome"], "completed");
    assert_eq!(held["leaf"]["target"], "scripted/echo");
    assert_eq!(
        held["leaf"]["response_bytes_scanned"], 0,
        "no guard looked, and the leaf does not say otherwise"
    );
    for commitment in ["request_commitment", "response_commitment"] {
        assert_eq!(held["leaf"][commitment].as_str().map(str::len), Some(44), "{held}");
    }
    // What was said is not in it.
    let text = std::fs::read_to_string(&file).expect("it reads");
    assert!(!text.contains("hello") && !held.to_string().contains("hello"));

    let lines: Vec<&str> = text.lines().collect();
    for at in 0..lines.len() {
        let mut changed: Vec<String> = lines.iter().map(|l| (*l).to_owned()).collect();
        match changed[at].pop() {
            Some(last) => changed[at].push(if last == 'A' { 'B' } else { 'A' }),
            None => changed[at].push('A'),
        }
        std::fs::write(&file, changed.join("\n") + "\n").expect("it is ours");
        assert_eq!(verify(&public).code, 1, "line {at} was changed");
    }
    std::fs::write(&file, text).expect("it is ours");
    verify(&public).exits(0);
    let other = "other+e8ae7aa1+ATkOVZ6Yl3s2gx1nLUj0kJ9Wb5T2s2t7u8rVh1cJm0yQ";
    assert_eq!(verify(other).code, 1);
}

#[test]
fn no_answer_ends_before_its_leaf_whatever_kill_9_does() {
    let Some(binary) = binary() else { return };
    let (mut world, provider, key) = world(&binary);
    let mut answered = Vec::new();
    for _ in 0..4 {
        answered.extend(ask(&world, &key, 6));
        // At once, with the last answer still warm: between its leaf and the next checkpoint.
        world = world.killed();
        for id in &answered {
            assert_eq!(receipt(&world, id)["leaf"]["request_id"], **id);
        }
    }
    drop(provider);
    let check = world.run(&["audit", "verify", "--json"]).exits(0).json();
    assert_eq!((&check["sound"], &check["problems_total"]), (&json!(true), &json!(0)), "{check}");
    let requests = check["requests"].as_u64().expect("a number");
    // The ledger tells the same story of each, those that the crashes cut off among them.
    let books = &check["books"];
    assert_eq!((&books["agrees"], &books["same"]), (&json!(true), &books["records"]), "{check}");
    assert!(books["records"].as_u64() >= Some(answered.len() as u64), "{check}");
    assert!(requests >= answered.len() as u64, "{check}");
    // The same from the files, with no server.
    let data = world.server.data().to_owned();
    let start = world.server.kill().expect("it is ours");
    let offline = ["audit", "verify", "--json", "--data", data.to_str().expect("a plain path")];
    let check = bedplate(&binary, &offline, &[], "").exits(0).json();
    assert_eq!((&check["sound"], &check["books"]["agrees"]), (&json!(true), &json!(true)), "{check}");
    drop(start);
}

#[test]
fn what_changes_the_rules_is_written_down_before_it_is_done() {
    let Some(binary) = binary() else { return };
    let (world, _provider, key) = world(&binary);
    let viewer = world.key("people", json!({"role": "viewer"}));
    let refused = world.run_with(&viewer, &["team", "create", "mine"], "");
    assert_eq!(refused.code, 1);
    let answer = world.send(&world.chat(&key, "no-such-model", false));
    assert_eq!(answer.status, 404, "{answer:?}");
    ask(&world, &key, 1);
    let log = world.run(&["audit", "log", "--json"]).exits(0).json();
    let leaves = log["data"].as_array().expect("a list").clone();
    let found = |action: &str, resource: &str| {
        let of = |l: &&Value| l["action"] == action && (resource.is_empty() || l["resource"] == resource);
        leaves.iter().find(of).unwrap_or_else(|| panic!("no {action} {resource} in {log}")).clone()
    };
    assert_eq!(found("create_team", "people")["decision"], "allow");
    assert_eq!(found("create_team", "")["outcome"], "");
    assert!(found("apply", "")["request_commitment"].is_string());
    assert!(
        leaves.iter().any(|l| l["action"] == "create_team" && l["decision"] == "deny: the role of the key")
    );
    let denied = found("infer", "no-such-model");
    assert!(
        denied["outcome"] == "refused GW0005"
            && denied["decision"].as_str().is_some_and(|d| d.starts_with("deny"))
    );
    // A viewer reads its own team's leaves, and the leaves of nobody else.
    let own = world.run_with(&viewer, &["audit", "log", "--json"], "").exits(0).json();
    let own = own["data"].as_array().expect("a list");
    let team = found("infer", "echo")["team"].clone();
    assert!(!own.is_empty() && own.iter().all(|l| l["team"] == team), "{own:?}");
    let bundle = |key: &str| {
        let path = "/audit/tile/entries/000.p/1";
        world.send(&testkit::Ask::get(path).key(key)).status
    };
    world.run(&["audit", "verify"]).exits(0);
    assert_eq!((bundle(&viewer), bundle(&key), bundle(&world.admin)), (403, 403, 200));
    let hashes = world.send(&testkit::Ask::get("/audit/tile/0/000.p/1"));
    assert_eq!(hashes.status, 200, "hashes are for everybody on this machine");
}

#[test]
fn a_witness_notices_a_past_that_was_rewritten() {
    let Some(binary) = binary() else { return };
    let (world, _provider, key) = world(&binary);
    ask(&world, &key, 2);
    let folder = Folder::new();
    let witness = folder.path().join("witness.key");
    let cosign = |world: &World| {
        let (url, file) = (world.server.url(), witness.to_str().expect("a plain path").to_owned());
        world.run(&["audit", "witness", &url, "--key", &file, "--name", "example.com/w1", "--json"])
    };
    let world = world.killed();
    // A copy of the directory, as a backup is.
    let data = world.server.data().to_owned();
    let World { server, admin, folder: home } = world;
    let start = server.kill().expect("it is ours");
    let backup = folder.path().join("backup");
    copy(&data, &backup);
    let world = World { server: Bedplate::start(start).expect("it starts"), admin, folder: home };

    let first = cosign(&world).exits(0).json();
    assert!(first["seen_before"].is_null(), "{first}");
    let ids = ask(&world, &key, 3);
    world.run(&["audit", "receipt", &ids[0]]).exits(0);
    let second = cosign(&world).exits(0).json();
    assert!(
        second["size"].as_u64() > first["size"].as_u64() && second["seen_before"] == first["size"],
        "{second}"
    );
    // Receipts carry the witness's word from now on, and can demand it.
    let file = folder.path().join("receipt");
    let path = file.to_str().expect("a plain path");
    world.run(&["audit", "receipt", &ids[0], "--out", path]).exits(0);
    let public = world.run(&["audit", "key"]).exits(0).stdout.trim().to_owned();
    let by = second["key"].as_str().expect("a key");
    let verify = ["audit", "verify", "--receipt", path, "--key", &public, "--witness", by, "--json"];
    let held = bedplate(&binary, &verify, &[], "").exits(0).json();
    assert_eq!(held["cosigned"][0]["witness"], "example.com/w1");

    // The backup is put back, and other things happen.
    let World { server, admin, folder: home } = world;
    let start = server.kill().expect("it is ours");
    std::fs::remove_dir_all(&data).expect("it is ours");
    copy(&backup, &data);
    let world = World { server: Bedplate::start(start).expect("it starts"), admin, folder: home };
    let shrunk = cosign(&world).exits(1);
    assert!(shrunk.stderr.contains("AU0004"), "{shrunk:?}");
    let more = ask(&world, &key, 12);
    world.run(&["audit", "receipt", &more[11]]).exits(0);
    // By itself the new log is sound: nothing but the witness's memory tells.
    world.run(&["audit", "verify"]).exits(0);
    let split = cosign(&world).exits(1);
    assert!(split.stderr.contains("AU0004") && split.stderr.contains("no longer"), "{split:?}");
    let evidence = std::fs::read_to_string(folder.path().join("witness.key.split")).expect("both are kept");
    assert_eq!(
        evidence.matches("bedplate/log/").count(),
        4,
        "two checkpoints, each named and signed: {evidence}"
    );
}

#[test]
fn commitments_open_for_an_auditor_until_the_team_is_erased_and_its_receipts_still_hold() {
    let Some(binary) = binary() else { return };
    let (world, _provider, key) = world(&binary);
    let auditor = world.key("admin", json!({"role": "auditor"}));
    let viewer = world.key("people", json!({"role": "viewer"}));
    let folder = Folder::new();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("it is ours");
        path.to_str().expect("a plain path").to_owned()
    };
    let other = file("other", "another text");
    let mut ids = Vec::new();
    for stream in [false, true] {
        let body = json!({"model": "echo", "stream": stream, "max_tokens": 50,
            "messages": [{"role": "user", "content": "a secret of people"}]})
        .to_string();
        let answer = world.send(&testkit::Ask::post("/v1/chat/completions", &*body).key(&key));
        assert_eq!(answer.status, 200, "{answer:?}");
        ids.push(id(&answer));
        let (asked, said) = (file("asked", &body), file("said", &answer.body));
        let open = |key: &str, request: &str, response: &str| {
            let words =
                ["audit", "open", &id(&answer), "--request", request, "--response", response, "--json"];
            world.run_with(key, &words, "")
        };
        let opened = open(&auditor, &asked, &said).exits(0).json();
        let parts = opened["commitments"].as_array().expect("a list");
        let shown: Vec<_> = parts.iter().map(|p| (p["part"].as_str(), p["matches"].as_bool())).collect();
        assert_eq!(shown, [(Some("request"), Some(true)), (Some("response"), Some(true))], "{opened}");
        assert_eq!(parts[0]["bytes"], body.len());
        let differs = open(&auditor, &asked, &other).exits(1).json();
        assert_eq!(differs["commitments"][1]["matches"], false, "{differs}");
        // Neither whoever sees the team's records nor its members.
        for stranger in [&viewer, &key] {
            assert!(open(stranger, &asked, &said).exits(1).stderr.contains("ID0006"));
        }
    }
    let log = world.run(&["audit", "log", "--json", "--limit", "1000"]).exits(0).json();
    let leaves = log["data"].as_array().expect("a list");
    let asked = leaves.iter().filter(|l| l["action"] == "open_commitments" && l["resource"] == *ids[0]);
    let asked: Vec<_> = asked.map(|l| l["decision"].as_str().expect("a text")).collect();
    assert_eq!(asked.iter().filter(|d| **d == "allow").count(), 2, "an opening is in the log: {asked:?}");
    assert_eq!(asked.iter().filter(|d| d.starts_with("deny")).count(), 2, "{asked:?}");

    world.run(&["tenant", "shred", "people", "--confirm", "people"]).exits(0);
    let world = world.killed();
    for id in &ids {
        let gone = world.run_with(&auditor, &["audit", "open", id], "").exits(1);
        assert!(gone.stderr.contains("SE0014"), "{gone:?}");
        let path = file("receipt", "");
        world.run_with(&auditor, &["audit", "receipt", id, "--out", &path], "").exits(0);
        let public = world.run(&["audit", "key"]).exits(0).stdout.trim().to_owned();
        bedplate(&binary, &["audit", "verify", "--receipt", &path, "--key", &public], &[], "").exits(0);
    }
    assert_eq!(world.run(&["audit", "verify", "--json"]).exits(0).json()["sound"], true);
}

/// The leaves of an action, the oldest first.
fn leaves_of(world: &World, action: &str) -> Vec<Value> {
    let log = world.run(&["audit", "log", "--json", "--limit", "1000"]).exits(0).json();
    let leaves = log["data"].as_array().expect("a list");
    leaves.iter().filter(|l| l["action"] == action).cloned().collect()
}

#[test]
fn who_signs_in_at_the_console_and_who_is_refused_has_a_leaf() {
    let Some(binary) = binary() else { return };
    let world = World::new(&binary);
    let form = |path: &str, body: String| {
        let ask = testkit::Ask::new("POST", path).body(body);
        ask.header("content-type", "application/x-www-form-urlencoded")
    };
    let answer = world.send(&form("/login", format!("key={}", world.admin)));
    assert_eq!(answer.status, 303, "{answer:?}");
    let cookie = answer.header("set-cookie").and_then(|c| c.split(';').next()).expect("a cookie").to_owned();
    let begun = leaves_of(&world, "login");
    assert_eq!(begun.len(), 1, "it is durable before the cookie is given: {begun:?}");
    assert_eq!(begun[0]["resource"], "console");
    assert!(begun[0]["key"].is_string() && begun[0]["team"].is_string(), "{begun:?}");
    assert!(begun[0]["decision"].as_str().is_some_and(|d| d.starts_with("allow: until 20")), "{begun:?}");
    assert_eq!(world.send(&form("/logout", String::new()).header("cookie", &cookie)).status, 303);
    let ended = eventually("the end has a leaf", || leaves_of(&world, "logout").pop());
    assert_eq!((&ended["resource"], &ended["key"]), (&json!("console"), &begun[0]["key"]));
    let over = world.send(&testkit::Ask::get("/").header("cookie", &cookie));
    assert_eq!(over.header("location"), Some("/login"), "{over:?}");

    // Refused: by a code, and never with what was presented.
    let guess = format!("bp-{}", "0".repeat(49));
    assert_eq!(world.send(&form("/login", format!("key={guess}"))).status, 401);
    let refused = eventually("the refusal has a leaf", || leaves_of(&world, "login").into_iter().nth(1));
    assert_eq!(
        (&refused["decision"], &refused["outcome"]),
        (&json!("deny: ID0002"), &json!("refused ID0002"))
    );
    assert!(refused.get("key").is_none() && !refused.to_string().contains(&guess[..8]), "{refused}");
}

#[test]
fn what_serve_config_changes_has_a_leaf_and_a_start_that_changes_nothing_has_none() {
    let Some(binary) = binary() else { return };
    let folder = Folder::new();
    let config = folder.path().join("config.yaml");
    let declare = |limit: u32| {
        let text = format!(
            "apiVersion: bedplate/v1\nkind: Team\nmetadata: {{ name: declared }}\nspec: {{ requestsPerMinute: {limit} }}\n"
        );
        std::fs::write(&config, text).expect("it is ours");
    };
    declare(10);
    let world = journeys::Setup::new(&binary).arg(&format!("--config={}", config.display())).begin();
    let first = leaves_of(&world, "apply");
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!((&first[0]["resource"], &first[0]["index"]), (&json!("serve --config"), &json!(0)));
    assert!(first[0].get("key").is_none() && first[0]["request_commitment"].is_string(), "{first:?}");
    let world = world.killed();
    assert_eq!(leaves_of(&world, "apply").len(), 1, "nothing was changed");
    declare(20);
    let world = world.killed();
    let applied = leaves_of(&world, "apply");
    assert_eq!(applied.len(), 2);
    // The platform's salts open it: the text is what was read, with the marks between files.
    let text = folder.path().join("text");
    let read = std::fs::read_to_string(&config).expect("it reads") + "\n---\n";
    std::fs::write(&text, read).expect("it is ours");
    let index = applied[1]["index"].to_string();
    let words = ["audit", "open", &index, "--request", text.to_str().expect("a plain path"), "--json"];
    let opened = world.run(&words).exits(0).json();
    assert_eq!(
        (&opened["salted_by"], &opened["commitments"][0]["matches"]),
        (&json!("platform"), &json!(true))
    );
    assert_eq!(world.run(&["audit", "verify", "--json"]).exits(0).json()["sound"], true);
}

/// All files of a folder, and of those in it.
fn copy(from: &Path, to: &PathBuf) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("it reads") {
        let entry = entry.expect("it reads");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).expect("it is ours");
        }
    }
}
