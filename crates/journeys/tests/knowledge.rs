//! Knowledge graphs that exist, asked by declared queries: a real SPARQL engine, and servers that lie.

use std::sync::{Arc, Mutex};

use base64ct::{Base64, Encoding as _};
use journeys::{World, binary};
use oxigraph::io::RdfFormat;
use oxigraph::sparql::results::{QueryResultsFormat, QueryResultsSerializer};
use oxigraph::sparql::{QueryResults, SparqlEvaluator};
use oxigraph::store::Store;
use serde_json::{Value, json};
use testkit::http::{Listener, Peer, Received};
use testkit::{Answer, Ask};

const FACTS: &str = r#"
    @prefix : <https://graph.example/> .
    @prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
    :lu rdfs:label "Luxembourg" ; :capital :luxembourg-city ; :people 672050 .
    :fr rdfs:label "France" ; :capital :paris ; :people 68000000 .
    :paris rdfs:label "Paris" . :luxembourg-city rdfs:label "Luxembourg City" .
"#;

/// How the endpoint behaves towards the next requests.
#[derive(Clone, Debug, PartialEq)]
enum Manner {
    Honest,
    Hang,
    Says(u16, String),
    /// To another place, where somebody would answer.
    Redirect(String),
    /// An answer without end.
    Endless,
}

struct Endpoint {
    listener: Listener,
    manner: Arc<Mutex<Manner>>,
    seen: Arc<Mutex<Vec<Received>>>,
}

impl Endpoint {
    fn start() -> Endpoint {
        let store = Store::new().expect("a store in memory");
        store.load_from_slice(RdfFormat::Turtle, FACTS).expect("the facts are sound");
        let (manner, seen) = (Arc::new(Mutex::new(Manner::Honest)), Arc::new(Mutex::new(Vec::new())));
        let (now, heard) = (Arc::clone(&manner), Arc::clone(&seen));
        let listener = Listener::start(move |mut peer| {
            while let Ok(Some(request)) = peer.request() {
                heard.lock().expect("nobody panicked").push(request.clone());
                let manner = now.lock().expect("nobody panicked").clone();
                if answer(&store, &mut peer, &request, &manner).is_err() {
                    return;
                }
            }
        });
        Endpoint { listener: listener.expect("a port"), manner, seen }
    }
    fn url(&self) -> String {
        format!("{}/query", self.listener.url())
    }
    fn be(&self, manner: Manner) {
        *self.manner.lock().expect("nobody panicked") = manner;
    }
    fn last(&self) -> Received {
        self.seen.lock().expect("nobody panicked").last().cloned().expect("it was asked")
    }
    fn count(&self) -> usize {
        self.seen.lock().expect("nobody panicked").len()
    }
}

fn answer(store: &Store, peer: &mut Peer, request: &Received, manner: &Manner) -> std::io::Result<()> {
    let json = ("content-type", "application/sparql-results+json");
    match manner {
        Manner::Honest => {
            let query = String::from_utf8_lossy(&request.body).into_owned();
            let found = evaluated(store, &query);
            match found {
                Ok(bytes) => peer.answer(200, &[json], &bytes),
                Err(why) => peer.answer(400, &[("content-type", "text/plain")], why.to_string()),
            }
        }
        Manner::Hang => {
            peer.wait_gone();
            Err(std::io::ErrorKind::UnexpectedEof.into())
        }
        Manner::Says(status, body) => peer.answer(*status, &[json], body.as_bytes()),
        Manner::Redirect(to) => peer.answer(307, &[("location", to)], b""),
        Manner::Endless => {
            peer.start_chunked(200, &[json])?;
            peer.chunk(r#"{"head":{"vars":["a"]},"results":{"bindings":["#)?;
            loop {
                peer.chunk(" ".repeat(1 << 16))?;
            }
        }
    }
}

/// As the engine's own server answers: SPARQL's results as JSON.
fn evaluated(store: &Store, query: &str) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let writer = QueryResultsSerializer::from_format(QueryResultsFormat::Json);
    match SparqlEvaluator::new().parse_query(query)?.on_store(store).execute()? {
        QueryResults::Boolean(truth) => Ok(writer.serialize_boolean_to_writer(Vec::new(), truth)?),
        QueryResults::Solutions(solutions) => {
            let mut rows =
                writer.serialize_solutions_to_writer(Vec::new(), solutions.variables().to_vec())?;
            for solution in solutions {
                rows.serialize(&solution?)?;
            }
            Ok(rows.finish()?)
        }
        QueryResults::Graph(_) => Err("nobody asks for a graph".into()),
    }
}

