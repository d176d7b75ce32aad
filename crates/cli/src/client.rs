//! The HTTP client of the commands: one thread, one server, one key.

use std::time::Duration;

use api::ErrorResponse;
use net::client::{Config, Origin, Reach, Request, Response, Timeouts};
use net::{HeaderMap, HeaderName, HeaderValue, Method, header};
use policy::{Clearance, Errand};
use report::Report;
use runtime::Shutdown;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::environment;
use crate::{Failure, args, kept};

/// The user named the server; what is sent is the user's own.
const CLEARED: Clearance = Clearance::errand(Errand::OwnServer);

/// Answers of the control API are lists of at most 1,000 records.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

pub(crate) struct Server {
    runtime: tokio::runtime::Runtime,
    client: net::Client,
    origin: Origin,
    /// The path of `--url`, for servers behind a prefix; without a trailing slash.
    prefix: String,
    url: String,
    key: Option<String>,
    anonymous: bool,
}

/// What comes with a body.
enum Content {
    None,
    Json(Vec<u8>),
    Yaml(String),
    /// Bytes under their own media type.
    Bytes(&'static str, Vec<u8>),
}

impl Server {
    pub fn new(global: &args::Global) -> Result<Server, Failure> {
        let bad = |e: net::Error| {
            Failure::from(Report::new("CL0010", "`--url` cannot be used").because(e.to_string()))
        };
        let (origin, path) = Origin::split(&global.url, Reach::Private).map_err(bad)?;
        let runtime = runtime()?;
        Ok(Server {
            client: net::Client::new(Config {
                idle_per_origin: 1,
                idle_total: 1,
                trust: trust()?,
                ..Config::default()
            }),
            runtime,
            origin,
            prefix: path.path().trim_end_matches('/').to_owned(),
            url: global.url.trim_end_matches('/').to_owned(),
            key: match environment("BEDPLATE_KEY") {
                Some(key) => Some(key),
                None => kept::key(global.url.trim_end_matches('/'))?,
            },
            anonymous: false,
        })
    }
    /// For who has no key yet.
    pub fn anonymous(global: &args::Global) -> Result<Server, Failure> {
        Ok(Server { key: None, anonymous: true, ..Server::new(global)? })
    }
    pub fn url(&self) -> &str {
        &self.url
    }
    pub fn pause(&self, how_long: Duration) {
        // The timer is made inside the runtime.
        self.runtime.block_on(async { tokio::time::sleep(how_long).await });
    }

