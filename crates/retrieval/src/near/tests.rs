use std::sync::Arc;

use context::embed::lexical_hash;
use store::documents::{Acl, MemoryTenants, NewAnswer, Subject};
use units::{Labels, TurnId, Uuid7};

use super::*;
use crate::tests::NoModel;
use crate::{Content, Wish};

const NOW: Micros = Micros(1_795_449_600_000_000);
const DELTA: f64 = 0.01;

fn team() -> TeamId {
    TeamId(Uuid7::from_bytes([1; 16]))
}

fn reader(names: &[&str]) -> Reader {
    Reader::new(team(), names.iter().map(|name| Subject::user(name)))
}

fn collections() -> Collections {
    Collections::new(Arc::new(MemoryTenants::new()))
}

fn keep(collections: &Collections, text: &str, documents: Vec<Dependency>, turns: Vec<TurnId>) -> AnswerId {
    let id = AnswerId(runtime::new_id());
    let answer = NewAnswer {
        id,
        partition: [1; 32],
        key: runtime::random::bytes(),
        vector: lexical_hash(text),
        question: text.into(),
        body: b"{}".to_vec(),
        labels: Labels::default(),
        cost_pico: 1,
        dependencies: documents,
        turns,
        created: NOW,
        expires: NOW.plus_us(1_000_000),
    };
    assert!(collections.keep_answer(team(), answer).expect("it is kept"));
    id
}

fn asked(
    collections: &Collections,
    who: &Reader,
    text: &str,
    documents: &[Dependency],
    draw: f64,
) -> Nearest {
    let vector = lexical_hash(text);
    let question = Question { partition: &[1; 32], text, vector: &vector, documents };
    collections.near_answer(who, &question, DELTA, draw, NOW).expect("it reads")
}

/// The kept answer that a question finds, given or not.
fn found(nearest: &Nearest) -> Option<AnswerId> {
    match nearest {
        Nearest::Nothing => None,
        Nearest::Give(kept) | Nearest::Judge(kept) => Some(kept.answer.id),
    }
}

/// A small generator: the stream must be the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[test]
fn only_the_same_words_with_the_same_numbers_names_and_negations_are_near() {
    let collections = collections();
    let kept = keep(&collections, "how many days of leave are there in Norway", Vec::new(), Vec::new());
    let who = reader(&[]);
    for text in [
        "please, how many days of leave are there in Norway",
        "Could you tell me how many days of leave are there in Norway?",
    ] {
        assert_eq!(found(&asked(&collections, &who, text, &[], 0.5)), Some(kept), "{text}");
    }
    for text in [
        "how many days of leave are there in Sweden",
        "how many days of leave are not there in Norway",
        "how many 3 days of leave are there in Norway",
        "how many weeks of leave are there in Norway",
        "in Norway are there how many days of leave",
        "",
    ] {
        assert_eq!(found(&asked(&collections, &who, text, &[], 0.0)), None, "{text}");
    }
}

#[test]
fn a_record_decides_how_often_an_answer_is_given() {
    let collections = collections();
    let kept = keep(&collections, "where is the pump", Vec::new(), Vec::new());
    let who = reader(&[]);
    let gives =
        |draw| matches!(asked(&collections, &who, "please where is the pump", &[], draw), Nearest::Give(_));
    assert!(gives(0.009) && !gives(0.011), "of a new answer nothing is known: one in a hundred");
    for _ in 0..500 {
        collections.judge_answer(team(), kept, 0.9, true).expect("it is noted");
    }
    assert!(gives(0.999), "right 500 times in a row");
    let (n, right, at_least) = collections.judged(&who, kept, NOW).expect("they read");
    assert_eq!((n, right, at_least > 0.99), (500, 500, true));
    for _ in 0..50 {
        collections.judge_answer(team(), kept, 0.9, false).expect("it is noted");
    }
    assert!(!gives(0.2));
}

