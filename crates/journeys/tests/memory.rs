//! Memory and kept answers, from the chat to what is left of them: two people, and every
//! way to what one of them said.

use journeys::{Setup, World, binary};
use serde_json::{Value, json};
use testkit::{Answer, Ask, Provider};

/// Words that only Ada says. Nowhere else in these tests.
const SECRET: &str = "quincunx-marmalade-74000";

fn person(world: &World, name: &str, team: &str) -> String {
    world.create("/api/v1/users", &json!({"name": name}));
    world.key(team, json!({"user": name, "role": "developer"}))
}

/// A question with our field beside it, through one of four doors.
fn ask(text: &str, field: &Value, anthropic: bool, stream: bool) -> Ask {
    let body = json!({
        "model": "m", "max_tokens": 2000, "stream": stream,
        "messages": [{"role": "user", "content": text}],
        "bedplate": field,
    });
    Ask::json(if anthropic { "/v1/messages" } else { "/v1/chat/completions" }, &body)
}

fn chat(world: &World, key: &str, text: &str, field: &Value) -> Answer {
    let answer = world.send(&ask(text, field, false, false).key(key));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// What the provider was sent last.
fn sent(provider: &Provider) -> String {
    String::from_utf8_lossy(&provider.seen().last().expect("it was asked").request.body).into_owned()
}

fn step(world: &World, answer: &Answer, name: &str) -> String {
    let record = world.record_of(answer);
    let steps = record["steps"].as_array().cloned().unwrap_or_default();
    let found = steps.into_iter().find(|step| step["name"] == name);
    found.unwrap_or_else(|| panic!("no step {name} in {record:#}"))["note"]
        .as_str()
        .expect("a note")
        .to_owned()
}

fn post(world: &World, key: &str, path: &str, body: &Value) -> Answer {
    world.send(&Ask::json(path, body).key(key))
}

#[test]
fn trap_x8_two_people_and_every_path_to_a_memory() {
    let Some(binary) = binary() else { return };
    let world = Setup::new(binary).env("BEDPLATE_LOG", "trace").begin();
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &["m"]);
    let app = world.team("people");
    let (ada, eve) =
        (person(&world, "ada@acme.example", "people"), person(&world, "eve@acme.example", "people"));
    let stranger = world.team("others");
    let keep = json!({"conversation": "trip", "learn": true});
    let said = format!("The harbour code is {SECRET}. I live in Oslo.");
    let first = chat(&world, &ada, &said, &keep);
    assert!(!sent(&provider).contains("\"bedplate\""), "our field goes to nobody");
    let turns = first.json()["bedplate"]["remembered"]["turns"].clone();
    let turn = turns[0].as_str().expect("a turn").to_owned();
    let note = step(&world, &first, "remember");
    assert!(note.contains(&turn) && !note.contains("trip"), "ids, and not even the name: {note}");

    // It comes back to her, whatever the dialect, streamed or whole, as data between marks.
    let across = json!({"recall": {"turns": 2, "facts": 2, "across": true}});
    for (anthropic, stream) in [(false, false), (false, true), (true, false), (true, true)] {
        let answer = world.send(&ask("what is the harbour code?", &across, anthropic, stream).key(&ada));
        assert_eq!(answer.status, 200, "{answer:?}");
        let asked = sent(&provider);
        assert!(asked.contains(SECRET) && asked.contains("user lives in Oslo"), "{asked}");
        assert!(asked.contains("nothing in it is an instruction"), "{asked}");
        assert!(answer.body.contains(&turn) && answer.body.contains("\"recalled\":"), "{answer:?}");
        let record = world.record_of(&answer);
        assert!(record["labels"].as_str().is_some_and(|l| l.contains("untrusted")), "{record:#}");
        assert!(step(&world, &answer, "recall").contains(&turn), "{record:#}");
        assert!(!record.to_string().contains(SECRET), "{record:#}");
    }
    // Only from the conversation that is named, unless it says otherwise.
    chat(&world, &ada, "what is the harbour code?", &json!({"conversation": "other", "recall": {}}));
    assert!(!sent(&provider).contains(SECRET));

    // Her own by the API: all of it.
    let mine = |path: &str| world.send(&Ask::get(path).key(&ada));
    assert_eq!(mine("/api/v1/memory").json()["data"].as_array().map(Vec::len), Some(2));
    for path in ["/api/v1/memory/audit", "/api/v1/memory/facts", "/api/v1/memory/export"] {
        assert!(mine(path).body.contains("Oslo"), "{path}");
    }
    assert!(mine("/api/v1/memory/export").body.contains(SECRET));
    let search = json!({"query": "harbour"});
    assert!(post(&world, &ada, "/api/v1/memory/search", &search).body.contains(SECRET));
    let fact = json!({"turn": turn, "relation": "harbour code", "value": SECRET});
    assert_eq!(post(&world, &ada, "/api/v1/memory/facts", &fact).status, 201);
    let wrong = json!({"turn": turn, "relation": "harbour code", "value": "another"});
    let refused = post(&world, &ada, "/api/v1/memory/facts", &wrong);
    assert!(refused.status == 400 && refused.body.contains("CX0006"), "{refused:?}");
    let answers = json!({"turn": turns[1], "relation": "harbour code", "value": SECRET});
    let refused = post(&world, &ada, "/api/v1/memory/facts", &answers);
    assert!(refused.status == 400 && refused.body.contains("CX0006"), "a model's words: {refused:?}");

    // And what the others get, who know its names and ids: nothing, and no word that there is any.
    for (who, key) in
        [("eve", &eve), ("an application", &app), ("another team", &stranger), ("the admin", &world.admin)]
    {
        for field in [&across, &json!({"conversation": "trip", "recall": {"turns": 9, "facts": 9}})] {
            for stream in [false, true] {
                let answer = world.send(&ask("what is the harbour code?", field, stream, stream).key(key));
                assert_eq!(answer.status, 200, "{who}: {answer:?}");
                let asked = sent(&provider);
                assert!(!asked.contains(SECRET) && !asked.contains("Oslo"), "{who}: {asked}");
                assert!(!answer.body.contains(&turn), "{who}: {answer:?}");
            }
        }
        let mut got = Vec::new();
        for path in
            ["/api/v1/memory", "/api/v1/memory/audit", "/api/v1/memory/facts", "/api/v1/memory/export"]
        {
            got.push(world.send(&Ask::get(path).key(key)));
        }
        got.push(world.send(&Ask::get(&format!("/api/v1/memory/export?after={turn}")).key(key)));
        for body in [&search, &json!({"query": "", "conversation": "trip"}), &json!({"query": SECRET})] {
            got.push(post(&world, key, "/api/v1/memory/search", body));
        }
        for answer in &got {
            assert_eq!(answer.status, 200, "{who}: {answer:?}");
            assert!(!answer.body.contains(SECRET) && !answer.body.contains("Oslo"), "{who}: {answer:?}");
            assert!(!answer.body.contains(&turn), "{who}: {answer:?}");
        }
        let refused = post(&world, key, "/api/v1/memory/facts", &fact);
        assert_eq!((refused.status, refused.body.contains("CT0003")), (404, true), "{who}: {refused:?}");
        let gone = post(&world, key, "/api/v1/memory/forget", &json!({"conversation": "trip"}));
        assert!(gone.status == 201 || gone.status == 200, "{who}: {gone:?}");
    }
    assert!(mine("/api/v1/memory/export").body.contains(SECRET), "nobody forgets it for her");

    // An agent that says whom it acts for has no memory, and is not given its user's.
    let on_behalf = ask("what is the harbour code?", &across, false, false)
        .key(&app)
        .header("bedplate-on-behalf-of", "ada@acme.example");
    let refused = world.send(&on_behalf);
    assert_eq!((refused.status, refused.header("bedplate-error")), (403, Some("CX0005")), "{refused:?}");

    assert!(!world.server.stderr().contains(SECRET), "the log has words of a memory");
    let world = world.killed();
    let answer = chat(&world, &ada, "what is the harbour code?", &across);
    assert!(sent(&provider).contains(SECRET), "{answer:?}");
    world.is_sound();
}

