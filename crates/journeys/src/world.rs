//! One server, its directory, and what an admin does to it.

use std::path::PathBuf;

use serde_json::{Value, json};
use testkit::harness::Start;
use testkit::{Answer, Ask, Bedplate};

use crate::command::{Ran, bedplate};
use crate::{Folder, eventually};

/// The key that the scripted providers are sent.
pub const PROVIDER_KEY: &str = "sk-journey-provider-key";

/// How a world begins.
pub struct Setup {
    start: Start,
    folder: Folder,
}

impl Setup {
    /// Everything but the embedded engine, on an empty directory.
    pub fn new(binary: impl Into<PathBuf>) -> Setup {
        let folder = Folder::new();
        let start = Start::new(binary, folder.path().join("data"))
            .arg("--roles=gateway,control,console")
            .env("JOURNEY_PROVIDER_KEY", PROVIDER_KEY);
        Setup { start, folder }
    }
    /// With the embedded engine and its built-in model.
    pub fn with_engine(mut self) -> Setup {
        self.start.arguments.clear();
        self
    }
    pub fn env(mut self, name: &str, value: &str) -> Setup {
        self.start = self.start.env(name, value);
        self
    }
    pub fn arg(mut self, argument: &str) -> Setup {
        self.start = self.start.arg(argument);
        self
    }
    /// Somewhere else than in the world's own folder.
    pub fn data(mut self, data: impl Into<PathBuf>) -> Setup {
        self.start.data = data.into();
        self
    }
    /// Starts it.
    ///
    /// # Panics
    /// If it does not become ready, with what it wrote.
    pub fn begin(self) -> World {
        let server = Bedplate::start(self.start).expect("start bedplate");
        let admin = eventually("a first start prints an admin key", || server.admin_key());
        World { server, admin, folder: self.folder }
    }
}

/// A running server with an admin.
pub struct World {
    pub server: Bedplate,
    pub admin: String,
    pub folder: Folder,
}

impl World {
    pub fn new(binary: impl Into<PathBuf>) -> World {
        Setup::new(binary).begin()
    }
    /// `kill -9`, and again on the same directory.
    pub fn killed(self) -> World {
        let World { server, admin, folder } = self;
        World { server: server.restart().expect("start on what a killed server left"), admin, folder }
    }
    pub fn send(&self, ask: &Ask) -> Answer {
        ask.send(self.server.address()).expect("reach the server")
    }

