//! What a collection says of its order: age, likeness, a fitted gate, a reranker of its own.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{Evidence, Judged, Reranker};

const DAY_US: i64 = 86_400_000_000;

fn with(ranking: Ranking) -> (Collections, Shown) {
    let (collections, shown) = world();
    let wish = Wish {
        name: "handbook".into(),
        language: "en".into(),
        lexing: None,
        acl: Acl::team(),
        labels: shown.collection.labels.clone(),
        embedder: None,
        graph: false,
        ranking,
    };
    collections.declare(team(1), &wish, NOW).expect("declared");
    let shown = collections.show(&reader(&[]), "handbook").expect("it is there");
    (collections, shown)
}

fn named<'f>(found: &'f Found, source: &str) -> &'f Evidence {
    found.evidence.iter().find(|e| e.chunk.source == source).expect(source)
}

#[test]
fn where_age_counts_the_newer_of_two_alike_comes_first_and_no_source_is_newer_than_its_putting() {
    let old = Micros(NOW.0 - 90 * DAY_US);
    let check = |half_life_s: Option<u64>, first: &str| {
        let (collections, shown) = with(Ranking { half_life_s, ..Ranking::default() });
        let ada = reader(&["ada"]);
        let put = |source: &str, text: &str, modified: Option<Micros>| {
            let dated = Content { modified, ..content(source, text) };
            put(&collections, &shown, &ada, &dated);
        };
        put("old.md", "The canteen opens at eleven. The canteen is in hall two.", Some(old));
        put("new.md", "The canteen opens at twelve since the move, in hall nine.", None);
        // Says that it is from next year.
        put("lie.md", "Trains leave at noon.", Some(Micros(NOW.0 + 400 * DAY_US)));
        let found = search(&collections, &shown, &ada, "when does the canteen open?");
        assert_eq!(sources(&found)[0], first);
        found
    };
    let without = check(None, "old.md");
    assert!(without.evidence.iter().all(|e| e.lowered.is_empty()), "{:?}", without.evidence);
    let counting = check(Some(30 * 86_400), "new.md");
    assert_eq!(named(&counting, "old.md").lowered, ["by its age, to 0.56"]);
    assert!(named(&counting, "new.md").lowered.is_empty());
    assert!(counting.explained.counted[0].contains("30 days"), "{:?}", counting.explained.counted);
}

#[test]
fn mmr_reads_vectors_under_the_reader_and_gives_what_is_not_said_yet() {
    let texts = [
        ("a.md", "The deposit of a flat is three months of rent, says the guide of the city."),
        ("b.md", "The deposit of a flat is three months of rent, says the guide of the region."),
        ("c.md", "Whoever moves out gets the deposit of the flat back, less what is broken."),
    ];
    let order = |mmr_percent: Option<u8>| {
        let (collections, shown) = with(Ranking { mmr_percent, ..Ranking::default() });
        let ada = reader(&["ada"]);
        texts.iter().for_each(|(source, text)| {
            put(&collections, &shown, &ada, &content(source, text));
        });
        let secret =
            Content { acl: Some(only("eve")), ..content("d.md", "The deposit of a flat is a secret.") };
        put(&collections, &shown, &reader(&["eve"]), &secret);
        let found = search(&collections, &shown, &ada, "deposit of a flat, months of rent, guide");
        (sources(&found).into_iter().map(str::to_owned).collect::<Vec<_>>(), found)
    };
    let (plain, _) = order(None);
    assert_eq!(plain[2], "c.md");
    let (diverse, found) = order(Some(50));
    assert_eq!((diverse[1].as_str(), diverse.len()), ("c.md", 3), "as many, and no other's");
    assert!(named(&found, &diverse[2]).lowered[0].contains("resembles"), "{:?}", found.evidence);
    assert_eq!(found.explained.counted, ["what is not said yet: MMR at 0.50"]);
    assert_eq!(order(Some(50)).0, diverse, "the same again");
}

/// Thirty documents of which each question means one by another word than it says.
fn judged() -> (Vec<(String, String)>, Vec<Judged>) {
    let mut documents = Vec::new();
    let mut questions = Vec::new();
    for n in 0..30 {
        documents.push((format!("leave-{n}.md"), format!("Annual leave in office {n} is 30 days.")));
        let relevant = BTreeMap::from([(format!("leave-{n}.md"), 1), ("gone.md".to_owned(), 0)]);
        questions.push(Judged { question: format!("annual leave in office {n}"), relevant });
    }
    (documents, questions)
}

