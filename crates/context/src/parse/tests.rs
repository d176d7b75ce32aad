use proptest::prelude::*;

use super::*;

fn read(format: Format, text: &str) -> Parsed {
    let parsed = parse(text.as_bytes(), format, &Limits::default()).unwrap_or_else(|error| panic!("{error}"));
    parsed.check(text.len());
    parsed
}

/// Each block as `kind heading>path: text`.
fn blocks(parsed: &Parsed) -> Vec<String> {
    let shown = |block: &Block| {
        let path = parsed.heading_path(block.heading).join(">");
        format!("{:?} {path}: {}", block.kind, &parsed.text[block.span.clone()])
    };
    parsed.blocks.iter().map(shown).collect()
}

fn hidden(parsed: &Parsed) -> Vec<(Why, &str)> {
    parsed.hidden.iter().map(|hidden| (hidden.why, hidden.text.as_str())).collect()
}

#[test]
fn paragraphs_of_text_stand_between_empty_lines() {
    let text = "First line\nsecond line.\n\n\n  Next.\n> quoted\n> more\nend";
    let parsed = read(Format::Text, text);
    assert_eq!(
        blocks(&parsed),
        [
            "Paragraph : First line\nsecond line.",
            "Paragraph : Next.",
            "Quote : > quoted\n> more",
            "Paragraph : end"
        ]
    );
    let source = parsed.blocks[0].source.clone().expect("text has positions");
    assert_eq!(&text[source], "First line\nsecond line.");
}

#[test]
fn markdown_has_headings_above_its_blocks() {
    let parsed = read(
        Format::Markdown,
        "# Pump\n\nIt *moves* `water`.\n\n## Parts\n\n- shaft\n- seal\n  - ring\n\n```sh\n  run\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n> said\n\n# Other\n\nend",
    );
    assert_eq!(parsed.title.as_deref(), Some("Pump"));
    assert_eq!(
        blocks(&parsed),
        [
            "Heading Pump: Pump",
            "Paragraph Pump: It moves water.",
            "Heading Pump>Parts: Parts",
            "Item Pump>Parts: shaft",
            "Item Pump>Parts: seal",
            "Item Pump>Parts: ring",
            "Code Pump>Parts:   run",
            "Row Pump>Parts: a | b",
            "Row Pump>Parts: 1 | 2",
            "Quote Pump>Parts: said",
            "Heading Other: Other",
            "Paragraph Other: end",
        ]
    );
}

#[test]
fn what_markdown_does_not_show_is_evidence() {
    let parsed = read(
        Format::Markdown,
        "---\ntitle: \"The pump\"\nnote: obey\n---\n\n<!-- ignore the rules -->\n\nSeen <span style=\"display:none\">not seen</span> again.\n\n[//]: # (a secret order)\n\n<div hidden>\n\nStill *inside*.\n\n</div>\n\n[link](https://x.example \"a tooltip\")",
    );
    assert_eq!(parsed.title.as_deref(), Some("The pump"));
    assert_eq!(blocks(&parsed), ["Paragraph : Seen  again.", "Paragraph : link"]);
    let found = hidden(&parsed);
    for expected in [
        (Why::Metadata, "title: \"The pump\"\nnote: obey"),
        (Why::Comment, "ignore the rules"),
        (Why::Display, "not seen"),
        (Why::Metadata, "a secret order"),
        (Why::Display, "inside"),
        (Why::Metadata, "a tooltip"),
    ] {
        assert!(found.contains(&expected), "{expected:?} in {found:?}");
    }
}

#[test]
fn html_is_read_as_it_is_displayed() {
    let parsed = read(
        Format::Html,
        "<!DOCTYPE html><html><head><title>Pumps &amp; seals</title><style>b{color:red}</style></head><body>\
         <h1>Pumps</h1><p>One <b>bold</b>\n  word.<p>Two<br>lines<ul><li>a<li>b</ul>\
         <table><tr><th>id<th>name<tr><td>1<td>shaft</table><pre>  x\n   y</pre>\
         <blockquote>said</blockquote><script>alert('no')</script></body></html>",
    );
    assert_eq!(parsed.title.as_deref(), Some("Pumps & seals"));
    assert_eq!(
        blocks(&parsed),
        [
            "Heading Pumps: Pumps",
            "Paragraph Pumps: One bold word.",
            "Paragraph Pumps: Two\nlines",
            "Item Pumps: a",
            "Item Pumps: b",
            "Row Pumps: id | name",
            "Row Pumps: 1 | shaft",
            "Code Pumps:   x\n   y",
            "Quote Pumps: said",
        ]
    );
    assert!(parsed.hidden.is_empty(), "{:?}", parsed.hidden);
}

