//! The reading half: every length is checked against what is left before
//! anything is allocated.

use std::fmt;

use super::words;
use crate::Error;

pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }
    pub fn damaged(&self, what: impl fmt::Display) -> Error {
        Error::Damaged(format!("{what} at byte {} of {}", self.at, self.bytes.len()))
    }
    pub fn version(&mut self, known: u8) -> Result<u8, Error> {
        match self.byte()? {
            0 => Err(self.damaged("version 0")),
            version if version <= known => Ok(version),
            newer => Err(self.damaged(format_args!("version {newer}, this binary knows {known}"))),
        }
    }
    pub fn end(&self) -> Result<(), Error> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            left => Err(self.damaged(format_args!("{left} bytes too many"))),
        }
    }
    pub fn byte(&mut self) -> Result<u8, Error> {
        let byte = *self.bytes.get(self.at).ok_or_else(|| self.damaged("the end is missing"))?;
        self.at += 1;
        Ok(byte)
    }
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }
    fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let left = &self.bytes[self.at..];
        if length > left.len() {
            return Err(self.damaged("the end is missing"));
        }
        self.at += length;
        Ok(&left[..length])
    }
    pub fn number(&mut self) -> Result<u64, Error> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(self.damaged("a number beyond 64 bits"));
            }
            number |= bits << shift;
            if byte < 0x80 {
                // One encoding per value, so that equal rows are equal bytes.
                return if bits == 0 && shift > 0 {
                    Err(self.damaged("a padded number"))
                } else {
                    Ok(number)
                };
            }
        }
        Err(self.damaged("a number beyond 64 bits"))
    }
    pub fn signed(&mut self) -> Result<i64, Error> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }
    pub fn small(&mut self) -> Result<u16, Error> {
        let number = self.number()?;
        u16::try_from(number).map_err(|_| self.damaged(format_args!("{number} beyond 16 bits")))
    }
    pub fn flag(&mut self) -> Result<bool, Error> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.damaged(format_args!("flag {other}"))),
        }
    }
    pub fn text(&mut self) -> Result<String, Error> {
        let head = self.number()?;
        if head & 1 == 1 {
            let index = head >> 1;
            let word = words::word(index).ok_or_else(|| self.damaged(format_args!("word {index}")))?;
            return Ok(word.to_owned());
        }
        let length = usize::try_from(head >> 1).unwrap_or(usize::MAX);
        let bytes = self.take(length)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(self.damaged("text that is not UTF-8")),
        }
    }
    pub fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }
    /// A list; its length is at most the bytes left, since an item takes one at least.
    pub fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Result<T, Error>) -> Result<Vec<T>, Error> {
        let length = self.number()?;
        if length > (self.bytes.len() - self.at) as u64 {
            return Err(self.damaged(format_args!("a list of {length}")));
        }
        // Not `with_capacity`: an item is far wider in memory than one byte.
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(read(self)?);
        }
        Ok(items)
    }
}
