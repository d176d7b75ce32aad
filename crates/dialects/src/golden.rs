//! The golden matrix: a few rich requests and answers, in every dialect.

use bytes::{Bytes, BytesMut};
use expect_test::{ExpectFile, expect_file};

use crate::{
    Decoded, Dialect, Ending, Quirks, StreamDecoder, StreamEncoder, StreamOptions, decode_request,
    decode_response, encode_request, encode_response,
};

const CHATS: [Dialect; 3] = [Dialect::OpenaiChat, Dialect::OpenaiCompletions, Dialect::AnthropicMessages];

fn pretty(body: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(body).expect("what we write is JSON");
    serde_json::to_string_pretty(&value).expect("json")
}

/// One request as each dialect's target reads it, with what was lost on the way.
fn check_request(dialect: Dialect, body: &str, want: ExpectFile) {
    let decoded = decode_request(dialect, &Bytes::copy_from_slice(body.as_bytes())).expect("a fixture");
    let mut text = String::new();
    for target in CHATS {
        for (kind, is_rich) in [("a plain target", false), ("a rich target", true)] {
            let quirks =
                Quirks { extended_sampling: is_rich, reasoning_content: is_rich, ..Quirks::default() };
            text.push_str(&format!("=== to {kind} of {}\n", target.name()));
            match encode_request(target, &quirks, "upstream-model", &decoded) {
                Ok(encoded) => {
                    let dropped = encoded.dropped.join(", ");
                    text.push_str(&format!("dropped: {dropped}\n{}\n", pretty(&encoded.body)));
                    reads_back(target, &encoded.body, &decoded);
                }
                Err(e) => text.push_str(&format!("refused {}: {e}\n", e.code())),
            }
        }
    }
    want.assert_eq(&text);
}

/// What was written is read again, and says as much as before.
fn reads_back(target: Dialect, body: &Bytes, before: &Decoded) {
    let again = decode_request(target, body).expect("our own request");
    assert_eq!(
        (again.request.model.as_str(), again.request.stream),
        ("upstream-model", before.request.stream)
    );
    if target == before.dialect {
        assert_eq!(again.rest, before.rest);
        assert_eq!(again.request.tools, before.request.tools);
        assert_eq!(again.request.max_tokens, before.request.max_tokens);
        assert_eq!(again.request.stop, before.request.stop);
    }
}

/// One answer, whole and streamed, as each dialect's client reads it.
fn check_answer(dialect: Dialect, body: &str, want: ExpectFile) {
    let response = decode_response(dialect, body.as_bytes()).expect("a fixture");
    let mut text = String::new();
    for client in CHATS {
        let whole = pretty(&encode_response(client, &response));
        text.push_str(&format!(
            "=== whole, for {}\n{whole}\n=== streamed, for {}\n",
            client.name(),
            client.name()
        ));
        let options = StreamOptions { include_usage: true, model: "asked-for".into(), ..Default::default() };
        let mut encoder = StreamEncoder::new(client, options);
        let mut out = BytesMut::new();
        response.clone().into_events().iter().for_each(|e| encoder.push(e, &mut out));
        encoder.finish(&mut out);
        text.push_str(std::str::from_utf8(&out).expect("text"));
        let mut decoder = StreamDecoder::new(client);
        decoder.push(&out);
        assert_eq!((decoder.finish().1, decoder.skipped()), (Ending::Complete, 0));
    }
    want.assert_eq(&text);
}

#[test]
fn an_openai_request_with_everything() {
    check_request(
        Dialect::OpenaiChat,
        include_str!("golden/openai_request.json"),
        expect_file!["golden/openai_request.txt"],
    );
}

#[test]
fn an_answer_held_to_a_form() {
    check_request(
        Dialect::OpenaiChat,
        r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"structured_outputs":{"choice":["a.b","c|d/e"]}}"#,
        expect_file!["golden/held_request.txt"],
    );
    check_request(
        Dialect::OpenaiCompletions,
        r#"{"model":"m","prompt":"hi","structured_outputs":{"json":"{\"type\":\"null\"}"},"max_tokens":9}"#,
        expect_file!["golden/held_completion.txt"],
    );
    // What only another server reads goes to none that would not.
    check_request(
        Dialect::OpenaiChat,
        r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"guided_regex":"a"}"#,
        expect_file!["golden/held_elsewhere.txt"],
    );
}

#[test]
fn an_anthropic_request_with_everything() {
    check_request(
        Dialect::AnthropicMessages,
        include_str!("golden/anthropic_request.json"),
        expect_file!["golden/anthropic_request.txt"],
    );
}

#[test]
fn a_legacy_completion() {
    check_request(
        Dialect::OpenaiCompletions,
        r#"{"model":"m","prompt":["Once upon"],"max_tokens":16,"temperature":0.5,"stop":"\n","seed":-7,"logit_bias":{"50256":-100},"user":"u","stream":true,"best_of":1,"use_beam_search":false}"#,
        expect_file!["golden/legacy_request.txt"],
    );
}

#[test]
fn an_openai_answer_with_everything() {
    check_answer(
        Dialect::OpenaiChat,
        include_str!("golden/openai_answer.json"),
        expect_file!["golden/openai_answer.txt"],
    );
}

