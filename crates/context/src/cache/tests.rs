use proptest::prelude::*;

use super::*;

fn id(n: u8) -> Uuid7 {
    Uuid7::from_bytes([n; 16])
}

#[test]
fn trap_r5_what_differs_in_its_partition_shares_nothing() {
    let one = Partition {
        owner: "",
        labels: "internal",
        model: "small",
        system: "Be brief.",
        tools: "[]",
        collection: "c",
        parameters: "1",
        policy: b"p1",
    };
    let others = [
        Partition { owner: "user:ada", ..one },
        Partition { labels: "secret", ..one },
        Partition { model: "large", ..one },
        Partition { system: "Be brief. ", ..one },
        Partition { tools: "[{}]", ..one },
        Partition { collection: "d", ..one },
        Partition { parameters: "2", ..one },
        Partition { policy: b"p2", ..one },
        // The same bytes, parted elsewhere.
        Partition { labels: "internals", model: "mall", ..one },
    ];
    for other in others {
        assert_ne!(one.key(), other.key(), "{other:?}");
    }
    assert_eq!(one.key(), one.key());
}

#[test]
fn the_key_is_of_the_question_and_its_context() {
    let turns = [Turn { role: "user", text: "What is due?" }];
    let context = |n, version, chunk| ContextId { document: id(n), version, chunk };
    let (a, b) = (context(1, 1, 7), context(2, 1, 9));
    let key = exact_key(&turns, &[a, b], "{}");
    assert_eq!(key, exact_key(&turns, &[b, a, b], "{}"));
    let padded = [Turn { role: "user", text: "What is\u{200B} due?  \r\n" }];
    assert_eq!(key, exact_key(&padded, &[a, b], "{}"));
    let other = [
        exact_key(&[Turn { role: "user", text: "what is due?" }], &[a, b], "{}"),
        exact_key(&[Turn { role: "assistant", text: "What is due?" }], &[a, b], "{}"),
        exact_key(&turns, &[a, context(2, 2, 9)], "{}"),
        exact_key(&turns, &[a], "{}"),
        exact_key(&turns, &[a, b], "{\"temperature\":1}"),
    ];
    assert!(other.iter().all(|other| *other != key));
}

#[test]
fn an_answer_is_given_to_whoever_may_read_all_that_it_was_made_from() {
    let dependencies = [(id(1), 3), (id(2), 1)];
    let reads = |documents: &'static [(u8, u32)]| {
        may_serve(&dependencies, move |asked| {
            documents.iter().find(|(n, _)| id(*n) == asked).map(|(_, v)| *v)
        })
    };
    assert_eq!(reads(&[(1, 3), (2, 1), (3, 1)]), Ok(()));
    assert_eq!(reads(&[(1, 3)]), Err(Refused::NotReadable(id(2))));
    assert_eq!(reads(&[(1, 4), (2, 1)]), Err(Refused::Changed { document: id(1), kept: 3, now: 4 }));
    // Not even an older version, which a restored backup could bring.
    assert!(reads(&[(1, 2), (2, 1)]).is_err());
    assert_eq!(may_serve(&[], |_| None), Ok(()));
}

#[test]
fn tools_and_personal_data_are_never_near() {
    assert!(may_be_near(Nature::default()));
    for nature in [
        Nature { tools: true, ..Nature::default() },
        Nature { personal: true, ..Nature::default() },
        Nature { turns: true, ..Nature::default() },
        Nature { fresh: true, ..Nature::default() },
    ] {
        assert!(!may_be_near(nature), "{nature:?}");
    }
}

#[test]
fn politeness_is_no_difference() {
    let same = [
        ("What is the capital of France?", "what is the capital of france"),
        ("Please tell me the capital of France.", "Capital of France"),
        ("Hi! Could you tell me how the pump is sealed?", "How is the pump sealed?"),
    ];
    assert_eq!(near(same[0].0, same[0].1), Near::Equal);
    assert_eq!(near(same[1].0, same[1].1), Near::Equal);
    // Another order of words is another question as far as this can tell.
    assert_eq!(near(same[2].0, same[2].1), Near::Differs(Difference::Words));
}

#[test]
fn what_matters_is_a_difference() {
    let check = |a: &str, b: &str, difference: Difference| {
        assert_eq!(near(a, b), Near::Differs(difference), "{a} / {b}");
        assert_eq!(near(b, a), Near::Differs(difference), "{b} / {a}");
    };
    check("revenue in 2023", "revenue in 2024", Difference::Numbers);
    check("rate of 1.5 percent", "rate of 15 percent", Difference::Numbers);
    check("convert 1.500 kg", "convert 1,500 kg", Difference::Words);
    check("convert -5 degrees", "convert 5 degrees", Difference::Words);
    check("can dogs eat grapes", "can't dogs eat grapes", Difference::Negation);
    check("drugs that are safe", "drugs that are not safe", Difference::Negation);
    check("the capital of France", "the capital of Spain", Difference::Entities);
    check("flights from Paris to Rome", "flights from Rome to Paris", Difference::Words);
    check("flights to Paris", "flights from Paris", Difference::Words);
    check("who is the president", "who was the president", Difference::Words);
    check("do they trust us", "do they trust US", Difference::Words);
    check("C pointers", "C++ pointers", Difference::Words);
    check("???", "pumps", Difference::Empty);
    // Nothing is left when an opening is all there is.
    check("can you", "could you", Difference::Words);
}

