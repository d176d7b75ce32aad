//! What documents relate, and where questions lead.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::chunk::{Size, chunks};
use crate::parse::{Format, Limits, parse};

/// `from | relation | to` of all chunks, in order.
fn related(text: &str, format: Format, about: &About<'_>) -> Vec<String> {
    // Nothing visible relates nothing.
    let Ok(parsed) = parse(text.as_bytes(), format, &Limits::default()) else { return Vec::new() };
    let all = relations(&parsed, &chunks(&parsed, &Size::default()), about);
    all.iter()
        .flatten()
        .inspect(|r| r.check())
        .map(|r| format!("{} | {} | {}", r.from, r.relation, r.to))
        .collect()
}

fn about<'a>(source: &'a str, title: &'a str, language: &'a str) -> About<'a> {
    About { source, title, language }
}

#[test]
fn a_documents_names_keys_and_links_are_its_relations() {
    let text = "# Payment Gateway\n\nOwner: Team Atlas\n\nThe Payment Gateway is hosted in Luxembourg. When \
                Orders arrive, Ledger stores every booking; see [the ledger](../ledger/core.md#books) and \
                [elsewhere](https://example.org/x.md). Its service level objective (SLO) is strict.\n";
    let found = related(text, Format::Markdown, &about("systems/gateway.md", "Payment Gateway", "en"));
    for wanted in [
        "payment gateway | is kept at | systems/gateway.md",
        "payment gateway | owner | team atlas",
        "payment gateway | is hosted in | luxembourg",
        "payment gateway | links to | ledger/core.md",
        "slo | stands for | service level objective",
        "payment gateway | mentions | luxembourg",
        "payment gateway | mentions | ledger",
    ] {
        assert!(found.iter().any(|r| r == wanted), "{wanted}\nis not in {found:#?}");
    }
    assert!(!found.iter().any(|r| r.contains("when") || r.contains("example")), "{found:#?}");
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len(), "each once");
}

#[test]
fn rows_relate_their_first_cell() {
    let table = "# Systems\n\n| System | Owner | Note |\n|---|---|---|\n| Ledger | Team Atlas, Team Borealis | It was built. |\n";
    let found = related(table, Format::Markdown, &about("s.md", "Systems", "en"));
    for wanted in
        ["ledger | owner | team atlas", "ledger | owner | team borealis", "systems | mentions | ledger"]
    {
        assert!(found.iter().any(|r| r == wanted), "{wanted}\nis not in {found:#?}");
    }
    assert!(!found.iter().any(|r| r.contains("built")), "a sentence is no name: {found:#?}");
    let csv = "name,manager\nInes Duarte,Karl Blum\n";
    let found = related(csv, Format::Csv, &about("people.csv", "people", "en"));
    assert!(found.contains(&"ines duarte | manager | karl blum".to_owned()), "{found:#?}");
}

#[test]
fn capitals_mean_names_only_where_they_do() {
    let found = |text: &str, language| related(text, Format::Text, &about("a.txt", "", language));
    // A word that a sentence begins with is a name if it is one elsewhere.
    let english = found("Yesterday it rained. Borealis leads. We asked Borealis on Monday.", "en");
    assert!(english.contains(&"a.txt | mentions | borealis".to_owned()), "{english:#?}");
    assert!(!english.iter().any(|r| r.contains("yesterday") || r.contains("monday")), "{english:#?}");
    let german = found("Die Abteilung von Ines Duarte nutzt das Werkzeug KDB für die Planung.", "de");
    assert!(german.contains(&"a.txt | mentions | ines duarte".to_owned()), "{german:#?}");
    assert!(german.contains(&"a.txt | mentions | kdb".to_owned()), "{german:#?}");
    assert!(!german.iter().any(|r| r.contains("planung") || r.contains("| abteilung")), "{german:#?}");
    // Without capitals only what is explicit.
    let chinese = found("部门：财务部\n\n他们每天记录所有的账目。", "zh");
    assert!(chinese.contains(&"a.txt | 部门 | 财务部".to_owned()), "{chinese:#?}");
    assert_eq!(chinese.len(), 1, "{chinese:#?}");
    assert_eq!(found("THIS IS AN OLD TELEX ABOUT ADA AND EVE.", "en"), [""; 0]);
}

