//! The characters that a font's codes stand for, as its `ToUnicode` stream says.

/// Entries of one map; there are not more codes of two bytes.
const ENTRIES_MAX: usize = 1 << 17;
/// Characters of one code: a ligature, a name.
const UNITS_MAX: usize = 64;

#[derive(Debug, Default)]
pub struct CMap {
    /// First and last code, and the text of the first, as UTF-16; by first code.
    ranges: Vec<(u32, u32, Vec<u16>)>,
    /// Bytes of a code, if they say so.
    pub code_bytes: Option<usize>,
}

enum Token<'t> {
    Hex(Vec<u8>),
    Open,
    Close,
    Word(&'t [u8]),
}

impl CMap {
    /// What is not understood is passed over.
    pub fn read(bytes: &[u8]) -> CMap {
        let mut map = CMap::default();
        let mut tokens = Tokens { bytes, at: 0 };
        let mut held: Vec<Vec<u8>> = Vec::new();
        let mut list: Option<u32> = None;
        let mut section: &[u8] = b"";
        while let Some(token) = tokens.next() {
            if map.ranges.len() >= ENTRIES_MAX {
                break;
            }
            match token {
                Token::Word(word) => {
                    section = word;
                    (held, list) = (Vec::new(), None);
                }
                // <first> <last> [ <text> <text> … ]: a text for each code.
                Token::Open => list = held.first().filter(|_| held.len() == 2).and_then(|code| number(code)),
                Token::Close => (held, list) = (Vec::new(), None),
                Token::Hex(text) => match (section, &mut list) {
                    (b"beginbfrange", Some(code)) => {
                        map.add(*code, *code, &text);
                        *code = code.saturating_add(1);
                    }
                    (b"begincodespacerange", _) => {
                        map.code_bytes = Some(map.code_bytes.unwrap_or(0).max(text.len()));
                    }
                    (b"beginbfchar", _) => {
                        held.push(text);
                        if let [code, text] = held.as_slice() {
                            if let Some(code) = number(code) {
                                map.add(code, code, text);
                            }
                            held.clear();
                        }
                    }
                    (b"beginbfrange", None) => {
                        held.push(text);
                        if let [first, last, text] = held.as_slice() {
                            if let (Some(first), Some(last)) = (number(first), number(last)) {
                                map.add(first, last, text);
                            }
                            held.clear();
                        }
                    }
                    _ => {}
                },
            }
        }
        map.ranges.sort_by_key(|(first, ..)| *first);
        map
    }

    /// What a code stands for.
    pub fn text(&self, code: u32) -> Option<String> {
        let at = self.ranges.partition_point(|(first, ..)| *first <= code).checked_sub(1)?;
        let (first, last, units) = &self.ranges[at];
        if code > *last {
            return None;
        }
        let mut units = units.clone();
        let end = units.last_mut()?;
        *end = end.wrapping_add((code - first) as u16);
        Some(String::from_utf16_lossy(&units))
    }

    fn add(&mut self, first: u32, last: u32, text: &[u8]) {
        let units: Vec<u16> = match text {
            [one] => vec![u16::from(*one)],
            text => text
                .chunks_exact(2)
                .take(UNITS_MAX)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                .collect(),
        };
        if first <= last && !units.is_empty() {
            self.ranges.push((first, last, units));
        }
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    (bytes.len() <= 4).then(|| bytes.iter().fold(0, |code, byte| code << 8 | u32::from(*byte)))
}

struct Tokens<'t> {
    bytes: &'t [u8],
    at: usize,
}

impl<'t> Tokens<'t> {
    fn next(&mut self) -> Option<Token<'t>> {
        loop {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            match byte {
                b'<' if self.bytes.get(self.at) == Some(&b'<') => self.at += 1,
                b'<' => return Some(Token::Hex(self.hex())),
                b'[' => return Some(Token::Open),
                b']' => return Some(Token::Close),
                b'%' => {
                    while self.bytes.get(self.at).is_some_and(|b| !matches!(b, b'\n' | b'\r')) {
                        self.at += 1;
                    }
                }
                byte if byte.is_ascii_alphabetic() => {
                    let start = self.at - 1;
                    while self.bytes.get(self.at).is_some_and(u8::is_ascii_alphanumeric) {
                        self.at += 1;
                    }
                    return Some(Token::Word(&self.bytes[start..self.at]));
                }
                _ => {}
            }
        }
    }

    fn hex(&mut self) -> Vec<u8> {
        let mut digits = Vec::new();
        while let Some(byte) = self.bytes.get(self.at) {
            self.at += 1;
            if *byte == b'>' {
                break;
            }
            if let Some(digit) = (*byte as char).to_digit(16)
                && digits.len() < UNITS_MAX * 4
            {
                digits.push(digit as u8);
            }
        }
        digits.chunks(2).map(|pair| pair[0] << 4 | pair.get(1).copied().unwrap_or(0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_texts_that_the_map_gives_them() {
        let map = CMap::read(
            b"/CIDInit /ProcSet findresource begin begincmap 1 begincodespacerange <0000> <FFFF> endcodespacerange\n\
              2 beginbfchar <0003> <0020> <0005> <00660066> endbfchar\n\
              2 beginbfrange <0010> <0012> <0041> <0020> <0021> [<0061> <D83DDE00>] endbfrange endcmap",
        );
        let of = |code| map.text(code).unwrap_or_default();
        assert_eq!([of(3), of(5), of(0x11), of(0x20), of(0x21)], [" ", "ff", "B", "a", "😀"]);
        assert_eq!((map.text(0x13), map.text(0), map.code_bytes), (None, None, Some(2)));
    }
}
