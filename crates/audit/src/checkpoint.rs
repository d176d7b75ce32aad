//! Checkpoints (C2SP `tlog-checkpoint`): origin, size and root of a log in a
//! note that the log signs, and the cosignatures of witnesses below it (C2SP
//! `tlog-cosignature`, version 1).

use std::fmt;

use crate::{Error, Hash, Kind, Note, Signature, Signer, Verifier};

/// The first `size` leaves of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log it is: the name of its key.
    pub origin: String,
    pub size: u64,
    pub root: Hash,
}

/// A witness's word: at that time this was the largest log that it had seen,
/// and it began with all the smaller ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    pub witness: String,
    /// Seconds since 1970.
    pub time_s: u64,
}

impl Checkpoint {
    /// Reads the text of a note. Further lines are not ours and are passed over.
    fn parse(text: &str) -> Result<Checkpoint, Error> {
        let wrong = |what: &str| Error::format("checkpoint", what);
        let body = text.strip_suffix('\n').ok_or_else(|| wrong("it does not end in a newline"))?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(wrong("it has fewer than three lines"));
        };
        if origin.is_empty() || lines.any(str::is_empty) {
            return Err(wrong("a line is empty"));
        }
        let plain = size == "0" || !size.starts_with('0') && size.bytes().all(|b| b.is_ascii_digit());
        let size = size.parse().ok().filter(|_| plain).ok_or_else(|| wrong("its size is not a number"))?;
        Ok(Checkpoint { origin: origin.to_owned(), size, root: Hash::parse(root)? })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, self.root)
    }
}

/// The note of a checkpoint, signed by its log.
pub fn sign(size: u64, root: Hash, log: &Signer) -> Note {
    let origin = log.verifier().name().to_owned();
    let text = Checkpoint { origin, size, root }.to_string();
    let bytes = log.sign(text.as_bytes());
    let signature = Signature { name: log.verifier().name().to_owned(), id: log.verifier().id(), bytes };
    Note { text, signatures: vec![signature] }
}

/// Reads a checkpoint that the log has signed, and who among `witnesses` has
/// cosigned it. Signatures by unknown keys are passed over, as the
/// specification demands; a false one by a known key spoils the whole note.
pub fn open(
    note: &Note,
    log: &Verifier,
    witnesses: &[Verifier],
) -> Result<(Checkpoint, Vec<Cosigned>), Error> {
    let checkpoint = Checkpoint::parse(&note.text)?;
    if log.kind() != Kind::Log || checkpoint.origin != log.name() {
        return Err(Error::Signature { name: log.name().to_owned() });
    }
    let mut signed = false;
    let mut cosigned: Vec<Cosigned> = Vec::new();
    for signature in &note.signatures {
        let by = |v: &&Verifier| v.name() == signature.name && v.id() == signature.id;
        if by(&log) {
            log.verify(note.text.as_bytes(), &signature.bytes)?;
            signed = true;
        } else if let Some(witness) = witnesses.iter().filter(|w| w.kind() == Kind::Witness).find(by) {
            let time_s = verify_cosignature(note, witness, &signature.bytes)?;
            if !cosigned.iter().any(|c| c.witness == witness.name()) {
                cosigned.push(Cosigned { witness: witness.name().to_owned(), time_s });
            }
        }
    }
    if signed { Ok((checkpoint, cosigned)) } else { Err(Error::Signature { name: log.name().to_owned() }) }
}

/// A witness's signature for the note of a checkpoint.
pub fn cosign(note: &Note, witness: &Signer, time_s: u64) -> Signature {
    let time_s = time_s.min(i64::MAX as u64);
    let mut bytes = time_s.to_be_bytes().to_vec();
    bytes.extend(witness.sign(cosigned_message(note, time_s).as_bytes()));
    Signature { name: witness.verifier().name().to_owned(), id: witness.verifier().id(), bytes }
}

fn verify_cosignature(note: &Note, witness: &Verifier, bytes: &[u8]) -> Result<u64, Error> {
    let wrong = || Error::Signature { name: witness.name().to_owned() };
    let (time, signature) = bytes.split_first_chunk::<8>().ok_or_else(wrong)?;
    let time_s = u64::from_be_bytes(*time);
    if i64::try_from(time_s).is_err() {
        return Err(wrong());
    }
    witness.verify(cosigned_message(note, time_s).as_bytes(), signature)?;
    Ok(time_s)
}

fn cosigned_message(note: &Note, time_s: u64) -> String {
    format!("cosignature/v1\ntime {time_s}\n{}", note.text)
}
