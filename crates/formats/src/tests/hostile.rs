//! What is no document, or means harm: an error that says so, whatever it is.

use context::parse::{Error, Format};

use super::files::{Part, docx, docx_parts, part, xlsx, zip};
use super::read;
use crate::zip::PART_BYTES_MAX;

fn refused(bytes: &[u8], format: Format) -> String {
    read(bytes, format).expect_err("it is refused").to_string()
}

/// A document whose parts are changed before it is packed.
fn changed(change: impl Fn(&mut Part)) -> Vec<u8> {
    let mut parts = docx_parts("<w:p><w:r><w:t>words</w:t></w:r></w:p>");
    parts.iter_mut().filter(|part| part.name == "word/document.xml").for_each(change);
    zip(&parts)
}

#[test]
fn archives_that_lie_are_refused_with_a_reason() {
    let encrypted = changed(|part| part.flags = 1);
    assert_eq!(read(&encrypted, Format::Docx), Err(Error::Encrypted));
    for claimed in [0, 1, u32::MAX - 1] {
        let lying = changed(|part| part.claimed = Some(claimed));
        assert!(
            refused(&lying, Format::Docx).ends_with("its part word/document.xml is damaged"),
            "{claimed}"
        );
    }
    let mut parts = docx_parts("<w:p/>");
    parts.push(part("WORD/document.xml", "<w:document/>"));
    assert!(refused(&zip(&parts), Format::Docx).ends_with("two of its parts have one name"));
    parts.retain(|part| !part.name.to_lowercase().contains("document.xml"));
    assert!(refused(&zip(&parts), Format::Docx).ends_with("its part word/document.xml is not there"));
    assert!(refused(b"PK\x03\x04 and no more", Format::Docx).ends_with("its list of parts is not there"));
    assert_eq!(read(&docx("<w:p/>"), Format::Docx).map(|p| p.text), Ok("At the foot".into()));
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let bomb = changed(|part| part.bytes = vec![b' '; PART_BYTES_MAX + 1]);
    assert!(bomb.len() < 1 << 20, "it is small before it is unpacked");
    assert_eq!(read(&bomb, Format::Docx), Err(Error::Unpacks { max: PART_BYTES_MAX }));
}

#[test]
fn xml_that_means_harm_is_refused() {
    let body = |xml: &str| changed(|part| part.bytes = xml.as_bytes().to_vec());
    let laughs = "<!DOCTYPE a [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;\">]><w:document><w:p><w:t>&b;</w:t></w:p></w:document>";
    assert!(refused(&body(laughs), Format::Docx).ends_with("it declares a document type"));
    assert!(refused(&body("<a>&b;</a>"), Format::Docx).ends_with("it uses an entity of its own"));
    let deep = format!("{}{}", "<w:tbl>".repeat(10_000), "</w:tbl>".repeat(10_000));
    assert_eq!(read(&body(&deep), Format::Docx), Err(Error::TooDeep { max: crate::package::DEPTH_MAX }));
    assert!(refused(&body("<a><b></a>"), Format::Docx).contains("expected"));
    assert!(refused(&body("<w:document><w:p>"), Format::Docx).ends_with("it ends inside of an element"));
}

#[test]
fn a_cell_far_out_and_a_text_shared_a_million_times_are_bounded() {
    let sheet = |rows: &str| {
        let book = r#"<workbook><sheets><sheet name="A" sheetId="1" r:id="r1"/></sheets></workbook>"#;
        let rels = r#"<Relationships><Relationship Id="r1" Type="x/worksheet" Target="s.xml"/><Relationship Id="r2" Type="x/sharedStrings" Target="t.xml"/></Relationships>"#;
        let texts = format!("<sst><si><t>{}</t></si></sst>", "words ".repeat(20_000));
        let rows = format!("<worksheet><sheetData>{rows}</sheetData></worksheet>");
        zip(&[
            part("xl/workbook.xml", book),
            part("xl/_rels/workbook.xml.rels", rels),
            part("xl/s.xml", &rows),
            part("xl/t.xml", &texts),
        ])
    };
    let far = sheet(r#"<row r="1"><c r="ZZZZ1" t="str"><v>far</v></c></row>"#);
    assert!(refused(&far, Format::Xlsx).contains("columns"));
    let many = sheet(&r#"<row><c t="s"><v>0</v></c><c t="s"><v>0</v></c></row>"#.repeat(1_000));
    assert!(matches!(read(&many, Format::Xlsx), Err(Error::TooMuchText { .. })));
}

#[test]
fn every_way_of_cutting_a_document_short_is_an_error_or_a_shorter_one() {
    for (bytes, format) in [(docx("<w:p/>"), Format::Docx), (xlsx(), Format::Xlsx)] {
        for end in (0..bytes.len()).step_by(7) {
            assert!(read(&bytes[..end], format).is_err(), "{format:?} cut at {end}");
        }
    }
    let pdf = super::Pdf::new().page("BT /F1 10 Tf 72 700 Td (Words.) Tj ET").bytes();
    for end in (0..pdf.len()).step_by(7) {
        let _ = read(&pdf[..end], Format::Pdf);
    }
}

#[test]
fn a_form_that_shows_itself_ends() {
    let pdf = super::Pdf::new().page("/X1 Do").form("BT /F1 10 Tf 72 100 Td (Again.) Tj ET /X1 Do");
    let read = read(&pdf.bytes(), Format::Pdf).expect("it is read");
    assert!(read.text.starts_with("Again."));
    let wide = super::Pdf::new().page("/X1 Do").form(&"/X1 Do ".repeat(16));
    assert!(refused(&wide.bytes(), Format::Pdf).contains("forms"));
}
