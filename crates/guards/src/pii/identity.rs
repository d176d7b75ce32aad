//! National numbers and driving licences.

use super::{digits, said};
use crate::machine::{Rule, Sight};
use crate::verdict::Kind;

pub(super) fn national() -> Vec<(&'static str, Rule)> {
    let rule = |name, check| Rule { name, kind: Kind::NationalId, check: Some(check) };
    vec![
        (r"\b[0-9]{3}[- ][0-9]{2}[- ][0-9]{4}\b", rule("us-ssn", is_ssn)),
        (r"\b[0-9]{9}\b", rule("us-ssn-bare", is_ssn_said)),
        (
            r"(?i)\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]\b",
            rule("uk-nino", is_nino),
        ),
    ]
}

pub(super) fn licence() -> Vec<(&'static str, Rule)> {
    let rule = Rule { name: "driver-licence", kind: Kind::DriverLicence, check: Some(is_licence) };
    vec![(r"(?i)\b[A-Z0-9]{1,4}(?:-?[A-Z0-9]){4,16}\b", rule)]
}

/// The rules of the Social Security Administration since 2011.
fn is_ssn(sight: &Sight<'_>) -> bool {
    let d = digits(sight.text);
    let number = |from: usize, to: usize| d[from..to].iter().fold(0u32, |n, x| n * 10 + u32::from(*x));
    let part_of_more =
        sight.before.last().is_some_and(|b| *b == b'-') || sight.next.is_some_and(|b| b == b'-');
    let (area, group, serial) = (number(0, 3), number(3, 5), number(5, 9));
    !part_of_more && area != 0 && area != 666 && area < 900 && group != 0 && serial != 0
}

fn is_ssn_said(sight: &Sight<'_>) -> bool {
    is_ssn(sight) && said(sight, &["ssn", "social security", "social security number", "social"])
}

fn is_nino(sight: &Sight<'_>) -> bool {
    let head = [sight.text[0].to_ascii_uppercase(), sight.text[1].to_ascii_uppercase()];
    let never: [&[u8; 2]; 7] = [b"BG", b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"];
    !never.contains(&&head) && said(sight, &["national insurance", "nino", "ni number", "insurance number"])
}

/// Every state has its own form; what they share is that somebody says what it is.
fn is_licence(sight: &Sight<'_>) -> bool {
    let words = [
        "driver's license",
        "drivers license",
        "driver license",
        "driver's licence",
        "drivers licence",
        "driver licence",
        "driving license",
        "driving licence",
        "driver’s license",
        "driver’s licence",
        "driving permit",
        "driver's permit",
        "dl number",
        "dl no",
        "dl#",
        "dl",
        "führerschein",
        "permis de conduire",
        "permiso de conducir",
        "carnet de conducir",
        "patente di guida",
        "rijbewijs",
        "license number",
        "licence number",
    ];
    let count = digits(sight.text).len();
    let letters = sight.text.iter().filter(|b| b.is_ascii_alphabetic()).count();
    count >= 5 && letters <= 5 && said(sight, &words)
}
