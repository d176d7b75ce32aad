//! HTML as it is displayed, without building a tree.
//!
//! The tokenizer is the specification's (`html5gum`); of its tree construction stands
//! here what decides whether text is seen: which elements end others, and that
//! formatting elements outlive the block that they were opened in. An element that is
//! hidden in a browser must not be visible here, however its tags are nested.

use std::borrow::Cow;
use std::ops::Range;

use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};

use super::build::Builder;
use super::style::{self, BLACK, Colour, Ground, Look, Sheet, WHITE};
use super::{Error, Kind, Why};

/// How many equal formatting elements are open at once (the specification's "Noah's Ark clause").
const ALIKE_MAX: usize = 3;

pub(super) fn read(html: &str, builder: &mut Builder<'_>) -> Result<(), Error> {
    read_within(html, builder, &mut Around::default())
}

/// Reads a piece of a document that other text stands around; what it leaves open is
/// around whatever comes next.
pub(super) fn read_within(html: &str, builder: &mut Builder<'_>, around: &mut Around) -> Result<(), Error> {
    let mut emitter = DefaultEmitter::<usize>::new_with_span();
    emitter.naively_switch_states(true);
    let mut page = Page::new(builder, std::mem::take(around));
    for token in Tokenizer::new_with_emitter(html, emitter).flatten() {
        match token {
            Token::StartTag(tag) => page.start(&tag)?,
            Token::EndTag(tag) => page.end(&String::from_utf8_lossy(&tag.name))?,
            Token::String(text) => {
                let span = text.span.start..text.span.end.min(html.len());
                page.text(&String::from_utf8_lossy(&text.value), span)?;
            }
            Token::Comment(comment) => {
                let span = comment.span.start..comment.span.end.min(html.len());
                page.builder.hide(Why::Comment, &String::from_utf8_lossy(&comment.value), span);
            }
            Token::Doctype(_) | Token::Error(_) => {}
        }
    }
    page.flush()?;
    *around = Around { sheet: page.sheet, open: page.open };
    Ok(())
}

/// What is open around a piece of HTML, and the style sheets before it.
#[derive(Default)]
pub(super) struct Around {
    sheet: Sheet,
    open: Vec<Open>,
}

impl Around {
    /// Why text that comes next is not seen, if it is not.
    pub fn hidden(&self) -> Option<Why> {
        self.open.last().and_then(|open| open.seen.hidden)
    }
}

/// Whether one tag of HTML inside Markdown opens something that is not seen: its name,
/// and why. `None` when it opens nothing.
pub(super) fn opens(tag: &str) -> Option<(String, Option<Why>)> {
    let mut emitter = DefaultEmitter::<usize>::new_with_span();
    emitter.naively_switch_states(true);
    for token in Tokenizer::new_with_emitter(tag, emitter).flatten() {
        if let Token::StartTag(tag) = token {
            let name = String::from_utf8_lossy(&tag.name).into_owned();
            if is_void(&name) || tag.self_closing {
                return None;
            }
            let look = own_look(&tag, &name, &Sheet::default());
            let lost = look.colour.is_some_and(|colour| match look.ground {
                Some(Ground::Picture) => false,
                Some(Ground::Colour(ground)) => colour.is_lost_on(ground),
                None => colour.is_lost_on(WHITE),
            });
            return Some((name, look.hides.or(lost.then_some(Why::Colour))));
        }
    }
    None
}

/// An open element.
struct Open {
    name: String,
    own: Look,
    seen: Seen,
}

/// What an element's text looks like, with all that is around it.
#[derive(Clone, Copy)]
struct Seen {
    hidden: Option<Why>,
    colour: Colour,
    ground: Ground,
}

impl Seen {
    fn within(self, own: Look) -> Seen {
        let (colour, ground) = (own.colour.unwrap_or(self.colour), own.ground.unwrap_or(self.ground));
        // Only what is not displayed stays so whatever is inside of it; another colour shows again.
        let inherited = self.hidden.filter(|why| *why != Why::Colour);
        let lost = matches!(ground, Ground::Colour(ground) if colour.is_lost_on(ground));
        Seen { hidden: inherited.or(own.hides).or(lost.then_some(Why::Colour)), colour, ground }
    }
}

struct Page<'b, 'l> {
    builder: &'b mut Builder<'l>,
    sheet: Sheet,
    open: Vec<Open>,
    /// The block at hand.
    text: String,
    span: Option<Range<usize>>,
    /// Evidence at hand.
    hidden: String,
    hidden_why: Why,
    hidden_span: Range<usize>,
    /// Inside a row of a table whose cells are words, not blocks.
    row: bool,
}

