//! One layer of base64, hexadecimal or rot13, opened.

use std::ops::Range;

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding};

use super::normal::{Plain, hash};

/// A text that was inside another.
pub(super) struct Opened {
    pub how: &'static str,
    pub text: String,
    pub span: Range<usize>,
}

/// Encoded stretches shorter than this hold no order.
const LEAST: usize = 24;
/// Stretches opened of one text, and bytes of each.
const MOST: usize = 16;
const BYTES: usize = 16 << 10;

pub(super) fn open(text: &str, plain: &Plain) -> Vec<Opened> {
    let mut opened = Vec::new();
    let encoded = |b: u8| b.is_ascii_alphanumeric() || b"+/-_=".contains(&b);
    let bytes = text.as_bytes();
    let mut from = 0;
    while from < bytes.len() && opened.len() < MOST {
        if !encoded(bytes[from]) {
            from += 1;
            continue;
        }
        let to = from + bytes[from..].iter().take_while(|b| encoded(**b)).count();
        if to - from >= LEAST {
            let stretch = &text[from..to.min(from + BYTES)];
            if let Some((how, text)) = stretch_of(stretch) {
                opened.push(Opened { how, text, span: from..to });
            }
        }
        from = to;
    }
    if rotated(plain) {
        let text = text.chars().take(BYTES).map(rotate).collect();
        opened.push(Opened { how: "rot13", text, span: 0..bytes.len() });
    }
    opened
}

fn stretch_of(stretch: &str) -> Option<(&'static str, String)> {
    let readable = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).ok()?;
        let plain = text.chars().filter(|c| c.is_alphanumeric() || " .,!?'\n".contains(*c)).count();
        // Chance gives no readable text of this length.
        (plain * 10 >= text.chars().count() * 9).then_some(text)
    };
    if stretch.len().is_multiple_of(2) && stretch.bytes().all(|b| b.is_ascii_hexdigit()) {
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = stretch.as_bytes().chunks(2).map(byte).collect();
        if let Some(text) = bytes.and_then(readable) {
            return Some(("hex", text));
        }
    }
    let bare = stretch.trim_end_matches('=');
    // A cut end is cut to whole groups, and the last bits are not checked.
    let whole = &bare[..bare.len() / 4 * 4];
    let bytes = Base64Unpadded::decode_vec(whole).or_else(|_| Base64UrlUnpadded::decode_vec(whole)).ok()?;
    readable(bytes).map(|text| ("base64", text))
}

/// Whether a text reads better turned by 13 letters: the commonest words of
/// English are there, turned.
fn rotated(plain: &Plain) -> bool {
    const TURNED: [&str; 12] = [
        "gur",
        "naq",
        "lbh",
        "lbhe",
        "vafgehpgvbaf",
        "cebzcg",
        "vtaber",
        "cerivbhf",
        "gb",
        "bs",
        "flfgrz",
        "nyy",
    ];
    let turned: [u32; 12] = TURNED.map(hash);
    let count = plain.words.iter().filter(|w| turned.contains(&w.hash)).count();
    count >= 2 && count * 12 >= plain.words.len().min(200)
}

fn rotate(c: char) -> char {
    let turn = |c: char, base: u8| char::from((c as u8 - base + 13) % 26 + base);
    match c {
        'a'..='z' => turn(c, b'a'),
        'A'..='Z' => turn(c, b'A'),
        c => c,
    }
}
