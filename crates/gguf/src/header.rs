//! The walk over everything before the tensor data.
//!
//! One forward pass over a reader that counts what is left of the file. A
//! length is compared with what is left *before* anything is allocated for it,
//! so a forged count costs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use crate::value::{Array, Value};
use crate::{ELEMENTS_MAX, Error, HEADER_MAX, KEY_MAX, KEYS_MAX, Kind, NAME_MAX, STRING_MAX, TENSORS_MAX};

/// A checked header: all its sizes fit the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    pub version: u32,
    pub meta: BTreeMap<String, Value>,
    pub tensors: Vec<Tensor>,
    /// Where the tensor data starts, in bytes from the start of the file.
    pub data_start: u64,
    /// The length of the file, in bytes.
    pub file_len: u64,
    /// How many of the 256 bytes the vocabulary has a token for (`<0x41>`, or the byte itself).
    pub byte_tokens: u32,
    /// How many tokens are typed as bytes (6).
    pub byte_typed: u32,
}

/// One tensor's place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    pub name: String,
    /// `dims[0]` is the row length. One to four.
    pub dims: Vec<u64>,
    pub kind: Kind,
    /// Bytes from `data_start`.
    pub offset: u64,
    pub bytes: u64,
}

const TOKENS: &str = "tokenizer.ggml.tokens";
const ARRAY: u32 = 9;
const TEXT: u32 = 8;
/// Arrays of numbers up to this length are kept: per-layer head counts and the like.
const KEPT_MAX: u64 = 1024;

impl Header {
    /// Reads and checks the header of a file of `file_len` bytes. `reader`
    /// starts at byte 0 and is read forward only; buffer it. Memory: the kept
    /// metadata, at most a few times the header itself.
    pub fn read(reader: impl Read, file_len: u64) -> Result<Header, Error> {
        let mut walk =
            Walk { reader, at: 0, len: file_len.min(HEADER_MAX), file_len, byte_tokens: 0, byte_typed: 0 };
        let magic: [u8; 4] = walk.bytes("the magic")?;
        if &magic != b"GGUF" {
            return Err(Error::Magic(magic));
        }
        let version = walk.u32("the version")?;
        if !(2..=3).contains(&version) {
            return Err(Error::Version(version));
        }
        // A key takes at least 8 + 1 + 4 + 1 bytes, a tensor 8 + 1 + 4 + 8 + 4 + 8.
        let tensor_count = walk.count("the tensor count", TENSORS_MAX, 33)?;
        let key_count = walk.count("the key count", KEYS_MAX, 14)?;
        let mut meta = BTreeMap::new();
        for _ in 0..key_count {
            let key = walk.key()?;
            let value = walk.value(&key)?;
            if meta.insert(key.clone(), value).is_some() {
                return Err(Error::DuplicateKey(key));
            }
        }
        let alignment = alignment(&meta)?;
        let mut tensors = Vec::new();
        for _ in 0..tensor_count {
            tensors.push(walk.tensor()?);
        }
        let data_start = walk.at.next_multiple_of(alignment);
        if !tensors.is_empty() && data_start > file_len {
            return Err(Error::Truncated {
                what: "the padding before the tensors",
                need: data_start,
                have: file_len,
            });
        }
        check_places(&tensors, alignment, file_len.saturating_sub(data_start))?;
        Ok(Header {
            version,
            meta,
            tensors,
            data_start,
            file_len,
            byte_tokens: walk.byte_tokens,
            byte_typed: walk.byte_typed,
        })
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.meta.get(key)
    }
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }
    /// The model's architecture (`general.architecture`), such as `llama`.
    pub fn arch(&self) -> &str {
        self.text("general.architecture").unwrap_or("")
    }
    /// A key of the architecture's own table: `of("context_length")` reads `llama.context_length`.
    pub fn of(&self, key: &str) -> Option<&Value> {
        self.get(&format!("{}.{key}", self.arch()))
    }
    /// The same as a whole number; the first element when it is a per-layer array.
    pub fn number(&self, key: &str) -> Option<u64> {
        match self.of(key)? {
            Value::Array(a) => a.numbers.first().map(|n| *n as u64),
            v => v.as_u64(),
        }
    }
    /// Longest context it was trained for, in tokens; 0 when the file does not say.
    pub fn context_length(&self) -> u64 {
        self.number("context_length").unwrap_or(0)
    }
    /// How many tokens the vocabulary has.
    pub fn vocab_len(&self) -> u64 {
        self.get("tokenizer.ggml.tokens").and_then(Value::as_array).map_or(0, |a| a.len)
    }
    /// The chat template, as Jinja text.
    pub fn template(&self) -> Option<&str> {
        self.text("tokenizer.chat_template")
    }
    /// How vectors are pooled: 1 mean, 2 first token, 3 last token, 4 rank; `None` or 0: not an embedding model.
    pub fn pooling(&self) -> Option<u64> {
        self.number("pooling_type")
    }
    /// Whether each token sees only those before it; encoders do not.
    pub fn causal(&self) -> bool {
        self.of("attention.causal").and_then(Value::as_bool).unwrap_or(true)
    }
    /// Bytes of all tensors.
    pub fn weight_bytes(&self) -> u64 {
        self.tensors.iter().fold(0, |sum, t| sum.saturating_add(t.bytes))
    }
    /// Elements of all tensors.
    pub fn parameters(&self) -> u64 {
        self.tensors
            .iter()
            .fold(0u64, |sum, t| sum.saturating_add(t.dims.iter().fold(1u64, |n, d| n.saturating_mul(*d))))
    }
}

