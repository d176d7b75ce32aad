use bytes::BytesMut;
use chat::{Axis, Event, Finish};
use proptest::prelude::*;

use super::*;
use crate::{StreamDecoder, StreamEncoder, StreamOptions};

fn through(dialect: Dialect, strip: bool, parts: &[&[u8]]) -> (Vec<u8>, Sighting, Ending) {
    let mut tee = Tee::new(dialect, strip);
    let mut out = Vec::new();
    parts.iter().for_each(|p| tee.push(Bytes::copy_from_slice(p), &mut out));
    let ending = tee.finish(&mut out);
    (out.concat(), tee.seen().clone(), ending)
}

const ROLE: &str = "data: {\"id\":\"c1\",\"model\":\"m-1\",\"service_tier\":\"flex\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}],\"usage\":null}\n\n";
const TEXT: &str = "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"say \\\"usage\\\":{\"},\"finish_reason\":null}],\"usage\": null}\n\n";
const STOP: &str =
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\": \"stop\"}]}\r\n\r\n";
const USAGE: &str =
    "data: {\"id\":\"c1\",\"choices\":[],\"usage\" : {\"prompt_tokens\":7,\"completion_tokens\":2}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

#[test]
fn the_injected_usage_chunk_is_seen_and_stripped_at_every_split() {
    let stream = [ROLE, TEXT, STOP, USAGE, DONE].concat();
    let stripped = [ROLE, TEXT, STOP, DONE].concat();
    for at in 0..=stream.len() {
        let parts = [&stream.as_bytes()[..at], &stream.as_bytes()[at..]];
        let (out, seen, ending) = through(Dialect::OpenaiChat, true, &parts);
        assert_eq!(String::from_utf8_lossy(&out), stripped, "split at {at}");
        assert_eq!(ending, Ending::Complete);
        assert!(seen.finished && seen.ended && seen.failed.is_none());
        assert_eq!((seen.id.as_deref(), seen.model.as_deref()), (Some("c1"), Some("m-1")));
        assert_eq!((seen.tier, seen.frames), (Some(Tier::Flex), 5));
        assert_eq!(seen.usage.map(|u| (u.get(Axis::Input), u.get(Axis::Output))), Some((7, 2)));
        assert_eq!(seen.output_bytes, "say \\\"usage\\\":{".len() as u64);
        let (out, ..) = through(Dialect::OpenaiChat, false, &parts);
        assert_eq!(out, stream.as_bytes());
    }
}

#[test]
fn trap_s3_whole_events_are_forwarded_at_once_and_uncopied() {
    let chunk = Bytes::from([ROLE, TEXT].concat());
    for strip in [false, true] {
        let mut tee = Tee::new(Dialect::OpenaiChat, strip);
        let mut out = Vec::new();
        tee.push(chunk.clone(), &mut out);
        assert_eq!(out.len(), 1);
        assert_eq!((out[0].as_ptr(), out[0].len()), (chunk.as_ptr(), chunk.len()));
    }
    // Without stripping, even half an event goes on at once.
    let mut tee = Tee::new(Dialect::OpenaiChat, false);
    let mut out = Vec::new();
    tee.push(chunk.slice(..10), &mut out);
    assert_eq!(out.concat(), chunk[..10]);
    // With it, an event goes as soon as its end is there.
    let mut tee = Tee::new(Dialect::OpenaiChat, true);
    let mut out = Vec::new();
    tee.push(chunk.slice(..ROLE.len() + 9), &mut out);
    assert_eq!(out.concat(), ROLE.as_bytes());
}

#[test]
fn trap_s1_a_usage_chunk_that_also_carries_text_is_never_stripped() {
    let both = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\n";
    let (out, seen, _) = through(Dialect::OpenaiChat, true, &[both.as_bytes()]);
    assert_eq!(out, both.as_bytes());
    assert!(seen.usage.is_some());
    // Azure's first chunk has no choices, and no usage.
    let azure = "data: {\"choices\":[],\"prompt_filter_results\":[{}],\"usage\":null}\n\n";
    assert_eq!(through(Dialect::OpenaiChat, true, &[azure.as_bytes()]).0, azure.as_bytes());
}