    /// Ends at the first SIGTERM or SIGINT from here on: what is under way is finished.
    pub fn on_signals(&self) -> Result<Shutdown, Failure> {
        let shutdown = Shutdown::new();
        let installed = self.runtime.block_on(async { shutdown.on_signals() });
        installed.map_err(|e| Report::new("CL0001", "signals cannot be heard").because(report::chain(&e)))?;
        Ok(shutdown)
    }
    /// Waits so long, or until it ends.
    pub fn pause_until(&self, shutdown: &Shutdown, how_long: Duration) {
        self.runtime.block_on(async {
            tokio::select! {
                () = shutdown.draining() => {}
                () = tokio::time::sleep(how_long) => {}
            }
        });
    }

    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.exchange(Method::GET, path, Content::None)
    }
    pub fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, Failure> {
        self.exchange(Method::POST, path, json(body)?)
    }
    pub fn post_yaml<T: DeserializeOwned>(&self, path: &str, body: String) -> Result<T, Failure> {
        self.exchange(Method::POST, path, Content::Yaml(body))
    }
    pub fn post_bytes<T: DeserializeOwned>(
        &self,
        path: &str,
        media_type: &'static str,
        bytes: Vec<u8>,
    ) -> Result<T, Failure> {
        self.exchange(Method::POST, path, Content::Bytes(media_type, bytes))
    }
    pub fn put<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, Failure> {
        self.exchange(Method::PUT, path, json(body)?)
    }
    pub fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.exchange(Method::DELETE, path, Content::None)
    }

    /// What a path holds, as it is.
    pub fn bytes(&self, path: &str) -> Result<Vec<u8>, Failure> {
        self.answer(Method::GET, path, Content::None)
    }
    pub fn text(&self, path: &str) -> Result<String, Failure> {
        String::from_utf8(self.bytes(path)?).map_err(|e| self.unreadable(&e.to_string()))
    }

    fn answer(&self, method: Method, path: &str, content: Content) -> Result<Vec<u8>, Failure> {
        self.runtime.block_on(async {
            let response = self.send(method, path, content).await?;
            let status = response.status;
            let bytes = response.read_all(ANSWER_BYTES_MAX).await.map_err(|e| self.unreachable(&e))?;
            if status.is_success() { Ok(bytes.to_vec()) } else { Err(refusal(status.as_u16(), &bytes)) }
        })
    }

    fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        content: Content,
    ) -> Result<T, Failure> {
        let bytes = self.answer(method, path, content)?;
        serde_json::from_slice(&bytes).map_err(|e| self.unreadable(&e.to_string()))
    }

    /// Posts JSON and hands over each part of the answer as it arrives.
    pub fn stream<B: Serialize>(
        &self,
        path: &str,
        body: &B,
        mut part: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<HeaderMap, Failure> {
        let content = json(body)?;
        self.runtime.block_on(async {
            let mut response = self.send(Method::POST, path, content).await?;
            if !response.status.is_success() {
                let status = response.status.as_u16();
                let bytes = response.read_all(ANSWER_BYTES_MAX).await.map_err(|e| self.unreachable(&e))?;
                return Err(refusal(status, &bytes));
            }
            while let Some(frame) = response.frame().await {
                part(&frame.map_err(|e| self.unreachable(&e))?)?;
            }
            Ok(response.headers)
        })
    }

    async fn send(&self, method: Method, path: &str, content: Content) -> Result<Response, Failure> {
        let mut headers = HeaderMap::new();
        match &self.key {
            Some(key) => {
                let bearer = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| {
                    Report::new("CL0002", "$BEDPLATE_KEY has characters that a key does not have")
                })?;
                headers.insert(header::AUTHORIZATION, bearer);
            }
            None if self.anonymous => {}
            None => {
                return Err(Report::new("CL0002", "no key was given")
                    .because("$BEDPLATE_KEY is not set, and nobody is signed in")
                    .hint("`export BEDPLATE_KEY=...` with a key, or `bedplate login`; the first start of `bedplate serve` prints an admin key")
                    .into());
            }
        }
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("bedplate/", env!("CARGO_PKG_VERSION"))),
        );
        headers.insert(HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"));
        let body = match content {
            Content::None => Vec::new(),
            Content::Json(bytes) => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                vec![bytes.into()]
            }
            Content::Yaml(text) => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/yaml"));
                vec![text.into()]
            }
            Content::Bytes(media_type, bytes) => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
                vec![bytes.into()]
            }
        };
        let path = format!("{}{path}", self.prefix)
            .parse()
            .map_err(|_| Report::new("CL0010", "an argument has characters that a path cannot carry"))?;
        let timeouts = Timeouts { first_byte: Duration::from_secs(600), ..Timeouts::default() };
        let request = Request { method, path, headers, body };
        self.client.send(&CLEARED, &self.origin, request, &timeouts).await.map_err(|e| self.unreachable(&e))
    }

    fn unreachable(&self, error: &net::Error) -> Failure {
        Report::new("CL0001", format!("no answer from {}", self.url))
            .because(report::chain(error))
            .hint("is it running? `bedplate serve` starts one; $BEDPLATE_URL or --url names another")
            .into()
    }
    pub fn unreadable(&self, why: &str) -> Failure {
        Report::new("CL0003", format!("the answer of {} could not be read", self.url))
            .because(why.to_owned())
            .hint("compare `bedplate --version` with the server's")
            .into()
    }
}

/// The system's authorities, and those in $BEDPLATE_CA: a server inside often
/// has a certificate that nobody outside knows.
pub(crate) fn trust() -> Result<net::Trust, Failure> {
    match environment("BEDPLATE_CA") {
        None => Ok(net::Trust::system()),
        Some(file) => net::Trust::with_file(file.as_ref()).map_err(|e| {
            Report::new("CL0004", "$BEDPLATE_CA cannot be used").because(report::chain(&e)).into()
        }),
    }
}

/// The runtime of a command: it does one thing at a time.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Report::new("CL0001", "the runtime could not be started").because(e.to_string()).into())
}

fn json<B: Serialize>(body: &B) -> Result<Content, Failure> {
    serde_json::to_vec(body)
        .map(Content::Json)
        .map_err(|e| Report::new("CL0010", "the request could not be written").because(e.to_string()).into())
}

/// The server's refusal, in the envelope of the control API or of a dialect.
fn refusal(status: u16, body: &[u8]) -> Failure {
    if let Ok(response) = serde_json::from_slice::<ErrorResponse>(body) {
        return response.into();
    }
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some(message) = value["error"]["message"].as_str() {
        // A dialect's envelope; Bedplate puts its code there too where the dialect has a place for it.
        let code = value["error"]["code"].as_str().and_then(report::entry).map_or("CL0003", |e| e.code.0);
        return Report::new(code, message.to_owned()).into();
    }
    let shown: String = String::from_utf8_lossy(body).chars().take(200).collect();
    Report::new("CL0003", format!("the server answered with status {status}")).because(shown).into()
}

/// Text as one part of a path, or as a value of a query.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte as char);
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
