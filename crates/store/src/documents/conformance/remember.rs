//! Turns and facts.

use units::{FactId, Labels, Micros, TurnId};

use super::sample::{document, opened, put, reader, shared};
use crate::Error;
use crate::conformance::sample::{at, id};
use crate::documents::{
    Conversation, Fact, Forgotten, Memory, NewFact, Reader, Span, Speaker, Subject, Tenants, Turn,
};

fn turn(n: u64, owner: &str, conversation: &str, speaker: Speaker, text: &str) -> Turn {
    Turn {
        id: TurnId(id(7_000 + n)),
        owner: owner.parse().expect("a subject"),
        conversation: conversation.into(),
        speaker,
        text: text.into(),
        labels: Labels::default(),
        at: at(n),
    }
}

/// Of user ada's turn `of`: valid from `from` on, recorded at `recorded`.
fn fact(n: u64, of: u64, value: &str, from: i64, recorded: i64) -> NewFact {
    NewFact {
        id: FactId(id(8_000 + n)),
        owner: "user:ada".parse().expect("a subject"),
        about: "ada".into(),
        relation: "works at".into(),
        value: value.into(),
        valid_from: Micros(from),
        valid_to: None,
        recorded: Micros(recorded),
        turn: TurnId(id(7_000 + of)),
        span: Span { start: 0, end: 5 },
        document: None,
        replaces: Vec::new(),
    }
}

fn values(facts: Vec<Fact>) -> Vec<String> {
    facts.into_iter().map(|f| f.value).collect()
}

fn held(tenant: &dyn Memory, reader: &Reader, valid: i64, known: i64) -> Vec<String> {
    values(tenant.facts(reader, Micros(valid), Micros(known), 10).expect("they read"))
}

pub fn a_memory_is_its_owners_alone(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let turns = vec![
        turn(1, "user:ada", "c1", Speaker::User, "The engines are my favourites."),
        turn(2, "user:ada", "c1", Speaker::Assistant, "Noted: engines."),
        turn(3, "user:eve", "c1", Speaker::User, "My engine is another."),
        turn(4, "user:ada", "c2", Speaker::User, "Pumps bore me."),
    ];
    tenant.remember(turns.clone()).expect("they are sound");
    assert!(matches!(tenant.remember(vec![turns[0].clone()]), Err(Error::Exists { .. })));
    let (ada, eve) = (reader(&["user:ada"]), reader(&["user:eve"]));
    let of =
        |who: &Reader, conversation: &str, limit| tenant.turns(who, conversation, limit).expect("they read");
    assert_eq!(of(&ada, "c1", 10), turns[..2]);
    assert_eq!(of(&ada, "c1", 1), turns[1..2], "the newest");
    assert_eq!(of(&eve, "c1", 10), turns[2..3]);
    assert_eq!(of(&eve, "c2", 10), []);
    assert_eq!(of(&reader(&[]), "c1", 10), []);
    let agent = reader(&["key:019a5c1e-7b1c-7c7e-9a51-0d6f5e0b7a11"]).within([Subject::user("ada")]);
    assert_eq!(of(&agent, "c1", 10), [], "an agent is not its user");
    let search = |who: &Reader, term: &str| -> Vec<TurnId> {
        let hits = tenant.search_turns(who, None, &[term.to_owned()], 10).expect("it searches");
        hits.into_iter().map(|hit| hit.turn.id).collect()
    };
    let mut found = search(&ada, "engine");
    found.sort();
    assert_eq!(found, [turns[0].id, turns[1].id]);
    assert_eq!(search(&eve, "engine"), [turns[2].id]);
    assert_eq!(search(&eve, "pumps"), []);
    let stranger = Reader::new(super::sample::team(2), [Subject::user("ada")]);
    assert_eq!(search(&stranger, "engine"), []);
    let within = |conversation| {
        let hits = tenant.search_turns(&ada, Some(conversation), &["pumps".into()], 10).expect("it searches");
        hits.len()
    };
    assert_eq!((within("c1"), within("c2")), (0, 1));
    let one = |who: &Reader| tenant.turn(who, turns[0].id).expect("it reads");
    assert_eq!((one(&ada), one(&eve), one(&stranger)), (Some(turns[0].clone()), None, None));
    let all = |who: &Reader, after, limit| tenant.all_turns(who, after, limit).expect("they read");
    assert_eq!(all(&ada, None, 2), turns[..2]);
    assert_eq!(all(&ada, Some(turns[1].id), 2), turns[3..]);
    assert_eq!(all(&ada, Some(turns[2].id), 2), [], "another's is as if it were not there");
    assert_eq!(all(&stranger, None, 9), []);
    let named = |who: &Reader| tenant.conversations(who, 9).expect("they read");
    let c2 = Conversation { name: "c2".into(), turns: 1, began: turns[3].at, last: turns[3].at };
    let c1 = Conversation { name: "c1".into(), turns: 2, began: turns[0].at, last: turns[1].at };
    assert_eq!(named(&ada), [c2, c1], "the newest first");
    assert_eq!((named(&eve).len(), named(&agent), named(&stranger)), (1, vec![], vec![]));
    assert_eq!(tenant.conversations(&ada, 1).expect("they read").len(), 1);
    assert_eq!(tenant.forget(&agent, None).expect("nothing is its own"), Forgotten::default());
    assert_eq!(tenant.forget(&stranger, None).expect("nothing is theirs"), Forgotten::default());
    for wrong in [turn(9, "user:ada", "", Speaker::User, "x"), turn(9, "user:ada", "c", Speaker::User, "")] {
        assert!(matches!(tenant.remember(vec![wrong]), Err(Error::Invalid(_))));
    }
}

