//! Guards before a model: what providers see, what clients get, what records say.

use journeys::{Setup, World, binary, price};
use serde_json::{Value, json};
use testkit::{Answer, Ask, Provider};

/// What the world's own provider key is: a secret that this deployment holds.
const KNOWN: &str = journeys::PROVIDER_KEY;

struct Scene {
    world: World,
    provider: Provider,
    key: String,
}

/// A guard, and model `echo` that names it: a provider that says what it hears.
fn scene(binary: std::path::PathBuf, guard: &str) -> Scene {
    let world = World::new(binary);
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &["plain"]);
    world.apply(&format!(
        "apiVersion: bedplate/v1\nkind: Guard\nmetadata: {{ name: careful }}\nspec: {guard}\n\
         ---\napiVersion: bedplate/v1\nkind: Model\nmetadata: {{ name: echo }}\n\
         spec: {{ retries: 0, guards: [careful], targets: [ {} ] }}\n",
        price("scripted", "echo", "0")
    ));
    let key = world.team("people");
    Scene { world, provider, key }
}

impl Scene {
    fn ask(&self, text: &str, stream: bool, anthropic: bool) -> Answer {
        let messages = json!([{"role": "user", "content": text}]);
        let body = json!({"model": "echo", "stream": stream, "max_tokens": 100, "messages": messages});
        let ask = if anthropic {
            Ask::json("/v1/messages", &body).header("anthropic-version", "2023-06-01")
        } else {
            Ask::json("/v1/chat/completions", &body)
        };
        self.world.send(&ask.key(&self.key))
    }
    /// Every way in which a client may ask.
    fn ways(&self, text: &str, check: impl Fn(&Answer, bool)) {
        for stream in [false, true] {
            for anthropic in [false, true] {
                check(&self.ask(text, stream, anthropic), stream);
            }
        }
    }
    fn seen(&self) -> String {
        self.provider.seen().iter().map(|s| s.json().to_string()).collect()
    }
}

/// The text of an answer, whole or streamed, in either dialect.
fn said(answer: &Answer) -> String {
    let texts = |value: &Value| -> String {
        let openai = value["choices"][0].clone();
        let text = [&openai["message"]["content"], &openai["delta"]["content"], &value["delta"]["text"]];
        let blocks = value["content"].as_array().into_iter().flatten().filter_map(|b| b["text"].as_str());
        text.into_iter().filter_map(Value::as_str).chain(blocks).collect()
    };
    match serde_json::from_str::<Value>(&answer.body) {
        Ok(value) => texts(&value),
        Err(_) => {
            let events = answer.body.lines().filter_map(|l| l.strip_prefix("data: "));
            events.filter_map(|e| serde_json::from_str::<Value>(e).ok()).map(|v| texts(&v)).collect()
        }
    }
}

#[test]
fn a_value_leaves_as_a_placeholder_and_comes_back() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary, "{ personal: { email: tokenise, card: mask } }");
    scene.ways("mail jane@example.org about 4111 1111 1111 1111", |answer, stream| {
        assert_eq!(answer.status, 200, "{answer:?}");
        let said = said(answer);
        assert!(said.contains("jane@example.org") && said.contains("[card]"), "{stream} {said}");
    });
    let seen = scene.seen();
    assert!(seen.contains("EMAIL_") && !seen.contains("jane@") && !seen.contains("4111"), "{seen}");
    scene.world.is_sound();
}

#[test]
fn a_blocked_request_is_refused_before_any_target_and_is_not_worth_retrying() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary, "{ secrets: block, on: input }");
    let secret = "AKIAIOSFODNN7EXAMPLE";
    scene.ways(&format!("use {secret} please"), |answer, _| {
        assert_eq!((answer.status, answer.header("bedplate-error")), (400, Some("GD0001")), "{answer:?}");
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        assert!(answer.body.contains("secret") && !answer.body.contains(secret));
        let record = scene.world.record_of(answer);
        assert_eq!((&record["outcome"], &record["cost_usd"]), (&json!("failed"), &json!("0")));
        assert!(record.to_string().contains("secret block") && !record.to_string().contains(secret));
    });
    assert_eq!(scene.provider.seen().len(), 0);
    assert!(!scene.world.server.stderr().contains(secret));
}

