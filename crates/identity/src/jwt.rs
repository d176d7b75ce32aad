//! Signed tokens (RFC 7519 in the compact form of RFC 7515): read with suspicion,
//! verified with a key of their issuer, and every claim of the right JSON type or
//! the token is nothing.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use report::Report;
use serde_json::{Map, Value};
use units::Micros;

use crate::{Issuer, KeySet};

/// The longest token: those with many groups have some kilobytes.
pub const TOKEN_BYTES_MAX: usize = 16 << 10;
/// How far an issuer's clock may be from ours.
const LEEWAY_S: i64 = 30;
/// The longest subject or issuer; OpenID Connect allows 255 ASCII characters of a subject.
const NAME_BYTES_MAX: usize = 512;
/// Groups of one person: directories end at about 200 in a token.
const GROUPS_MAX: usize = 500;

/// How a token may be signed: by a private key that only its issuer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    pub const ALL: [Algorithm; 9] = [
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Ps256,
        Algorithm::Ps384,
        Algorithm::Ps512,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::EdDsa,
    ];
    /// As in a token's header (RFC 7518 3.1, RFC 8037 3.1).
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::Rs384 => "RS384",
            Algorithm::Rs512 => "RS512",
            Algorithm::Ps256 => "PS256",
            Algorithm::Ps384 => "PS384",
            Algorithm::Ps512 => "PS512",
            Algorithm::Es256 => "ES256",
            Algorithm::Es384 => "ES384",
            Algorithm::EdDsa => "EdDSA",
        }
    }
    pub fn named(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|a| a.name() == name)
    }
}

/// Why a token is not one. Never carries any part of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("it has {0} bytes, the limit is {TOKEN_BYTES_MAX}")]
    TooLong(usize),
    #[error("it is not three parts of base64url with JSON in the first two")]
    Shape,
    #[error("its header names no algorithm that this issuer may use")]
    Algorithm,
    #[error("its header asks for what is not supported: {0}")]
    Header(&'static str),
    #[error("its issuer is not declared here")]
    Issuer,
    #[error("the issuer has no such key")]
    UnknownKey,
    #[error("its signature is not the issuer's")]
    Signature,
    #[error("its claim {0} is missing")]
    Missing(&'static str),
    #[error("its claim {0} has the wrong type or is out of bounds")]
    Claim(&'static str),
    #[error("it expired at {0}")]
    Expired(Micros),
    #[error("it is not valid before {0}")]
    NotYet(Micros),
    #[error("it is for another audience")]
    Audience,
    #[error("its nonce is not that of this sign-in")]
    Nonce,
}

impl Refused {
    pub fn report(&self) -> Report {
        let hint = match self {
            Refused::Expired(_) => "get a new token from the identity provider, or `bedplate login` again",
            Refused::Audience => {
                "ask the identity provider for a token with this deployment's `resource` as audience"
            }
            Refused::Issuer => "issuers are declared in the file that `bedplate serve --identity` reads",
            Refused::NotYet(_) => "compare the clocks of this machine and of the identity provider",
            _ => "send a token that a declared issuer has signed for this deployment, or an API key",
        };
        Report::new("ID0008", "the token was refused").because(self.to_string()).hint(hint)
    }
}

/// Whether a bearer text is meant as a token: keys have no dots.
pub fn looks_like_a_token(presented: &str) -> bool {
    presented.contains('.')
}

/// A token that was taken apart and is not believed yet.
pub struct Unverified<'t> {
    algorithm: Algorithm,
    kid: Option<String>,
    /// What the signature is over.
    signed: &'t [u8],
    signature: Vec<u8>,
    claims: Map<String, Value>,
}

/// What a verified token says.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims {
    /// `issuer#subject`.
    pub subject: String,
    /// What the issuer calls them, by the claim that is declared for it.
    pub name: Option<String>,
    pub groups: Vec<String>,
    /// Who acts for them, as `issuer#subject` (RFC 8693 4.1): the token was given to
    /// software that does what this person may.
    pub actor: Option<String>,
    pub expires: Micros,
}

