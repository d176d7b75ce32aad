use std::sync::Arc;

use store::documents::MemoryTenants;
use units::{TeamId, Uuid7};

use super::*;

fn reader(names: &[&str]) -> Reader {
    let team = TeamId(Uuid7::from_bytes([1; 16]));
    Reader::new(team, names.iter().map(|name| name.parse().expect("a subject")))
}

fn memory() -> Collections {
    Collections::new(Arc::new(MemoryTenants::new()))
}

fn said(speaker: Speaker, text: &str) -> Heard {
    let labels = Labels { integrity: Integrity::User, ..Labels::default() };
    Heard { id: TurnId(runtime::new_id()), speaker, text: text.into(), labels }
}

fn tell(memory: &Collections, who: &Reader, conversation: &str, texts: [&str; 2], at: i64) -> usize {
    let heard = vec![said(Speaker::User, texts[0]), said(Speaker::Assistant, texts[1])];
    memory.remember(who, conversation, heard, true, Micros(at)).expect("it is kept")
}

fn wanted<'a>(question: &'a str, conversation: Option<&'a str>) -> Recall<'a> {
    Recall { conversation, question, turns: 4, facts: 4, known: &[] }
}

fn recalled(memory: &Collections, who: &Reader, wanted: &Recall<'_>) -> (Vec<String>, Vec<String>) {
    let found = memory.recall(who, wanted, Micros(1_000)).expect("it reads");
    let turns = found.turns.into_iter().map(|turn| turn.text).collect();
    (turns, found.facts.into_iter().map(|fact| fact.value).collect())
}

#[test]
fn what_was_said_comes_back_to_whoever_said_it() {
    let memory = memory();
    let (ada, eve) = (reader(&["user:ada"]), reader(&["user:eve"]));
    tell(&memory, &ada, "trip", ["I booked the ferry to Oslo for Friday.", "The ferry is booked."], 1);
    tell(&memory, &ada, "work", ["The ferry company is a customer.", "Noted."], 2);
    tell(&memory, &eve, "trip", ["My ferry sinks.", "Oh."], 3);
    let ask = "when does the ferry leave";
    let all = [
        "I booked the ferry to Oslo for Friday.",
        "The ferry is booked.",
        "The ferry company is a customer.",
    ];
    assert_eq!(recalled(&memory, &ada, &wanted(ask, None)).0, all, "in the order in which it was said");
    assert_eq!(recalled(&memory, &ada, &wanted(ask, Some("trip"))).0, all[..2]);
    assert_eq!(recalled(&memory, &eve, &wanted(ask, None)).0, ["My ferry sinks."]);
    assert_eq!(recalled(&memory, &reader(&["user:max"]), &wanted(ask, None)).0, [""; 0]);
    // What the client sends along is not sent twice.
    let known = Recall { known: &["I booked the ferry to Oslo for Friday. "], ..wanted(ask, Some("trip")) };
    assert_eq!(recalled(&memory, &ada, &known).0, all[1..2]);
    let one = Recall { turns: 1, ..wanted(ask, None) };
    assert_eq!(recalled(&memory, &ada, &one).0.len(), 1);
}

#[test]
fn a_key_without_a_user_has_a_memory_and_an_agent_of_a_user_has_none() {
    let memory = memory();
    let key = "key:019a5c1e-7b1c-7c7e-9a51-0d6f5e0b7a11";
    tell(&memory, &reader(&[key, "group:apps"]), "c", ["The pump leaks.", "It does."], 1);
    assert_eq!(recalled(&memory, &reader(&[key]), &wanted("pump", None)).0, ["The pump leaks."]);
    assert_eq!(recalled(&memory, &reader(&["group:apps"]), &wanted("pump", None)).0, [""; 0]);
    let agent = reader(&[key]).within([Subject::user("ada")]);
    let refused = memory.remember(&agent, "c", vec![said(Speaker::User, "x")], false, Micros(1));
    assert_eq!(refused, Err(Error::NoOwner));
    assert_eq!(recalled(&memory, &agent, &wanted("pump", None)).0, [""; 0]);
}