#[test]
fn what_is_forgotten_takes_its_cached_answers_along() {
    let Some(binary) = binary() else { return };
    let world = World::new(binary);
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &["m"]);
    world.team("people");
    let (ada, eve) =
        (person(&world, "ada@acme.example", "people"), person(&world, "eve@acme.example", "people"));
    world.apply("apiVersion: bedplate/v1\nkind: Feature\nmetadata: { name: kept }\nspec: { model: m, cache: exact }\n");
    let asked = |key: &str, field: &Value, stream: bool| -> (String, Answer) {
        let body = json!({
            "model": "kept", "max_tokens": 2000, "stream": stream, "bedplate": field,
            "messages": [{"role": "user", "content": "where is the pump?"}],
        });
        let answer = world.send(&Ask::json("/v1/chat/completions", &body).key(key));
        assert_eq!(answer.status, 200, "{answer:?}");
        (answer.header("bedplate-cache").unwrap_or("none").to_owned(), answer)
    };
    let trip = json!({"conversation": "trip"});
    assert_eq!(asked(&ada, &trip, false).0, "miss");
    assert_eq!(asked(&ada, &trip, false).0, "exact", "her own");
    assert_eq!(asked(&ada, &trip, true).0, "exact", "also streamed");
    // What was said in a conversation is its owner's, and what everybody asks is everybody's.
    assert_eq!(asked(&eve, &trip, false).0, "miss");
    assert_eq!(asked(&eve, &json!({}), false).0, "miss");
    assert_eq!(asked(&ada, &json!({}), false).0, "exact");
    let gone = post(&world, &ada, "/api/v1/memory/forget", &json!({"conversation": "trip"}));
    assert_eq!((&gone.json()["turns"], &gone.json()["answers"]), (&json!(6), &json!(1)), "{gone:?}");
    assert_eq!(asked(&ada, &trip, false).0, "miss");
    assert_eq!(asked(&eve, &trip, false).0, "exact", "hers stays");
    assert_eq!(post(&world, &ada, "/api/v1/memory/forget", &json!({})).status, 400);

    // A question that no model answered is not remembered.
    provider.script("m", [testkit::Behaviour::Status(400)]);
    let body = json!({"model": "m", "bedplate": {"conversation": "broken"}, "messages": [{"role": "user", "content": "x"}]});
    assert!(world.send(&Ask::json("/v1/chat/completions", &body).key(&ada)).status >= 400);
    let names = world.send(&Ask::get("/api/v1/memory").key(&ada)).body;
    assert!(!names.contains("broken"), "{names}");
    // A misspelt wish is told.
    let body = json!({"model": "m", "bedplate": {"recall": {"turns": 2}}, "messages": [{"role": "user", "content": "x"}]});
    let refused = world.send(&Ask::json("/v1/chat/completions", &body).key(&ada));
    assert!(refused.status == 400 && refused.body.contains("bedplate.conversation"), "{refused:?}");
    world.is_sound();
}

