//! Tokens for somebody else's server: what is asked of a token endpoint, and what
//! it may answer. Token exchange (RFC 8693) for whoever came with a token of this
//! provider, client credentials (RFC 6749 4.4) for ourselves.
//!
//! A token is asked for one upstream, by audience or resource, and is nothing if
//! it is the caller's own: passing that on would let each upstream act as the
//! caller everywhere (the MCP specification forbids it).

use base64ct::{Base64, Encoding as _};
use ring::digest;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::TOKEN_BYTES_MAX;
use crate::oidc::{error_of, escape, form};

/// RFC 8693 2.1 and 3.
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// How long a token is taken to live whose provider does not say: a minute is
/// short enough to be wrong about, and long enough for one call.
const UNSAID_S: u64 = 60;

/// How one upstream's tokens are got. Without `Debug`: it holds our secret.
pub struct Exchange {
    /// Whose tokens are exchanged, and who gives the new ones.
    pub issuer: String,
    pub client_id: String,
    pub client_secret: Zeroizing<String>,
    /// At least one of the two names the upstream.
    pub audience: Option<String>,
    pub resource: Option<String>,
    pub scope: Option<String>,
}

/// A token for an upstream. Without `Debug`.
pub struct Granted {
    pub token: Zeroizing<String>,
    pub expires_s: u64,
}

impl Exchange {
    /// Who the token is for, in records.
    pub fn target(&self) -> &str {
        self.audience.as_deref().or(self.resource.as_deref()).unwrap_or_default()
    }

    /// The value of `authorization`: HTTP Basic, both parts form-encoded first (RFC 6749 2.3.1).
    pub fn authorization(&self) -> Zeroizing<String> {
        let pair = Zeroizing::new(format!("{}:{}", escape(&self.client_id), escape(&self.client_secret)));
        Zeroizing::new(format!("Basic {}", Base64::encode_string(pair.as_bytes())))
    }

