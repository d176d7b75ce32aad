//! Whether an element is seen: the part of CSS that hides.
//!
//! Not a cascade: declarations of an element, and rules of a style sheet with one
//! simple selector (`p`, `.x`, `#x`, `p.x`). What is hidden by more than that is taken
//! as seen; what might be hidden (white text, background unknown) as hidden: evidence
//! can be looked at, and a hidden order that was indexed cannot be called back.

use std::collections::BTreeMap;

use super::Why;

/// Rules kept of one document.
const RULES_MAX: usize = 2_000;

/// A colour; `clear` when it lets everything through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colour {
    rgb: [u8; 3],
    clear: bool,
}

pub(super) const BLACK: Colour = Colour { rgb: [0; 3], clear: false };
pub(super) const WHITE: Colour = Colour { rgb: [255; 3], clear: false };

impl Colour {
    /// Whether text in this colour cannot be seen on that one: no channel differs by
    /// more than 16 of 255.
    pub fn is_lost_on(self, ground: Colour) -> bool {
        self.clear || self.rgb.iter().zip(ground.rgb).all(|(a, b)| a.abs_diff(b) <= 16)
    }
}

/// What text stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ground {
    Colour(Colour),
    /// An image or a gradient: any colour may be seen on it.
    Picture,
}

/// What an element's own declarations say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Look {
    pub hides: Option<Why>,
    pub colour: Option<Colour>,
    pub ground: Option<Ground>,
}

impl Look {
    /// Both; what `other` says counts.
    pub fn and(self, other: Look) -> Look {
        Look {
            hides: other.hides.or(self.hides),
            colour: other.colour.or(self.colour),
            ground: other.ground.or(self.ground),
        }
    }
}

/// Reads declarations: what a `style` attribute or the braces of a rule hold.
pub(super) fn declarations(css: &str) -> Look {
    let css = plain(css);
    let mut look = Look::default();
    let (mut small, mut clipped) = (false, false);
    for declaration in css.split(';') {
        let Some((name, value)) = declaration.split_once(':') else { continue };
        let value = value.trim().trim_end_matches("!important").trim();
        let hides = match name.trim() {
            "display" => (value == "none").then_some(Why::Display),
            "visibility" => matches!(value, "hidden" | "collapse").then_some(Why::Display),
            "content-visibility" => (value == "hidden").then_some(Why::Display),
            "mso-hide" => (value == "all").then_some(Why::Display),
            "opacity" => number(value).is_some_and(|n| n <= 0.05).then_some(Why::Colour),
            "font-size" => is_tiny(value).then_some(Why::Size),
            "font" => value
                .split([' ', '/'])
                .any(|part| part != "0" && is_tiny(part) || value.starts_with("0/"))
                .then_some(Why::Size),
            "text-indent" | "left" | "top" | "right" | "bottom" | "margin-left" | "margin-top" => {
                number(value).is_some_and(|n| n <= -900.0).then_some(Why::Size)
            }
            "clip" => (value.starts_with("rect(0") || value.starts_with("rect(1px")).then_some(Why::Size),
            "clip-path" => ["inset(50%", "inset(100%", "circle(0", "polygon(0 0)"]
                .iter()
                .any(|c| value.starts_with(c))
                .then_some(Why::Size),
            "transform" => (value.contains("scale(0)") || value.contains("scale(0,")).then_some(Why::Size),
            "width" | "height" | "max-width" | "max-height" => {
                small |= number(value).is_some_and(|n| n <= 1.0)
                    && !value.ends_with('%')
                    && !value.ends_with("em");
                small |= number(value) == Some(0.0);
                None
            }
            "overflow" | "overflow-x" | "overflow-y" => {
                clipped |= matches!(value, "hidden" | "clip");
                None
            }
            "color" | "-webkit-text-fill-color" => {
                look.colour = colour(value).or(look.colour);
                None
            }
            "background" | "background-color" | "background-image" => {
                look.ground = ground(value).or(look.ground);
                None
            }
            _ => None,
        };
        look.hides = look.hides.or(hides);
    }
    if small && clipped {
        look.hides = look.hides.or(Some(Why::Size));
    }
    look
}

/// Lower case, without comments, escapes (`d\69splay`) read.
fn plain(css: &str) -> String {
    let mut out = String::with_capacity(css.len());
    let mut rest = css;
    while let Some(at) = rest.find(['/', '\\']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, behind)| behind);
        } else if let Some(escape) = rest.strip_prefix('\\') {
            let digits = escape.bytes().take(6).take_while(u8::is_ascii_hexdigit).count();
            let code = u32::from_str_radix(&escape[..digits], 16).ok().and_then(char::from_u32);
            out.extend(code);
            rest = &escape[digits..];
            if digits > 0 {
                rest = rest.strip_prefix([' ', '\n', '\t']).unwrap_or(rest);
            }
        } else {
            out.push('/');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out.make_ascii_lowercase();
    out
}

fn number(value: &str) -> Option<f32> {
    let end = value.find(|c: char| !c.is_ascii_digit() && !"+-.".contains(c)).unwrap_or(value.len());
    value[..end].parse().ok()
}

