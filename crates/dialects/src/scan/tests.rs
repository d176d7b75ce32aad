use proptest::prelude::*;

use super::*;

fn code(body: &[u8]) -> &'static str {
    match scan(body) {
        Ok(_) => "ok",
        Err(e) => e.code(),
    }
}

#[test]
fn the_envelope_is_read_whatever_the_order() {
    let body = br#" {"messages":[{"role":"user","content":"hi \"there\""}], "stream" : true,
        "stream_options":{"x":1,"include_usage":true},"max_tokens":10,"max_completion_tokens":20,
        "n":2,"user":"u1","tools":[{"type":"function"}],"model":"m\u0031"} "#;
    let e = scan(body).expect("valid");
    assert_eq!(
        (e.model.as_str(), e.stream, e.max_tokens, e.n, e.user.as_deref()),
        ("m1", true, Some(20), 2, Some("u1"))
    );
    assert!(e.include_usage && e.has_tools);
    assert_eq!(&body[e.model_span.clone()], br#""m\u0031""#);
    assert_eq!(&body[e.include_usage_span.clone().expect("there")], b"true");
    assert_eq!(&body[e.stream_span.clone().expect("there")], b"true");
}

#[test]
fn each_kind_of_bad_body_has_its_code() {
    for (want, body) in [
        ("DI0001", &b""[..]),
        ("DI0001", b"[]"),
        ("DI0001", b"{"),
        ("DI0001", br#"{"model":"m""#),
        ("DI0001", br#"{"model":"m"}x"#),
        ("DI0001", br#"{"model":"m",}"#),
        ("DI0001", br#"{"model":"m","a":01}"#),
        ("DI0001", br#"{"model":"m","a":[1,]}"#),
        ("DI0001", br#"{"model":"m","a":[1}}"#),
        ("DI0001", br#"{"model":"m","a":+1}"#),
        ("DI0001", br#"{"model":"m","a":.5}"#),
        ("DI0001", br#"{"model":"m","a":"\x"}"#),
        ("DI0001", br#"{"model":"m","a":"\u12g4"}"#),
        ("DI0001", b"{\"model\":\"m\",\"a\":\"\n\"}"),
        ("DI0001", b"{\"model\":\"m\",\"a\":\"\xff\"}"),
        ("DI0001", br#"{"model":"m","a":nul}"#),
        ("DI0002", br#"{"model":"m","model":"n"}"#),
        ("DI0002", br#"{"model":"m","mod\u0065l":"n"}"#),
        ("DI0002", br#"{"model":"m","stream_options":{"include_usage":true,"include_usage":false}}"#),
        ("DI0004", br#"{"model":7}"#),
        ("DI0004", br#"{"model":""}"#),
        ("DI0004", br#"{"model":"m","max_tokens":-1}"#),
        ("DI0004", br#"{"model":"m","max_tokens":1e99}"#),
        ("DI0004", br#"{"model":"m","max_tokens":99999999999999999999999}"#),
        ("DI0004", br#"{"model":"m","max_tokens":1.5}"#),
        ("DI0004", br#"{"model":"m","max_tokens":"12"}"#),
        ("DI0004", br#"{"model":"m","n":0}"#),
        ("DI0004", br#"{"model":"m","n":4294967297}"#),
        ("DI0004", br#"{"model":"m","stream":"yes"}"#),
        ("DI0005", br#"{"messages":[]}"#),
        ("ok", br#"{"model":"m","max_tokens":null,"user":null,"stream":null,"stream_options":null}"#),
        ("ok", br#"{"model":"m","max_tokens":16.0,"a":[[],{},"",-0.5e-3,null,true,false]}"#),
    ] {
        assert_eq!(code(body), want, "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn nesting_is_limited() {
    let nested = |n: usize| format!("{{\"model\":\"m\",\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
    assert_eq!(code(nested(DEPTH_MAX - 1).as_bytes()), "ok");
    assert_eq!(code(nested(DEPTH_MAX).as_bytes()), "DI0003");
    assert_eq!(code("[{\"a\":".repeat(100_000).as_bytes()), "DI0001");
    assert_eq!(code(format!("{{\"a\":{}", "{\"a\":".repeat(100_000)).as_bytes()), "DI0003");
}

#[test]
fn many_top_level_keys_cost_no_quadratic_time_and_are_still_compared() {
    let keys: String = (0..20_000).map(|i| format!("\"k{i}\":0,")).collect();
    assert_eq!(code(format!("{{{keys}\"model\":\"m\"}}").as_bytes()), "ok");
    assert_eq!(code(format!("{{{keys}\"k19000\":0,\"model\":\"m\"}}").as_bytes()), "DI0002");
}

#[test]
fn an_inline_image_is_not_counted_as_text() {
    let image = "A".repeat(5000);
    let body = format!(
        r#"{{"model":"m","messages":[{{"content":[{{"text":"hello"}},{{"image_url":{{"url":"data:image/png;base64,{image}"}}}},{{"source":{{"data":"{image}"}}}}]}}]}}"#
    );
    assert!(scan(body.as_bytes()).expect("valid").text_bytes < 20);
    assert!(scan(br#"{"model":"","model2":1}"#).is_err());
    assert_eq!(scan(br#"{"model":"m","input":[1,2,3]}"#).expect("valid").text_bytes, 1 + 12);
}

fn json(depth: u32) -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-8000i32..8000).prop_map(|n| serde_json::json!(f64::from(n) / 8.0)),
        ".{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(depth, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((".{0,6}", inner), 0..6).prop_map(|f| f.into_iter().collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_json_object_is_walked_field_by_field(fields in prop::collection::vec((".{0,8}", json(4)), 0..8), pretty: bool) {
        let object: serde_json::Map<String, serde_json::Value> = fields.into_iter().collect();
        let text = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) }.expect("json");
        let mut seen = serde_json::Map::new();
        walk(text.as_bytes(), |key, span, text| {
            seen.insert(key.to_string(), serde_json::from_str(&text[span]).expect("a value"));
            Ok(())
        }).expect("valid");
        prop_assert_eq!(seen, object);
    }

    #[test]
    fn the_scan_agrees_with_serde_on_mutated_bodies(at in 0usize..120, byte: u8) {
        let mut body = br#"{"model":"m","a":[1,-2.5e3,"x\n\u00e9",{"b":null,"c":[true,false]}],"d":{"e":"f"},"g":""}"#.to_vec();
        let at = at % body.len();
        body[at] = byte;
        let ours = walk(&body, |_, _, _| Ok(()));
        let theirs = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&body);
        match (ours, theirs) {
            (Err(Error::DuplicateKey { .. }), Ok(_)) => {}
            // Lone surrogates and numbers beyond f64 are grammar; their reader refuses them later.
            (Ok(_), Err(e)) => prop_assert!(e.to_string().contains("surrogate") || e.to_string().contains("out of range"), "{} {}", e, String::from_utf8_lossy(&body)),
            (ours, theirs) => prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{}", String::from_utf8_lossy(&body)),
        }
    }

    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\",:\\\\u0-9a-e. -]{0,60}") {
        let _ = scan(&body);
        let _ = scan(text.as_bytes());
        let _ = scan(format!("{{\"model\":\"m\",{text}").as_bytes());
    }
}
