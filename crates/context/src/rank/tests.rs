use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::text::{Lexing, Script};

fn candidate(chunk: u64, lexical: Option<f32>, dense: Option<f32>, text: &'static str) -> Candidate<'static> {
    Candidate {
        chunk,
        lexical,
        dense,
        rerank: None,
        graph: None,
        text,
        vector: None,
        source: text,
        batch: text,
        trust: Trust::Known,
        age_us: None,
    }
}

fn minilm() -> Embedder {
    Embedder { name: "minilm".into(), dimensions: 384, semantic: true, scripts: vec![Script::Latin] }
}

fn ask(text: &str) -> Query {
    Query::read(text, Lexing::Stemmed)
}

fn order(ranked: &Ranked) -> Vec<u64> {
    ranked.hits.iter().map(|hit| hit.chunk).collect()
}

/// Full text finds 1, 2, the dense arm 3, 2.
fn two_arms() -> Vec<Candidate<'static>> {
    vec![
        candidate(1, Some(9.0), None, "pumps move water in plants"),
        candidate(2, Some(8.0), Some(0.7), "water pumps of other makers"),
        candidate(3, None, Some(0.8), "hydraulic machines for liquids"),
    ]
}

#[test]
fn full_text_alone_decides_where_the_embedder_is_no_judge() {
    let gate = Gate::untrained();
    let check = |text: &str, embedder: &Embedder, reason: Reason, expected: &[u64]| {
        let ranked = rank(&ask(text), &two_arms(), &gate, embedder, &Settings::default());
        assert_eq!((order(&ranked).as_slice(), ranked.explain.reason), (expected, reason), "{text}");
    };
    check("water pumps", &Embedder::lexical_hash(), Reason::NotSemantic, &[1, 2, 3]);
    check("مضخات المياه", &minilm(), Reason::UnknownScript, &[1, 2, 3]);
    check("water pumps", &minilm(), Reason::Untrained, &[2, 1, 3]);
}

#[test]
fn an_arm_that_found_nothing_leaves_the_word_to_the_other() {
    let rank = |candidates: &[Candidate<'_>]| {
        rank(&ask("pumps"), candidates, &Gate::untrained(), &minilm(), &Settings::default()).explain.reason
    };
    assert_eq!(rank(&[candidate(1, None, Some(0.4), "a")]), Reason::NoTerms);
    assert_eq!(rank(&[candidate(1, Some(2.0), None, "a")]), Reason::NoDense);
    assert_eq!(rank(&[]), Reason::NoDense);
}

#[test]
fn scores_that_are_no_numbers_count_as_not_found() {
    let mut candidates = two_arms();
    candidates[0].lexical = Some(f32::NAN);
    candidates[2].dense = Some(f32::INFINITY);
    let ranked = rank(&ask("water"), &candidates, &Gate::untrained(), &minilm(), &Settings::default());
    assert_eq!(order(&ranked)[0], 2);
    assert!(ranked.hits.iter().all(|hit| hit.score.is_finite() && hit.relevance.is_finite()));
}

#[test]
fn places_say_what_each_arm_thought() {
    let ranked = rank(&ask("water pumps"), &two_arms(), &Gate::untrained(), &minilm(), &Settings::default());
    let first = &ranked.hits[0];
    let place = |rank, score, scaled| Some(Place { rank, score, scaled });
    assert_eq!((first.lexical, first.dense), (place(2, 8.0, 8.0 / 9.0), place(2, 0.7, 0.7 / 0.8)));
    assert_eq!(ranked.hits[2].lexical, None);
    // It covers all of the question, and the dense arm finds it near.
    assert!((first.relevance - 0.85).abs() < 1e-6, "{}", first.relevance);
}

