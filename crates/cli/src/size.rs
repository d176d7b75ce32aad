//! Sizes of memory as people type them: `8GiB`, `512MiB`, `1073741824`.

/// Bytes. Units are powers of 1,024, whether written `G`, `GB` or `GiB`: memory is
/// sold that way.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => u32::MAX,
    };
    let number = digits.trim().parse::<u64>().ok().filter(|n| *n > 0);
    number
        .and_then(|n| n.checked_mul(1u64.checked_shl(shift)?))
        .ok_or_else(|| "a size is a whole number and a unit: 512MiB, 8GiB".into())
}

/// The same, or 0 for none.
pub(crate) fn parse_or_none(text: &str) -> Result<u64, String> {
    if text.trim() == "0" { Ok(0) } else { parse(text) }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes_are_read_or_refused() {
        assert_eq!([parse("8GiB"), parse("8g"), parse("512 MB")], [Ok(8 << 30), Ok(8 << 30), Ok(512 << 20)]);
        assert_eq!(parse("1000"), Ok(1000));
        for wrong in ["", "GiB", "0", "-1G", "1.5G", "8 potatoes", "99999999T"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
