//! The public keys of an issuer (RFC 7517, RFC 7518 6).

use base64ct::{Base64UrlUnpadded, Encoding as _};
use ring::signature::{
    self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use serde_json::Value;

use crate::Algorithm;

/// Issuers have two to ten keys; a list beyond this is not a list of keys.
const KEYS_MAX: usize = 64;
/// The modulus of 8,192 bits, which is the largest that `ring` verifies with.
const MODULUS_BYTES_MAX: usize = 1024;

/// The keys of one issuer that verify signatures; others in the list are left out.
#[derive(Default)]
pub struct KeySet(Vec<Key>);

pub(crate) struct Key {
    kid: Option<String>,
    /// The one algorithm that it is for, if it says so.
    algorithm: Option<String>,
    material: Material,
}

enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl KeySet {
    /// Reads a JSON Web Key Set. A key of a kind that is not known does not spoil
    /// the others: issuers add new kinds before anybody uses them.
    ///
    /// # Errors
    /// What is wrong with the set as a whole.
    pub fn parse(bytes: &[u8]) -> Result<KeySet, &'static str> {
        let value: Value = serde_json::from_slice(bytes).map_err(|_| "it is not JSON")?;
        let keys = value.get("keys").and_then(Value::as_array).ok_or("it has no list of keys")?;
        if keys.len() > KEYS_MAX {
            return Err("it has more than 64 keys");
        }
        Ok(KeySet(keys.iter().filter_map(Key::read).collect()))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key with this id that can be used with the algorithm; without an id,
    /// the only one that can.
    pub(crate) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let mut fitting = self
            .0
            .iter()
            .filter(|key| kid.is_none_or(|kid| key.kid.as_deref() == Some(kid)) && key.is_for(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    }
}

impl Key {
    fn read(value: &Value) -> Option<Key> {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let bytes = |name: &str| Base64UrlUnpadded::decode_vec(text(name)?).ok();
        // A key for encryption verifies nothing.
        if value.get("use").is_some_and(|u| u != "sig") {
            return None;
        }
        let point = |size: usize| {
            let (x, y) = (bytes("x")?, bytes("y")?);
            (x.len() == size && y.len() == size).then(|| [&[4], x.as_slice(), &y].concat())
        };
        let material = match (text("kty")?, text("crv")) {
            ("RSA", _) => {
                let (n, e) = (bytes("n")?, bytes("e")?);
                if n.len() > MODULUS_BYTES_MAX || e.len() > 8 {
                    return None;
                }
                Material::Rsa { n, e }
            }
            ("EC", Some("P-256")) => Material::P256(point(32)?),
            ("EC", Some("P-384")) => Material::P384(point(48)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes("x").filter(|x| x.len() == 32)?),
            _ => return None,
        };
        Some(Key { kid: text("kid").map(str::to_owned), algorithm: text("alg").map(str::to_owned), material })
    }

    /// The kind of key decides what it can be used for, whatever a token asks:
    /// an RSA key is never a shared secret (TRAPS X10).
    fn is_for(&self, algorithm: Algorithm) -> bool {
        use Algorithm::*;
        let kind = match self.material {
            Material::Rsa { .. } => matches!(algorithm, Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512),
            Material::P256(_) => algorithm == Es256,
            Material::P384(_) => algorithm == Es384,
            Material::Ed25519(_) => algorithm == EdDsa,
        };
        kind && self.algorithm.as_deref().is_none_or(|name| name == algorithm.name())
    }

    pub(crate) fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        let point = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(signed, signature).is_ok()
        };
        match (&self.material, algorithm) {
            (Material::Rsa { n, e }, algorithm) => rsa(algorithm).is_some_and(|parameters| {
                RsaPublicKeyComponents { n, e }.verify(parameters, signed, signature).is_ok()
            }),
            (Material::P256(key), Algorithm::Es256) => point(&signature::ECDSA_P256_SHA256_FIXED, key),
            (Material::P384(key), Algorithm::Es384) => point(&signature::ECDSA_P384_SHA384_FIXED, key),
            (Material::Ed25519(key), Algorithm::EdDsa) => point(&signature::ED25519, key),
            _ => false,
        }
    }
}

/// 2,048 bits at least.
fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}
