//! The writing half: no failure, no allocation beside the output's own growth.

use super::words;

pub(super) struct Writer<'a>(pub &'a mut Vec<u8>);

impl Writer<'_> {
    pub fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
    /// LEB128: seven bits a byte, the lowest first.
    pub fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
    /// Zigzag: small absolute values are small numbers.
    pub fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)) as u64);
    }
    /// An odd number is a word's index; an even one a length.
    pub fn text(&mut self, text: &str) {
        match words::index(text) {
            Some(index) => self.number(u64::from(index) << 1 | 1),
            None => {
                self.number((text.len() as u64) << 1);
                self.bytes(text.as_bytes());
            }
        }
    }
    pub fn tagged(&mut self, tag: u8, text: &str) {
        self.byte(tag);
        self.text(text);
    }
    pub fn option<T>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Self, &T)) {
        self.byte(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }
    pub fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.number(items.len() as u64);
        for item in items {
            write(self, item);
        }
    }
}
