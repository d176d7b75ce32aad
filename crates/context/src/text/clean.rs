//! The visible part of a text, and evidence of the rest.
//!
//! Characters that nobody sees carry orders past readers (tag characters,
//! variation selectors), break words apart (zero-width spaces) or show another
//! order than is read (bidirectional controls). They go before anything is
//! indexed, quoted or given to a model; where they stood, and what they spell, stays.

use unicode_normalization::UnicodeNormalization;

/// Stretches kept as evidence of one text; more are only counted.
const REMOVED_MAX: usize = 64;
/// Characters kept of what one stretch spells.
const SPELLED_MAX: usize = 256;

/// Why a character is not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unseen {
    /// Zero-width, filler and format characters.
    Invisible,
    /// What turns the direction of writing.
    Bidi,
    /// Tag characters and runs of variation selectors: a hidden alphabet.
    Tags,
    /// Control characters other than tabs and ends of lines.
    Control,
}

/// A stretch of characters of one kind that was taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Its first byte in the original text.
    pub at: usize,
    pub kind: Unseen,
    pub chars: usize,
    /// What [`Unseen::Tags`] spell, at most 256 characters; else empty.
    pub text: String,
}

/// A text as it is seen.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Clean {
    pub text: String,
    /// The first 64 stretches that were taken out.
    pub removed: Vec<Removed>,
    /// Characters taken out in all.
    pub removed_chars: usize,
}

/// Takes out what is not seen, writes ends of lines as `\n`, and glyphs that are
/// only another shape of a character (full width, ligatures, Arabic presentation
/// forms) as that character. Anything else stays: NFKC of all of it would make
/// `10²` into `102`.
pub fn clean(text: &str) -> Clean {
    if text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\n' | b'\t')) {
        return Clean { text: text.into(), ..Clean::default() };
    }
    let mut out = Cleaner { clean: Clean::default(), run: None, smuggled: Vec::new() };
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let after = chars.peek().map(|(_, c)| *c);
        match unseen(c) {
            Some(_) if joins(c, out.clean.text.chars().next_back(), after) => out.keep(c),
            Some(kind) => out.drop(at, c, kind),
            None if c == '\r' => {
                if after != Some('\n') {
                    out.keep('\n');
                }
            }
            None if is_shape(c) => std::iter::once(c).nfkc().for_each(|c| out.keep(c)),
            None => out.keep(c),
        }
    }
    out.end();
    out.clean
}

struct Cleaner {
    clean: Clean,
    run: Option<Removed>,
    /// Bytes that a run of variation selectors stands for.
    smuggled: Vec<u8>,
}

impl Cleaner {
    fn keep(&mut self, c: char) {
        self.end();
        self.clean.text.push(c);
    }

    fn drop(&mut self, at: usize, c: char, kind: Unseen) {
        if self.run.as_ref().is_some_and(|run| run.kind != kind) {
            self.end();
        }
        let run = self.run.get_or_insert(Removed { at, kind, chars: 0, text: String::new() });
        run.chars += 1;
        if run.chars <= SPELLED_MAX {
            match c {
                '\u{E0020}'..='\u{E007E}' => run.text.push(char::from((u32::from(c) - 0xE0000) as u8)),
                '\u{FE00}'..='\u{FE0F}' => self.smuggled.push((u32::from(c) - 0xFE00) as u8),
                '\u{E0100}'..='\u{E01EF}' => self.smuggled.push((u32::from(c) - 0xE0100 + 16) as u8),
                _ => {}
            }
        }
    }

    fn end(&mut self) {
        let Some(mut run) = self.run.take() else { return };
        let smuggled = std::mem::take(&mut self.smuggled);
        // One selector chooses a glyph (an emoji in colour); it takes several to say something.
        if run.kind == Unseen::Tags && run.chars == 1 && smuggled.len() == 1 {
            return;
        }
        run.text.push_str(&String::from_utf8_lossy(&smuggled));
        self.clean.removed_chars += run.chars;
        if self.clean.removed.len() < REMOVED_MAX {
            self.clean.removed.push(run);
        }
    }
}

fn unseen(c: char) -> Option<Unseen> {
    Some(match c {
        '\t' | '\n' | '\r' | ' '..='~' => return None,
        '\0'..='\u{1F}' | '\u{7F}'..='\u{9F}' => Unseen::Control,
        '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => {
            Unseen::Bidi
        }
        '\u{E0000}'..='\u{E007F}' | '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}' => Unseen::Tags,
        '\u{00AD}'
        | '\u{034F}'
        | '\u{115F}'..='\u{1160}'
        | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200D}'
        | '\u{2060}'..='\u{2065}'
        | '\u{206A}'..='\u{206F}'
        | '\u{3164}'
        | '\u{FEFF}'
        | '\u{FFA0}'
        | '\u{FFF0}'..='\u{FFFB}'
        | '\u{1BCA0}'..='\u{1BCA3}'
        | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0080}'..='\u{E00FF}'
        | '\u{E01F0}'..='\u{E0FFF}' => Unseen::Invisible,
        _ => return None,
    })
}

/// Whether a (non-)joiner shapes what stands around it: letters of scripts that join,
/// parts of one emoji. Anywhere else it only parts a word from itself. `before` is what
/// was kept, so that cleaning twice changes nothing.
fn joins(c: char, before: Option<char>, after: Option<char>) -> bool {
    let shaped = |c: char| {
        matches!(c, '\u{0590}'..='\u{109F}' | '\u{1780}'..='\u{17FF}' | '\u{2190}'..='\u{2BFF}'
            | '\u{1F000}'..='\u{1FAFF}')
            && unseen(c).is_none()
    };
    matches!(c, '\u{200C}' | '\u{200D}') && before.is_some_and(shaped) && after.is_some_and(shaped)
}

/// Characters that are only another shape of others.
fn is_shape(c: char) -> bool {
    matches!(c, '\u{FB00}'..='\u{FB06}' | '\u{FB50}'..='\u{FDFF}' | '\u{FE70}'..='\u{FEFC}' | '\u{FF01}'..='\u{FF9F}'
        | '\u{FFE0}'..='\u{FFE6}' | '\u{1D400}'..='\u{1D7FF}')
}