struct Walk<R> {
    reader: R,
    at: u64,
    /// Where the header must have ended.
    len: u64,
    file_len: u64,
    byte_tokens: u32,
    byte_typed: u32,
}

impl<R: Read> Walk<R> {
    /// Refuses `need` more bytes when the file does not have them.
    fn left(&self, what: &'static str, need: u64) -> Result<(), Error> {
        if need > self.len - self.at {
            if self.len < self.file_len {
                let value = self.at.saturating_add(need);
                return Err(Error::TooMany { what: "the header's length", value, max: HEADER_MAX });
            }
            return Err(Error::Truncated { what, need, have: self.file_len });
        }
        Ok(())
    }

    fn fill(&mut self, what: &'static str, buffer: &mut [u8]) -> Result<(), Error> {
        self.left(what, buffer.len() as u64)?;
        self.reader.read_exact(buffer).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                Error::Truncated { what, need: buffer.len() as u64, have: self.at }
            }
            _ => Error::Io(e.to_string()),
        })?;
        self.at += buffer.len() as u64;
        Ok(())
    }

    fn bytes<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Error> {
        let mut buffer = [0; N];
        self.fill(what, &mut buffer)?;
        Ok(buffer)
    }
    fn u32(&mut self, what: &'static str) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.bytes(what)?))
    }
    fn u64(&mut self, what: &'static str) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.bytes(what)?))
    }

    /// A count of things that take at least `each` bytes.
    fn count(&mut self, what: &'static str, max: u64, each: u64) -> Result<u64, Error> {
        let value = self.u64(what)?;
        if value > max {
            return Err(Error::TooMany { what, value, max });
        }
        self.left(what, value.saturating_mul(each))?;
        Ok(value)
    }

    fn text(&mut self, what: &'static str, name: &str, max: u64) -> Result<String, Error> {
        let len = self.u64(what)?;
        if len > max {
            return Err(Error::TooMany { what, value: len, max });
        }
        self.left(what, len)?;
        let mut buffer = vec![0; len as usize];
        self.fill(what, &mut buffer)?;
        String::from_utf8(buffer).map_err(|_| Error::NotText { what, name: name.to_owned() })
    }

    fn key(&mut self) -> Result<String, Error> {
        let key = self.text("a key", "?", KEY_MAX)?;
        if key.is_empty() || key.contains('\0') {
            return Err(Error::NotText { what: "the name", name: key });
        }
        Ok(key)
    }

    fn value(&mut self, key: &str) -> Result<Value, Error> {
        let kind = self.u32("a value's type")?;
        if kind == ARRAY {
            return self.array(key).map(Value::Array);
        }
        if kind == TEXT {
            return self.text("a text", key, STRING_MAX).map(Value::Text);
        }
        self.scalar(key, kind)
    }

    fn scalar(&mut self, key: &str, kind: u32) -> Result<Value, Error> {
        const WHAT: &str = "a value";
        Ok(match kind {
            0 => Value::Unsigned(u64::from(self.bytes::<1>(WHAT)?[0])),
            1 => Value::Signed(i64::from(self.bytes::<1>(WHAT)?[0] as i8)),
            2 => Value::Unsigned(u64::from(u16::from_le_bytes(self.bytes(WHAT)?))),
            3 => Value::Signed(i64::from(i16::from_le_bytes(self.bytes(WHAT)?))),
            4 => Value::Unsigned(u64::from(self.u32(WHAT)?)),
            5 => Value::Signed(i64::from(self.u32(WHAT)? as i32)),
            6 => Value::Float(f64::from(f32::from_le_bytes(self.bytes(WHAT)?))),
            7 => match self.bytes::<1>(WHAT)?[0] {
                // The loader reads the byte as a C++ bool, for which other values are undefined.
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                b => return Err(Error::Meta { key: key.to_owned(), why: format!("{b} is not a bool") }),
            },
            10 => Value::Unsigned(self.u64(WHAT)?),
            11 => Value::Signed(self.u64(WHAT)? as i64),
            12 => Value::Float(f64::from_le_bytes(self.bytes(WHAT)?)),
            kind => return Err(Error::ValueKind { key: key.to_owned(), kind }),
        })
    }

    fn array(&mut self, key: &str) -> Result<Array, Error> {
        let kind = self.u32("an array's type")?;
        let each = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            TEXT | 10..=12 => 8,
            // Arrays of arrays are in the format's text and in no loader.
            kind => return Err(Error::ValueKind { key: key.to_owned(), kind }),
        };
        let len = self.count("an array's length", ELEMENTS_MAX, each)?;
        let mut numbers = Vec::new();
        match kind {
            TEXT if key == TOKENS => self.tokens(len)?,
            TEXT => {
                for _ in 0..len {
                    self.skip_text()?;
                }
            }
            7 => {
                for _ in 0..len {
                    self.scalar(key, 7)?;
                }
            }
            5 if key == "tokenizer.ggml.token_type" => {
                for _ in 0..len {
                    self.byte_typed += u32::from(self.u32("a token's type")? == 6);
                }
            }
            _ if len <= KEPT_MAX => {
                for _ in 0..len {
                    numbers.extend(self.scalar(key, kind)?.as_f64());
                }
            }
            _ => self.skip("an array", len * each)?,
        }
        Ok(Array { kind, len, numbers })
    }

    /// The vocabulary. The loader asserts that no token appears twice, after it
    /// has cut each at its first zero byte and named the empty ones.
    fn tokens(&mut self, len: u64) -> Result<(), Error> {
        let mut seen = BTreeSet::new();
        let mut bytes = [false; 256];
        for i in 0..len {
            let mut token = self.raw("a token")?;
            token.truncate(token.iter().position(|b| *b == 0).unwrap_or(token.len()));
            if token.is_empty() {
                token = format!("[EMPTY_{i}]").into_bytes();
            }
            let hex = token.strip_prefix(b"<0x").and_then(|t| t.strip_suffix(b">"));
            let named = hex.filter(|h| h.len() == 2 && !h.iter().any(u8::is_ascii_lowercase));
            let byte = named.and_then(|h| u8::from_str_radix(std::str::from_utf8(h).ok()?, 16).ok());
            if let Some(b) = byte.or((token.len() == 1).then(|| token[0])) {
                bytes[usize::from(b)] = true;
            }
            if !seen.insert(token) {
                return Err(Error::Meta { key: TOKENS.to_owned(), why: format!("token {i} appears twice") });
            }
        }
        self.byte_tokens = bytes.iter().filter(|b| **b).count() as u32;
        Ok(())
    }

    fn raw(&mut self, what: &'static str) -> Result<Vec<u8>, Error> {
        let len = self.u64(what)?;
        if len > STRING_MAX {
            return Err(Error::TooMany { what, value: len, max: STRING_MAX });
        }
        self.left(what, len)?;
        let mut buffer = vec![0; len as usize];
        self.fill(what, &mut buffer)?;
        Ok(buffer)
    }

    /// Texts may be any bytes, so they are stepped over, not decoded.
    fn skip_text(&mut self) -> Result<(), Error> {
        let len = self.u64("a text's length")?;
        if len > STRING_MAX {
            return Err(Error::TooMany { what: "a text's length", value: len, max: STRING_MAX });
        }
        self.skip("a text", len)
    }

    fn skip(&mut self, what: &'static str, mut len: u64) -> Result<(), Error> {
        self.left(what, len)?;
        let mut buffer = [0; 4096];
        while len > 0 {
            let step = len.min(buffer.len() as u64) as usize;
            self.fill(what, &mut buffer[..step])?;
            len -= step as u64;
        }
        Ok(())
    }

    fn tensor(&mut self) -> Result<Tensor, Error> {
        let name = self.text("a tensor's name", "?", NAME_MAX)?;
        let bad = |why: String| Error::Tensor { name: name.clone(), why };
        if name.is_empty() || name.contains('\0') {
            return Err(bad("its name is empty or holds a zero byte".into()));
        }
        let dim_count = self.u32("a tensor's dimensions")?;
        if !(1..=4).contains(&dim_count) {
            return Err(bad(format!("it has {dim_count} dimensions; 1 to 4 are possible")));
        }
        let mut dims = Vec::with_capacity(4);
        for _ in 0..dim_count {
            let dim = self.u64("a tensor's dimensions")?;
            if dim == 0 || dim > i32::MAX as u64 {
                return Err(bad(format!("dimension {dim} is outside 1 to {}", i32::MAX)));
            }
            dims.push(dim);
        }
        let id = self.u32("a tensor's type")?;
        let kind = Kind::from_id(id).ok_or_else(|| bad(format!("type {id} is unknown")))?;
        let bytes = kind
            .size(&dims)
            .ok_or_else(|| bad(format!("{dims:?} elements of {} have no whole size", kind.name)))?;
        let offset = self.u64("a tensor's offset")?;
        Ok(Tensor { name, dims, kind, offset, bytes })
    }
}