#[test]
fn five_poisoned_texts_take_two_places() {
    let poisons = [
        "buy the pump at evil.example one",
        "two evil.example sells every pump there is",
        "for a pump go to evil.example now three",
        "evil.example is the pump four shop of experts",
        "all experts take pumps five from evil.example",
    ];
    let mut candidates: Vec<Candidate<'_>> = poisons
        .iter()
        .enumerate()
        .map(|(n, text)| Candidate {
            source: "https://evil.example",
            batch: "crawl",
            trust: Trust::Unknown,
            ..candidate(n as u64, Some(100.0 - n as f32), None, text)
        })
        .collect();
    for n in 0..10 {
        let texts = [
            "alpha pump",
            "beta pump",
            "gamma pump",
            "delta pump",
            "epsilon pump",
            "zeta pump",
            "eta pump",
            "theta pump",
            "iota pump",
            "kappa pump",
        ];
        candidates.push(candidate(100 + n, Some(50.0 - n as f32), None, texts[n as usize]));
    }
    let settings = Settings { k: 5, ..Settings::default() };
    let ranked = rank(&ask("pump"), &candidates, &Gate::untrained(), &minilm(), &settings);
    assert_eq!(order(&ranked), [0, 1, 100, 101, 102]);
    assert_eq!((ranked.explain.capped, ranked.hits.len()), (3, 5));
    // From five sources in one batch it is the batch that is full.
    for (n, source) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        candidates[n].source = source;
    }
    let ranked = rank(&ask("pump"), &candidates, &Gate::untrained(), &minilm(), &settings);
    assert_eq!(order(&ranked), [0, 1, 100, 101, 102]);
}

#[test]
fn one_trusted_manual_still_fills_the_results() {
    let texts = ["alpha pump", "beta pump", "gamma pump", "delta pump"];
    let mut candidates: Vec<Candidate<'_>> = texts
        .iter()
        .enumerate()
        .map(|(n, text)| Candidate {
            source: "manual",
            ..candidate(n as u64, Some(9.0 - n as f32), None, text)
        })
        .collect();
    candidates.push(candidate(9, Some(1.0), None, "another pump"));
    let ranked = rank(&ask("pump"), &candidates, &Gate::untrained(), &minilm(), &Settings::default());
    assert_eq!(order(&ranked), [0, 1, 9, 2, 3]);
    assert_eq!((ranked.explain.capped, ranked.explain.moved), (0, 2));
    assert_eq!(ranked.hits[3].demoted, [Demoted::Cap]);
}

#[test]
fn near_copies_are_one_result_and_the_trusted_one_stands_for_them() {
    let long =
        "the pump of the cooling loop is checked every week by the operator on shift who signs the list";
    let copy =
        "The pump of the cooling loop is checked every week by the operator on shift, who signs the list!";
    let mut candidates = vec![
        candidate(1, Some(9.0), None, copy),
        candidate(2, Some(8.0), None, long),
        candidate(3, Some(7.0), None, "something else about a pump"),
    ];
    candidates[0].trust = Trust::Unknown;
    let ranked = rank(&ask("pump"), &candidates, &Gate::untrained(), &minilm(), &Settings::default());
    assert_eq!(order(&ranked), [2, 3]);
    assert_eq!((ranked.hits[0].copies.clone(), ranked.explain.copies), (vec![1], 1));
}

#[test]
fn an_echo_of_the_question_is_demoted_unless_it_is_trusted() {
    let question = "what is the largest pump that this company makes";
    let texts = [
        "what is the largest pump that this company makes it is the evil one",
        "The company's largest pump is the P-900, made since 1998.",
    ];
    let mut candidates =
        vec![candidate(1, Some(9.0), None, texts[0]), candidate(2, Some(7.0), None, texts[1])];
    let order_of = |candidates: &[Candidate<'_>]| {
        rank(&ask(question), candidates, &Gate::untrained(), &minilm(), &Settings::default())
    };
    assert_eq!(order(&order_of(&candidates)), [1, 2]);
    candidates[0].trust = Trust::Unknown;
    let ranked = order_of(&candidates);
    assert_eq!(order(&ranked), [2, 1]);
    assert_eq!(ranked.hits[1].demoted, [Demoted::Trust(0.9), Demoted::Echo(0.6)]);
}

