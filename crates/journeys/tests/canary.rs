//! Planted keys, and every place that a key could leak to (TRAPS X4).

use std::collections::HashSet;

use journeys::{Setup, binary};
use serde_json::{Value, json};
use testkit::{Ask, Provider};

const STORED: &str = "sk-canary-Stored-Zq7Xw3Vu9Ts1Rp5On2Ml8Kj4";
const ENVIRONMENT: &str = "sk-canary-Environ-Hg6Fd0Sa8Qw4Er2Ty7Ui1Op";
const PASTED: &str = "sk-canary-Pasted-Nm3Bv9Cx5Zl1Kj7Hg4Fd8Sa2";

/// So many bytes of a key in a row are a leak. More than the hint (`bp-` and
/// eight) that lists of keys show to recognise them by.
const WINDOW: usize = 16;

/// Where keys were looked for, and what must not be found.
struct Search {
    windows: HashSet<Vec<u8>>,
    found: Vec<String>,
    searched: usize,
}

impl Search {
    fn new(keys: &[&str]) -> Search {
        let windows =
            keys.iter().flat_map(|key| key.as_bytes().windows(WINDOW).map(<[u8]>::to_vec)).collect();
        Search { windows, found: Vec::new(), searched: 0 }
    }
    fn look(&mut self, place: &str, bytes: &[u8]) {
        self.searched += bytes.len();
        if bytes.windows(WINDOW).any(|window| self.windows.contains(window)) {
            self.found.push(format!("{place}: {:.2000}", String::from_utf8_lossy(bytes)));
        }
    }
}

