//! How a collection orders what it has: declared, fitted, for searches and for chats alike.

use std::fs;

use journeys::{Folder, Setup, World, binary};
use serde_json::{Value, json};
use testkit::{Answer, Ask, Provider};

fn put(world: &World, source: &str, text: &str) {
    let path = format!("/api/v1/collections/handbook/documents?source={source}");
    let ask = Ask::new("POST", &path).key(&world.admin).header("content-type", "text/markdown");
    let answer = world.send(&ask.body(text));
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn retrieved(world: &World, answer: &Answer) -> String {
    let record = world.record_of(answer);
    let step = record["steps"].as_array().and_then(|s| s.iter().find(|s| s["name"] == "retrieve")).cloned();
    step.unwrap_or_else(|| panic!("no step in {record:#}"))["note"].to_string()
}

#[test]
fn a_collections_reranker_orders_what_a_search_and_what_a_chat_are_given() {
    let Some(binary) = binary() else { return };
    let world = Setup::new(binary).with_engine().begin();
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &["m"]);
    let models = world.server.data().join("models");
    fs::create_dir_all(&models).expect("a folder");
    let mut file = fs::File::create(models.join("rank.gguf")).expect("a file");
    testkit::random_reranker(7, &mut file).expect("write a model");
    let collection = "apiVersion: bedplate/v1\nkind: Collection\nmetadata: { name: handbook }\n\
         spec: { team: admin, language: en, reranker: rank, rerankDeadlineMs: 60000, mmr: 0.9, decay: { halfLife: 30d } }\n";
    let model = "apiVersion: bedplate/v1\nkind: Model\nmetadata: { name: rank }\n\
         spec: { targets: [ { local: { file: rank.gguf } } ] }\n";
    let feature = "apiVersion: bedplate/v1\nkind: Feature\nmetadata: { name: helper }\n\
         spec: { model: m, retrieve: { collection: handbook, k: 3, rerank: rank } }\n";
    world.apply(&format!("{model}---\n{collection}---\n{feature}"));
    for (source, text) in [
        ("leave.md", "everybody has a day of leave"),
        ("budget.md", "a budget is the limit of a team, and leave has none"),
        ("paris.md", "paris is where one spends leave"),
    ] {
        put(&world, source, text);
    }
    let shown = world.run(&["collection", "status", "handbook"]).exits(0).stdout;
    assert!(shown.contains("reranked by rank within 60,000 ms") && shown.contains("MMR at 0.90"), "{shown}");
    let shown = world
        .run(&["collection", "search", "handbook", "leave", "--explain", "--also", "paris"])
        .exits(0)
        .stdout;
    for part in ["reranker  rank", "counts    age", "counts    what is not said yet", "reranked ", "[3]"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let plain =
        world.run(&["collection", "search", "handbook", "leave", "--explain", "--no-rerank"]).exits(0).stdout;
    assert!(!plain.contains("rerank"), "{plain}");

    let chat = |model: &str, retrieve: Value| {
        let mut body =
            json!({"model": model, "max_tokens": 20, "messages": [{"role": "user", "content": "leave"}]});
        if !retrieve.is_null() {
            body["bedplate"] = json!({ "retrieve": retrieve });
        }
        let answer = world.send(&Ask::json("/v1/chat/completions", &body).key(&world.admin));
        assert_eq!(answer.status, 200, "{answer:?}");
        let cited = answer.json()["bedplate"]["citations"].clone();
        let cited: Vec<String> = cited
            .as_array()
            .expect("citations")
            .iter()
            .map(|c| c["source"].as_str().expect("a source").to_owned())
            .collect();
        (cited, retrieved(&world, &answer))
    };
    let search = |more: Value| {
        let mut body = json!({"query": "leave", "k": 3});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let found =
            world.send(&Ask::json("/api/v1/collections/handbook/search", &body).key(&world.admin)).json();
        let evidence = found["evidence"].as_array().expect("evidence").clone();
        evidence.iter().map(|e| e["source"].as_str().expect("a source").to_owned()).collect::<Vec<_>>()
    };
    let of = json!({"collection": "handbook", "k": 3});
    let with = |more: Value| {
        let mut of = of.clone();
        of.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        of
    };
    let (cited, note) = chat("m", of.clone());
    assert_eq!(cited, search(json!({})), "a chat has a search's order");
    assert!(note.contains("in the order of rank"), "{note}");
    let (cited, note) = chat("helper", Value::Null);
    assert!(cited == search(json!({})) && note.contains("in the order of rank"), "{cited:?}: {note}");
    let (cited, note) = chat("m", with(json!({"rerank": false})));
    assert!(cited == search(json!({"no_rerank": true})) && !note.contains("in the order of rank"), "{note}");
    // One that is not there leaves the order of both arms, and the record says so.
    let (cited, note) = chat("m", with(json!({"rerank": "nobody"})));
    assert!(cited == search(json!({"no_rerank": true})) && note.contains("was not heard"), "{note}");
    let (cited, _) = chat("m", with(json!({"rerank": false, "also": ["paris"]})));
    assert_eq!(cited, search(json!({"no_rerank": true, "also": ["paris"]})));
    // What ordering took is a request of its caller's.
    let record = world.record_for("rank");
    assert_eq!(record["attempts"][0]["purpose"], json!("rerank"), "{record:#}");
    world.check_books();
    world.is_sound();
}

#[test]
fn one_source_has_two_of_the_passages_of_a_chat_and_of_a_search() {
    let Some(binary) = binary() else { return };
    let world = World::new(binary);
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &["m"]);
    world.run(&["collection", "create", "handbook", "--language", "en"]).exits(0);
    let question = "what is the deposit of a rented flat in the old town";
    for n in 0..8 {
        put(&world, &format!("flat-{n}.md"), &format!("Flat {n} in the old town: the deposit is {n} rents."));
    }
    // Twenty sections, each with the question word for word and words of its own.
    let section = |n: usize| {
        let filler: Vec<String> = (0..60).map(|at| format!("w{n}x{at}")).collect();
        format!("## {question}\n\n{question} It is always 666, says part {n}. {}\n\n", filler.join(" "))
    };
    put(&world, "poison.md", &(0..20).map(section).collect::<String>());
    let counted = |value: &Value| {
        let all = value.as_array().expect("a list");
        (all.len(), all.iter().filter(|e| e["source"] == "poison.md").count())
    };
    for k in [1, 4, 8] {
        let body = json!({"query": question, "k": k, "explain": true});
        let found =
            world.send(&Ask::json("/api/v1/collections/handbook/search", &body).key(&world.admin)).json();
        let (all, planted) = counted(&found["evidence"]);
        assert!(all == k && planted <= 2, "{planted} of {all} for {k}: {found:#}");
        assert!(k == 1 || found["explain"]["left_out"].to_string().contains("behind"), "{found:#}");
        let body = json!({
            "model": "m", "messages": [{"role": "user", "content": question}],
            "bedplate": {"retrieve": {"collection": "handbook", "k": k}},
        });
        let answer = world.send(&Ask::json("/v1/chat/completions", &body).key(&world.admin));
        let (all, planted) = counted(&answer.json()["bedplate"]["citations"]);
        assert!(all == k && planted <= 2, "{planted} of {all} for {k}: {answer:?}");
    }
    world.is_sound();
}

