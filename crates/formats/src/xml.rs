//! XML, token by token: that of office files, and of what else is read with suspicion.
//! There are no document types, no entities but the five that XML has, and nothing is deeper
//! than a limit.

use std::borrow::Cow;

use context::parse::{Error, Format};
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

/// The tokens of a part of an office file.
pub struct Xml<'x> {
    format: Format,
    tokens: Tokens<'x>,
}

/// The tokens of any XML.
pub struct Tokens<'x> {
    reader: Reader<&'x [u8]>,
    depth: usize,
    depth_max: usize,
    /// The name of the element that ended last.
    closed: String,
}

/// Why there are no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    TooDeep {
        max: usize,
    },
    /// It is no XML, or more than XML has to be.
    Broken(String),
}

/// Names are without their prefixes: what a prefix stands for is the same in all of them.
pub enum Token<'x> {
    Open(Element<'x>),
    Close(String),
    Text(Cow<'x, str>),
    End,
}

pub struct Element<'x>(BytesStart<'x>);

impl<'x> Xml<'x> {
    pub fn new(bytes: &'x [u8], format: Format, depth_max: usize) -> Xml<'x> {
        Xml { format, tokens: Tokens::new(bytes, depth_max) }
    }

    pub fn next(&mut self) -> Result<Token<'x>, Error> {
        self.tokens.token().map_err(|fault| self.error(fault))
    }

    /// Passes over what is inside of the element that was opened last.
    pub fn skip(&mut self) -> Result<(), Error> {
        self.tokens.skip().map_err(|fault| self.error(fault))
    }

    fn error(&self, fault: Fault) -> Error {
        match fault {
            Fault::TooDeep { max } => Error::TooDeep { max },
            Fault::Broken(why) => Error::Broken { format: self.format, why },
        }
    }
}

impl<'x> Tokens<'x> {
    pub fn new(bytes: &'x [u8], depth_max: usize) -> Tokens<'x> {
        let mut reader = Reader::from_reader(bytes);
        reader.config_mut().expand_empty_elements = true;
        Tokens { reader, depth: 0, depth_max, closed: String::new() }
    }

    /// # Errors
    /// [`Fault`]; after one there is no more to be had.
    pub fn token(&mut self) -> Result<Token<'x>, Fault> {
        loop {
            let event = self.reader.read_event().map_err(|why| broken(&why.to_string()))?;
            match event {
                Event::Start(start) => {
                    self.depth += 1;
                    if self.depth > self.depth_max {
                        return Err(Fault::TooDeep { max: self.depth_max });
                    }
                    return Ok(Token::Open(Element(start)));
                }
                Event::End(end) => {
                    self.depth = self.depth.saturating_sub(1);
                    self.closed.clear();
                    self.closed.push_str(&String::from_utf8_lossy(end.local_name().as_ref()));
                    return Ok(Token::Close(self.closed.clone()));
                }
                Event::Text(text) => {
                    return text.decode().map(Token::Text).map_err(|_| broken("it is not UTF-8"));
                }
                Event::CData(text) => {
                    return text.decode().map(Token::Text).map_err(|_| broken("it is not UTF-8"));
                }
                Event::GeneralRef(name) => {
                    let known = name.resolve_char_ref().map_err(|why| broken(&why.to_string()))?;
                    if let Some(character) = known {
                        return Ok(Token::Text(Cow::Owned(character.to_string())));
                    }
                    let name = name.decode().map_err(|_| broken("it is not UTF-8"))?;
                    return match resolve_predefined_entity(&name) {
                        Some(text) => Ok(Token::Text(Cow::Borrowed(text))),
                        None => Err(broken("it uses an entity of its own")),
                    };
                }
                // What needs none has none, and those that do mean to be expanded.
                Event::DocType(_) => return Err(broken("it declares a document type")),
                Event::Eof if self.depth > 0 => return Err(broken("it ends inside of an element")),
                Event::Eof => return Ok(Token::End),
                Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            }
        }
    }

    /// Passes over what is inside of the element that was opened last.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn skip(&mut self) -> Result<(), Fault> {
        let outside = self.depth.saturating_sub(1);
        while self.depth > outside {
            if let Token::End = self.token()? {
                break;
            }
        }
        Ok(())
    }
}

fn broken(why: &str) -> Fault {
    Fault::Broken(why.chars().take(200).collect())
}

impl Element<'_> {
    pub fn name(&self) -> String {
        String::from_utf8_lossy(self.0.local_name().as_ref()).into_owned()
    }

    pub fn is(&self, name: &str) -> bool {
        self.0.local_name().as_ref() == name.as_bytes()
    }

    /// An attribute's value, whatever its prefix.
    pub fn get(&self, name: &str) -> Option<String> {
        self.find(|key| key.rsplit(|b| *b == b':').next() == Some(name.as_bytes()))
    }

    /// The id of a relation, which has a prefix; there may be an `id` without one beside it.
    pub fn relation(&self) -> Option<String> {
        self.find(|key| key.ends_with(b":id"))
    }

    fn find(&self, is: impl Fn(&[u8]) -> bool) -> Option<String> {
        // Of malformed ones there is nothing to be had.
        let attribute = self.0.attributes().filter_map(Result::ok).find(|a| is(a.key.as_ref()))?;
        let value = std::str::from_utf8(&attribute.value).ok()?;
        quick_xml::escape::unescape(value).ok().map(Cow::into_owned)
    }

    /// A switch: there without a value, or with one that does not turn it off.
    pub fn on(&self) -> bool {
        !matches!(self.get("val").as_deref(), Some("0" | "false" | "off" | "none"))
    }

    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name).as_deref(), Some("1" | "true" | "on"))
    }
}
