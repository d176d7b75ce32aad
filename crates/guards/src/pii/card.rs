//! Payment cards: 12 to 19 digits, Luhn (ISO/IEC 7812-1), and the number ranges
//! of the networks, which leave one random run in forty of those that Luhn lets by.

use super::digits;
use crate::machine::{Rule, Sight};
use crate::verdict::Kind;

pub(super) fn rules() -> Vec<(&'static str, Rule)> {
    let rule = Rule { name: "card", kind: Kind::Card, check: Some(is_card) };
    vec![(r"\b[1-6][0-9](?:[ -]?[0-9]){10,17}\b", rule)]
}

fn is_card(sight: &Sight<'_>) -> bool {
    // A decimal fraction or a longer number is not a card.
    let inside = |b: u8| b == b'.' || b == b'-' || b == b'/';
    let longer = |side: Option<u8>| side.is_some_and(inside);
    if longer(sight.before.last().copied())
        && sight.before.iter().rev().nth(1).is_some_and(u8::is_ascii_digit)
    {
        return false;
    }
    let digits = digits(sight.text);
    luhn(&digits) && issued(&digits) && !digits.iter().all(|d| *d == digits[0])
}

pub(crate) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether some network issues numbers that begin like this, of this length.
fn issued(digits: &[u8]) -> bool {
    let head = |n: usize| digits[..n].iter().fold(0u32, |number, d| number * 10 + u32::from(*d));
    let length = digits.len();
    match head(1) {
        // Visa.
        4 => matches!(length, 13 | 16 | 19),
        // JCB's old range.
        1 | 2 if matches!(head(4), 1800 | 2131) => length == 15,
        // Mastercard.
        2 => (2221..=2720).contains(&head(4)) && length == 16,
        3 => match head(2) {
            34 | 37 => length == 15,
            // JCB; its assigned range has grown before.
            35 => (16..=19).contains(&length),
            30 | 36 | 38 | 39 => matches!(length, 14 | 16 | 19),
            _ => false,
        },
        // Mastercard, and Maestro.
        5 => (51..=55).contains(&head(2)) && length == 16 || matches!(head(2), 50 | 56..=58) && length >= 12,
        // Discover, UnionPay, Maestro.
        6 => matches!(head(4), 6011) || matches!(head(2), 60..=69) && length >= 12,
        _ => false,
    }
}
