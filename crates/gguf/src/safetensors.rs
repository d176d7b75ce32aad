//! The safetensors file, read with suspicion: eight bytes of length, a JSON header that
//! places every tensor, then the data.
//!
//! Every place is checked against the file before anything is read from it, and none
//! may overlap another, as the format has it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::import::Error;

/// Bytes of the header at most. The largest published ones have about 300 KB a file.
const HEADER_MAX: u64 = 32 << 20;
/// Tensors at most, and dimensions of one.
const TENSORS_MAX: usize = 65_536;
const DIMENSIONS_MAX: usize = 8;
/// Bytes of a tensor's name at most.
const NAME_MAX: usize = 512;

/// Where each tensor of a file is: all places are within the file, none overlaps another.
#[derive(Clone, Debug, PartialEq)]
pub struct Safetensors {
    pub tensors: BTreeMap<String, Entry>,
}

/// One tensor's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: Numbers,
    /// The row is the last.
    pub shape: Vec<u64>,
    /// Bytes from the start of the file.
    pub at: u64,
    pub bytes: u64,
}

/// What a tensor's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    F32,
    F16,
    BF16,
    /// Something else, of so many bytes each: weights of no model that is imported.
    Other(u64),
}

impl Numbers {
    const fn bytes(self) -> u64 {
        match self {
            Numbers::F32 => 4,
            Numbers::F16 | Numbers::BF16 => 2,
            Numbers::Other(bytes) => bytes,
        }
    }
    fn of(name: &str) -> Option<Numbers> {
        Some(match name {
            "F32" => Numbers::F32,
            "F16" => Numbers::F16,
            "BF16" => Numbers::BF16,
            "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" => Numbers::Other(1),
            "U16" | "I16" => Numbers::Other(2),
            "U32" | "I32" => Numbers::Other(4),
            "U64" | "I64" | "F64" => Numbers::Other(8),
            _ => return None,
        })
    }
}

impl Entry {
    pub fn elements(&self) -> u64 {
        self.bytes / self.kind.bytes()
    }
}

impl Safetensors {
    /// Reads the header of a file of `file_len` bytes. `reader` stands at its beginning.
    ///
    /// # Errors
    /// [`Error::Tensors`] for what is not such a file, or places a tensor where none can be.
    pub fn read(mut reader: impl Read, file_len: u64) -> Result<Safetensors, Error> {
        let wrong = |why: String| Error::Tensors(why);
        let mut length = [0; 8];
        reader.read_exact(&mut length).map_err(|_| wrong("the file ends within its first 8 bytes".into()))?;
        let length = u64::from_le_bytes(length);
        let most = HEADER_MAX.min(file_len.saturating_sub(8));
        if length > most {
            return Err(wrong(format!("its header is said to have {length} bytes, and {most} can be")));
        }
        let mut header = vec![0; length as usize];
        reader.read_exact(&mut header).map_err(|e| wrong(format!("its header: {e}")))?;
        let Header(rows) = serde_json::from_slice(&header).map_err(|e| wrong(format!("its header: {e}")))?;
        let (start, room) = (8 + length, file_len - 8 - length);
        let mut tensors = BTreeMap::new();
        for (name, row) in rows {
            let entry = row.place(room).map_err(|why| wrong(format!("tensor \"{name:.100}\": {why}")))?;
            let entry = Entry { at: entry.at + start, ..entry };
            if tensors.insert(name.clone(), entry).is_some() {
                return Err(wrong(format!("tensor \"{name:.100}\" appears twice")));
            }
        }
        let mut places: Vec<(u64, u64)> = tensors.values().map(|e| (e.at, e.at + e.bytes)).collect();
        places.sort_unstable();
        if places.windows(2).any(|pair| pair[0].1 > pair[1].0) {
            return Err(wrong("two tensors share bytes".into()));
        }
        Ok(Safetensors { tensors })
    }
}

/// The header's rows in their order, with those that appear twice.
struct Header(Vec<(String, Row)>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

impl Row {
    /// From the start of the data.
    fn place(&self, room: u64) -> Result<Entry, String> {
        let kind =
            Numbers::of(&self.dtype).ok_or_else(|| format!("numbers of type \"{:.20}\"", self.dtype))?;
        if self.shape.len() > DIMENSIONS_MAX {
            return Err(format!("{} dimensions", self.shape.len()));
        }
        let [from, to] = self.data_offsets;
        if from > to || to > room {
            return Err(format!("bytes {from} to {to} of {room}"));
        }
        let size = self.shape.iter().try_fold(kind.bytes(), |size, n| size.checked_mul(*n));
        if size != Some(to - from) {
            return Err(format!("{} bytes for {:?} of {}", to - from, self.shape, self.dtype));
        }
        Ok(Entry { kind, shape: self.shape.clone(), at: from, bytes: to - from })
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Header, D::Error> {
        struct Rows;
        impl<'de> Visitor<'de> for Rows {
            type Value = Header;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Header, M::Error> {
                use serde::de::Error as _;
                let mut rows = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<serde::de::IgnoredAny>()?;
                        continue;
                    }
                    if name.len() > NAME_MAX || rows.len() >= TENSORS_MAX {
                        return Err(M::Error::custom("too many tensors, or too long a name"));
                    }
                    rows.push((name, map.next_value()?));
                }
                Ok(Header(rows))
            }
        }
        deserializer.deserialize_map(Rows)
    }
}