const PAGE: Seen = Seen { hidden: None, colour: BLACK, ground: Ground::Colour(WHITE) };

impl<'b, 'l> Page<'b, 'l> {
    fn new(builder: &'b mut Builder<'l>, around: Around) -> Page<'b, 'l> {
        Page {
            builder,
            sheet: around.sheet,
            open: around.open,
            text: String::new(),
            span: None,
            hidden: String::new(),
            hidden_why: Why::Display,
            hidden_span: 0..0,
            row: false,
        }
    }

    fn seen(&self) -> Seen {
        self.open.last().map_or(PAGE, |open| open.seen)
    }

    fn start(&mut self, tag: &StartTag<usize>) -> Result<(), Error> {
        let name = String::from_utf8_lossy(&tag.name);
        let span = tag.span.start..tag.span.end;
        self.attributes(tag, &name, &span);
        match name.as_ref() {
            "br" if self.seen().hidden.is_none() => {
                self.text.truncate(self.text.trim_end_matches(' ').len());
                self.text.push('\n');
            }
            "td" | "th" if self.row && !self.text.trim().is_empty() => self.text.push_str(" | "),
            _ => {}
        }
        self.close_implied(&name)?;
        if is_block(&name) {
            self.flush()?;
            self.row = name == "tr";
        }
        let foreign = self.is_inside("svg") || self.is_inside("math");
        if is_void(&name) || tag.self_closing && foreign {
            return Ok(());
        }
        if self.open.len() >= self.builder.limits.depth {
            return Err(Error::TooDeep { max: self.builder.limits.depth });
        }
        let own = own_look(tag, &name, &self.sheet);
        if is_formatting(&name) {
            self.make_room(&name, own);
        }
        let seen = self.seen().within(own);
        if name == "a"
            && seen.hidden.is_none()
            && let Some(to) = value(tag, "href")
        {
            self.builder.link(&to);
        }
        self.open.push(Open { name: name.into_owned(), own, seen });
        Ok(())
    }