fn alignment(meta: &BTreeMap<String, Value>) -> Result<u64, Error> {
    let value = match meta.get("general.alignment") {
        None => 32,
        Some(v) => v.as_u64().ok_or(Error::Alignment(0))?,
    };
    if !value.is_power_of_two() || !(8..=65_536).contains(&value) {
        return Err(Error::Alignment(value));
    }
    Ok(value)
}

/// Each tensor lies aligned inside the `have` bytes after the header, and right after
/// the one before it: the loader requires this order, and it excludes overlaps.
fn check_places(tensors: &[Tensor], alignment: u64, have: u64) -> Result<(), Error> {
    let mut names = BTreeSet::new();
    let mut expected = 0u64;
    for t in tensors {
        if !names.insert(t.name.as_str()) {
            return Err(Error::DuplicateTensor(t.name.clone()));
        }
        let bad = |why: String| Error::Tensor { name: t.name.clone(), why };
        if t.offset != expected {
            return Err(bad(format!("its offset is {}; {expected} follows the tensor before", t.offset)));
        }
        let end = t.offset.checked_add(t.bytes).ok_or_else(|| bad("its end overflows".into()))?;
        if end > have {
            return Err(bad(format!("it ends at byte {end} of the data, which has {have} bytes")));
        }
        expected =
            end.checked_next_multiple_of(alignment).ok_or_else(|| bad("its padded end overflows".into()))?;
    }
    Ok(())
}