impl<'t> Unverified<'t> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// Too long, not a token, or a header that asks for what is never done.
    pub fn read(token: &'t str) -> Result<Unverified<'t>, Refused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refused::TooLong(token.len()));
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refused::Shape);
        };
        let signed = &token.as_bytes()[..header.len() + 1 + payload.len()];
        let header = object(header)?;
        let text = |name: &'static str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= NAME_BYTES_MAX => Ok(Some(text.as_str())),
            Some(_) => Err(Refused::Header(name)),
        };
        // What must be understood is not (RFC 7515 4.1.11); and where a token says
        // its key is (`jku`, `jwk`, `x5u`, `x5c`) is nothing that anybody looks at.
        if header.contains_key("crit") {
            return Err(Refused::Header("crit"));
        }
        if text("typ")?.is_some_and(|typ| !["jwt", "at+jwt"].contains(&typ.to_ascii_lowercase().as_str())) {
            return Err(Refused::Header("typ"));
        }
        let algorithm = text("alg")?.and_then(Algorithm::named).ok_or(Refused::Algorithm)?;
        Ok(Unverified {
            algorithm,
            kid: text("kid")?.map(str::to_owned),
            signed,
            signature: decode(signature)?,
            claims: object(payload)?,
        })
    }

    /// Who it says has signed it: to find the issuer's keys by, and no more.
    ///
    /// # Errors
    /// When it says nothing.
    pub fn issuer(&self) -> Result<&str, Refused> {
        string(&self.claims, "iss")
    }

    /// Believes it, or not.
    ///
    /// # Errors
    /// [`Refused::UnknownKey`] when the issuer may have a newer key; else for good.
    pub fn verify(
        &self,
        issuer: &Issuer,
        keys: &KeySet,
        audience: &str,
        now: Micros,
    ) -> Result<Claims, Refused> {
        if !issuer.algorithms.contains(&self.algorithm) {
            return Err(Refused::Algorithm);
        }
        let key = keys.find(self.kid.as_deref(), self.algorithm).ok_or(Refused::UnknownKey)?;
        if !key.verifies(self.algorithm, self.signed, &self.signature) {
            return Err(Refused::Signature);
        }
        // From here on the issuer is speaking.
        if self.issuer()? != issuer.url {
            return Err(Refused::Issuer);
        }
        let expires = self.time("exp")?.ok_or(Refused::Missing("exp"))?;
        if expires.plus_us(LEEWAY_S * 1_000_000) <= now {
            return Err(Refused::Expired(expires));
        }
        if let Some(from) = self.time("nbf")?.filter(|from| *from > now.plus_us(LEEWAY_S * 1_000_000)) {
            return Err(Refused::NotYet(from));
        }
        self.time("iat")?;
        if !self.audiences()?.contains(&audience) {
            return Err(Refused::Audience);
        }
        Ok(Claims {
            subject: subject(issuer, &self.claims)?,
            name: self.name(issuer)?,
            groups: self.groups(&issuer.groups_claim)?,
            actor: self.actor(issuer)?,
            expires,
        })
    }

    /// As [`Unverified::verify`], for the token of a sign-in: it must carry the
    /// nonce that was sent out, and when it is for several it must say that we asked.
    ///
    /// # Errors
    /// As there; [`Refused::Nonce`].
    pub fn verify_sign_in(
        &self,
        issuer: &Issuer,
        keys: &KeySet,
        client_id: &str,
        nonce: Option<&str>,
        now: Micros,
    ) -> Result<Claims, Refused> {
        let claims = self.verify(issuer, keys, client_id, now)?;
        // Nobody signs in through somebody else's hands.
        if claims.actor.is_some() {
            return Err(Refused::Claim("act"));
        }
        if nonce.is_some() && self.claims.get("nonce").and_then(Value::as_str) != nonce {
            return Err(Refused::Nonce);
        }
        match self.claims.get("azp") {
            None if self.audiences()?.len() > 1 => Err(Refused::Missing("azp")),
            Some(azp) if azp.as_str() != Some(client_id) => Err(Refused::Claim("azp")),
            _ => Ok(claims),
        }
    }

    /// A NumericDate. What is there and is no number is an error, never absent
    /// (TRAPS X10).
    fn time(&self, claim: &'static str) -> Result<Option<Micros>, Refused> {
        let Some(value) = self.claims.get(claim) else { return Ok(None) };
        // Fractions are allowed, and cut; `as_f64` of a huge integer is finite too.
        let seconds = value.as_i64().or_else(|| value.as_f64().map(|s| s as i64));
        seconds
            .filter(|s| (0..=MAX_SECONDS).contains(s))
            .map(|s| Some(Micros(s * 1_000_000)))
            .ok_or(Refused::Claim(claim))
    }

    fn audiences(&self) -> Result<Vec<&str>, Refused> {
        match self.claims.get("aud") {
            None => Err(Refused::Missing("aud")),
            Some(Value::String(one)) => Ok(vec![one]),
            Some(Value::Array(all)) if all.len() <= GROUPS_MAX => {
                all.iter().map(|v| v.as_str().ok_or(Refused::Claim("aud"))).collect()
            }
            Some(_) => Err(Refused::Claim("aud")),
        }
    }

    /// Whoever can choose their own mail address at the issuer must not choose
    /// whom they are here: it counts only when the issuer has checked it.
    fn name(&self, issuer: &Issuer) -> Result<Option<String>, Refused> {
        match self.claims.get(issuer.name_claim.as_str()) {
            None => Ok(None),
            Some(Value::String(_))
                if issuer.name_claim == "email"
                    && self.claims.get("email_verified") != Some(&Value::Bool(true)) =>
            {
                Ok(None)
            }
            Some(Value::String(name)) if name.len() <= NAME_BYTES_MAX => Ok(Some(name.clone())),
            Some(_) => Err(Refused::Claim("name")),
        }
    }

    /// The outermost `act` alone: those inside it acted before and decide nothing
    /// (RFC 8693 4.1). An issuer speaks for its own subjects; whom another's would
    /// be is not for it to say.
    fn actor(&self, issuer: &Issuer) -> Result<Option<String>, Refused> {
        let act = match self.claims.get("act") {
            None => return Ok(None),
            Some(Value::Object(act)) => act,
            Some(_) => return Err(Refused::Claim("act")),
        };
        if act.get("iss").is_some_and(|iss| iss.as_str() != Some(&issuer.url)) {
            return Err(Refused::Claim("act"));
        }
        subject(issuer, act).map(Some).map_err(|_| Refused::Claim("act"))
    }

    fn groups(&self, claim: &str) -> Result<Vec<String>, Refused> {
        match self.claims.get(claim) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(one)) => Ok(vec![one.clone()]),
            Some(Value::Array(all)) if all.len() <= GROUPS_MAX => {
                all.iter().map(|v| v.as_str().map(str::to_owned).ok_or(Refused::Claim("groups"))).collect()
            }
            Some(_) => Err(Refused::Claim("groups")),
        }
    }
}

/// The year 9999: beyond it a time is a mistake, and sums stay far from overflow.
const MAX_SECONDS: i64 = 253_402_300_799;

/// Who `sub` is, among all issuers.
fn subject(issuer: &Issuer, claims: &Map<String, Value>) -> Result<String, Refused> {
    let subject = string(claims, "sub")?;
    if subject.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Refused::Claim("sub"));
    }
    Ok(format!("{}#{subject}", issuer.url))
}

fn string<'c>(claims: &'c Map<String, Value>, claim: &'static str) -> Result<&'c str, Refused> {
    match claims.get(claim) {
        None => Err(Refused::Missing(claim)),
        Some(Value::String(text)) if !text.is_empty() && text.len() <= NAME_BYTES_MAX => Ok(text),
        Some(_) => Err(Refused::Claim(claim)),
    }
}

fn object(part: &str) -> Result<Map<String, Value>, Refused> {
    serde_json::from_slice(&decode(part)?).map_err(|_| Refused::Shape)
}

fn decode(part: &str) -> Result<Vec<u8>, Refused> {
    Base64UrlUnpadded::decode_vec(part).map_err(|_| Refused::Shape)
}

#[cfg(test)]
mod tests;
