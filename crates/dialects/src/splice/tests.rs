use proptest::prelude::*;

use super::*;
use crate::scan;

fn spliced(body: &str, rewrite_with: &Rewrite<'_>) -> String {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let envelope = scan(&body).expect("valid");
    let pieces = rewrite(&body, &envelope, rewrite_with);
    assert_eq!(pieces.len(), pieces.clone().join().len());
    String::from_utf8(pieces.join().to_vec()).expect("text")
}

#[test]
fn nothing_to_change_is_the_same_bytes_uncopied() {
    let body = Bytes::from_static(b" {\"model\":\"m\", \"x\" : 1}\n");
    let envelope = scan(&body).expect("valid");
    let pieces = rewrite(&body, &envelope, &Rewrite { model: Some("m"), ..Rewrite::default() });
    assert_eq!(pieces.0.len(), 1);
    assert_eq!(pieces.0[0].as_ptr(), body.as_ptr());
}

#[test]
fn usage_is_asked_for_once_however_the_client_wrote_its_options() {
    let ask = Rewrite { include_usage: true, ..Rewrite::default() };
    for (body, want) in [
        (r#"{"model":"m"}"#, r#"{"model":"m"}"#),
        (
            r#"{"model":"m","stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"model":"m","stream":true}"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":null}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":{ }}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true }}"#,
        ),
        (
            r#"{"stream_options":{"x":1},"model":"m","stream":true}"#,
            r#"{"stream_options":{"include_usage":true,"x":1},"model":"m","stream":true}"#,
        ),
        (
            r#"{"stream_options":{"include_usage":false},"model":"m","stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"model":"m","stream":true}"#,
        ),
        (
            r#"{"stream_options":{"include_usage":true},"model":"m","stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"model":"m","stream":true}"#,
        ),
    ] {
        assert_eq!(spliced(body, &ask), want);
    }
}

#[test]
fn the_output_limit_is_set_only_when_the_client_set_none_and_renamed_on_request() {
    let cap = Rewrite { max_tokens_if_absent: Some(("max_tokens", 64)), ..Rewrite::default() };
    assert_eq!(spliced(r#"{"model":"m"}"#, &cap), r#"{"max_tokens":64,"model":"m"}"#);
    assert_eq!(spliced(r#"{"max_tokens":null,"model":"m"}"#, &cap), r#"{"max_tokens":64,"model":"m"}"#);
    assert_eq!(
        spliced(r#"{"max_completion_tokens":9,"model":"m"}"#, &cap),
        r#"{"max_completion_tokens":9,"model":"m"}"#
    );
    let rename = Rewrite { max_tokens_field: Some("max_completion_tokens"), ..Rewrite::default() };
    assert_eq!(
        spliced(r#"{"model":"m","max_tokens" : 9}"#, &rename),
        r#"{"model":"m","max_completion_tokens" : 9}"#
    );
    let back = Rewrite { max_tokens_field: Some("max_tokens"), ..Rewrite::default() };
    assert_eq!(
        spliced(r#"{"model":"m","max_completion_tokens":9}"#, &back),
        r#"{"model":"m","max_tokens":9}"#
    );
}

#[test]
fn a_model_name_with_quotes_stays_one_string() {
    let to = Rewrite { model: Some("a\"b\\c"), ..Rewrite::default() };
    assert_eq!(spliced(r#"{"z":1,"model":"m","y":2}"#, &to), r#"{"z":1,"model":"a\"b\\c","y":2}"#);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// TRAPS S2: the output minus the declared edits is the input.
    #[test]
    fn trap_s2_what_was_not_edited_is_the_clients_own_byte(
        fields in prop::collection::btree_map("[a-zé\"\\\\]{1,6}", ".{0,20}", 0..6),
        position in 0usize..6, stream: bool, options in 0usize..4, pretty: bool, usage: bool, cap: bool, upstream in ".{1,8}",
    ) {
        let mut object: Vec<(String, serde_json::Value)> = fields.into_iter().map(|(k, v)| (format!("x{k}"), v.into())).collect();
        object.insert(position.min(object.len()), ("model".into(), "named".into()));
        object.push(("stream".into(), stream.into()));
        match options {
            1 => object.push(("stream_options".into(), serde_json::json!({}))),
            2 => object.push(("stream_options".into(), serde_json::json!({"a": 1, "include_usage": false}))),
            3 => object.push(("max_tokens".into(), 5.into())),
            _ => {}
        }
        let object: serde_json::Map<_, _> = object.into_iter().collect();
        let text = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) }.expect("json");
        let body = Bytes::from(text);
        let envelope = scan(&body).expect("valid");
        let change = Rewrite { model: Some(&upstream), include_usage: usage, max_tokens_if_absent: cap.then_some(("max_tokens", 7)), max_tokens_field: None };
        let declared = edits(&envelope, &body, &change);
        let out = rewrite(&body, &envelope, &change).join();

        // Undo: replace what each edit wrote by what stood there.
        let mut undone = Vec::new();
        let (mut read, mut from) = (0, 0);
        for edit in &declared {
            let keep = edit.span.start - from;
            undone.extend_from_slice(&out[read..read + keep]);
            undone.extend_from_slice(&body[edit.span.clone()]);
            read += keep + edit.with.len();
            from = edit.span.end;
        }
        undone.extend_from_slice(&out[read..]);
        prop_assert_eq!(&undone[..], &body[..]);

        let after = scan(&out).expect("still valid");
        prop_assert_eq!(after.model, upstream);
        prop_assert_eq!(after.include_usage, usage && stream);
        if cap { prop_assert!(after.max_tokens.is_some()); }
    }
}
