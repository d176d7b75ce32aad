//! Policies from the outside: declared, tested, replayed, explained, in force;
//! and the ways in which they could lock everybody out.

use journeys::{Setup, World, binary};
use serde_json::json;
use testkit::{Ask, Provider};

const STAYS: &str = r#"apiVersion: bedplate/v1
kind: Policy
metadata: { name: no-small-for-people }
spec:
  description: The small model is not for people.
  effect: forbid
  cedar: |
    forbid (principal in Team::"people", action == Action::"invoke", resource == Model::"small")
    when { context.sensitivity >= 1 };
  tests:
    - { name: an internal question is denied, team: people, model: small, labels: internal anywhere user, expect: deny, by: no-small-for-people }
    - { name: a public one is not, team: people, model: small, expect: allow, by: bedplate-grant }
"#;

struct Scene {
    world: World,
    key: String,
    _provider: Provider,
}

fn scene(binary: std::path::PathBuf) -> Scene {
    let world = World::new(binary);
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &["small", "big"]);
    let key = world.team("people");
    Scene { world, key, _provider: provider }
}

fn file(world: &World, name: &str, text: &str) -> String {
    let path = world.folder.path().join(name);
    std::fs::write(&path, text).expect("write a manifest");
    path.display().to_string()
}

#[test]
fn a_policy_is_tested_replayed_applied_and_explained() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary);
    let world = &scene.world;
    let internal = || world.chat(&scene.key, "small", false).header("bedplate-labels", "internal");
    for _ in 0..3 {
        assert_eq!(world.send(&internal()).status, 200);
    }
    assert_eq!(world.send(&world.chat(&scene.key, "small", false)).status, 200);
    let path = file(world, "policy.yaml", STAYS);

    let tested = world.run(&["policy", "test", "-f", &path]);
    assert_eq!(tested.code, 0, "{tested:?}");
    assert!(tested.stdout.contains("2 of 2 cases passed"), "{tested:?}");
    let failing =
        file(world, "failing.yaml", &STAYS.replace("expect: allow, by: bedplate-grant", "expect: deny"));
    let tested = world.run(&["policy", "test", "-f", &failing]);
    assert_eq!(tested.code, 1, "{tested:?}");
    assert!(tested.stdout.contains("failing.yaml:12"), "the failed case has its line: {tested:?}");

    let replayed = world.run(&["policy", "replay", "-f", &path, "--last", "100", "--json"]);
    assert_eq!(replayed.code, 2, "{replayed:?}");
    let replay: serde_json::Value = serde_json::from_str(&replayed.stdout).expect("JSON");
    assert_eq!(
        (&replay["replayed"], &replay["newly_denied"], &replay["newly_allowed"]),
        (&json!(4), &json!(3), &json!(0)),
        "{replay:#}"
    );
    assert_eq!(replay["changes"][0]["determining"], json!(["no-small-for-people"]), "{replay:#}");
    // Nothing was put in force so far.
    assert_eq!(world.send(&internal()).status, 200);

    world.apply(STAYS);
    let refused = world.send(&internal());
    assert_eq!((refused.status, refused.header("bedplate-error")), (403, Some("PO0001")), "{refused:?}");
    assert!(refused.body.contains("The small model is not for people"), "{refused:?}");
    let record = world.record_of(&refused);
    assert_eq!(record["policy"]["determining"], json!(["no-small-for-people"]), "{record:#}");
    assert_eq!(record["policy"]["allowed"], false, "{record:#}");
    let allowed = world.send(&world.chat(&scene.key, "small", false));
    let record = world.record_of(&allowed);
    assert_eq!(record["policy"]["determining"], json!(["bedplate-grant"]), "{record:#}");
    let set = world.show("/api/v1/policies");
    assert_eq!(record["policy"]["policy_hash"], set["hash"], "{record:#}");

    let explained =
        world.run(&["policy", "explain", "--team", "people", "--model", "small", "--labels", "internal"]);
    assert!(explained.stdout.starts_with("deny by no-small-for-people"), "{explained:?}");
    let shown = world.run(&["explain", refused.header("x-request-id").expect("an id")]);
    assert!(shown.stdout.contains("denied invoke by no-small-for-people"), "{shown:?}");

    // It survives a restart: what is declared is what is in force.
    let world = scene.world.killed();
    let again = world.send(&world.chat(&scene.key, "small", false).header("bedplate-labels", "internal"));
    assert_eq!(again.header("bedplate-error"), Some("PO0001"), "{again:?}");
    world.is_sound();
}

