//! Documents, from the command line to the answer: the README's tour, and two
//! people who may not read the same.

use std::path::Path;

use journeys::{Ran, Setup, World, binary};
use serde_json::{Value, json};
use testkit::{Answer, Ask, Provider};

/// Words of a document that only Ada may read. Nowhere else in this test.
const SECRET: &str = "quincunx-marmalade-74000";

fn person(world: &World, name: &str, role: &str) -> String {
    world.create("/api/v1/users", &json!({"name": name}));
    world.key("people", json!({"user": name, "role": role}))
}

fn put(world: &World, key: &str, source: &str, acl: &str, text: &str) -> Value {
    let path = format!("/api/v1/collections/handbook/documents?source={source}&acl={acl}");
    let answer =
        world.send(&Ask::new("POST", &path).key(key).header("content-type", "text/markdown").body(text));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn search(world: &World, key: &str, body: &Value) -> Answer {
    world.send(&Ask::json("/api/v1/collections/handbook/search", body).key(key))
}

fn sources(answer: &Answer) -> Vec<String> {
    let value = answer.json();
    let evidence = value["evidence"].as_array().unwrap_or_else(|| panic!("no evidence in {value}"));
    evidence.iter().map(|e| e["source"].as_str().expect("a source").to_owned()).collect()
}

#[test]
fn trap_x8_two_people_see_by_every_path_what_they_may_read() {
    let Some(binary) = binary() else { return };
    let world = Setup::new(binary).env("BEDPLATE_LOG", "trace").begin();
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &["m"]);
    let app = world.team("people");
    let (ada, eve) =
        (person(&world, "ada@acme.example", "developer"), person(&world, "eve@acme.example", "developer"));
    let stranger = {
        world.create("/api/v1/teams", &json!({"name": "others"}));
        world.key("others", json!({"role": "developer"}))
    };
    let made = world
        .send(&Ask::json("/api/v1/collections", &json!({"name": "handbook", "language": "en"})).key(&ada));
    assert_eq!(made.status, 201, "{made:?}");
    let collection = made.json()["id"].as_str().expect("an id").to_owned();
    put(&world, &ada, "leave.md", "team", "# Leave\n\nEvery grade has 30 days of annual leave a year.\n");
    let pay = format!("# Pay\n\nGrade 7 earns {SECRET} a year.\n");
    let document =
        put(&world, &ada, "pay.md", "user:ada@acme.example", &pay)["id"].as_str().expect("an id").to_owned();

    // What Ada gets, by each path.
    let found = search(&world, &ada, &json!({"query": "what does grade 7 earn", "explain": true}));
    assert_eq!(found.status, 200, "{found:?}");
    assert!(found.body.contains(SECRET), "{found:?}");
    assert_eq!(sources(&found)[0], "pay.md");
    let preview = Ask::get(&format!("/api/v1/collections/handbook/documents/{document}"));
    assert!(world.send(&preview.clone().key(&ada)).body.contains(SECRET));

    // And what the others do not, whatever they know: the collection's id, the document's, its source.
    for (who, key) in [("eve", &eve), ("an application of the team", &app), ("another team", &stranger)] {
        let mut asked = Vec::new();
        for name in ["handbook", &collection] {
            let at = format!("/api/v1/collections/{name}");
            for path in [
                at.clone(),
                format!("{at}/documents"),
                format!("{at}/documents?after=leave.md"),
                format!("{at}/documents/{document}"),
                format!("{at}/documents/pay.md"),
            ] {
                asked.push((path.clone(), world.send(&Ask::get(&path).key(key))));
            }
            for query in ["what does grade 7 earn", SECRET, "pay.md"] {
                let body = json!({"query": query, "k": 100, "explain": true});
                let path = format!("{at}/search");
                asked.push((path.clone(), world.send(&Ask::json(&path, &body).key(key))));
            }
            let path = format!("{at}/search as ada");
            let body = json!({"query": "grade 7", "as": "ada@acme.example"});
            let refused = world.send(&Ask::json(&format!("{at}/search"), &body).key(key));
            assert!(refused.status == 403 || refused.status == 404, "{who} {path}: {refused:?}");
            let gone = world.send(&Ask::new("DELETE", &format!("{at}/documents/{document}")).key(key));
            assert!(gone.status == 403 || gone.status == 404, "{who}: {gone:?}");
        }
        for (path, answer) in &asked {
            assert!(
                !answer.body.contains(SECRET) && !answer.body.contains("pay.md\""),
                "{who} at {path}: {answer:?}"
            );
            // What is hidden and what is not there answer alike.
            if path.contains("/documents/") {
                assert_eq!(answer.status, 404, "{who} at {path}: {answer:?}");
            }
        }
    }
    let over =
        Ask::new("POST", "/api/v1/collections/handbook/documents?source=pay.md").key(&eve).body("nothing");
    assert_eq!(world.send(&over).status, 409, "nobody replaces what they may not read");

    // The answers of a model: passages by who asks, citations of just these, and a record without words.
    for (key, may) in [(&ada, true), (&eve, false), (&app, false)] {
        for (anthropic, stream) in [(false, false), (false, true), (true, false), (true, true)] {
            let body = json!({
                "model": "m", "max_tokens": 50, "stream": stream,
                "messages": [{"role": "user", "content": "what does grade 7 earn?"}],
                "bedplate": {"retrieve": {"collection": "handbook", "k": 2}},
            });
            let path = if anthropic { "/v1/messages" } else { "/v1/chat/completions" };
            let answer = world.send(&Ask::json(path, &body).key(key));
            assert_eq!(answer.status, 200, "{answer:?}");
            let sent = provider.seen().last().expect("it was asked").request.body.clone();
            let sent = String::from_utf8_lossy(&sent).into_owned();
            assert_eq!(sent.contains(SECRET), may, "{sent}");
            assert!(sent.contains("30 days"), "the team's document is everybody's: {sent}");
            assert!(!sent.contains("\"bedplate\""), "our field goes to nobody: {sent}");
            assert_eq!(answer.body.contains("pay.md"), may, "{answer:?}");
            assert!(answer.body.contains("\"citations\":["), "{answer:?}");
            let record = world.record_of(&answer);
            let step =
                record["steps"].as_array().and_then(|s| s.iter().find(|s| s["name"] == "retrieve")).cloned();
            let note = step.unwrap_or_else(|| panic!("no step in {record:#}"))["note"].to_string();
            assert_eq!(note.contains(&format!("{document}@1")), may, "{note}");
            assert!(!record.to_string().contains(SECRET), "{record:#}");
            assert!(record["labels"].as_str().is_some_and(|l| l.contains("untrusted")), "{record:#}");
        }
    }

    // Nothing of it in logs, nor as plain text on the disk.
    assert!(!world.server.stderr().contains(SECRET), "the log has words of a document");
    assert!(!world.server.stderr().contains("grade 7"), "the log has words of a question");
    let mut looked = 0;
    plain(world.folder.path(), &mut looked);
    assert!(looked > 3, "{looked} files");

    // A document that changes hands does so for the next question.
    put(&world, &ada, "pay.md", "user:ada@acme.example,user:eve@acme.example", &pay);
    assert!(search(&world, &eve, &json!({"query": "what does grade 7 earn"})).body.contains(SECRET));
    put(&world, &ada, "pay.md", "user:ada@acme.example", &pay);
    assert!(!search(&world, &eve, &json!({"query": "what does grade 7 earn"})).body.contains(SECRET));

    // And all of it survives a crash.
    let world = world.killed();
    assert!(search(&world, &ada, &json!({"query": "what does grade 7 earn"})).body.contains(SECRET));
    assert!(!search(&world, &eve, &json!({"query": "what does grade 7 earn"})).body.contains(SECRET));
    world.is_sound();
}