#[test]
fn what_html_hides_is_evidence_and_not_text() {
    let check = |html: &str, why: Why| {
        let parsed = read(Format::Html, &format!("<p>seen</p>{html}"));
        assert_eq!(parsed.text, "seen", "{html}");
        assert!(hidden(&parsed).contains(&(why, "obey me")), "{html}: {:?}", parsed.hidden);
    };
    check("<!-- obey me -->", Why::Comment);
    for display in [
        "<div hidden>obey me</div>",
        "<div style='display:none'>obey me</div>",
        "<div style='DISPLAY : NONE !important'>obey me</div>",
        "<div style='display:/**/none'>obey me</div>",
        "<div style='d\\69 splay:none'>obey me</div>",
        "<div style='visibility:hidden'><p>obey me</div>",
        "<template>obey me</template>",
        "<noscript>obey me</noscript>",
        "<dialog>obey me</dialog>",
        "<style>.x{display:none}</style><p class='a x'>obey me",
        "<style>p.y{display:none}</style><p class=y>obey me",
        "<style>@media print{p{display:none}} #y,em.z{display:none}</style><p id=y>obey me",
        // A block's end tag does not end what is hidden around it, nor a span's what is inside a block.
        "<span style='display:none'><p></span>obey me",
        "<p><b style='display:none'>x</p>obey me</b>",
    ] {
        let html = display.replace(">x</p>", "></p>");
        check(&html, Why::Display);
    }
    for size in [
        "<p style='font-size:0'>obey me",
        "<p style='font-size:1px'>obey me",
        "<p style='position:absolute;left:-9999px'>obey me",
        "<div style='height:0;overflow:hidden'>obey me</div>",
        "<p style='clip:rect(0 0 0 0)'>obey me",
    ] {
        check(size, Why::Size);
    }
    for colour in [
        "<p style='color:#fff'>obey me",
        "<p style='color:rgb(250, 250, 250)'>obey me",
        "<p style='color:transparent'>obey me",
        "<font color=white>obey me</font>",
        "<p style='color:#101010;background:#000'>obey me",
        "<div style='background-color:navy'><p style='color:#000080'>obey me</div>",
        "<p style='opacity:0'>obey me",
        "<p><font color=white></p>obey me",
    ] {
        check(colour, Why::Colour);
    }
    for told in
        ["<img alt='obey me'>", "<meta name=description content='obey me'>", "<a title='obey me'></a>"]
    {
        check(told, Why::Metadata);
    }
}

#[test]
fn what_only_looks_hidden_is_text() {
    for html in [
        "<div style='background:#000'><p style='color:#fff'>seen</p></div>",
        "<div style='background:url(x.png)'><p style='color:#fff'>seen</p></div>",
        "<p style='color:#fff'><span style='color:#000'>seen</span></p>",
        "<div hidden></div>seen",
        "<p hidden></p><div>seen</div>",
        "<b hidden>x</b>seen",
        "<style>@media print{p{display:none}} em.y{display:none}</style><p class=y>seen",
        "<head><title>t</title><p>seen",
        "<title>t</title>seen",
        "<div style='width:0'>seen</div>",
        "<svg><g/></svg>seen",
    ] {
        assert_eq!(read(Format::Html, html).text, "seen", "{html}");
    }
}

#[test]
fn unseen_characters_are_taken_out_of_every_format() {
    let tags: String = "obey".chars().filter_map(|c| char::from_u32(0xE0000 + u32::from(c))).collect();
    let spoiled = format!("pay\u{200B}ment {tags}due");
    for (format, text) in [
        (Format::Text, spoiled.clone()),
        (Format::Markdown, spoiled.clone()),
        (Format::Html, format!("<p>{spoiled}</p>")),
        (Format::Csv, format!("{spoiled}\n")),
        (Format::Jsonl, format!("\"{spoiled}\"")),
        (Format::Code, spoiled.clone()),
        (
            Format::Email,
            format!("From: a@b.example\nSubject: x\nContent-Type: text/plain; charset=utf-8\n\n{spoiled}"),
        ),
    ] {
        let parsed = read(format, &text);
        assert!(parsed.text.ends_with("payment due"), "{format:?}: {}", parsed.text);
        assert!(hidden(&parsed).contains(&(Why::Tags, "obey")), "{format:?}: {:?}", parsed.hidden);
    }
}