#[test]
fn a_catalogue_and_an_agents_user_narrow_what_a_key_may_use() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary);
    let world = &scene.world;
    world.apply(
        "apiVersion: bedplate/v1\nkind: Team\nmetadata: { name: narrow }\nspec: { models: [small] }\n",
    );
    let narrow = world.key("narrow", json!({}));
    assert_eq!(world.send(&world.chat(&narrow, "small", false)).status, 200);
    let refused = world.send(&world.chat(&narrow, "big", false));
    assert_eq!((refused.status, refused.header("bedplate-error")), (403, Some("PO0001")), "{refused:?}");
    let listed = world.send(&Ask::get("/v1/models").key(&narrow)).json();
    let names: Vec<_> = listed["data"].as_array().into_iter().flatten().map(|m| m["id"].clone()).collect();
    assert_eq!(names, [json!("small")], "{listed}");

    world.create("/api/v1/users", &json!({"name": "alice"}));
    world.key("narrow", json!({"user": "alice"}));
    let as_alice = |model| world.chat(&scene.key, model, false).header("bedplate-on-behalf-of", "alice");
    assert_eq!(world.send(&as_alice("small")).status, 200);
    assert_eq!(world.send(&world.chat(&scene.key, "big", false)).status, 200, "the agent alone may");
    let both = world.send(&as_alice("big"));
    assert_eq!(both.header("bedplate-error"), Some("PO0001"), "its user may not: {both:?}");
    assert_eq!(world.record_of(&both)["policy"]["on_behalf_of"], "alice");
    let nobody =
        world.send(&world.chat(&scene.key, "small", false).header("bedplate-on-behalf-of", "mallory"));
    assert_eq!((nobody.status, nobody.header("bedplate-error")), (403, Some("PO0005")), "{nobody:?}");
    world.is_sound();
}

#[test]
fn a_set_that_locks_everybody_out_is_refused_and_there_is_a_way_back() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary);
    let world = &scene.world;
    let policy = |name: &str, text: &str| {
        format!(
            "apiVersion: bedplate/v1\nkind: Policy\nmetadata: {{ name: {name} }}\nspec:\n  description: For a test.\n  \
             effect: forbid\n  cedar: |\n    {text}\n"
        )
    };
    let applied = |yaml: &str| {
        world.send(
            &Ask::new("POST", "/api/v1/apply")
                .key(&world.admin)
                .header("content-type", "application/yaml")
                .body(yaml),
        )
    };
    for (text, code) in [
        ("forbid (principal, action, resource);", "PO0007"),
        ("forbid (principal, action == Action::\"admin_policies\", resource);", "PO0007"),
        ("forbid (principal, action, resource) when { context.colour == 1 };", "PO0006"),
        ("forbid (principal, action, resource", "PO0006"),
    ] {
        let refused = applied(&policy("bad", text));
        assert_eq!(refused.json()["error"]["code"], code, "{text}: {refused:?}");
    }
    assert_eq!(
        world.show("/api/v1/manifests")["data"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|m| m["kind"] == "Policy")
            .count(),
        0
    );

    // A lock on everything but policies leaves a way to mend it.
    let locked = policy(
        "locked",
        "forbid (principal, action, resource) unless { action == Action::\"admin_policies\" || action == Action::\"admin_write\" };",
    );
    assert_eq!(applied(&locked).status, 200);
    assert_eq!(world.api("GET", "/api/v1/keys", &serde_json::Value::Null).status, 403);
    let chat = world.send(&world.chat(&scene.key, "small", false));
    assert_eq!(chat.header("bedplate-error"), Some("PO0001"), "{chat:?}");
    let mended = applied(&policy("locked", "forbid (principal, action == Action::\"export\", resource);"));
    assert_eq!(mended.status, 200, "{mended:?}");
    assert_eq!(world.send(&world.chat(&scene.key, "small", false)).status, 200);
}

#[test]
fn serve_without_policies_is_the_way_back() {
    let Some(binary) = binary() else { return };
    let setup = Setup::new(binary.clone());
    let world = setup.begin();
    world.apply(
        "apiVersion: bedplate/v1\nkind: Policy\nmetadata: { name: locked }\nspec:\n  description: For a test.\n  effect: forbid\n  \
         cedar: |\n    forbid (principal, action == Action::\"admin_read\", resource);\n",
    );
    assert_eq!(world.api("GET", "/api/v1/keys", &serde_json::Value::Null).status, 403);
    let World { server, admin, folder } = world;
    let data = folder.path().join("data");
    drop(server);
    let again = testkit::Bedplate::start(
        testkit::harness::Start::new(binary, data)
            .arg("--roles=gateway,control,console")
            .arg("--without-policies"),
    )
    .expect("start again");
    let keys = Ask::get("/api/v1/keys").key(&admin).send(again.address()).expect("reach the server");
    assert_eq!(keys.status, 200, "{keys:?}");
    assert!(again.stderr().contains("policies.off"), "it says so aloud");
}