fn plain(folder: &Path, looked: &mut usize) {
    for entry in std::fs::read_dir(folder).expect("a folder").filter_map(|e| e.ok().map(|e| e.path())) {
        if entry.is_dir() {
            plain(&entry, looked);
            continue;
        }
        let Ok(bytes) = std::fs::read(&entry) else { continue };
        *looked += 1;
        let found = bytes.windows(SECRET.len()).any(|w| w == SECRET.as_bytes());
        assert!(!found, "{} has words of a document", entry.display());
    }
}

#[test]
fn the_tour_of_a_collection_is_as_the_readme_has_it() {
    let Some(binary) = binary() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("a checkout");
    let world = Setup::new(&binary).with_engine().begin();
    let example = |name: &str| root.join("examples").join(name).display().to_string();
    let run = |arguments: &[&str]| -> Ran { world.run(arguments).exits(0) };
    world.create("/api/v1/users", &json!({"name": "ada@acme.example"}));
    let ada = world.key("admin", json!({"user": "ada@acme.example", "role": "developer"}));

    run(&["collection", "create", "handbook", "--language", "en"]);
    let first = run(&["collection", "ingest", "handbook", &example("handbook"), "--json"]).json();
    assert_eq!((&first["added"], &first["failed"]), (&json!(3), &json!([])), "{first}");
    let again = run(&["collection", "ingest", "handbook", &example("handbook"), "--json"]).json();
    assert_eq!(
        (&again["added"], &again["unchanged"], &again["bytes"]),
        (&json!(0), &json!(3), &json!(0)),
        "{again}"
    );

    let found =
        run(&["collection", "search", "handbook", "how many days of leave are there", "--explain"]).stdout;
    assert!(found.contains("[1] leave.md") && found.contains("30 days"), "{found}");
    assert!(found.contains("gate ") && found.contains("mask "), "{found}");

    // Pay is Ada's alone. The admin put it there and is not Ada.
    let pay = example("payroll");
    let of_ada =
        ["collection", "ingest", "handbook", &pay, "--acl", "user:ada@acme.example", "--prefix", "payroll/"];
    run(&of_ada);
    let asked = ["collection", "search", "handbook", "what does grade 7 earn"];
    assert!(!run(&asked).stdout.contains("74,000"));
    let hers = world.run_with(&ada, &asked, "").exits(0).stdout;
    assert!(hers.contains("payroll/grades.md") && hers.contains("74,000"), "{hers}");
    let seen_as =
        run(&["collection", "search", "handbook", "what does grade 7 earn", "--as", "ada@acme.example"])
            .stdout;
    assert!(seen_as.contains("(you may not read it)") && !seen_as.contains("74,000"), "{seen_as}");

    // An answer says what it rests on.
    let told = run(&[
        "chat",
        "how many days of leave are there",
        "--collection",
        "handbook",
        "--passages",
        "1",
        "--max-tokens",
        "16",
    ]);
    assert!(told.stderr.contains("[1] leave.md (version 1"), "{told:?}");

    // A file that changes is another version; one that goes is gone.
    let folder = world.folder.path().join("docs");
    std::fs::create_dir_all(&folder).expect("made");
    for (name, text) in [("a.md", "The pump moves water."), ("b.md", "The valve stops water.")] {
        std::fs::write(folder.join(name), text).expect("written");
    }
    let docs = folder.display().to_string();
    run(&["collection", "ingest", "handbook", &docs]);
    std::fs::write(folder.join("a.md"), "The pump moves oil.").expect("written");
    std::fs::remove_file(folder.join("b.md")).expect("removed");
    let changed = run(&["collection", "ingest", "handbook", &docs, "--prune", "--json"]).json();
    assert_eq!((&changed["replaced"], &changed["removed"]), (&json!(1), &json!(1)), "{changed}");
    let found = run(&["collection", "search", "handbook", "what does the pump move", "--json"]).json();
    let best = &found["evidence"][0];
    assert_eq!((&best["source"], &best["version"]), (&json!("a.md"), &json!(2)), "{found:#}");

    let status = run(&["collection", "status", "handbook"]).stdout;
    assert!(status.contains("leave.md") && !status.contains("grades.md"), "{status}");
    world.run(&["collection", "remove", "handbook", "--confirm", "handbok"]).exits(1);
    run(&["collection", "remove", "handbook", "--confirm", "handbook"]);
    world.run(&["collection", "search", "handbook", "leave"]).exits(1);
    world.is_sound();
}

