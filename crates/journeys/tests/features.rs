//! What a product team launches: a model under a name of its own, with words of its own.

use journeys::{World, binary};
use serde_json::{Value, json};
use testkit::Provider;

const FEATURE: &str = "apiVersion: bedplate/v1\nkind: Feature\nmetadata: { name: helper }\n\
    spec:\n  model: m\n  prompt: |\n    You are the helper.\n    Be brief.\n  teams: [ people ]\n";

#[test]
fn a_feature_speaks_before_its_client_and_only_to_its_teams() {
    let Some(binary) = binary() else { return };
    let world = World::new(binary);
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &["m"]);
    let (key, stranger) = (world.team("people"), world.team("others"));
    world.apply(FEATURE);

    for stream in [false, true] {
        let answer = world.send(&world.chat(&key, "helper", stream));
        assert_eq!(answer.status, 200, "{answer:?}");
        let seen = provider.seen();
        let asked: Value =
            serde_json::from_slice(&seen.last().expect("a request").request.body).expect("JSON");
        assert_eq!(asked["model"], "m");
        assert_eq!(asked["messages"][0]["role"], "system");
        assert_eq!(asked["messages"][0]["content"], "You are the helper.\nBe brief.\n");
        assert_eq!(asked["messages"][1]["role"], "user");
        let record = world.record_of(&answer);
        assert_eq!(record["model"], "helper", "{record:#}");
    }
    let asked_before = provider.seen().len();
    let refused = world.send(&world.chat(&stranger, "helper", false));
    assert_eq!((refused.status, refused.header("bedplate-error")), (403, Some("ID0005")), "{refused:?}");
    assert_eq!(provider.seen().len(), asked_before);

    let names = |key: &str| -> Vec<Value> {
        let answer = world.send(&testkit::Ask::new("GET", "/v1/models").key(key));
        answer.json()["data"].as_array().expect("a list").iter().map(|m| m["id"].clone()).collect()
    };
    assert!(names(&key).contains(&json!("helper")));
    assert!(!names(&stranger).contains(&json!("helper")));
    world.is_sound();
}

#[test]
fn trap_r4_every_record_names_the_generation_that_served_it() {
    let Some(binary) = binary() else { return };
    let world = World::new(binary);
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &["m"]);
    let key = world.team("people");
    let in_force = || world.show("/api/v1/status")["generation"].as_u64().expect("a number");
    let served = |answer: &testkit::Answer| world.record_of(answer)["generation"].as_u64();
    let mut answers = Vec::new();
    for prompt in ["Be brief.", "Be precise.", "Be kind."] {
        world.apply(&FEATURE.replace("Be brief.", prompt));
        let generation = in_force();
        let answer = world.send(&world.chat(&key, "helper", false));
        assert_eq!((answer.status, served(&answer)), (200, Some(generation)), "{answer:?}");
        let seen = provider.seen().last().expect("a request").json();
        assert!(seen["messages"][0]["content"].as_str().is_some_and(|c| c.contains(prompt)), "{seen}");
        answers.push((answer, generation));
    }
    // What came later changes nothing of what is written.
    for (answer, generation) in &answers {
        assert_eq!(served(answer), Some(*generation));
    }
    assert!(answers.windows(2).all(|pair| pair[0].1 < pair[1].1), "each change has a number of its own");
    world.is_sound();
}