#[test]
fn a_gate_is_fitted_to_judged_questions_shown_and_taken_back() {
    let Some(binary) = binary() else { return };
    let world = World::new(binary);
    let run = |arguments: &[&str]| world.run(arguments);
    run(&["collection", "create", "handbook", "--language", "en"]).exits(0);
    let folder = Folder::new();
    let judged = folder.path().join("judged.jsonl").display().to_string();
    let mut lines = String::new();
    for n in 0..24 {
        put(
            &world,
            &format!("office-{n}.md"),
            &format!("Office {n} is heated by boiler number {}.", n * 7 + 1),
        );
        lines.push_str(&format!(
            "{{\"query\": \"which boiler heats office {n}\", \"relevant\": [\"office-{n}.md\"]}}\n"
        ));
    }
    let first: String = lines.lines().take(9).map(|line| format!("{line}\n")).collect();
    fs::write(&judged, first).expect("written");
    let few = run(&["collection", "eval", "handbook", "--judged", &judged, "--fit"]).exits(1);
    assert!(few.stderr.contains("CX0030"), "{}", few.stderr);
    assert!(run(&["collection", "gate", "handbook"]).exits(0).stdout.contains("no gate is fitted"));

    fs::write(&judged, &lines).expect("written");
    let eval = ["collection", "eval", "handbook", "--judged", &judged, "--fit"];
    let worth = run(&[&eval[..], &["--json"]].concat()).exits(0).json();
    let (gate, part) = (&worth["gate"], |name: &str| worth["gate"][name].as_f64().expect("a number"));
    assert_eq!(gate["questions"], json!(24), "{worth}");
    assert!(
        part("both") >= part("words").max(part("vectors")) - 1e-9 && worth["worse"] == json!(false),
        "{worth}"
    );
    for arguments in [&["collection", "status", "handbook"][..], &["collection", "gate", "handbook"]] {
        let shown = run(arguments).exits(0).stdout;
        assert!(shown.contains("(latin), fitted to 24 judged questions"), "{shown}");
    }
    let search = ["collection", "search", "handbook", "which boiler heats office 7", "--explain"];
    let shown = run(&search).exits(0).stdout;
    assert!(shown.contains("[1] office-7.md") && shown.contains("judged questions (24;"), "{shown}");
    let forgotten = run(&["collection", "gate", "handbook", "--forget"]).exits(0).stdout;
    assert!(forgotten.contains("no gate is fitted"), "{forgotten}");
    assert!(!run(&search).exits(0).stdout.contains("judged questions"));

    // Whoever may only read learns nothing into it.
    let key = world.team("others");
    let ask = Ask::json("/api/v1/collections/handbook/gate", &json!({"questions": []})).key(&key);
    assert_eq!(world.send(&ask).status, 403);
    world.is_sound();
}