pub fn a_fact_needs_the_users_own_words(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    tenant
        .remember(vec![
            turn(1, "user:ada", "c1", Speaker::User, "I work at Acme now."),
            turn(2, "user:ada", "c1", Speaker::Assistant, "You work at Acme."),
            turn(3, "user:eve", "c1", Speaker::User, "Ada works at Evil."),
        ])
        .expect("they are sound");
    let refused = |new: NewFact| matches!(tenant.record_fact(new), Err(Error::Missing { .. }));
    assert!(refused(fact(1, 2, "Acme", 0, 1)), "the assistant said it");
    assert!(refused(fact(1, 3, "Evil", 0, 1)), "somebody else said it");
    assert!(refused(fact(1, 9, "Acme", 0, 1)), "nobody said it");
    assert!(
        refused(NewFact { span: Span { start: 0, end: 20 }, ..fact(1, 1, "Acme", 0, 1) }),
        "not in those words"
    );
    assert!(
        refused(NewFact { document: Some(document(1, &[]).id), ..fact(1, 1, "Acme", 0, 1) }),
        "no such document"
    );
    tenant.record_fact(fact(1, 1, "Acme", 0, 1)).expect("the user said it");
    assert!(matches!(tenant.record_fact(fact(1, 1, "Acme", 0, 1)), Err(Error::Exists { .. })));
    let ada = reader(&["user:ada"]);
    let all = tenant.all_facts(&ada, 10).expect("they read");
    assert_eq!(
        (all.len(), all[0].turn, all[0].span.end),
        (1, turn(1, "user:ada", "", Speaker::User, "").id, 5)
    );
    assert_eq!(tenant.all_facts(&reader(&["user:eve"]), 10).expect("they read"), []);
    let backwards = NewFact { valid_to: Some(Micros(-5)), ..fact(2, 1, "x", 0, 1) };
    assert!(matches!(tenant.record_fact(backwards), Err(Error::Invalid(_))));
}

