//! A font as far as text needs it: which bytes are a code, what it stands for, how wide it is.

use std::collections::HashMap;

use hayro_syntax::object::{Array, Dict, Name, Object, Stream};

use super::cmap::CMap;
use super::encoding::{Base, glyph};

/// Widths of a composite font.
const WIDTHS_MAX: usize = 1 << 17;
/// Of a font that does not say: about that of most letters.
const WIDTH: f64 = 0.5;

pub struct Font {
    /// Codes have two bytes.
    wide: bool,
    /// Codes are characters (of a predefined map of Unicode).
    unicode: bool,
    to_unicode: Option<CMap>,
    base: Base,
    differences: HashMap<u8, String>,
    widths: HashMap<u32, f64>,
    missing_width: f64,
}

pub struct Glyph {
    /// Empty when nobody says what it is.
    pub text: String,
    /// In units of the font's size.
    pub width: f64,
    /// The code of one byte that word spacing is for.
    pub is_space: bool,
}

impl Font {
    pub fn read(dict: &Dict<'_>) -> Font {
        let wide = dict.get::<Name<'_>>("Subtype").is_some_and(|name| name.as_str() == "Type0");
        let to_unicode =
            dict.get::<Stream<'_>>("ToUnicode").and_then(|s| s.decoded().ok().map(|b| CMap::read(&b)));
        let encoding = dict.get::<Name<'_>>("Encoding");
        let named = encoding.as_ref().map(|name| name.as_str().to_owned()).unwrap_or_default();
        let mut font = Font {
            wide: wide && to_unicode.as_ref().and_then(|map| map.code_bytes) != Some(1),
            unicode: wide && named.starts_with("Uni") && (named.contains("UCS2") || named.contains("UTF16")),
            to_unicode,
            base: Base::of_name(&named),
            differences: HashMap::new(),
            widths: HashMap::new(),
            missing_width: WIDTH,
        };
        if let Some(encoding) = dict.get::<Dict<'_>>("Encoding") {
            font.differ(&encoding);
        }
        match dict.get::<Array<'_>>("DescendantFonts").and_then(|fonts| fonts.iter::<Dict<'_>>().next()) {
            Some(descendant) => font.composite_widths(&descendant),
            None => font.simple_widths(dict),
        }
        font
    }

    pub fn glyphs(&self, bytes: &[u8]) -> Vec<Glyph> {
        bytes.chunks(if self.wide { 2 } else { 1 }).map(|code| self.glyph(code)).collect()
    }

    fn glyph(&self, bytes: &[u8]) -> Glyph {
        let code = bytes.iter().fold(0, |code, byte| code << 8 | u32::from(*byte));
        let mapped = self.to_unicode.as_ref().and_then(|map| map.text(code));
        let text = mapped.or_else(|| match bytes {
            [one] if !self.wide => {
                let named = self.differences.get(one).cloned();
                Some(named.unwrap_or_else(|| self.base.text(*one).to_string()))
            }
            _ if self.unicode => char::from_u32(code).map(String::from),
            _ => None,
        });
        Glyph {
            text: text.unwrap_or_default(),
            width: self.widths.get(&code).copied().unwrap_or(self.missing_width),
            is_space: !self.wide && code == 32,
        }
    }

    /// `[ 65 /Agrave /Aacute 97 /agrave ]`: a code, and the glyphs from there on.
    fn differ(&mut self, encoding: &Dict<'_>) {
        if let Some(base) = encoding.get::<Name<'_>>("BaseEncoding") {
            self.base = Base::of_name(base.as_str());
        }
        let mut code = 0u32;
        for object in
            encoding.get::<Array<'_>>("Differences").iter().flat_map(|list| list.iter::<Object<'_>>())
        {
            match object {
                Object::Number(number) => code = u32::try_from(number.as_i64()).unwrap_or(u32::MAX),
                Object::Name(name) => {
                    // A name that says nothing hides the base's letter, which is another.
                    if let Ok(byte) = u8::try_from(code) {
                        self.differences.insert(byte, glyph(name.as_str()).unwrap_or_default());
                    }
                    code = code.saturating_add(1);
                }
                _ => {}
            }
        }
    }

    fn simple_widths(&mut self, dict: &Dict<'_>) {
        let first: u32 = dict.get::<u32>("FirstChar").unwrap_or(0);
        let Some(widths) = dict.get::<Array<'_>>("Widths") else { return };
        for (at, width) in widths.iter::<f64>().take(256).enumerate() {
            self.widths.insert(first.saturating_add(at as u32), width / 1_000.0);
        }
    }

    /// `[ 1 [500 600] 10 20 700 ]`: a code and widths from there on, or two codes and one
    /// width for all between.
    fn composite_widths(&mut self, font: &Dict<'_>) {
        self.missing_width = font.get::<f64>("DW").unwrap_or(1_000.0) / 1_000.0;
        let Some(widths) = font.get::<Array<'_>>("W") else { return };
        let mut held: Vec<u32> = Vec::new();
        for object in widths.iter::<Object<'_>>() {
            if self.widths.len() >= WIDTHS_MAX {
                return;
            }
            match object {
                Object::Number(number) if held.len() < 2 => {
                    held.push(u32::try_from(number.as_i64()).unwrap_or(0));
                }
                Object::Number(width) => {
                    for code in held[0]..=held[1].min(held[0].saturating_add(0xFFFF)) {
                        self.widths.insert(code, width.as_f64() / 1_000.0);
                    }
                    held.clear();
                }
                Object::Array(list) => {
                    let first = held.first().copied().unwrap_or(0);
                    for (at, width) in list.iter::<f64>().take(0x1_0000).enumerate() {
                        self.widths.insert(first.saturating_add(at as u32), width / 1_000.0);
                    }
                    held.clear();
                }
                _ => {}
            }
        }
    }
}