/// A graph with these queries, whose key is a name and a password.
fn declared(url: &str, queries: &str) -> String {
    format!(
        "apiVersion: bedplate/v1\nkind: Tool\nmetadata: {{ name: atlas }}\nspec:\n  teams: [research]\n  graph:\n    \
         language: sparql\n    url: {url}\n    allowPrivate: true\n    keySecret: atlas-login\n    auth: basic\n    queries:\n{queries}"
    )
}

const QUERIES: &str = r#"      capital:
        description: The capital of a country, by its English name.
        template: |
          PREFIX : <https://graph.example/>
          PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>
          SELECT ?capital ?people WHERE { ?c rdfs:label $country ; :people ?people ; :capital / rdfs:label ?capital }
        parameters: { country: { type: text } }
        timeoutMs: 2000
      echo:
        template: "SELECT ($text AS ?back) WHERE {}"
        parameters: { text: { type: text } }
      all:
        template: "SELECT ?s ?p ?o WHERE { ?s ?p ?o } ORDER BY ?s ?p LIMIT $n"
        parameters: { n: { type: integer } }
        maxRows: 3
      about:
        template: "ASK { $thing ?p ?o }"
        parameters: { thing: { type: iri, under: "https://graph.example/" } }
"#;

fn asked(world: &World, key: &str, query: &str, parameters: &Value) -> Answer {
    let path = format!("/api/v1/graphs/atlas/queries/{query}");
    world.send(&Ask::json(&path, &json!({"parameters": parameters})).key(key))
}

#[test]
fn a_declared_query_is_asked_of_a_real_engine_and_values_are_never_syntax() {
    let Some(binary) = binary() else { return };
    let world = World::new(binary);
    let endpoint = Endpoint::start();
    let (key, stranger) = (world.team("research"), world.team("others"));
    world.apply(&declared(&endpoint.url(), QUERIES));
    world.run_with(&world.admin, &["tool", "set-key", "atlas"], "reader:pass word").exits(0);

    let told = world
        .run_with(&key, &["graph", "query", "atlas", "capital", "--param", "country=France"], "")
        .exits(0);
    assert!(told.stdout.contains("Paris") && told.stdout.contains("68000000"), "{told:?}");
    let sent = endpoint.last();
    assert_eq!(
        sent.header("authorization"),
        Some(&*format!("Basic {}", Base64::encode_string(b"reader:pass word")))
    );
    assert_eq!(sent.header("content-type"), Some("application/sparql-query"));
    let rows = asked(&world, &key, "all", &json!({"n": "5"})).json();
    assert_eq!((rows["rows"].as_array().map(Vec::len), &rows["left_out"]), (Some(3), &json!(2)), "{rows}");
    let yes = asked(&world, &key, "about", &json!({"thing": "https://graph.example/lu"}));
    assert_eq!(yes.json()["rows"], json!([[true]]), "{yes:?}");
    let record = world.record_of(&yes);
    assert_eq!(
        (&record["surface"], &record["model"]),
        (&json!("graph"), &json!("atlas/about")),
        "{record:#}"
    );

    // Whatever a value holds comes back as that text from a real parser, and changes nothing.
    for text in [
        "Luxembourg",
        "a\"b",
        "\" } ; DROP ALL ; SELECT * { \"",
        "\\",
        "\\\\\"",
        "\\u0022 ?x",
        "\\\\u0022",
        "'''\"\"\"",
        "line\nbreak\ttab\r",
        "<https://x/>",
        "$text ?s #",
        "ünïcödé 部门 🦀",
        "\u{2028}",
        "",
    ] {
        let back = asked(&world, &key, "echo", &json!({"text": text}));
        assert_eq!(back.status, 200, "{text:?}: {back:?}");
        assert_eq!(back.json()["rows"], json!([[text]]), "{text:?}");
    }
    // What is not of its type goes nowhere.
    let before = endpoint.count();
    for (query, parameters) in [
        ("capital", json!({})),
        ("capital", json!({"country": "France", "more": 1})),
        ("about", json!({"thing": "https://elsewhere.example/x"})),
        ("about", json!({"thing": "https://graph.example/> ?p ?o } #"})),
        ("all", json!({"n": "1; DROP"})),
    ] {
        let refused = asked(&world, &key, query, &parameters);
        assert_eq!((refused.status, refused.header("bedplate-error")), (400, Some("TG0014")), "{refused:?}");
    }
    // Another team has no such graph, and nobody a query that is not declared.
    assert_eq!(asked(&world, &stranger, "capital", &json!({"country": "France"})).status, 404);
    assert_eq!(asked(&world, &key, "drop", &json!({})).status, 404);
    assert_eq!(endpoint.count(), before);

    // An agent finds the queries among its tools, with their types, and is given the rows.
    let ask = |method: &str, params: Value| {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        world.send(&Ask::json("/mcp", &body).key(&key)).json()
    };
    let tools = ask("tools/list", json!({}))["result"]["tools"].clone();
    let capital = tools.as_array().and_then(|t| t.iter().find(|t| t["name"] == "atlas__capital")).cloned();
    let capital = capital.unwrap_or_else(|| panic!("it is not offered: {tools:#}"));
    assert_eq!(capital["inputSchema"]["required"], json!(["country"]));
    let result = ask("tools/call", json!({"name": "atlas__capital", "arguments": {"country": "Luxembourg"}}));
    assert_eq!(
        result["result"]["structuredContent"]["rows"],
        json!([["Luxembourg City", 672050]]),
        "{result:#}"
    );
    world.is_sound();
}

