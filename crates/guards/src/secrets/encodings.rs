//! The eight ways in which a known secret is looked for.
//!
//! Base64 depends on what stands before: at each of the three alignments the
//! characters that the secret alone determines are taken, so that at most four
//! bits at either end are not covered.

use base64ct::{Base64, Base64Url, Encoding};

/// Their names, as findings carry them.
pub const ENCODINGS: [&str; 8] =
    ["plain", "base64", "base64url", "hex", "hex-upper", "percent", "json", "reversed"];

/// All texts that stand for the secret, each with the index of its encoding;
/// every text once, under the first encoding that makes it.
pub(super) fn all(secret: &[u8]) -> Vec<(Vec<u8>, usize)> {
    let mut texts: Vec<(Vec<u8>, usize)> = vec![(secret.to_vec(), 0)];
    for alignment in 0..3 {
        texts.push((aligned(secret, alignment, Base64::encode_string), 1));
        texts.push((aligned(secret, alignment, Base64Url::encode_string), 2));
    }
    texts.push((hex(secret, b"0123456789abcdef"), 3));
    texts.push((hex(secret, b"0123456789ABCDEF"), 4));
    // Everything escaped, and only what an URL must escape, in both cases of digits.
    for digits in [b"0123456789ABCDEF", b"0123456789abcdef"] {
        texts.push((percent(secret, digits, |_| true), 5));
        texts.push((percent(secret, digits, |b| !(b.is_ascii_alphanumeric() || b"-_.~".contains(&b))), 5));
    }
    // Everything as \u00xx, and only what JSON must escape, with `/` as some write it.
    for digits in [b"0123456789abcdef", b"0123456789ABCDEF"] {
        texts.push((json(secret, digits, true), 6));
    }
    texts.push((json(secret, b"0123456789abcdef", false), 6));
    texts.push((slashes(secret), 6));
    texts.push((secret.iter().rev().copied().collect(), 7));
    let mut seen = std::collections::BTreeSet::new();
    texts.retain(|(text, _)| seen.insert(text.clone()));
    texts
}

/// Base64 of the secret behind `alignment` unknown bytes, without the
/// characters that depend on its neighbours.
fn aligned(secret: &[u8], alignment: usize, encode: impl Fn(&[u8]) -> String) -> Vec<u8> {
    let mut padded = vec![0; alignment];
    padded.extend_from_slice(secret);
    // Bits before the secret, and the last whole character within it.
    let from = (alignment * 8).div_ceil(6);
    let to = padded.len() * 8 / 6;
    encode(&padded).as_bytes()[from..to].to_vec()
}

fn hex(secret: &[u8], digits: &[u8; 16]) -> Vec<u8> {
    secret.iter().flat_map(|b| [digits[usize::from(b >> 4)], digits[usize::from(b & 15)]]).collect()
}

fn percent(secret: &[u8], digits: &[u8; 16], escape: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(3 * secret.len());
    for b in secret {
        if escape(*b) {
            out.extend([b'%', digits[usize::from(b >> 4)], digits[usize::from(b & 15)]]);
        } else {
            out.push(*b);
        }
    }
    out
}

fn json(secret: &[u8], digits: &[u8; 16], everything: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(6 * secret.len());
    for b in secret {
        match b {
            b'"' | b'\\' if !everything => out.extend([b'\\', *b]),
            b if everything && b.is_ascii() || *b < 0x20 => {
                out.extend(b"\\u00");
                out.extend([digits[usize::from(b >> 4)], digits[usize::from(b & 15)]]);
            }
            b => out.push(*b),
        }
    }
    out
}

fn slashes(secret: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(secret.len() + 4);
    for b in secret {
        if matches!(b, b'"' | b'\\' | b'/') {
            out.push(b'\\');
        }
        out.push(*b);
    }
    out
}