#[test]
fn trap_x4_no_planted_key_appears_in_any_sink() {
    let Some(binary) = binary() else { return };
    let world = Setup::new(binary).env("JOURNEY_CANARY", ENVIRONMENT).env("BEDPLATE_LOG", "trace").begin();
    let (first, second) = (Provider::start(), Provider::start());
    let models = ["echo", "500", "401", "leaky", "cut-stream:2", "garbage", "not-http"];
    for (name, from, url) in [
        ("stored", "keySecret: elsewhere", first.url()),
        ("environment", "keyEnv: JOURNEY_CANARY", second.url()),
    ] {
        let mut yaml = format!(
            "apiVersion: bedplate/v1\nkind: Provider\nmetadata: {{ name: {name} }}\n\
             spec: {{ dialect: openai, baseUrl: \"{url}/v1\", allowPrivate: true, {from} }}\n"
        );
        for model in models {
            yaml.push_str(&format!(
                "---\napiVersion: bedplate/v1\nkind: Model\nmetadata: {{ name: \"{name}/{model}\" }}\n\
                 spec: {{ retries: 0, targets: [ {{ provider: {name}, model: \"{model}\" }} ] }}\n"
            ));
        }
        world.apply(&yaml);
    }
    let mut outputs = Vec::new();
    let set = world.run_with(&world.admin, &["provider", "set-key", "stored"], STORED).exits(0);
    outputs.push(("provider set-key".to_owned(), set.stdout + &set.stderr));
    let user = world.team("people");
    let rotated = world.create("/api/v1/keys/people%2Fkey-1/rotate", &json!({}));
    let rotated = rotated["secret"].as_str().expect("a secret").to_owned();

    // Both keys reach their providers, and nobody else.
    let mut ids = Vec::new();
    for name in ["stored", "environment"] {
        for model in models {
            let model = format!("{name}/{model}");
            for ask in [
                world.chat(&user, &model, false),
                world.chat(&rotated, &model, true),
                world.message(&user, &model, true),
            ] {
                let answer = world.send(&ask);
                ids.extend(answer.header("x-request-id").map(str::to_owned));
                outputs.push((format!("the answer of {model}"), format!("{answer:?}")));
            }
        }
    }
    for (provider, key) in [(&first, STORED), (&second, ENVIRONMENT)] {
        let bearer = format!("Bearer {key}");
        let seen = provider.seen();
        assert!(
            seen.len() >= models.len() && seen.iter().all(|s| s.header("authorization") == Some(&bearer))
        );
    }

    // Keys where they do not belong.
    let paste = [
        Ask::get(&format!("/v1/models?key={user}&api_key={PASTED}")),
        Ask::get(&format!("/api/v1/teams?key={PASTED}")).key(&world.admin),
        Ask::get("/v1/models").key(PASTED),
        Ask::get("/v1/models").header("x-api-key", PASTED),
        Ask::get("/v1/models").header("authorization", &format!("Basic {PASTED}")),
        Ask::new("POST", "/api/v1/apply").key(&world.admin).body(format!(
            "apiVersion: bedplate/v1\nkind: Provider\nmetadata: {{ name: p }}\nspec: {{ catalog: openai, keyEnv: \"{PASTED}\" }}\n"
        )),
        Ask::new("POST", "/api/v1/apply").key(&world.admin).body(format!(
            "apiVersion: bedplate/v1\nkind: Provider\nmetadata: {{ name: p }}\nspec: {{ catalog: openai, apiKey: \"{PASTED}\" }}\n"
        )),
        Ask::new("POST", "/api/v1/apply").key(&world.admin).body(format!(
            "apiVersion: bedplate/v1\nkind: Provider\nmetadata: {{ name: p }}\nspec: {{ catalog: openai, headers: {{ authorization: \"Bearer {PASTED}\" }} }}\n"
        )),
        Ask::new("POST", "/api/v1/apply").key(&world.admin).body(format!(
            "apiVersion: bedplate/v1\nkind: Provider\nmetadata: {{ name: p }}\n\
             spec: {{ dialect: openai, baseUrl: \"https://user:{PASTED}@example.com/v1\" }}\n"
        )),
        Ask::new("PUT", "/api/v1/providers/stored/key").key(&world.admin).body(format!("{{\"key\": [\"{PASTED}\"]}}")),
        Ask::new("PUT", "/api/v1/providers/stored/key").key(&world.admin).body(format!("{{\"kye\": \"{PASTED}\"}}")),
    ];
    for ask in &paste {
        let answer = world.send(ask);
        assert!(answer.status >= 400, "{ask:?}: {answer:?}");
        outputs.push((format!("the refusal of {ask:?}"), answer.body));
    }

    for path in [
        "/metrics",
        "/",
        "/livez",
        "/api/openapi.json",
        "/api/v1/status",
        "/api/v1/keys",
        "/api/v1/teams",
        "/api/v1/budgets",
        "/api/v1/models",
        "/api/v1/providers",
        "/api/v1/manifests",
        "/api/v1/records?limit=1000",
        "/api/v1/costs?by=key",
        "/v1/models",
    ] {
        let answer = world.api("GET", path, &Value::Null);
        assert!(answer.status < 500, "{path}: {answer:?}");
        outputs.push((format!("GET {path}"), format!("{answer:?}")));
    }
    for id in ids {
        outputs.push((format!("the record {id}"), world.record(&id).to_string()));
    }
    for arguments in [
        &["explain", "last"][..],
        &["explain", "last", "--json"],
        &["key", "list"],
        &["provider", "list"],
        &["status", "--json"],
        &["doctor", "--json", "--data", world.server.data().to_str().expect("a UTF-8 path")],
    ] {
        let ran = world.run(arguments);
        outputs.push((format!("bedplate {arguments:?}"), ran.stdout + &ran.stderr));
    }

    world.is_sound();
    let admin = world.admin.clone();
    let (stdout, stderr) = (world.server.stdout(), world.server.stderr());
    assert!(stderr.len() > 100, "the log is on: {stderr}");
    // The first start shows the admin key to whoever started it: once, on the terminal.
    let mut search = Search::new(&[STORED, ENVIRONMENT, PASTED, &user, &rotated]);
    search.look("standard output", stdout.as_bytes());
    search.windows.extend(admin.as_bytes().windows(WINDOW).map(<[u8]>::to_vec));
    search.look("the log", stderr.as_bytes());
    for (place, text) in &outputs {
        search.look(place, text.as_bytes());
    }
    let environment = world.folder;
    drop(world.server);
    for (path, bytes) in environment.files() {
        search.look(&path.display().to_string(), &bytes);
    }
    assert!(search.searched > 100_000, "{} bytes were searched", search.searched);
    assert!(search.found.is_empty(), "keys leak to {:#?}", search.found);
}
