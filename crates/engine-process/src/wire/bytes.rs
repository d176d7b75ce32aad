//! Values as bytes: integers in LEB128, a text or a list behind its length.
//!
//! Reading never panics and never allocates more than a small multiple of what
//! is there: a length is compared with what is left before anything is made.

/// What another process sent is not what this version of the format says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Damaged(pub String);

pub type Result<T> = std::result::Result<T, Damaged>;

/// A value with one encoding.
pub(crate) trait Wire: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn get(r: &mut Reader<'_>) -> Result<Self>;
}

pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    depth: u32,
}

/// Values inside values. Tool results hold parts, which hold tool results.
const DEPTH_MAX: u32 = 16;

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, depth: 0 }
    }
    pub fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) =
            self.bytes.split_at_checked(length).ok_or_else(|| Damaged("the end is missing".into()))?;
        self.bytes = rest;
        Ok(taken)
    }
    pub fn end(&self) -> Result<()> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(Damaged(format!("{left} bytes too many"))),
        }
    }
    /// A length of things that take a byte each at least.
    fn length(&mut self) -> Result<usize> {
        let length = u64::get(self)?;
        match usize::try_from(length) {
            Ok(length) if length <= self.bytes.len() => Ok(length),
            _ => Err(Damaged(format!("{length} of something in {} bytes", self.bytes.len()))),
        }
    }
    /// Reads something that may hold others of its kind.
    pub fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == DEPTH_MAX {
            return Err(Damaged(format!("values more than {DEPTH_MAX} deep")));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }
}

impl Wire for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        let mut number = *self;
        while number >= 0x80 {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
    }
    fn get(r: &mut Reader<'_>) -> Result<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = u8::get(r)?;
            if shift == 63 && byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Damaged("a number beyond 64 bits".into()))
    }
}

/// Integers that are written as one of 64 bits.
macro_rules! narrow {
    ($($type:ty),*) => {$(
        impl Wire for $type {
            fn put(&self, out: &mut Vec<u8>) {
                (*self as u64).put(out);
            }
            fn get(r: &mut Reader<'_>) -> Result<$type> {
                let number = u64::get(r)?;
                <$type>::try_from(number).map_err(|_| Damaged(format!("{number} is too large")))
            }
        }
    )*};
}
narrow!(u32, usize);

/// Values of a fixed number of bytes, the lowest first.
macro_rules! fixed {
    ($($type:ty),*) => {$(
        impl Wire for $type {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn get(r: &mut Reader<'_>) -> Result<$type> {
                let bytes = r.take(size_of::<$type>())?;
                Ok(<$type>::from_le_bytes(bytes.try_into().expect("as many bytes as were asked for")))
            }
        }
    )*};
}
fixed!(u8, u128, i64, f32, f64);

impl Wire for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn get(r: &mut Reader<'_>) -> Result<bool> {
        match u8::get(r)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Damaged(format!("{other} is neither true nor false"))),
        }
    }
}

impl Wire for String {
    fn put(&self, out: &mut Vec<u8>) {
        self.len().put(out);
        out.extend_from_slice(self.as_bytes());
    }
    fn get(r: &mut Reader<'_>) -> Result<String> {
        let length = r.length()?;
        let bytes = r.take(length)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Damaged("text that is not UTF-8".into()))
    }
}

/// Bytes as they are: one copy, where a list would go one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob(pub Vec<u8>);

impl Wire for Blob {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.len().put(out);
        out.extend_from_slice(&self.0);
    }
    fn get(r: &mut Reader<'_>) -> Result<Blob> {
        let length = r.length()?;
        Ok(Blob(r.take(length)?.to_vec()))
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }
    fn get(r: &mut Reader<'_>) -> Result<Option<T>> {
        if bool::get(r)? { T::get(r).map(Some) } else { Ok(None) }
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.len().put(out);
        self.iter().for_each(|item| item.put(out));
    }
    fn get(r: &mut Reader<'_>) -> Result<Vec<T>> {
        // Not `with_capacity`: an item is far wider in memory than one byte.
        let mut items = Vec::new();
        for _ in 0..r.length()? {
            items.push(T::get(r)?);
        }
        Ok(items)
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }
    fn get(r: &mut Reader<'_>) -> Result<(A, B)> {
        Ok((A::get(r)?, B::get(r)?))
    }
}

/// A struct: its fields in this order. Exhaustive, so that a field that is added
/// to the type must be added here.
macro_rules! record {
    ($type:ident { $($field:ident),* $(,)? }) => {
        impl $crate::wire::bytes::Wire for $type {
            fn put(&self, out: &mut Vec<u8>) {
                let $type { $($field),* } = self;
                $($field.put(out);)*
            }
            fn get(r: &mut $crate::wire::bytes::Reader<'_>) -> $crate::wire::bytes::Result<$type> {
                Ok($type { $($field: $crate::wire::bytes::Wire::get(r)?),* })
            }
        }
    };
}

/// An enum: a byte, then the fields. Exhaustive as well.
macro_rules! choice {
    ($type:ident { $($tag:literal => $variant:ident { $($field:tt : $name:ident),* }),* $(,)? }) => {
        impl $crate::wire::bytes::Wire for $type {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $($type::$variant { $($field: $name),* } => {
                        out.push($tag);
                        $($name.put(out);)*
                    })*
                }
            }
            fn get(r: &mut $crate::wire::bytes::Reader<'_>) -> $crate::wire::bytes::Result<$type> {
                r.deeper(|r| match <u8 as $crate::wire::bytes::Wire>::get(r)? {
                    $($tag => Ok($type::$variant { $($field: $crate::wire::bytes::Wire::get(r)?),* }),)*
                    other => Err($crate::wire::bytes::Damaged(format!(
                        "{other} is no {}", stringify!($type)
                    ))),
                })
            }
        }
    };
}

pub(crate) use {choice, record};
