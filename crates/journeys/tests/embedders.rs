//! A collection whose vectors a model makes: on this machine and at a provider.

use std::fs;

use journeys::{Setup, World, binary};
use serde_json::{Value, json};
use testkit::{Answer, Ask, Provider};

const TEXTS: [(&str, &str); 3] = [
    ("leave.md", "everybody has a day of leave"),
    ("budget.md", "a budget is the limit of a team"),
    ("paris.md", "paris is the capital of france"),
];

fn model(world: &World, name: &str, seed: u64) {
    let models = world.server.data().join("models");
    fs::create_dir_all(&models).expect("a folder");
    let mut file = fs::File::create(models.join(format!("{name}.gguf"))).expect("a file");
    testkit::random_embedder(seed, &mut file).expect("write a model");
    world.apply(&format!(
        "apiVersion: bedplate/v1\nkind: Model\nmetadata: {{ name: {name} }}\n\
         spec: {{ targets: [ {{ local: {{ file: {name}.gguf }} }} ] }}\n"
    ));
}

fn put(world: &World, key: &str, source: &str, text: &str, labels: &str) -> Answer {
    let path = format!("/api/v1/collections/c/documents?source={source}&labels={labels}");
    world.send(&Ask::new("POST", &path).key(key).body(text))
}

fn search(world: &World, key: &str, query: &str) -> Value {
    let body = json!({"query": query, "explain": true});
    let answer = world.send(&Ask::json("/api/v1/collections/c/search", &body).key(key));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[test]
fn a_local_model_embeds_a_collection_and_another_takes_its_place() {
    let Some(binary) = binary() else { return };
    let world = Setup::new(binary).with_engine().begin();
    model(&world, "small", 7);
    let run = |arguments: &[&str]| world.run(arguments).exits(0).stdout;
    world.run(&["collection", "create", "c", "--embedder", "nobody"]).exits(1);
    run(&["collection", "create", "c", "--language", "en", "--embedder", "small"]);
    for (source, text) in TEXTS {
        assert_eq!(put(&world, &world.admin, source, text, "internal").status, 200);
    }
    // What embedding took has a record and postings like any request of its caller.
    let record = world.record_for("small");
    let attempt = &record["attempts"][0];
    assert_eq!((&attempt["purpose"], &attempt["provider"]), (&json!("embedding"), &json!("local")));
    assert!(record.to_string().contains("a document of collection c"), "{record:#}");
    let shown = world.show("/api/v1/collections/c");
    let first = shown["embedder"].as_str().expect("a name").to_owned();
    assert!(first.starts_with("small local:"), "{shown}");

    // The very words of a document are the nearest there are, even to random weights.
    let found = search(&world, &world.admin, TEXTS[1].1);
    let best = &found["evidence"][0];
    assert_eq!((&best["source"], &best["dense_rank"]), (&json!("budget.md"), &json!(1)), "{found:#}");
    assert_eq!((&found["notes"], &found["accuracy"]), (&json!([]), &json!("exact")), "{found:#}");
    assert_eq!(found["explain"]["embedder"], json!(first));

    // Another model, beside the one that is searched; then back, by a word.
    model(&world, "other", 8);
    let told = run(&["collection", "reindex", "c", "--embedder", "other"]);
    assert!(told.contains("other local:") && told.contains("3 parts"), "{told}");
    assert_eq!(search(&world, &world.admin, TEXTS[2].1)["evidence"][0]["source"], json!("paris.md"));
    let told = run(&["collection", "reindex", "c", "--embedder", "small"]);
    assert!(told.contains(&first) && told.contains("0 parts"), "{told}");
    run(&["collection", "reindex", "c", "--embedder", "lexical-hash"]);
    assert!(run(&["collection", "list"]).contains("lexical-hash-1"));
    run(&["collection", "reindex", "c", "--embedder", "small"]);

    // A key that may not ask the model finds by words, and is told; it puts nothing.
    let narrow = world.key("admin", json!({"role": "developer", "models": ["bedplate-guide"]}));
    let found = search(&world, &narrow, "budget");
    assert_eq!(found["evidence"][0]["source"], json!("budget.md"), "{found:#}");
    let note = found["notes"][0].as_str().expect("a note");
    assert!(note.contains("by words alone"), "{note}");
    assert_eq!(put(&world, &narrow, "new.md", "new words", "internal").status, 403);

    // The weights change under the model's name: nothing is mixed, and a new index is one word away.
    let mut file = fs::File::create(world.server.data().join("models/small.gguf")).expect("a file");
    testkit::random_embedder(9, &mut file).expect("write a model");
    let world = world.killed();
    let refused = put(&world, &world.admin, "new.md", "new words", "internal");
    assert!(refused.status == 409 && refused.body.contains("EM0001"), "{refused:?}");
    assert!(search(&world, &world.admin, "budget")["notes"][0].to_string().contains("EM0001"));
    world.run(&["collection", "reindex", "c"]).exits(0);
    assert_eq!(put(&world, &world.admin, "new.md", "new words", "internal").status, 200);
    assert_eq!(search(&world, &world.admin, "budget")["notes"], json!([]));
    world.check_books();
    world.is_sound();
}

#[test]
fn a_search_is_ordered_by_a_model_that_has_read_what_it_found() {
    let Some(binary) = binary() else { return };
    let world = Setup::new(binary).with_engine().begin();
    let models = world.server.data().join("models");
    fs::create_dir_all(&models).expect("a folder");
    let mut file = fs::File::create(models.join("rank.gguf")).expect("a file");
    testkit::random_reranker(7, &mut file).expect("write a model");
    world.apply(
        "apiVersion: bedplate/v1\nkind: Model\nmetadata: { name: rank }\n\
         spec: { targets: [ { local: { file: rank.gguf } } ] }\n",
    );
    world.run(&["collection", "create", "c", "--language", "en"]).exits(0);
    for (source, text) in TEXTS {
        assert_eq!(put(&world, &world.admin, source, &format!("{text} and leave"), "internal").status, 200);
    }
    let ask = |more: Value| {
        let mut body = json!({"query": "leave", "rerank": "rank", "rerank_deadline_ms": 60_000});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let answer = world.send(&Ask::json("/api/v1/collections/c/search", &body).key(&world.admin));
        (answer.status, answer.json())
    };
    let (_, found) = ask(json!({}));
    let evidence = found["evidence"].as_array().expect("evidence");
    let score = |e: &Value| e["rerank_score"].as_f64().expect("a score");
    assert_eq!((evidence.len(), &found["notes"]), (3, &json!([])), "{found:#}");
    assert!(evidence.windows(2).all(|w| score(&w[0]) >= score(&w[1])), "{found:#}");
    let record = world.record_for("rank");
    assert_eq!(record["attempts"][0]["purpose"], json!("rerank"), "{record:#}");
    let shown =
        world.run(&["collection", "search", "c", "leave", "--rerank", "rank", "--explain"]).exits(0).stdout;
    assert!(shown.contains("reranked ") && shown.contains("rerank "), "{shown}");

    // One that is not there, or that ranks nothing, leaves the order as it was, and says so.
    for model in ["nobody", "bedplate-guide"] {
        let (status, found) = ask(json!({"rerank": model}));
        let note = found["notes"][0].as_str().expect("a note");
        assert!(status == 200 && note.contains("the reranker was not heard"), "{found:#}");
        assert_eq!(found["evidence"].as_array().map(Vec::len), Some(3), "{found:#}");
    }
    assert_eq!(ask(json!({"rerank_deadline_ms": 0})).0, 400);
    world.check_books();
    world.is_sound();
}

#[test]
fn a_document_goes_to_no_embedder_that_its_labels_keep_it_from() {
    let Some(binary) = binary() else { return };
    let world = World::new(binary);
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &["e"]);
    world.create("/api/v1/teams", &json!({"name": "people"}));
    let key = world.key("people", json!({"role": "developer"}));
    let made = json!({"name": "c", "embedder": "e"});
    assert_eq!(world.send(&Ask::json("/api/v1/collections", &made).key(&key)).status, 201);
    assert_eq!(put(&world, &key, "open.md", "what everybody may know", "internal").status, 200);
    assert_eq!(
        world.send(&Ask::get("/api/v1/collections/c").key(&key)).json()["embedder"],
        json!("e scripted/e")
    );
    let asked = provider.seen().len();
    let refused = put(&world, &key, "pay.md", "what nobody outside may know", "restricted");
    assert!(refused.status == 403 && refused.body.contains("PO0003"), "{refused:?}");
    assert_eq!(provider.seen().len(), asked, "not a word of it went out");
    // Nor by a new index of what was put before anybody thought of a provider.
    world.send(&Ask::json("/api/v1/collections/c/reindex", &json!({"embedder": "lexical-hash"})).key(&key));
    assert_eq!(put(&world, &key, "pay.md", "what nobody outside may know", "restricted").status, 200);
    let refused =
        world.send(&Ask::json("/api/v1/collections/c/reindex", &json!({"embedder": "e"})).key(&key));
    assert!(refused.status == 403 && refused.body.contains("PO0003"), "{refused:?}");
    let sent: Vec<String> =
        provider.seen().iter().map(|s| String::from_utf8_lossy(&s.request.body).into_owned()).collect();
    assert!(sent.iter().all(|body| !body.contains("nobody outside")), "{sent:?}");
    assert_eq!(search(&world, &key, "what may nobody know")["evidence"][0]["source"], json!("pay.md"));
    world.check_books();
    world.is_sound();
}