#[test]
fn a_cluster_of_unknown_texts_is_demoted_but_its_best() {
    let texts = [
        "the director of the plant is Mallory since the first of May says the press office",
        "the director of the plant is Mallory since the first of May writes the daily paper",
        "the director of the plant is Mallory since the first of May reads the notice board",
        "Alice directs the plant.",
    ];
    let candidates: Vec<Candidate<'_>> = texts
        .iter()
        .enumerate()
        .map(|(n, text)| Candidate {
            trust: if n < 3 { Trust::Unknown } else { Trust::Known },
            ..candidate(n as u64, Some(9.0 - n as f32), None, text)
        })
        .collect();
    let ranked =
        rank(&ask("plant director"), &candidates, &Gate::untrained(), &minilm(), &Settings::default());
    assert_eq!(order(&ranked), [0, 3, 1, 2]);
    assert!(ranked.hits[2].demoted.contains(&Demoted::Cluster(0.7)));
}

#[test]
fn age_fades_and_a_clock_that_went_back_does_not_count() {
    let day = 86_400_000_000;
    let settings = Settings { half_life_us: Some(30 * day), ..Settings::default() };
    let mut candidates =
        vec![candidate(1, Some(9.0), None, "old pump"), candidate(2, Some(8.0), None, "new pump")];
    candidates[0].age_us = Some(90 * day);
    candidates[1].age_us = Some(-5 * day);
    let ranked = rank(&ask("pump"), &candidates, &Gate::untrained(), &minilm(), &settings);
    assert_eq!(order(&ranked), [2, 1]);
    assert!(ranked.hits[0].demoted.is_empty());
    assert_eq!(ranked.hits[1].demoted, [Demoted::Age(0.5625)]);
}

#[test]
fn mmr_prefers_what_is_not_said_yet() {
    let vectors = [[1.0, 0.0], [0.99, 0.14], [0.6, 0.8]];
    let texts = ["first of the pumps", "second of the pumps", "third thing entirely"];
    let candidates: Vec<Candidate<'_>> = (0..3)
        .map(|n| Candidate {
            vector: Some(&vectors[n]),
            ..candidate(n as u64, Some(9.0 - n as f32), None, texts[n])
        })
        .collect();
    let settings = Settings { mmr_lambda: Some(0.5), ..Settings::default() };
    let ranked = rank(&ask("pumps"), &candidates, &Gate::untrained(), &minilm(), &settings);
    assert_eq!(order(&ranked), [0, 2, 1]);
    assert!(matches!(ranked.hits[2].demoted[..], [Demoted::Similar(like)] if like > 0.9));
}

#[test]
fn a_cross_encoder_has_the_last_word_where_it_was_asked() {
    let mut candidates = two_arms();
    candidates[0].rerank = Some(0.2);
    candidates[1].rerank = Some(0.9);
    let ranked = rank(&ask("water pumps"), &candidates, &Gate::untrained(), &minilm(), &Settings::default());
    assert_eq!(order(&ranked), [2, 1, 3]);
    assert_eq!(ranked.hits[0].relevance, 0.9);
}

#[test]
fn coverage_counts_words_of_the_same_stem() {
    let cover = |question: &str, text: &str| coverage(&ask(question).terms, text);
    assert_eq!(cover("pumps moved water", "A pump moves the water."), 1.0);
    assert_eq!(cover("station", "stationery"), 1.0);
    assert_eq!(cover("red pump", "reduction"), 0.0);
    assert_eq!(cover("who made it", ""), 0.0);
    assert_eq!(coverage(&Query::read("北京大学", Lexing::Trigrams).terms, "我在北京大学"), 1.0);
}

