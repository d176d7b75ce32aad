//! The part of CBOR that leaves are made of, in its one form: RFC 8949 section
//! 4.2.1 (core deterministic encoding).
//!
//! Written here and not taken from a library because what matters is what is
//! *refused*: the libraries read every encoding of a value, and two encodings of
//! one leaf would be two leaves. The shortest head, definite lengths, UTF-8,
//! and keys in ascending order are checked; tags, floats, `null` and the rest
//! are not part of a leaf at all.

use crate::Error;

pub(crate) const UNSIGNED: u8 = 0;
pub(crate) const NEGATIVE: u8 = 1;
pub(crate) const BYTES: u8 = 2;
pub(crate) const TEXT: u8 = 3;
pub(crate) const ARRAY: u8 = 4;
pub(crate) const MAP: u8 = 5;

/// How deep values of a newer version may nest.
const DEPTH_MAX: usize = 8;

pub(crate) struct Writer(pub Vec<u8>);

impl Writer {
    /// A head in its shortest form.
    pub fn head(&mut self, major: u8, n: u64) {
        let major = major << 5;
        match n {
            0..=23 => self.0.push(major | n as u8),
            24..=0xff => self.0.extend([major | 24, n as u8]),
            0x100..=0xffff => {
                self.0.push(major | 25);
                self.0.extend((n as u16).to_be_bytes());
            }
            0x1_0000..=0xffff_ffff => {
                self.0.push(major | 26);
                self.0.extend((n as u32).to_be_bytes());
            }
            _ => {
                self.0.push(major | 27);
                self.0.extend(n.to_be_bytes());
            }
        }
    }
    pub fn unsigned(&mut self, n: u64) {
        self.head(UNSIGNED, n);
    }
    pub fn integer(&mut self, n: i64) {
        if n < 0 { self.head(NEGATIVE, !n as u64) } else { self.head(UNSIGNED, n as u64) }
    }
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.head(BYTES, bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
    pub fn text(&mut self, text: &str) {
        self.head(TEXT, text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }
}

pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }
    pub fn wrong(&self, what: &'static str) -> Error {
        Error::Leaf { what, at: self.at }
    }
    pub fn end(&self) -> Result<(), Error> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.wrong("bytes after the end")) }
    }
    fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let left = &self.bytes[self.at..];
        if length > left.len() {
            return Err(self.wrong("the end is missing"));
        }
        self.at += length;
        Ok(&left[..length])
    }
    /// The major type and its number.
    pub fn head(&mut self) -> Result<(u8, u64), Error> {
        let first = self.take(1)?[0];
        let (major, info) = (first >> 5, first & 31);
        let (n, least) = match info {
            0..=23 => (u64::from(info), 0),
            24 => (u64::from(self.take(1)?[0]), 24),
            25 => (self.big_endian(2)?, 0x100),
            26 => (self.big_endian(4)?, 0x1_0000),
            27 => (self.big_endian(8)?, 0x1_0000_0000),
            31 => return Err(self.wrong("a length that is not said")),
            _ => return Err(self.wrong("a reserved head")),
        };
        if n < least {
            return Err(self.wrong("a number longer than it must be"));
        }
        if major > MAP {
            return Err(self.wrong("a tag, a float or a simple value"));
        }
        Ok((major, n))
    }
    fn big_endian(&mut self, length: usize) -> Result<u64, Error> {
        Ok(self.take(length)?.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)))
    }
    fn expect(&mut self, wanted: u8, what: &'static str) -> Result<u64, Error> {
        match self.head()? {
            (major, n) if major == wanted => Ok(n),
            _ => Err(self.wrong(what)),
        }
    }
    pub fn unsigned(&mut self) -> Result<u64, Error> {
        self.expect(UNSIGNED, "no unsigned number")
    }
    pub fn integer(&mut self) -> Result<i64, Error> {
        let (major, n) = self.head()?;
        let n = i64::try_from(n).map_err(|_| self.wrong("a number beyond 64 bits"))?;
        match major {
            UNSIGNED => Ok(n),
            NEGATIVE => Ok(!n),
            _ => Err(self.wrong("no number")),
        }
    }
    pub fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let length = self.expect(BYTES, "no bytes")?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let bytes = self.bytes()?;
        bytes.try_into().map_err(|_| self.wrong("bytes of another length"))
    }
    pub fn text(&mut self, bytes_max: usize) -> Result<String, Error> {
        let length = self.expect(TEXT, "no text")?;
        let bytes = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        if bytes.len() > bytes_max {
            return Err(self.wrong("a text that is too long"));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(self.wrong("text that is not UTF-8")),
        }
    }
    /// The length of a list of at most `max`.
    pub fn list(&mut self, max: usize) -> Result<usize, Error> {
        self.length(ARRAY, max, "no list")
    }
    pub fn map(&mut self, max: usize) -> Result<usize, Error> {
        self.length(MAP, max, "no map")
    }
    fn length(&mut self, major: u8, max: usize, what: &'static str) -> Result<usize, Error> {
        let length = usize::try_from(self.expect(major, what)?).unwrap_or(usize::MAX);
        if length > max { Err(self.wrong("too many items")) } else { Ok(length) }
    }
    /// Passes over a value that this version does not know, which must be
    /// canonical all the same.
    pub fn skip(&mut self) -> Result<(), Error> {
        self.skip_to(DEPTH_MAX)
    }
    fn skip_to(&mut self, depth: usize) -> Result<(), Error> {
        if depth == 0 {
            return Err(self.wrong("nesting beyond eight levels"));
        }
        let (major, n) = self.head()?;
        match major {
            UNSIGNED | NEGATIVE => Ok(()),
            BYTES => self.take(usize::try_from(n).unwrap_or(usize::MAX)).map(|_| ()),
            TEXT => {
                let bytes = self.take(usize::try_from(n).unwrap_or(usize::MAX))?;
                std::str::from_utf8(bytes).map(|_| ()).map_err(|_| self.wrong("text that is not UTF-8"))
            }
            ARRAY => (0..self.items(n)?).try_for_each(|_| self.skip_to(depth - 1)),
            _ => {
                let mut last: Option<&[u8]> = None;
                for _ in 0..self.items(n)? {
                    let at = self.at;
                    self.skip_to(depth - 1)?;
                    let key = &self.bytes[at..self.at];
                    if last.is_some_and(|last| last >= key) {
                        return Err(self.wrong("keys out of order"));
                    }
                    last = Some(key);
                    self.skip_to(depth - 1)?;
                }
                Ok(())
            }
        }
    }
    /// Each item takes a byte at least, so that a length cannot make us loop for nothing.
    fn items(&self, n: u64) -> Result<u64, Error> {
        if n > (self.bytes.len() - self.at) as u64 { Err(self.wrong("the end is missing")) } else { Ok(n) }
    }
}
