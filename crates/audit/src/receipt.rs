//! Receipts: one leaf with everything that proves it, in the text of C2SP
//! `tlog-proof`. The leaf itself stands in the line `extra`, which the
//! specification leaves to applications and does not authenticate: here it is
//! what the proof is about, so a changed one leads to another root.

use std::fmt;

use base64ct::{Base64, Encoding};

use crate::checkpoint::{self, Cosigned};
use crate::proof::{HASHES_MAX, verify_inclusion};
use crate::{Checkpoint, Error, Hash, LEAF_BYTES_MAX, Leaf, NOTE_BYTES_MAX, Note, Verifier, leaf_hash};

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// What an auditor is handed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub leaf: Vec<u8>,
    pub index: u64,
    pub proof: Vec<Hash>,
    pub checkpoint: Note,
}

/// What a receipt has proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub leaf: Leaf,
    pub index: u64,
    pub checkpoint: Checkpoint,
    /// The witnesses, of those that are trusted, that have seen this log.
    pub cosigned: Vec<Cosigned>,
}

impl Receipt {
    /// Verifies with public keys alone: the log's, and those of witnesses of
    /// which at least `quorum` must have cosigned.
    pub fn verify(&self, log: &Verifier, witnesses: &[Verifier], quorum: usize) -> Result<Verified, Error> {
        let (checkpoint, cosigned) = checkpoint::open(&self.checkpoint, log, witnesses)?;
        let root = &checkpoint.root;
        verify_inclusion(&leaf_hash(&self.leaf), self.index, checkpoint.size, &self.proof, root)?;
        if cosigned.len() < quorum {
            return Err(Error::Signature { name: format!("{quorum} witnesses ({} do)", cosigned.len()) });
        }
        Ok(Verified { leaf: Leaf::decode(&self.leaf)?, index: self.index, checkpoint, cosigned })
    }

    pub fn parse(text: &str) -> Result<Receipt, Error> {
        let wrong = |what: &str| Error::format("receipt", what);
        if text.len() > NOTE_BYTES_MAX + 2 * LEAF_BYTES_MAX {
            return Err(wrong("it is too long"));
        }
        let (head, note) = text.split_once("\n\n").ok_or_else(|| wrong("it has no checkpoint"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(wrong("its first line is not c2sp.org/tlog-proof@v1"));
        }
        let leaf =
            lines.next().and_then(|l| l.strip_prefix("extra ")).ok_or_else(|| wrong("it has no leaf"))?;
        let leaf = Base64::decode_vec(leaf).map_err(|_| wrong("its leaf is not base64"))?;
        let index = lines.next().and_then(|l| l.strip_prefix("index "));
        let plain = |t: &&str| *t == "0" || !t.starts_with('0') && t.bytes().all(|b| b.is_ascii_digit());
        let index = index.filter(plain).and_then(|t| t.parse().ok());
        let index = index.ok_or_else(|| wrong("it has no index"))?;
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() == HASHES_MAX {
                return Err(wrong("its proof is longer than any"));
            }
            proof.push(Hash::parse(line)?);
        }
        Ok(Receipt { leaf, index, proof, checkpoint: Note::parse(note)? })
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}\nextra {}\nindex {}", Base64::encode_string(&self.leaf), self.index)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

#[cfg(test)]
mod tests;