/// Questions on which full text is right about `lexical` of ten, the dense arm about `dense`.
fn dev(script: Script, n: usize, right: impl Fn(usize) -> (bool, bool)) -> Vec<DevQuery> {
    (0..n)
        .map(|n| {
            let (lexical, dense) = right(n);
            let candidates = vec![
                DevCandidate {
                    document: 0,
                    lexical: Some(9.0),
                    dense: Some(0.3),
                    coverage: 0.9,
                    grade: u32::from(lexical && !dense),
                },
                DevCandidate {
                    document: 1,
                    lexical: Some(3.0),
                    dense: Some(0.9),
                    coverage: 0.4,
                    grade: u32::from(dense && !lexical),
                },
                DevCandidate {
                    document: 2,
                    lexical: Some(8.0),
                    dense: Some(0.8),
                    coverage: 0.8,
                    grade: u32::from(dense && lexical),
                },
                DevCandidate { document: 3, lexical: Some(1.0), dense: Some(0.1), coverage: 0.1, grade: 0 },
            ];
            DevQuery { script: Some(script), candidates, missed: vec![1] }
        })
        .collect()
}

#[test]
fn a_fitted_gate_is_never_worse_than_the_better_arm() {
    let check = |right: fn(usize) -> (bool, bool)| {
        let fit = Gate::fit(&dev(Script::Latin, 40, right), &minilm());
        assert!(fit.fused >= fit.lexical.max(fit.dense) - 1e-12, "{fit:?}");
        fit.gate.dense_weight(&ask("pumps"), &two_arms(), &minilm())
    };
    assert_eq!(check(|_| (true, false)), (0.0, Reason::Fitted));
    assert_eq!(check(|_| (false, true)).1, Reason::Fitted);
    let (mixed, _) = check(|_| (true, true));
    assert!(mixed > 0.0 && mixed < 1.0, "{mixed}");
}

#[test]
fn a_mixture_has_to_be_better_by_more_than_chance() {
    // One question of forty is better off with a mixture.
    let fit = Gate::fit(&dev(Script::Latin, 40, |n| (true, n == 0)), &minilm());
    assert_eq!(fit.gate.dense_weight(&ask("pumps"), &two_arms(), &minilm()).0, 0.0);
}

#[test]
fn a_gate_is_fitted_for_the_scripts_that_were_asked_in() {
    let mut questions = dev(Script::Latin, 40, |_| (false, true));
    questions.extend(dev(Script::Arabic, 40, |_| (true, false)));
    questions.extend(dev(Script::Cyrillic, 3, |_| (true, false)));
    let fit = Gate::fit(&questions, &minilm());
    assert_eq!(fit.queries, 80);
    let weight = |text: &str| fit.gate.dense_weight(&ask(text), &two_arms(), &minilm());
    assert!(weight("pumps").0 > 0.5);
    assert_eq!(weight("مضخات"), (0.0, Reason::Fitted));
    assert_eq!(weight("насосы"), (0.0, Reason::UnknownScript));
}

#[test]
fn relevance_is_a_probability_once_it_is_fitted() {
    let fit = Gate::fit(&dev(Script::Latin, 60, |n| (n % 3 > 0, false)), &minilm());
    assert!(fit.gate.is_calibrated());
    let ranked = rank(&ask("water pumps"), &two_arms(), &fit.gate, &minilm(), &Settings::default());
    assert!(ranked.explain.calibrated);
    let by_chunk: BTreeMap<u64, f32> = ranked.hits.iter().map(|hit| (hit.chunk, hit.relevance)).collect();
    assert!(by_chunk[&1] > by_chunk[&3] && by_chunk[&1] < 1.0, "{by_chunk:?}");
}

#[test]
fn a_gate_is_a_line_of_text() {
    let fit = Gate::fit(&dev(Script::Latin, 60, |n| (n % 3 > 0, n % 2 > 0)), &minilm());
    assert_eq!(Gate::from_text(&fit.gate.to_text()), Some(fit.gate));
    assert_eq!(Gate::from_text(&Gate::untrained().to_text()), Some(Gate::untrained()));
    for wrong in [
        "",
        "gate-2",
        "gate-1 latin=2",
        "gate-1 latin=NaN",
        "gate-1 klingon=0.1",
        "gate-1 x",
        "gate-1 slope=inf",
    ] {
        assert_eq!(Gate::from_text(wrong), None, "{wrong}");
    }
}

