//! Documents by how well they answer a query: on this machine and at a provider.

use std::fs;

use journeys::{Setup, World, binary};
use serde_json::{Value, json};
use testkit::{Ask, Provider};

const DOCUMENTS: [&str; 4] = ["the capital of france is paris", "a budget is a limit", "key", "the team"];

fn world(setup: Setup) -> World {
    let world = setup.begin();
    let models = world.server.data().join("models");
    fs::create_dir_all(&models).expect("a folder");
    let mut file = fs::File::create(models.join("rank.gguf")).expect("a file");
    testkit::random_reranker(7, &mut file).expect("write a model");
    world.apply(
        "apiVersion: bedplate/v1\nkind: Model\nmetadata: { name: rank }\n\
         spec: { targets: [ { local: { file: rank.gguf } } ] }\n",
    );
    world
}

fn ask(world: &World, path: &str, body: &Value) -> testkit::Answer {
    world.send(&Ask::json(path, body).key(&world.admin))
}

fn check(setup: Setup) {
    let world = world(setup);
    let body = json!({"model": "rank", "query": "what is a budget", "documents": DOCUMENTS});
    let answer = ask(&world, "/v1/rerank", &body);
    assert_eq!((answer.status, answer.header("bedplate-target")), (200, Some("local/rank")), "{answer:?}");
    let told = answer.json();
    let results = told["results"].as_array().expect("results");
    let score = |r: &Value| r["relevance_score"].as_f64().expect("a score");
    assert_eq!(results.len(), 4);
    assert!(results.windows(2).all(|w| score(&w[0]) >= score(&w[1])), "{told:#}");
    assert!(results.iter().all(|r| (0.0..=1.0).contains(&score(r)) && r["document"].is_null()), "{told:#}");
    let tokens = told["usage"]["total_tokens"].as_u64().expect("usage");
    assert!(tokens > 4 * 6, "{told:#}");

    // The record says what it was for and what it read.
    let record = world.record_of(&answer);
    assert_eq!(
        (&record["surface"], &record["outcome"]),
        (&json!("rerank"), &json!("completed")),
        "{record:#}"
    );
    let attempt = &record["attempts"][0];
    assert_eq!(attempt["purpose"], "rerank", "{record:#}");

    // Only the best, with their texts; documents as objects, at Cohere's path.
    let objects: Vec<Value> = DOCUMENTS.iter().map(|text| json!({"text": text})).collect();
    let body = json!({"model": "rank", "query": "what is a budget", "documents": objects, "top_n": 2,
        "return_documents": true});
    let best = ask(&world, "/v2/rerank", &body).json();
    let best = best["results"].as_array().expect("results");
    assert_eq!(best.len(), 2);
    for (one, all) in best.iter().zip(results) {
        assert_eq!((&one["index"], score(one)), (&all["index"], score(all)));
        let index = one["index"].as_u64().expect("an index") as usize;
        assert_eq!(one["document"]["text"], DOCUMENTS[index]);
    }

    // Too long is refused with both numbers, and what cannot rank does not (TRAPS S8).
    let long = json!({"model": "rank", "query": "q", "documents": ["a", "b ".repeat(500)]});
    let refused = ask(&world, "/v1/rerank", &long);
    assert_eq!((refused.status, refused.header("bedplate-error")), (400, Some("EN0001")), "{refused:?}");
    let body = json!({"model": "bedplate-guide", "query": "q", "documents": ["a"]});
    let refused = ask(&world, "/v1/rerank", &body);
    assert_eq!((refused.status, refused.header("bedplate-error")), (400, Some("GW0008")), "{refused:?}");
    let refused = world.send(&world.chat(&world.admin, "rank", false));
    assert_eq!((refused.status, refused.header("bedplate-error")), (400, Some("GW0008")), "{refused:?}");
    let refused = ask(&world, "/v1/rerank", &json!({"model": "rank", "query": "q", "documents": []}));
    assert_eq!((refused.status, refused.header("bedplate-error")), (400, Some("DI0004")), "{refused:?}");
    world.check_books();
    world.is_sound();
}

#[test]
fn a_local_model_ranks_documents() {
    let Some(binary) = binary() else { return };
    check(Setup::new(binary).with_engine());
}

#[test]
fn a_local_model_in_a_process_of_its_own_ranks_documents() {
    let Some(binary) = binary() else { return };
    check(Setup::new(binary).with_engine().arg("--engine-process=child"));
}

#[test]
fn a_providers_answer_passes_through_and_is_charged_by_its_total() {
    let Some(binary) = binary() else { return };
    let world = World::new(binary);
    let provider = Provider::start();
    world.provider("far", "openai", &provider.url(), &["ranker"]);
    let body =
        json!({"model": "ranker", "query": "q", "documents": ["a", "longer than a"], "odd": {"kept": 1}});
    let answer = ask(&world, "/v1/rerank", &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["results"][0]["index"], 1);
    let seen = provider.seen();
    assert_eq!(seen[0].request.path, "/v1/rerank");
    assert_eq!(seen[0].json()["odd"]["kept"], 1, "unknown fields survive");
    let record = world.record_of(&answer);
    assert_eq!(record["attempts"][0]["purpose"], "rerank", "{record:#}");
    assert_ne!(record["cost_usd"], "0", "{record:#}");
    world.check_books();
}