#[test]
fn a_new_entry_is_judged_before_it_is_trusted() {
    let bound = Bound::new();
    assert_eq!(bound.right_at_least(1.0), 0.0);
    assert_eq!(bound.decide(1.0, DELTA, 0.5), Decision::Ask);
    // One in a hundred: what it costs to learn.
    assert_eq!(bound.decide(1.0, DELTA, 0.0099), Decision::Serve);
    assert_eq!(bound.decide(1.0, DELTA, f64::NAN), Decision::Ask);
    assert_eq!(bound.decide(f32::NAN, DELTA, 0.0), Decision::Ask);
}

#[test]
fn a_record_of_right_answers_earns_trust_from_its_similarity_on() {
    let mut bound = Bound::new();
    for _ in 0..460 {
        bound.observe(0.96, true);
    }
    // With 460 of 460 at a risk of 1 % the bound is 0.01^(1/460) = 0.99.
    assert!((bound.right_at_least(0.97) - 0.99004).abs() < 1e-4, "{}", bound.right_at_least(0.97));
    assert_eq!(bound.decide(0.97, DELTA, 0.99), Decision::Serve);
    assert_eq!(bound.right_at_least(0.9), 0.0);
    assert_eq!(bound.decide(0.9, DELTA, 0.5), Decision::Ask);
    // A stricter caller is heard, a laxer one is not.
    assert_eq!(bound.decide(0.97, 0.001, 0.5), Decision::Ask);
    assert_eq!(bound.decide(0.9, 0.9, 0.5), Decision::Ask);
}

#[test]
fn wrong_answers_take_trust_away() {
    let mut bound = Bound::new();
    for n in 0..100 {
        bound.observe(0.96, n % 10 != 0);
    }
    let right = bound.right_at_least(0.99);
    assert!(right > 0.75 && right < 0.9, "{right}");
    assert_eq!(bound.decide(0.99, DELTA, 0.1), Decision::Ask);
}

#[test]
fn a_record_is_a_line_of_text() {
    let mut bound = Bound::new();
    bound.observe(0.5, true);
    bound.observe(-0.25, false);
    bound.observe(f32::NAN, true);
    assert_eq!(bound.to_text(), "bound-1 0.5+ -0.25-");
    assert_eq!(Bound::from_text(&bound.to_text()), Some(bound));
    for wrong in ["", "bound-2", "bound-1 x+", "bound-1 0.5", "bound-1 NaN+"] {
        assert_eq!(Bound::from_text(wrong), None, "{wrong}");
    }
    let mut full = Bound::new();
    (0..600).for_each(|_| full.observe(0.9, true));
    assert_eq!(full.observations(), OBSERVATIONS_MAX);
}

/// Over many questions the expected share of wrong answers among all that are answered
/// stays below δ, whatever the entry's real chance is. The seeds are fixed: of random ones
/// some would break a bound that holds 95 times in 100.
#[test]
fn the_error_stays_below_delta() {
    const QUESTIONS: usize = 100;
    for chance in [0.0, 0.2, 0.5, 0.8, 0.9, 0.97, 0.99] {
        let mut wrong = 0.0;
        for seed in 1..=20u64 {
            let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mut draw = || {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                (random >> 11) as f64 / (1u64 << 53) as f64
            };
            let mut bound = Bound::new();
            for _ in 0..QUESTIONS {
                let served = (DELTA / (1.0 - bound.right_at_least(0.95))).min(1.0);
                wrong += served * (1.0 - chance) / (20 * QUESTIONS) as f64;
                let drawn = draw();
                let decision = bound.decide(0.95, DELTA, drawn);
                assert_eq!(decision == Decision::Serve, drawn < served, "{drawn} of {served}");
                if decision == Decision::Ask {
                    bound.observe(0.95, draw() < chance);
                }
            }
        }
        assert!(wrong <= DELTA, "{wrong} at {chance}");
    }
}

proptest! {
    #[test]
    fn near_is_symmetric_and_reflexive(a in "[a-zA-Z0-9 .,?'-]{0,40}", b in "[a-zA-Z0-9 .,?'-]{0,40}") {
        prop_assert_eq!(near(&a, &b), near(&b, &a));
        prop_assert!(matches!(near(&a, &a), Near::Equal | Near::Differs(Difference::Empty)));
    }
}