#[test]
fn links_lead_to_sources_as_the_collection_knows_them() {
    let to = |source, link| relations::resolved(source, link);
    assert_eq!(to("a/b.md", "c.md").as_deref(), Some("a/c.md"));
    assert_eq!(to("a/b.md", "../x/c%20d.md?raw#top").as_deref(), Some("x/c d.md"));
    assert_eq!(to("a/b.md", "/c.md").as_deref(), Some("c.md"));
    assert_eq!(to("https://h.example/a/b", "c").as_deref(), Some("https://h.example/a/c"));
    assert_eq!(to("https://h.example/a/b", "/c").as_deref(), Some("https://h.example/c"));
    for (source, link) in [("a.md", "../../etc/passwd"), ("a.md", "a.md"), ("a.md", "%ff"), ("a.md", "")] {
        assert_eq!(to(source, link), None, "{source} {link}");
    }
}

fn edge(text: &str, chunk: u64) -> Edge {
    let mut parts = text.split(" | ").map(str::to_owned);
    let mut next = || parts.next().expect("three parts");
    Edge { from: next(), relation: next(), to: next(), chunk }
}

/// Walks over these edges, as a store would give them.
fn walked(question: &str, best: &[(u64, f32)], edges: &[Edge]) -> Walk {
    let mut walk = Walk::new(question, best);
    let begin: Vec<u64> = walk.begins_at().collect();
    walk.learn_of_chunks(edges.iter().filter(|e| begin.contains(&e.chunk)).cloned());
    while !walk.asks().is_empty() {
        let asked = walk.asks().to_vec();
        walk.learn(edges.iter().filter(|e| asked.contains(&e.from) || asked.contains(&e.to)).cloned());
    }
    walk
}

#[test]
fn a_walk_comes_to_what_the_question_does_not_say() {
    let edges = [
        edge("payment gateway | owner | team atlas", 1),
        edge("team atlas | lead | ines duarte", 2),
        edge("ines duarte | reports to | karl blum", 3),
        edge("canteen | mentions | lunch", 4),
    ];
    let walk = walked("who does the lead of the payment gateway's owner report to?", &[], &edges);
    assert_eq!(walk.named().collect::<Vec<_>>(), ["payment gateway"]);
    let reached = walk.reached();
    assert_eq!(reached.iter().map(|r| r.chunk).collect::<Vec<_>>(), [1, 2, 3], "{reached:?}");
    assert_eq!(reached[2].path, ["payment gateway", "team atlas", "ines duarte"]);
    // From a passage that words have found, where the question has no name.
    let walk = walked("whose boss is it?", &[(2, 3.0)], &edges);
    assert_eq!(walk.named().count(), 0);
    let chunks: Vec<u64> = walk.reached().iter().map(|r| r.chunk).collect();
    assert!(chunks.contains(&3) && !chunks.contains(&4), "{chunks:?}");
    assert_eq!(walked("nothing", &[], &edges).reached(), []);
}

#[test]
fn verbs_are_in_order() {
    assert!(relations::VERBS.is_sorted());
}

proptest! {
    /// Weight comes from the question and stays: what is reached sums to no more than one, in
    /// an order that does not depend on the order of the edges; what is not given is not reached.
    #[test]
    fn a_walk_is_bounded_and_the_same_for_the_same_edges(
        edges in proptest::collection::vec((0u8..12, 0u8..3, 0u8..12, 0u64..20), 0..60),
        best in proptest::collection::vec((0u64..20, -1.0f32..5.0), 0..4),
    ) {
        let names = |n: u8| format!("name {}", char::from(b'a' + n)) + "x";
        let edges: Vec<Edge> = edges
            .into_iter()
            .map(|(from, relation, to, chunk)| Edge {
                from: names(from),
                relation: [MENTIONS, "owns", "uses"][usize::from(relation)].into(),
                to: names(to),
                chunk,
            })
            .collect();
        let question = "what of name ax and name bx";
        let reached = walked(question, &best, &edges).reached();
        let sum: f32 = reached.iter().map(|r| r.score).sum();
        prop_assert!(sum <= 1.0 + 1e-5, "{sum}");
        let chunks: BTreeSet<u64> = edges.iter().map(|e| e.chunk).collect();
        prop_assert!(reached.iter().all(|r| chunks.contains(&r.chunk) && r.score.is_finite() && r.path.len() <= 5));
        let mut other = edges.clone();
        other.reverse();
        prop_assert_eq!(walked(question, &best, &other).reached(), reached);
    }

    #[test]
    fn any_text_relates_within_bounds(text in "\\PC{0,400}", language in "(en|de|zh|und)") {
        related(&text.replace('\0', ""), Format::Text, &about("a/b.txt", "B", &language));
    }
}
