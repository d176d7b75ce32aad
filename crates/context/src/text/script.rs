//! Which script a text is written in: enough to choose how it becomes terms, and
//! to know whether an embedder has learned anything like it.

/// A group of scripts that are read alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Script {
    Latin,
    Cyrillic,
    Greek,
    Hebrew,
    Arabic,
    Devanagari,
    Thai,
    /// Chinese, Japanese, Korean.
    Cjk,
    Other,
}

/// All, in the order in which [`Script::name`]s are written.
pub(crate) const SCRIPTS: [Script; 9] = [
    Script::Latin,
    Script::Cyrillic,
    Script::Greek,
    Script::Hebrew,
    Script::Arabic,
    Script::Devanagari,
    Script::Thai,
    Script::Cjk,
    Script::Other,
];

impl Script {
    pub fn name(self) -> &'static str {
        match self {
            Script::Latin => "latin",
            Script::Cyrillic => "cyrillic",
            Script::Greek => "greek",
            Script::Hebrew => "hebrew",
            Script::Arabic => "arabic",
            Script::Devanagari => "devanagari",
            Script::Thai => "thai",
            Script::Cjk => "cjk",
            Script::Other => "other",
        }
    }
    pub fn from_name(name: &str) -> Option<Script> {
        SCRIPTS.into_iter().find(|script| script.name() == name)
    }
}

/// How full text becomes terms: the same three as the store's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lexing {
    /// Words, folded and stemmed by Porter's rules: English.
    Stemmed,
    /// Words, folded: other languages that put spaces between words.
    Words,
    /// Every three characters: languages without spaces, and code.
    Trigrams,
}

/// Characters that are looked at: the rest of a document is in the same script or
/// in several.
const LOOK_CHARS: usize = 4_096;

/// The script of most letters of a text's first 4,096 characters; `None` without
/// letters. An ideograph counts as two letters: it is a word or half of one.
pub fn script(text: &str) -> Option<Script> {
    let mut counts = [0u32; SCRIPTS.len()];
    for c in text.chars().take(LOOK_CHARS) {
        if let Some(script) = of(c) {
            counts[script as usize] += if script == Script::Cjk { 2 } else { 1 };
        }
    }
    let (at, most) = counts.iter().enumerate().max_by_key(|(at, n)| (**n, SCRIPTS.len() - at))?;
    (*most > 0).then_some(SCRIPTS[at])
}

/// The script of a letter; `None` for whatever is no letter.
pub(crate) fn of(c: char) -> Option<Script> {
    if c.is_ascii() {
        return c.is_ascii_alphabetic().then_some(Script::Latin);
    }
    if !c.is_alphabetic() {
        return None;
    }
    Some(match c {
        '\u{00AA}'..='\u{024F}' | '\u{1E00}'..='\u{1EFF}' | '\u{FF21}'..='\u{FF5A}' => Script::Latin,
        '\u{0370}'..='\u{03FF}' | '\u{1F00}'..='\u{1FFF}' => Script::Greek,
        '\u{0400}'..='\u{052F}' => Script::Cyrillic,
        '\u{0590}'..='\u{05FF}' => Script::Hebrew,
        '\u{0600}'..='\u{06FF}' | '\u{0750}'..='\u{077F}' | '\u{08A0}'..='\u{08FF}' => Script::Arabic,
        '\u{FB50}'..='\u{FDFF}' | '\u{FE70}'..='\u{FEFC}' => Script::Arabic,
        '\u{0900}'..='\u{097F}' => Script::Devanagari,
        '\u{0E00}'..='\u{0E7F}' => Script::Thai,
        '\u{1100}'..='\u{11FF}' | '\u{2E80}'..='\u{31FF}' | '\u{3400}'..='\u{4DBF}' => Script::Cjk,
        '\u{4E00}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7FF}' | '\u{F900}'..='\u{FAFF}' => Script::Cjk,
        '\u{FF66}'..='\u{FF9D}' | '\u{20000}'..='\u{3FFFF}' => Script::Cjk,
        _ => Script::Other,
    })
}

/// How a collection's text should become terms, by its language (a BCP 47 tag or
/// `und`) and, where that is not known, by a sample of it.
pub fn lexing(language: &str, sample: &str) -> Lexing {
    let primary = language.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
    match primary.as_str() {
        "en" => return Lexing::Stemmed,
        "zh" | "ja" | "ko" | "th" | "lo" | "km" | "my" => return Lexing::Trigrams,
        "und" | "mul" | "" => {}
        _ => return Lexing::Words,
    }
    match script(sample) {
        None => Lexing::Stemmed,
        Some(Script::Latin) if reads_english(sample) => Lexing::Stemmed,
        Some(Script::Cjk | Script::Thai) => Lexing::Trigrams,
        Some(_) => Lexing::Words,
    }
}

/// Running English has a stop word in every four or so; other languages written in
/// Latin letters share only a few of them (`in`, `on`, `me`).
fn reads_english(sample: &str) -> bool {
    let (mut all, mut stops) = (0usize, 0usize);
    super::for_each_word(sample, 2_000, |word| {
        all += 1;
        stops += usize::from(super::stop::is_english(word));
    });
    all < 8 || stops * 8 >= all
}
