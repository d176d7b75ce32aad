//! What the styles of a document say that matters here: which are headings, lists, hidden.

use std::collections::HashMap;

use context::parse::Error;

use super::FORMAT;
use super::paragraph::level;
use crate::package::DEPTH_MAX;
use crate::xml::{Token, Xml};

/// Of a document; Word itself stops at 4,091.
const STYLES_MAX: usize = 10_000;
/// Styles that are each based on the next.
const BASES_MAX: usize = 16;

#[derive(Clone, Default)]
pub struct Style {
    pub level: Option<u8>,
    pub item: bool,
    pub is_title: bool,
    pub vanishes: bool,
    based_on: Option<String>,
}

#[derive(Default)]
pub struct Styles(HashMap<String, Style>);

impl Styles {
    /// A style with what it takes from those that it is based on.
    pub fn get(&self, id: &str) -> Style {
        let mut style = self.0.get(id).cloned().unwrap_or_else(|| by_name(id));
        let mut base = style.based_on.take();
        for _ in 0..BASES_MAX {
            let Some(below) = base.and_then(|id| self.0.get(&id)) else { break };
            style.level = style.level.or(below.level);
            style.item |= below.item;
            style.vanishes |= below.vanishes;
            base = below.based_on.clone();
        }
        style
    }
}

pub fn read(bytes: &[u8]) -> Result<Styles, Error> {
    let mut xml = Xml::new(bytes, FORMAT, DEPTH_MAX);
    let mut styles = Styles::default();
    let mut open: Option<(String, Style)> = None;
    loop {
        match xml.next()? {
            Token::Open(element) if element.is("style") => {
                open = element.get("styleId").map(|id| (id, Style::default()));
            }
            Token::Open(element) => {
                let Some((_, style)) = &mut open else { continue };
                let value = || element.get("val").unwrap_or_default();
                match element.name().as_str() {
                    "name" => {
                        let named = by_name(&value());
                        *style = Style { based_on: style.based_on.take(), ..named };
                    }
                    "basedOn" => style.based_on = Some(value()),
                    "outlineLvl" => style.level = style.level.or(level(&element)),
                    "numPr" => style.item = true,
                    "vanish" => style.vanishes = element.on(),
                    _ => {}
                }
            }
            Token::Close(name) if name == "style" => {
                if let Some((id, style)) = open.take()
                    && styles.0.len() < STYLES_MAX
                {
                    styles.0.insert(id, style);
                }
            }
            Token::End => return Ok(styles),
            Token::Close(_) | Token::Text(_) => {}
        }
    }
}

/// The built-in styles have the same names in every language.
fn by_name(name: &str) -> Style {
    let name = name.to_lowercase();
    let level = name.strip_prefix("heading").and_then(|rest| rest.trim().parse().ok());
    Style {
        level: level.filter(|level| (1..=9).contains(level)).or((name == "title").then_some(1)),
        item: name.starts_with("list bullet") || name.starts_with("list number"),
        is_title: name == "title",
        ..Style::default()
    }
}
