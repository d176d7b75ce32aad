//! Entry points for fuzzing: each takes any bytes and panics only on a bug.

use bytes::{Bytes, BytesMut};

use crate::{
    Dialect, Error, Quirks, Rewrite, StreamDecoder, StreamEncoder, StreamOptions, Tee, decode_error,
    decode_request, decode_response, encode_request, encode_response, openai, rewrite, scan, usage_of,
};

/// What clients send: what scans is JSON, and stays JSON when spliced.
pub fn request(bytes: &[u8]) {
    let body = Bytes::copy_from_slice(bytes);
    if let Ok(envelope) = scan(&body) {
        let change = Rewrite {
            model: Some("other"),
            include_usage: true,
            max_tokens_if_absent: Some(("max_tokens", 9)),
            max_tokens_field: Some("max_completion_tokens"),
        };
        let spliced = rewrite(&body, &envelope, &change).join();
        assert_eq!(scan(&spliced).map(|e| e.model), Ok("other".to_string()));
        crate::file_search::keeps_a_body_whole(&body, &envelope);
    }
    let _ = openai::embeddings::decode(&body);
    let _ = crate::rerank::decode(&body);
    for dialect in Dialect::ALL {
        let Ok(decoded) = decode_request(dialect, &body) else { continue };
        // The scan knows the fields of every dialect at once: `n` as an object is
        // refused by it even where the dialect has no `n`.
        match scan(&body) {
            Ok(_) => {}
            Err(Error::Field { .. }) if dialect == Dialect::AnthropicMessages => continue,
            Err(error) => panic!("read whole by {dialect:?}, but not scanned: {error}"),
        }
        for target in Dialect::ALL {
            if let Ok(encoded) = encode_request(target, &Quirks::default(), "m", &decoded) {
                assert!(scan(&encoded.body).is_ok(), "wrote {:?}", encoded.body);
            }
        }
    }
}

/// What providers answer.
pub fn answer(bytes: &[u8]) {
    for dialect in Dialect::ALL {
        usage_of(dialect, bytes);
        decode_error(dialect, 429, std::iter::empty(), bytes, units::Micros(0));
        if let Ok(response) = decode_response(dialect, bytes) {
            for client in Dialect::ALL {
                let body = encode_response(client, &response);
                assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok(), "wrote {body:?}");
            }
        }
    }
    let _ = openai::embeddings::decode_response(bytes);
    openai::models::decode(bytes);
}

/// What providers stream: the split does not matter, and a tee loses nothing.
pub fn stream(bytes: &[u8]) {
    let half = bytes.len() / 2;
    for dialect in Dialect::ALL {
        let mut whole = StreamDecoder::new(dialect);
        let mut events = whole.push(bytes);
        let (last, ending) = whole.finish();
        events.extend(last);
        let mut split = StreamDecoder::new(dialect);
        let mut again = split.push(&bytes[..half]);
        again.extend(split.push(&bytes[half..]));
        let (last, ending_again) = split.finish();
        again.extend(last);
        // Not `assert_eq`: a NaN probability differs from itself.
        assert_eq!((events.len(), ending), (again.len(), ending_again));

        for client in Dialect::ALL {
            let mut encoder = StreamEncoder::new(client, StreamOptions::default());
            let mut out = BytesMut::new();
            events.iter().for_each(|e| encoder.push(e, &mut out));
            encoder.finish(&mut out);
        }
        let mut tee = Tee::new(dialect, false);
        let mut out = Vec::new();
        tee.push(Bytes::copy_from_slice(&bytes[..half]), &mut out);
        tee.push(Bytes::copy_from_slice(&bytes[half..]), &mut out);
        tee.finish(&mut out);
        assert_eq!(out.concat(), bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REQUESTS: [&str; 2] =
        [include_str!("golden/openai_request.json"), include_str!("golden/anthropic_request.json")];
    const ANSWERS: [&str; 2] =
        [include_str!("golden/openai_answer.json"), include_str!("golden/anthropic_answer.json")];

    #[test]
    fn a_request_or_an_answer_cut_anywhere_is_refused_or_read() {
        for body in REQUESTS {
            (0..body.len()).step_by(3).for_each(|at| request(&body.as_bytes()[..at]));
        }
        for body in ANSWERS {
            (0..body.len()).step_by(3).for_each(|at| answer(&body.as_bytes()[..at]));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn a_byte_changed_anywhere_never_panics(which in 0usize..2, edits in prop::collection::vec((any::<usize>(), any::<u8>()), 1..4)) {
            for (bodies, check) in [(REQUESTS, request as fn(&[u8])), (ANSWERS, answer as fn(&[u8]))] {
                let mut body = bodies[which].as_bytes().to_vec();
                for (at, byte) in &edits {
                    let at = at % body.len();
                    body[at] = *byte;
                }
                check(&body);
                stream(&[b"data: ", &body[..], b"\n\n"].concat());
            }
        }
    }
}
