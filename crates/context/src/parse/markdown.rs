//! Markdown (CommonMark and GitHub's tables, footnotes and task lists) as it is rendered.

use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::build::Builder;
use super::{Error, Kind, Why, html};

pub(super) fn read(text: &str, builder: &mut Builder<'_>) -> Result<(), Error> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
    let parser = Parser::new_ext(text, options);
    // `[//]: # (nobody sees this)` is the commonest comment of Markdown.
    let mut definitions: Vec<(Range<usize>, String)> = parser
        .reference_definitions()
        .iter()
        .filter_map(|(_, definition)| {
            let title = definition.title.as_ref()?;
            Some((definition.span.clone(), title.to_string()))
        })
        .collect();
    definitions.sort_by_key(|(span, _)| span.start);
    for (span, title) in definitions {
        builder.hide(Why::Metadata, &title, span);
    }
    let mut page = Page {
        builder,
        text: String::new(),
        span: None,
        depth: 0,
        lists: 0,
        quotes: 0,
        raw: Vec::new(),
        around: html::Around::default(),
        whole: None,
    };
    for (event, span) in parser.into_offset_iter() {
        page.event(event, span, text)?;
    }
    page.flush(Kind::Paragraph)
}

struct Page<'b, 'l> {
    builder: &'b mut Builder<'l>,
    /// The block at hand.
    text: String,
    span: Option<Range<usize>>,
    depth: usize,
    lists: usize,
    quotes: usize,
    /// Elements of HTML that are open in the paragraph, and why they are not seen.
    raw: Vec<(String, Option<Why>)>,
    /// Those that an HTML block has left open around what follows it.
    around: html::Around,
    /// A block whose text is collected in another way: HTML, front matter.
    whole: Option<String>,
}

impl Page<'_, '_> {
    fn event(&mut self, event: Event<'_>, span: Range<usize>, source: &str) -> Result<(), Error> {
        match event {
            Event::Start(tag) => self.start(&tag, span),
            Event::End(tag) => self.end(tag, span, source),
            Event::Text(text) => {
                self.push(&text, span);
                Ok(())
            }
            Event::Code(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.push(&text, span);
                Ok(())
            }
            Event::SoftBreak => {
                self.push(" ", span);
                Ok(())
            }
            Event::HardBreak => {
                self.push("\n", span);
                Ok(())
            }
            Event::Html(raw) => {
                if let Some(whole) = &mut self.whole {
                    whole.push_str(&raw);
                }
                Ok(())
            }
            Event::InlineHtml(raw) => {
                self.inline_html(&raw, span);
                Ok(())
            }
            Event::FootnoteReference(_) | Event::Rule | Event::TaskListMarker(_) => Ok(()),
        }
    }

