//! Telephone numbers: shapes that nothing else has, or any shape after a word
//! that says what it is.

use super::{digits, said};
use crate::machine::{Rule, Sight};
use crate::verdict::Kind;

pub(super) fn rules() -> Vec<(&'static str, Rule)> {
    let rule = |name, check| Rule { name, kind: Kind::Phone, check: Some(check) };
    vec![
        // +44 7700 900123, 0044 (0)20 7946 0000
        (r"(?:\+|\b00)[1-9](?:[ .()/-]{0,2}[0-9]){6,14}", rule("international", is_international)),
        // (212) 555-0143 x12, 212-555-0143, 1 212.555.0143
        (
            r"(?:\b1[ .-])?(?:\([2-9][0-9]{2}\) ?|\b[2-9][0-9]{2}[ .-])[0-9]{3}[ .-][0-9]{4}(?: ?(?:x|ext\.?) ?[0-9]{1,6})?",
            rule("north-american", is_whole),
        ),
        // 07700 900 123, 01 23 45 67 89: a trunk zero and groups
        (r"\b0[0-9]{1,4}(?:[ -][0-9]{2,4}){2,4}", rule("trunk-zero", is_grouped)),
        (r"\b0[0-9]{1,4}[ -][0-9]{5,8}", rule("trunk-zero-pair", is_grouped)),
        // (99) 645-791, (0)20 7946 0000
        (r"\([0-9]{1,5}\) ?[0-9]{2,5}(?:[ -][0-9]{2,5}){1,3}", rule("area-code", is_grouped)),
        (r"[(]?\b[0-9](?:[ ./()-]{0,2}[0-9]){5,13}(?: ?(?:x|ext\.?) ?[0-9]{1,6})?", rule("said", is_said)),
        // 467 3395 office, 467 3395-Fax
        (
            r"(?i)[(]?\b[0-9](?:[ ./()-]{0,2}[0-9]){5,13}(?: |-| - | \()(?:office|fax|mobile|cell|home|work|phone|tel|landline)\b",
            rule("labelled", is_labelled),
        ),
    ]
}

/// Not cut out of something longer.
fn is_whole(sight: &Sight<'_>) -> bool {
    let touches = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let before = sight.before.last().copied();
    let dangling = |b: Option<u8>| b.is_some_and(touches);
    // 1.2 or 5-4: the number goes on behind a point or dash.
    let joined = before.is_some_and(|b| b".-/=".contains(&b))
        && sight.before.iter().rev().nth(1).is_some_and(u8::is_ascii_digit);
    !dangling(before) && !dangling(sight.next) && !joined
}

fn is_international(sight: &Sight<'_>) -> bool {
    let count = digits(sight.text).len();
    is_whole(sight) && (8..=17).contains(&count)
}

fn is_grouped(sight: &Sight<'_>) -> bool {
    let count = digits(sight.text).len();
    let more = sight.next == Some(b':');
    is_whole(sight) && !more && (8..=12).contains(&count)
}

/// Words that stand before a telephone number, in the languages of most traffic.
const WORDS: [&str; 50] = [
    "answering",
    "dialed",
    "message",
    "messages",
    "phone",
    "telephone",
    "tel",
    "mobile",
    "cell",
    "cellphone",
    "cellular",
    "call",
    "calling",
    "dial",
    "fax",
    "whatsapp",
    "sms",
    "text",
    "hotline",
    "helpline",
    "landline",
    "voicemail",
    "ring",
    "reach",
    "contact",
    "phone number",
    "phone no",
    "hot line",
    "telefon",
    "telefonnummer",
    "handy",
    "mobil",
    "rufnummer",
    "téléphone",
    "portable",
    "appeler",
    "teléfono",
    "móvil",
    "llamar",
    "telefone",
    "celular",
    "telefono",
    "cellulare",
    "chiamare",
    "telefoon",
    "mobiel",
    "puhelin",
    "telefonu",
    "телефон",
    "電話",
];

fn is_labelled(sight: &Sight<'_>) -> bool {
    (7..=14).contains(&digits(sight.text).len()) && is_whole(sight)
}

fn is_said(sight: &Sight<'_>) -> bool {
    let count = digits(sight.text).len();
    let money = sight.before.last().is_some_and(|b| b"$%#".contains(b));
    is_whole(sight) && !money && (7..=14).contains(&count) && said(sight, &WORDS)
}
