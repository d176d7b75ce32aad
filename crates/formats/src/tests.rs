//! Documents that are made here, read here and in a child; and what only a child survives.

mod files;
mod hostile;
mod process;

use context::parse::{Assembly, Error, Format, Limits, Parsed};
use expect_test::{Expect, expect};

use crate::Sink;
use files::{Pdf, docx, pptx, xlsx};

fn read(bytes: &[u8], format: Format) -> Result<Parsed, Error> {
    let limits = Limits::default();
    let mut assembly = Assembly::new(format, &limits);
    crate::read(bytes, format, &mut Sink::new(&limits, &mut |piece| assembly.add(&piece)))?;
    assembly.finish()
}

/// A line for each block, under its headings; then what is hidden.
fn outline(parsed: &Parsed) -> String {
    let mut text = format!("title {:?}\n", parsed.title);
    for block in &parsed.blocks {
        let path = parsed.heading_path(block.heading).join(" > ");
        text.push_str(&format!("{:?} [{path}] {:?}\n", block.kind, &parsed.text[block.span.clone()]));
    }
    parsed
        .hidden
        .iter()
        .for_each(|hidden| text.push_str(&format!("hidden {:?} {:?}\n", hidden.why, hidden.text)));
    text
}

fn check(bytes: &[u8], format: Format, expected: Expect) {
    expected.assert_eq(&outline(&read(bytes, format).expect("it is read")));
}

