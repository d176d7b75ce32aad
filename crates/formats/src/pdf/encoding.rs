//! Codes of one byte, and glyphs by their names.

/// Windows code page 1252 from 0x80 to 0x9F; what it leaves free is a space.
const WINDOWS: &str = "€ ‚ƒ„…†‡ˆ‰Š‹Œ Ž  ‘’“”•–—˜™š›œ žŸ";
/// Mac OS Roman from 0x80 on.
const MAC: &str = "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü†°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø¿¡¬√ƒ≈∆«»… ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ ÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ";

/// The names of glyphs that have one of more than a letter, as the Adobe Glyph List has
/// them: those of Latin alphabets.
const NAMES: &str = "exclam ! quotedbl \" numbersign # dollar $ percent % ampersand & quotesingle ' \
parenleft ( parenright ) asterisk * plus + comma , hyphen - minus − period . slash / zero 0 one 1 two 2 three 3 \
four 4 five 5 six 6 seven 7 eight 8 nine 9 colon : semicolon ; less < equal = greater > question ? at @ \
bracketleft [ backslash \\ bracketright ] asciicircum ^ underscore _ grave ` braceleft { bar | braceright } \
asciitilde ~ exclamdown ¡ cent ¢ sterling £ currency ¤ yen ¥ brokenbar ¦ section § dieresis ¨ copyright © \
ordfeminine ª guillemotleft « logicalnot ¬ registered ® macron ¯ degree ° plusminus ± acute ´ mu µ paragraph ¶ \
periodcentered · cedilla ¸ ordmasculine º guillemotright » onequarter ¼ onehalf ½ threequarters ¾ questiondown ¿ \
Agrave À Aacute Á Acircumflex Â Atilde à Adieresis Ä Aring Å AE Æ Ccedilla Ç Egrave È Eacute É Ecircumflex Ê \
Edieresis Ë Igrave Ì Iacute Í Icircumflex Î Idieresis Ï Eth Ð Ntilde Ñ Ograve Ò Oacute Ó Ocircumflex Ô Otilde Õ \
Odieresis Ö multiply × Oslash Ø Ugrave Ù Uacute Ú Ucircumflex Û Udieresis Ü Yacute Ý Thorn Þ germandbls ß agrave à \
aacute á acircumflex â atilde ã adieresis ä aring å ae æ ccedilla ç egrave è eacute é ecircumflex ê edieresis ë \
igrave ì iacute í icircumflex î idieresis ï eth ð ntilde ñ ograve ò oacute ó ocircumflex ô otilde õ odieresis ö \
divide ÷ oslash ø ugrave ù uacute ú ucircumflex û udieresis ü yacute ý thorn þ ydieresis ÿ Lslash Ł lslash ł \
Scaron Š scaron š Zcaron Ž zcaron ž Ccaron Č ccaron č Cacute Ć cacute ć Ecaron Ě ecaron ě Rcaron Ř rcaron ř \
Aogonek Ą aogonek ą Eogonek Ę eogonek ę Nacute Ń nacute ń Sacute Ś sacute ś Zacute Ź zacute ź Zdotaccent Ż \
zdotaccent ż Ncaron Ň ncaron ň Tcaron Ť tcaron ť Dcaron Ď dcaron ď Uring Ů uring ů Ohungarumlaut Ő ohungarumlaut ő \
Uhungarumlaut Ű uhungarumlaut ű Abreve Ă abreve ă Scedilla Ş scedilla ş Gbreve Ğ gbreve ğ Idotaccent İ OE Œ oe œ \
Ydieresis Ÿ florin ƒ circumflex ˆ tilde ˜ dotlessi ı quoteleft ‘ quoteright ’ quotesinglbase ‚ quotedblleft “ \
quotedblright ” quotedblbase „ dagger † daggerdbl ‡ bullet • endash – emdash — ellipsis … perthousand ‰ \
guilsinglleft ‹ guilsinglright › fraction ⁄ Euro € trademark ™ fi ﬁ fl ﬂ ff ﬀ ffi ﬃ ffl ﬄ \
lessequal ≤ greaterequal ≥ notequal ≠ infinity ∞ arrowright → arrowleft ← Omega Ω pi π alpha α beta β gamma γ \
delta δ epsilon ε lambda λ sigma σ";

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Base {
    #[default]
    Windows,
    Mac,
}