#[test]
fn a_declared_collection_is_asked_by_a_feature_and_keeps_its_documents() {
    let Some(binary) = binary() else { return };
    let world = World::new(binary);
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &["m"]);
    world.create("/api/v1/teams", &json!({"name": "people"}));
    let key = world.key("people", json!({"role": "developer"}));
    let collection = "apiVersion: bedplate/v1\nkind: Collection\nmetadata: { name: handbook }\n\
                      spec: { team: people, language: en, labels: { sensitivity: confidential } }\n";
    let feature = "apiVersion: bedplate/v1\nkind: Feature\nmetadata: { name: helper }\n\
                   spec: { model: m, retrieve: { collection: handbook, k: 1 } }\n";
    world.apply(&format!("{collection}---\n{feature}"));
    put(&world, &key, "leave.md", "team", "Hello: everybody has 30 days of annual leave.");
    let answer = world.send(&world.chat(&key, "helper", false));
    assert_eq!(answer.status, 200, "{answer:?}");
    let sent = provider.seen().last().expect("it was asked").json();
    let parts = sent["messages"][0]["content"].as_array().cloned().unwrap_or_default();
    assert_eq!(parts.len(), 2, "{sent:#}");
    assert!(parts[0]["text"].as_str().is_some_and(|t| t.contains("30 days")), "{sent:#}");
    assert_eq!(parts[1]["text"], "hello big world");
    let record = world.record_of(&answer);
    assert!(record["labels"].as_str().is_some_and(|l| l.contains("confidential")), "{record:#}");

    // What is found raises the labels, and with them where the request may go.
    let restricted = "Hello: everybody has 30 days of annual leave, and this line is restricted.";
    let path = "/api/v1/collections/handbook/documents?source=leave.md&labels=restricted";
    assert_eq!(world.send(&Ask::new("POST", path).key(&key).body(restricted)).status, 200);
    let refused = world.send(&world.chat(&key, "helper", false));
    assert_eq!((refused.status, refused.header("bedplate-error")), (403, Some("PO0003")), "{refused:?}");

    // A line that is missing in a file deletes no documents.
    let ask = Ask::new("POST", "/api/v1/apply?prune=true")
        .key(&world.admin)
        .header("content-type", "application/yaml");
    let kept = world.send(&ask.body(
        "apiVersion: bedplate/v1\nkind: Collection\nmetadata: { name: other }\nspec: { team: people }\n",
    ));
    assert_eq!(kept.status, 409, "{kept:?}");
    let moved = collection.replace("team: people", "team: admin");
    let ask = Ask::new("POST", "/api/v1/apply").key(&world.admin).header("content-type", "application/yaml");
    assert_eq!(world.send(&ask.body(moved)).status, 409);
    world.is_sound();
}

