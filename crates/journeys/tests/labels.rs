//! Labels on the only path there is: a request goes where its labels let it,
//! or nowhere, in every dialect, through retries and fallbacks.

use journeys::{World, binary};
use serde_json::json;
use testkit::{Answer, Ask, Provider};

/// A provider outside that takes what is public, and one in the EU that takes
/// what is confidential.
struct Scene {
    world: World,
    outside: Provider,
    inside: Provider,
    key: String,
}

fn scene(binary: std::path::PathBuf) -> Scene {
    let world = World::new(binary);
    let (outside, inside) = (Provider::start(), Provider::start());
    let declared = |name: &str, url: &str, labels: &str| {
        format!(
            "apiVersion: bedplate/v1\nkind: Provider\nmetadata: {{ name: {name} }}\nspec:\n  dialect: openai\n  \
             baseUrl: \"{url}/v1\"\n  allowPrivate: true\n  keyEnv: JOURNEY_PROVIDER_KEY\n  labels: {labels}\n---\n"
        )
    };
    let model = |name: &str, targets: &str, more: &str| {
        format!(
            "apiVersion: bedplate/v1\nkind: Model\nmetadata: {{ name: {name} }}\nspec:\n  retries: 0\n  \
             targets: [{targets}]\n{more}---\n"
        )
    };
    world.apply(
        &[
            declared("outside", &outside.url(), "{ ceiling: public }"),
            declared("inside", &inside.url(), "{ ceiling: confidential, zones: [eu, de] }"),
            model("both", "{ provider: outside, model: m }, { provider: inside, model: m }", ""),
            model("broken", "{ provider: inside, model: \"500\" }, { provider: outside, model: m }", ""),
            model("own", "{ provider: outside, model: m }", "  labels: { sensitivity: internal }\n"),
            "apiVersion: bedplate/v1\nkind: Team\nmetadata: { name: legal }\nspec: { labels: { sensitivity: confidential, zones: [eu] } }\n".into(),
        ]
        .concat(),
    );
    let key = world.team("people");
    Scene { world, outside, inside, key }
}

impl Scene {
    fn ask(&self, ask: Ask, labels: &str) -> Answer {
        self.world.send(&if labels.is_empty() { ask } else { ask.header("bedplate-labels", labels) })
    }
    fn seen(&self) -> (usize, usize) {
        (self.outside.seen().len(), self.inside.seen().len())
    }
}

#[test]
fn a_request_goes_where_its_labels_let_it_in_every_dialect() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary);
    let embeddings = json!({"model": "both", "input": "hello"});
    let asks = [
        scene.world.chat(&scene.key, "both", false),
        scene.world.chat(&scene.key, "both", true),
        scene.world.message(&scene.key, "both", false),
        Ask::json("/v1/completions", &json!({"model": "both", "prompt": "hello", "max_tokens": 5}))
            .key(&scene.key),
        Ask::json("/v1/embeddings", &embeddings).key(&scene.key),
    ];
    for (n, ask) in asks.into_iter().enumerate() {
        let before = scene.seen();
        let free = scene.ask(ask.clone(), "");
        assert_eq!((free.status, free.header("bedplate-target")), (200, Some("outside/m")), "{n}: {free:?}");
        let bound = scene.ask(ask.clone(), "confidential eu");
        assert_eq!(
            (bound.status, bound.header("bedplate-target")),
            (200, Some("inside/m")),
            "{n}: {bound:?}"
        );
        let record = scene.world.record_of(&bound);
        assert_eq!(record["labels"], "confidential eu user", "{record:#}");
        assert_eq!(
            record["rejected"],
            json!([{"target": "outside/m", "reason": "takes at most public data, and this is confidential"}])
        );
        // The right ceiling in the wrong zone, and a sensitivity that nobody takes.
        for labels in ["confidential us", "restricted", "nowhere"] {
            let refused = scene.ask(ask.clone(), labels);
            assert_eq!(
                (refused.status, refused.header("bedplate-error")),
                (403, Some("PO0003")),
                "{n}: {refused:?}"
            );
            assert!(refused.body.contains("inside/m"), "each target has its reason: {refused:?}");
        }
        let after = scene.seen();
        assert_eq!((after.0 - before.0, after.1 - before.1), (1, 1), "{n}: a refused request reaches nobody");
    }
    scene.world.is_sound();
}

#[test]
fn a_fallback_never_crosses_a_label() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary);
    let ask = scene.world.chat(&scene.key, "broken", false);
    let free = scene.ask(ask.clone(), "");
    assert_eq!((free.status, free.header("bedplate-target")), (200, Some("outside/m")), "{free:?}");
    let bound = scene.ask(ask, "confidential");
    assert_eq!(bound.status, 502, "the fallback may not have it: {bound:?}");
    assert_eq!(scene.outside.seen().len(), 1, "only the request without labels went out");
}

#[test]
fn a_team_and_a_model_raise_labels_and_no_header_lowers_them() {
    let Some(binary) = binary() else { return };
    let scene = scene(binary);
    let legal = scene.world.key("legal", json!({}));
    for said in ["", "public", "public anywhere trusted"] {
        let answer = scene.ask(scene.world.chat(&legal, "both", false), said);
        assert_eq!(answer.header("bedplate-target"), Some("inside/m"), "{said}: {answer:?}");
        let record = scene.world.record_of(&answer);
        assert_eq!(record["labels"], "confidential eu user", "{said}: {record:#}");
        let refused = scene.ask(scene.world.chat(&scene.key, "own", false), said);
        assert_eq!(refused.header("bedplate-error"), Some("PO0003"), "{said}: {refused:?}");
    }
    // Two zones that exclude each other are nowhere.
    let nowhere = scene.ask(scene.world.chat(&legal, "both", false), "us");
    assert_eq!(nowhere.header("bedplate-error"), Some("PO0003"), "{nowhere:?}");
    let unread = scene.ask(scene.world.chat(&scene.key, "both", false), "confidential EU");
    assert_eq!((unread.status, unread.header("bedplate-error")), (400, Some("PO0004")), "{unread:?}");
    assert!(scene.outside.seen().is_empty());
}