#[test]
fn trap_s7_a_known_secret_never_leaves_in_any_stream_or_whole_answer() {
    let Some(binary) = binary() else { return };
    for (action, on) in [("mask", "output"), ("block", "output")] {
        let scene = scene(binary.clone(), &format!("{{ knownSecrets: {action}, on: {on} }}"));
        let hex: String = KNOWN.bytes().map(|b| format!("{b:02x}")).collect();
        for secret in [KNOWN, &hex] {
            scene.ways(&format!("before {secret} after"), |answer, stream| {
                assert!(!answer.body.contains(secret), "{answer:?}");
                let half = &secret[..secret.len() / 2];
                assert!(!said(answer).contains(half), "{answer:?}");
                match (action, stream) {
                    ("mask", _) => assert!(said(answer).contains("before [secret] after"), "{answer:?}"),
                    ("block", false) => assert_eq!(answer.header("bedplate-error"), Some("GD0002")),
                    _ => {
                        assert!(answer.body.contains("GD0002"), "{answer:?}");
                        assert!(!answer.body.contains("[DONE]") && !answer.body.contains("message_stop"));
                    }
                }
                let record = scene.world.record_of(answer);
                assert!(record.to_string().contains(&format!("knownSecret {action}")), "{record:#}");
                assert!(!record.to_string().contains(secret));
            });
        }
        scene.world.check_books();
        scene.world.is_sound();
    }
}

#[test]
fn the_local_engine_is_kept_from_saying_a_canary_and_the_record_says_so() {
    let Some(binary) = binary() else { return };
    for place in ["inline", "child"] {
        let setup = Setup::new(binary.clone()).with_engine();
        let world = setup.arg(&format!("--engine-process={place}")).begin();
        let ask = |stream: bool| {
            let messages = json!([{"role": "user", "content": "What is a budget?"}]);
            let body = json!({"model": "bedplate-guide", "stream": stream, "max_tokens": 40,
                "temperature": 0, "messages": messages});
            world.send(&Ask::json("/v1/chat/completions", &body).key(&world.admin))
        };
        let free = said(&ask(false));
        let canary: String = free.chars().skip(6).take(14).collect();
        assert_eq!(canary.chars().count(), 14, "{free}");
        world.apply(&format!(
            "apiVersion: bedplate/v1\nkind: Guard\nmetadata: {{ name: marks }}\n\
             spec: {{ default: true, on: output, canaries: mask, canaryTexts: [ {} ] }}\n",
            json!(canary)
        ));
        for stream in [false, true] {
            let answer = ask(stream);
            let text = said(&answer);
            assert_eq!(answer.status, 200, "{answer:?}");
            // Not replaced afterwards: it was never written.
            assert!(!text.contains(&canary) && !text.contains("[secret]") && text.len() > 10, "{text}");
            let record = world.record_of(&answer).to_string();
            assert!(record.contains("withheld mask") && !record.contains(&canary), "{record}");
        }
        world.check_books();
        world.is_sound();
    }
}

#[test]
fn what_must_stay_inside_is_refused_where_no_target_is() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary, "{ personal: { iban: route-local } }");
    let answer = scene.ask("pay DE89370400440532013000", false, false);
    assert_eq!((answer.status, answer.header("bedplate-error")), (403, Some("GD0003")), "{answer:?}");
    assert_eq!(scene.ask("pay nobody", false, false).status, 200);
    assert_eq!(scene.provider.seen().len(), 1);
}

#[test]
fn a_remote_detector_that_does_not_answer_counts_as_declared() {
    let Some(binary) = binary() else { return };
    for (failure, status) in [("closed", 400), ("open", 200)] {
        let remote = format!("{{ url: \"http://127.0.0.1:9/\", timeoutMs: 500, onFailure: {failure} }}");
        let scene = scene(binary.clone(), &format!("{{ remote: {remote} }}"));
        let answer = scene.ask("anything", false, false);
        assert_eq!(answer.status, status, "{answer:?}");
        let record = scene.world.record_of(&answer);
        assert!(record.to_string().contains("remote"), "{record:#}");
    }
}

