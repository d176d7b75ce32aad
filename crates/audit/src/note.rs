//! Signed notes (C2SP `signed-note`): a text, an empty line, and a line per
//! signature: `— name base64(key id || signature)`.

use std::fmt;

use base64ct::{Base64, Encoding};

use crate::Error;
use crate::key::is_name;

/// The largest note. Sixteen signatures must be read (the specification), and
/// those of coming algorithms have 5 kB.
pub const NOTE_BYTES_MAX: usize = 128 << 10;
/// Signatures of a note.
pub const SIGNATURES_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Ends in a newline.
    pub text: String,
    pub signatures: Vec<Signature>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub name: String,
    pub id: u32,
    pub bytes: Vec<u8>,
}

impl Note {
    /// Reads a note, all of it; verifies nothing.
    pub fn parse(text: &str) -> Result<Note, Error> {
        let wrong = |what: &str| Error::format("note", what);
        if text.len() > NOTE_BYTES_MAX {
            return Err(wrong("it is too long"));
        }
        if text.bytes().any(|b| b < b' ' && b != b'\n') {
            return Err(wrong("it has a control character"));
        }
        let split = text.rfind("\n\n").ok_or_else(|| wrong("no empty line divides text and signatures"))?;
        let (body, lines) = (&text[..split + 1], &text[split + 2..]);
        let lines = lines.strip_suffix('\n').ok_or_else(|| wrong("it does not end in a newline"))?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == SIGNATURES_MAX {
                return Err(wrong("it has too many signatures"));
            }
            signatures.push(Signature::parse(line)?);
        }
        Ok(Note { text: body.to_owned(), signatures })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl Signature {
    /// Reads a line, without its newline.
    pub fn parse(line: &str) -> Result<Signature, Error> {
        let wrong = |what: &str| Error::format("note", what);
        let rest =
            line.strip_prefix("— ").ok_or_else(|| wrong("a signature does not begin with an em dash"))?;
        let (name, data) = rest.split_once(' ').ok_or_else(|| wrong("a signature lacks a part"))?;
        if !is_name(name) {
            return Err(wrong("a signature has no name"));
        }
        let data = Base64::decode_vec(data).map_err(|_| wrong("a signature is not base64"))?;
        let Some((id, bytes)) = data.split_first_chunk::<4>() else {
            return Err(wrong("a signature is too short"));
        };
        if bytes.is_empty() {
            return Err(wrong("a signature is too short"));
        }
        Ok(Signature { name: name.to_owned(), id: u32::from_be_bytes(*id), bytes: bytes.to_vec() })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut data = self.id.to_be_bytes().to_vec();
        data.extend_from_slice(&self.bytes);
        write!(f, "— {} {}", self.name, Base64::encode_string(&data))
    }
}
