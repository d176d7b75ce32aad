//! Graphs: what a collection's documents relate, for whoever may read them.

use journeys::{Ran, Setup, binary};
use serde_json::{Value, json};
use testkit::{Ask, Provider};

/// A name that only Ada's document has.
const SECRET: &str = "Vantage Works";

#[test]
fn a_question_is_led_on_by_the_graph_and_nobody_by_what_they_may_not_read() {
    let Some(binary) = binary() else { return };
    let world = Setup::new(binary).env("BEDPLATE_LOG", "trace").begin();
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &["m"]);
    let eve = world.team("people");
    world.create("/api/v1/users", &json!({"name": "ada@acme.example"}));
    let ada = world.key("people", json!({"user": "ada@acme.example", "role": "developer"}));
    world.apply(
        "apiVersion: bedplate/v1\nkind: Collection\nmetadata: { name: systems }\n\
         spec: { team: people, language: en, graph: true }\n---\n\
         apiVersion: bedplate/v1\nkind: Feature\nmetadata: { name: helper }\n\
         spec: { model: m, retrieve: { collection: systems, k: 3, graph: true } }\n",
    );
    let put = |source: &str, acl: &str, text: &str| {
        let path = format!("/api/v1/collections/systems/documents?source={source}&acl={acl}");
        let ask = Ask::new("POST", &path).key(&ada).header("content-type", "text/markdown").body(text);
        assert_eq!(world.send(&ask).status, 200);
    };
    put("gateway.md", "team", "# Payment Gateway\n\nOwner: Team Atlas\n\nIt takes payments.\n");
    put("atlas.md", "team", "# Team Atlas\n\nLead: Ines Duarte\n\nSeven people, stand-up at nine.\n");
    put("ines.md", "team", "# Ines Duarte\n\nIn the firm since 2019. See [the deal](deal.md).\n");
    put("deal.md", "user:ada@acme.example", &format!("# Deal\n\nInes Duarte buys {SECRET} in spring.\n"));
    put(
        "rules.md",
        "team",
        "# Rules\n\nWho owns a system leads it, and is in the firm. A gateway is a system.\n",
    );

    // The words are those of two documents; the answer stands in a third.
    let question = "since when is the lead of the owner of the payment gateway in the firm?";
    let run = |key: &str, arguments: &[&str]| -> Ran { world.run_with(key, arguments, "").exits(0) };
    let found = run(&ada, &["collection", "search", "systems", question, "--graph", "--explain"]).stdout;
    assert!(found.contains("by way of payment gateway > team atlas > ines duarte"), "{found}");
    assert!(found.contains("by the graph ") && found.contains("edges around payment gateway"), "{found}");
    let plain = run(&ada, &["collection", "search", "systems", question, "--explain"]).stdout;
    assert!(!plain.contains("graph"), "off unless asked for: {plain}");

    // One name's neighbours, with the document that says so.
    let around = run(&ada, &["collection", "graph", "systems", "ines duarte"]).stdout;
    assert!(around.contains("team atlas -- lead -> ines duarte\n    atlas.md (version 1"), "{around}");
    assert!(around.to_lowercase().contains("vantage works"), "{around}");
    let path = "/api/v1/collections/systems/graph?entity=";
    for name in ["ines%20duarte", "deal.md", "vantage%20works", "deal"] {
        let answer = world.send(&Ask::get(&format!("{path}{name}")).key(&eve));
        assert_eq!(answer.status, 200, "{answer:?}");
        let edges = answer.json()["edges"].as_array().cloned().unwrap_or_default();
        assert!(edges.iter().all(|edge| edge["source"] != "deal.md"), "{answer:?}");
        assert!(!json!(edges).to_string().contains("vantage"), "{answer:?}");
    }
    let hidden = world.send(&Ask::get(&format!("{path}vantage%20works")).key(&eve)).json();
    let absent = world.send(&Ask::get(&format!("{path}no%20such%20name")).key(&eve)).json();
    assert_eq!(hidden["edges"], absent["edges"], "what is hidden and what is not there answer alike");
    assert_eq!(world.send(&Ask::get("/api/v1/collections/systems/graph").key(&eve)).status, 400);
    let body = json!({"query": question, "graph": true, "explain": true, "k": 100});
    let hers = world.send(&Ask::json("/api/v1/collections/systems/search", &body).key(&eve));
    assert!(!hers.body.to_lowercase().contains("vantage"), "{hers:?}");

    // In a request: by the feature, and by the field.
    for (model, extension) in [
        ("helper", Value::Null),
        ("m", json!({"retrieve": {"collection": "systems", "k": 3, "graph": true}})),
    ] {
        let messages = json!([{"role": "user", "content": question}]);
        let body = json!({"model": model, "messages": messages, "max_tokens": 50, "bedplate": extension});
        let answer = world.send(&Ask::json("/v1/chat/completions", &body).key(&eve));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.contains("\"ines.md\""), "{answer:?}");
    }
    // A document that goes takes what it said along.
    assert_eq!(
        world.send(&Ask::new("DELETE", "/api/v1/collections/systems/documents/atlas.md").key(&ada)).status,
        200
    );
    let around = run(&ada, &["collection", "graph", "systems", "team atlas"]).stdout;
    assert!(!around.contains("lead"), "{around}");
    assert!(!world.server.stderr().contains(SECRET), "the log has words of a document");
    world.is_sound();
}