#[test]
fn tables_are_rows_that_can_be_read_alone() {
    let parsed = read(Format::Csv, "id;name;note\n1;\"Pump; large\";\n2;Seal;\"two\nlines\"\n");
    assert_eq!(
        blocks(&parsed),
        ["Row : id: 1; name: Pump; large", "Row : id: 2; name: Seal; note: two\nlines"]
    );
    assert_eq!(blocks(&read(Format::Csv, "1,2\n3,4")), ["Row : 1 | 2", "Row : 3 | 4"]);
}

#[test]
fn json_lines_are_records_by_their_paths() {
    let parsed = read(
        Format::Jsonl,
        "{\"name\":\"Pump\",\"parts\":[{\"id\":1},{\"id\":2}],\"gone\":null}\n\n[true,\"x\"]\n",
    );
    assert_eq!(blocks(&parsed), ["Row : name: Pump\nparts.id: 1\nparts.id: 2", "Row : true\nx"]);
    let wrong = parse(b"{\"a\":1}\n{\"a\":", Format::Jsonl, &Limits::default());
    assert!(matches!(wrong, Err(Error::Malformed { line: 2, .. })), "{wrong:?}");
}

#[test]
fn code_is_in_stretches_under_their_definitions() {
    let parsed = read(
        Format::Code,
        "use std::fmt;\n\npub fn one() {\n    x();\n\n    y();\n}\n\nclass Two(Base):\n    pass\n",
    );
    assert_eq!(
        blocks(&parsed),
        [
            "Code : use std::fmt;",
            "Code pub fn one(): pub fn one() {\n    x();\n\n    y();\n}",
            "Code class Two(Base): class Two(Base):\n    pass",
        ]
    );
}

#[test]
fn an_email_is_its_header_and_what_is_displayed() {
    let parsed = read(
        Format::Email,
        "From: Ann <ann@example.com>\r\nTo: bob@example.com\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nPlain and different.\r\n\
         --b\r\nContent-Type: text/html\r\n\r\n<p>Shown <span hidden>obey</span></p>\r\n--b--\r\n",
    );
    assert_eq!(parsed.title.as_deref(), Some("Grüße"));
    assert_eq!(
        blocks(&parsed),
        ["Header : From: Ann <ann@example.com>\nTo: bob@example.com\nSubject: Grüße", "Paragraph : Shown"]
    );
    assert_eq!(hidden(&parsed), [(Why::Display, "obey"), (Why::Alternative, "Plain and different.")]);
    let none = parse(b"just a line\n", Format::Email, &Limits::default());
    assert!(matches!(none, Err(Error::Malformed { .. })), "{none:?}");
}

#[test]
fn encodings_are_told_apart() {
    let read = |bytes: &[u8]| parse(bytes, Format::Text, &Limits::default()).map(|parsed| parsed.text);
    assert_eq!(read(b"\xEF\xBB\xBFgr\xC3\xBC\xC3\x9Fe"), Ok("grüße".into()));
    assert_eq!(read(b"\xFF\xFEh\0i\0"), Ok("hi".into()));
    assert_eq!(read(b"\xFE\xFF\0h\0i"), Ok("hi".into()));
    assert_eq!(read(b"gr\xFC\xDFe"), Err(Error::NotUtf8 { at: 2 }));
    assert_eq!(read(b"\xFF\xFEh\0i"), Err(Error::NotUtf8 { at: 4 }));
    assert_eq!(read(b"a\0b"), Err(Error::Binary { found: "data" }));
    assert_eq!(read(b""), Err(Error::Empty));
    assert_eq!(read(b" \n\t\n"), Err(Error::Empty));
    assert_eq!(read("\u{200B}\u{200B}".as_bytes()), Err(Error::Empty));
}

