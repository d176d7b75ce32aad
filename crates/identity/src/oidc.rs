//! What an identity provider's own endpoints say: OpenID Connect Discovery 1.0,
//! token answers (RFC 6749 5), and the device flow (RFC 8628).

use serde_json::Value;
use zeroize::Zeroizing;

use crate::Issuer;

/// The most that is read of any answer of a provider.
pub const METADATA_BYTES_MAX: u64 = 256 << 10;

/// Where a provider's endpoints are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    pub jwks: String,
    pub authorization: Option<String>,
    pub token: Option<String>,
    pub device: Option<String>,
}

impl Metadata {
    /// Where a provider's metadata is.
    pub fn url(issuer: &Issuer) -> String {
        format!("{}/.well-known/openid-configuration", issuer.url.trim_end_matches('/'))
    }

    /// Reads it.
    ///
    /// # Errors
    /// What is wrong: it must be about this very issuer (Discovery 4.3), and
    /// name addresses as safe as the issuer's own.
    pub fn parse(issuer: &Issuer, bytes: &[u8]) -> Result<Metadata, &'static str> {
        let value: Value = serde_json::from_slice(bytes).map_err(|_| "it is not JSON")?;
        if value.get("issuer").and_then(Value::as_str) != Some(&issuer.url) {
            return Err("it is about another issuer");
        }
        let address = |name: &str| match value.get(name).and_then(Value::as_str) {
            None => Ok(None),
            Some(url) if url.starts_with("https://") || issuer.inside && url.starts_with("http://") => {
                Ok(Some(url.to_owned()))
            }
            Some(_) => Err("an endpoint's address is not https"),
        };
        Ok(Metadata {
            jwks: address("jwks_uri")?.ok_or("it names no jwks_uri")?,
            authorization: address("authorization_endpoint")?,
            token: address("token_endpoint")?,
            device: address("device_authorization_endpoint")?,
        })
    }
}

/// What came for a code. Without `Debug`: it is as good as a password.
pub struct Tokens {
    pub id_token: Zeroizing<String>,
}

impl Tokens {
    /// Reads the answer of a token endpoint.
    ///
    /// # Errors
    /// The provider's own error code, or that there is none.
    pub fn parse(bytes: &[u8]) -> Result<Tokens, String> {
        let value: Value = serde_json::from_slice(bytes).map_err(|_| "the answer is not JSON")?;
        match value.get("id_token").and_then(Value::as_str) {
            Some(token) => Ok(Tokens { id_token: Zeroizing::new(token.to_owned()) }),
            None => Err(error_of(&value, "no id_token")),
        }
    }
}

/// A device that waits for its person.
pub struct Device {
    /// Without `Debug`: whoever has it gets the tokens.
    pub device_code: Zeroizing<String>,
    pub user_code: String,
    pub verification_uri: String,
    /// The same with the code in it, where the provider has that.
    pub verification_uri_complete: Option<String>,
    pub expires_s: u64,
    pub interval_s: u64,
}

impl Device {
    /// Reads the answer of a device endpoint.
    ///
    /// # Errors
    /// The provider's own error code, or what is missing.
    pub fn parse(bytes: &[u8]) -> Result<Device, String> {
        let value: Value = serde_json::from_slice(bytes).map_err(|_| "the answer is not JSON")?;
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(shown);
        let (Some(device_code), Some(user_code), Some(verification_uri)) =
            (value.get("device_code").and_then(Value::as_str), text("user_code"), text("verification_uri"))
        else {
            return Err(error_of(&value, "not what a device needs"));
        };
        let number = |name: &str, or: u64| value.get(name).and_then(Value::as_u64).unwrap_or(or);
        Ok(Device {
            device_code: Zeroizing::new(device_code.to_owned()),
            user_code,
            verification_uri,
            verification_uri_complete: text("verification_uri_complete"),
            expires_s: number("expires_in", 600).min(1800),
            // RFC 8628 3.2: five unless told.
            interval_s: number("interval", 5).clamp(1, 60),
        })
    }
}

/// What asking for a device's tokens comes to.
pub enum DeviceAnswer {
    Tokens(Tokens),
    /// Not yet.
    Pending,
    /// Not yet, and not so often.
    SlowDown,
    /// Never.
    Refused(String),
}

impl DeviceAnswer {
    pub fn parse(bytes: &[u8]) -> DeviceAnswer {
        match Tokens::parse(bytes) {
            Ok(tokens) => DeviceAnswer::Tokens(tokens),
            Err(code) if code == "authorization_pending" => DeviceAnswer::Pending,
            Err(code) if code == "slow_down" => DeviceAnswer::SlowDown,
            Err(code) => DeviceAnswer::Refused(code),
        }
    }
}

/// The error code of an answer: a word, whatever was sent. Descriptions are not
/// shown: they are a stranger's text on our pages.
pub(crate) fn error_of(value: &Value, or: &str) -> String {
    let code = value.get("error").and_then(Value::as_str).map(shown).unwrap_or_default();
    if code.is_empty() { format!("the answer has {or}") } else { code }
}

/// What may stand on a terminal.
fn shown(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic()).take(512).collect()
}

/// A body of type `application/x-www-form-urlencoded`.
pub fn form(fields: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = fields.iter().map(|(n, v)| format!("{}={}", escape(n), escape(v))).collect();
    pairs.join("&")
}

pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn issuer(url: &str, inside: bool) -> Issuer {
        let text = format!(
            "resource = \"https://us\"\n[[issuer]]\nurl = \"{url}\"\nalgorithms = [\"RS256\"]\ninside = {inside}\n"
        );
        Config::parse(&text, "f").expect("a config").issuers.remove(0)
    }

    #[test]
    fn metadata_is_about_this_issuer_and_leads_to_no_plain_http() {
        let text = br#"{"issuer":"https://a.example","jwks_uri":"https://keys.example/k","token_endpoint":"https://a.example/t"}"#;
        let metadata = Metadata::parse(&issuer("https://a.example", false), text).expect("sound");
        assert_eq!(metadata.jwks, "https://keys.example/k");
        assert_eq!(metadata.device, None);
        for other in ["https://a.example/", "https://A.example", "https://b.example"] {
            assert!(Metadata::parse(&issuer(other, false), text).is_err(), "{other}");
        }
        let plain = br#"{"issuer":"https://a.example","jwks_uri":"http://169.254.169.254/k"}"#;
        assert!(Metadata::parse(&issuer("https://a.example", false), plain).is_err());
        assert!(Metadata::parse(&issuer("https://a.example", true), plain).is_ok());
    }

    #[test]
    fn answers_of_a_stranger_are_words_not_texts() {
        let refused = Tokens::parse(br#"{"error":"invalid_grant\u001b[31m","error_description":"<script>"}"#);
        assert_eq!(refused.err().as_deref(), Some("invalid_grant[31m"));
        assert!(matches!(DeviceAnswer::parse(br#"{"error":"slow_down"}"#), DeviceAnswer::SlowDown));
        let device = br#"{"device_code":"d","user_code":"AB-CD","verification_uri":"https://x","expires_in":99999,"interval":0}"#;
        let device = Device::parse(device).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((device.expires_s, device.interval_s), (1800, 1));
        assert_eq!(form(&[("a b", "c&d=é")]), "a%20b=c%26d%3D%C3%A9");
    }
}