#[test]
fn a_gate_is_fitted_shown_kept_by_a_declaration_and_dropped_with_its_vectors() {
    let (collections, ada) = meaning_world();
    let model = Meaning::new("local:1", 4);
    let (documents, questions) = judged();
    for (source, text) in &documents {
        let of = shown(&collections).collection;
        collections.put(&ada, &of, &content(source, text), &model, NOW).expect("put");
    }
    let of = |collections: &Collections| shown(collections).collection;
    let few = collections.fit_gate(&ada, &of(&collections), &questions[..19], &model, NOW);
    assert_eq!(few.expect_err("too few").report().code.0, "CX0030");
    let unlent = collections.fit_gate(&ada, &of(&collections), &questions, &NoModel, NOW);
    assert_eq!(unlent.expect_err("no model").report().code.0, "GW0005");
    assert_eq!(shown(&collections).gate, None, "nothing was kept");

    let fitted = collections.fit_gate(&ada, &of(&collections), &questions, &model, NOW).expect("fitted");
    assert_eq!((fitted.questions, fitted.generation), (30, of(&collections).live.number));
    assert!(fitted.both >= fitted.words.max(fitted.vectors) - 1e-12, "{fitted:?}");
    assert!(fitted.words > 0.9, "{fitted:?}");
    assert_eq!(shown(&collections).gate, Some(fitted.clone()));
    let labels = Labels::default();
    let search = |collections: &Collections| {
        let query = asked("annual leave in office 7", &labels);
        collections.search(&ada, &of(collections), &query, &model).expect("found")
    };
    let found = search(&collections);
    assert_eq!(sources(&found)[0], "leave-7.md");
    assert!(found.explained.gate.contains("fitted to the collection's judged questions (30;"));

    // A manifest that is applied again takes nothing back.
    let wish = Wish {
        name: "handbook".into(),
        language: "en".into(),
        lexing: None,
        acl: Acl::team(),
        labels: Labels::default(),
        embedder: Some("meaning".into()),
        graph: false,
        ranking: Ranking { mmr_percent: Some(90), ..Ranking::default() },
    };
    collections.declare(team(1), &wish, NOW).expect("declared");
    let again = shown(&collections);
    assert_eq!((again.gate.as_ref(), again.ranking.mmr_percent), (Some(&fitted), Some(90)));

    // Other weights under the name: other vectors, and no gate.
    let other = Meaning::new("local:2", 4);
    let done = collections.reindex(team(1), &of(&collections), None, &other).expect("a step");
    assert!(done.live, "{done:?}");
    assert_eq!(shown(&collections).gate, None);
    let query = asked("annual leave in office 7", &labels);
    let found = collections.search(&ada, &of(&collections), &query, &other).expect("found");
    assert!(found.explained.gate.contains("not fitted"), "{}", found.explained.gate);

    let fitted = collections.fit_gate(&ada, &of(&collections), &questions, &other, NOW).expect("fitted");
    assert_eq!(collections.forget_gate(team(1), &of(&collections)), Ok(Some(fitted)));
    assert_eq!(collections.forget_gate(team(1), &of(&collections)), Ok(None));
    assert_eq!(shown(&collections).gate, None);
}

#[test]
fn a_gate_is_fitted_by_what_its_fitter_may_read() {
    let (collections, shown) = world();
    let (ada, eve) = (reader(&["ada"]), reader(&["eve"]));
    let (documents, questions) = judged();
    for (source, text) in &documents {
        let secret = Content { acl: Some(only("ada")), ..content(source, text) };
        put(&collections, &shown, &ada, &secret);
    }
    let fit = |reader| collections.fit_gate(reader, &shown.collection, &questions, &NoModel, NOW);
    assert!(fit(&ada).expect("fitted").words > 0.9);
    let blind = fit(&eve).expect("fitted");
    assert_eq!((blind.words, blind.vectors, blind.both), (0.0, 0.0, 0.0));
}

