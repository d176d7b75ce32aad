//! Keys of logs and witnesses, in the text form of C2SP `signed-note`:
//! `name+id+base64(type || key)`; the private one after `PRIVATE+KEY+`.

use std::fmt;

use base64ct::{Base64, Encoding};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::Error;
use crate::hash::sha256;

/// What a key signs, which is part of its identity: the signature type byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The text of a note: a log's checkpoints.
    Log,
    /// `cosignature/v1`: a witness's word, with its time.
    Witness,
}

/// A public key: enough to verify, and nothing secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    kind: Kind,
    id: u32,
    key: [u8; 32],
}

/// A private key. No `Debug`.
pub struct Signer {
    pair: Ed25519KeyPair,
    seed: [u8; 32],
    verifier: Verifier,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Kind::Log => 0x01,
            Kind::Witness => 0x04,
        }
    }
    fn of(byte: u8) -> Result<Kind, Error> {
        match byte {
            0x01 => Ok(Kind::Log),
            0x04 => Ok(Kind::Witness),
            other => Err(Error::format("key", format!("its type is {other:#04x}, not 0x01 or 0x04"))),
        }
    }
}

/// Names are part of lines whose parts are divided by spaces, and of keys whose
/// parts are divided by `+`.
pub(crate) fn is_name(name: &str) -> bool {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    !name.is_empty() && name.len() <= 255 && !name.contains(bad)
}

impl Verifier {
    fn new(name: &str, kind: Kind, key: [u8; 32]) -> Result<Verifier, Error> {
        if !is_name(name) {
            return Err(Error::format("key", "its name is empty, too long, or has a space or `+`"));
        }
        let hash = sha256(&[name.as_bytes(), b"\n", &[kind.byte()], &key]).0;
        let id = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
        Ok(Verifier { name: name.to_owned(), kind, id, key })
    }
    /// Reads `name+id+base64`; the id must be that of the key.
    pub fn parse(text: &str) -> Result<Verifier, Error> {
        let parts = Parts::read(text.trim())?;
        let verifier = Verifier::new(parts.name, parts.kind, parts.key)?;
        if verifier.id != parts.id {
            let what = format!("its id is {:08x}, not {:08x}", verifier.id, parts.id);
            return Err(Error::format("key", what));
        }
        Ok(verifier)
    }
    pub fn name(&self) -> &str {
        &self.name
    }
    pub fn kind(&self) -> Kind {
        self.kind
    }
    pub(crate) fn id(&self) -> u32 {
        self.id
    }
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        UnparsedPublicKey::new(&ED25519, &self.key)
            .verify(message, signature)
            .map_err(|_| Error::Signature { name: self.name.clone() })
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut data = vec![self.kind.byte()];
        data.extend(self.key);
        write!(f, "{}+{:08x}+{}", self.name, self.id, Base64::encode_string(&data))
    }
}

impl Signer {
    /// The key that 32 random bytes are.
    pub fn new(name: &str, kind: Kind, seed: [u8; 32]) -> Result<Signer, Error> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed)
            .map_err(|_| Error::format("private key", "its seed is not of 32 bytes"))?;
        let key = pair.public_key().as_ref().try_into();
        let key = key.map_err(|_| Error::format("private key", "its public half is not of 32 bytes"))?;
        Ok(Signer { verifier: Verifier::new(name, kind, key)?, pair, seed })
    }
    /// Reads `PRIVATE+KEY+name+id+base64`.
    pub fn parse(text: &str) -> Result<Signer, Error> {
        let rest = text.trim().strip_prefix("PRIVATE+KEY+");
        let rest = rest.ok_or_else(|| Error::format("private key", "it does not begin with PRIVATE+KEY+"))?;
        let parts = Parts::read(rest)?;
        let signer = Signer::new(parts.name, parts.kind, parts.key)?;
        if signer.verifier.id != parts.id {
            return Err(Error::format("private key", "its id is another"));
        }
        Ok(signer)
    }
    /// The text to keep secret.
    pub fn secret_text(&self) -> String {
        let mut data = vec![self.verifier.kind.byte()];
        data.extend(self.seed);
        let (name, id) = (&self.verifier.name, self.verifier.id);
        format!("PRIVATE+KEY+{name}+{id:08x}+{}", Base64::encode_string(&data))
    }
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

/// What the text of a key says.
struct Parts<'a> {
    name: &'a str,
    id: u32,
    kind: Kind,
    key: [u8; 32],
}

impl Parts<'_> {
    /// What is wrong with a private key is said without showing any of it.
    fn read(text: &str) -> Result<Parts<'_>, Error> {
        let wrong = |what: &str| Error::format("key", what);
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong("it is not name+id+key"));
        };
        let hex = id.len() == 8 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let id = u32::from_str_radix(id, 16).ok().filter(|_| hex);
        let id = id.ok_or_else(|| wrong("its id is not 8 hexadecimal digits"))?;
        let data = Base64::decode_vec(data).map_err(|_| wrong("its last part is not base64"))?;
        let (kind, key) = data.split_first().ok_or_else(|| wrong("its last part is empty"))?;
        let key = key.try_into().map_err(|_| wrong("it is not of 32 bytes"))?;
        Ok(Parts { name, id, kind: Kind::of(*kind)?, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written_and_in_no_other_form() {
        for kind in [Kind::Log, Kind::Witness] {
            let signer = Signer::new("example.com/log", kind, [7; 32]).expect("a name");
            let text = signer.secret_text();
            assert_eq!(Signer::parse(&text).expect("it is one").verifier(), signer.verifier());
            let public = signer.verifier().to_string();
            assert_eq!(&Verifier::parse(&public).expect("it is one"), signer.verifier());
            for at in 0..public.len() {
                let mut bytes = public.clone().into_bytes();
                bytes[at] ^= 1;
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                assert!(Verifier::parse(&changed).is_err(), "{changed}");
            }
            assert!(Verifier::parse(&text).is_err() && Signer::parse(&public).is_err());
        }
        for name in ["", "a b", "a+b", "a\u{a0}b", "a\nb"] {
            assert!(Signer::new(name, Kind::Log, [0; 32]).is_err(), "{name:?}");
        }
    }

    /// The key of the tests of Go's `sumdb/note`, where this format began.
    #[test]
    fn a_key_of_another_implementation_is_read() {
        let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let key = Verifier::parse(text).expect("it is one");
        assert_eq!((key.name(), key.kind(), key.to_string().as_str()), ("PeterNeumann", Kind::Log, text));
    }
}