#[test]
fn a_soft_rule_ends_an_answer_at_the_sentence_in_which_it_speaks() {
    let Some(binary) = binary() else { return };
    let deny = "[ { phrases: [project bluebird], action: block, soft: true } ]";
    let scene =
        scene(binary, &format!("{{ on: output, deny: {deny}, release: {{ bytes: 4096, ms: 5000 }} }}"));
    scene.ways("Nothing here. It is about Project Bluebird. More.", |answer, stream| {
        assert!(!answer.body.contains("Bluebird") && !answer.body.contains("It is about"), "{answer:?}");
        match stream {
            false => assert_eq!(answer.header("bedplate-error"), Some("GD0002"), "{answer:?}"),
            true => assert!(answer.body.contains("GD0002") && !answer.body.contains("[DONE]"), "{answer:?}"),
        }
        let record = scene.world.record_of(answer).to_string();
        assert!(record.contains("denied block") && !record.contains("Bluebird"), "{record}");
    });
    scene.ways("Nothing here. Nothing there", |answer, _| {
        assert_eq!(answer.status, 200);
        assert!(said(answer).contains("Nothing here. Nothing there"), "{answer:?}");
    });
    scene.world.check_books();
    scene.world.is_sound();
}

#[test]
fn an_answer_waits_at_its_end_for_what_a_remote_detector_says_of_it() {
    let Some(binary) = binary() else { return };
    // A private address that was not declared as one is never asked: no answer.
    for (failure, ends) in [("closed", true), ("open", false)] {
        let remote = format!("{{ url: \"http://127.0.0.1:9/\", timeoutMs: 500, onFailure: {failure} }}");
        let scene = scene(binary.clone(), &format!("{{ on: output, remote: {remote} }}"));
        scene.ways("One sentence. And another", |answer, stream| {
            let ended = answer.body.contains("GD0002") || answer.header("bedplate-error") == Some("GD0002");
            assert_eq!(
                (ended, stream || answer.status == if ends { 400 } else { 200 }),
                (ends, true),
                "{answer:?}"
            );
            let record = scene.world.record_of(answer).to_string();
            let action = if ends { "remote block" } else { "remote flag" };
            assert!(record.contains(action), "{record}");
            assert!(ends || said(answer).contains("One sentence. And another"), "{answer:?}");
        });
        scene.world.is_sound();
    }
}

#[test]
fn a_default_guard_stands_before_every_model_and_a_field_nobody_can_read_is_left_out() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary, "{ default: true, personal: { email: mask } }");
    let body = json!({"model": "plain", "messages": [{"role": "user", "content": "to a@b.example",
        "x_unknown": "c@d.example"}], "metadata": {"owner": "e@f.example"}});
    let answer = scene.world.send(&Ask::json("/v1/chat/completions", &body).key(&scene.key));
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = scene.seen();
    assert!(seen.contains("[email]"), "{seen}");
    for address in ["a@b", "c@d", "e@f"] {
        assert!(!seen.contains(address), "{address} in {seen}");
    }
    assert!(answer.header("bedplate-dropped").is_some_and(|d| d.contains("metadata")), "{answer:?}");
}

#[test]
fn guard_test_shows_findings_and_says_by_its_exit_whether_the_text_passes() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary, "{ secrets: block, personal: { email: mask } }");
    let passes =
        scene.world.run(&["guard", "test", "careful", "--text", "to a@b.example", "--json"]).exits(0);
    let tested: Value = serde_json::from_str(&passes.stdout).unwrap();
    assert_eq!((&tested["action"], &tested["text"]), (&json!("mask"), &json!("to [email]")));
    assert_eq!(tested["findings"][0]["from"], 3);
    let blocked = scene.world.run(&["guard", "test", "careful", "--text", "AKIAIOSFODNN7EXAMPLE"]).exits(1);
    assert!(blocked.stdout.contains("aws-access-key") && !blocked.stdout.contains("AKIA"));
    scene.world.run(&["guard", "test", "careless", "--text", "x"]).exits(1);
}
