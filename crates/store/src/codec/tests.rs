use proptest::prelude::*;

use super::*;
use crate::conformance::sample;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("openai.chat".into()),
        Just("settle".into()),
        "[a-z/:.-]{1,20}",
        "\\PC{0,12}"
    ]
}

fn id() -> impl Strategy<Value = Uuid7> {
    any::<[u8; 16]>().prop_map(Uuid7::from_bytes)
}

fn usd() -> impl Strategy<Value = Usd> {
    any::<i64>().prop_map(Usd::from_pico)
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let outcome = prop_oneof![
        Just(AttemptOutcome::Ok),
        text().prop_map(AttemptOutcome::Failed),
        Just(AttemptOutcome::Cancelled)
    ];
    let line = (text(), any::<u64>(), any::<i64>(), usd()).prop_map(|(item, quantity, rate, amount)| Line {
        item,
        quantity,
        rate: PicoRate::from_pico(rate),
        amount,
    });
    let names = (id(), text(), text(), text(), text(), text(), text());
    let times = (any::<i64>(), any::<Option<u64>>(), any::<u64>(), any::<u16>());
    let money = (prop::collection::vec(line, 0..3), usd(), prop::option::of((any::<i64>(), text())));
    (names, times, outcome, any::<[u64; 8]>(), any::<(bool, bool)>(), money).prop_map(
        |(names, times, outcome, usage, (estimated, unreconciled), (lines, cost, price))| Attempt {
            id: AttemptId(names.0),
            purpose: names.1,
            provider: names.2,
            upstream_model: names.3,
            started: Micros(times.0),
            first_byte_us: times.1,
            duration_us: times.2,
            outcome,
            status: times.3,
            usage: UsageRow(usage),
            estimated,
            unreconciled,
            tier: names.4,
            lines,
            cost,
            price: price.map(|(from, source)| (Micros(from), source)),
            upstream_id: names.5,
            note: names.6,
        },
    )
}

fn labels() -> impl Strategy<Value = Labels> {
    let sensitivity = prop::sample::select(vec!["public", "internal", "confidential", "restricted"]);
    let zones = prop::sample::select(vec!["anywhere", "nowhere", "de", "de+fr"]);
    let integrity = prop::sample::select(vec!["trusted", "user", "untrusted"]);
    (sensitivity, zones, integrity).prop_map(|(s, z, i)| format!("{s} {z} {i}").parse().expect("labels"))
}

fn judged() -> impl Strategy<Value = Judged> {
    let words = || prop::collection::vec(text(), 0..3);
    let facts = (prop::option::of(usd()), any::<Option<u16>>(), words(), prop::option::of(text()));
    (any::<bool>(), any::<[u8; 32]>(), words(), text(), text(), prop::option::of(text()), facts).prop_map(
        |(allowed, hash, determining, action, purpose, on_behalf_of, facts)| Judged {
            allowed,
            hash,
            determining,
            action,
            purpose,
            on_behalf_of,
            budget_left: facts.0,
            injection_score: facts.1,
            pii_types: facts.2,
            region: facts.3,
        },
    )
}

fn record() -> impl Strategy<Value = Record> {
    let outcome = prop_oneof![
        Just(Outcome::Completed),
        text().prop_map(Outcome::Refused),
        text().prop_map(Outcome::Failed),
        Just(Outcome::Abandoned),
        Just(Outcome::Crashed)
    ];
    let step = (text(), any::<u64>(), any::<u64>(), text())
        .prop_map(|(name, start_us, duration_us, note)| Step { name, start_us, duration_us, note });
    let rejected = (text(), text()).prop_map(|(target, reason)| Rejected { target, reason });
    let spent = (text(), id(), any::<u64>(), usd()).prop_map(|(stage, request, tokens, cost)| Spent {
        stage,
        request: RequestId(request),
        tokens,
        cost,
    });
    let head = (id(), any::<i64>(), id(), id(), text(), text(), prop::option::of(text()), any::<bool>());
    let numbers = (any::<u64>(), any::<u64>(), any::<u16>(), any::<u64>(), usd(), usd(), any::<u64>());
    let lists = (
        prop::collection::vec(step, 0..4),
        prop::collection::vec(attempt(), 0..3),
        prop::collection::vec(rejected, 0..3),
        labels(),
        prop::option::of(judged()),
        prop::collection::vec(spent, 0..3),
    );
    (head, numbers, outcome, text(), lists).prop_map(|(head, numbers, outcome, decision, lists)| Record {
        id: RequestId(head.0),
        at: Micros(head.1),
        team: TeamId(head.2),
        key: KeyId(head.3),
        surface: head.4,
        model: head.5,
        end_user: head.6,
        stream: head.7,
        request_bytes: numbers.0,
        response_bytes: numbers.1,
        outcome,
        status: numbers.2,
        generation: numbers.3,
        decision,
        held: numbers.4,
        cost: numbers.5,
        duration_us: numbers.6,
        steps: lists.0,
        attempts: lists.1,
        rejected: lists.2,
        labels: lists.3,
        judged: lists.4,
        spent: lists.5,
    })
}

