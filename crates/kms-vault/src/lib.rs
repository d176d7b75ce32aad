//! A key that never leaves a Vault or OpenBao server: its transit engine wraps
//! and unwraps for us over HTTP.
//!
//! ```text
//! GET  /v1/transit/keys/NAME            versions
//! POST /v1/transit/keys/NAME            the first start
//! POST /v1/transit/encrypt|decrypt/NAME wrap and unwrap
//! POST /v1/transit/keys/NAME/rotate     a new version
//! POST /v1/transit/keys/NAME/config     and .../trim: destroy old versions
//! ```
//!
//! Each call has a thread, a connection and ten seconds of its own: there is one
//! at the start and a few at a rotation, and a thread works the same whatever
//! the caller runs on.
//!
//! Invariants: the token goes into one header and nowhere else; keys cross
//! plain HTTP to this machine only; an answer is at most 64 KiB.

mod answer;

use std::time::Duration;

use base64ct::{Base64, Encoding};
use net::client::{Client, Config, Reach, Request, Timeouts};
use net::{Bytes, HeaderMap, HeaderValue, Origin, header, uri::PathAndQuery};
use policy::{Clearance, Errand};
use ring::digest::{SHA256, digest};
use seal::kms::{About, Kms, WRAPPING_MAX, Wrapping};
use seal::{Error, SecretKey};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use answer::Refusal;
#[doc(hidden)]
pub use answer::{Answer, read as read_answer};

/// How to reach the server, and which key is ours.
pub struct Options {
    /// `https://vault.example:8200`; `http` for this machine only.
    pub address: String,
    pub token: Zeroizing<String>,
    /// An enterprise namespace.
    pub namespace: Option<String>,
    /// Where the transit engine is mounted: `transit`.
    pub mount: String,
    /// The key's name. It should be ours alone: erasing a tenant destroys its
    /// old versions.
    pub key: String,
}

/// One key of a transit engine.
pub struct Vault {
    origin: Origin,
    headers: HeaderMap,
    mount: String,
    key: String,
    shown: String,
}

const ANSWER_MAX: u64 = 64 << 10;
const WITHIN: Duration = Duration::from_secs(10);
const PREFIX: &str = "vault:v";

impl Vault {
    /// Makes no connection yet.
    ///
    /// # Errors
    /// [`Error::Refused`] for an address, token or name that cannot be used.
    pub fn new(options: Options) -> Result<Vault, Error> {
        let shown = format!("vault key {}/{}", options.mount, options.key);
        let refused = |why: String| Error::Refused { kms: shown.clone(), why };
        let (origin, _) =
            Origin::split(&options.address, Reach::Private).map_err(|e| refused(e.to_string()))?;
        if !origin.is_tls() && !is_this_machine(origin.host()) {
            return Err(refused(format!(
                "{origin} is not encrypted: keys would cross the network as they are"
            )));
        }
        for (what, name) in [("mount", &options.mount), ("key", &options.key)] {
            // They become part of paths, and a key's name stands in the ring.
            let plain =
                |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c) || (what == "mount" && c == '/');
            if name.is_empty() || name.len() > 200 || !name.chars().all(plain) || name.contains("..") {
                return Err(refused(format!("\"{name:.80}\" is no name of a {what}")));
            }
        }
        let mut headers = HeaderMap::new();
        let value = |text: &str, what: &str| {
            HeaderValue::from_str(text).map_err(|_| refused(format!("the {what} is not one line of text")))
        };
        let mut token = value(&options.token, "token")?;
        token.set_sensitive(true);
        headers.insert("x-vault-token", token);
        if let Some(namespace) = &options.namespace {
            headers.insert("x-vault-namespace", value(namespace, "namespace")?);
        }
        // Refused by Vault's agents and proxies without it, against forged requests.
        headers.insert("x-vault-request", HeaderValue::from_static("true"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Vault { origin, headers, mount: options.mount, key: options.key, shown })
    }

    fn post(&self, what: &str, body: &Value) -> Result<Answer, Error> {
        // What is wrapped is in there; the copies that HTTP makes of it are short-lived.
        let body = Zeroizing::new(body.to_string());
        self.call(what, Some(&body))
    }

    fn call(&self, what: &str, body: Option<&str>) -> Result<Answer, Error> {
        let path = format!("/v1/{}/{what}", self.mount);
        let path: PathAndQuery = path.parse().expect("mount and key are of plain letters");
        let exchange = || -> Result<(u16, Bytes), String> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|e| e.to_string())?.block_on(async {
                let headers = self.headers.clone();
                let request = match body {
                    Some(body) => Request::post(path, headers, vec![Bytes::copy_from_slice(body.as_bytes())]),
                    None => Request { headers, ..Request::get(path) },
                };
                let timeouts =
                    Timeouts { connect: WITHIN, first_byte: WITHIN, idle: WITHIN, total: Some(WITHIN) };
                let client = Client::new(Config::default());
                let cleared = Clearance::errand(Errand::Kms);
                let response =
                    client.send(&cleared, &self.origin, request, &timeouts).await.map_err(chain)?;
                let status = response.status.as_u16();
                Ok((status, response.read_all(ANSWER_MAX).await.map_err(chain)?))
            })
        };
        let done = std::thread::scope(|scope| scope.spawn(exchange).join());
        let (status, bytes) = done.unwrap_or_else(|_| Err("the call panicked".into())).map_err(|why| {
            Error::Unreachable { kms: self.shown.clone(), why: format!("{}: {why}", self.origin) }
        })?;
        answer::read(status, &bytes).map_err(|refusal| self.error(refusal))
    }

    fn error(&self, refusal: Refusal) -> Error {
        let kms = self.shown.clone();
        match refusal {
            Refusal::Away(why) => Error::Unreachable { kms, why },
            Refusal::Denied(why) => Error::Refused { kms, why },
            Refusal::NoKey => Error::NoKey { kms, key: "such key or version".into() },
            Refusal::Ciphertext => Error::Unwrap { kms },
        }
    }

    fn unwrap_error(&self) -> Error {
        Error::Unwrap { kms: self.shown.clone() }
    }
}