#[test]
fn what_each_stage_of_a_question_takes_is_on_its_record() {
    let Some(binary) = binary() else { return };
    let world = World::new(binary);
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &["m", "e"]);
    world.create("/api/v1/teams", &json!({"name": "people"}));
    let key = world.key("people", json!({"role": "developer"}));
    for name in ["c", "plain"] {
        let made = json!({"name": name, "embedder": if name == "c" { "e" } else { "lexical-hash" }});
        assert_eq!(world.send(&Ask::json("/api/v1/collections", &made).key(&key)).status, 201);
    }
    assert_eq!(put(&world, &key, TEXTS[1].0, TEXTS[1].1, "internal").status, 200);
    let asked = |collection: &str, model: &str| {
        let body = json!({
            "model": model, "messages": [{"role": "user", "content": "what is a budget?"}],
            "bedplate": {"retrieve": {"collection": collection}},
        });
        world.send(&Ask::json("/v1/chat/completions", &body).key(&key))
    };
    let answer = asked("c", "m");
    assert_eq!(answer.status, 200, "{answer:?}");
    let record = world.record_of(&answer);
    let steps = record["steps"].as_array().expect("steps");
    let step =
        |name: &str| steps.iter().find(|step| step["name"] == name).unwrap_or_else(|| panic!("{name}"));
    for name in ["retrieve", "retrieve.words", "retrieve.vectors", "retrieve.rank"] {
        assert!(step(name)["duration_us"].is_u64(), "{record:#}");
    }
    // The question's vector is a request of its own: its tokens, its money, its postings.
    let spent = record["spent"].as_array().expect("a list");
    assert_eq!((spent.len(), &spent[0]["stage"]), (1, &json!("embed")), "{record:#}");
    let of = world.record(spent[0]["request_id"].as_str().expect("an id"));
    assert_eq!((&of["surface"], &of["cost_usd"]), (&json!("openai.embeddings"), &spent[0]["cost_usd"]));
    assert_eq!(of["attempts"][0]["tokens"]["input"], spent[0]["tokens"], "{of:#}");
    assert_eq!(of["postings"], spent[0]["postings"], "{of:#}");
    let note = step("retrieve.embed")["note"].as_str().expect("a note").to_owned();
    assert!(note.contains(of["id"].as_str().expect("an id")) && note.contains("tokens"), "{note}");
    let usd = |value: &Value| value.as_str().and_then(|usd| usd.parse::<f64>().ok()).expect("an amount");
    let sum = usd(&record["cost_usd"]) + usd(&spent[0]["cost_usd"]);
    assert!(usd(&of["cost_usd"]) > 0.0 && (usd(&record["total_usd"]) - sum).abs() < 1e-12, "{record:#}");
    let id = record["id"].as_str().expect("an id");
    let told = world.run_with(&key, &["explain", id], "").exits(0).stdout;
    assert!(told.contains("spent by its stages") && told.contains("with the attempts"), "{told}");
    assert_eq!(told.matches("expense:people/e").count(), 1, "{told}");

    // Also where the search, or what comes after it, fails; and nothing where no model was asked.
    provider.script("e", [testkit::Behaviour::Status(400)]);
    let record = world.record_of(&asked("c", "m"));
    assert_eq!(record["spent"][0]["cost_usd"], "0", "{record:#}");
    let record = world.record_of(&asked("plain", "m"));
    assert_eq!((&record["spent"], &record["total_usd"]), (&json!([]), &record["cost_usd"]), "{record:#}");

    // A search says the same.
    let found = search(&world, &key, "what is a budget?");
    let stages = found["explain"]["stages"].as_array().expect("stages");
    let embed = stages.iter().find(|stage| stage["name"] == "embed").expect("a stage");
    assert!(embed["tokens"].as_u64() > Some(0) && usd(&embed["cost_usd"]) > 0.0, "{found:#}");
    let shown = world.run_with(&key, &["collection", "status", "c"], "").exits(0).stdout;
    assert!(shown.contains("embedder e scripted/e (generation "), "{shown}");
    world.check_books();
    world.is_sound();
}