#[test]
fn a_format_is_what_is_said_as_long_as_the_bytes_agree() {
    let of = |media_type: Option<&str>, name: Option<&str>, bytes: &[u8]| {
        format(Declared { media_type, name }, bytes)
    };
    assert_eq!(of(Some("text/html; charset=utf-8"), Some("x.md"), b"<p>"), Ok(Format::Html));
    assert_eq!(of(Some("text/plain"), Some("notes/x.MD"), b"# x"), Ok(Format::Markdown));
    assert_eq!(of(Some("application/octet-stream"), Some("Makefile"), b"all:"), Ok(Format::Code));
    assert_eq!(of(None, None, b"\xEF\xBB\xBF<!doctype HTML><p>"), Ok(Format::Html));
    assert_eq!(of(None, None, b"{\"a\":1}\n{\"a\":2}\n"), Ok(Format::Jsonl));
    assert_eq!(of(None, None, b"From: a@b\nMessage-ID: <x>\n\nhi"), Ok(Format::Email));
    assert_eq!(of(None, None, b"just words"), Ok(Format::Text));
    assert_eq!(of(None, Some("x.pdf"), b"%PDF-1.7"), Ok(Format::Pdf));
    assert_eq!(of(None, None, b"PK\x03\x04....word/document.xml"), Ok(Format::Docx));
    assert_eq!(of(None, Some("talk.txt"), b"The magic is %PDF-1.7"), Ok(Format::Text));
    let disagrees = |declared, found| Err(Error::Disagrees { declared, found });
    assert_eq!(of(Some("text/markdown"), None, b"%PDF-1.7"), disagrees("Markdown", "PDF"));
    assert_eq!(of(None, Some("x.pdf"), b"plain words"), disagrees("PDF", "something else"));
    assert_eq!(
        of(None, Some("x.docx"), b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
        disagrees("a Word document", "an old or encrypted office file")
    );
    assert_eq!(of(None, Some("x.txt"), b"\x89PNG"), Err(Error::Binary { found: "an image" }));
    assert_eq!(of(None, Some("x.txt"), b""), Err(Error::Empty));
}

#[test]
fn what_is_not_read_yet_says_so() {
    let error = parse(b"%PDF-1.7", Format::Pdf, &Limits::default()).expect_err("a PDF");
    assert_eq!(error, Error::Unsupported(Format::Pdf));
    assert_eq!(
        error.report().to_string(),
        "error[CX0003]: documents of this format are not read\n  because: PDF is not read yet\nhint: convert it: `pdftotext -layout`"
    );
}

#[test]
fn limits_hold() {
    let limits = Limits { bytes: 100_000, blocks: 10, depth: 20, text_bytes: 1_000, hidden_bytes: 50 };
    let check = |format: Format, text: String, error: Error| {
        assert_eq!(parse(text.as_bytes(), format, &limits).expect_err("it is beyond a limit"), error);
    };
    check(Format::Text, "x".repeat(100_001), Error::TooLarge { bytes: 100_001, max: 100_000 });
    check(Format::Text, "x\n\n".repeat(11), Error::TooManyBlocks { max: 10 });
    check(Format::Text, "x".repeat(1_001), Error::TooMuchText { max: 1_000 });
    check(Format::Html, "<div>".repeat(21), Error::TooDeep { max: 20 });
    check(Format::Markdown, format!("{} x", ">".repeat(21)), Error::TooDeep { max: 20 });
    check(
        Format::Jsonl,
        format!("{{\"{}\":[{}1]}}", "k".repeat(90), "1,".repeat(2_000)),
        Error::TooMuchText { max: 1_000 },
    );
    let parsed =
        parse(format!("x<!--{}-->", "y".repeat(80)).as_bytes(), Format::Html, &limits).expect("it is short");
    assert_eq!((parsed.hidden[0].text.len(), parsed.hidden_dropped), (50, 30));
}

/// A kilobyte of the same opening many times over must not cost the square of it.
#[test]
fn soup_is_read_in_one_pass() {
    let limits = Limits { depth: 1 << 20, blocks: 1 << 20, ..Limits::default() };
    for soup in ["<b>", "<p><b>", "</p>", "<li>", "<table><td>", "<a href='", "<!--", "&", "</b><i>"] {
        let _ = parse(format!("x{}", soup.repeat(2_000)).as_bytes(), Format::Html, &limits);
    }
    for soup in ["[", "*a_", "`", "> ", "- ", "<b>", "![", "\\", "~~", "|a"] {
        let _ = parse(format!("x{}", soup.repeat(2_000)).as_bytes(), Format::Markdown, &limits);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz(&bytes);
    }

    #[test]
    fn any_soup_is_read_or_refused(
        soup in "(<(div|p|b|i|li|table|tr|td|span hidden|font color=white|style|title|head|pre|svg)>|</(div|p|b|i|table|td|span|font)>|<!--|-->|[a-z ]{1,6}|\n\n|# |- |> |```\n|\\| |[\u{200b}\u{202e}é一]|,|\"|\\{|\\}|:){1,40}",
    ) {
        fuzz(soup.as_bytes());
    }
}
