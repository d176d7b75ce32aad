//! Who gets what: three people of two teams, an application and the admin, and every way by which
//! one of them could come by what another has.
//!
//! Each person has words that nobody else says (their canaries): one in a document, one in a
//! conversation; and names that only they are shown: a source, ids. [`PATHS`] is the table of
//! ways. Each is taken by everybody for what each of the others has, whatever the asker knows of
//! it (names, ids, the words themselves), and nothing of it may come back or go to the provider;
//! and by each for what is their own, so that a way that shows nothing to anybody is no proof.

use journeys::{Folder, Setup, World, binary};
use serde_json::{Value, json};
use testkit::{Answer, Ask, Provider};

/// What everybody asks.
const QUESTION: &str = "what does grade seven earn?";
/// Whose role shows every record.
const ADMIN: &str = "the admin";

/// One of those who ask, and what is theirs alone.
#[derive(Default)]
struct Person {
    who: &'static str,
    key: String,
    /// A word of their document, and one of their conversation.
    word: &'static str,
    said: &'static str,
    /// Where the document comes from, which is telling too.
    source: String,
    document: String,
    /// The collection's id.
    collection: String,
    /// Whoever asks with it begins one of the same name, which is their own.
    conversation: String,
    turn: String,
    /// An answer that the cache keeps of what they asked.
    answer: String,
    /// A request of theirs.
    request: String,
}

impl Person {
    /// Words that come back to nobody else, in whatever they ask.
    fn words(&self) -> [&str; 2] {
        [self.word, self.said]
    }
    /// Ids, which records have. Who may see all records sees them, and nothing behind them.
    fn ids(&self) -> [&str; 3] {
        [&self.document, &self.turn, &self.answer]
    }
    /// What another must not be told, to whom nothing of it belongs.
    fn all(&self, to: &Person) -> Vec<&str> {
        let ids = if to.who == ADMIN { &[][..] } else { &self.ids()[..] };
        let all = [&self.words()[..], &[&*self.source], ids].concat();
        all.into_iter().filter(|what| !what.is_empty()).collect()
    }
}

/// One who takes a path, and whose things they are after.
struct Case<'a> {
    world: &'a World,
    provider: &'a Provider,
    by: &'a Person,
    of: &'a Person,
}

/// Everything that somebody was told on a path.
type Told = Vec<String>;