pub fn facts_have_two_times(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    tenant
        .remember(vec![turn(1, "user:ada", "c1", Speaker::User, "I work at Acme, later Brick, then Corp.")])
        .expect("it is sound");
    let first = fact(1, 1, "Acme", 100, 1_000);
    tenant.record_fact(first.clone()).expect("she said it");
    // Told at 2,000 that she had moved at 200.
    let second = NewFact { replaces: vec![first.id], ..fact(2, 1, "Brick", 200, 2_000) };
    tenant.record_fact(second.clone()).expect("she said it");
    let ada = reader(&["user:ada"]);
    let cases: [(i64, i64, &[&str]); 8] = [
        (50, 3_000, &[]),
        (150, 3_000, &["Acme"]),
        (200, 3_000, &["Brick"]),
        (900, 3_000, &["Brick"]),
        (900, 1_500, &["Acme"]),
        (150, 1_500, &["Acme"]),
        (150, 999, &[]),
        (199, 2_000, &["Acme"]),
    ];
    for (valid, known, expected) in cases {
        assert_eq!(held(&*tenant, &ada, valid, known), expected, "valid {valid}, known {known}");
    }
    let all = tenant.all_facts(&ada, 10).expect("they read");
    assert_eq!(all.len(), 2, "nothing is lost");
    let ended = all[1].ended.expect("Acme ended");
    assert_eq!((ended.at, ended.recorded, ended.by), (Micros(200), Micros(2_000), second.id));
    // A fact that ends by itself.
    let third = NewFact { valid_to: Some(Micros(400)), ..fact(3, 1, "Corp", 300, 2_500) };
    tenant.record_fact(third).expect("she said it");
    assert_eq!(held(&*tenant, &ada, 399, 3_000), ["Corp", "Brick"]);
    assert_eq!(held(&*tenant, &ada, 400, 3_000), ["Brick"]);
    // Another's facts are not ended by hers.
    let eves = NewFact { owner: "user:eve".parse().expect("a subject"), ..fact(4, 2, "Evil", 0, 2_600) };
    tenant.remember(vec![turn(2, "user:eve", "c1", Speaker::User, "I am here.")]).expect("it is sound");
    tenant.record_fact(NewFact { replaces: vec![second.id], ..eves }).expect("she said it");
    assert_eq!(held(&*tenant, &ada, 500, 3_000), ["Brick"]);
}

pub fn a_clock_that_goes_back_reorders_nothing(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    tenant.remember(vec![turn(1, "user:ada", "c1", Speaker::User, "I work at Acme.")]).expect("it is sound");
    tenant.record_fact(fact(1, 1, "Acme", 0, 5_000)).expect("she said it");
    let after = NewFact { replaces: vec![fact(1, 1, "", 0, 0).id], ..fact(2, 1, "Brick", 10, 3_000) };
    tenant.record_fact(after).expect("she said it");
    let ada = reader(&["user:ada"]);
    let all = tenant.all_facts(&ada, 10).expect("they read");
    assert_eq!(all.iter().map(|f| f.recorded).collect::<Vec<_>>(), [Micros(5_000), Micros(5_000)]);
    assert_eq!(held(&*tenant, &ada, 20, 4_999), Vec::<String>::new());
    assert_eq!(held(&*tenant, &ada, 20, 5_000), ["Brick"]);
}

pub fn what_is_forgotten_is_gone(tenants: &dyn Tenants) {
    let tenant = opened(tenants);
    let new = shared(1, &["Acme is a company."], &["user:ada"]);
    put(&*tenant, new.clone());
    let turns = vec![
        turn(1, "user:ada", "c1", Speaker::User, "I work at Acme."),
        turn(2, "user:ada", "c2", Speaker::User, "I moved to Brick."),
        turn(3, "user:eve", "c1", Speaker::User, "I stay."),
    ];
    tenant.remember(turns).expect("they are sound");
    let first = NewFact { document: Some(new.id), ..fact(1, 1, "Acme", 0, 1) };
    tenant.record_fact(first.clone()).expect("she said it");
    tenant
        .record_fact(NewFact { replaces: vec![first.id], ..fact(2, 2, "Brick", 10, 2) })
        .expect("she said it");
    let ada = reader(&["user:ada"]);
    assert_eq!(held(&*tenant, &ada, 20, 9), ["Brick"]);
    // What ended the first is forgotten: it holds again.
    assert_eq!(tenant.all_facts(&ada, 9).expect("they read")[0].conversation, "c2");
    let forgotten = tenant.forget(&ada, Some("c2")).expect("it goes");
    assert_eq!(forgotten, Forgotten { turns: 1, facts: 1, answers: 0 });
    assert_eq!(held(&*tenant, &ada, 20, 9), ["Acme"]);
    assert_eq!(tenant.turns(&ada, "c2", 9).expect("they read"), []);
    assert!(tenant.search_turns(&ada, None, &["moved".into()], 9).expect("it searches").is_empty());
    // A fact goes with the document that it came from.
    assert_eq!(put(&*tenant, shared(1, &["Another."], &["user:ada"])).invalidated.facts, 1);
    assert_eq!(held(&*tenant, &ada, 20, 9), Vec::<String>::new());
    assert_eq!(tenant.forget(&ada, None).expect("it goes"), Forgotten { turns: 1, ..Forgotten::default() });
    assert_eq!(tenant.forget(&ada, None).expect("it went"), Forgotten::default());
    assert_eq!(tenant.turns(&reader(&["user:eve"]), "c1", 9).expect("they read").len(), 1);
}
