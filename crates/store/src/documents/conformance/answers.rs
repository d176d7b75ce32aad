//! Answers that are given again.

use units::{AnswerId, Labels, TurnId};

use super::sample::{acl, document, later, opened, put, reader, shared, vector};
use crate::Error;
use crate::conformance::sample::id;
use crate::documents::{
    Answers, Dependency, Forgotten, Invalidated, NewAnswer, NewDocument, OBSERVATIONS_MAX, Reader, Speaker,
    Tenants, Trust, Turn,
};

fn answer(n: u64, dependencies: &[(&NewDocument, u32)]) -> NewAnswer {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&n.to_le_bytes());
    NewAnswer {
        id: AnswerId(id(5_000 + n)),
        partition: [1; 32],
        key,
        vector: vector(n),
        question: format!("question {n}"),
        body: format!("answer {n}").into_bytes(),
        labels: Labels::default(),
        cost_pico: 1_000,
        dependencies: dependencies
            .iter()
            .map(|(d, version)| Dependency { document: d.id, version: *version })
            .collect(),
        turns: Vec::new(),
        created: later(n),
        expires: later(1_000),
    }
}

fn given(tenant: &dyn Answers, reader: &Reader, answer: &NewAnswer) -> [bool; 3] {
    let now = later(100);
    let by_key = tenant.answer(reader, &answer.partition, &answer.key, now).expect("it reads");
    let by_id = tenant.answer_by_id(reader, answer.id, now).expect("it reads");
    let near = tenant.answer_vectors(reader, &answer.partition, now, 100).expect("they read");
    [by_key.is_some(), by_id.is_some(), near.iter().any(|a| a.id == answer.id)]
}

pub fn an_answer_needs_every_document(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let all = document(1, &["one"]);
    let adas = shared(2, &["two"], &["user:ada"]);
    put(&*tenant, all.clone());
    put(&*tenant, adas.clone());
    let (of_all, of_both, of_none) =
        (answer(1, &[(&all, 1)]), answer(2, &[(&all, 1), (&adas, 1)]), answer(3, &[]));
    for new in [&of_all, &of_both, &of_none] {
        assert!(tenant.keep_answer(new.clone()).expect("it is sound"));
    }
    let (ada, eve) = (reader(&["user:ada"]), reader(&["user:eve"]));
    for (new, adas, eves) in [(&of_all, true, true), (&of_both, true, false), (&of_none, true, true)] {
        assert_eq!(given(&*tenant, &ada, new), [adas; 3], "{new:?}");
        assert_eq!(given(&*tenant, &eve, new), [eves; 3], "{new:?}");
    }
    let stranger = Reader::new(super::sample::team(2), []);
    assert_eq!(given(&*tenant, &stranger, &of_none), [false; 3]);
    // What is shared otherwise changes who is given it, at once and without a new version.
    tenant.share(&ada, adas.id, &acl(&["team"])).expect("it is there");
    assert_eq!(given(&*tenant, &eve, &of_both), [true; 3]);
    tenant.share(&ada, all.id, &acl(&["user:eve"])).expect("it is there");
    assert_eq!(given(&*tenant, &ada, &of_both), [false; 3]);
    assert_eq!(given(&*tenant, &ada, &of_all), [false; 3]);
    let read =
        tenant.answer(&eve, &of_all.partition, &of_all.key, later(0)).expect("it reads").expect("hers");
    assert_eq!((read.id, &read.body, &read.question), (of_all.id, &of_all.body, &of_all.question));
    assert_eq!((read.dependencies, read.cost_pico), (of_all.dependencies.clone(), 1_000));
}