impl Case<'_> {
    fn send(&self, ask: &Ask) -> Answer {
        self.world.send(&ask.clone().key(&self.by.key))
    }
    fn get(&self, path: &str) -> String {
        text(&self.send(&Ask::get(path)))
    }
    fn post(&self, path: &str, body: &Value) -> String {
        text(&self.send(&Ask::json(path, body)))
    }
    /// Both names of the collection: that of the asker's own team, and the id of the other's.
    fn collections(&self) -> [String; 2] {
        ["handbook", &self.of.collection].map(|name| format!("/api/v1/collections/{name}"))
    }
    /// A question through each door, with more in its body: what came back, what the provider was
    /// sent, and what the record says.
    fn chat(&self, model: &str, question: &str, more: &Value) -> Told {
        let doors = ["/v1/chat/completions", "/v1/messages"];
        let each = doors.into_iter().flat_map(|door| [(door, false), (door, true)]);
        each.flat_map(|(door, stream)| self.asked(door, model, question, stream, more)).collect()
    }
    /// The same through one of them.
    fn asked(&self, door: &str, model: &str, question: &str, stream: bool, more: &Value) -> Told {
        let mut body = json!({
            "model": model, "max_tokens": 2000, "stream": stream,
            "messages": [{"role": "user", "content": question}],
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let before = self.provider.seen().len();
        let answer = self.send(&Ask::json(door, &body));
        let mut told = vec![text(&answer)];
        let seen = self.provider.seen();
        told.extend(seen[before..].iter().map(|s| format!("{:?} {}", s.request.headers, s.json())));
        if answer.status == 200 {
            told.push(self.world.record_of(&answer).to_string());
        }
        told
    }
    /// The command line. Its exit code is its own affair.
    fn run(&self, arguments: &[&str]) -> String {
        let ran = self.world.run_with(&self.by.key, arguments, "");
        format!("{}{}", ran.stdout, ran.stderr)
    }
}

fn text(answer: &Answer) -> String {
    format!("{} {:?}\n{}", answer.status, answer.headers, answer.body)
}

/// What a path shows of whoever takes it for what is their own.
enum Shows {
    Word,
    Said,
    Source,
    /// Nothing: it is about other things, or refuses.
    Nothing,
}

struct Path {
    name: &'static str,
    shows: Shows,
    take: fn(&Case<'_>) -> Told,
}

const fn path(name: &'static str, shows: Shows, take: fn(&Case<'_>) -> Told) -> Path {
    Path { name, shows, take }
}

/// Every way there is, by what it is called.
const PATHS: [Path; 20] = [
    path("search", Shows::Word, |case| {
        let mut told = Told::new();
        for at in case.collections() {
            for query in [QUESTION, case.of.word, &case.of.source] {
                let body = json!({"query": query, "k": 100, "explain": true, "graph": true});
                told.push(case.post(&format!("{at}/search"), &body));
            }
            let body = json!({"query": QUESTION, "source": case.of.source.split('.').next()});
            told.push(case.post(&format!("{at}/search"), &body));
        }
        told
    }),
    path("fetch", Shows::Source, |case| {
        let of = |at: String| {
            let after = case.of.source.split_at(case.of.source.len().saturating_sub(4)).0.to_owned();
            [
                case.get(&at),
                case.get(&format!("{at}/documents")),
                case.get(&format!("{at}/documents?after={after}&limit=1")),
            ]
        };
        case.collections().into_iter().flat_map(of).collect()
    }),
    path("preview", Shows::Word, |case| {
        let of = |at: String| {
            [&case.of.document, &case.of.source]
                .map(|name| unsaid(case, case.get(&format!("{at}/documents/{name}?from=0"))))
        };
        case.collections().into_iter().flat_map(of).collect()
    }),
    path("citation", Shows::Word, |case| {
        let retrieve = |collection: &str| {
            case.chat(
                "m",
                QUESTION,
                &json!({"bedplate": {"retrieve": {"collection": collection, "k": 8, "graph": true}}}),
            )
        };
        let ids = retrieve(&case.of.collection).into_iter().map(|told| unsaid(case, told));
        retrieve("handbook").into_iter().chain(ids).collect()
    }),
    path("a feature's passages", Shows::Word, |case| case.chat("reader", QUESTION, &Value::Null)),
    path("file_search", Shows::Word, |case| {
        let search = |stores: &[&str]| {
            let tool = json!({"type": "file_search", "vector_store_ids": stores, "max_num_results": 8});
            case.asked("/v1/chat/completions", "m", QUESTION, false, &json!({"tools": [tool]}))
        };
        [search(&["handbook"]), search(&[&case.of.collection]), search(&["handbook", &case.of.collection])]
            .concat()
    }),
    path("the graph", Shows::Word, |case| {
        let of = |at: String| {
            [case.of.word, &case.of.source, "grade seven"].map(|name| {
                let told = case.get(&format!("{at}/graph?entity={}", name.replace(' ', "%20")));
                // The name that was asked for is in the answer, whether there is such a one or not.
                match serde_json::from_str::<Value>(told.split_once('\n').map_or("", |(_, body)| body)) {
                    Ok(body) => body["edges"].to_string(),
                    Err(_) => unsaid(case, told),
                }
            })
        };
        case.collections().into_iter().flat_map(of).collect()
    }),
    path("cache", Shows::Word, |case| case.chat("keeper", QUESTION, &Value::Null)),
    path("near cache", Shows::Word, |case| {
        let near = |word: &str| case.chat("near", &format!("{word} {QUESTION}"), &Value::Null);
        ["please", "hi"].into_iter().flat_map(near).collect()
    }),
    path("why an answer is kept", Shows::Nothing, |case| {
        let at = format!("/api/v1/cache/{}", case.of.answer);
        let mut told =
            vec![unsaid(case, case.get(&at)), unsaid(case, case.run(&["cache", "why", &case.of.answer]))];
        if case.by.who != case.of.who {
            told.push(unsaid(case, text(&case.send(&Ask::new("DELETE", &at)))));
        }
        told
    }),
    path("memory in a chat", Shows::Said, |case| {
        let across = json!({"bedplate": {"recall": {"turns": 9, "facts": 9, "across": true}}});
        let named = json!({"bedplate": {
            "conversation": case.of.conversation, "recall": {"turns": 9, "facts": 9},
        }});
        let question = "what is the harbour code?";
        case.chat("m", question, &across).into_iter().chain(case.chat("m", question, &named)).collect()
    }),
    path("memory", Shows::Said, |case| {
        let mut told = Told::new();
        for path in ["", "/audit", "/facts", "/export", &format!("/export?after={}", case.of.turn)] {
            told.push(case.get(&format!("/api/v1/memory{path}")));
        }
        for body in [
            json!({"query": "harbour"}),
            json!({"query": case.of.said}),
            json!({"query": "", "conversation": case.of.conversation}),
        ] {
            told.push(case.post("/api/v1/memory/search", &body));
        }
        let fact = json!({"turn": case.of.turn, "relation": "harbour code", "value": "another"});
        told.push(unsaid(case, case.post("/api/v1/memory/facts", &fact)));
        told
    }),
    path("forgetting", Shows::Nothing, |case| {
        // One's own is forgotten elsewhere.
        if case.by.who == case.of.who {
            return Told::new();
        }
        vec![unsaid(case, case.post("/api/v1/memory/forget", &json!({"conversation": case.of.conversation})))]
    }),
    path("export", Shows::Word, |case| {
        vec![
            case.run(&["collection", "export", "handbook"]),
            unsaid(case, case.run(&["collection", "export", &case.of.collection])),
            case.run(&["memory", "export"]),
        ]
    }),
    path("eval", Shows::Nothing, |case| {
        let folder = Folder::new();
        let file = |name: &str| folder.path().join(name).display().to_string();
        let judged = json!({"query": QUESTION, "relevant": [case.of.source], "poison": [case.of.source]});
        std::fs::write(file("judged.jsonl"), judged.to_string()).expect("written");
        let (judged, junit) = (file("judged.jsonl"), file("junit.xml"));
        let told =
            case.run(&["collection", "eval", "handbook", "--judged", &judged, "--junit", &junit, "--json"]);
        // What it is worth is another's only if something of theirs was found.
        let worth: Value = serde_json::from_str(&told).unwrap_or_default();
        if case.by.who != case.of.who {
            let both = &worth["both"];
            assert!(both.is_null() || both["recall"] == 0.0 && both["poison_rate"] == 0.0, "{told}");
        }
        vec![told, std::fs::read_to_string(&junit).unwrap_or_default()]
    }),
    path("the command line", Shows::Word, |case| {
        vec![
            case.run(&["collection", "search", "handbook", QUESTION, "--graph", "--explain"]),
            case.run(&["collection", "status", "handbook"]),
            case.run(&["collection", "list"]),
            unsaid(case, case.run(&["collection", "show", "handbook", &case.of.source])),
            unsaid(case, case.run(&["collection", "graph", "handbook", &case.of.source])),
        ]
    }),
    path("explain and records", Shows::Nothing, |case| {
        vec![
            case.run(&["explain", &case.of.request]),
            case.run(&["explain", "last", "--json"]),
            case.get("/api/v1/records?limit=1000"),
            case.get(&format!("/api/v1/records/{}", case.of.request)),
            case.get(&format!("/api/v1/audit/receipts/{}", case.of.request)),
            leaves(case),
            case.get("/api/v1/costs?by=key"),
        ]
    }),
    path("every page of the API", Shows::Nothing, |case| {
        let of = case.of;
        let known = [&of.collection, &of.document, &of.source, &of.turn, &of.answer, &of.request];
        let document: Value = case.world.show("/api/openapi.json");
        let mut told = Told::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            // Leaves are looked at above: they repeat what was asked with.
            if item["get"].is_null() || path.ends_with("/leaves") {
                continue;
            }
            for name in known {
                let mut filled = path.clone();
                while let (Some(from), Some(to)) = (filled.find('{'), filled.find('}')) {
                    filled.replace_range(from..=to, name);
                }
                told.push(unsaid(case, case.get(&filled)));
                if filled == *path {
                    break;
                }
            }
        }
        told
    }),
    path("what errors say", Shows::Nothing, |case| {
        // What is hidden and what is not there answer alike, but for the name that was asked with.
        let absent = "01890000-0000-7000-8000-000000000000";
        let own = case.by.who == case.of.who;
        let mut told = Told::new();
        for (hidden, at) in [
            (&case.of.document, "/api/v1/collections/handbook/documents/"),
            (&case.of.source, "/api/v1/collections/handbook/documents/"),
            (&case.of.answer, "/api/v1/cache/"),
        ] {
            for method in ["GET", "DELETE"] {
                if own || hidden.is_empty() {
                    continue;
                }
                let ask = |name: &str| case.send(&Ask::new(method, &format!("{at}{name}")));
                let (one, other) = (ask(hidden), ask(absent));
                let (one, other) = (
                    (one.status, one.body.replace(hidden.as_str(), "NAME")),
                    (other.status, other.body.replace(absent, "NAME")),
                );
                assert_eq!(one, other, "{} is told that there is something at {at}", case.by.who);
                told.push(one.1);
            }
        }
        let store = |id: &str| {
            let tool = json!({"type": "file_search", "vector_store_ids": [id]});
            let told = case.asked("/v1/chat/completions", "m", QUESTION, false, &json!({"tools": [tool]}));
            let (head, body) = told[0].split_once('\n').expect("a head");
            let error: Value = serde_json::from_str(body).unwrap_or_default();
            (head[..3].to_owned(), error["error"]["message"].to_string().replace(id, "NAME"))
        };
        // Another team's collection is no collection.
        let (theirs, none) = (store(&case.of.collection), store(absent));
        assert!(theirs.0 == "200" || theirs == none, "{}: {theirs:?}, {none:?}", case.by.who);
        told
    }),
    path("a new index, and what is measured", Shows::Nothing, |case| {
        let mut told = vec![case.get("/metrics")];
        for at in case.collections() {
            told.push(unsaid(case, case.post(&format!("{at}/reindex"), &json!({}))));
        }
        told
    }),
];

