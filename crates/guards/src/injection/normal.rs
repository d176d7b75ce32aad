//! Text made plain, with the place of every word in what was sent.

use unicode_normalization::UnicodeNormalization;

/// A word: its hash, and its bytes in the original text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Word {
    pub hash: u32,
    pub start: u32,
    pub end: u32,
}

/// What was read of a text.
#[derive(Debug, Default)]
pub struct Plain {
    pub words: Vec<Word>,
    /// Letters that were written invisibly, as tag characters.
    pub hidden: usize,
}

/// Longest word that is hashed as one; what is longer is no word of a language.
const WORD_CHARS_MAX: usize = 32;

/// FNV-1a over characters: stable for ever, because trained weights depend on it.
pub fn hash(word: &str) -> u32 {
    word.chars().fold(SEED, step)
}
const SEED: u32 = 0x811C_9DC5;
fn step(hash: u32, c: char) -> u32 {
    (hash ^ u32::from(c)).wrapping_mul(0x0100_0193)
}

/// The words of a text: NFKC and lower case, without format characters, with
/// tag characters and look-alikes read as the letters they stand for.
pub fn words(text: &str) -> Plain {
    let mut reader = Reader { plain: Plain::default(), word: 0, chars: 0, start: 0, end: 0, number: false };
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' => reader.letter(c.to_ascii_lowercase(), at, end),
            // I'm, don't: one word. Typographic ones, too.
            '\'' | '\u{2019}' => {}
            c if c.is_ascii() => reader.gap(),
            '\u{E0020}'..='\u{E007E}' => {
                reader.plain.hidden += 1;
                let shown = char::from((u32::from(c) - 0xE0000) as u8);
                if shown.is_ascii_alphanumeric() {
                    reader.letter(shown.to_ascii_lowercase(), at, end);
                } else {
                    reader.gap();
                }
            }
            c if is_format(c) => {}
            c => reader.other(c, at, end),
        }
    }
    reader.gap();
    spaced(&mut reader.plain.words, text);
    reader.plain
}

struct Reader {
    plain: Plain,
    word: u32,
    chars: usize,
    start: usize,
    end: usize,
    number: bool,
}

impl Reader {
    fn letter(&mut self, c: char, at: usize, end: usize) {
        if self.chars == 0 {
            (self.word, self.start, self.number) = (SEED, at, true);
        }
        self.number &= c.is_ascii_digit();
        if self.chars < WORD_CHARS_MAX {
            self.word = step(self.word, c);
        }
        self.chars += 1;
        self.end = end;
    }

    fn gap(&mut self) {
        if self.chars > 0 {
            // All numbers are one word.
            let hash = if self.number { step(SEED, '0') } else { self.word };
            self.plain.words.push(Word { hash, start: self.start as u32, end: self.end as u32 });
            self.chars = 0;
        }
    }

    fn other(&mut self, c: char, at: usize, end: usize) {
        let mut alphanumeric = false;
        for c in std::iter::once(c).nfkc() {
            for c in c.to_lowercase() {
                if c.is_alphanumeric() {
                    alphanumeric = true;
                    self.letter(look_alike(c), at, end);
                }
            }
        }
        // Marks belong to the letter before; anything else parts words.
        if !alphanumeric && !unicode_normalization::char::is_combining_mark(c) {
            self.gap();
        }
    }
}

/// The Latin letter that looks like this one, if it is of another script.
fn look_alike(c: char) -> char {
    if c.is_ascii() {
        return c;
    }
    let mut skeleton =
        unicode_security::skeleton(c.encode_utf8(&mut [0; 4])).collect::<Vec<char>>().into_iter();
    match (skeleton.next(), skeleton.next()) {
        (Some(one), None) if one.is_ascii_alphanumeric() => one.to_ascii_lowercase(),
        _ => c,
    }
}

/// Characters that are there and not seen: general category Cf, soft hyphens,
/// variation selectors, fillers.
fn is_format(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}'
        | '\u{FFF0}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E0FFF}')
}

/// `i g n o r e`: five or more single letters, evenly parted, are a word.
fn spaced(words: &mut Vec<Word>, text: &str) {
    let single =
        |w: &Word| (w.end - w.start) as usize == 1 && text.as_bytes()[w.start as usize].is_ascii_alphabetic();
    if !words.windows(5).any(|w| w.iter().all(single)) {
        return;
    }
    let mut out = Vec::with_capacity(words.len());
    let mut at = 0;
    while at < words.len() {
        let run = words[at..].iter().take_while(|w| single(w)).count();
        if run < 5 {
            out.push(words[at]);
            at += 1;
            continue;
        }
        // Letters stand closer together than words.
        let letters = &words[at..at + run];
        let gap = |i: usize| letters[i].start - letters[i - 1].end;
        let least = (1..run).map(gap).min().unwrap_or(1);
        let mut from = 0;
        for i in 1..=run {
            if i == run || gap(i) > least {
                let hash = letters[from..i].iter().fold(SEED, |hash, w| {
                    step(hash, char::from(text.as_bytes()[w.start as usize].to_ascii_lowercase()))
                });
                out.push(Word { hash, start: letters[from].start, end: letters[i - 1].end });
                from = i;
            }
        }
        at += run;
    }
    *words = out;
}
