//! Metadata values.

/// One metadata value. Integers keep their sign; widths are forgotten except in arrays.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    Array(Array),
}

/// An array of metadata. Long arrays (vocabularies) are checked and counted, not kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The element type's number in the format.
    pub kind: u32,
    pub len: u64,
    /// The numbers, when they are numbers and at most 1,024 (per-layer settings).
    pub numbers: Vec<f64>,
}

impl Value {
    /// A non-negative whole number, whatever its width.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Value::Unsigned(v) => Some(*v),
            Value::Signed(v) => u64::try_from(*v).ok(),
            _ => None,
        }
    }
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Unsigned(v) => Some(*v as f64),
            Value::Signed(v) => Some(*v as f64),
            Value::Float(v) => Some(*v),
            _ => None,
        }
    }
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(t) => Some(t),
            _ => None,
        }
    }
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(b) => Some(*b),
            _ => None,
        }
    }
    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Value::Array(a) => Some(a),
            _ => None,
        }
    }
}