/// Leaves of requests to models. Those of calls to the API have the names that were called with.
fn leaves(case: &Case<'_>) -> String {
    let answer = case.send(&Ask::get("/api/v1/audit/leaves?limit=1000"));
    let all = answer.json()["data"].as_array().cloned().unwrap_or_default();
    Value::from_iter(all.into_iter().filter(|leaf| leaf["action"] == "infer")).to_string()
}

/// What was told without the names that were asked with: an error repeats them.
fn unsaid(case: &Case<'_>, mut told: String) -> String {
    if case.by.who != case.of.who {
        for name in case.of.ids().into_iter().chain([&*case.of.source]) {
            told = told.replace(name, "");
        }
    }
    told
}

fn take_all(world: &World, provider: &Provider, people: &[Person]) {
    let mut taken = 0;
    for path in &PATHS {
        for by in people {
            for of in people.iter().filter(|of| !of.word.is_empty()) {
                let case = Case { world, provider, by, of };
                let told = (path.take)(&case);
                taken += 1;
                if by.who == of.who {
                    let holds = |what: &str| {
                        let held = told.iter().any(|t| t.contains(what));
                        assert!(held, "{}: {} is not shown {what}, their own: {told:#?}", path.name, by.who);
                    };
                    match path.shows {
                        Shows::Word => holds(of.word),
                        Shows::Said => holds(of.said),
                        Shows::Source => holds(&of.source),
                        Shows::Nothing => {}
                    }
                }
                // Not only of whom they are after: nobody's but their own.
                for other in people.iter().filter(|other| other.who != by.who) {
                    for what in other.all(by) {
                        let found = told.iter().find(|told| told.contains(what));
                        assert!(
                            found.is_none(),
                            "{}: {} after {} was told {what}, of {}: {}",
                            path.name,
                            by.who,
                            of.who,
                            other.who,
                            found.map_or("", |f| f)
                        );
                    }
                }
            }
        }
    }
    assert_eq!(taken, PATHS.len() * people.len() * 3);
}

