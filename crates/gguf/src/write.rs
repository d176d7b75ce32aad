//! Writing GGUF files: version 3, alignment 32.
//!
//! The header is built first, with every tensor's place; the data then streams,
//! so that a 600 MB file needs no 600 MB of memory.

use std::io::{self, Write};

use crate::Kind;

/// The part of a file before its data.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    meta: Vec<u8>,
    meta_count: u64,
    infos: Vec<u8>,
    info_count: u64,
    /// Bytes of data so far, padded.
    data: u64,
}

const ALIGNMENT: u64 = 32;

impl Writer {
    pub fn new() -> Writer {
        Writer::default()
    }

    pub fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key, 8);
        put_text(&mut self.meta, value.as_bytes());
        self
    }
    pub fn u32(&mut self, key: &str, value: u32) -> &mut Self {
        self.key(key, 4);
        self.meta.extend(value.to_le_bytes());
        self
    }
    pub fn f32(&mut self, key: &str, value: f32) -> &mut Self {
        self.key(key, 6);
        self.meta.extend(value.to_le_bytes());
        self
    }
    pub fn bool(&mut self, key: &str, value: bool) -> &mut Self {
        self.key(key, 7);
        self.meta.push(u8::from(value));
        self
    }
    pub fn texts<T: AsRef<[u8]>>(&mut self, key: &str, values: &[T]) -> &mut Self {
        self.array(key, 8, values.len());
        for v in values {
            put_text(&mut self.meta, v.as_ref());
        }
        self
    }
    pub fn f32s(&mut self, key: &str, values: &[f32]) -> &mut Self {
        self.array(key, 6, values.len());
        for v in values {
            self.meta.extend(v.to_le_bytes());
        }
        self
    }
    pub fn i32s(&mut self, key: &str, values: &[i32]) -> &mut Self {
        self.array(key, 5, values.len());
        for v in values {
            self.meta.extend(v.to_le_bytes());
        }
        self
    }

    /// Places a tensor. Its data must be written after the header, in this
    /// order, each followed by [`padding`] of its size.
    ///
    /// # Panics
    /// When a row is not whole blocks: the shape comes from code, not from input.
    pub fn tensor(&mut self, name: &str, dims: &[u64], kind: Kind) -> u64 {
        let bytes = kind.size(dims).expect("a row of whole blocks");
        put_text(&mut self.infos, name.as_bytes());
        self.infos.extend((dims.len() as u32).to_le_bytes());
        for dim in dims {
            self.infos.extend(dim.to_le_bytes());
        }
        self.infos.extend(kind.id.to_le_bytes());
        self.infos.extend(self.data.to_le_bytes());
        self.info_count += 1;
        self.data += bytes.next_multiple_of(ALIGNMENT);
        bytes
    }

    /// Writes everything before the data, padded. Returns its length.
    pub fn finish(&self, out: &mut impl Write) -> io::Result<u64> {
        out.write_all(b"GGUF")?;
        out.write_all(&3u32.to_le_bytes())?;
        out.write_all(&self.info_count.to_le_bytes())?;
        out.write_all(&self.meta_count.to_le_bytes())?;
        out.write_all(&self.meta)?;
        out.write_all(&self.infos)?;
        let len = 24 + (self.meta.len() + self.infos.len()) as u64;
        out.write_all(padding(len))?;
        Ok(len.next_multiple_of(ALIGNMENT))
    }

    fn key(&mut self, key: &str, kind: u32) {
        put_text(&mut self.meta, key.as_bytes());
        self.meta.extend(kind.to_le_bytes());
        self.meta_count += 1;
    }
    fn array(&mut self, key: &str, kind: u32, len: usize) {
        self.key(key, 9);
        self.meta.extend(kind.to_le_bytes());
        self.meta.extend((len as u64).to_le_bytes());
    }
}

/// The zero bytes that follow `len` bytes of data.
pub fn padding(len: u64) -> &'static [u8] {
    const ZEROS: [u8; ALIGNMENT as usize] = [0; ALIGNMENT as usize];
    &ZEROS[..(len.next_multiple_of(ALIGNMENT) - len) as usize]
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text);
}