#[test]
fn an_anthropic_answer_with_everything() {
    check_answer(
        Dialect::AnthropicMessages,
        include_str!("golden/anthropic_answer.json"),
        expect_file!["golden/anthropic_answer.txt"],
    );
}

#[test]
fn odd_requests_are_refused_with_the_field_and_the_value() {
    let mut text = String::new();
    let chat =
        |fields: &str| format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],{fields}}}"#);
    let turn = |message: &str| format!(r#"{{"model":"m","messages":[{message}]}}"#);
    let claude = |fields: &str| {
        format!(r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":"hi"}}],{fields}}}"#)
    };
    for (dialect, body) in [
        (Dialect::OpenaiChat, chat(r#""temperature":-1"#)),
        (Dialect::OpenaiChat, chat(r#""temperature":1e39"#)),
        (Dialect::OpenaiChat, chat(r#""temperature":"hot""#)),
        (Dialect::OpenaiChat, chat(r#""top_p":1.01"#)),
        (Dialect::OpenaiChat, chat(r#""max_tokens":0"#)),
        (Dialect::OpenaiChat, chat(r#""max_tokens":18446744073709551616"#)),
        (Dialect::OpenaiChat, chat(r#""seed":9223372036854775808"#)),
        (Dialect::OpenaiChat, chat(r#""n":129"#)),
        (Dialect::OpenaiChat, chat(r#""top_logprobs":21"#)),
        (Dialect::OpenaiChat, chat(r#""logit_bias":{"x":1}"#)),
        (Dialect::OpenaiChat, chat(r#""logit_bias":{"5":101}"#)),
        (Dialect::OpenaiChat, chat(r#""stop":[""]"#)),
        (Dialect::OpenaiChat, chat(r#""functions":[]"#)),
        (Dialect::OpenaiChat, chat(r#""tool_choice":"maybe""#)),
        (Dialect::OpenaiChat, chat(r#""tools":[{"type":"web_search"}]"#)),
        (Dialect::OpenaiChat, chat(r#""tools":[{"type":"function","function":{}}]"#)),
        (Dialect::OpenaiChat, chat(r#""response_format":{"type":"json_schema"}"#)),
        (Dialect::OpenaiChat, chat(r#""structured_outputs":{}"#)),
        (Dialect::OpenaiChat, chat(r#""structured_outputs":{"choice":[]}"#)),
        (Dialect::OpenaiChat, chat(r#""structured_outputs":{"regex":"a","json":{}}"#)),
        (Dialect::OpenaiChat, chat(r#""structured_outputs":{"structural_tag":"a"}"#)),
        (
            Dialect::OpenaiChat,
            chat(r#""response_format":{"type":"json_object"},"structured_outputs":{"regex":"a"}"#),
        ),
        (Dialect::OpenaiChat, r#"{"model":"m"}"#.into()),
        (Dialect::OpenaiChat, turn("7")),
        (Dialect::OpenaiChat, turn(r#"{"role":"robot","content":"x"}"#)),
        (Dialect::OpenaiChat, turn(r#"{"content":"x"}"#)),
        (Dialect::OpenaiChat, turn(r#"{"role":"user"}"#)),
        (Dialect::OpenaiChat, turn(r#"{"role":"user","role":"user","content":"x"}"#)),
        (Dialect::OpenaiChat, turn(r#"{"role":"tool","content":"x"}"#)),
        (Dialect::OpenaiChat, turn(r#"{"role":"user","content":"\ud800"}"#)),
        (Dialect::OpenaiChat, turn(r#"{"role":"user","content":[{"type":"input_audio","input_audio":{}}]}"#)),
        (
            Dialect::OpenaiChat,
            turn(
                r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}]}"#,
            ),
        ),
        (Dialect::OpenaiCompletions, r#"{"model":"m"}"#.into()),
        (Dialect::OpenaiCompletions, r#"{"model":"m","prompt":["a","b"]}"#.into()),
        (Dialect::OpenaiCompletions, r#"{"model":"m","prompt":[1,2]}"#.into()),
        (Dialect::OpenaiCompletions, r#"{"model":"m","prompt":[]}"#.into()),
        (Dialect::AnthropicMessages, r#"{"model":"m","messages":[]}"#.into()),
        (Dialect::AnthropicMessages, claude(r#""temperature":1.5"#)),
        (Dialect::AnthropicMessages, claude(r#""max_tokens":-4"#).replace(r#""max_tokens":9,"#, "")),
        (Dialect::AnthropicMessages, claude(r#""thinking":{"type":"enabled"}"#)),
        (Dialect::AnthropicMessages, claude(r#""tools":[{"type":"bash_20250124","name":"bash"}]"#)),
        (Dialect::AnthropicMessages, claude(r#""tools":[{"name":"f"}]"#)),
        (Dialect::AnthropicMessages, claude(r#""system":[{"type":"document","source":{}}]"#)),
        (Dialect::OpenaiEmbeddings, r#"{"model":"m","input":"x"}"#.into()),
    ] {
        let e = decode_request(dialect, &Bytes::from(body.clone())).expect_err(&body);
        text.push_str(&format!("{} {e}\n", e.code()));
    }
    expect_file!["golden/refusals.txt"].assert_eq(&text);
}