    fn start(&mut self, tag: &Tag<'_>, span: Range<usize>) -> Result<(), Error> {
        match tag {
            Tag::BlockQuote(_) | Tag::List(_) | Tag::FootnoteDefinition(_) => {
                self.flush(self.kind())?;
                self.depth += 1;
                if self.depth > self.builder.limits.depth {
                    return Err(Error::TooDeep { max: self.builder.limits.depth });
                }
                self.lists += usize::from(matches!(tag, Tag::List(_)));
                self.quotes += usize::from(matches!(tag, Tag::BlockQuote(_)));
            }
            Tag::HtmlBlock | Tag::MetadataBlock(_) => {
                self.flush(self.kind())?;
                self.whole = Some(String::new());
            }
            Tag::TableCell if !self.text.is_empty() => self.push(" | ", span),
            Tag::Paragraph
            | Tag::Heading { .. }
            | Tag::CodeBlock(_)
            | Tag::Item
            | Tag::TableHead
            | Tag::TableRow => {
                self.flush(self.kind())?;
            }
            Tag::Link { title, dest_url, .. } => {
                if self.around.hidden().is_none() && self.raw.iter().all(|(_, why)| why.is_none()) {
                    self.builder.link(dest_url);
                }
                self.builder.hide(Why::Metadata, title, span)
            }
            Tag::Image { title, .. } => self.builder.hide(Why::Metadata, title, span),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, tag: TagEnd, span: Range<usize>, source: &str) -> Result<(), Error> {
        match tag {
            TagEnd::Heading(level) => {
                self.raw.clear();
                let text = std::mem::take(&mut self.text);
                self.span = None;
                self.builder.title(&text);
                self.builder.heading(level as u8, &text, span)
            }
            TagEnd::CodeBlock => {
                // As it stands there: with its indentation.
                self.span = Some(span);
                self.flush(Kind::Code)
            }
            TagEnd::TableHead | TagEnd::TableRow => self.flush(Kind::Row),
            TagEnd::BlockQuote(_) => {
                self.flush(self.kind())?;
                (self.quotes, self.depth) = (self.quotes.saturating_sub(1), self.depth.saturating_sub(1));
                Ok(())
            }
            TagEnd::List(_) => {
                self.flush(self.kind())?;
                (self.lists, self.depth) = (self.lists.saturating_sub(1), self.depth.saturating_sub(1));
                Ok(())
            }
            TagEnd::FootnoteDefinition => {
                self.flush(self.kind())?;
                self.depth = self.depth.saturating_sub(1);
                Ok(())
            }
            TagEnd::HtmlBlock => {
                let raw = self.whole.take().unwrap_or_default();
                self.html_block(&raw, span, source)
            }
            TagEnd::MetadataBlock(_) => {
                let text = self.whole.take().unwrap_or_default();
                let title = text.lines().find_map(|line| line.strip_prefix("title:"));
                if let Some(title) = title {
                    self.builder.title(title.trim().trim_matches(['"', '\'']));
                }
                self.builder.hide(Why::Metadata, &text, span);
                Ok(())
            }
            TagEnd::Paragraph | TagEnd::Item => self.flush(self.kind()),
            _ => Ok(()),
        }
    }

    /// A block of HTML is read as HTML; its positions are the document's where the raw
    /// text stands there in one piece.
    fn html_block(&mut self, raw: &str, span: Range<usize>, source: &str) -> Result<(), Error> {
        let before = self.builder.start();
        let exact = source.get(span.clone()).is_some_and(|piece| piece.starts_with(raw.trim_end()));
        self.builder.sources(before.filter(|_| exact).map(|start| start + span.start));
        let result = html::read_within(raw, self.builder, &mut self.around);
        self.builder.sources(before);
        result
    }

    fn inline_html(&mut self, raw: &str, span: Range<usize>) {
        if let Some(comment) = raw.strip_prefix("<!--") {
            self.builder.hide(Why::Comment, comment.trim_end_matches("-->"), span);
        } else if let Some(name) = raw.strip_prefix("</") {
            let name = name.trim_end_matches('>').trim().to_ascii_lowercase();
            if let Some(at) = self.raw.iter().rposition(|(open, _)| *open == name) {
                self.raw.truncate(at);
            }
        } else if let Some(open) = html::opens(raw)
            && self.raw.len() < self.builder.limits.depth
        {
            self.raw.push(open);
        }
    }

    fn push(&mut self, text: &str, span: Range<usize>) {
        if let Some(whole) = &mut self.whole {
            return whole.push_str(text);
        }
        if let Some(why) = self.around.hidden().or_else(|| self.raw.iter().find_map(|(_, why)| *why)) {
            return self.builder.hide(why, text, span);
        }
        self.text.push_str(text);
        let whole = self.span.get_or_insert(span.clone());
        (whole.start, whole.end) = (whole.start.min(span.start), whole.end.max(span.end));
    }

    fn kind(&self) -> Kind {
        match () {
            () if self.lists > 0 => Kind::Item,
            () if self.quotes > 0 => Kind::Quote,
            () => Kind::Paragraph,
        }
    }

    fn flush(&mut self, kind: Kind) -> Result<(), Error> {
        // An element of HTML that is not closed ends with its paragraph.
        self.raw.clear();
        let text = std::mem::take(&mut self.text);
        match self.span.take() {
            Some(span) => self.builder.block(kind, &text, span),
            None => Ok(()),
        }
    }
}
