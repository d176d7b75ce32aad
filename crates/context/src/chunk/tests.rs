use proptest::prelude::*;

use super::*;
use crate::parse::{Format, Limits, parse};

fn markdown(text: &str) -> Parsed {
    parse(text.as_bytes(), Format::Markdown, &Limits::default()).expect("it is Markdown")
}

fn texts<'p>(parsed: &'p Parsed, chunks: &[Chunk]) -> Vec<&'p str> {
    chunks.iter().map(|chunk| &parsed.text[chunk.span.clone()]).collect()
}

#[test]
fn small_sections_share_a_chunk_and_headings_are_carried() {
    let parsed = markdown("# Pumps\n\nThey move water.\n\n## Seals\n\nThey keep it in.");
    let chunks = chunks(&parsed, &Size::default());
    assert_eq!(texts(&parsed, &chunks), ["Pumps\n\nThey move water.\n\nSeals\n\nThey keep it in."]);
    assert_eq!(parsed.heading_path(chunks[0].heading), ["Pumps"]);
}

#[test]
fn a_heading_goes_with_what_it_heads() {
    let long = "Water runs. ".repeat(30);
    let parsed = markdown(&format!("# One\n\n{long}\n\n## Two\n\n{long}"));
    let size = Size { target: 400, max: 400, overlap: 50 };
    let chunks = chunks(&parsed, &size);
    let texts = texts(&parsed, &chunks);
    assert!(texts.iter().all(|text| !text.ends_with("Two")), "{texts:?}");
    let two = texts.iter().position(|text| text.starts_with("Two")).expect("a chunk begins with it");
    assert_eq!(parsed.heading_path(chunks[two].heading), ["One", "Two"]);
    assert_eq!(embedded_text(&parsed, &chunks[two]).lines().next(), Some("One > Two"));
}

#[test]
fn a_long_block_is_cut_at_sentences_and_overlaps() {
    let parsed = markdown(&"The shaft turns the pump once. ".repeat(40));
    let chunks = chunks(&parsed, &Size { target: 300, max: 300, overlap: 60 });
    assert!(chunks.len() >= 4);
    for text in texts(&parsed, &chunks) {
        assert!(text.starts_with("The shaft") && text.ends_with("once."), "{text}");
    }
    for pair in chunks.windows(2) {
        assert!(pair[1].span.start < pair[0].span.end, "they overlap");
    }
}

#[test]
fn rows_are_whole_and_do_not_overlap() {
    let rows: String = (0..100).map(|n| format!("{n},valve {n},steel\n")).collect();
    let csv = format!("id,name,material\n{rows}");
    let parsed = parse(csv.as_bytes(), Format::Csv, &Limits::default()).expect("it is CSV");
    let chunks = chunks(&parsed, &Size { target: 300, max: 400, overlap: 80 });
    for pair in chunks.windows(2) {
        assert!(pair[0].span.end < pair[1].span.start);
    }
    assert!(texts(&parsed, &chunks).iter().all(|text| text.starts_with("id: ") && text.ends_with("steel")));
}

#[test]
fn characters_without_spaces_between_them_are_wide() {
    let parsed = markdown(&"北京是中国的首都。".repeat(100));
    let chunks = chunks(&parsed, &Size::default());
    assert!(chunks.len() >= 2);
    assert!(chunks.iter().all(|chunk| parsed.text[chunk.span.clone()].chars().count() <= 500));
}

fn check(parsed: &Parsed, size: &Size) {
    let chunks = chunks(parsed, size);
    let mut covered = 0;
    let mut start = None;
    for chunk in &chunks {
        assert!(start < Some(chunk.span.start), "starts grow");
        start = Some(chunk.span.start);
        if chunk.span.start > covered {
            assert!(parsed.text[covered..chunk.span.start].trim().is_empty(), "nothing is left out");
        }
        covered = covered.max(chunk.span.end);
        let text = &parsed.text[chunk.span.clone()];
        assert_eq!(text, text.trim());
        let most = size.max.max(size.target).max(16) + size.overlap + size.target.max(16) / 4 + 2;
        // The line ends between blocks are not counted into units.
        assert!(width_of(text) <= most + 2 * text.matches('\n').count(), "{} of {most}", width_of(text));
    }
    assert!(parsed.text[covered..].trim().is_empty());
}

proptest! {
    #[test]
    fn chunks_cover_the_text_in_order(
        text in "(#{1,3} [a-z]{1,9}\n\n|[a-zA-Z .]{0,80}\n|\n|- [a-z ]{1,30}\n|[一-三]{1,40}。|\\PC{0,20}){1,40}",
        target in 1usize..200,
        extra in 0usize..100,
        overlap in 0usize..60,
    ) {
        let size = Size { target, max: target + extra, overlap };
        for format in [Format::Markdown, Format::Text] {
            if let Ok(parsed) = parse(text.as_bytes(), format, &Limits::default()) {
                parsed.check(text.len());
                check(&parsed, &size);
            }
        }
    }
}