pub fn an_answer_goes_with_a_documents_change(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let (first, second) = (document(1, &["one"]), document(2, &["two"]));
    let fill = |versions: [u32; 2]| {
        put(&*tenant, second.clone());
        let all = [
            answer(1, &[(&first, versions[0])]),
            answer(2, &[(&first, versions[0]), (&second, versions[1])]),
            answer(3, &[(&second, versions[1])]),
        ];
        for new in &all {
            let _ = tenant.revoke_answer(new.id);
            assert!(tenant.keep_answer(new.clone()).expect("it is sound"));
        }
        all
    };
    put(&*tenant, first.clone());
    let all = fill([1, 1]);
    let left = || all.each_ref().map(|new| given(&*tenant, &reader(&[]), new) == [true; 3]);
    assert_eq!(left(), [true; 3]);
    // Put again, it is as it was.
    put(&*tenant, first.clone());
    assert_eq!(left(), [true; 3]);
    let replaced = put(&*tenant, document(1, &["another"]));
    assert_eq!(replaced.invalidated, Invalidated { answers: 2, facts: 0, edges: 0 });
    assert_eq!(left(), [false, false, true]);
    fill([2, 1]);
    let retitled = NewDocument { title: "Another".into(), ..document(1, &["another"]) };
    assert_eq!(put(&*tenant, retitled.clone()).invalidated.answers, 2);
    assert_eq!(left(), [false, false, true]);
    fill([3, 1]);
    let held = NewDocument { trust: Trust::Quarantined, ..retitled };
    assert_eq!(put(&*tenant, held).invalidated.answers, 2);
    fill([4, 1]);
    let removed = tenant.remove(&[second.id]).expect("it goes");
    assert_eq!(removed[0].invalidated.answers, 2);
    assert_eq!(left(), [true, false, false]);
    let removed = tenant.remove_collection(first.collection).expect("it goes").expect("it was there");
    assert_eq!(removed.answers, 1);
    assert_eq!(left(), [false; 3]);
}

pub fn an_answer_of_an_older_version_is_not_kept(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let first = document(1, &["one"]);
    put(&*tenant, first.clone());
    put(&*tenant, document(1, &["another"]));
    // Made from the first version while the second was put.
    let late = answer(1, &[(&first, 1)]);
    assert!(!tenant.keep_answer(late.clone()).expect("it is sound"));
    assert_eq!(given(&*tenant, &reader(&[]), &late), [false; 3]);
    assert!(!tenant.keep_answer(answer(2, &[(&document(9, &[]), 1)])).expect("it is sound"));
    assert!(tenant.keep_answer(answer(3, &[(&first, 2), (&first, 2)])).expect("twice is once"));
}

pub fn answers_live_and_die(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let who = reader(&[]);
    for n in 1..=3 {
        assert!(tenant.keep_answer(answer(n, &[])).expect("it is sound"));
    }
    assert!(matches!(tenant.keep_answer(answer(1, &[])), Err(Error::Exists { .. })));
    let better =
        NewAnswer { id: AnswerId(id(6_000)), body: b"better".into(), vector: Vec::new(), ..answer(2, &[]) };
    assert!(tenant.keep_answer(better.clone()).expect("it is sound"));
    let read = tenant
        .answer(&who, &better.partition, &better.key, later(0))
        .expect("it reads")
        .expect("it is there");
    assert_eq!((read.id, &*read.body), (better.id, &b"better"[..]));
    assert_eq!(tenant.answer_by_id(&who, answer(2, &[]).id, later(0)).expect("it reads"), None);
    let near = |limit| -> Vec<AnswerId> {
        let all = tenant.answer_vectors(&who, &[1; 32], later(0), limit).expect("they read");
        all.into_iter().map(|a| a.id).collect()
    };
    assert_eq!(near(10), [answer(3, &[]).id, answer(1, &[]).id], "the newest first, none without a vector");
    assert_eq!(near(1), [answer(3, &[]).id]);
    assert_eq!(
        tenant.answer_vectors(&who, &[2; 32], later(0), 9).expect("they read"),
        [],
        "another partition"
    );
    let other =
        NewAnswer { id: AnswerId(id(6_001)), partition: [2; 32], expires: later(10), ..answer(3, &[]) };
    assert!(tenant.keep_answer(other.clone()).expect("it is sound"));
    assert!(tenant.answer(&who, &[2; 32], &other.key, later(9)).expect("it reads").is_some());
    assert!(tenant.answer(&who, &[2; 32], &other.key, later(10)).expect("it reads").is_none());
    assert!(tenant.answer_by_id(&who, other.id, later(10)).expect("it reads").is_none());
    assert_eq!(tenant.expire_answers(later(10)).expect("they go"), 1);
    assert_eq!(tenant.expire_answers(later(10)).expect("they went"), 0);
    assert!(tenant.revoke_answer(answer(3, &[]).id).expect("it goes"));
    assert!(!tenant.revoke_answer(answer(3, &[]).id).expect("it went"));
    assert_eq!(near(10), [answer(1, &[]).id]);
    let large = NewAnswer { body: vec![0; (1 << 20) + 1], ..answer(9, &[]) };
    assert!(matches!(tenant.keep_answer(large), Err(Error::Invalid(_))));
}

