//! What the server says, read with care: it is outside, like everybody.

use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroize;

/// A successful answer. No `Debug`: it may carry a key.
#[derive(Default, Deserialize)]
pub struct Answer {
    #[serde(default)]
    data: Option<Data>,
}

#[derive(Default, Deserialize)]
struct Data {
    ciphertext: Option<String>,
    plaintext: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    derived: Option<bool>,
    latest_version: Option<u32>,
    min_available_version: Option<u32>,
    min_decryption_version: Option<u32>,
    /// Versions and when they were made.
    keys: Option<serde_json::Map<String, Value>>,
}

/// An unsuccessful one, by what may be done about it.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Sealed, starting, overloaded: later.
    Away(String),
    /// The token, its policy, or the request.
    Denied(String),
    /// The key or the version is not there.
    NoKey,
    /// What was to be decrypted, or its context, is not what was encrypted.
    Ciphertext,
}

#[derive(Default, Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<String>,
}

/// Reads an answer of at most 64 KiB.
pub fn read(status: u16, body: &[u8]) -> Result<Answer, Refusal> {
    match status {
        204 => return Ok(Answer::default()),
        200..=299 => {
            return serde_json::from_slice(body)
                .map_err(|_| Refusal::Denied("its answer is not that of a transit engine".into()));
        }
        _ => {}
    }
    let said = serde_json::from_slice::<Errors>(body).unwrap_or_default().errors.join("; ");
    let said: String = said.chars().filter(|c| !c.is_control()).take(300).collect();
    let has = |words: &[&str]| words.iter().any(|w| said.contains(w));
    // The status of these changed between releases (400 and 500); the words did not.
    if has(&["too old", "too new", "encryption key not found", "key not found"]) {
        return Err(Refusal::NoKey);
    }
    if has(&["message authentication failed", "invalid ciphertext", "unable to decrypt", "could not decrypt"])
    {
        return Err(Refusal::Ciphertext);
    }
    let why = if said.is_empty() { format!("status {status}") } else { format!("status {status}: {said}") };
    Err(match status {
        404 => Refusal::NoKey,
        300..=428 | 430..=499 => Refusal::Denied(why),
        _ => Refusal::Away(why),
    })
}

impl Answer {
    pub fn ciphertext(&self) -> Option<&str> {
        self.data.as_ref()?.ciphertext.as_deref()
    }
    pub fn plaintext(&self) -> Option<&str> {
        self.data.as_ref()?.plaintext.as_deref()
    }
    /// The newest version of a key and the oldest that still decrypts; `None`
    /// for a key that is not of use to us.
    pub fn versions(&self) -> Option<(u32, u32)> {
        let data = self.data.as_ref()?;
        let aead =
            matches!(data.kind.as_deref(), Some("aes256-gcm96" | "aes128-gcm96" | "chacha20-poly1305"));
        if !aead || data.derived == Some(true) {
            return None;
        }
        let listed = || data.keys.as_ref()?.keys().filter_map(|k| k.parse().ok()).max();
        let newest: u32 = data.latest_version.or_else(listed)?;
        let floors = [data.min_decryption_version, data.min_available_version];
        let oldest = floors.into_iter().flatten().max().unwrap_or(1).max(1);
        Some((newest, oldest))
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(plaintext) = self.data.as_mut().and_then(|d| d.plaintext.as_mut()) {
            plaintext.zeroize();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str) -> Refusal {
        match read(status, body.as_bytes()) {
            Ok(_) => panic!("it was taken"),
            Err(refusal) => refusal,
        }
    }

    #[test]
    fn a_keys_answer_says_its_versions() {
        // The shape in the documentation of the transit engine.
        let body = r#"{"request_id":"8375","lease_id":"","renewable":false,"lease_duration":0,"data":{
            "type":"aes256-gcm96","deletion_allowed":false,"derived":false,"exportable":false,
            "allow_plaintext_backup":false,"keys":{"2":1442851412,"3":1442851413},"latest_version":3,
            "min_available_version":0,"min_decryption_version":2,"min_encryption_version":0,"name":"foo",
            "supports_encryption":true,"supports_decryption":true,"supports_derivation":true,
            "supports_signing":false,"imported":false},"wrap_info":null,"warnings":null,"auth":null}"#;
        let answer = read(200, body.as_bytes()).unwrap_or_else(|_| panic!("it reads"));
        assert_eq!(answer.versions(), Some((3, 2)));
        for other in [
            r#"{"data":{"type":"rsa-2048","latest_version":1}}"#,
            r#"{"data":{}}"#,
            "{}",
            r#"{"data":{"type":"aes256-gcm96","derived":true,"latest_version":1}}"#,
        ] {
            assert!(read(200, other.as_bytes()).is_ok_and(|a| a.versions().is_none()), "{other}");
        }
    }

    #[test]
    fn refusals_are_told_apart_by_what_they_say() {
        let says = |text: &str| format!(r#"{{"errors":["{text}"]}}"#);
        for status in [400, 500] {
            let failed = says("1 error occurred:\\n\\t* cipher: message authentication failed\\n\\n");
            assert_eq!(refusal(status, &failed), Refusal::Ciphertext);
            let old = says("ciphertext or signature version is disallowed by policy (too old)");
            assert_eq!(refusal(status, &old), Refusal::NoKey);
        }
        assert_eq!(refusal(404, r#"{"errors":[]}"#), Refusal::NoKey);
        let denied = refusal(403, &says("permission denied"));
        assert_eq!(denied, Refusal::Denied("status 403: permission denied".into()));
        assert!(
            matches!(refusal(503, &says("Vault is sealed")), Refusal::Away(why) if why.contains("sealed"))
        );
        for (status, body) in [(502, "<html>"), (429, ""), (500, r#"{"errors":["internal error"]}"#)] {
            assert!(matches!(refusal(status, body), Refusal::Away(_)), "{status}");
        }
        assert!(matches!(refusal(307, ""), Refusal::Denied(_)), "a redirect is not followed");
        assert!(matches!(refusal(200, "<html>"), Refusal::Denied(_)));
    }
}
