use super::*;

fn own() -> Arc<BTreeSet<Box<str>>> {
    Arc::new(["desk__read".into(), "desk__send".into()].into_iter().collect())
}

fn call(index: u32, id: &str, name: &str, parts: &[&str]) -> Vec<Event> {
    let mut events = vec![Event::ToolStart { choice: 0, index, id: id.into(), name: name.into() }];
    events.extend(parts.iter().map(|p| Event::ToolArguments { choice: 0, index, fragment: (*p).into() }));
    events
}

fn text(text: &str) -> Event {
    Event::Text { choice: 0, text: text.into() }
}

fn finish(reason: Finish) -> Event {
    Event::Finish { choice: 0, reason, stop: None }
}

fn start() -> Event {
    Event::Start { id: "a".into(), model: "m".into(), created: 1 }
}

/// An answer without guards: what goes to the client at once.
fn through(round: &mut Round, events: Vec<Event>) -> Vec<Event> {
    let mut out = Vec::new();
    for event in events {
        if let Some(event) = round.hear(event) {
            round.sift(event, &mut out);
        }
    }
    out
}

#[test]
fn our_calls_stay_here_and_the_model_is_given_its_own_turn_back() {
    let mut round = Round::first(own(), false);
    let usage = Event::Usage(chat::Usage::default());
    let mut events = vec![start(), text("I look.")];
    events.extend(call(0, "c1", "desk__read", &["{\"id\"", ":7}"]));
    events.extend([finish(Finish::ToolCalls), usage]);
    assert_eq!(through(&mut round, events), [start(), text("I look.")]);

    let following = round.following();
    let Turn::Calls { said, calls } = round.end() else { panic!("the model waits") };
    let made = Call { id: "c1".into(), name: "desk__read".into(), arguments: "{\"id\":7}".into() };
    assert_eq!(calls, [made]);
    let part =
        chat::Part::ToolCall { id: "c1".into(), name: "desk__read".into(), arguments: "{\"id\":7}".into() };
    assert_eq!((said.role, said.parts), (Role::Assistant, vec![chat::Part::Text("I look.".into()), part]));

    // The next round goes on in the same answer, a paragraph further.
    let mut round = following;
    assert_eq!(round.number(), 2);
    let events = vec![start(), text("It is "), text("7."), finish(Finish::Stop)];
    assert_eq!(through(&mut round, events), [text("\n\n"), text("It is "), text("7.")]);
    assert_eq!(round.end(), Turn::Over { last: vec![finish(Finish::Stop)], unmade: vec![] });
}

#[test]
fn what_guards_put_back_reaches_the_tool_and_not_the_model() {
    let mut round = Round::first(own(), false);
    let mut out = Vec::new();
    for event in call(0, "c1", "desk__send", &["{\"to\":\"EMAIL_1\"}"]) {
        let event = match round.hear(event).expect("it is kept") {
            Event::ToolArguments { choice, index, fragment } => {
                let fragment = fragment.replace("EMAIL_1", "ann@ours.example");
                Event::ToolArguments { choice, index, fragment }
            }
            other => other,
        };
        round.sift(event, &mut out);
    }
    let Turn::Calls { said, calls } = round.end() else { panic!("the model waits") };
    assert_eq!(calls[0].arguments, "{\"to\":\"ann@ours.example\"}");
    assert!(format!("{said:?}").contains("EMAIL_1") && !format!("{said:?}").contains("ann@"), "{said:?}");
}

#[test]
fn an_answer_that_also_calls_the_clients_tools_is_the_clients_without_ours() {
    let mut round = Round::first(own(), false);
    let mut events = call(0, "c1", "desk__read", &["{}"]);
    events.extend(call(1, "c2", "their_own", &["{", "}"]));
    events.push(finish(Finish::ToolCalls));
    // Without a gap where ours stood.
    assert_eq!(through(&mut round, events), call(0, "c2", "their_own", &["{", "}"]));
    let unmade = vec!["desk__read".to_owned()];
    assert_eq!(round.end(), Turn::Over { last: vec![finish(Finish::ToolCalls)], unmade });
}

#[test]
fn half_a_call_is_not_made() {
    let mut round = Round::first(own(), false);
    let mut events = call(0, "c1", "desk__send", &["{\"to\":\"ann@ou"]);
    events.push(finish(Finish::Length));
    assert_eq!(through(&mut round, events), []);
    let unmade = vec!["desk__send".to_owned()];
    assert_eq!(round.end(), Turn::Over { last: vec![finish(Finish::Length)], unmade });

    let mut round = Round::first(own(), false);
    let long = "x".repeat(ARGUMENTS_MAX + 1);
    let mut events = call(0, "c1", "desk__send", &["{\"to\":\"ann@ours.example\"}", &long]);
    events.push(finish(Finish::ToolCalls));
    through(&mut round, events);
    let Turn::Calls { calls, .. } = round.end() else { panic!("the model waits") };
    assert_eq!(calls[0].arguments, "cut");
}

#[test]
fn every_call_has_an_id_of_its_own() {
    let mut round = Round::first(own(), false);
    let mut events = call(0, "", "desk__read", &["{}"]);
    events.extend(call(1, "c", "desk__read", &["{}"]));
    events.extend(call(2, "c", "desk__read", &["{}"]));
    through(&mut round, events);
    let mut next = round.following();
    let ids = |round: Round| match round.end() {
        Turn::Calls { said, calls } => {
            let told = said.parts.into_iter().filter_map(|p| match p {
                chat::Part::ToolCall { id, .. } => Some(id),
                _ => None,
            });
            let told: Vec<String> = told.collect();
            assert_eq!(told, calls.iter().map(|c| c.id.clone()).collect::<Vec<_>>());
            told
        }
        over => panic!("{over:?}"),
    };
    assert_eq!(ids(round), ["call_1_0", "c", "call_1_2"]);
    through(&mut next, call(0, "c", "desk__read", &["{}"]));
    assert_eq!(ids(next), ["call_2_0"]);
}

#[test]
fn of_an_answer_in_a_format_only_the_last_rounds_text_is_told() {
    let mut round = Round::first(own(), true);
    let mut events = vec![text("{\"draft\":1}")];
    events.extend(call(0, "c1", "desk__read", &["{}"]));
    assert_eq!(through(&mut round, events), []);
    let mut next = round.following();
    assert!(matches!(round.end(), Turn::Calls { .. }));
    assert_eq!(through(&mut next, vec![text("{\"a\":"), text("1}"), finish(Finish::Stop)]), []);
    let last = vec![text("{\"a\":"), text("1}"), finish(Finish::Stop)];
    assert_eq!(next.end(), Turn::Over { last, unmade: vec![] });
}

#[test]
fn an_answer_without_end_costs_bounded_memory() {
    let mut round = Round::first(own(), true);
    let part = "x".repeat(1 << 20);
    let mut told = 0;
    for _ in 0..8 {
        told += through(&mut round, vec![text(&part)]).len();
    }
    assert_eq!(told, 8, "what waited goes on, and the rest at once");
    assert!(format!("{:?}", round.heard).len() < 5 << 20);
    let many: Vec<Event> = (0..1000).flat_map(|index| call(index, "", "desk__read", &["{}"])).collect();
    through(&mut round, many);
    assert_eq!(round.calls.len(), CALLS_MAX as usize);
    assert!(matches!(round.end(), Turn::Over { unmade, .. } if unmade.len() == CALLS_MAX as usize));
}
