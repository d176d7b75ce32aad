//! What a tool said of itself when it was approved.
//!
//! A server may change a description after people have come to trust it (the
//! rug pull of CVE-2025-54136), and a description is a prompt. So a definition
//! is pinned by a digest over everything that the model is shown, and a tool
//! whose digest changed is out of service until a person has looked.

use std::fmt;

use serde_json::Value;

/// The parts of a definition that a model is shown.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Definition {
    pub name: String,
    pub description: String,
    /// The schema of the arguments, as JSON.
    pub schema: Value,
    /// Whatever else is shown (title, annotations, the schema of results), as JSON.
    pub rest: Value,
}

/// SHA-256 over the canonical form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Definition {
    pub fn digest(&self) -> Digest {
        let mut text = String::new();
        let parts = [
            Value::String(self.name.clone()),
            Value::String(self.description.clone()),
            self.schema.clone(),
            self.rest.clone(),
        ];
        write(&Value::Array(parts.to_vec()), &mut text);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref());
        Digest(bytes)
    }
}

/// JSON with its keys in order and nothing between: the same value, the same text.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            out.push('{');
            for (at, key) in keys.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                write(&map[key], out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// `sha256:` and 64 hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Digest {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Digest, &'static str> {
        let wrong = "a digest is `sha256:` and 64 hexadecimal digits";
        let hex = text.strip_prefix("sha256:").filter(|h| h.len() == 64 && h.is_ascii()).ok_or(wrong)?;
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).map_err(|_| wrong)?;
        }
        Ok(Digest(bytes))
    }
}
