//! Requests signed as S3 wants them: AWS Signature Version 4, in headers, without a body.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

use report::Report;
use ring::{digest, hmac};
use units::Micros;

use crate::web::undeclared;

/// SHA-256 of nothing.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Who asks. Without `Debug`: it holds a secret.
pub(super) struct Signer {
    id: String,
    secret: String,
    session: Option<String>,
    region: String,
}

impl Signer {
    /// # Errors
    /// CX0014: the key is not two words, or three.
    pub fn new(key: &str, region: &str) -> Result<Signer, Report> {
        let mut words = key.trim().splitn(3, ':').map(str::to_owned);
        match (words.next(), words.next(), words.next()) {
            (Some(id), Some(secret), session) if !id.is_empty() && !secret.is_empty() => {
                Ok(Signer { id, secret, session, region: region.to_owned() })
            }
            _ => Err(undeclared("its key is not ACCESS_KEY_ID:SECRET_ACCESS_KEY")),
        }
    }

    /// The headers of a `GET`. `path` and `query` are as they will be sent: encoded, and the
    /// query in the order of its names.
    pub fn headers(&self, host: &str, path: &str, query: &str, now: Micros) -> Vec<(&'static str, String)> {
        let stamp = stamp(now);
        let mut headers = vec![("x-amz-content-sha256", EMPTY.to_owned()), ("x-amz-date", stamp.clone())];
        if let Some(session) = &self.session {
            headers.push(("x-amz-security-token", session.clone()));
        }
        let mut names = String::from("host");
        let mut lines = format!("host:{host}\n");
        for (name, value) in &headers {
            names.push_str(&format!(";{name}"));
            lines.push_str(&format!("{name}:{value}\n"));
        }
        let request = format!("GET\n{path}\n{query}\n{lines}\n{names}\n{EMPTY}");
        let day = &stamp[..8];
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let hash = hex(digest::digest(&digest::SHA256, request.as_bytes()).as_ref());
        let key = [day, &self.region, "s3", "aws4_request"]
            .iter()
            .fold(format!("AWS4{}", self.secret).into_bytes(), |key, word| mac(&key, word));
        let signature = hex(&mac(&key, &format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hash}")));
        let credential = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={names},Signature={signature}",
            self.id
        );
        headers.push(("authorization", credential));
        headers
    }
}

fn mac(key: &[u8], word: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), word.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `20130524T000000Z`
fn stamp(now: Micros) -> String {
    let (year, month, day) = now.day().civil();
    let seconds = now.seconds() - now.day().start().seconds();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{year:04}{month:02}{day:02}T{hours:02}{minutes:02}{:02}Z", seconds % 60)
}

/// All but what nobody reserves, a byte at a time; slashes stay in a path.
pub(super) fn encoded(text: &str, path: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            b'/' if path => out.push('/'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use units::Day;

    use super::*;

    fn example() -> Signer {
        let key = "AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        Signer::new(key, "us-east-1").unwrap_or_else(|e| panic!("{e}"))
    }

    /// The example of AWS's own page for listing a bucket.
    #[test]
    fn a_listing_is_signed_as_in_the_example() {
        let at = Day::from_civil(2013, 5, 24).start();
        let headers = example().headers("examplebucket.s3.amazonaws.com", "/", "max-keys=2&prefix=J", at);
        let (name, value) = headers.last().expect("it is signed");
        assert_eq!(*name, "authorization");
        assert_eq!(
            value,
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders=host;x-amz-content-sha256;x-amz-date,\
             Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
    }

    /// What botocore 1.43 signs for the same requests at the same time.
    #[test]
    fn keys_and_tokens_of_any_letters_are_signed_as_botocore_does() {
        let at = Day::from_civil(2026, 11, 28).start().plus_us(3_723_000_000);
        let signature = |key: &str, path: &str, query: &str| -> String {
            let signer = Signer::new(key, "eu-test-1").unwrap_or_else(|e| panic!("{e}"));
            let headers = signer.headers("127.0.0.1:9000", path, query, at);
            let (_, value) = headers.last().expect("it is signed");
            value.rsplit('=').next().unwrap_or_default().to_owned()
        };
        let path = format!("/handbook/{}", encoded("public/a b+c/ü~(1).md", true));
        assert_eq!(
            signature("AKIDEXAMPLE:wJalr/secret+:to/ken=", &path, ""),
            "d02db4380fb979b52ecc008f2da50de6976e00a877280fb6c6401c52a30696ba"
        );
        let query = format!(
            "continuation-token={}&encoding-type=url&list-type=2&max-keys=1000&prefix={}",
            encoded("a/b==", false),
            encoded("p/ x", false)
        );
        assert_eq!(
            signature("AKIDEXAMPLE:wJalr/secret+", "/handbook", &query),
            "df529206ef8a218d2beaeeb48009f0be94cf54fd46fe33aab50e89d441a132d9"
        );
    }

    #[test]
    fn a_session_is_signed_along() {
        let signer = Signer::new("id:secret:to:ken", "eu").unwrap_or_else(|e| panic!("{e}"));
        let headers = signer.headers("h", "/", "", Micros(0));
        assert!(headers.contains(&("x-amz-security-token", "to:ken".into())));
        assert!(headers.last().is_some_and(|(_, value)| value.contains("x-amz-date;x-amz-security-token,")));
        for key in ["", "id", "id:", ":secret"] {
            assert!(Signer::new(key, "eu").is_err(), "{key:?}");
        }
    }

    #[test]
    fn times_and_addresses_are_written_as_they_are_signed() {
        let at = Day::from_civil(2026, 11, 28).start().plus_us(3_723_000_000);
        assert_eq!(stamp(at), "20261128T010203Z");
        assert_eq!(encoded("a b/ü+~.txt", true), "a%20b/%C3%BC%2B~.txt");
        assert_eq!(encoded("a/b=c", false), "a%2Fb%3Dc");
    }
}
