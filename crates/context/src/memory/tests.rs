use proptest::prelude::*;

use super::*;

fn at(n: i64) -> Micros {
    Micros(n)
}

fn fact(id: u8, value: &str, valid_from: i64, recorded: i64) -> Fact {
    Fact {
        id: Uuid7::from_bytes([id; 16]),
        about: "user".into(),
        relation: "lives in".into(),
        value: value.into(),
        valid_from: at(valid_from),
        valid_to: None,
        recorded: at(recorded),
        replaced: None,
    }
}

const SAID: Utterance<'static> =
    Utterance { text: "By the way, I live in Paris now.", by_user: true, tainted: false };

fn claim(value: &'static str, valid_from: i64) -> Claim<'static> {
    Claim {
        about: "user",
        relation: "lives in",
        value,
        valid_from: at(valid_from),
        valid_to: None,
        span: 12..32,
        single: true,
    }
}

fn recorded(replaces: &[u8], valid_to: Option<i64>, contradicts: &[u8]) -> Verdict {
    let ids = |ids: &[u8]| ids.iter().map(|id| Uuid7::from_bytes([*id; 16])).collect();
    Verdict::Record { replaces: ids(replaces), valid_to: valid_to.map(at), contradicts: ids(contradicts) }
}

#[test]
fn only_what_the_user_said_is_recorded() {
    let check = |claim: Claim<'_>, said: Utterance<'_>, refusal: Refusal| {
        assert_eq!(admit(&claim, said, &[]), Verdict::Refused(refusal), "{claim:?}");
    };
    assert_eq!(admit(&claim("Paris", 5), SAID, &[]), recorded(&[], None, &[]));
    check(claim("Paris", 5), Utterance { by_user: false, ..SAID }, Refusal::NotUser);
    check(claim("Paris", 5), Utterance { tainted: true, ..SAID }, Refusal::Tainted);
    check(claim("London", 5), SAID, Refusal::NotSaid);
    // What else the turn says does not count.
    check(Claim { value: "way", ..claim("Paris", 5) }, SAID, Refusal::NotSaid);
    check(Claim { span: 12..99, ..claim("Paris", 5) }, SAID, Refusal::Span);
    check(Claim { span: 12..12, ..claim("Paris", 5) }, SAID, Refusal::Span);
    check(Claim { valid_to: Some(at(5)), ..claim("Paris", 5) }, SAID, Refusal::Times);
    check(Claim { about: " ", ..claim("Paris", 5) }, SAID, Refusal::Size);
    let accents = Utterance { text: "é", ..SAID };
    check(Claim { span: 0..1, ..claim("Paris", 5) }, accents, Refusal::Span);
}

#[test]
fn what_is_known_is_not_recorded_again() {
    let known = [fact(1, "paris", 3, 3)];
    assert_eq!(admit(&claim("Paris", 5), SAID, &known), Verdict::Duplicate(known[0].id));
    // It was so earlier than was known: that is news.
    assert_eq!(admit(&claim("Paris", 1), SAID, &known), recorded(&[], None, &[]));
    // It was so, then no longer, and is again.
    let over = Fact { valid_to: Some(at(4)), ..known[0].clone() };
    assert_eq!(admit(&claim("Paris", 5), SAID, &[over]), recorded(&[], None, &[]));
}

#[test]
fn a_new_value_ends_the_old_one_if_there_can_be_only_one() {
    let known = [fact(1, "Rome", 3, 3)];
    assert_eq!(admit(&claim("Paris", 5), SAID, &known), recorded(&[1], None, &[]));
    let several = Claim { single: false, ..claim("Paris", 5) };
    assert_eq!(admit(&several, SAID, &known), recorded(&[], None, &[]));
    // Another relation is none of its business.
    let other = Fact { relation: "was born in".into(), ..known[0].clone() };
    assert_eq!(admit(&claim("Paris", 5), SAID, &[other]), recorded(&[], None, &[]));
}

#[test]
fn late_news_and_contradictions_are_told_apart() {
    let known = [fact(1, "Rome", 8, 8)];
    assert_eq!(admit(&claim("Paris", 5), SAID, &known), recorded(&[], Some(8), &[]));
    assert_eq!(admit(&claim("Paris", 8), SAID, &known), recorded(&[], None, &[1]));
}

#[test]
fn a_memory_answers_as_of_both_times() {
    let mut rome = fact(1, "Rome", 10, 11);
    rome.replaced = Some(Replaced { valid: at(20), recorded: at(25) });
    let paris = Fact { recorded: at(25), ..fact(2, "Paris", 20, 25) };
    let facts = [rome, paris];
    let ask = |valid, known| {
        let found = as_of(&facts, at(valid), at(known));
        found.iter().map(|fact| fact.value.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ask(30, 30), ["Paris"]);
    assert_eq!(ask(15, 30), ["Rome"]);
    // What was known then, not what is known now.
    assert_eq!(ask(22, 22), ["Rome"]);
    assert_eq!(ask(22, 30), ["Paris"]);
    assert!(ask(15, 5).is_empty());
    assert!(ask(5, 30).is_empty());
}

#[test]
fn a_clock_that_went_back_reorders_nothing() {
    assert_eq!(recorded_at(at(5), None), at(5));
    assert_eq!(recorded_at(at(5), Some(at(9))), at(9));
    assert_eq!(recorded_at(at(12), Some(at(9))), at(12));
}

proptest! {
    /// Whatever order values are told in, at most one holds at a time, but for
    /// contradictions that were told.
    #[test]
    fn one_value_at_a_time(told in prop::collection::vec((0i64..20, 0usize..4), 1..12)) {
        const PLACES: [&str; 4] = ["Rome", "Paris", "Cairo", "Kyoto"];
        let said = Utterance { text: "Rome Paris Cairo Kyoto", by_user: true, tainted: false };
        let mut facts: Vec<Fact> = Vec::new();
        let mut contradicted = false;
        for (n, (from, place)) in told.iter().enumerate() {
            let claim = Claim { span: 0..said.text.len(), ..claim(PLACES[*place], *from) };
            if let Verdict::Record { replaces, valid_to, contradicts } = admit(&claim, said, &facts) {
                contradicted |= !contradicts.is_empty();
                for fact in facts.iter_mut().filter(|fact| replaces.contains(&fact.id)) {
                    fact.replaced = Some(Replaced { valid: at(*from), recorded: at(n as i64) });
                }
                let new = fact(n as u8, PLACES[*place], *from, n as i64);
                facts.push(Fact { valid_to, ..new });
            }
        }
        if !contradicted {
            for time in 0..22 {
                let mut values: Vec<&str> = as_of(&facts, at(time), at(99)).iter().map(|f| f.value.as_str()).collect();
                values.dedup();
                prop_assert!(values.len() <= 1, "{:?} at {}", values, time);
            }
        }
    }
}
