use bytes::BytesMut;
use chat::{Axis, Finish, Response, TokenLogprob, Usage};
use proptest::prelude::*;

use super::*;

const STREAMS: [Dialect; 3] = [Dialect::OpenaiChat, Dialect::OpenaiCompletions, Dialect::AnthropicMessages];

fn encode(dialect: Dialect, events: &[Event]) -> Vec<u8> {
    let options = StreamOptions { include_usage: true, ..StreamOptions::default() };
    let mut encoder = StreamEncoder::new(dialect, options);
    let mut out = BytesMut::new();
    events.iter().for_each(|e| encoder.push(e, &mut out));
    encoder.finish(&mut out);
    out.to_vec()
}

fn decode(dialect: Dialect, parts: &[&[u8]]) -> (Vec<Event>, Ending) {
    let mut decoder = StreamDecoder::new(dialect);
    let mut events: Vec<Event> = parts.iter().flat_map(|p| decoder.push(p)).collect();
    let (last, ending) = decoder.finish();
    events.extend(last);
    (events, ending)
}

/// `data:` lines of chunks, as a provider sends them.
fn chunks(lines: &[&str]) -> Vec<u8> {
    lines.iter().map(|l| format!("data: {l}\n\n")).collect::<String>().into_bytes()
}

fn text_of(events: &[Event]) -> String {
    let texts = events.iter().filter_map(|e| match e {
        Event::Text { text, .. } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

fn usage_in(events: &[Event]) -> Vec<&Usage> {
    let usages = events.iter().filter_map(|e| match e {
        Event::Usage(u) => Some(u),
        _ => None,
    });
    usages.collect()
}

const HELLO: &str = r#"{"id":"c1","model":"m","created":5,"choices":[{"index":0,"delta":{"role":"assistant","content":"he"}}]}"#;
const LLO: &str =
    r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"llo"},"finish_reason":null}],"usage":null}"#;
const STOP: &str = r#"{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str =
    r#"{"id":"c1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}"#;

#[test]
fn trap_s1_usage_is_read_from_any_chunk_and_a_bad_chunk_ends_nothing() {
    let groq = r#"{"id":"c1","x_groq":{"id":"r","usage":{"prompt_tokens":7,"completion_tokens":2}},"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let no_delta = r#"{"id":"c1","choices":[{"index":0}],"usage":{"prompt_tokens":7,"completion_tokens":2}}"#;
    let in_choice =
        r#"{"choices":[{"index":0,"delta":{},"usage":{"prompt_tokens":7,"completion_tokens":2}}]}"#;
    let with_text = r#"{"choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":2}}"#;
    let early = r#"{"choices":[{"delta":{}}],"usage":{"prompt_tokens":7,"completion_tokens":1}}"#;
    let no_choices = r#"{"usage":{"prompt_tokens":7,"completion_tokens":2,"cost":0}}"#;
    let garbage = "{\"id\":";
    for (name, tail) in [
        ("usage last", vec![STOP, USAGE, "[DONE]"]),
        ("no done", vec![STOP, USAGE]),
        ("usage before the finish", vec![USAGE, STOP, "[DONE]"]),
        ("groq", vec![groq, "[DONE]"]),
        ("no delta", vec![STOP, no_delta]),
        ("inside a choice", vec![in_choice, STOP]),
        ("with the finish", vec![with_text, "[DONE]"]),
        ("twice, counting up", vec![early, STOP, USAGE, "[DONE]"]),
        ("no choices at all", vec![STOP, no_choices]),
        ("garbage between", vec![garbage, "null", "[]", "7", "\"x\"", STOP, garbage, USAGE, "[DONE]"]),
    ] {
        let stream = chunks(&[&[HELLO, LLO], &tail[..]].concat());
        let (events, ending) = decode(Dialect::OpenaiChat, &[&stream]);
        assert_eq!(text_of(&events), "hello", "{name}");
        assert_eq!(ending, Ending::Complete, "{name}");
        let usage = usage_in(&events);
        assert_eq!(usage.len(), 1, "{name}");
        assert_eq!((usage[0].get(Axis::Input), usage[0].get(Axis::Output)), (7, 2), "{name}");
    }
}

#[test]
fn trap_m3_a_stream_without_usage_says_so_by_telling_none() {
    let (events, ending) = decode(Dialect::OpenaiChat, &[&chunks(&[HELLO, STOP, "[DONE]"])]);
    assert_eq!((usage_in(&events).len(), ending), (0, Ending::Complete));
}