#[test]
fn a_cut_and_a_failed_stream_are_told_apart() {
    assert_eq!(through(Dialect::OpenaiChat, true, &[ROLE.as_bytes(), TEXT.as_bytes()]).2, Ending::Cut);
    let error = "data: {\"error\":{\"message\":\"no\",\"type\":\"server_error\"}}\n\n";
    let (out, seen, ending) = through(Dialect::OpenaiChat, true, &[ROLE.as_bytes(), error.as_bytes()]);
    assert_eq!((out, ending), ([ROLE, error].concat().into_bytes(), Ending::Failed));
    assert_eq!(seen.failed, Some(("server_error".into(), "no".into())));
    // The last event lacks its blank line.
    let bare = [ROLE, STOP, "data: [DONE]"].concat();
    let (out, seen, ending) = through(Dialect::OpenaiChat, true, &[bare.as_bytes()]);
    assert_eq!((out, seen.ended, ending), (bare.into_bytes(), true, Ending::Complete));
}

#[test]
fn trap_x4_a_key_in_an_error_event_is_not_forwarded() {
    let error =
        "data: {\"error\":{\"message\":\"bad key sk-proj-0123456789abcdefghij\",\"type\":\"auth\"}}\n\n";
    for strip in [false, true] {
        let (out, seen, ending) = through(Dialect::OpenaiChat, strip, &[ROLE.as_bytes(), error.as_bytes()]);
        let out = String::from_utf8(out).unwrap();
        assert!(out.starts_with(ROLE) && out.contains("bad key [redacted]"), "{out}");
        assert_eq!((ending, seen.failed.is_some()), (Ending::Failed, true));
    }
}

#[test]
fn an_anthropic_stream_is_metered() {
    let stream = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"claude\",\"usage\":{\"input_tokens\":10,\"cache_read_input_tokens\":5,\"cache_creation_input_tokens\":9,\"cache_creation\":{\"ephemeral_5m_input_tokens\":2,\"ephemeral_1h_input_tokens\":7},\"output_tokens\":1,\"service_tier\":\"priority\"}}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hello\"}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":12}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    for size in [1, 7, 64, 4096] {
        let parts: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
        let (out, seen, ending) = through(Dialect::AnthropicMessages, false, &parts);
        assert_eq!((out.as_slice(), ending), (stream.as_bytes(), Ending::Complete));
        let usage = seen.usage.expect("usage");
        let counts = [Axis::Input, Axis::CacheRead, Axis::CacheWrite, Axis::CacheWrite1h, Axis::Output]
            .map(|a| usage.get(a));
        assert_eq!(counts, [10, 5, 2, 7, 12]);
        assert_eq!((seen.tier, seen.output_bytes, seen.ended), (Some(Tier::Priority), 5, true));
        assert_eq!((seen.id.as_deref(), seen.model.as_deref()), (Some("msg_1"), Some("claude")));
    }
}

