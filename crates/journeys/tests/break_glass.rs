//! More rights for a while: two other people, a time box, and an end.

use journeys::{World, binary};
use serde_json::{Value, json};
use testkit::{Ask, Provider};

#[test]
fn two_other_people_let_an_operator_read_records_until_it_is_ended() {
    let Some(binary) = binary() else { return };
    let world = World::new(&binary);
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &["echo"]);
    world.create("/api/v1/teams", &json!({"name": "people"}));
    let person = |name: &str, role: &str| {
        world.create("/api/v1/users", &json!({"name": name}));
        world.key("people", json!({"role": role, "user": name}))
    };
    let (ops, officer, boss) =
        (person("ops", "operator"), person("officer", "security-officer"), person("boss", "admin"));
    let other = world.key("people", json!({}));
    let answer = world.send(&world.chat(&other, "echo", false));
    world.record_of(&answer);
    let reads = |key: &str| {
        let id = answer.header("x-request-id").expect("an id");
        world.send(&Ask::get(&format!("/api/v1/records/{id}")).key(key)).status
    };
    assert_eq!(reads(&ops), 403);

    let run = |key: &str, arguments: &[&str]| world.run_with(key, arguments, "");
    let ask =
        ["break-glass", "request", "--role", "viewer", "--reason", "an invoice is wrong", "--for", "30m"];
    let id = run(&ops, &ask).exits(0).stdout.trim().to_owned();
    let approve = ["break-glass", "approve", id.as_str()];
    assert!(run(&ops, &approve).exits(1).stderr.contains("ID0006"), "an operator approves nothing");
    // The first admin key is nobody's; a key made for the purpose is too young.
    assert!(run(&world.admin, &approve).exits(1).stderr.contains("belongs to no user"));
    let young = person("puppet", "admin");
    assert!(run(&young, &approve).exits(1).stderr.contains("after the request"));
    assert!(run(&officer, &approve).exits(0).stdout.contains("a second person"));
    assert!(run(&officer, &approve).exits(1).stderr.contains("the same person"));
    assert_eq!(reads(&ops), 403, "one is not two");
    assert!(run(&boss, &approve).exits(0).stdout.contains("rights of viewer until"));
    assert_eq!(reads(&ops), 200);
    let who = run(&ops, &["whoami", "--json"]).exits(0).json();
    assert_eq!((&who["role"], &who["elevation"]), (&json!("operator"), &json!(id)));
    assert!(who["expires"].is_string() && who["may"].to_string().contains("read records"), "{who}");
    assert_eq!(reads(&officer), 404, "nobody else is elevated");

    // It survives a crash, and ends when it is told to.
    let World { server, admin, folder } = world;
    let world = World { server: server.restart().expect("it starts again"), admin, folder };
    let run = |key: &str, arguments: &[&str]| world.run_with(key, arguments, "");
    assert!(run(&boss, &["break-glass", "list"]).exits(0).stdout.contains("active"));
    run(&officer, &["break-glass", "end", &id]).exits(0);
    let id_of = answer.header("x-request-id").expect("an id");
    assert_eq!(world.send(&Ask::get(&format!("/api/v1/records/{id_of}")).key(&ops)).status, 403);
    assert!(run(&boss, &approve).exits(1).stderr.contains("not waiting"), "for good");
    let list = run(&ops, &["break-glass", "list", "--json"]).exits(0).json();
    assert_eq!(list["data"][0]["state"], "ended");
    assert_eq!(list["data"][0]["approvals"], json!(["officer", "boss"]));
    assert_eq!(run(&other, &["break-glass", "list"]).code, 1, "who may ask for nothing sees nothing");
    let said = world.server.stderr();
    assert!(said.contains("break_glass"), "it is told: {said}");
    assert_ne!(list, Value::Null);
}

#[test]
fn trap_x3_nothing_made_while_elevated_outlives_the_elevation() {
    let Some(binary) = binary() else { return };
    let world = World::new(&binary);
    world.create("/api/v1/teams", &json!({"name": "people"}));
    let person = |name: &str, role: &str| {
        world.create("/api/v1/users", &json!({"name": name}));
        world.key("people", json!({"role": role, "user": name}))
    };
    let (dev, officer, boss) =
        (person("dev", "developer"), person("officer", "security-officer"), person("boss", "admin"));
    let run = |key: &str, arguments: &[&str]| world.run_with(key, arguments, "");
    let ask = ["break-glass", "request", "--role", "admin", "--reason", "everybody else is ill"];
    let id = run(&dev, &ask).exits(0).stdout.trim().to_owned();
    run(&officer, &["break-glass", "approve", &id]).exits(0);
    run(&boss, &["break-glass", "approve", &id]).exits(0);
    let forever = ["key", "create", "x", "--team", "people", "--role", "admin"];
    assert!(run(&dev, &forever).exits(1).stderr.contains("outlive"));
    run(&dev, &["key", "create", "x", "--team", "people", "--role", "admin", "--expires", "5m"]).exits(0);
    assert!(run(&dev, &["user", "create", "eve", "--role", "admin"]).exits(1).stderr.contains("outlive"));
    assert!(
        run(&dev, &["break-glass", "request", "--role", "viewer", "--reason", "more"])
            .exits(1)
            .stderr
            .contains("ID0014")
    );
}