#[test]
fn trap_r5_a_kept_answer_goes_to_its_documents_readers_and_with_their_change() {
    let Some(binary) = binary() else { return };
    let world = World::new(binary);
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &["m"]);
    let app = world.team("people");
    let (ada, eve) =
        (person(&world, "ada@acme.example", "developer"), person(&world, "eve@acme.example", "developer"));
    let other = world.team("others");
    world.send(&Ask::json("/api/v1/collections", &json!({"name": "handbook", "language": "en"})).key(&ada));
    put(&world, &ada, "leave.md", "team", "Every grade has 30 days of annual leave.");
    put(&world, &ada, "pay.md", "user:ada@acme.example", &format!("Grade 7 earns {SECRET}."));
    world.apply(
        "apiVersion: bedplate/v1\nkind: Feature\nmetadata: { name: helper }\n\
         spec: { model: m, cache: exact, retrieve: { collection: handbook, k: 3 } }\n---\n\
         apiVersion: bedplate/v1\nkind: Feature\nmetadata: { name: plain }\nspec: { model: m, cache: exact }\n",
    );
    let asked = |key: &str, model: &str, text: &str, stream: bool| -> (String, Answer) {
        let messages = json!([{"role": "user", "content": text}]);
        let body = json!({"model": model, "stream": stream, "max_tokens": 2000, "messages": messages});
        let answer = world.send(&Ask::json("/v1/chat/completions", &body).key(key));
        assert_eq!(answer.status, 200, "{answer:?}");
        (answer.header("bedplate-cache").unwrap_or("none").to_owned(), answer)
    };
    let calls = || provider.seen().len();
    let question = "what does grade 7 earn?";

    // The same question of the same person is answered once; streams and whole answers share it.
    let before = calls();
    let (first, told) = asked(&ada, "helper", question, false);
    let (second, again) = asked(&ada, "helper", question, false);
    let (third, streamed) = asked(&ada, "helper", question, true);
    assert_eq!((first.as_str(), second.as_str(), third.as_str()), ("miss", "exact", "exact"));
    assert_eq!(calls(), before + 1);
    let text = told.json()["choices"][0]["message"]["content"].as_str().expect("text").to_owned();
    assert_eq!(again.json()["choices"][0]["message"]["content"], json!(text));
    assert_ne!(again.json()["id"], told.json()["id"], "each answer has an id of its own");
    assert_eq!(again.json()["bedplate"]["citations"], told.json()["bedplate"]["citations"]);
    assert!(streamed.body.contains("[DONE]") && streamed.body.contains("pay.md"), "{streamed:?}");
    let record = world.record_of(&again);
    assert_eq!((&record["cost_usd"], &record["attempts"]), (&json!("0"), &json!([])), "{record:#}");
    assert!(record["decision"].as_str().is_some_and(|d| d.contains("saved")), "{record:#}");
    world.check_books();

    // Neither a colleague who may not read all of it nor another team gets it.
    for (who, key) in [("eve", &eve), ("the team's application", &app)] {
        let (cache, answer) = asked(key, "helper", question, false);
        assert!(cache == "miss" || who != "eve", "{who}: {answer:?}");
        assert!(!answer.body.contains("pay.md"), "{who}: {answer:?}");
    }
    // Two who may read the same share an answer.
    assert_eq!(asked(&app, "helper", question, false).0, "exact");
    assert_eq!(asked(&ada, "plain", "hello", false).0, "miss");
    assert_eq!(asked(&eve, "plain", "hello", false).0, "exact");
    assert_eq!(asked(&other, "plain", "hello", false).0, "miss", "another team");
    assert_eq!(asked(&eve, "m", "hello", false).0, "miss", "another route, without a cache");
    assert_eq!(asked(&eve, "m", "hello", false).0, "miss");

    // Another parameter or another label is another question.
    let body = json!({"model": "plain", "temperature": 0.5, "max_tokens": 2000, "messages": [{"role": "user", "content": "hello"}]});
    let warm = world.send(&Ask::json("/v1/chat/completions", &body).key(&eve));
    assert_eq!(warm.header("bedplate-cache"), Some("miss"), "{warm:?}");
    let body =
        json!({"model": "plain", "max_tokens": 2000, "messages": [{"role": "user", "content": "hello"}]});
    let labelled = Ask::json("/v1/chat/completions", &body).key(&eve).header("bedplate-labels", "internal");
    assert_eq!(world.send(&labelled).header("bedplate-cache"), Some("miss"));
    // Tools are never answered from it.
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    let body = json!({"model": "plain", "max_tokens": 2000, "tools": tools, "messages": [{"role": "user", "content": "hello"}]});
    for _ in 0..2 {
        let answer = world.send(&Ask::json("/v1/chat/completions", &body).key(&eve));
        assert_eq!(answer.header("bedplate-cache"), Some("miss"), "{answer:?}");
    }

    // Why, and no more of it.
    let step = record["steps"]
        .as_array()
        .and_then(|s| s.iter().find(|s| s["name"] == "cache"))
        .expect("a step")
        .clone();
    let note = step["note"].as_str().expect("a note");
    let id = note.split_whitespace().nth(2).expect("an id").trim_end_matches(',').to_owned();
    let path = format!("/api/v1/cache/{id}");
    let why = world.send(&Ask::get(&path).key(&ada));
    assert_eq!(why.json()["documents"].as_array().map(Vec::len), Some(2), "{why:?}");
    assert_eq!(world.send(&Ask::get(&path).key(&eve)).status, 404);
    assert_eq!(world.send(&Ask::new("DELETE", &path).key(&eve)).status, 404);

    // What changes takes along what was made from it, in the same transaction.
    let changed =
        put(&world, &ada, "pay.md", "user:ada@acme.example", &format!("Grade 7 earns {SECRET} and a bonus."));
    assert_eq!(
        (&changed["change"], &changed["answers_invalidated"]),
        (&json!("replaced"), &json!(1)),
        "{changed}"
    );
    assert_eq!(world.send(&Ask::get(&path).key(&ada)).status, 404);
    assert_eq!(asked(&ada, "helper", question, false).0, "miss");
    assert_eq!(asked(&ada, "helper", question, false).0, "exact");
    // And who is taken off a list is not given what was made for them a moment ago.
    put(
        &world,
        &ada,
        "pay.md",
        "user:eve@acme.example,user:ada@acme.example",
        &format!("Grade 7 earns {SECRET} and a bonus."),
    );
    assert_eq!(asked(&eve, "helper", question, false).0, "exact", "she reads the same as Ada now");
    put(&world, &ada, "pay.md", "user:ada@acme.example", &format!("Grade 7 earns {SECRET} and a bonus."));
    assert!(!asked(&eve, "helper", question, false).1.body.contains("pay.md"));

    let (_, last) = asked(&ada, "helper", question, false);
    let steps = world.record_of(&last)["steps"].clone();
    let note =
        steps.as_array().and_then(|s| s.iter().find(|s| s["name"] == "cache")).expect("a step")["note"]
            .clone();
    let id = note
        .as_str()
        .and_then(|n| n.split_whitespace().nth(2))
        .expect("an id")
        .trim_end_matches(',')
        .to_owned();
    world.run_with(&ada, &["cache", "why", &id], "").exits(0);
    world.run_with(&ada, &["cache", "revoke", &id], "").exits(0);
    assert_eq!(asked(&ada, "helper", question, false).0, "miss");
    world.is_sound();
}