/// A person of a team with a document and a conversation that are theirs alone, and a kept answer.
fn person(world: &World, team: &str, who: &'static str, word: &'static str, said: &'static str) -> Person {
    let name = format!("{who}@acme.example");
    world.create("/api/v1/users", &json!({"name": name}));
    let key = world.key(team, json!({"user": name, "role": "developer"}));
    let send = |ask: &Ask| world.send(&ask.clone().key(&key));
    let source = format!("{}-{who}-only.md", word.chars().rev().collect::<String>());
    let put =
        Ask::new("POST", &format!("/api/v1/collections/handbook/documents?source={source}&acl=user:{name}"))
            .header("content-type", "text/markdown")
            .body(format!("# Grade Seven\n\nGrade seven earns {word} a year.\n\nOwner: {word}\n"));
    let put = send(&put);
    assert_eq!(put.status, 200, "{put:?}");
    let collection = send(&Ask::get("/api/v1/collections/handbook")).json()["id"].clone();
    let conversation = format!("trip-of-{who}");
    let body = json!({
        "model": "m", "max_tokens": 2000,
        "messages": [{"role": "user", "content": format!("The harbour code is {said}. I live in {said}.")}],
        "bedplate": {"conversation": conversation, "learn": true},
    });
    let kept = send(&Ask::json("/v1/chat/completions", &body));
    let turn = kept.json()["bedplate"]["remembered"]["turns"][0].as_str().expect("a turn").to_owned();
    let body =
        json!({"model": "keeper", "max_tokens": 2000, "messages": [{"role": "user", "content": QUESTION}]});
    let ask = Ask::json("/v1/chat/completions", &body);
    assert_eq!(send(&ask).header("bedplate-cache"), Some("miss"));
    let again = send(&ask);
    assert_eq!(again.header("bedplate-cache"), Some("exact"), "{again:?}");
    let record = world.record_of(&again);
    let steps = record["steps"].as_array().cloned().unwrap_or_default();
    let note = steps.into_iter().find(|s| s["name"] == "cache").expect("a step")["note"].clone();
    let answer = note.as_str().and_then(|note| note.split_whitespace().nth(2)).expect("an id");
    Person {
        who,
        word,
        said,
        source,
        document: put.json()["id"].as_str().expect("an id").to_owned(),
        collection: collection.as_str().expect("an id").to_owned(),
        conversation,
        turn,
        answer: answer.trim_end_matches(',').to_owned(),
        request: record["id"].as_str().expect("an id").to_owned(),
        key,
    }
}