/// Ten questions whose answers are right for near ones always, mostly, or hardly ever.
#[test]
fn over_a_stream_the_share_of_wrong_answers_stays_below_delta() {
    let collections = collections();
    let who = reader(&[]);
    let truths = [1.0, 1.0, 1.0, 0.999, 0.99, 0.97, 0.9, 0.7, 0.4, 0.1];
    let ids: Vec<AnswerId> = (0..truths.len())
        .map(|n| keep(&collections, &format!("where is pump {n}"), Vec::new(), Vec::new()))
        .collect();
    let mut random = Random(0x5eed_cafe);
    let (mut wrong, mut given, total) = (0u32, 0u32, 4_000u32);
    for _ in 0..total {
        let n = (random.next() * truths.len() as f64) as usize;
        let right = random.next() < truths[n];
        match asked(&collections, &who, &format!("please where is pump {n}"), &[], random.next()) {
            Nearest::Give(kept) => {
                assert_eq!(kept.answer.id, ids[n]);
                given += 1;
                wrong += u32::from(!right);
            }
            Nearest::Judge(kept) => {
                collections
                    .judge_answer(team(), kept.answer.id, kept.similarity, right)
                    .expect("it is noted");
            }
            Nearest::Nothing => panic!("question {n} finds its answer"),
        }
    }
    // The upper end at 95 % of what a share of δ brings: mean and 1.645 deviations.
    let mean = f64::from(total) * DELTA;
    let most = mean + 1.645 * (mean * (1.0 - DELTA)).sqrt();
    assert!(f64::from(wrong) <= most, "{wrong} wrong of {given} given, {total} asked; at most {most}");
    assert!(given > total / 10, "it is worth something: {given} of {total} given");
}

/// Readers, documents and turns at random: whoever may not read all of an answer never finds it.
#[test]
fn nobody_finds_an_answer_of_what_they_may_not_read() {
    let collections = collections();
    let wish = Wish {
        name: "handbook".into(),
        language: "en".into(),
        lexing: None,
        acl: Acl::team(),
        labels: Labels::default(),
        embedder: None,
        graph: false,
        ranking: crate::Ranking::default(),
    };
    collections.create(team(), &wish, NOW).expect("created");
    let names = ["ada", "eve", "max"];
    let collection = collections.find(&reader(&[]), "handbook").expect("it is there");
    let put = |n: usize, readers: &[&str]| {
        let (source, text) = (format!("{n}.md"), format!("text {n}"));
        let content = Content {
            source: &source,
            title: None,
            media_type: "",
            bytes: text.as_bytes(),
            acl: Some(Acl::new(readers.iter().map(|name| Subject::user(name))).expect("somebody")),
            labels: Labels::default(),
            batch: "b",
            modified: None,
        };
        let stored = collections.put(&reader(&names), &collection, &content, &NoModel, NOW).expect("put");
        Dependency { document: stored.put.document, version: stored.put.version }
    };
    let mut random = Random(0x00c0_ffee);
    let mut hits = 0;
    for n in 0..60 {
        let readers: Vec<&str> =
            names.iter().copied().filter(|_| random.next() < 0.5).chain(["ada"]).collect();
        let document = put(n, &readers);
        let turn = (random.next() < 0.3).then(|| {
            let id = TurnId(runtime::new_id());
            let heard = crate::Heard {
                id,
                speaker: store::documents::Speaker::User,
                text: "where".into(),
                labels: Labels::default(),
            };
            collections.remember(&reader(&["ada"]), "c", vec![heard], false, NOW).expect("it is kept");
            id
        });
        let text = format!("where is pump {n}");
        let kept = keep(&collections, &text, vec![document], turn.into_iter().collect());
        for name in names {
            let may = readers.contains(&name) && (turn.is_none() || name == "ada");
            let near = asked(&collections, &reader(&[name]), &format!("please {text}"), &[document], 0.0);
            assert_eq!(found(&near), may.then_some(kept), "{name} of {readers:?}");
            hits += u32::from(may);
            let alone = asked(&collections, &reader(&[name]), &format!("please {text}"), &[], 0.0);
            assert_eq!(found(&alone), None, "{name} was given other documents to read");
        }
        let stranger =
            Reader::new(TeamId(Uuid7::from_bytes([2; 16])), names.iter().map(|n| Subject::user(n)));
        assert_eq!(found(&asked(&collections, &stranger, &format!("please {text}"), &[document], 0.0)), None);
    }
    assert!(hits > 60, "{hits} questions were near and allowed");
}
