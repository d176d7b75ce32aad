//! Who may do what, seen from outside: every role at every door.

use journeys::{World, binary};
use serde_json::{Value, json};
use testkit::{Ask, Provider};

const ROLES: [&str; 8] =
    ["inference", "viewer", "admin", "security-officer", "auditor", "operator", "developer", "agent"];

/// A key of each role, in one team; the agent's acts for a user.
fn keys(world: &World) -> Vec<(&'static str, String)> {
    world.create("/api/v1/teams", &json!({"name": "people"}));
    world.create("/api/v1/users", &json!({"name": "ada@acme.example"}));
    let key = |role: &'static str| {
        let user = if role == "agent" { json!("ada@acme.example") } else { Value::Null };
        (role, world.key("people", json!({"role": role, "user": user})))
    };
    ROLES.map(key).into()
}

#[test]
fn trap_x1_every_role_opens_its_own_doors_and_no_others() {
    let Some(binary) = binary() else { return };
    let world = World::new(&binary);
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &["echo"]);
    let keys = keys(&world);
    // One door for each action that a route can carry, and who gets past it.
    let doors: [(&str, &str, &[&str]); 16] = [
        (
            "POST",
            "/v1/chat/completions",
            &["inference", "viewer", "admin", "security-officer", "developer", "agent"],
        ),
        ("GET", "/v1/models", &ROLES),
        ("GET", "/api/v1/models", &ROLES),
        (
            "GET",
            "/api/v1/collections",
            &["inference", "viewer", "admin", "security-officer", "developer", "agent"],
        ),
        ("POST", "/api/v1/collections", &["viewer", "admin", "security-officer", "developer"]),
        ("GET", "/api/v1/records", &["viewer", "admin", "security-officer", "developer"]),
        ("GET", "/api/v1/costs?by=team", &["viewer", "admin", "security-officer", "auditor", "operator"]),
        ("GET", "/api/v1/budgets", &["viewer", "admin", "security-officer", "auditor", "operator"]),
        ("GET", "/api/v1/status", &["viewer", "admin", "security-officer", "auditor", "operator"]),
        ("GET", "/api/v1/keys", &["admin", "security-officer", "auditor"]),
        ("GET", "/api/v1/users", &["admin", "security-officer", "auditor"]),
        ("GET", "/api/v1/manifests", &["admin", "security-officer", "auditor", "operator"]),
        ("POST", "/api/v1/teams", &["admin", "security-officer"]),
        ("POST", "/api/v1/keys", &["admin", "security-officer"]),
        ("PUT", "/api/v1/providers/scripted/key", &["admin", "operator"]),
        ("POST", "/api/v1/budgets", &["admin"]),
    ];
    for (method, path, may) in doors {
        for (role, key) in &keys {
            let chat = json!({"model": "echo", "messages": [{"role": "user", "content": "hello"}]});
            let body = if path.starts_with("/v1/") { chat } else { json!({}) };
            let ask = Ask::new(method, path).key(key).header("content-type", "application/json");
            let answer = world.send(&if method == "GET" { ask } else { ask.body(body.to_string()) });
            let refused = answer.status == 403 && answer.body.contains("ID0006");
            assert_eq!(
                refused,
                !may.contains(role),
                "{role} {method} {path}: {} {}",
                answer.status,
                answer.body
            );
            assert!(answer.status < 500, "{role} {method} {path}: {answer:?}");
        }
    }
    // What is asked of nobody in particular is refused before it is looked at.
    for (method, path, _) in doors {
        let answer = world.send(&Ask::new(method, path).body("{"));
        assert_eq!(answer.status, 401, "{method} {path}: {}", answer.body);
    }
    world.is_sound();
}