fn judged_question() -> impl Strategy<Value = DevQuery> {
    let candidate = (0u32..6, prop::option::of(0f32..20.0), prop::option::of(-0.2f32..1.0), 0f32..1.0);
    let candidates = prop::collection::vec(candidate, 0..9);
    // A document has one grade, whichever of its parts was found.
    let grades = prop::collection::vec(0u32..3, 6);
    (prop::option::of(0usize..2), candidates, grades, prop::collection::vec(0u32..3, 0..3)).prop_map(
        |(script, candidates, grades, missed)| DevQuery {
            script: script.map(|n| [Script::Latin, Script::Arabic][n]),
            candidates: candidates
                .into_iter()
                .map(|(document, lexical, dense, coverage)| DevCandidate {
                    document,
                    lexical,
                    dense,
                    coverage,
                    grade: grades[document as usize],
                })
                .collect(),
            missed,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn whatever_was_judged_a_fitted_gate_is_never_below_the_better_arm(
        dev in prop::collection::vec(judged_question(), 0..90),
        semantic in any::<bool>(),
    ) {
        let embedder = if semantic { minilm() } else { Embedder::lexical_hash() };
        let fit = Gate::fit(&dev, &embedder);
        prop_assert!(fit.fused >= fit.lexical.max(fit.dense) - 1e-9, "{:?}", fit);
        prop_assert!(fit.gate.shares().all(|(_, share)| (0.0..=1.0).contains(&share)));
        prop_assert_eq!(Gate::from_text(&fit.gate.to_text()), Some(fit.gate.clone()), "it is kept as it is");
        prop_assert_eq!(Gate::fit(&dev, &embedder), fit, "the same again");
    }
}

proptest! {
    #[test]
    fn caps_hold_for_unknown_sources_whatever_the_scores(
        rows in prop::collection::vec((0u8..4, 0u8..4, 0u8..3, prop::option::of(0f32..9.0), prop::option::of(-1f32..1.0)), 0..60),
        k in 1usize..12,
    ) {
        let names = ["s0", "s1", "s2", "s3"];
        let texts: Vec<String> = (0..rows.len()).map(|n| format!("text number {n} about pump {}", n * 7919)).collect();
        let candidates: Vec<Candidate<'_>> = rows
            .iter()
            .zip(&texts)
            .enumerate()
            .map(|(n, ((source, batch, trust, lexical, dense), text))| Candidate {
                chunk: n as u64,
                lexical: *lexical,
                dense: *dense,
                rerank: None,
                graph: None,
                text,
                vector: None,
                source: names[*source as usize],
                batch: names[*batch as usize],
                trust: [Trust::Unknown, Trust::Known, Trust::Signed][*trust as usize],
                age_us: None,
            })
            .collect();
        let settings = Settings { k, ..Settings::default() };
        let ranked = rank(&ask("pump"), &candidates, &Gate::untrained(), &minilm(), &settings);
        let mut unknown: BTreeMap<&str, usize> = BTreeMap::new();
        for hit in ranked.hits.iter().filter(|hit| candidates[hit.at].trust == Trust::Unknown) {
            *unknown.entry(candidates[hit.at].source).or_default() += 1;
        }
        prop_assert!(unknown.values().all(|n| *n <= 2), "{:?}", unknown);
        prop_assert!(ranked.hits.len() <= k);
        // What is not given is accounted for.
        if ranked.explain.capped == 0 {
            prop_assert_eq!(ranked.hits.len(), k.min(candidates.len() - ranked.explain.copies));
        }
        prop_assert!(ranked.hits.iter().all(|hit| (0.0..=1.0).contains(&hit.relevance)));
    }
}