    /// The body of a request: for the caller's token, or for ourselves.
    pub fn body(&self, subject: Option<&str>) -> String {
        let mut fields = match subject {
            Some(token) => vec![
                ("grant_type", EXCHANGE),
                ("subject_token", token),
                ("subject_token_type", ACCESS_TOKEN),
                ("requested_token_type", ACCESS_TOKEN),
            ],
            None => vec![("grant_type", "client_credentials")],
        };
        let asked = [("audience", &self.audience), ("resource", &self.resource), ("scope", &self.scope)];
        fields.extend(asked.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))));
        form(&fields)
    }

    /// Reads the answer to [`Exchange::body`] with the same `subject`.
    ///
    /// # Errors
    /// The provider's own error code, or what is wrong with what it gave.
    pub fn read(&self, bytes: &[u8], subject: Option<&str>) -> Result<Granted, String> {
        let value: Value = serde_json::from_slice(bytes).map_err(|_| "the answer is not JSON")?;
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let Some(token) = text("access_token") else { return Err(error_of(&value, "no access_token")) };
        if !text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
            return Err("the token is not a bearer token".into());
        }
        if subject.is_some() && !text("issued_token_type").is_some_and(|t| t == ACCESS_TOKEN || t == JWT) {
            return Err("the token is not of the type that was asked for".into());
        }
        if subject == Some(token) {
            return Err("the token is the caller's own".into());
        }
        if !(1..=TOKEN_BYTES_MAX).contains(&token.len()) || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("the token cannot stand in a header".into());
        }
        // RFC 6749 3.3: told when it is not what was asked for, which may be less and never more.
        if let (Some(asked), Some(given)) = (&self.scope, text("scope"))
            && given.split_ascii_whitespace().any(|word| !asked.split_ascii_whitespace().any(|a| a == word))
        {
            return Err("the token has a wider scope than was asked for".into());
        }
        let expires_s = match value.get("expires_in") {
            None => UNSAID_S,
            Some(given) => given.as_u64().ok_or("its lifetime is not a number of seconds")?,
        };
        Ok(Granted { token: Zeroizing::new(token.to_owned()), expires_s })
    }

    /// Names what a kept token was got by: this exchange as it is, secret and
    /// all, and this caller's very token. Two tokens of one person may differ in
    /// what they allow, so a person's name would not do.
    pub fn digest(&self, subject: Option<&str>) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        let own = [&self.issuer, &self.client_id, &*self.client_secret].map(|text| Some(text.as_str()));
        let asked = [self.audience.as_deref(), self.resource.as_deref(), self.scope.as_deref(), subject];
        for part in own.into_iter().chain(asked) {
            context.update(&part.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
            context.update(part.unwrap_or_default().as_bytes());
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange() -> Exchange {
        Exchange {
            issuer: "https://login.example".into(),
            client_id: "bed plate".into(),
            client_secret: Zeroizing::new("a:b%".into()),
            audience: Some("crm".into()),
            resource: None,
            scope: Some("read write".into()),
        }
    }

    fn why(answer: &str) -> String {
        exchange().read(answer.as_bytes(), Some("mine")).err().unwrap_or_else(|| "taken".into())
    }

    #[test]
    fn a_request_says_whose_token_for_whom() {
        assert_eq!(
            exchange().body(Some("e.y.j")),
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=e.y.j\
             &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token\
             &requested_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token\
             &audience=crm&scope=read%20write"
        );
        assert_eq!(exchange().body(None), "grant_type=client_credentials&audience=crm&scope=read%20write");
        // bed%20plate:a%3Ab%25
        assert_eq!(*exchange().authorization(), "Basic YmVkJTIwcGxhdGU6YSUzQWIlMjU=");
    }

    #[test]
    fn what_is_no_token_for_the_upstream_is_refused() {
        let good = |more: &str| {
            format!(
                "{{\"access_token\":\"t\",\"token_type\":\"Bearer\",\"issued_token_type\":\"{ACCESS_TOKEN}\"{more}}}"
            )
        };
        assert_eq!(why(&good("")), "taken");
        assert_eq!(why(&good(",\"scope\":\"read\"")), "taken", "less than was asked for");
        assert_eq!(why(&good(",\"scope\":\"read admin\"")), "the token has a wider scope than was asked for");
        assert_eq!(why(&good(",\"expires_in\":\"600\"")), "its lifetime is not a number of seconds");
        assert_eq!(why("<html>"), "the answer is not JSON");
        assert_eq!(why("{}"), "the answer has no access_token");
        assert_eq!(why(r#"{"error":"invalid_target","error_description":"<b>"}"#), "invalid_target");
        for (answer, told) in [
            (r#"{"access_token":"t","token_type":"N_A"}"#.to_owned(), "the token is not a bearer token"),
            (
                r#"{"access_token":"t","token_type":"bearer"}"#.to_owned(),
                "the token is not of the type that was asked for",
            ),
            (
                good("").replace(ACCESS_TOKEN, "urn:ietf:params:oauth:token-type:refresh_token"),
                "the token is not of the type that was asked for",
            ),
            (good("").replace("\"t\"", "\"mine\""), "the token is the caller's own"),
            (good("").replace("\"t\"", "\"a b\\r\\nx: y\""), "the token cannot stand in a header"),
        ] {
            assert_eq!(why(&answer), told, "{answer}");
        }
        let own = exchange().read(br#"{"access_token":"t","token_type":"Bearer","expires_in":60}"#, None);
        assert_eq!(own.map(|g| g.expires_s), Ok(60), "client credentials have no issued type");
    }

    #[test]
    fn a_kept_token_is_for_one_caller_one_secret_and_one_target() {
        let (base, other) =
            (exchange(), Exchange { audience: None, resource: Some("crm".into()), ..exchange() });
        let rotated = Exchange { client_secret: Zeroizing::new("c".into()), ..exchange() };
        let all = [
            base.digest(None),
            base.digest(Some("")),
            base.digest(Some("one")),
            base.digest(Some("two")),
            other.digest(None),
            rotated.digest(None),
        ];
        for (at, digest) in all.iter().enumerate() {
            assert!(!all[..at].contains(digest), "{at}");
        }
    }
}