/// A size of letters that nobody reads.
fn is_tiny(value: &str) -> bool {
    let Some(size) = number(value) else { return false };
    match value.trim_start_matches(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        "px" | "pt" => size <= 1.0,
        "em" | "rem" | "vw" | "vh" => size <= 0.1,
        "%" => size <= 10.0,
        _ => size == 0.0,
    }
}

pub(super) fn colour(value: &str) -> Option<Colour> {
    let value = value.trim();
    let opaque = |rgb| Some(Colour { rgb, clear: false });
    if let Some(hex) = value.strip_prefix('#') {
        let digit = |at: usize| hex.get(at..at + 1).and_then(|d| u8::from_str_radix(d, 16).ok());
        let pair = |at: usize| hex.get(at..at + 2).and_then(|d| u8::from_str_radix(d, 16).ok());
        return match hex.len() {
            3 => opaque([digit(0)? * 17, digit(1)? * 17, digit(2)? * 17]),
            4 => {
                Some(Colour { rgb: [digit(0)? * 17, digit(1)? * 17, digit(2)? * 17], clear: digit(3)? == 0 })
            }
            6 => opaque([pair(0)?, pair(2)?, pair(4)?]),
            8 => Some(Colour { rgb: [pair(0)?, pair(2)?, pair(4)?], clear: pair(6)? <= 12 }),
            _ => None,
        };
    }
    if let Some(inside) = value.strip_prefix("rgba(").or_else(|| value.strip_prefix("rgb(")) {
        let mut parts = inside.trim_end_matches(')').split([',', ' ', '/']).filter(|part| !part.is_empty());
        let mut channel = || parts.next().and_then(number).map(|n| n.clamp(0.0, 255.0) as u8);
        let rgb = [channel()?, channel()?, channel()?];
        let clear = parts.next().and_then(number).is_some_and(|alpha| alpha <= 0.05);
        return Some(Colour { rgb, clear });
    }
    Some(match value {
        "transparent" => Colour { rgb: [255; 3], clear: true },
        "white" => WHITE,
        "black" => BLACK,
        "snow" | "ghostwhite" | "ivory" | "azure" | "mintcream" | "floralwhite" | "whitesmoke" => {
            Colour { rgb: [250; 3], clear: false }
        }
        "red" => Colour { rgb: [255, 0, 0], clear: false },
        "lime" => Colour { rgb: [0, 255, 0], clear: false },
        "green" => Colour { rgb: [0, 128, 0], clear: false },
        "blue" => Colour { rgb: [0, 0, 255], clear: false },
        "navy" => Colour { rgb: [0, 0, 128], clear: false },
        "yellow" => Colour { rgb: [255, 255, 0], clear: false },
        "orange" => Colour { rgb: [255, 165, 0], clear: false },
        "gray" | "grey" => Colour { rgb: [128; 3], clear: false },
        "silver" => Colour { rgb: [192; 3], clear: false },
        _ => return None,
    })
}

fn ground(value: &str) -> Option<Ground> {
    if value.contains("url(") || value.contains("gradient(") {
        return Some(Ground::Picture);
    }
    let found = colour(value).or_else(|| value.split_whitespace().find_map(colour))?;
    // What lets everything through leaves the ground that there is.
    (!found.clear).then_some(Ground::Colour(found))
}

/// A document's own style sheets, as far as they hide and colour.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    rules: BTreeMap<String, Look>,
}

impl Sheet {
    /// Reads a `style` element. What is inside `@media` and its like holds sometimes, and is
    /// left out.
    pub fn read(&mut self, css: &str) {
        let css = plain(css);
        let mut rest = css.as_str();
        while let Some((selectors, behind)) = rest.split_once('{') {
            let selectors = selectors.rsplit([';', '}']).next().unwrap_or_default().trim();
            if selectors.starts_with('@') {
                rest = behind_braces(behind);
                continue;
            }
            let (body, next) = behind.split_once('}').unwrap_or((behind, ""));
            rest = next;
            let look = declarations(body);
            if look == Look::default() {
                continue;
            }
            for selector in selectors.split(',').map(str::trim).filter(|selector| is_simple(selector)) {
                if self.rules.len() < RULES_MAX {
                    let rule = self.rules.entry(selector.to_owned()).or_default();
                    *rule = rule.and(look);
                }
            }
        }
    }

    /// What rules say of an element.
    pub fn look(&self, tag: &str, id: Option<&str>, classes: &str) -> Look {
        if self.rules.is_empty() {
            return Look::default();
        }
        let rule = |selector: &str| self.rules.get(selector).copied().unwrap_or_default();
        let mut look = rule(tag);
        let classes = classes.split_ascii_whitespace().take(32).map(|class| format!(".{class}"));
        for mut part in classes.chain(id.map(|id| format!("#{id}"))) {
            part.make_ascii_lowercase();
            look = look.and(rule(&part)).and(rule(&format!("{tag}{part}")));
        }
        look
    }
}

fn is_simple(selector: &str) -> bool {
    let is_name = |name: &str| name.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_');
    match selector.split_once(['.', '#']) {
        Some((tag, name)) => is_name(tag) && is_name(name) && !name.is_empty(),
        None => is_name(selector) && !selector.is_empty(),
    }
}

/// What stands behind the brace that closes the open one.
fn behind_braces(css: &str) -> &str {
    let mut depth = 1;
    for (at, byte) in css.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &css[at + 1..];
        }
    }
    ""
}
