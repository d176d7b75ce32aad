//! A paragraph in the making: what is seen of it, and what is not.

use context::parse::Why;

use super::styles::Styles;
use crate::xml::Element;

#[derive(Default)]
pub struct Paragraph {
    pub text: String,
    /// Of a heading, from 1.
    pub level: Option<u8>,
    pub item: bool,
    pub is_title: bool,
    /// In the order of the text; neighbours of one kind are one.
    pub hidden: Vec<(Why, String)>,
    /// Its style says that it is not shown.
    vanishes: bool,
    shaded: bool,
    /// Inside of the paragraph's own properties, which say nothing of its runs.
    properties: bool,
    run: Run,
}

#[derive(Default)]
struct Run {
    vanishes: bool,
    white: bool,
    shaded: bool,
}

impl Paragraph {
    pub fn open(&mut self, name: &str, element: &Element<'_>, styles: &Styles) {
        match name {
            "pPr" => self.properties = true,
            "r" => self.run = Run { vanishes: self.vanishes, ..Run::default() },
            "pStyle" => {
                let style = styles.get(element.get("val").as_deref().unwrap_or_default());
                (self.level, self.item, self.is_title) = (style.level, style.item, style.is_title);
                self.vanishes = style.vanishes;
                self.run.vanishes = style.vanishes;
            }
            "outlineLvl" if self.properties => self.level = level(element),
            "numPr" if self.properties => self.item = true,
            _ if self.properties => {}
            "rStyle" => {
                self.run.vanishes |= styles.get(element.get("val").as_deref().unwrap_or_default()).vanishes;
            }
            "vanish" | "webHidden" => self.run.vanishes = element.on(),
            "color" => {
                let value = element.get("val").unwrap_or_default();
                self.run.white = value.eq_ignore_ascii_case("ffffff");
            }
            "highlight" => self.run.shaded = element.on(),
            "tab" | "ptab" => self.say("\t", false),
            "br" | "cr" => self.say("\n", false),
            "noBreakHyphen" => self.say("-", false),
            _ => {}
        }
    }

    pub fn close(&mut self, name: &str) {
        if name == "pPr" {
            self.properties = false;
        }
    }

    /// Characters of a run, as it is shown.
    pub fn say(&mut self, text: &str, cell_shaded: bool) {
        let shaded = self.shaded || self.run.shaded || cell_shaded;
        match &self.run {
            run if run.vanishes => self.hide(Why::Display, text),
            run if run.white && !shaded => self.hide(Why::Colour, text),
            _ => self.text.push_str(text),
        }
    }

    pub fn hide(&mut self, why: Why, text: &str) {
        match self.hidden.last_mut() {
            Some((last, hidden)) if *last == why => hidden.push_str(text),
            _ => self.hidden.push((why, text.to_owned())),
        }
    }

    pub fn shaded(&mut self) {
        if self.properties {
            self.shaded = true;
        } else {
            self.run.shaded = true;
        }
    }
}

/// Word counts from 0; 9 is the text's.
pub fn level(element: &Element<'_>) -> Option<u8> {
    let level: u8 = element.get("val")?.parse().ok()?;
    (level < 9).then_some(level + 1)
}
