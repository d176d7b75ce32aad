//! Signing in with a browser: the authorization code flow with PKCE (RFC 7636),
//! state and nonce.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use ring::digest;
use zeroize::Zeroizing;

use crate::oidc::escape;
use crate::{Config, Issuer, Metadata};

/// One sign-in under way: what comes back must match. Kept by the server, never
/// in the browser.
pub struct Attempt {
    /// Named in the browser's cookie and in the address: both must agree, so
    /// that nobody finishes another one's sign-in.
    pub state: String,
    pub nonce: String,
    /// PKCE's secret.
    pub verifier: Zeroizing<String>,
}

impl Attempt {
    pub fn new(random: &[u8; 96]) -> Attempt {
        let text = |part: usize| Base64UrlUnpadded::encode_string(&random[part * 32..][..32]);
        Attempt { state: text(0), nonce: text(1), verifier: Zeroizing::new(text(2)) }
    }
}

/// The S256 challenge of a verifier.
pub fn challenge(verifier: &str) -> String {
    Base64UrlUnpadded::encode_string(digest::digest(&digest::SHA256, verifier.as_bytes()).as_ref())
}

/// Where to send the browser. `None`: the provider has no such endpoint, or
/// nobody signs in by it.
pub fn authorization_url(
    config: &Config,
    issuer: &Issuer,
    metadata: &Metadata,
    attempt: &Attempt,
    callback: &str,
) -> Option<String> {
    let endpoint = metadata.authorization.as_ref()?;
    let fields = [
        ("response_type", "code"),
        ("client_id", issuer.client_id.as_deref()?),
        ("redirect_uri", &format!("{}{callback}", config.resource)),
        ("scope", &issuer.scopes.join(" ")),
        ("state", &attempt.state),
        ("nonce", &attempt.nonce),
        ("code_challenge", &challenge(&attempt.verifier)),
        ("code_challenge_method", "S256"),
    ];
    let query: Vec<String> = fields.iter().map(|(n, v)| format!("{n}={}", escape(v))).collect();
    let join = if endpoint.contains('?') { '&' } else { '?' };
    Some(format!("{endpoint}{join}{}", query.join("&")))
}

/// What a provider sent the browser back with.
pub struct Callback {
    pub state: String,
    /// The code, or the provider's error.
    pub code: Result<Zeroizing<String>, String>,
    /// RFC 9207: who answered, where the provider says so.
    pub issuer: Option<String>,
}

impl Callback {
    /// From the pairs of the query, percent-decoded. A name that is given twice
    /// is no answer to anything.
    pub fn read(pairs: &[(String, String)]) -> Option<Callback> {
        let one = |name: &str| {
            let mut found = pairs.iter().filter(|(n, _)| n == name);
            match (found.next(), found.next()) {
                (Some((_, value)), None) if value.len() <= 4096 => Ok(Some(value.as_str())),
                (None, _) => Ok(None),
                _ => Err(()),
            }
        };
        let state = one("state").ok()??.to_owned();
        let code = match (one("code").ok()?, one("error").ok()?) {
            (Some(code), None) => Ok(Zeroizing::new(code.to_owned())),
            (None, Some(error)) => Err(error.chars().filter(char::is_ascii_graphic).take(100).collect()),
            _ => return None,
        };
        Some(Callback { state, code, issuer: one("iss").ok()?.map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_the_standard() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn an_answer_has_one_state_and_either_a_code_or_an_error() {
        let read = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            Callback::read(&pairs)
        };
        let good = read(&[("state", "s"), ("code", "c"), ("iss", "https://a")]).expect("an answer");
        assert_eq!((good.state.as_str(), good.code.map(|c| c.to_string()).ok()), ("s", Some("c".into())));
        assert_eq!(
            read(&[("state", "s"), ("error", "access_denied")]).map(|c| c.code.err()),
            Some(Some("access_denied".into()))
        );
        for none in [
            &[("code", "c")][..],
            &[("state", "s")],
            &[("state", "s"), ("code", "c"), ("code", "d")],
            &[("state", "s"), ("state", "t"), ("code", "c")],
            &[("state", "s"), ("code", "c"), ("error", "e")],
        ] {
            assert!(read(none).is_none(), "{none:?}");
        }
    }
}
