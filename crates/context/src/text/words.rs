//! Words: NFKC, lower case, without what only decorates letters.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The longest word, in characters; what is longer is cut there: it is data, not language.
const WORD_CHARS_MAX: usize = 64;

/// The words of a text, in order: runs of letters, digits and the marks on them. `don't`
/// is `dont`, `the user's` is `the user`; languages without spaces give a run between two
/// punctuation marks as one.
pub fn words(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    for_each_word(text, usize::MAX, |word| all.push(word.replace('\'', "")));
    all
}

/// Calls `f` with each of a text's first `max` words; apostrophes inside a word are
/// still there, except in a genitive `'s`.
pub(crate) fn for_each_word(text: &str, max: usize, mut f: impl FnMut(&str)) {
    let mut word = Word { text: String::new(), chars: 0 };
    let mut left = max;
    for c in text.chars() {
        if left == 0 {
            return;
        }
        if c.is_ascii() {
            if c.is_ascii_alphanumeric() {
                word.push(c.to_ascii_lowercase());
            } else if c == '\'' && word.chars > 0 {
                word.push(c);
            } else if word.end(&mut f) {
                left -= 1;
            }
            continue;
        }
        if is_decoration(c) {
            continue;
        }
        if matches!(c, '\u{2019}' | '\u{02BC}') && word.chars > 0 {
            word.push('\'');
            continue;
        }
        let mut inside = false;
        for c in std::iter::once(c).nfkc().flat_map(char::to_lowercase) {
            if c.is_alphanumeric() || is_combining_mark(c) && word.chars > 0 {
                word.push(c);
                inside = true;
            } else if is_combining_mark(c) || is_decoration(c) {
                inside = true;
            }
        }
        if !inside && word.end(&mut f) {
            left -= 1;
        }
    }
    if left > 0 {
        word.end(&mut f);
    }
}

struct Word {
    text: String,
    chars: usize,
}

impl Word {
    fn push(&mut self, c: char) {
        if self.chars < WORD_CHARS_MAX {
            self.text.push(c);
        }
        self.chars += 1;
    }
    /// Gives the word away, if there is one.
    fn end(&mut self, f: &mut impl FnMut(&str)) -> bool {
        let word = self.text.trim_end_matches('\'');
        let word = word.strip_suffix("'s").unwrap_or(word).trim_end_matches('\'');
        let there = !word.is_empty();
        if there {
            f(word);
        }
        self.text.clear();
        self.chars = 0;
        there
    }
}

/// Points, accents and lengthenings that the same word is written with and without,
/// and what is not seen at all.
fn is_decoration(c: char) -> bool {
    matches!(c, '\u{00AD}' | '\u{0300}'..='\u{036F}' | '\u{0591}'..='\u{05BD}' | '\u{05BF}' | '\u{05C1}'..='\u{05C2}'
        | '\u{05C4}'..='\u{05C5}' | '\u{05C7}' | '\u{0610}'..='\u{061A}' | '\u{061C}' | '\u{0640}'
        | '\u{064B}'..='\u{065F}' | '\u{0670}' | '\u{06D6}'..='\u{06DC}' | '\u{06DF}'..='\u{06E8}'
        | '\u{06EA}'..='\u{06ED}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{E0000}'..='\u{E0FFF}')
}

/// Whether a word (as [`words`] gives it) turns a sentence round.
pub(crate) fn is_negation(word: &str) -> bool {
    const SINGLE: [&str; 43] = [
        "barely",
        "cannot",
        "except",
        "excluding",
        "hardly",
        "kein",
        "keine",
        "neither",
        "never",
        "nicht",
        "nie",
        "no",
        "nobody",
        "non",
        "none",
        "nor",
        "not",
        "nothing",
        "nowhere",
        "nunca",
        "não",
        "pas",
        "rarely",
        "seldom",
        "sin",
        "unless",
        "without",
        "не",
        "нет",
        "ни",
        "никогда",
        "без",
        "بدون",
        "غير",
        "ليس",
        "لا",
        "لم",
        "لن",
        "ما",
        "不",
        "没",
        "無",
        "無い",
    ];
    const CONTRACTED: [&str; 18] = [
        "aint", "arent", "cant", "couldnt", "didnt", "doesnt", "dont", "hadnt", "hasnt", "havent", "isnt",
        "mustnt", "neednt", "shouldnt", "wasnt", "werent", "wont", "wouldnt",
    ];
    SINGLE.contains(&word) || CONTRACTED.contains(&word)
}