#[test]
fn manifests_are_changed_by_those_whose_business_they_are() {
    let Some(binary) = binary() else { return };
    let world = World::new(&binary);
    let keys = keys(&world);
    let document = |kind: &str, spec: &str| {
        format!(
            "apiVersion: bedplate/v1\nkind: {kind}\nmetadata: {{ name: {} }}\nspec: {spec}\n",
            kind.to_lowercase()
        )
    };
    let team = document("Team", "{ requestsPerMinute: 5 }");
    let provider =
        document("Provider", "{ dialect: openai, baseUrl: \"https://example.com/v1\", keyEnv: NO_KEY }");
    let budget = document("Budget", "{ team: people, limit: \"5\", period: total }");
    let apply = |key: &str, text: &str| {
        let ask = Ask::new("POST", "/api/v1/apply").key(key).header("content-type", "application/yaml");
        world.send(&ask.body(text))
    };
    for (role, key) in keys.iter().filter(|(role, _)| !["security-officer", "operator"].contains(role)) {
        let expected = if *role == "admin" { 200 } else { 403 };
        for text in [&team, &provider, &budget] {
            let answer = apply(key, text);
            assert_eq!(answer.status, expected, "{role}: {}", answer.body);
        }
    }
    // All of it or none: one document that is not theirs refuses the rest.
    let operator = &keys[5].1;
    let more = team.replace('5', "6");
    let answer = apply(operator, &format!("{}---\n{more}", provider.replace("example.com", "example.org")));
    assert_eq!(
        (answer.status, answer.json()["error"]["at"].as_str()),
        (403, Some("Team \"team\"")),
        "{answer:?}"
    );
    assert!(!world.show("/api/v1/manifests").to_string().contains("example.org"), "none of it was applied");
    assert_eq!(apply(operator, &provider.replace("example.com", "example.org")).status, 200);
    assert_eq!(apply(&keys[3].1, &more).status, 200, "teams are the officer's");
    assert_eq!(apply(&keys[3].1, &provider).status, 403, "providers are not");
}

#[test]
fn a_developer_reads_its_own_records_and_an_officer_nobody_elses() {
    let Some(binary) = binary() else { return };
    let world = World::new(&binary);
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &["echo"]);
    let keys = keys(&world);
    let by = |role: &str| keys.iter().find(|(r, _)| *r == role).map(|(_, key)| key.as_str()).expect("a role");
    let own = world.send(&world.chat(by("developer"), "echo", false));
    let other = world.send(&world.chat(by("inference"), "echo", false));
    for answer in [&own, &other] {
        world.record_of(answer);
    }
    let reads = |role: &str, of: &testkit::Answer| {
        let id = of.header("x-request-id").expect("an id");
        world.send(&Ask::get(&format!("/api/v1/records/{id}")).key(by(role))).status
    };
    assert_eq!((reads("developer", &own), reads("developer", &other)), (200, 404));
    assert_eq!((reads("security-officer", &own), reads("security-officer", &other)), (404, 404));
    assert_eq!((reads("viewer", &own), reads("viewer", &other)), (200, 200));
    let list = world.send(&Ask::get("/api/v1/records").key(by("developer"))).json();
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1), "{list}");
}

#[test]
fn trap_x3_no_way_leads_from_the_officers_key_to_the_admins() {
    let Some(binary) = binary() else { return };
    let world = World::new(&binary);
    let keys = keys(&world);
    let officer = &keys[3].1;
    let ask = |method: &str, path: &str, body: Value| {
        let ask = Ask::new(method, path).key(officer).header("content-type", "application/json");
        world.send(&ask.body(body.to_string()))
    };
    let all = world.show("/api/v1/keys");
    let id = |role: &str, team: &str| {
        let found =
            all["data"].as_array().into_iter().flatten().find(|k| k["role"] == role && k["team"] == team);
        found.and_then(|k| k["id"].as_str()).expect("a key").to_owned()
    };
    // Making, appointing, rotating: who gets the secret of a key is that key.
    for role in ["admin", "viewer", "operator"] {
        let made = ask("POST", "/api/v1/keys", json!({"team": "people", "name": "x", "role": role}));
        assert_eq!(made.status, 403, "{role}: {}", made.body);
        let user = ask("POST", "/api/v1/users", json!({"name": "eve", "role": role}));
        assert_eq!(user.status, 403, "{role}: {}", user.body);
        let rotated = ask("POST", &format!("/api/v1/keys/{}/rotate", id(role, "people")), json!({}));
        assert_eq!(rotated.status, 403, "{role}: {}", rotated.body);
    }
    let named = json!({"team": "people", "name": "x", "role": "developer", "user": "ada@acme.example"});
    assert_eq!(ask("POST", "/api/v1/keys", named).status, 403, "ada's records are hers");
    assert_eq!(
        ask("POST", "/api/v1/keys", json!({"team": "people", "name": "a", "role": "auditor"})).status,
        201
    );
    // It may shut everybody out but the last who can undo that.
    let first = format!("/api/v1/keys/{}", id("admin", "admin"));
    let other = format!("/api/v1/keys/{}", id("admin", "people"));
    assert_eq!(ask("DELETE", &other, json!({})).status, 200);
    let last = ask("DELETE", &first, json!({}));
    assert_eq!((last.status, last.body.contains("the last admin")), (409, true), "{}", last.body);
    world.show("/api/v1/keys");
}

