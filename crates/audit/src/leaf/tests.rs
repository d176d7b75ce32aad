//! One leaf, one encoding.

use proptest::prelude::*;

use super::*;
use crate::commitment::Salt;
use crate::{commit, leaf_hash};

fn id(n: u8) -> Uuid7 {
    Uuid7::from_bytes([n; 16])
}

/// A leaf with something in every field.
pub(crate) fn full() -> Leaf {
    Leaf {
        time: Micros(1_795_392_000_000_000),
        org: Some(OrgId(id(1))),
        team: Some(TeamId(id(2))),
        key: Some(KeyId(id(3))),
        user: Some(UserId(id(4))),
        action: "infer".into(),
        resource: "small".into(),
        decision: "allow".into(),
        policy_set: Some(Hash([5; 32])),
        policies: vec!["team-grants".into()],
        guards: vec![Verdict { guard: "pii".into(), version: "3".into(), verdict: "masked 2".into() }],
        target: "openai/gpt-4o-mini".into(),
        model: Some(Hash([6; 32])),
        labels: "internal eu user".into(),
        tokens: vec![("input".into(), 120), ("output".into(), 44)],
        cost_pico: 44_400_000,
        request: Some(commit(&Salt([5; 32]), b"the prompt")),
        response: Some(commit(&Salt([5; 32]), b"the answer")),
        salts: 1,
        request_bytes: Coverage { scanned: 10, sent: 10 },
        response_bytes: Coverage { scanned: 0, sent: 10 },
        request_id: Some(RequestId(id(7))),
        outcome: "completed".into(),
    }
}

/// Behind the head of the map, which has two bytes from 24 fields on, and the key 0.
fn version(leaf: &[u8]) -> u8 {
    leaf[if leaf[0] == 0xb8 { 3 } else { 2 }]
}

#[test]
fn a_leaf_is_read_as_it_was_written() {
    for leaf in [full(), Leaf::default(), Leaf { time: Micros(-1), cost_pico: i64::MIN, ..Leaf::default() }] {
        let bytes = leaf.encode();
        assert_eq!(Leaf::decode(&bytes), Ok(leaf));
    }
    assert_eq!(full().encode().len(), 381, "what a leaf costs on disk");
}

/// The format, byte by byte, so that it cannot change unnoticed.
#[test]
fn the_smallest_leaf_is_these_bytes() {
    let leaf = Leaf { time: Micros(24), action: "infer".into(), ..Leaf::default() };
    assert_eq!(leaf.encode(), b"\xa3\x00\x01\x01\x18\x18\x06\x65infer");
}

/// Logs are kept for years: a leaf of before the team's salts is the bytes that it was.
#[test]
fn a_leaf_of_version_1_is_read_hashed_and_written_as_before() {
    let before = Leaf { salts: 0, ..full() };
    let bytes = before.encode();
    assert_eq!((version(&bytes), bytes.len()), (1, 378));
    assert_eq!(
        leaf_hash(&bytes).to_string(),
        "Ky+aEhH6U7SD+3DUbKh7Zm43UqmSAz0ApluHB0QE1ik=",
        "computed from the format, not by this code"
    );
    assert_eq!(Leaf::decode(&bytes), Ok(before));
    assert_eq!(version(&full().encode()), 2);
}

#[test]
fn the_order_of_tokens_is_no_part_of_a_leaf() {
    let mut swapped = full();
    swapped.tokens.reverse();
    swapped.tokens.push(("cache_read".into(), 0));
    assert_eq!(leaf_hash(&swapped.encode()), leaf_hash(&full().encode()));
}