#[test]
fn facts_are_learned_once_and_the_later_one_counts() {
    let memory = memory();
    let ada = reader(&["user:ada"]);
    assert_eq!(tell(&memory, &ada, "c", ["I live in Paris.", "I live in a computer."], 10), 1);
    assert_eq!(tell(&memory, &ada, "c", ["As I said, I live in Paris. I like tea.", "Nice."], 20), 1);
    assert_eq!(tell(&memory, &ada, "d", ["I live in Oslo now.", "Nice."], 30), 1);
    let (_, facts) = recalled(&memory, &ada, &wanted("where do I live", None));
    assert_eq!(facts, ["Oslo", "tea"]);
    assert_eq!(recalled(&memory, &ada, &wanted("which tea", Some("c"))).1, ["tea"]);
    let then = memory.facts(&ada, Micros(25), Micros(1_000), 9).expect("they read");
    let then: Vec<&str> = then.iter().map(|fact| fact.value.as_str()).collect();
    assert_eq!(then, ["tea", "Paris"]);
    let all = memory.audit_facts(&ada, 9).expect("they read");
    let said: Vec<&str> = all.iter().map(|(_, said)| said.as_str()).collect();
    assert_eq!(said, ["I live in Oslo", "I like tea", "I live in Paris"]);
}

#[test]
fn a_clock_that_goes_back_turns_no_fact_around() {
    let memory = memory();
    let ada = reader(&["user:ada"]);
    tell(&memory, &ada, "c", ["I live in Paris.", "Yes."], 500);
    tell(&memory, &ada, "c", ["I live in Oslo.", "Yes."], 100);
    let found = memory.recall(&ada, &wanted("where do I live", None), Micros(200)).expect("it reads");
    let values: Vec<&str> = found.facts.iter().map(|fact| fact.value.as_str()).collect();
    assert_eq!(values, ["Oslo"], "what was said last");
}

#[test]
fn what_others_wrote_becomes_no_fact() {
    let memory = memory();
    let ada = reader(&["user:ada"]);
    let pasted = Heard {
        labels: Labels { integrity: Integrity::Untrusted, ..Labels::default() },
        ..said(Speaker::User, "I live in Evil.")
    };
    assert_eq!(memory.remember(&ada, "c", vec![pasted.clone()], true, Micros(1)), Ok(0));
    let state = |turn, value| {
        let statement = Statement {
            turn,
            about: "user",
            relation: "lives in",
            value,
            span: None,
            valid_from: None,
            valid_to: None,
            single: true,
        };
        memory.state(&ada, &statement, Micros(2))
    };
    assert_eq!(state(pasted.id, "Evil"), Err(Error::NotAFact(Refusal::Tainted)));
    let own = said(Speaker::User, "Since May it is Oslo.");
    memory.remember(&ada, "c", vec![own.clone()], true, Micros(3)).expect("it is kept");
    assert_eq!(state(own.id, "Paris"), Err(Error::NotAFact(Refusal::NotSaid)));
    assert!(matches!(state(own.id, "Oslo"), Ok(Stated::Recorded { .. })));
    assert!(matches!(state(own.id, "Oslo"), Ok(Stated::Known(_))));
    let nobodys = TurnId(runtime::new_id());
    assert_eq!(state(nobodys, "Oslo"), Err(Error::NoTurn(nobodys)));
}

#[test]
fn what_is_forgotten_does_not_come_back() {
    let memory = memory();
    let ada = reader(&["user:ada"]);
    tell(&memory, &ada, "c", ["I live in Paris.", "Yes."], 1);
    tell(&memory, &ada, "d", ["I live in Oslo.", "Yes."], 2);
    let gone = memory.forget(&ada, Some("d")).expect("it goes");
    assert_eq!((gone.turns, gone.facts), (2, 1));
    assert_eq!(
        recalled(&memory, &ada, &wanted("where do I live", None)).1,
        ["Paris"],
        "nobody says otherwise"
    );
    let long = "x".repeat(TURN_BYTES_MAX) + "é\0";
    let heard = vec![said(Speaker::User, &long), said(Speaker::Assistant, " \0")];
    memory.remember(&ada, "e", heard, false, Micros(3)).expect("it is kept");
    let kept = memory.turns(&ada, "e", 9).expect("they read");
    assert_eq!(kept.iter().map(|turn| turn.text.len()).collect::<Vec<_>>(), [TURN_BYTES_MAX]);
}