#[test]
fn an_endpoint_that_hangs_lies_or_sends_elsewhere_gives_an_error_and_nothing_else() {
    let Some(binary) = binary() else { return };
    let world = World::new(binary);
    let (endpoint, elsewhere) = (Endpoint::start(), Endpoint::start());
    let key = world.team("research");
    world.apply(&declared(&endpoint.url(), QUERIES));
    world.run_with(&world.admin, &["tool", "set-key", "atlas"], "reader:secret").exits(0);
    let lie = |body: &str| Manner::Says(200, body.into());
    for manner in [
        Manner::Hang,
        Manner::Endless,
        Manner::Redirect(elsewhere.url()),
        lie("<html>sign in</html>"),
        lie(r#"{"head":{"vars":["capital"]},"results":{"bindings":[{"other":{"type":"uri","value":"x"}}]}}"#),
        lie(r#"{"head":{"vars":["capital"]}}"#),
        Manner::Says(500, "out of order".into()),
        Manner::Says(204, String::new()),
    ] {
        endpoint.be(manner.clone());
        let refused = asked(&world, &key, "capital", &json!({"country": "France"}));
        assert_eq!(refused.header("bedplate-error"), Some("TG0005"), "{manner:?}: {refused:?}");
        assert!(!refused.body.contains("secret"), "{refused:?}");
    }
    assert_eq!(elsewhere.count(), 0, "nobody follows");
    endpoint.be(Manner::Honest);
    assert_eq!(asked(&world, &key, "capital", &json!({"country": "France"})).status, 200);

    // What would change the graph, or make its server read elsewhere, is not declared.
    for template in [
        "INSERT DATA { <urn:a> <urn:b> <urn:c> }",
        "SELECT ?x WHERE { SERVICE <http://169.254.169.254/> { ?x ?y ?z } }",
        "SELECT ?x WHERE { ?x ?y $undeclared }",
    ] {
        let text = declared(&endpoint.url(), &format!("      bad:\n        template: \"{template}\"\n"));
        let ask =
            Ask::new("POST", "/api/v1/apply").key(&world.admin).header("content-type", "application/yaml");
        let refused = world.send(&ask.body(text));
        assert_eq!(refused.status, 400, "{template}: {refused:?}");
        assert!(refused.body.contains("MF0009"), "{template}: {refused:?}");
    }
    world.is_sound();
}