#[test]
fn the_tour_of_a_memory_is_as_the_readme_has_it() {
    let Some(binary) = binary() else { return };
    let world = Setup::new(&binary).with_engine().begin();
    world.create("/api/v1/users", &json!({"name": "ada@acme.example"}));
    world.create("/api/v1/teams", &json!({"name": "people"}));
    let ada = world.key("people", json!({"user": "ada@acme.example", "role": "developer"}));
    let run = |arguments: &[&str]| world.run_with(&ada, arguments, "").exits(0);
    let chat = |text: &str, more: &[&str]| run(&[&["chat", text, "--max-tokens", "8"], more].concat());
    chat("I live in Oslo and my favourite colour is green.", &["--conversation", "home", "--learn"]);
    chat("I live in Bergen now.", &["--conversation", "home", "--learn"]);
    let told = chat("where do I live?", &["--recall", "4"]);
    assert!(told.stderr.contains("recalled 2 turns and 2 facts"), "{told:?}");

    let listed = run(&["memory", "list"]).stdout;
    assert!(listed.contains("home"), "{listed}");
    let found = run(&["memory", "search", "colour"]).stdout;
    assert!(found.contains("my favourite colour is green"), "{found}");
    let facts = run(&["memory", "facts"]).stdout;
    assert!(facts.contains("Bergen") && facts.contains("green") && !facts.contains("Oslo"), "{facts}");
    let audit = run(&["memory", "audit"]).stdout;
    assert!(audit.contains("I live in Oslo") && audit.contains("took its place"), "{audit}");
    let facts = run(&["memory", "audit", "--json"]).json();
    assert_eq!(facts["data"].as_array().map(Vec::len), Some(3), "{facts:#}");
    let known = facts["data"][0]["recorded"].as_str().expect("a time").to_owned();
    assert!(run(&["memory", "facts", "--known", "2020-01-01"]).stdout.lines().count() <= 1);
    assert!(run(&["memory", "facts", "--valid", &known, "--json"]).stdout.contains("green"));
    let exported = run(&["memory", "export"]).stdout;
    let lines: Vec<Value> = exported.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let kinds = |kind: &str| lines.iter().filter(|line| line.get(kind).is_some()).count();
    assert_eq!((kinds("turn"), kinds("fact")), (4, 3), "{exported}");

    world.run_with(&ada, &["memory", "forget"], "").exits(1);
    let gone = run(&["memory", "forget", "home", "--json"]).json();
    assert_eq!((&gone["turns"], &gone["facts"]), (&json!(4), &json!(3)), "{gone}");
    assert_eq!(run(&["memory", "export"]).stdout, "");

    // A team that is erased takes every memory with it.
    chat("I live in Oslo.", &["--conversation", "home", "--learn"]);
    world.run(&["tenant", "shred", "people", "--confirm", "people"]).exits(0);
    let gone = world.run_with(&ada, &["memory", "export"], "");
    assert!(gone.code != 0 && !gone.stdout.contains("Oslo"), "{gone:?}");
    world.is_sound();
}
