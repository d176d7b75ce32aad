//! What each recogniser takes, and what looks like it.

use crate::{Action, Kind, Secrets, Shield, Spec};

fn found(kind: Kind, text: &str) -> Vec<String> {
    let spec = Spec { input: true, personal: vec![(kind, Action::Flag)], ..Spec::default() };
    let shield = Shield::new(&[&spec], Secrets::default());
    let screening = shield.screen_texts([&mut text.to_string()], 0);
    let spans = screening.verdict.findings.iter().map(|f| f.span.clone());
    spans.map(|s| text[s.start as usize..s.end as usize].to_string()).collect()
}

#[track_caller]
fn check(kind: Kind, text: &str, expected: &[&str]) {
    assert_eq!(found(kind, text), expected, "{text}");
}

#[test]
fn cards_need_their_checksum_their_network_and_their_length() {
    check(Kind::Card, "pay with 4111 1111 1111 1111.", &["4111 1111 1111 1111"]);
    check(Kind::Card, "4111-1111-1111-1111, 378282246310005", &["4111-1111-1111-1111", "378282246310005"]);
    check(Kind::Card, "4111 1111 1111 1112", &[]);
    check(Kind::Card, "order 9111111111111111", &[]);
    check(Kind::Card, "pi is 3.14159265358979323846", &[]);
    check(Kind::Card, "0000 0000 0000 0000", &[]);
}

#[test]
fn ibans_are_found_in_any_case_and_grouping() {
    check(Kind::Iban, "to DE89370400440532013000 please", &["DE89370400440532013000"]);
    check(Kind::Iban, "to gb82 west 1234 5698 7654 32 now", &["gb82 west 1234 5698 7654 32"]);
    check(Kind::Iban, "NO9386011117947", &["NO9386011117947"]);
    check(Kind::Iban, "DE89370400440532013001", &[]);
}

#[test]
fn national_numbers_keep_to_their_ranges() {
    check(Kind::NationalId, "SSN 219-09-9999.", &["219-09-9999"]);
    check(Kind::NationalId, "000-12-3456 666-12-3456 912-12-3456 123-00-4567 123-45-0000", &[]);
    check(Kind::NationalId, "my social security number is 219099999", &["219099999"]);
    check(Kind::NationalId, "invoice 219099999", &[]);
    check(Kind::NationalId, "National Insurance AB 12 34 56 C", &["AB 12 34 56 C"]);
}

#[test]
fn addresses_of_mail_and_machines() {
    check(
        Kind::Email,
        "Write to jane.doe+x@mail.example.co.uk, or not@home",
        &["jane.doe+x@mail.example.co.uk"],
    );
    check(
        Kind::Ip,
        "from 93.184.216.34 and 2001:db8::8a2e:370:7334",
        &["93.184.216.34", "2001:db8::8a2e:370:7334"],
    );
    check(Kind::Ip, "127.0.0.1, 300.1.2.3, version 1.2.3.4, 1.2.3.4.5, at 12:30:45", &[]);
    check(
        Kind::Url,
        "see https://example.org/a?b=c#d). Or www.example.net!",
        &["https://example.org/a?b=c#d", "www.example.net"],
    );
}

#[test]
fn phone_numbers_have_a_shape_or_a_word_before_them() {
    check(Kind::Phone, "+44 7700 900123", &["+44 7700 900123"]);
    check(Kind::Phone, "(212) 555-0143 x12 or 212-555-0143", &["(212) 555-0143 x12", "212-555-0143"]);
    check(Kind::Phone, "call me at 467 3395.", &["467 3395"]);
    check(Kind::Phone, "it costs 467 3395 in all", &[]);
    check(Kind::Phone, "id 3f2504e0-4f89-11d3-9a0c-0305e82c3301", &[]);
    check(Kind::Phone, "2024-05-17 12:30:45, 192.168.1.10, 1,234,567.89", &[]);
}

#[test]
fn a_licence_needs_the_word_and_no_part_of_another() {
    check(Kind::DriverLicence, "driver's license number F162823540116", &["F162823540116"]);
    check(Kind::DriverLicence, "a public number F162823540116", &[]);
}