#[test]
fn other_encodings_of_a_leaf_are_refused() {
    for (bytes, why) in [
        (&b"\xa2\x00\x01\x01\x18\x17"[..], "a longer number"),
        (b"\xa2\x00\x01\x01\x19\x00\x18", "a longer number"),
        (b"\xa2\x01\x00\x00\x01", "keys out of order"),
        (b"\xa3\x00\x01\x01\x00\x01\x00", "a key twice"),
        (b"\xa3\x00\x01\x01\x00\x06\x60", "an empty text"),
        (b"\xa3\x00\x01\x01\x00\x0a\x80", "an empty list"),
        (b"\xa3\x00\x01\x01\x00\x10\x00", "a zero"),
        (b"\xa3\x00\x01\x01\x00\x13\x82\x00\x00", "no coverage"),
        (b"\xa3\x00\x01\x01\x00\x0f\xa1\x65input\x00", "a zero count"),
        (b"\xa3\x00\x01\x01\x00\x0f\xa2\x66output\x01\x65input\x01", "tokens out of order"),
        (b"\xa3\x00\x01\x01\x00\x17\x00", "a zero for salts"),
        (b"\xa3\x00\x01\x01\x00\x17\x01", "salts in version 1, which has none"),
        (b"\xa2\x00\x02\x01\x00", "version 2 without what it is for"),
        (b"\xa3\x00\x01\x01\x00\x18\x18\x00", "a key of a later version"),
        (b"\xbf\x00\x01\x01\x00\xff", "an open length"),
        (b"\xa2\x00\x01\x01\xf9\x00\x00", "a float"),
        (b"\xa2\x00\x01\x01\xc1\x00", "a tag"),
        (b"\xa2\x00\x01\x01\xf6", "null"),
        (b"\xa3\x00\x01\x01\x00\x06\x61\xff", "text that is none"),
        (b"\xa2\x00\x01\x01\x00\x00", "a byte too many"),
        (b"\xa2\x00\x00\x01\x00", "version 0"),
        (b"\xa1\x00\x01", "no time"),
        (b"\xa0", "nothing"),
        (b"", "no bytes"),
        (b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff", "more fields than bytes"),
        (b"\xa3\x00\x01\x01\x00\x02\x50\x01", "an id cut short"),
    ] {
        assert!(Leaf::decode(bytes).is_err(), "{why}");
    }
}

#[test]
fn a_leaf_of_a_newer_version_is_read_as_far_as_it_is_known() {
    let newer = b"\xa4\x00\x03\x01\x18\x18\x06\x65infer\x18\x40\x82\xa1\x61a\x01\x40";
    let leaf = Leaf::decode(newer).expect("it is canonical");
    assert_eq!((leaf.time, leaf.action.as_str()), (Micros(24), "infer"));
    // What is not known must be canonical all the same, and not without end.
    assert!(Leaf::decode(b"\xa3\x00\x03\x01\x18\x18\x18\x40\x18\x01").is_err());
    let mut deep = b"\xa3\x00\x03\x01\x18\x18\x18\x40".to_vec();
    deep.extend([0x81; 40]);
    deep.push(0);
    assert!(Leaf::decode(&deep).is_err());
}

#[test]
fn what_a_client_sends_cannot_make_a_leaf_large() {
    let long = "é".repeat(1 << 16);
    let verdict = Verdict { guard: long.clone(), version: long.clone(), verdict: long.clone() };
    let leaf = Leaf {
        action: long.clone(),
        resource: long.clone(),
        decision: long.clone(),
        policies: vec![long.clone(); 1_000],
        guards: vec![verdict; 1_000],
        target: long.clone(),
        labels: long.clone(),
        tokens: (0..1_000).map(|n| (format!("{n}{long}"), 1)).collect(),
        outcome: long.clone(),
        ..full()
    };
    let bytes = leaf.encode();
    assert!(bytes.len() <= LEAF_BYTES_MAX, "{}", bytes.len());
    Leaf::decode(&bytes).expect("it is canonical");
}

fn any_leaf() -> impl Strategy<Value = Leaf> {
    let texts = (".{0,20}", ".{0,20}", ".{0,20}", ".{0,20}", ".{0,20}");
    let lists = (
        prop::collection::vec(".{0,9}", 0..4),
        prop::collection::vec((".{0,9}", ".{0,9}", ".{0,9}"), 0..4),
        prop::collection::btree_map("[a-z]{1,12}", 1u64.., 0..5),
    );
    let numbers = (any::<i64>(), any::<i64>(), any::<[u64; 4]>());
    let options = prop::option::of(any::<[u8; 32]>());
    (texts, lists, numbers, options).prop_map(|(t, l, n, o)| Leaf {
        time: Micros(n.0),
        action: t.0,
        resource: t.1,
        decision: t.2,
        target: t.3,
        outcome: t.4,
        policies: l.0,
        guards: l
            .1
            .into_iter()
            .map(|(guard, version, verdict)| Verdict { guard, version, verdict })
            .collect(),
        tokens: {
            let mut tokens: Vec<(String, u64)> = l.2.into_iter().collect();
            tokens.sort_by_key(|(axis, _)| (axis.len(), axis.clone()));
            tokens
        },
        cost_pico: n.1,
        request_bytes: Coverage { scanned: n.2[0], sent: n.2[1] },
        response_bytes: Coverage { scanned: n.2[2], sent: n.2[3] },
        request: o.map(Hash),
        salts: n.2[0] as u32 % 3,
        key: o.map(|b| KeyId(Uuid7::from_bytes(b[..16].try_into().expect("16 bytes")))),
        ..Leaf::default()
    })
}

proptest! {
    #[test]
    fn any_leaf_is_read_as_it_was_written(leaf in any_leaf()) {
        prop_assert_eq!(Leaf::decode(&leaf.encode()), Ok(leaf));
    }

    /// Whatever is accepted has exactly these bytes: a changed one is another leaf or none.
    #[test]
    fn what_is_accepted_is_canonical(leaf in any_leaf(), at: usize, to: u8) {
        let mut bytes = leaf.encode();
        let at = at % bytes.len();
        bytes[at] = to;
        if let Ok(read) = Leaf::decode(&bytes) && version(&bytes) <= 2 {
            prop_assert_eq!(read.encode(), bytes);
        }
    }

    #[test]
    fn nothing_panics_on_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Leaf::decode(&bytes);
    }
}