fn encoded(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_record(record, &mut bytes);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_record_survives(record in record()) {
        prop_assert_eq!(decode_record(&encoded(&record)).expect("it was just written"), record);
    }

    #[test]
    fn a_record_cut_anywhere_is_damaged(record in record(), cut in any::<prop::sample::Index>()) {
        let bytes = encoded(&record);
        let part = &bytes[..cut.index(bytes.len())];
        prop_assert!(matches!(decode_record(part), Err(Error::Damaged(_))));
    }

    #[test]
    fn what_reads_is_what_would_be_written(record in record(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = encoded(&record);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(other) = decode_record(&bytes) {
            // A word spelt out is the one second spelling that there is.
            prop_assert_eq!(decode_record(&encoded(&other)).expect("it was just written"), other);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_record(&bytes);
        let _ = decode_postings(&bytes);
    }

    #[test]
    fn postings_survive(legs in prop::collection::vec((0u8..3, text(), any::<i64>()), 0..8)) {
        let postings: Vec<Posting> = legs.into_iter().map(|(attempt, account, pico)| Posting {
            attempt: AttemptId(Uuid7::from_bytes([attempt; 16])),
            account: Arc::from(account),
            amount: Usd::from_pico(pico),
        }).collect();
        let mut bytes = Vec::new();
        encode_postings(&postings, &mut bytes);
        prop_assert_eq!(decode_postings(&bytes).expect("it was just written"), postings);
        prop_assert!(decode_postings(&bytes[..bytes.len() - 1]).is_err());
    }
}

#[test]
fn another_version_and_a_trailing_byte_are_refused() {
    let record = sample::settled(1).0;
    let mut bytes = encoded(&record);
    bytes[0] = 4;
    let error = decode_record(&bytes).expect_err("version 4 does not exist").to_string();
    assert!(error.contains("version 4, this binary knows 3"), "{error}");
    bytes[0] = 3;
    bytes.push(0);
    assert!(decode_record(&bytes).is_err());
}

#[test]
fn records_of_versions_1_and_2_still_read() {
    let record = Record { labels: Labels::default(), judged: None, ..sample::settled(1).0 };
    let mut bytes = encoded(&record);
    // Version 3 is version 2 and, at the end, what was spent within: here the length of nothing.
    bytes.truncate(bytes.len() - 1);
    bytes[0] = 2;
    assert_eq!(decode_record(&bytes).expect("a version of before"), record);
    // Version 2 is version 1 and labels and a judgement: here a word and "none".
    bytes.truncate(bytes.len() - 2);
    bytes[0] = 1;
    assert_eq!(decode_record(&bytes).expect("a version of before"), record);
}

#[test]
fn a_forged_length_does_not_allocate() {
    let mut bytes = vec![POSTINGS_VERSION];
    bytes.extend([0xff; 9]);
    bytes.push(1);
    assert!(matches!(decode_postings(&bytes), Err(Error::Damaged(_))));
}

/// The stored format is pinned: this text changes only with `POSTINGS_VERSION`.
#[test]
fn the_format_of_postings_version_1_is_pinned() {
    let postings = [
        Posting {
            attempt: AttemptId(Uuid7::from_bytes([7; 16])),
            account: Arc::from("expense:red/m"),
            amount: Usd::from_pico(300),
        },
        Posting {
            attempt: AttemptId(Uuid7::from_bytes([7; 16])),
            account: Arc::from("suspense:unpriced"),
            amount: Usd::from_pico(-300),
        },
    ];
    let mut bytes = Vec::new();
    encode_postings(&postings, &mut bytes);
    let mut expected = vec![1, 2, 0];
    expected.extend([7; 16]);
    expected.push(26);
    expected.extend(b"expense:red/m");
    expected.extend([0xd8, 0x04, 1, 37 << 1 | 1, 0xd7, 0x04]);
    assert_eq!(bytes, expected);
}

#[test]
fn an_ordinary_request_is_small() {
    let (record, postings) = sample::settled(1);
    let mut bytes = Vec::new();
    encode_postings(&postings, &mut bytes);
    assert_eq!((encoded(&record).len(), bytes.len()), (362, 65));
}
