//! Percent-encoding, undone once.

/// A path segment or a query part as it was meant. What is no encoding stays as
/// it is, and bytes that are no text become the replacement character: the
/// result only ever names something that has to exist.
pub fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        match (byte, digit(ahead.next()), digit(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                bytes = ahead;
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::percent_decode;

    #[test]
    fn percent_encoding_is_undone_once_and_never_panics() {
        assert_eq!(percent_decode("a%2Fb%3a%25"), "a/b:%");
        assert_eq!(percent_decode("%252F"), "%2F");
        assert_eq!(percent_decode("%"), "%");
        assert_eq!(percent_decode("%zz%4"), "%zz%4");
        assert_eq!(percent_decode("%ffé"), "\u{fffd}é");
    }
}
