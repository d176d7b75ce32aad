//! Formats, checksums, and every encoding of what is known.

use super::{ENCODINGS, encodings, vendors};
use crate::{Action, Kind, Secrets, Shield, Spec};

fn rules(text: &str) -> Vec<&'static str> {
    let spec = Spec { input: true, secrets: Action::Flag, ..Spec::default() };
    let screening = Shield::new(&[&spec], Secrets::default()).screen_texts([&mut text.to_string()], 0);
    screening.verdict.findings.iter().map(|f| f.rule).collect()
}

#[test]
fn every_vendor_rule_has_its_own_name_and_one_machine_holds_them() {
    let mut names: Vec<&str> = vendors::rules().iter().map(|(_, rule)| rule.name).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(all >= 60, "{all} rules");
    let size = super::vendors().size();
    eprintln!("{all} rules, {} KB", size >> 10);
    assert!(size < 16 << 20, "{size} bytes");
}

#[test]
fn a_token_whose_checksum_fits_is_told_from_one_that_only_looks_like_it() {
    // The check digits were computed with another implementation (Python's zlib).
    assert_eq!(rules("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"), ["github-token"]);
    assert_eq!(rules("ghp_0123456789abcdefghijABCDEFGHIJ000000"), ["github-token-like"]);
}

#[test]
fn formats_are_found_in_their_surroundings() {
    let cases = [
        ("aws AKIAIOSFODNN7EXAMPLE!", "aws-access-key"),
        ("key=sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789_-AA", "anthropic-key"),
        ("sk_live_abcdefghijklmnopqrstuvwx", "stripe-key"),
        ("xoxb-123456789012-abcdefABCDEF", "slack-token"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "jwt"),
        ("postgres://app:s3cr3tpass@db.internal:5432/x", "url-with-password"),
        ("Server=db;Database=x;User Id=sa;Password=hunter22", "connection-string"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY-----", "private-key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\\nb3Blbn\\n", "private-key"),
    ];
    for (text, rule) in cases {
        assert_eq!(rules(text), [rule], "{text}");
    }
    for text in [
        "AKIAXXXXXXXXXXXXXXXX",
        "sk-learn is a library",
        "http://example.org:8080/a@b",
        "-----BEGIN PUBLIC KEY-----",
    ] {
        assert_eq!(rules(text), [""; 0], "{text}");
    }
}

#[test]
fn a_known_secret_is_found_in_eight_encodings_and_at_every_alignment() {
    let secret = b"correct/horse~~~???>>>\"staple".to_vec();
    let known = [secret.clone()];
    let spec = Spec { input: true, known: Action::Mask, ..Spec::default() };
    let shield = Shield::new(&[&spec], Secrets { known: &known, canaries: &[] });
    let mut seen = std::collections::BTreeSet::new();
    for (text, encoding) in encodings::all(&secret) {
        let text = format!("before {} after", String::from_utf8(text).unwrap());
        let mut masked = text.clone();
        let screening = shield.screen_texts([&mut masked], 0);
        assert_eq!(masked, "before [secret] after", "{text}");
        assert_eq!(screening.verdict.findings[0].rule, ENCODINGS[encoding]);
        assert_eq!(screening.verdict.findings[0].kind, Kind::KnownSecret);
        seen.insert(encoding);
    }
    assert_eq!(seen.len(), ENCODINGS.len());
}

#[test]
fn base64_of_a_longer_text_that_holds_the_secret_is_found_whatever_stands_before() {
    use base64ct::{Base64, Encoding};
    let known = [b"hunter2-hunter2-hunter2".to_vec()];
    let spec = Spec { input: true, known: Action::Mask, ..Spec::default() };
    let shield = Shield::new(&[&spec], Secrets { known: &known, canaries: &[] });
    for before in 0..9 {
        let plain = format!("{}hunter2-hunter2-hunter2 and more", "x".repeat(before));
        let mut text = Base64::encode_string(plain.as_bytes());
        assert!(shield.screen_texts([&mut text], 0).changed, "{before}");
        assert!(text.contains("[secret]"));
    }
}

#[test]
fn what_an_engine_is_told_not_to_say_is_what_guards_would_take_out_of_its_answers() {
    let (known, canaries) = ([b"hunter2-hunter2".to_vec()], [b"canary-7f3a9c".to_vec(), b"short".to_vec()]);
    let secrets = Secrets { known: &known, canaries: &canaries };
    let told = |spec: Spec| crate::unsaid(&[&spec], secrets);
    let both = Spec { output: true, known: Action::Mask, canaries: Action::Block, ..Spec::default() };
    let texts = told(both.clone());
    assert!(texts.contains(&known[0]) && texts.contains(&canaries[0]) && !texts.contains(&canaries[1]));
    let shield = Shield::new(&[&Spec { input: true, ..both.clone() }], secrets);
    for text in &texts {
        let mut text = String::from_utf8(text.clone()).expect("all are of ASCII letters");
        assert!(shield.screen_texts([&mut text], 0).verdict.action().holds(), "{text}");
    }
    // Only looked at, or of requests alone: nothing is kept from being said.
    assert_eq!(
        told(Spec { known: Action::Flag, ..both.clone() }).len(),
        texts.len() - encodings::all(&known[0]).len()
    );
    assert!(told(Spec { output: false, input: true, ..both }).is_empty());
}
