use report::Report;

use super::*;

/// 2026-11-23T16:00:00Z
fn now() -> Micros {
    "2026-11-23".parse::<units::Day>().expect("a day").start().plus_us(16 * 3_600_000_000)
}

fn read(status: u16, headers: &[(&str, &str)], body: &str) -> UpstreamError {
    decode_error(Dialect::OpenaiChat, status, headers.iter().copied(), body.as_bytes(), now())
}

#[test]
fn a_wait_is_read_in_every_form_it_is_sent() {
    for (headers, want) in [
        (&[("Retry-After", "7")][..], Some(7_000)),
        (&[("retry-after", "0.5")], Some(500)),
        (&[("retry-after", "7"), ("retry-after-ms", "1250")], Some(1_250)),
        (&[("retry-after", "Mon, 23 Nov 2026 16:00:30 GMT")], Some(30_000)),
        (&[("retry-after", "Monday, 23-Nov-26 16:00:30 GMT")], Some(30_000)),
        (&[("retry-after", "Mon Nov 23 16:00:30 2026")], Some(30_000)),
        (&[("retry-after", "Mon, 23 Nov 2026 15:00:00 GMT")], Some(0)),
        (&[("retry-after", "Sunday, 06-Nov-94 08:49:37 GMT")], Some(0)),
        (&[("retry-after", "Mon, 23 Nov 2099 16:00:30 GMT")], Some(3_600_000)),
        (&[("retry-after", "1e300")], Some(3_600_000)),
        (&[("retry-after", "-5")], None),
        (&[("retry-after", "NaN")], None),
        (&[("retry-after", "soon")], None),
        (&[("retry-after", "Mon, 31 Feb 2026 16:00:30 GMT")], None),
        (&[("x-ratelimit-reset-tokens", "6m0s"), ("x-ratelimit-reset-requests", "20ms")], Some(20)),
        (
            &[
                ("x-ratelimit-remaining-tokens", "0"),
                ("x-ratelimit-remaining-requests", "9"),
                ("x-ratelimit-reset-tokens", "1h2m3.5s"),
                ("x-ratelimit-reset-requests", "20ms"),
            ],
            Some(3_600_000),
        ),
        (
            &[
                ("anthropic-ratelimit-tokens-remaining", "0"),
                ("anthropic-ratelimit-tokens-reset", "2026-11-23T16:00:05Z"),
            ],
            Some(5_000),
        ),
        (&[("x-ratelimit-reset", "1795449610")], Some(10_000)),
        (&[("x-ratelimit-reset", "1795449610500")], Some(10_500)),
        (&[], None),
    ] {
        assert_eq!(read(429, headers, "").retry_after_ms, want, "{headers:?}");
    }
    let date = http_date::rfc3339("2026-11-23T18:00:05.25+02:00").expect("a date");
    assert_eq!(date.since(now()), 5_250_000);
}