impl Base {
    pub fn of_name(name: &str) -> Base {
        if name == "MacRomanEncoding" { Base::Mac } else { Base::Windows }
    }

    pub fn text(self, code: u8) -> char {
        let nth = |table: &str, from: u8| table.chars().nth(usize::from(code - from)).unwrap_or(' ');
        match (self, code) {
            (_, 0..0x80) => code as char,
            (Base::Mac, _) => nth(MAC, 0x80),
            (Base::Windows, 0x80..0xA0) => nth(WINDOWS, 0x80),
            (Base::Windows, _) => code as char,
        }
    }
}

/// The text that a glyph of that name shows; `None` for names that only its font knows.
pub fn glyph(name: &str) -> Option<String> {
    // A variant of a glyph is behind a dot; the parts of a ligature are between strokes.
    let name = name.split('.').next().filter(|name| !name.is_empty())?;
    if name.len() > 1 && name.contains('_') && name != "_" {
        return name.split('_').map(glyph).collect();
    }
    let mut single = name.chars();
    if let (Some(one), None) = (single.next(), single.next()) {
        return Some(one.to_string());
    }
    let hex = |digits: &str| u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
    let coded = match (name.strip_prefix("uni"), name.strip_prefix('u')) {
        (Some(digits), _) if digits.len() == 4 => hex(digits),
        (_, Some(digits)) if (4..=6).contains(&digits.len()) => hex(digits),
        _ => None,
    };
    coded.map(String::from).or_else(|| named(name))
}

fn named(name: &str) -> Option<String> {
    if name == "space" || name == "nbspace" {
        return Some(" ".into());
    }
    let mut words = NAMES.split_ascii_whitespace();
    while let (Some(known), Some(text)) = (words.next(), words.next()) {
        if known == name {
            return Some(text.into());
        }
    }
    None
}

/// A text of the document's properties: UTF-16 or UTF-8 if it says so, else one byte each.
pub fn text_string(bytes: &[u8]) -> String {
    match bytes {
        [0xFE, 0xFF, rest @ ..] => {
            let units: Vec<u16> =
                rest.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16_lossy(&units)
        }
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        bytes => bytes.iter().map(|byte| Base::Windows.text(*byte)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_those_of_their_tables() {
        assert_eq!((MAC.chars().count(), WINDOWS.chars().count()), (128, 32));
        assert_eq!(
            (Base::Windows.text(0x80), Base::Windows.text(0x9F), Base::Windows.text(0xE4)),
            ('€', 'Ÿ', 'ä')
        );
        assert_eq!((Base::Mac.text(0x8A), Base::Mac.text(0xDE), Base::Mac.text(0xFF)), ('ä', 'ﬁ', 'ˇ'));
        let of = |name| glyph(name).unwrap_or_default();
        assert_eq!(
            [of("A"), of("space"), of("uni20AC"), of("u1F600"), of("f_i"), of("a.alt")],
            ["A", " ", "€", "😀", "fi", "a"]
        );
        assert_eq!([of("germandbls"), of("Lslash"), of("udieresis"), of("fl")], ["ß", "Ł", "ü", "ﬂ"]);
        assert_eq!(glyph("g123"), None);
    }

    #[test]
    fn every_name_has_a_text() {
        let words: Vec<&str> = NAMES.split_ascii_whitespace().collect();
        for pair in words.chunks(2) {
            assert!(pair.len() == 2 && pair[0].len() > 1 && pair[1].chars().count() == 1, "{pair:?}");
        }
    }
}