#[test]
fn trap_x3_a_users_role_is_changed_by_who_could_give_both_and_the_log_says_it() {
    let Some(binary) = binary() else { return };
    let world = World::new(&binary);
    let keys = keys(&world);
    let officer = &keys[3].1;
    let role = || {
        let users = world.show("/api/v1/users");
        let ada = users["data"].as_array().into_iter().flatten().find(|u| u["name"] == "ada@acme.example");
        ada.expect("she is there")["role"].clone()
    };
    let user = |key: &str, words: &[&str]| {
        let words: Vec<&str> = ["user"].iter().chain(words).copied().collect();
        world.run_with(key, &words, "")
    };
    user(officer, &["set-role", "ada@acme.example", "auditor"]).exits(0);
    assert_eq!(role(), "auditor");
    // Neither up to what it is not itself, nor down from there.
    assert!(user(officer, &["set-role", "ada@acme.example", "admin"]).exits(1).stderr.contains("ID0006"));
    user(&world.admin, &["set-role", "ada@acme.example", "operator"]).exits(0);
    for words in [&["set-role", "ada@acme.example", "auditor"][..], &["clear-role", "ada@acme.example"]] {
        assert!(user(officer, words).exits(1).stderr.contains("ID0006"));
    }
    assert_eq!(role(), "operator");
    user(&world.admin, &["clear-role", "ada@acme.example"]).exits(0);
    assert!(role().is_null());
    assert!(user(&world.admin, &["set-role", "nobody", "auditor"]).exits(1).stderr.contains("CT0003"));
    let log = world.show("/api/v1/audit/leaves?limit=1000");
    let said: Vec<&str> = log["data"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|l| l["action"] == "set_user_role" || l["action"] == "remove_user_role")
        .filter_map(|l| l["resource"].as_str())
        .collect();
    assert_eq!(said[0], "ada@acme.example as auditor", "{said:?}");
    assert!(said.contains(&"ada@acme.example as operator") && said.contains(&"ada@acme.example"), "{said:?}");
}

#[test]
fn an_agent_belongs_to_somebody_and_a_subject_has_no_secret() {
    let Some(binary) = binary() else { return };
    let world = World::new(&binary);
    world.run(&["team", "create", "people"]).exits(0);
    let ran = world.run(&["key", "create", "bot", "--team", "people", "--role", "agent"]).exits(1);
    assert!(ran.stderr.contains("ID0006") && ran.stderr.contains("acts for"), "{ran:#?}");
    world.run(&["user", "create", "ada@acme.example", "--role", "developer"]).exits(0);
    let agent = ["key", "create", "bot", "--team", "people", "--role", "agent", "--user", "ada@acme.example"];
    assert!(world.run(&agent).exits(0).stdout.starts_with("bp-"));
    let users = world.run(&["user", "list"]).exits(0).stdout;
    assert!(users.contains("ada@acme.example  developer"), "{users}");

    let subject = ["key", "create", "web", "--team", "people", "--subject", "spiffe://acme/web", "--json"];
    let created = world.run(&subject).exits(0).json();
    assert_eq!((&created["secret"], &created["key"]["subject"]), (&Value::Null, &json!("spiffe://acme/web")));
    assert_eq!(created["key"]["versions"], json!([]));
    let id = created["key"]["id"].as_str().expect("an id");
    let ran = world.run(&["key", "rotate", id]).exits(1);
    assert!(ran.stderr.contains("no secret to rotate"), "{ran:#?}");
    for bad in
        ["web", "spiffe://acme", "spiffe:///web", "spiffe://acme/web?x", "https://login.example", "x#y"]
    {
        let ran = world.run(&["key", "create", "bad", "--team", "people", "--subject", bad]).exits(1);
        assert!(ran.stderr.contains("CT0002"), "{bad}: {ran:#?}");
    }
    let twin = ["key", "create", "twin", "--team", "people", "--subject", "spiffe://acme/web"];
    assert!(world.run(&twin).exits(1).stderr.contains("ST0007"));
}