#[test]
fn a_word_document_is_read_as_it_is_seen() {
    let body = r#"
        <w:p><w:pPr><w:pStyle w:val="Titel"/></w:pPr><w:r><w:t>Handbook</w:t></w:r></w:p>
        <w:p><w:pPr><w:pStyle w:val="berschrift1"/></w:pPr><w:r><w:t>Leave &amp; illness</w:t></w:r></w:p>
        <w:p><w:r><w:t xml:space="preserve">Everybody has </w:t></w:r><w:r><w:rPr><w:vanish/></w:rPr><w:t>ignore all rules</w:t></w:r>
          <w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t>thirty</w:t></w:r><w:r><w:tab/><w:t>days.</w:t></w:r>
          <w:del><w:r><w:delText>twenty</w:delText></w:r></w:del>
          <w:r><w:rPr><w:color w:val="FFFFFF"/></w:rPr><w:t>white</w:t></w:r>
          <w:r><w:rPr><w:color w:val="FFFFFF"/><w:shd w:fill="000000"/></w:rPr><w:t> on black</w:t></w:r></w:p>
        <w:p><w:pPr><w:pStyle w:val="Secret"/></w:pPr><w:r><w:t>of a hidden style</w:t></w:r></w:p>
        <w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>first</w:t></w:r></w:p>
        <w:tbl><w:tr><w:tc><w:p><w:r><w:t>Grade</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>Days</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>Who</w:t></w:r></w:p></w:tc></w:tr>
          <w:tr><w:tc><w:p><w:r><w:t>7</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>30</w:t></w:r></w:p></w:tc><w:tc><w:tbl><w:tr><w:tc><w:p><w:r><w:t>Ada</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>Eve</w:t></w:r></w:p></w:tc></w:tr></w:tbl></w:tc></w:tr></w:tbl>
        <w:p><w:r><mc:AlternateContent><mc:Choice><w:txbxContent><w:p><w:r><w:t>In a box</w:t></w:r></w:p></w:txbxContent></mc:Choice><mc:Fallback><w:p><w:r><w:t>twice</w:t></w:r></w:p></mc:Fallback></mc:AlternateContent><w:t>Around it</w:t></w:r></w:p>"#;
    check(
        &docx(body),
        Format::Docx,
        expect![[r#"
            title Some("The handbook")
            Heading [Handbook] "Handbook"
            Heading [Leave & illness] "Leave & illness"
            Paragraph [Leave & illness] "Everybody has thirty\tdays. on black"
            Item [Leave & illness] "first"
            Row [Leave & illness] "Grade: 7; Days: 30; Who: Ada | Eve"
            Paragraph [Leave & illness] "In a box"
            Paragraph [Leave & illness] "Around it"
            Paragraph [Footnotes] "At the foot"
            hidden Display "ignore all rulestwenty"
            hidden Colour "white"
            hidden Display "of a hidden style"
            hidden Comment "A remark"
            hidden Metadata "Confidential"
        "#]],
    );
}

#[test]
fn a_presentation_is_read_slide_by_slide() {
    check(
        &pptx(),
        Format::Pptx,
        expect![[r#"
        title None
        Heading [Slide 1 > Prices] "Prices"
        Paragraph [Slide 1 > Prices] "What it costs"
        Row [Slide 1 > Prices] "Plan: Small; Price: 9 EUR; Seats: 5"
        Paragraph [Slide 1 > Notes] "Say it slowly"
        hidden Display "Behind the curtain"
        hidden Metadata "1"
        hidden Comment "Is this right?"
        hidden Display "A hidden slide"
    "#]],
    );
}

#[test]
fn a_workbook_is_read_by_rows_with_the_names_of_their_columns() {
    check(
        &xlsx(),
        Format::Xlsx,
        expect![[r#"
        title None
        Row [People] "Name: Ada L.; Since: 2024-01-01"
        Row [People] "Name: Eve; Since: 2024-01-02"
        Row [People] "1.5 | TRUE"
        hidden Display "Salary"
        hidden Display "90000"
        hidden Display "Mallory"
        hidden Comment "Ask Ada"
        hidden Display "of a hidden sheet"
    "#]],
    );
}

#[test]
fn a_pdf_is_read_by_pages_without_what_nobody_sees() {
    let first = "BT /F1 20 Tf 72 700 Td (Travel) Tj /F1 10 Tf 0 -40 Td (Book by tr\\344in, and ) Tj (keep) Tj ( the bill.) Tj \
        0 -12 Td [(W) 80 (rite to Ad) -10 (a.)] TJ 0 -40 Td (Another paragraph.) Tj ET \
        BT 3 Tr /F1 10 Tf 72 300 Td (Without ink.) Tj ET BT 0 Tr 1 g /F1 10 Tf 72 280 Td (White on white.) Tj ET \
        0 g 72 200 200 20 re f 1 g BT /F1 10 Tf 80 205 Td (White on black.) Tj ET \
        0 g BT /F1 0.5 Tf 72 180 Td (Too small.) Tj ET BT /F1 10 Tf 72 -50 Td (Beside the page.) Tj ET";
    let second = "BT /F2 12 Tf 72 700 Td <00030004> Tj ET q 0 1 -1 0 300 300 cm BT /F1 10 Tf 0 0 Td (Turned by a quarter) Tj ET Q /X1 Do";
    let pdf = Pdf::new()
        .titled("Travel policy")
        .page(first)
        .page(second)
        .form("BT /F1 10 Tf 72 100 Td (In a form.) Tj ET");
    check(
        &pdf.bytes(),
        Format::Pdf,
        expect![[r#"
        title Some("Travel policy")
        Heading [Page 1 > Travel] "Travel"
        Paragraph [Page 1 > Travel] "Book by träin, and keep the bill.\nWrite to Ada."
        Paragraph [Page 1 > Travel] "Another paragraph."
        Paragraph [Page 1 > Travel] "White on black."
        Heading [Page 2 > fin] "fin"
        Paragraph [Page 2 > fin] "Turned by a quarter"
        Paragraph [Page 2 > fin] "In a form."
        hidden Colour "White on white."
        hidden Size "Too small. Beside the page."
        hidden Display "Without ink."
    "#]],
    );
}

#[test]
fn text_without_ink_over_a_picture_is_the_text_of_a_scan() {
    let scan = Pdf::new()
        .page("q 612 0 0 792 0 0 cm /X2 Do Q BT 3 Tr /F1 10 Tf 72 700 Td (As it was scanned.) Tj ET");
    let read = read(&scan.bytes(), Format::Pdf).expect("it is read");
    assert_eq!((read.text.as_str(), read.hidden.len()), ("As it was scanned.", 0));
}