#[test]
fn trap_s4_a_stream_without_a_finish_was_cut() {
    for lines in [vec![], vec![HELLO], vec![HELLO, "[DONE]"], vec![HELLO, LLO, USAGE, "[DONE]"]] {
        assert_eq!(decode(Dialect::OpenaiChat, &[&chunks(&lines)]).1, Ending::Cut, "{lines:?}");
    }
    let whole = chunks(&[HELLO, STOP]);
    let half = &whole[..whole.len() - 20];
    assert_eq!(decode(Dialect::OpenaiChat, &[half]).1, Ending::Cut);
    let start = r#"{"type":"message_start","message":{"id":"m1","model":"c","usage":{"input_tokens":3}}}"#;
    assert_eq!(decode(Dialect::AnthropicMessages, &[&chunks(&[start])]).1, Ending::Cut);
    // One of two choices never finished.
    let second = r#"{"choices":[{"index":1,"delta":{"content":"x"}}]}"#;
    assert_eq!(decode(Dialect::OpenaiChat, &[&chunks(&[HELLO, second, STOP])]).1, Ending::Cut);
}

#[test]
fn an_in_band_error_is_an_event_and_tells_whether_to_retry() {
    for (line, kind, retry) in [
        (r#"{"error":{"message":"busy","type":"overloaded_error"}}"#, "overloaded_error", true),
        (
            r#"{"error":{"message":"bad","type":"invalid_request_error","code":null}}"#,
            "invalid_request_error",
            false,
        ),
        (r#"{"error":{"message":"x","code":502}}"#, "502", true),
        (r#"{"error":"boom"}"#, "", false),
        (r#"{"object":"error","message":"m","type":"BadRequest"}"#, "BadRequest", false),
    ] {
        let (events, ending) = decode(Dialect::OpenaiChat, &[&chunks(&[HELLO, line])]);
        assert_eq!(ending, Ending::Failed, "{line}");
        let last = events.last().expect("an event");
        assert!(
            matches!(last, Event::Failed { kind: k, retriable: r, .. } if k == kind && *r == retry),
            "{last:?}"
        );
    }
    let line = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let (events, ending) = decode(Dialect::AnthropicMessages, &[&chunks(&[line])]);
    assert!(ending == Ending::Failed && matches!(&events[0], Event::Failed { retriable: true, .. }));
}

#[test]
fn trap_s5_tool_calls_are_told_apart_however_they_are_numbered() {
    let call = |fields: &str| {
        format!(r#"{{"id":"c","choices":[{{"index":0,"delta":{{"tool_calls":[{fields}]}}}}]}}"#)
    };
    let done = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#.to_string();
    let by_the_book = vec![
        call(
            r#"{"index":0,"id":"a","function":{"name":"f","arguments":""}},{"index":1,"id":"b","function":{"name":"g"}}"#,
        ),
        call(r#"{"index":0,"function":{"arguments":"{\"x\""}}"#),
        call(r#"{"index":1,"function":{"arguments":"{}"}}"#),
        call(r#"{"index":0,"function":{"arguments":":1}"}}"#),
        done.clone(),
    ];
    let repeated_ids = vec![
        call(r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\""}}"#),
        call(r#"{"index":0,"id":"a","function":{"name":"f","arguments":":1}"}}"#),
        call(r#"{"index":1,"id":"b","function":{"name":"g","arguments":"{}"}}"#),
        done.clone(),
    ];
    let no_index = vec![
        call(
            r#"{"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}},{"id":"b","function":{"name":"g","arguments":{}}}"#,
        ),
        done.clone(),
    ];
    let late_name = vec![
        call(r#"{"index":0,"id":"a","function":{"arguments":""}}"#),
        call(r#"{"index":0,"function":{"name":"f","arguments":"{\"x\":1}"}}"#),
        call(r#"{"index":1,"id":"b","function":{"name":"g","arguments":"{}"}}"#),
        done,
    ];
    for lines in [by_the_book, repeated_ids, no_index, late_name] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (events, ending) = decode(Dialect::OpenaiChat, &[&chunks(&lines)]);
        let mut folded = Response::default();
        events.into_iter().for_each(|e| folded.push(e));
        let want = [("a", "f", "{\"x\":1}"), ("b", "g", "{}")].map(|(id, name, arguments)| {
            chat::Part::ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() }
        });
        assert_eq!((&folded.choices[0].parts[..], ending), (&want[..], Ending::Complete), "{lines:?}");
    }
}

#[test]
fn calls_that_grow_side_by_side_reach_anthropic_whole_and_in_order() {
    let start = |index, id: &str| Event::ToolStart { choice: 0, index, id: id.into(), name: "f".into() };
    let grow = |index, s: &str| Event::ToolArguments { choice: 0, index, fragment: s.into() };
    let events = [
        start(0, "a"),
        start(1, "b"),
        grow(1, "{\"y\""),
        grow(0, "{\"x\":"),
        grow(1, ":2}"),
        grow(0, "1}"),
        Event::Finish { choice: 0, reason: Finish::ToolCalls, stop: None },
    ];
    let bytes = encode(Dialect::AnthropicMessages, &events);
    let (read, ending) = decode(Dialect::AnthropicMessages, &[&bytes]);
    let mut folded = Response::default();
    read.into_iter().for_each(|e| folded.push(e));
    assert_eq!(ending, Ending::Complete);
    assert!(matches!(&folded.choices[0].parts[..],
        [chat::Part::ToolCall { id: a, arguments: x, .. }, chat::Part::ToolCall { id: b, arguments: y, .. }]
        if a == "a" && x == "{\"x\":1}" && b == "b" && y == "{\"y\":2}"));
}

#[test]
fn a_failed_or_cut_stream_is_never_closed_as_if_whole() {
    let start = Event::Start { id: "i".into(), model: "m".into(), created: 1 };
    let text = Event::Text { choice: 0, text: "hi".into() };
    let failed = Event::Failed { kind: "overloaded_error".into(), message: "later".into(), retriable: true };
    for dialect in STREAMS {
        for events in [vec![start.clone(), text.clone()], vec![start.clone(), text.clone(), failed.clone()]] {
            let bytes = String::from_utf8(encode(dialect, &events)).expect("text");
            assert!(!bytes.contains("[DONE]") && !bytes.contains("message_stop"), "{bytes}");
            let ending = if events.len() == 2 { Ending::Cut } else { Ending::Failed };
            assert_eq!(decode(dialect, &[bytes.as_bytes()]).1, ending, "{bytes}");
        }
    }
}

#[test]
fn usage_goes_only_to_openai_clients_who_asked() {
    let events = [
        Event::Text { choice: 0, text: "hi".into() },
        Event::Finish { choice: 0, reason: Finish::Stop, stop: None },
        Event::Usage(Usage::default().with(Axis::Input, 3).with(Axis::Output, 1)),
    ];
    let mut encoder = StreamEncoder::new(Dialect::OpenaiChat, StreamOptions::default());
    let mut out = BytesMut::new();
    events.iter().for_each(|e| encoder.push(e, &mut out));
    encoder.finish(&mut out);
    let bytes = String::from_utf8(out.to_vec()).expect("text");
    assert!(!bytes.contains("usage") && bytes.ends_with("data: [DONE]\n\n"), "{bytes}");
    let asked = String::from_utf8(encode(Dialect::OpenaiChat, &events)).expect("text");
    assert_eq!(asked.matches("\"usage\":{").count(), 1);
    assert_eq!(asked.matches("\"usage\":null").count(), 3);
}

// ---- properties -----------------------------------------------------------

fn word() -> impl Strategy<Value = String> {
    "[a-zé\"\\\\\n{}: 0-9😀]{1,8}"
}

fn deltas(choice: u32, is_anthropic: bool) -> impl Strategy<Value = Vec<Event>> {
    let say = prop_oneof![
        4 => word().prop_map(move |text| vec![Event::Text { choice, text }]),
        2 => (word(), word()).prop_map(move |(text, signature)| {
            let thought = Event::Reasoning { choice, text };
            if is_anthropic { vec![thought, Event::Signature { choice, signature }] } else { vec![thought] }
        }),
    ];
    let logprob = (word(), -9.0f32..0.0).prop_map(|(token, logprob)| TokenLogprob {
        bytes: Some(token.as_bytes().to_vec()),
        token,
        logprob,
        top: vec![chat::TopLogprob { token: "t".into(), bytes: None, logprob: -0.5 }],
    });
    let logprobs = prop::collection::vec(logprob, 0..3);
    let calls = prop::collection::vec((word(), word(), prop::collection::vec(word(), 1..3)), 0..3);
    let reason = prop_oneof![
        Just(Finish::Stop),
        Just(Finish::Length),
        Just(Finish::ToolCalls),
        Just(Finish::Filtered)
    ];
    (prop::collection::vec(say, 1..5), logprobs, calls, reason).prop_map(
        move |(says, tokens, calls, reason)| {
            let mut events: Vec<Event> = says.concat();
            if !tokens.is_empty() && !is_anthropic {
                events.push(Event::Logprobs { choice, tokens });
            }
            for (index, (id, name, fragments)) in (0u32..).zip(calls) {
                events.push(Event::ToolStart { choice, index, id, name });
                events.extend(fragments.into_iter().map(|fragment| Event::ToolArguments {
                    choice,
                    index,
                    fragment,
                }));
            }
            events.push(Event::Finish { choice, reason, stop: None });
            events
        },
    )
}

fn usage_event(counts: [u16; 4], is_anthropic: bool) -> Event {
    let [input, cached, output, reasoning] = counts.map(u64::from);
    let mut usage = Usage::default()
        .with(Axis::Input, input)
        .with(Axis::CacheRead, cached)
        .with(Axis::Output, output)
        .with(Axis::Reasoning, if is_anthropic { 0 } else { reasoning });
    usage.claimed_input = (!is_anthropic).then(|| usage.input_total());
    usage.claimed_output = Some(usage.output_total());
    Event::Usage(usage)
}

fn canonical(is_anthropic: bool) -> impl Strategy<Value = Vec<Event>> {
    let second = if is_anthropic { 0..1usize } else { 0..2usize };
    (
        word(),
        word(),
        deltas(0, is_anthropic),
        prop::collection::vec(deltas(1, is_anthropic), second),
        any::<[u16; 4]>(),
    )
        .prop_map(move |(id, model, first, second, counts)| {
            let created = if is_anthropic { 0 } else { 1_700_000_000 };
            let mut events = vec![Event::Start { id, model, created }];
            if !is_anthropic {
                events.push(Event::Tier(chat::Tier::Flex));
            }
            events.extend(first);
            events.extend(second.concat());
            events.push(usage_event(counts, is_anthropic));
            events
        })
}

/// Fragments of a call that waited for its block come as one.
fn merged(events: Vec<Event>) -> Vec<Event> {
    let mut out: Vec<Event> = Vec::new();
    for event in events {
        if let (
            Some(Event::ToolArguments { index: last, fragment: whole, .. }),
            Event::ToolArguments { index, fragment, .. },
        ) = (out.last_mut(), &event)
            && last == index
        {
            whole.push_str(fragment);
            continue;
        }
        out.push(event);
    }
    out
}

/// Adjacent text of one kind is one text, however it was cut.
fn folded(events: Vec<Event>) -> Response {
    let mut response = Response::default();
    events.into_iter().for_each(|e| response.push(e));
    response
}

fn cut(bytes: &[u8], cuts: Vec<usize>) -> Vec<&[u8]> {
    let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn openai_streams_survive_the_wire_event_by_event(events in canonical(false), cuts in prop::collection::vec(any::<usize>(), 0..8)) {
        let bytes = encode(Dialect::OpenaiChat, &events);
        let (read, ending) = decode(Dialect::OpenaiChat, &cut(&bytes, cuts));
        prop_assert_eq!(ending, Ending::Complete);
        prop_assert_eq!(read, events);
    }

    #[test]
    fn anthropic_streams_survive_the_wire_event_by_event(events in canonical(true), cuts in prop::collection::vec(any::<usize>(), 0..8)) {
        let bytes = encode(Dialect::AnthropicMessages, &events);
        let (read, ending) = decode(Dialect::AnthropicMessages, &cut(&bytes, cuts));
        prop_assert_eq!(ending, Ending::Complete);
        prop_assert_eq!(merged(read), merged(events));
    }

    #[test]
    fn legacy_streams_keep_text_and_probabilities(events in canonical(false)) {
        let bytes = encode(Dialect::OpenaiCompletions, &events);
        let (read, ending) = decode(Dialect::OpenaiCompletions, &[&bytes]);
        prop_assert_eq!(ending, Ending::Complete);
        prop_assert_eq!(text_of(&read), text_of(&events));
        prop_assert_eq!(usage_in(&read), usage_in(&events));
    }

    #[test]
    fn a_stream_and_its_whole_answer_read_the_same(events in canonical(false)) {
        let answer = folded(events);
        let whole = crate::encode_response(Dialect::OpenaiChat, &answer);
        let read = crate::decode_response(Dialect::OpenaiChat, &whole).expect("ours");
        prop_assert_eq!(read.usage, answer.usage);
        prop_assert_eq!(read.choices.len(), answer.choices.len());
        for (a, b) in read.choices.iter().zip(&answer.choices) {
            prop_assert_eq!(&a.finish, &b.finish);
            prop_assert_eq!(&a.logprobs, &b.logprobs);
        }
    }

    #[test]
    fn every_byte_split_reads_the_same(events in canonical(false), at in any::<usize>()) {
        for dialect in STREAMS {
            let bytes = encode(dialect, &events);
            let whole = decode(dialect, &[&bytes]);
            let at = at % (bytes.len() + 1);
            prop_assert_eq!(decode(dialect, &[&bytes[..at], &bytes[at..]]), whole.clone());
            let drip: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(decode(dialect, &drip), whole);
        }
    }

    #[test]
    fn broken_streams_never_panic(events in canonical(false), at in any::<usize>(), byte: u8, cut_at in any::<usize>()) {
        for dialect in STREAMS {
            let mut bytes = encode(dialect, &events);
            let at = at % bytes.len();
            bytes[at] = byte;
            let cut_at = cut_at % bytes.len();
            for read_as in STREAMS {
                let _ = decode(read_as, &[&bytes]);
                let _ = decode(read_as, &[&bytes[..cut_at]]);
            }
        }
    }
}