#[test]
fn a_collections_own_reranker_is_asked_unless_it_is_told_not_to() {
    let reranker = Some(Reranker { model: "judge".into(), deadline_ms: 250 });
    let (collections, shown) = with(Ranking { reranker, ..Ranking::default() });
    let ada = reader(&["ada"]);
    put(&collections, &shown, &ada, &content("a.md", "annual leave"));
    put(&collections, &shown, &ada, &content("b.md", "leave is annual for those who have been here long"));
    let labels = Labels::default();
    let search = |rerank, by: Option<&dyn Rank>| {
        let query = Query { rerank, ..asked("annual leave", &labels) };
        collections.search_by(&ada, &shown.collection, &query, &NoModel, by).expect("found")
    };
    let heard = search(Reranking::Declared, Some(&Longest(None)));
    assert_eq!((sources(&heard), heard.notes.len()), (vec!["b.md", "a.md"], 0));
    assert_eq!(heard.explained.reranker.as_deref(), Some("judge"));
    // The model of a query has the collection's deadline.
    let named = Reranking::By { model: "judge", deadline_ms: None };
    assert_eq!(sources(&search(named, Some(&Longest(None))))[0], "b.md");
    let without = search(Reranking::Without, Some(&Longest(None)));
    assert_eq!((sources(&without)[0], without.explained.reranker.as_deref()), ("a.md", None));
    for unheard in
        [search(Reranking::Declared, Some(&Longest(Some("EN0013")))), search(Reranking::Declared, None)]
    {
        assert_eq!((sources(&unheard), unheard.notes.len()), (vec!["a.md", "b.md"], 1));
    }
}

#[test]
fn other_phrasings_find_what_the_question_does_not_say() {
    let (collections, shown) = world();
    let ada = reader(&["ada"]);
    put(&collections, &shown, &ada, &content("a.md", "Annual leave is 30 days."));
    put(&collections, &shown, &ada, &content("b.md", "Vacation is booked in the portal."));
    let secret = Content { acl: Some(only("eve")), ..content("c.md", "Vacation of the board is longer.") };
    put(&collections, &shown, &reader(&["eve"]), &secret);
    let labels = Labels::default();
    let search = |also: &[&str]| {
        let also: Vec<String> = also.iter().map(|text| (*text).to_owned()).collect();
        let query = Query { also: &also, ..asked("how long is annual leave", &labels) };
        collections.search(&ada, &shown.collection, &query, &NoModel).expect("found")
    };
    assert_eq!(sources(&search(&[])), ["a.md"]);
    let both = search(&["vacation booked", "vacation booked", "How long is annual leave", ""]);
    assert_eq!(sources(&both), ["a.md", "b.md"]);
    assert!(named(&both, "b.md").relevance > 0.4, "it covers one phrasing");
    let many: Vec<String> = (0..7).map(|n| format!("vacation {n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(search(&many).notes[0].contains("first 4"), "{:?}", search(&many).notes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever a collection lets count: as many as there are, none of another's, and the same again.
    #[test]
    fn as_many_as_may_be_read_and_no_others_in_one_order(
        mine in prop::collection::vec(any::<bool>(), 1..14),
        mmr_percent in prop::option::of(0u8..=100),
        half_life_s in prop::option::of(1u64..10_000_000),
        k in 1usize..12,
        also in prop::option::of("[a-z]{3,9} canteen"),
    ) {
        let (collections, shown) = with(Ranking { reranker: None, half_life_s, mmr_percent });
        let (ada, eve) = (reader(&["ada"]), reader(&["eve"]));
        for (n, own) in mine.iter().enumerate() {
            let text = format!("The canteen of hall {n} opens at {}. {}", n * 37, format!("w{n} ").repeat(n % 5 + 3));
            let who = if *own { "ada" } else { "eve" };
            let modified = Some(Micros(NOW.0 - n as i64 * DAY_US * 9));
            let mine = Content { acl: Some(only(who)), modified, ..content("x", &text) };
            let source = format!("{n}.md");
            put(&collections, &shown, if *own { &ada } else { &eve }, &Content { source: &source, ..mine });
        }
        let (labels, also) = (Labels::default(), Vec::from_iter(also));
        let search = || {
            let query = Query { also: &also, ..Query::new("when does the canteen open", k, &labels, NOW) };
            collections.search(&ada, &shown.collection, &query, &NoModel).expect("found")
        };
        let found = search();
        let readable = mine.iter().filter(|own| **own).count();
        prop_assert_eq!((found.evidence.len(), found.readable), (k.min(readable), readable as u64));
        for source in sources(&found) {
            let n: usize = source.trim_end_matches(".md").parse().expect("a number");
            prop_assert!(mine[n], "{} is another's", source);
        }
        let again = search();
        prop_assert_eq!(sources(&again), sources(&found));
    }
}