#[test]
fn what_a_provider_says_is_found_in_any_shape() {
    for (status, body, kind, message) in [
        (
            429,
            r#"{"error":{"message":"slow","type":"requests","code":"rate_limit_exceeded"}}"#,
            "rate_limit_exceeded",
            "slow",
        ),
        (
            529,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            "overloaded_error",
            "Overloaded",
        ),
        (400, r#"{"error":"no such model"}"#, "", "no such model"),
        (422, r#"{"detail":"bad"}"#, "", "bad"),
        (422, r#"{"detail":[{"msg":"bad"}]}"#, "", r#"[{"msg":"bad"}]"#),
        (
            400,
            r#"{"object":"error","message":"m","type":"BadRequestError","code":400}"#,
            "BadRequestError",
            "m",
        ),
        (
            400,
            r#"[{"error":{"code":400,"message":"g","status":"INVALID_ARGUMENT"}}]"#,
            "INVALID_ARGUMENT",
            "g",
        ),
        (502, "<html><body>bad gateway</body></html>", "", "an HTML page"),
        (500, "plain", "", "plain"),
        (500, "", "", ""),
    ] {
        let e = read(status, &[], body);
        assert_eq!((e.kind.as_str(), e.message.as_str()), (kind, message), "{body}");
    }
}

#[test]
fn only_what_may_pass_later_is_retriable() {
    let quota = r#"{"error":{"message":"spent","type":"insufficient_quota","code":"insufficient_quota"}}"#;
    let long = r#"{"error":{"message":"This model's maximum context length is 8192 tokens","code":"context_length_exceeded"}}"#;
    for (status, headers, body, want) in [
        (429, &[][..], "", true),
        (429, &[], quota, false),
        (500, &[], "", true),
        (503, &[], "", true),
        (529, &[], "", true),
        (501, &[], "", false),
        (400, &[], "", false),
        (401, &[], "", false),
        (408, &[], "", true),
        (400, &[("x-should-retry", "true")], "", true),
        (500, &[("x-should-retry", "false")], "", false),
        (400, &[], long, false),
    ] {
        assert_eq!(read(status, headers, body).retriable, want, "{status} {headers:?} {body}");
    }
    assert!(read(400, &[], long).context_length);
    assert!(
        read(400, &[], r#"{"type":"error","error":{"message":"prompt is too long: 9 > 8"}}"#).context_length
    );
    assert!(!read(400, &[], r#"{"error":{"message":"bad temperature"}}"#).context_length);
}

#[test]
fn trap_x4_a_provider_that_repeats_a_key_is_not_repeated() {
    for secret in [
        "sk-proj-abcdEFGH1234",
        "sk-ant-api03-Zm9vYmFyYmF6",
        "gsk_9fJ2kLmNoPqR",
        "bp-live-0123456789abcdef",
        "0123456789abcdef0123456789abcdef",
        "AIzaSyA1234567890abcdef",
    ] {
        let e =
            read(401, &[], &format!(r#"{{"error":{{"message":"Incorrect API key provided: {secret}."}}}}"#));
        assert_eq!(e.message, "Incorrect API key provided: [redacted].", "{secret}");
        assert!(!read(401, &[], &format!("key={secret}&x")).message.contains(secret));
    }
    let plain = "the model claude-sonnet-4-5-20250929 is overloaded at 12:00:01, see https://x.y/z";
    assert_eq!(redact(plain), plain);
    assert_eq!(redact(&"é".repeat(900)).chars().count(), MESSAGE_MAX + 3);
}

#[test]
fn our_errors_wear_the_clients_envelope() {
    let check = |dialect, report: &Report, want: expect_test::Expect| {
        let (status, body) = encode_error(dialect, report, "req-1");
        want.assert_eq(&format!("{status} {}", String::from_utf8_lossy(&body)));
    };
    let budget =
        Report::new("LG0202", "the request could cost 0.02 USD, 0.01 USD is left").hint("ask for less");
    let long = Report::new("EN0001", "the prompt has 5000 tokens, the model takes 4096");
    let field: Report = crate::Error::field("messages[0].role", "\"robot\"", "user or assistant").into();
    use expect_test::expect;
    check(
        Dialect::OpenaiChat,
        &budget,
        expect![[
            r#"402 {"error":{"message":"the request could cost 0.02 USD, 0.01 USD is left; ask for less","type":"insufficient_quota","param":null,"code":"LG0202"}}"#
        ]],
    );
    check(
        Dialect::AnthropicMessages,
        &budget,
        expect![[
            r#"402 {"type":"error","error":{"type":"billing_error","message":"the request could cost 0.02 USD, 0.01 USD is left; ask for less","code":"LG0202"},"request_id":"req-1"}"#
        ]],
    );
    check(
        Dialect::OpenaiChat,
        &long,
        expect![[
            r#"400 {"error":{"message":"the prompt has 5000 tokens, the model takes 4096 [EN0001]","type":"invalid_request_error","param":null,"code":"context_length_exceeded"}}"#
        ]],
    );
    check(
        Dialect::AnthropicMessages,
        &long,
        expect![[
            r#"400 {"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: the prompt has 5000 tokens, the model takes 4096","code":"EN0001"},"request_id":"req-1"}"#
        ]],
    );
    check(
        Dialect::OpenaiEmbeddings,
        &field,
        expect![[
            r#"400 {"error":{"message":"expected user or assistant, got \"robot\" at messages[0].role","type":"invalid_request_error","param":"messages[0].role","code":"DI0004"}}"#
        ]],
    );
}
