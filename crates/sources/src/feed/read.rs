//! RSS 2.0 (and 1.0) and Atom, from bytes to items. Names count without their prefixes.

use context::source::{Content, Item};
use formats::{Element, Fault, Token, Tokens};
use report::Report;

use crate::date;

const DEPTH_MAX: usize = 64;
/// Entries of one feed. Feeds hold the newest tens, archives some thousands.
const ENTRIES_MAX: usize = 10_000;
/// What says whether an element is seen is kept of markup inside of a feed, and where it leads.
const ATTRIBUTES: [&str; 7] = ["style", "hidden", "aria-hidden", "color", "bgcolor", "size", "href"];

/// An entry as it is read.
#[derive(Default)]
struct Entry {
    title: String,
    link: String,
    id: String,
    day: String,
    /// The whole text, and what stands in its place where there is none.
    content: String,
    summary: String,
}

/// What a feed has, in its order. `url`: where it was found, by which links are read.
///
/// # Errors
/// CX0015: it is no feed; CX0012: it is beyond a limit.
pub(crate) fn entries(bytes: &[u8], url: &str) -> Result<Vec<Item>, Report> {
    let mut tokens = Tokens::new(bytes, DEPTH_MAX);
    let mut items = Vec::new();
    let mut feed = false;
    loop {
        match tokens.token().map_err(unreadable)? {
            Token::Open(element) if !feed => {
                feed = ["rss", "feed", "RDF"].iter().any(|root| element.is(root));
                if !feed {
                    let name: String = element.name().chars().take(40).collect();
                    return Err(no_feed(format!("its root is <{name}>")));
                }
            }
            Token::Open(element) if element.is("item") || element.is("entry") => {
                if items.len() == ENTRIES_MAX {
                    return Err(Report::new(
                        "CX0012",
                        format!("the feed has more than {ENTRIES_MAX} entries"),
                    ));
                }
                items.push(entry(&mut tokens).map_err(unreadable)?.into_item(url));
            }
            Token::End if feed => return Ok(items),
            Token::End => return Err(no_feed("there is nothing in it".into())),
            _ => {}
        }
    }
}

fn no_feed(why: String) -> Report {
    Report::new("CX0015", "the source's answer is no feed").because(why)
}

fn unreadable(fault: Fault) -> Report {
    no_feed(match fault {
        Fault::TooDeep { max } => format!("its elements stand more than {max} deep within each other"),
        Fault::Broken(why) => why,
    })
}

/// What stands inside of an entry that was just opened.
fn entry(tokens: &mut Tokens<'_>) -> Result<Entry, Fault> {
    let mut entry = Entry::default();
    loop {
        match tokens.token()? {
            Token::Open(element) => {
                let name = element.name();
                let (href, rel, kind) = (element.get("href"), element.get("rel"), element.get("type"));
                let mut text = inner(tokens)?;
                // In Atom what is not said to be markup is none; RSS has nothing else.
                let atom = ["content", "summary"].contains(&name.as_str());
                if atom && !kind.as_deref().is_some_and(|kind| kind.contains("html")) {
                    let mut escaped = String::with_capacity(text.len());
                    escape(&mut escaped, &text);
                    text = escaped;
                }
                entry.take(&name, text, href, rel.as_deref());
            }
            Token::Close(_) | Token::End => return Ok(entry),
            Token::Text(_) => {}
        }
    }
}

/// The text of an element that was just opened. Elements inside of it become markup.
fn inner(tokens: &mut Tokens<'_>) -> Result<String, Fault> {
    let (mut text, mut depth, mut marked) = (String::new(), 0, false);
    let mut plain = String::new();
    loop {
        match tokens.token()? {
            Token::Open(element) => {
                (depth, marked) = (depth + 1, true);
                open(&mut text, &element);
            }
            Token::Close(_) if depth == 0 => return Ok(if marked { text } else { plain }),
            Token::Close(name) => {
                depth -= 1;
                text.push_str(&format!("</{name}>"));
            }
            Token::Text(part) => {
                escape(&mut text, &part);
                plain.push_str(&part);
            }
            Token::End => return Ok(plain),
        }
    }
}

fn open(text: &mut String, element: &Element<'_>) {
    text.push('<');
    text.push_str(&element.name());
    for name in ATTRIBUTES {
        if let Some(value) = element.get(name) {
            text.push_str(&format!(" {name}=\""));
            escape(text, &value);
            text.push('"');
        }
    }
    text.push('>');
}

fn escape(to: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '<' => to.push_str("&lt;"),
            '>' => to.push_str("&gt;"),
            '&' => to.push_str("&amp;"),
            '"' => to.push_str("&quot;"),
            c => to.push(c),
        }
    }
}

impl Entry {
    /// The first of each counts, but for a link that is said to be the entry's own page.
    fn take(&mut self, name: &str, text: String, href: Option<String>, rel: Option<&str>) {
        let first = |place: &mut String, text: String| {
            if place.is_empty() {
                *place = text;
            }
        };
        match name {
            "title" => first(&mut self.title, text.trim().to_owned()),
            "link" => match href {
                Some(href) if rel.is_none_or(|rel| rel == "alternate") => first(&mut self.link, href),
                Some(_) => {}
                None => first(&mut self.link, text.trim().to_owned()),
            },
            "guid" | "id" => first(&mut self.id, text.trim().to_owned()),
            "pubDate" | "updated" | "date" | "published" => first(&mut self.day, text),
            "encoded" | "content" => first(&mut self.content, text),
            "description" | "summary" => first(&mut self.summary, text),
            _ => {}
        }
    }

    fn into_item(self, feed: &str) -> Item {
        let modified = date::http(&self.day).or_else(|| date::rfc3339(&self.day));
        let body = if self.content.trim().is_empty() { &self.summary } else { &self.content };
        // As a page of its own, so that its title is a part of its content.
        let mut page = String::from("<!doctype html><title>");
        escape(&mut page, &self.title);
        page.push_str("</title>");
        page.push_str(body);
        if body.trim().is_empty() {
            page.push_str("<p>");
            escape(&mut page, &self.title);
        }
        let content = Content {
            bytes: page.into_bytes(),
            media_type: "text/html".into(),
            title: Some(self.title.chars().take(200).collect()).filter(|title: &String| !title.is_empty()),
            modified,
            mark: String::new(),
        };
        Item { address: address(feed, &self.link, &self.id), mark: String::new(), content: Some(content) }
    }
}

/// What an entry is known by: where it leads, or its id within the feed.
fn address(feed: &str, link: &str, id: &str) -> String {
    let is_web = |text: &str| text.starts_with("https://") || text.starts_with("http://");
    if is_web(link) {
        return link.to_owned();
    }
    if let Some(path) = link.strip_prefix('/').filter(|path| !path.starts_with('/')) {
        let rest = feed.find("://").map_or(0, |at| at + 3);
        let end = feed[rest..].find('/').map_or(feed.len(), |at| rest + at);
        return format!("{}/{path}", &feed[..end]);
    }
    match (link.is_empty(), id.is_empty()) {
        (_, false) => format!("{feed}#{id}"),
        (false, _) => format!("{feed}#{link}"),
        // Told as an address that nothing can be known by.
        _ => String::new(),
    }
}