    fn end(&mut self, name: &str) -> Result<(), Error> {
        if name == "br" || name == "p" && !self.open.iter().any(|open| open.name == "p") {
            return Ok(());
        }
        if is_formatting(name) {
            // It ends alone: what was opened inside goes on without it.
            if let Some(found) = self.open.iter().rposition(|open| open.name == name) {
                self.open.remove(found);
                self.see_again(found);
            }
            return Ok(());
        }
        let special = is_special(name);
        for found in (0..self.open.len()).rev() {
            let open = self.open[found].name.as_str();
            if open == name {
                return self.close(found);
            }
            // A block's end tag ends what is inside, within a cell; any other is ignored
            // when a block stands between.
            if special && is_boundary(open) && !is_table_part(name) || !special && is_special(open) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Closes an element and what is inside it; formatting goes on behind a block.
    fn close(&mut self, found: usize) -> Result<(), Error> {
        if is_block(&self.open[found].name) {
            self.flush()?;
        }
        if matches!(self.open[found].name.as_str(), "tr" | "table") {
            self.row = false;
        }
        let scoped = is_boundary(&self.open[found].name);
        let inside = self.open.split_off(found);
        if !scoped {
            self.open.extend(inside.into_iter().skip(1).filter(|open| is_formatting(&open.name)));
            self.see_again(found);
        }
        Ok(())
    }

    /// What an opening tag ends by being there.
    fn close_implied(&mut self, name: &str) -> Result<(), Error> {
        let (ends, within): (&[&str], &[&str]) = match name {
            "li" => (&["li"], &["ul", "ol", "menu"]),
            "dt" | "dd" => (&["dt", "dd"], &["dl"]),
            "td" | "th" => (&["td", "th"], &["tr", "table"]),
            "tr" => (&["tr"], &["table"]),
            "thead" | "tbody" | "tfoot" => (&["thead", "tbody", "tfoot"], &["table"]),
            "option" | "optgroup" => (&["option"], &["select", "datalist"]),
            _ => (&[], &[]),
        };
        if !is_head_part(name) {
            self.close_nearest(&["head"], &[])?;
        }
        self.close_nearest(ends, within)?;
        // A block ends the paragraph that it stands in.
        if is_block(name) && !is_table_part(name) {
            self.close_nearest(&["p"], &[])?;
        }
        Ok(())
    }

    fn close_nearest(&mut self, names: &[&str], within: &[&str]) -> Result<(), Error> {
        for found in (0..self.open.len()).rev() {
            let open = self.open[found].name.as_str();
            if names.contains(&open) {
                return self.close(found);
            }
            if within.contains(&open) || within.is_empty() && is_boundary(open) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// At most so many of the same formatting; the earliest goes.
    fn make_room(&mut self, name: &str, own: Look) {
        let alike = |open: &&Open| open.name == name && open.own == own;
        if self.open.iter().filter(alike).count() >= ALIKE_MAX
            && let Some(first) = self.open.iter().position(|open| alike(&open))
        {
            self.open.remove(first);
            self.see_again(first);
        }
    }

    fn see_again(&mut self, from: usize) {
        let mut around = from.checked_sub(1).map_or(PAGE, |at| self.open[at].seen);
        for open in &mut self.open[from..] {
            open.seen = around.within(open.own);
            around = open.seen;
        }
    }

    fn text(&mut self, text: &str, span: Range<usize>) -> Result<(), Error> {
        match self.open.last().map(|open| open.name.as_str()) {
            Some("script") => return Ok(()),
            Some("style") => {
                self.sheet.read(text);
                return Ok(());
            }
            Some("title") if !self.is_inside("svg") => {
                self.builder.title(text);
                return Ok(());
            }
            // Words end the head, whether a tag does or not.
            Some("head") if !text.trim().is_empty() => self.close_nearest(&["head"], &[])?,
            _ => {}
        }
        match self.seen().hidden {
            Some(why) => {
                if why != self.hidden_why {
                    self.flush_hidden();
                }
                if self.hidden.is_empty() {
                    (self.hidden_why, self.hidden_span) = (why, span.clone());
                }
                self.hidden_span.end = span.end;
                push_collapsed(&mut self.hidden, text);
            }
            None => {
                if self.is_inside("pre") {
                    self.text.push_str(text);
                } else {
                    push_collapsed(&mut self.text, text);
                }
                let whole = self.span.get_or_insert(span.clone());
                whole.end = span.end;
            }
        }
        Ok(())
    }

    fn is_inside(&self, name: &str) -> bool {
        self.open.iter().rev().any(|open| open.name == name)
    }

    /// Ends the block at hand, and the evidence.
    fn flush(&mut self) -> Result<(), Error> {
        self.flush_hidden();
        let text = std::mem::take(&mut self.text);
        let Some(span) = self.span.take() else { return Ok(()) };
        let kind = match self.open.iter().rev().find_map(|open| kind_of(&open.name)) {
            Some(Inside::Heading(level)) => {
                self.builder.title(&text);
                return self.builder.heading(level, &text, span);
            }
            Some(Inside::Kind(kind)) => kind,
            None if self.row => Kind::Row,
            None => Kind::Paragraph,
        };
        self.builder.block(if self.row && kind == Kind::Paragraph { Kind::Row } else { kind }, &text, span)
    }

    fn flush_hidden(&mut self) {
        if !self.hidden.is_empty() {
            let text = std::mem::take(&mut self.hidden);
            self.builder.hide(self.hidden_why, &text, self.hidden_span.clone());
        }
    }

    /// What attributes say that nobody sees.
    fn attributes(&mut self, tag: &StartTag<usize>, name: &str, span: &Range<usize>) {
        let attribute = |key: &str| value(tag, key);
        for key in ["alt", "title", "aria-label", "aria-description", "placeholder"] {
            if let Some(text) = attribute(key) {
                self.builder.hide(Why::Metadata, &text, span.clone());
            }
        }
        let told = match name {
            "meta" => attribute("content")
                .filter(|_| attribute("name").is_some() || attribute("property").is_some()),
            "input" => attribute("value")
                .filter(|_| attribute("type").is_some_and(|t| t.eq_ignore_ascii_case("hidden"))),
            _ => None,
        };
        if let Some(text) = told {
            self.builder.hide(Why::Metadata, &text, span.clone());
        }
    }
}

enum Inside {
    Heading(u8),
    Kind(Kind),
}

fn kind_of(name: &str) -> Option<Inside> {
    Some(match name {
        "h1" => Inside::Heading(1),
        "h2" => Inside::Heading(2),
        "h3" => Inside::Heading(3),
        "h4" => Inside::Heading(4),
        "h5" => Inside::Heading(5),
        "h6" => Inside::Heading(6),
        "pre" => Inside::Kind(Kind::Code),
        "li" | "dt" | "dd" => Inside::Kind(Kind::Item),
        "blockquote" => Inside::Kind(Kind::Quote),
        // What is around a table does not say what its cells are.
        "table" => Inside::Kind(Kind::Paragraph),
        _ => return None,
    })
}

fn value<'t>(tag: &'t StartTag<usize>, key: &str) -> Option<Cow<'t, str>> {
    tag.attributes.get(key.as_bytes()).map(|found| String::from_utf8_lossy(found))
}

/// What an element says of itself, by its name, its attributes and the style sheets.
fn own_look(tag: &StartTag<usize>, name: &str, sheet: &Sheet) -> Look {
    let attribute = |key: &str| value(tag, key);
    let lower = |key: &str| attribute(key).map(|text| text.trim().to_ascii_lowercase());
    let mut look =
        sheet.look(name, attribute("id").as_deref(), attribute("class").as_deref().unwrap_or_default());
    if let Some(ground) = lower("bgcolor").and_then(|text| style::colour(&text)) {
        look.ground = Some(Ground::Colour(ground));
    }
    let key = if name == "body" { "text" } else { "color" };
    if let Some(colour) = lower(key).and_then(|text| style::colour(&text)) {
        look.colour = Some(colour);
    }
    if let Some(css) = attribute("style") {
        look = look.and(style::declarations(&css));
    }
    let hidden = attribute("hidden").is_some_and(|how| !how.eq_ignore_ascii_case("until-found"))
        || name == "dialog" && attribute("open").is_none()
        || matches!(
            name,
            "head"
                | "template"
                | "noscript"
                | "iframe"
                | "object"
                | "audio"
                | "video"
                | "canvas"
                | "datalist"
                | "noembed"
        );
    if hidden {
        look.hides = Some(Why::Display);
    }
    look
}

/// Elements that a head may hold.
fn is_head_part(name: &str) -> bool {
    matches!(
        name,
        "base" | "head" | "html" | "link" | "meta" | "noscript" | "script" | "style" | "template" | "title"
    )
}

fn is_void(name: &str) -> bool {
    matches!(
        name,
        "area"
            | "base"
            | "br"
            | "col"
            | "embed"
            | "hr"
            | "img"
            | "input"
            | "link"
            | "meta"
            | "param"
            | "source"
            | "track"
            | "wbr"
    )
}

/// Elements that begin on a line of their own.
fn is_block(name: &str) -> bool {
    matches!(
        name,
        "address"
            | "article"
            | "aside"
            | "blockquote"
            | "body"
            | "caption"
            | "center"
            | "dd"
            | "details"
            | "dialog"
            | "div"
            | "dl"
            | "dt"
            | "fieldset"
            | "figcaption"
            | "figure"
            | "footer"
            | "form"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "head"
            | "header"
            | "hr"
            | "html"
            | "legend"
            | "li"
            | "main"
            | "menu"
            | "nav"
            | "ol"
            | "optgroup"
            | "option"
            | "p"
            | "pre"
            | "section"
            | "select"
            | "summary"
            | "table"
            | "tbody"
            | "tfoot"
            | "thead"
            | "tr"
            | "ul"
    )
}

/// Elements that no other element's end tag passes.
fn is_special(name: &str) -> bool {
    is_block(name)
        || is_boundary(name)
        || matches!(name, "script" | "style" | "title" | "textarea" | "iframe")
}

/// Elements that keep what is inside of them inside.
fn is_boundary(name: &str) -> bool {
    matches!(
        name,
        "applet" | "button" | "caption" | "html" | "marquee" | "object" | "table" | "td" | "template" | "th"
    )
}

fn is_table_part(name: &str) -> bool {
    matches!(name, "caption" | "table" | "tbody" | "td" | "tfoot" | "th" | "thead" | "tr")
}

/// Elements that go on behind the block in which they were opened.
fn is_formatting(name: &str) -> bool {
    matches!(
        name,
        "a" | "b"
            | "big"
            | "code"
            | "em"
            | "font"
            | "i"
            | "nobr"
            | "s"
            | "small"
            | "strike"
            | "strong"
            | "tt"
            | "u"
    )
}

/// White space as it is displayed: one space between words, none at the start of a line.
fn push_collapsed(out: &mut String, text: &str) {
    for c in text.chars() {
        if !matches!(c, ' ' | '\n' | '\t' | '\r' | '\x0C') {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with([' ', '\n']) {
            out.push(' ');
        }
    }
}
