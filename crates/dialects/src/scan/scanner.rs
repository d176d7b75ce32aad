//! The grammar: RFC 8259 over checked UTF-8, without recursion.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use memchr::memchr2;

use super::{DEPTH_MAX, string};
use crate::Error;

/// A place in a text, and what has been counted up to it.
pub(super) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) text_bytes: usize,
}

/// Keys of one object beyond this many are compared through a set instead of a list.
const KEYS_LISTED: usize = 48;

/// The keys of one object so far.
#[derive(Default)]
struct Keys<'a> {
    /// Length and first bytes decide nearly every comparison.
    listed: Vec<(u64, Cow<'a, str>)>,
    set: HashSet<Cow<'a, str>>,
}

impl<'a> Keys<'a> {
    /// Whether the key is new.
    fn add(&mut self, key: Cow<'a, str>) -> bool {
        let mut head = [0u8; 8];
        let len = key.len().min(7);
        head[..len].copy_from_slice(&key.as_bytes()[..len]);
        head[7] = key.len() as u8;
        let print = u64::from_le_bytes(head);
        if self.listed.iter().any(|(p, k)| *p == print && *k == key) {
            return false;
        }
        if self.listed.len() >= KEYS_LISTED {
            return self.set.insert(key);
        }
        if self.listed.capacity() == 0 {
            self.listed.reserve(16);
        }
        self.listed.push((print, key));
        true
    }
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str, at: usize) -> Scanner<'a> {
        Scanner { text, bytes: text.as_bytes(), at, text_bytes: 0 }
    }
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }
    pub(super) fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }
    pub(super) fn expected(&self, expected: &'static str) -> Error {
        Error::Syntax { at: self.at, expected }
    }

    /// The object at `at`, field by field. Returns whether it is empty. A key
    /// that repeats is an error only where asked: in what clients send.
    pub(super) fn object(
        &mut self,
        is_strict: bool,
        field: &mut dyn FnMut(Cow<'a, str>, Range<usize>) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let mut keys = Keys::default();
        self.at += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(true);
        }
        loop {
            let at = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.expected("a key in double quotes"));
            }
            self.string()?;
            let text = self.text;
            let key = string("key", &text[at..self.at])
                .map_err(|_| Error::Syntax { at, expected: "a key of whole Unicode characters" })?;
            self.colon()?;
            let start = self.at;
            self.value()?;
            if is_strict && !keys.add(key.clone()) {
                return Err(Error::DuplicateKey { at, key: crate::error::quote(&key) });
            }
            field(key, start..self.at)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(false);
                }
                _ => return Err(self.expected("`,` or `}`")),
            }
            self.space();
        }
    }

    fn colon(&mut self) -> Result<(), Error> {
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.expected("`:`"));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// One value, nested ones with it, without recursion: bit `depth` of
    /// `objects` says what the open bracket at that depth is.
    pub(super) fn value(&mut self) -> Result<(), Error> {
        let mut objects = 0u128;
        let mut depth = 0usize;
        loop {
            self.space();
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    if depth + 1 >= DEPTH_MAX {
                        return Err(Error::Depth { at: self.at, limit: DEPTH_MAX });
                    }
                    self.at += 1;
                    self.space();
                    let close = if open == b'{' { b'}' } else { b']' };
                    if self.peek() == Some(close) {
                        self.at += 1;
                    } else {
                        depth += 1;
                        objects = objects & !(1 << depth) | u128::from(open == b'{') << depth;
                        if open == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => self.text_value()?,
                Some(b'-' | b'0'..=b'9') => {
                    self.number()?;
                    if depth > 0 && objects >> depth & 1 == 0 {
                        self.text_bytes += 4;
                    }
                }
                Some(b't') => self.word(b"true")?,
                Some(b'f') => self.word(b"false")?,
                Some(b'n') => self.word(b"null")?,
                _ => return Err(self.expected("a value")),
            }
            // The value is complete; close what it completes.
            loop {
                if depth == 0 {
                    return Ok(());
                }
                self.space();
                let in_object = objects >> depth & 1 == 1;
                match (self.peek(), in_object) {
                    (Some(b','), true) => {
                        self.at += 1;
                        self.space();
                        self.key()?;
                        break;
                    }
                    (Some(b','), false) => {
                        self.at += 1;
                        break;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => {
                        self.at += 1;
                        depth -= 1;
                    }
                    (_, true) => return Err(self.expected("`,` or `}`")),
                    (_, false) => return Err(self.expected("`,` or `]`")),
                }
            }
        }
    }

    fn key(&mut self) -> Result<(), Error> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a key in double quotes"));
        }
        self.string()?;
        self.colon()
    }

    /// A string value; long base64 is not text (an inline image or audio).
    fn text_value(&mut self) -> Result<(), Error> {
        let start = self.at + 1;
        self.string()?;
        let content = &self.bytes[start..self.at - 1];
        let is_data = content.starts_with(b"data:") || is_base64_blob(content);
        if !is_data {
            self.text_bytes += content.len();
        }
        Ok(())
    }

    /// Crosses the string at `at`.
    fn string(&mut self) -> Result<(), Error> {
        let bytes = self.bytes;
        let mut at = self.at + 1;
        loop {
            at = stretch_end(bytes, at);
            match bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(());
                }
                Some(b'\\') => {}
                Some(_) => {
                    self.at = at;
                    return Err(self.expected("an escape for a control character"));
                }
                None => {
                    self.at = bytes.len();
                    return Err(self.expected("the closing quote of a string"));
                }
            }
            at += match bytes.get(at + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                Some(b'u')
                    if bytes.get(at + 2..at + 6).is_some_and(|h| h.iter().all(u8::is_ascii_hexdigit)) =>
                {
                    6
                }
                _ => {
                    self.at = at;
                    return Err(self.expected("a valid escape"));
                }
            };
        }
    }

    fn digits(&mut self) -> Result<(), Error> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.expected("a digit")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<(), Error> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), Error> {
        if self.bytes[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.expected("a value"))
    }
}

const LOW: u64 = u64::from_ne_bytes([1; 8]);
const HIGH: u64 = LOW << 7;
/// Words looked at one by one before a stretch counts as long.
const SHORT_WORDS: usize = 12;

/// Where the plain bytes of a string from `at` on end: at a quote, a backslash,
/// a raw control character, or the end. Text with many escapes is crossed a
/// word at a time; a long stretch by memchr, with its control characters looked
/// for in a second vector loop.
fn stretch_end(bytes: &[u8], mut at: usize) -> usize {
    for _ in 0..SHORT_WORDS {
        let Some(word) = bytes.get(at..at + 8) else { break };
        let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
        // The lowest set bit is exact: a borrow only runs upwards from a true hit.
        let zero = |x: u64| x.wrapping_sub(LOW) & !x & HIGH;
        let control = word.wrapping_sub(LOW * 0x20) & !word & HIGH;
        let hits = zero(word ^ (LOW * 0x22)) | zero(word ^ (LOW * 0x5c)) | control;
        if hits != 0 {
            return at + hits.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let end = memchr2(b'"', b'\\', &bytes[at..]).map_or(bytes.len(), |found| at + found);
    let stretch = &bytes[at..end];
    if stretch.iter().fold(false, |bad, b| bad | (*b < 0x20)) {
        return at + stretch.iter().position(|b| *b < 0x20).unwrap_or(0);
    }
    end
}

/// Whether the head of a long string looks like base64 rather than words.
fn is_base64_blob(content: &[u8]) -> bool {
    content.len() > 1024
        && content[..256].iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
}
