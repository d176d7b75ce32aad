use proptest::prelude::*;

use super::*;

#[test]
fn what_is_not_seen_is_taken_out_and_kept_as_evidence() {
    let tags: String =
        "obey".chars().map(|c| char::from_u32(0xE0000 + u32::from(c)).expect("a tag")).collect();
    let clean = clean(&format!("pass\u{200B}word\u{202E} x{tags}y\u{0}"));
    assert_eq!(clean.text, "password xy");
    let found: Vec<(Unseen, &str, usize)> =
        clean.removed.iter().map(|r| (r.kind, r.text.as_str(), r.at)).collect();
    assert_eq!(
        found,
        [
            (Unseen::Invisible, "", 4),
            (Unseen::Bidi, "", 11),
            (Unseen::Tags, "obey", 16),
            (Unseen::Control, "", 33)
        ]
    );
    assert_eq!(clean.removed_chars, 7);
}

#[test]
fn bytes_smuggled_in_variation_selectors_are_read() {
    let hidden: String =
        b"run".iter().map(|b| char::from_u32(0xE0100 + u32::from(*b) - 16).expect("a selector")).collect();
    let smuggled = clean(&format!("\u{1F600}{hidden} ok"));
    assert_eq!((smuggled.text.as_str(), smuggled.removed[0].text.as_str()), ("\u{1F600} ok", "run"));
    // One is only a glyph's.
    assert!(clean("\u{2764}\u{FE0F} love").removed.is_empty());
}

#[test]
fn joiners_that_shape_letters_stay() {
    for text in ["می\u{200C}خواهم", "क्\u{200D}ष", "\u{1F468}\u{200D}\u{1F469}"] {
        assert_eq!(clean(text).text, text);
    }
    assert_eq!(clean("in\u{200D}voice").text, "invoice");
}

#[test]
fn shapes_become_their_characters_and_powers_stay() {
    assert_eq!(clean("ｆｕｌｌ ﬁle 10² ①\r\nx\ry").text, "full file 10² ①\nx\ny");
}

#[test]
fn evidence_is_bounded() {
    let clean = clean(&"a\u{200B}".repeat(5_000));
    assert_eq!((clean.removed.len(), clean.removed_chars, clean.text.len()), (64, 5_000, 5_000));
}

#[test]
fn scripts_are_told_apart() {
    let check = |text: &str, script_: Option<Script>| assert_eq!(script(text), script_, "{text}");
    check("What is a bedplate?", Some(Script::Latin));
    check("Что такое станина?", Some(Script::Cyrillic));
    check("ما هي عاصمة مصر؟", Some(Script::Arabic));
    check("東京都 Tokyo 2020", Some(Script::Cjk));
    check("भारत की राजधानी", Some(Script::Devanagari));
    check("42 + 7 = ?", None);
}

#[test]
fn lexing_follows_the_language_and_else_the_sample() {
    assert_eq!(lexing("en-GB", ""), Lexing::Stemmed);
    assert_eq!(lexing("zh-Hant", ""), Lexing::Trigrams);
    assert_eq!(lexing("de", "the of and"), Lexing::Words);
    assert_eq!(lexing("und", "The pump is driven by the shaft that stands on it."), Lexing::Stemmed);
    assert_eq!(
        lexing("und", "Die Pumpe wird von der Welle getrieben, welche darauf steht und läuft."),
        Lexing::Words
    );
    assert_eq!(lexing("und", "北京是中国的首都"), Lexing::Trigrams);
    assert_eq!(lexing("und", "عاصمة مصر هي القاهرة"), Lexing::Words);
}

#[test]
fn words_are_lower_case_and_without_decoration() {
    assert_eq!(words("The user's DON'T-list: x_1, Ｆull"), ["the", "user", "dont", "list", "x", "1", "full"]);
    assert_eq!(words("كِتَابٌ"), ["كتاب"]);
    assert_eq!(words("शब्द है"), ["शब्द", "है"]);
    assert_eq!(words("' '' 's"), ["s"]);
}

#[test]
fn a_query_asks_for_what_it_is_about() {
    let terms = |text: &str, lexing| Query::read(text, lexing).terms;
    assert_eq!(
        terms("What's the capital of O'Brien County?", Lexing::Stemmed),
        ["capital", "o brien", "county"]
    );
    // Nothing but stop words: then they are what is asked for.
    assert_eq!(terms("to be or not to be", Lexing::Stemmed), ["not"]);
    assert_eq!(terms("who is it", Lexing::Stemmed), ["who", "is", "it"]);
    assert_eq!(terms("北京大学在哪", Lexing::Trigrams), ["北京大", "京大学", "大学在", "学在哪"]);
    assert_eq!(terms("fn parse_header", Lexing::Trigrams), ["parse", "header"]);
    assert!(terms("", Lexing::Words).is_empty());
}

#[test]
fn nothing_in_a_term_is_syntax() {
    let query = Query::read("title:x NEAR(\"a b\", 2) OR * AND ^secret -- \";drop", Lexing::Words);
    let expression = query.match_expression().expect("terms");
    assert_eq!(expression, r#""title" OR "x" OR "near" OR "b" OR "2" OR "secret" OR "drop""#);
    assert_eq!(Query::read("?!", Lexing::Words).match_expression(), None);
}

#[test]
fn a_query_of_100k_characters_is_cut_with_notice() {
    let long = format!("{} where is the invoice 4711?", "lorem ipsum ".repeat(9_000));
    let query = Query::read(&long, Lexing::Stemmed);
    assert!(query.terms.len() <= TERMS_MAX && query.terms.contains(&"4711".to_owned()), "{:?}", query.terms);
    let cut = query.cut.expect("it was cut");
    assert_eq!(cut.bytes, long.len());
    assert!(cut.bytes_read <= QUERY_BYTES_MAX);
    let many: String = (0..500).map(|n| format!("word{n} ")).collect();
    assert_eq!(Query::read(&many, Lexing::Words).cut.map(|cut| cut.terms_left_out), Some(500 - TERMS_MAX));
}

proptest! {
    #[test]
    fn cleaning_is_done_once(text in "\\PC*|[\\u{200b}-\\u{200f}a-c\\u{202a}-\\u{202e}\\r\\n]{0,40}") {
        let once = clean(&text);
        let twice = clean(&once.text);
        prop_assert_eq!(&twice.text, &once.text);
        prop_assert_eq!(twice.removed_chars, 0);
    }

    #[test]
    fn any_text_is_a_query(text in any::<String>()) {
        for lexing in [Lexing::Stemmed, Lexing::Words, Lexing::Trigrams] {
            let query = Query::read(&text, lexing);
            prop_assert!(query.terms.iter().all(|t| !t.is_empty() && !t.contains('"')));
        }
    }
}