fn chain(error: net::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// What is encrypted: the key, and the digest of its context. A server that does
/// not know `associated_data` drops it without a word, and would unwrap in any
/// context; the digest inside does not depend on its care.
fn plaintext(key: &SecretKey, context: &[u8]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; 64]);
    bytes[..32].copy_from_slice(key.expose());
    bytes[32..].copy_from_slice(digest(&SHA256, context).as_ref());
    Zeroizing::new(Base64::encode_string(&*bytes))
}

/// `vault:v3:...` to 3.
fn version_of(ciphertext: &str) -> Option<u32> {
    let (version, _) = ciphertext.strip_prefix(PREFIX)?.split_once(':')?;
    version.parse().ok()
}

impl Kms for Vault {
    fn kind(&self) -> &'static str {
        "vault"
    }

    fn prepare(&self) -> Result<(), Error> {
        match self.about() {
            Err(Error::NoKey { .. }) => {
                let body = json!({ "type": "aes256-gcm96", "exportable": false });
                self.post(&format!("keys/{}", self.key), &body)?;
                self.about().map(drop)
            }
            other => other.map(drop),
        }
    }

    fn about(&self) -> Result<About, Error> {
        let key = self.call(&format!("keys/{}", self.key), None)?;
        let (newest, oldest) = key.versions().ok_or_else(|| Error::Refused {
            kms: self.shown.clone(),
            why: "it is not a key that encrypts with associated data (aes256-gcm96)".into(),
        })?;
        let key = format!("{}/{}", self.mount, self.key);
        Ok(About { kind: self.kind(), key, newest, oldest, rotates: true, destroys: true })
    }

    fn wrap(&self, key: &SecretKey, context: &[u8]) -> Result<Wrapping, Error> {
        // `encrypt` would make a key that is not there.
        self.about()?;
        let plaintext = plaintext(key, context);
        let body = json!({ "plaintext": *plaintext, "associated_data": Base64::encode_string(context) });
        let answer = self.post(&format!("encrypt/{}", self.key), &body)?;
        let text =
            answer.ciphertext().filter(|t| t.len() <= WRAPPING_MAX).ok_or_else(|| self.unwrap_error())?;
        let version = version_of(text).ok_or_else(|| self.unwrap_error())?;
        Ok(Wrapping { version, bytes: text.as_bytes().to_vec() })
    }

    fn unwrap(&self, wrapping: &Wrapping, context: &[u8]) -> Result<SecretKey, Error> {
        let text = std::str::from_utf8(&wrapping.bytes).ok();
        let text =
            text.filter(|t| version_of(t) == Some(wrapping.version)).ok_or_else(|| self.unwrap_error())?;
        let body = json!({ "ciphertext": text, "associated_data": Base64::encode_string(context) });
        let answer = self.post(&format!("decrypt/{}", self.key), &body)?;
        let mut bytes = Zeroizing::new([0; 64]);
        let plain = answer.plaintext().unwrap_or_default();
        let whole = Base64::decode(plain, &mut *bytes).is_ok_and(|read| read.len() == 64);
        if !whole || bytes[32..] != *digest(&SHA256, context).as_ref() {
            return Err(self.unwrap_error());
        }
        Ok(SecretKey::from_bytes(bytes[..32].try_into().expect("half of 64")))
    }

    fn rotate(&self) -> Result<u32, Error> {
        // A key that is not there is not made by rotating it.
        let before = self.about()?;
        self.post(&format!("keys/{}/rotate", self.key), &json!({}))?;
        let after = self.about()?;
        match after.newest > before.newest {
            true => Ok(after.newest),
            false => Err(Error::Refused { kms: self.shown.clone(), why: "it made no new version".into() }),
        }
    }

    /// Raises what may be decrypted, which alone could be lowered again, and
    /// then removes the versions below.
    fn destroy(&self, below: u32) -> Result<(), Error> {
        let about = self.about()?;
        if about.newest < below {
            return Err(Error::NoKey { kms: self.shown.clone(), key: format!("version {below}") });
        }
        if below <= 1 {
            return Ok(());
        }
        let floor = json!({ "min_decryption_version": below, "min_encryption_version": below });
        self.post(&format!("keys/{}/config", self.key), &floor)?;
        let trim = json!({ "min_available_version": below });
        self.post(&format!("keys/{}/trim", self.key), &trim).map(drop)
    }
}