    /// The control API, as the admin.
    pub fn api(&self, method: &str, path: &str, body: &Value) -> Answer {
        let ask = Ask::new(method, path).key(&self.admin).header("content-type", "application/json");
        self.send(&if body.is_null() { ask } else { ask.body(body.to_string()) })
    }
    /// What a path of the control API shows.
    ///
    /// # Panics
    /// If it is refused.
    pub fn show(&self, path: &str) -> Value {
        let answer = self.api("GET", path, &Value::Null);
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.body);
        answer.json()
    }
    /// Creates something.
    ///
    /// # Panics
    /// If it is refused.
    pub fn create(&self, path: &str, body: &Value) -> Value {
        let answer = self.api("POST", path, body);
        assert_eq!(answer.status, 201, "POST {path} {body}: {}", answer.body);
        answer.json()
    }
    /// Applies manifests.
    ///
    /// # Panics
    /// If they are refused.
    pub fn apply(&self, yaml: &str) {
        let ask =
            Ask::new("POST", "/api/v1/apply").key(&self.admin).header("content-type", "application/yaml");
        let answer = self.send(&ask.body(yaml));
        assert_eq!(answer.status, 200, "{}\n{yaml}", answer.body);
    }
    /// Declares a provider of a dialect, and a model for each of the names that it has.
    pub fn provider(&self, name: &str, dialect: &str, url: &str, models: &[&str]) {
        let mut yaml = format!(
            "apiVersion: bedplate/v1\nkind: Provider\nmetadata: {{ name: {name} }}\n\
             spec: {{ dialect: {dialect}, baseUrl: \"{url}/v1\", allowPrivate: true, keyEnv: JOURNEY_PROVIDER_KEY }}\n"
        );
        for model in models {
            yaml.push_str(&format!(
                "---\napiVersion: bedplate/v1\nkind: Model\nmetadata: {{ name: \"{model}\" }}\n\
                 spec:\n  retries: 0\n  targets:\n    - {}\n",
                price(name, model, "0")
            ));
        }
        self.apply(&yaml);
    }
    /// A team, and a key of it.
    pub fn team(&self, name: &str) -> String {
        self.create("/api/v1/teams", &json!({"name": name}));
        self.key(name, json!({}))
    }
    /// One more key of a team: its secret.
    pub fn key(&self, team: &str, with: Value) -> String {
        let count = self.show("/api/v1/keys")["data"].as_array().map_or(0, Vec::len);
        let mut body = json!({"team": team, "name": format!("key-{count}")});
        for (name, value) in with.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let created = self.create("/api/v1/keys", &body);
        created["secret"].as_str().expect("a created key shows its secret").to_owned()
    }
    /// A hard budget without end for a team.
    pub fn budget(&self, name: &str, team: &str, limit: &str) {
        let body = json!({"name": name, "scope": {"team": team}, "limit_usd": limit, "period": "total"});
        self.create("/api/v1/budgets", &body);
    }
    pub fn budget_now(&self, name: &str) -> Value {
        let all = self.show("/api/v1/budgets");
        let found = all["data"].as_array().into_iter().flatten().find(|b| b["name"] == name);
        found.unwrap_or_else(|| panic!("no budget {name} in {all}")).clone()
    }

    /// One question through the OpenAI dialect.
    pub fn chat(&self, key: &str, model: &str, stream: bool) -> Ask {
        let messages = json!([{"role": "user", "content": "hello big world"}]);
        let body = json!({"model": model, "stream": stream, "max_tokens": 50, "messages": messages});
        Ask::json("/v1/chat/completions", &body).key(key)
    }
    /// The same through the Anthropic dialect.
    pub fn message(&self, key: &str, model: &str, stream: bool) -> Ask {
        let messages = json!([{"role": "user", "content": "hello big world"}]);
        let body = json!({"model": model, "stream": stream, "max_tokens": 50, "messages": messages});
        Ask::json("/v1/messages", &body).header("x-api-key", key).header("anthropic-version", "2023-06-01")
    }

    /// The record of an answer.
    ///
    /// # Panics
    /// If there is none within 20 seconds.
    pub fn record_of(&self, answer: &Answer) -> Value {
        self.record(answer.header("x-request-id").expect("every answer has an x-request-id"))
    }
    /// As [`World::record_of`], by id.
    pub fn record(&self, id: &str) -> Value {
        eventually(&format!("request {id} has a record"), || {
            let answer = self.api("GET", &format!("/api/v1/records/{id}"), &Value::Null);
            (answer.status == 200).then(|| answer.json())
        })
    }
    /// The newest record of a model.
    ///
    /// # Panics
    /// If there is none within 20 seconds.
    pub fn record_for(&self, model: &str) -> Value {
        let id = eventually(&format!("model {model} has a record"), || {
            let all = self.show("/api/v1/records?limit=1000");
            let found = all["data"].as_array()?.iter().find(|r| r["model"] == model)?;
            Some(found["id"].as_str()?.to_owned())
        });
        self.record(&id)
    }
    /// The books balance.
    ///
    /// # Panics
    /// If they do not.
    pub fn check_books(&self) {
        let check = self.show("/api/v1/ledger/check");
        assert_eq!(check["ok"], true, "{check}");
    }
    /// The command line against this server, as the admin.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(&self.admin, arguments, "")
    }
    pub fn run_with(&self, key: &str, arguments: &[&str], stdin: &str) -> Ran {
        let url = self.server.url();
        let environment = [("BEDPLATE_URL", url.as_str()), ("BEDPLATE_KEY", key)];
        bedplate(self.server.binary(), arguments, &environment, stdin)
    }
    /// It lives, and nothing in it panicked.
    ///
    /// # Panics
    /// If not.
    pub fn is_sound(&self) {
        let alive = self.send(&Ask::get("/livez"));
        assert_eq!(alive.status, 200, "{}", self.server.stderr());
        let said = self.server.stderr();
        assert!(!said.contains("panicked"), "{said}");
    }
}

/// A target with prices: a dollar for a million tokens, and so much for each request.
pub fn price(provider: &str, model: &str, request: &str) -> String {
    format!(
        "{{ provider: {provider}, model: \"{model}\", maxOutputTokens: 1000, \
         price: {{ input: \"1\", output: \"1\", request: \"{request}\" }} }}"
    )
}
