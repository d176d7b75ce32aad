//! TRAPS S7: nothing leaks, however a stream is cut, in whatever part of it, in
//! whatever dialect a client reads it.

use bytes::BytesMut;
use chat::{Event, Finish, Response, TokenLogprob, TopLogprob};
use dialects::{Dialect, StreamDecoder, StreamEncoder, StreamOptions};
use proptest::prelude::*;

use super::StreamGuard;
use crate::{Action, Deny, Kind, Limits, Secrets, Shield, Spec, Vault};

const KNOWN: &str = "hunter2-is-not-a-password";

/// Everything is masked.
fn shield(action: Action) -> Shield {
    let spec = Spec {
        name: "all".into(),
        output: true,
        input: true,
        personal: Kind::PERSONAL.map(|kind| (kind, action)).to_vec(),
        secrets: action,
        known: action,
        canaries: action,
        deny: vec![Deny { phrases: vec!["project bluebird".into()], action, soft: false }],
        ..Spec::default()
    };
    let (known, canaries) = ([KNOWN.as_bytes().to_vec()], [b"canary-7f3a9c".to_vec()]);
    Shield::new(&[&spec], Secrets { known: &known, canaries: &canaries })
}

/// Text with something in it that must not leave, and that something.
const POSITIVE: [(&str, &str); 12] = [
    ("pay 4111 1111 1111 1111 now", "4111 1111 1111 1111"),
    ("to gb82 west 1234 5698 7654 32.", "gb82 west 1234 5698 7654 32"),
    ("ssn 219-09-9999", "219-09-9999"),
    ("(jane.doe@mail.example.org)", "jane.doe@mail.example.org"),
    ("call +44 7700 900123!", "+44 7700 900123"),
    ("at 93.184.216.34,", "93.184.216.34"),
    ("see https://x.example.org/a?b=c .", "https://x.example.org/a?b=c"),
    ("key AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    ("it is hunter2-is-not-a-password", KNOWN),
    ("68756e746572322d69732d6e6f742d612d70617373776f7264", "68756e746572322d"),
    ("CANARY canary-7f3a9c", "canary-7f3a9c"),
    ("über Project Bluebird é", "Project Bluebird"),
];

/// The texts of an answer, by what a client reads each as.
fn texts(events: &[Event]) -> Vec<String> {
    let mut out = vec![String::new(); 4];
    for event in events {
        match event {
            Event::Text { text, .. } => out[0].push_str(text),
            Event::Reasoning { text, .. } => out[1].push_str(text),
            Event::Refusal { text, .. } => out[2].push_str(text),
            Event::ToolArguments { fragment, .. } => out[3].push_str(fragment),
            _ => {}
        }
    }
    out
}

type Make = fn(String) -> Event;
const MAKE: [Make; 4] = [
    |text| Event::Text { choice: 0, text },
    |text| Event::Reasoning { choice: 0, text },
    |text| Event::Refusal { choice: 0, text },
    |fragment| Event::ToolArguments { choice: 0, index: 0, fragment },
];

fn run(shield: &Shield, parts: &[&str], make: Make) -> Vec<Event> {
    let mut guard = StreamGuard::new(shield, Vault::default(), false);
    let mut out = Vec::new();
    for part in parts {
        guard.push(make((*part).into()), &mut out);
        assert!(guard.held() <= 2 * crate::hold::HOLD_MAX);
    }
    if guard.blocked().is_none() {
        guard.push(Event::Finish { choice: 0, reason: Finish::Stop, stop: None }, &mut out);
        guard.finish(&mut out);
    }
    out
}

/// The text in as many pieces as there are bits set in `cuts`, and one more.
fn cut(text: &str, cuts: u64) -> Vec<&str> {
    let places: Vec<usize> = (1..text.len()).filter(|i| text.is_char_boundary(*i)).collect();
    let mut parts = Vec::new();
    let mut from = 0;
    for (bit, place) in places.iter().enumerate() {
        if cuts >> (bit % 64) & 1 == 1 {
            parts.push(&text[from..*place]);
            from = *place;
        }
    }
    parts.push(&text[from..]);
    parts
}

/// Every way of cutting a window of 14 places, wherever the window stands.
fn exhaustive(shield: &Shield, text: &str, mut check: impl FnMut(Vec<Event>, &[&str])) {
    let places: Vec<usize> = (1..text.len()).filter(|i| text.is_char_boundary(*i)).collect();
    for window in places.chunks(14) {
        for cuts in 0u32..1 << window.len() {
            // Every cut of the first window, one in seven of the others: enough for a minute.
            if window[0] > 14 && cuts % 7 != 0 {
                continue;
            }
            let mut parts = Vec::new();
            let mut from = 0;
            for (bit, place) in window.iter().enumerate() {
                if cuts >> bit & 1 == 1 {
                    parts.push(&text[from..*place]);
                    from = *place;
                }
            }
            parts.push(&text[from..]);
            check(run(shield, &parts, MAKE[0]), &parts);
        }
    }
}

#[test]
fn trap_s7_every_split_of_every_case_leaks_no_byte_and_says_the_same() {
    let shield = shield(Action::Mask);
    for (text, secret) in POSITIVE {
        let whole = texts(&run(&shield, &[text], MAKE[0]));
        assert!(!whole[0].contains(secret) && whole[0].contains('['), "{text}: {}", whole[0]);
        exhaustive(&shield, text, |events, parts| {
            assert_eq!(texts(&events), whole, "{parts:?}");
        });
    }
}

#[test]
fn trap_s7_a_block_releases_the_same_beginning_for_every_split() {
    let shield = shield(Action::Block);
    for (text, secret) in POSITIVE {
        let whole = texts(&run(&shield, &[text], MAKE[0]));
        let before = text.find(&secret[..1]).unwrap_or(0);
        assert!(text.starts_with(&whole[0]) && !whole[0].contains(secret), "{text} {before}");
        exhaustive(&shield, text, |events, parts| {
            assert_eq!(texts(&events), whole, "{parts:?}");
        });
    }
}

#[test]
fn trap_s7_reasoning_refusals_and_tool_arguments_are_held_back_too() {
    let shield = shield(Action::Mask);
    for (index, make) in MAKE.iter().enumerate() {
        for (text, secret) in POSITIVE {
            let bytes: Vec<&str> = cut(text, u64::MAX);
            let out = texts(&run(&shield, &bytes, *make));
            assert!(!out[index].contains(secret), "{text}");
            assert_eq!(out, texts(&run(&shield, &[text], *make)), "{text}");
        }
    }
}

#[test]
fn trap_s7_no_dialect_of_a_client_sees_a_byte() {
    let shield = shield(Action::Mask);
    for dialect in [Dialect::OpenaiChat, Dialect::OpenaiCompletions, Dialect::AnthropicMessages] {
        for (text, secret) in POSITIVE {
            for make in MAKE {
                let mut written = BytesMut::new();
                let mut encoder = StreamEncoder::new(dialect, StreamOptions::default());
                let mut events =
                    vec![Event::ToolStart { choice: 0, index: 0, id: "c".into(), name: "f".into() }];
                events.extend(run(&shield, &cut(text, u64::MAX), make));
                events.iter().for_each(|e| encoder.push(e, &mut written));
                encoder.finish(&mut written);
                let mut decoder = StreamDecoder::new(dialect);
                let mut read = decoder.push(&written);
                read.extend(decoder.finish().0);
                let all = texts(&read).concat();
                assert!(!all.contains(secret), "{} {text}: {all}", dialect.name());
            }
        }
    }
}

#[test]
fn trap_s7_every_choice_has_its_own_hold() {
    let shield = shield(Action::Mask);
    let mut guard = StreamGuard::new(&shield, Vault::default(), false);
    let mut out = Vec::new();
    // Interleaved, so that the two cards are whole only by choice.
    for byte in "4111 1111 1111 1111".chars() {
        for choice in 0..3 {
            guard.push(Event::Text { choice, text: byte.into() }, &mut out);
        }
    }
    guard.finish(&mut out);
    let cards = out.iter().filter(|e| matches!(e, Event::Text { text, .. } if text == "[card]")).count();
    assert_eq!((cards, out.len()), (3, 3));
}

#[test]
fn trap_s7_log_probabilities_of_masked_tokens_are_dropped() {
    let shield = shield(Action::Mask);
    let token = |token: &str| TokenLogprob {
        token: token.into(),
        bytes: None,
        logprob: -0.5,
        top: vec![
            TopLogprob { token: KNOWN.into(), bytes: None, logprob: -1.0 },
            TopLogprob { token: "ok".into(), bytes: None, logprob: -2.0 },
        ],
    };
    let mut guard = StreamGuard::new(&shield, Vault::default(), true);
    let mut out = Vec::new();
    for part in ["to ", "jane", "@ex", "ample", ".org", ", the", "n"] {
        guard.push(Event::Text { choice: 0, text: part.into() }, &mut out);
        guard.push(Event::Logprobs { choice: 0, tokens: vec![token(part)] }, &mut out);
    }
    guard.finish(&mut out);
    let told: Vec<&TokenLogprob> = out
        .iter()
        .filter_map(|e| if let Event::Logprobs { tokens, .. } = e { Some(tokens) } else { None })
        .flatten()
        .collect();
    assert_eq!(told.iter().map(|t| t.token.as_str()).collect::<Vec<_>>(), ["to ", ", the", "n"]);
    assert!(told.iter().all(|t| t.top.len() == 1), "an alternative that is a secret is none");
    // Tokens that say something else than the text are not believed.
    let mut guard = StreamGuard::new(&shield, Vault::default(), true);
    let mut out = Vec::new();
    guard.push(Event::Text { choice: 0, text: "hello there ".into() }, &mut out);
    guard.push(Event::Logprobs { choice: 0, tokens: vec![token("secrets!")] }, &mut out);
    guard.finish(&mut out);
    assert!(!out.iter().any(|e| matches!(e, Event::Logprobs { .. })));
}

#[test]
fn half_a_secret_before_a_tool_call_is_masked_and_the_rest_swallowed() {
    let shield = shield(Action::Mask);
    let mut guard = StreamGuard::new(&shield, Vault::default(), false);
    let mut out = Vec::new();
    let (first, rest) = KNOWN.split_at(16);
    guard.push(Event::Text { choice: 0, text: format!("it is {first}") }, &mut out);
    guard.push(Event::ToolStart { choice: 0, index: 0, id: "c".into(), name: "f".into() }, &mut out);
    guard.push(Event::Text { choice: 0, text: format!("{rest} indeed") }, &mut out);
    guard.push(Event::Finish { choice: 0, reason: Finish::Stop, stop: None }, &mut out);
    assert_eq!(texts(&out)[0], "it is [secret] indeed");
}

/// What a reader has of a text that is interrupted at some places, by a call and by
/// thoughts in turn, when it comes in pieces of `size` bytes.
fn interrupted(shield: &Shield, text: &str, places: &[usize], size: usize) -> String {
    let mut guard = StreamGuard::new(shield, Vault::default(), false);
    let (mut out, mut from) = (Vec::new(), 0);
    for (index, to) in places.iter().copied().chain([text.len()]).enumerate() {
        for piece in text.as_bytes()[from..to].chunks(size) {
            let text = String::from_utf8(piece.to_vec()).expect("ASCII");
            guard.push(Event::Text { choice: 0, text }, &mut out);
        }
        from = to;
        if index % 2 == 0 {
            let index = index as u32;
            guard.push(Event::ToolStart { choice: 0, index, id: "c".into(), name: "f".into() }, &mut out);
        } else {
            guard.push(Event::Reasoning { choice: 0, text: "hm".into() }, &mut out);
        }
    }
    guard.push(Event::Finish { choice: 0, reason: Finish::Stop, stop: None }, &mut out);
    texts(&out).swap_remove(0)
}

#[test]
fn trap_s7_a_secret_that_is_interrupted_anywhere_leaks_at_most_its_first_byte() {
    let shield = shield(Action::Mask);
    let hex: String = KNOWN.bytes().map(|b| format!("{b:02x}")).collect();
    for secret in [KNOWN, "canary-7f3a9c", &hex] {
        let text = format!("> {secret} <");
        for a in 0..=text.len() {
            for b in a..=text.len() {
                for size in [1, 3, text.len()] {
                    let said = interrupted(&shield, &text, &[a, b], size);
                    let leaks = said.contains(&secret[..2])
                        || secret.as_bytes().windows(4).any(|w| said.as_bytes().windows(4).any(|of| of == w));
                    assert!(!leaks && said.contains("[secret]"), "{a} {b} {size}: {said}");
                    assert!(said.starts_with("> ") && said.ends_with(" <"), "{a} {b} {size}: {said}");
                }
            }
        }
    }
}

#[test]
fn what_only_begins_like_a_secret_comes_whole_wherever_it_is_interrupted() {
    let shield = shield(Action::Mask);
    for text in ["they hunt in the hunter2 canary-bird", "hunter", "68756e", "a canary"] {
        for a in 0..=text.len() {
            for b in a..=text.len() {
                assert_eq!(interrupted(&shield, text, &[a, b], 2), text, "{a} {b}");
            }
        }
    }
}

#[test]
fn a_value_goes_out_as_a_placeholder_and_comes_back_in_any_split() {
    let shield = shield(Action::Tokenise);
    let mut request = chat::Request::new("m");
    let text = "mail jane@example.org and jane@example.org";
    request.messages.push(chat::Message::text(chat::Role::User, text));
    let screening = shield.screen(&mut request, 0x3f9a2c);
    let chat::Part::Text(sent) = &request.messages[0].parts[0] else { unreachable!() };
    assert_eq!(sent, "mail EMAIL_3f9a2c_1 and EMAIL_3f9a2c_1");
    assert!(screening.changed);
    let answer = "I wrote to EMAIL_3f9a2c_1, not EMAIL_3f9a2c_2.";
    let mut guard = StreamGuard::new(&shield, screening.vault, false);
    let mut out = Vec::new();
    for part in cut(answer, u64::MAX) {
        guard.push(Event::Text { choice: 0, text: part.into() }, &mut out);
    }
    guard.finish(&mut out);
    assert_eq!(texts(&out)[0], "I wrote to jane@example.org, not EMAIL_3f9a2c_2.");
}

#[test]
fn a_whole_answer_passes_the_same_guard() {
    let shield = shield(Action::Mask);
    let answer = Response {
        choices: vec![chat::Choice {
            parts: vec![chat::Part::Text(format!("it is {KNOWN}"))],
            finish: Some(Finish::Stop),
            ..chat::Choice::default()
        }],
        ..Response::default()
    };
    let mut guard = StreamGuard::new(&shield, Vault::default(), false);
    let mut out = Vec::new();
    guard.whole(answer, &mut out);
    let mut answer = Response::default();
    out.into_iter().for_each(|event| answer.push(event));
    let verdict = guard.into_verdict();
    assert_eq!(answer.choices[0].parts, [chat::Part::Text("it is [secret]".into())]);
    assert_eq!(verdict.summary(), "knownSecret mask");
    assert_eq!((verdict.scanned, verdict.released), (31, 6));
}

#[test]
fn trap_x4_a_verdict_never_holds_the_text_it_is_about() {
    let shield = shield(Action::Flag);
    for (text, secret) in POSITIVE {
        let mut guard = StreamGuard::new(&shield, Vault::default(), false);
        guard.push(Event::Text { choice: 0, text: text.into() }, &mut Vec::new());
        let verdict = guard.finish(&mut Vec::new());
        assert!(!verdict.findings.is_empty(), "{text}");
        assert!(!format!("{verdict:?}{}", verdict.summary()).contains(secret));
    }
}

#[test]
fn an_answer_over_its_length_or_in_other_letters_is_ended() {
    let limits = Limits {
        output_characters: Some(40),
        scripts: vec![crate::Script::Latin],
        action: Action::Block,
        ..Limits::default()
    };
    let spec = Spec { output: true, limits, ..Spec::default() };
    let shield = Shield::new(&[&spec], Secrets::default());
    let out = run(&shield, &["twenty characters...", "twenty characters...", "!"], MAKE[0]);
    assert_eq!(texts(&out)[0].len(), 40);
    let cyrillic = "Это предложение написано совсем другими буквами";
    assert_eq!(texts(&run(&shield, &[cyrillic], MAKE[0]))[0], "");
}

#[test]
fn trap_s7_what_two_turns_of_one_answer_say_together_is_found() {
    let shield = shield(Action::Mask);
    let mut guard = StreamGuard::new(&shield, Vault::default(), false);
    let (mut out, text) = (Vec::new(), |text: &str| Event::Text { choice: 0, text: text.into() });
    let (first, rest) = KNOWN.split_at(16);
    guard.push(text(&format!("it is {first}")), &mut out);
    guard.rest(&mut out);
    let vault = guard.take_vault();
    guard.again(&shield, vault);
    guard.push(text(&format!("{rest} indeed")), &mut out);
    guard.finish(&mut out);
    assert_eq!(texts(&out)[0], "it is [secret] indeed");
}

#[test]
fn the_form_of_an_answer_goes_out_as_clean_as_the_question() {
    let shield = shield(Action::Tokenise);
    let schema = r#"{"enum":["ann@mail.example.org"]}"#;
    for format in [
        chat::Format::JsonSchema { name: "a".into(), schema: schema.into(), strict: None },
        chat::Format::Regex("(yes|ann@mail.example.org)".into()),
        chat::Format::Grammar("start: \"ann@mail.example.org\"".into()),
    ] {
        let mut request = chat::Request::new("m");
        request.format = format;
        assert!(shield.screen(&mut request, 7).changed);
        let sent = format!("{:?}", request.format);
        assert!(!sent.contains("ann@") && sent.contains("EMAIL_"), "{sent}");
    }
}

#[test]
fn what_a_conversation_grows_by_gets_the_placeholders_it_has() {
    let shield = shield(Action::Tokenise);
    let mut request = chat::Request::new("m");
    request.messages.push(chat::Message::text(chat::Role::User, "write to ann@mail.example.org"));
    let first = shield.screen(&mut request, 7);
    let said = |request: &chat::Request, at: usize| match &request.messages[at].parts[0] {
        chat::Part::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    };
    let asked = said(&request, 0);
    let placeholder = asked.strip_prefix("write to ").expect("the words stay").to_owned();
    assert_eq!(first.vault.restorer()(&asked), "write to ann@mail.example.org");

    let mut guard = StreamGuard::new(&shield, first.vault, false);
    let grown = "from ann@mail.example.org and bob@mail.example.org";
    request.messages.push(chat::Message::text(chat::Role::Tool, grown));
    let next = shield.screen_from(&mut request, 1, guard.take_vault());
    assert_eq!(said(&request, 0), asked);
    let told = said(&request, 1);
    assert!(told.starts_with(&format!("from {placeholder} and EMAIL_")), "{told}");
    assert_eq!(next.verdict.findings.len(), 2);
    assert_eq!(next.verdict.findings[0].place, crate::Place::Message(1));

    // What is put back in the next turn is of both.
    guard.again(&shield, next.vault);
    let mut out = Vec::new();
    guard.push(Event::Text { choice: 0, text: told }, &mut out);
    guard.finish(&mut out);
    assert_eq!(texts(&out)[0], grown);
}

fn noise() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "4111 1111 1111 1111",
        "jane@example.org",
        "AKIAIOSFODNN7EXAMPLE",
        KNOWN,
        "canary-7f3a9c",
        "-----BEGIN ",
        "PRIVATE KEY-----",
        "MIIE",
        "https://",
        "x.org/",
        "+44 ",
        "7700 900123",
        " ",
        ".",
        "é",
        "4111",
        "hunter2-",
        "project ",
        "bluebird",
        "sk-",
        "eyJ",
        "\n",
    ]);
    prop::collection::vec(words, 1..12).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn trap_s7_random_splits_of_random_mixtures_say_the_same(text in noise(), cuts in any::<u64>(), block in any::<bool>()) {
        let shield = if block { shield(Action::Block) } else { shield(Action::Mask) };
        let whole = texts(&run(&shield, &[&text], MAKE[0]));
        prop_assert_eq!(texts(&run(&shield, &cut(&text, cuts), MAKE[0])), whole.clone());
        prop_assert!(!whole[0].contains(KNOWN) && !whole[0].contains("canary-7f3a9c"));
    }

    #[test]
    fn any_text_in_any_pieces_comes_out_as_it_is_when_nothing_is_in_force(text in ".{0,80}", cuts in any::<u64>()) {
        let shield = Shield::new(&[], Secrets::default());
        prop_assert_eq!(&texts(&run(&shield, &cut(&text, cuts), MAKE[0]))[0], &text);
    }
}