#[test]
fn a_whole_answer_is_metered() {
    let chat = br#"{"id":"c","model":"m","service_tier":"default","choices":[{"finish_reason":"stop","message":{"content":"hello"}}],"usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":6}}}"#;
    let seen = usage_of(Dialect::OpenaiChat, chat);
    let usage = seen.usage.expect("usage");
    assert_eq!((usage.get(Axis::Input), usage.get(Axis::CacheRead), usage.get(Axis::Output)), (3, 6, 4));
    assert!(seen.finished && seen.output_bytes == 7 && seen.tier == Some(Tier::Standard));
    let message = br#"{"id":"m","content":[],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2,"service_tier":"batch"}}"#;
    let seen = usage_of(Dialect::AnthropicMessages, message);
    assert_eq!((seen.tier, seen.finished), (Some(Tier::Batch), true));
    assert_eq!(usage_of(Dialect::OpenaiChat, b"<html>"), Sighting::default());
    assert!(usage_of(Dialect::OpenaiChat, br#"{"error":{"message":"x"}}"#).failed.is_some());
}

#[test]
fn an_endless_event_is_let_go() {
    for strip in [false, true] {
        let mut tee = Tee::new(Dialect::OpenaiChat, strip);
        let (mut out, mut sent) = (Vec::new(), 0);
        for _ in 0..3 * EVENT_BYTES_MAX / 65536 {
            let chunk = Bytes::from(vec![b'x'; 65536]);
            sent += chunk.len();
            tee.push(chunk, &mut out);
            assert!(tee.partial.len() <= EVENT_BYTES_MAX);
        }
        tee.finish(&mut out);
        assert_eq!(out.iter().map(Bytes::len).sum::<usize>(), sent);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_tee_and_the_decoder_agree(texts in prop::collection::vec("[a-z\"\\\\é\n]{1,9}", 1..6), input: u16, output: u16, cuts in prop::collection::vec(any::<usize>(), 0..6), finish: bool) {
        for dialect in [Dialect::OpenaiChat, Dialect::OpenaiCompletions, Dialect::AnthropicMessages] {
            let mut encoder = StreamEncoder::new(dialect, StreamOptions { include_usage: true, ..Default::default() });
            let mut bytes = BytesMut::new();
            encoder.push(&Event::Start { id: "i".into(), model: "m".into(), created: 1 }, &mut bytes);
            texts.iter().for_each(|t| encoder.push(&Event::Text { choice: 0, text: t.clone() }, &mut bytes));
            if finish {
                encoder.push(&Event::Finish { choice: 0, reason: Finish::Stop, stop: None }, &mut bytes);
            }
            encoder.push(&Event::Usage(Usage::default().with(Axis::Input, input.into()).with(Axis::Output, output.into())), &mut bytes);
            encoder.finish(&mut bytes);

            let mut at: Vec<usize> = cuts.iter().map(|c| c % (bytes.len() + 1)).chain([0, bytes.len()]).collect();
            at.sort_unstable();
            let parts: Vec<&[u8]> = at.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            let (out, seen, ending) = through(dialect, false, &parts);
            prop_assert_eq!(&out[..], &bytes[..]);
            let mut decoder = StreamDecoder::new(dialect);
            let mut events = decoder.push(&bytes);
            let (last, decoded_ending) = decoder.finish();
            events.extend(last);
            prop_assert_eq!(ending, decoded_ending);
            let usage = events.iter().find_map(|e| match e { Event::Usage(u) => Some(u.clone()), _ => None });
            prop_assert_eq!(seen.usage.filter(|_| finish), usage.filter(|_| finish));
            let escaped: usize = texts.iter().map(|t| serde_json::to_string(t).expect("json").len() - 2).sum();
            prop_assert_eq!(seen.output_bytes, escaped as u64);
            // Stripping leaves a stream that reads the same but for the usage.
            let (stripped, ..) = through(dialect, true, &parts);
            let mut decoder = StreamDecoder::new(dialect);
            let mut kept = decoder.push(&stripped);
            kept.extend(decoder.finish().0);
            if !dialect.is_anthropic() {
                events.retain(|e| !matches!(e, Event::Usage(_)));
            }
            prop_assert_eq!(kept, events);
        }
    }

    #[test]
    fn no_bytes_panic(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..8), text in "(data: |\\{\"usage\"|:|\\{\"delta\"|\"text\":\"|\r|\n|\\\\){0,20}") {
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).chain([text.as_bytes()]).collect();
        for dialect in Dialect::ALL {
            let (out, ..) = through(dialect, false, &parts);
            prop_assert_eq!(out, parts.concat());
            through(dialect, true, &parts);
            usage_of(dialect, text.as_bytes());
        }
    }
}
