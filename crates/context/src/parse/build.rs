//! Puts a document together, block by block, within its limits.

use std::ops::Range;

use super::{Block, Error, Format, Heading, Hidden, Kind, Limits, Link, Parsed, Why};
use crate::text::{Unseen, clean};

/// Characters of a title or a heading in a path.
const HEADING_CHARS: usize = 200;
/// Pieces of evidence kept of one document.
const HIDDEN_MAX: usize = 1_000;
/// Links kept of one document, and bytes of one.
const LINKS_MAX: usize = 10_000;
const LINK_BYTES_MAX: usize = 500;

pub(super) struct Builder<'l> {
    pub limits: &'l Limits,
    parsed: Parsed,
    /// Headings that are open, from the outermost.
    open: Vec<u32>,
    /// Links of the block at hand.
    links: Vec<String>,
    hidden_bytes: usize,
    /// Where the text begins in the document, if its positions are the document's.
    start: Option<usize>,
}

impl<'l> Builder<'l> {
    pub fn new(format: Format, limits: &'l Limits) -> Builder<'l> {
        let parsed = Parsed {
            format,
            title: None,
            text: String::new(),
            headings: Vec::new(),
            blocks: Vec::new(),
            links: Vec::new(),
            hidden: Vec::new(),
            hidden_dropped: 0,
        };
        Builder { limits, parsed, open: Vec::new(), links: Vec::new(), hidden_bytes: 0, start: None }
    }

    /// Positions from here on are those of the document, so many bytes further on; or
    /// are not.
    pub fn sources(&mut self, start: Option<usize>) {
        self.start = start;
    }

    pub fn start(&self) -> Option<usize> {
        self.start
    }

    fn source(&self, span: &Range<usize>) -> Option<Range<usize>> {
        self.start.map(|start| span.start + start..span.end + start)
    }

    /// The first one stays.
    pub fn title(&mut self, text: &str) {
        let title = line(text);
        if self.parsed.title.is_none() && !title.is_empty() {
            self.parsed.title = Some(title);
        }
    }

    /// A heading that is part of the text.
    pub fn heading(&mut self, level: u8, text: &str, span: Range<usize>) -> Result<(), Error> {
        let shown = line(text);
        if shown.is_empty() {
            return self.block(Kind::Heading, text, span);
        }
        self.enter(level, shown);
        self.block(Kind::Heading, text, span)
    }

    /// Opens a heading that the text itself has already, or has not.
    pub fn enter(&mut self, level: u8, text: String) {
        let headings = &mut self.parsed.headings;
        while self.open.last().is_some_and(|open| headings[*open as usize].level >= level) {
            self.open.pop();
        }
        headings.push(Heading { level, text, parent: self.open.last().copied() });
        self.open.push(headings.len() as u32 - 1);
    }

    /// The same for a part of which there may be as many as blocks.
    pub fn part(&mut self, level: u8, name: String) -> Result<(), Error> {
        if self.parsed.headings.len() >= self.limits.blocks {
            return Err(Error::TooManyBlocks { max: self.limits.blocks });
        }
        self.enter(level, name);
        Ok(())
    }

    /// A block of visible text; what is not seen in it becomes evidence. One of nothing is none.
    pub fn block(&mut self, kind: Kind, text: &str, span: Range<usize>) -> Result<(), Error> {
        let cleaned = clean(text);
        for removed in &cleaned.removed {
            let why = match removed.kind {
                Unseen::Invisible => Why::Invisible,
                Unseen::Bidi => Why::Bidi,
                Unseen::Tags => Why::Tags,
                Unseen::Control => Why::Control,
            };
            self.keep(why, &removed.text, span.clone());
        }
        let text = cleaned.text.trim_end().trim_start_matches('\n');
        // Code keeps its first line's indentation; nothing else has one.
        let text = if kind == Kind::Code { text } else { text.trim_start() };
        if text.trim().is_empty() {
            return Ok(());
        }
        let parsed = &mut self.parsed;
        if let Some(last) = parsed.blocks.last() {
            let close = last.kind == kind && matches!(kind, Kind::Item | Kind::Row);
            parsed.text.push_str(if close { "\n" } else { "\n\n" });
        }
        let start = parsed.text.len();
        if start + text.len() > self.limits.text_bytes {
            return Err(Error::TooMuchText { max: self.limits.text_bytes });
        }
        if parsed.blocks.len() == self.limits.blocks {
            return Err(Error::TooManyBlocks { max: self.limits.blocks });
        }
        parsed.text.push_str(text);
        let block = start..parsed.text.len();
        let (heading, source) = (self.open.last().copied(), self.source(&span));
        let at = self.parsed.blocks.len() as u32;
        self.parsed.links.extend(self.links.drain(..).map(|to| Link { block: at, to }));
        self.parsed.blocks.push(Block { kind, heading, span: block, source });
        Ok(())
    }

    /// A link in the block at hand, if it leads to another document of the same place:
    /// what has a scheme or a host leads elsewhere.
    pub fn link(&mut self, to: &str) {
        let to = to.trim();
        let elsewhere = to.starts_with(['#', '?']) || to.starts_with("//") || has_scheme(to);
        let room = self.parsed.links.len() + self.links.len() < LINKS_MAX;
        if !to.is_empty() && !elsewhere && to.len() <= LINK_BYTES_MAX && room {
            self.links.push(clean(to).text);
        }
    }

    /// Evidence of what is not seen. Nothing said is no evidence.
    pub fn hide(&mut self, why: Why, text: &str, span: Range<usize>) {
        let text = text.trim();
        if !text.is_empty() {
            self.keep(why, text, span);
        }
    }

    fn keep(&mut self, why: Why, text: &str, span: Range<usize>) {
        let room = self.limits.hidden_bytes.saturating_sub(self.hidden_bytes);
        let kept = &text[..text.floor_char_boundary(room)];
        self.parsed.hidden_dropped += text.len() - kept.len();
        if self.parsed.hidden.len() == HIDDEN_MAX || kept.is_empty() && !text.is_empty() {
            self.parsed.hidden_dropped += kept.len();
            return;
        }
        self.hidden_bytes += kept.len();
        let source = self.source(&span);
        self.parsed.hidden.push(Hidden { why, text: kept.to_owned(), source });
    }

    /// # Errors
    /// [`Error::Empty`] when nothing is visible.
    pub fn finish(self) -> Result<Parsed, Error> {
        if self.parsed.blocks.is_empty() { Err(Error::Empty) } else { Ok(self.parsed) }
    }
}

/// `https:`, `mailto:`; a colon behind a slash is a part of a name.
fn has_scheme(link: &str) -> bool {
    link.split_once(':').is_some_and(|(before, _)| !before.contains('/'))
}

/// A text on one line, as a title.
pub(super) fn line(text: &str) -> String {
    let cleaned = clean(text).text;
    let mut line = String::new();
    for word in cleaned.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    match line.char_indices().nth(HEADING_CHARS) {
        Some((end, _)) => line[..end].trim_end().to_owned(),
        None => line,
    }
}