pub fn an_answer_goes_with_its_turns(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let turn = |n: u64, owner: &str, conversation: &str| Turn {
        id: TurnId(id(7_000 + n)),
        owner: owner.parse().expect("a subject"),
        conversation: conversation.into(),
        speaker: Speaker::User,
        text: "I am here.".into(),
        labels: "confidential eu user".parse().expect("labels"),
        at: later(n),
    };
    let all = vec![turn(1, "user:ada", "c1"), turn(2, "user:ada", "c2"), turn(3, "user:eve", "c1")];
    tenant.remember(all.clone()).expect("they are sound");
    let of = |n, turns: &[usize]| NewAnswer {
        turns: turns.iter().map(|t| all[*t].id).collect(),
        ..answer(n, &[])
    };
    let (first, both, mixed) = (of(1, &[0]), of(2, &[1, 0, 1]), of(3, &[0, 2]));
    for new in [&first, &both, &mixed] {
        assert!(tenant.keep_answer(new.clone()).expect("it is sound"));
    }
    let (ada, eve) = (reader(&["user:ada"]), reader(&["user:eve"]));
    assert_eq!(given(&*tenant, &ada, &both), [true; 3], "labels come back with the turn");
    for who in [&eve, &reader(&[]), &Reader::new(super::sample::team(2), [])] {
        assert_eq!(given(&*tenant, who, &first), [false; 3], "another's turns");
    }
    assert_eq!(given(&*tenant, &ada, &mixed), [false; 3], "one of them is another's");
    let read = tenant.answer_by_id(&ada, both.id, later(0)).expect("it reads").expect("hers");
    assert_eq!(read.turns, [all[0].id, all[1].id]);
    let forgotten = tenant.forget(&ada, Some("c2")).expect("it goes");
    assert_eq!(forgotten, Forgotten { turns: 1, facts: 0, answers: 1 });
    assert_eq!(given(&*tenant, &ada, &both), [false; 3]);
    assert_eq!(given(&*tenant, &ada, &first), [true; 3]);
    assert!(!tenant.keep_answer(both).expect("it is sound"), "a turn was forgotten meanwhile");
    assert_eq!(tenant.forget(&ada, None).expect("it goes").answers, 2, "also the one of two people");
}

pub fn an_answer_has_a_record_of_near_questions(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let who = reader(&[]);
    let adas = shared(1, &["one"], &["user:ada"]);
    put(&*tenant, adas.clone());
    let (of_all, of_ada) = (answer(1, &[]), answer(2, &[(&adas, 1)]));
    for new in [&of_all, &of_ada] {
        assert!(tenant.keep_answer(new.clone()).expect("it is sound"));
        assert!(tenant.observe_answer(new.id, 0.5, true).expect("it is noted"));
    }
    assert!(tenant.observe_answer(of_all.id, 0.25, false).expect("it is noted"));
    let of =
        |reader: &Reader, new: &NewAnswer| tenant.observations(reader, new.id, later(0)).expect("they read");
    assert_eq!(of(&who, &of_all), [(0.5, true), (0.25, false)]);
    assert_eq!(of(&who, &of_ada), [], "not the reader's to be given");
    assert_eq!(of(&reader(&["user:ada"]), &of_ada), [(0.5, true)]);
    for _ in 0..OBSERVATIONS_MAX {
        assert!(tenant.observe_answer(of_all.id, 1.0, true).expect("it is noted"));
    }
    assert_eq!(of(&who, &of_all), vec![(1.0, true); OBSERVATIONS_MAX], "the oldest went");
    assert!(tenant.revoke_answer(of_all.id).expect("it goes"));
    assert!(!tenant.observe_answer(of_all.id, 1.0, true).expect("it went"));
    assert!(tenant.keep_answer(of_all.clone()).expect("it is sound"));
    assert_eq!(of(&who, &of_all), [], "another answer, another record");
}