#[test]
fn trap_x8_r5_no_path_leads_anybody_to_what_is_anothers() {
    let Some(binary) = binary() else { return };
    let world = Setup::new(binary).env("BEDPLATE_LOG", "trace").begin();
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &["m"]);
    let app = world.team("people");
    let other = world.team("others");
    let mut yaml = String::new();
    for (name, cache) in [("reader", "none"), ("keeper", "exact"), ("near", "semantic")] {
        yaml.push_str(
            &format!(
                "apiVersion: bedplate/v1\nkind: Feature\nmetadata: {{ name: {name} }}\n\
             spec: {{ model: m, cache: {cache}, retrieve: {{ collection: handbook, k: 4 }} }}\n---\n"
            )
            .replace(" cache: none,", ""),
        );
    }
    for team in ["people", "others"] {
        let maker = world.key(team, json!({"role": "developer"}));
        let body = json!({"name": "handbook", "language": "en", "graph": true});
        let made = world.send(&Ask::json("/api/v1/collections", &body).key(&maker));
        assert_eq!(made.status, 201, "{made:?}");
        let shared =
            Ask::new("POST", "/api/v1/collections/handbook/documents?source=shared.md&acl=team").key(&maker);
        assert_eq!(world.send(&shared.body("Everybody has thirty days of leave.")).status, 200);
    }
    world.apply(yaml.trim_end_matches("---\n"));
    let people = [
        person(&world, "people", "ada", "quincunxal", "marmaladine"),
        person(&world, "people", "eve", "zanzibarite", "obolusque"),
        person(&world, "others", "mallory", "syzygetic", "crwthlike"),
        Person { who: "an application of people", key: app, ..Person::default() },
        Person { who: "an application of others", key: other, ..Person::default() },
        Person { who: ADMIN, key: world.admin.clone(), ..Person::default() },
    ];
    take_all(&world, &provider, &people);

    // As true of what a restart leaves behind: snapshots, journals, the cache.
    let logged = world.server.stderr();
    let world = world.killed();
    take_all(&world, &provider, &people);
    let logged = logged + &world.server.stderr();
    for person in &people[..3] {
        for word in person.words() {
            assert!(!logged.contains(word), "the log has {word}, of {}", person.who);
            for (file, bytes) in world.folder.files() {
                let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
                assert!(!found, "{} has {word}, of {}, as plain text", file.display(), person.who);
            }
        }
        assert!(!logged.contains(&person.source), "the log has a source of {}", person.who);
    }
    world.check_books();
    world.is_sound();
}
