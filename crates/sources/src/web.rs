//! What a source is asked over HTTP, and what its answers may be.

use std::time::Duration;

use context::source::Content;
use net::client::{Client, Config, Fetch, Origin, Reach};
use net::{Bytes, HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use policy::{Clearance, Place, PlaceKind, Purpose};
use report::Report;
use tokio::runtime::{Builder, Runtime};
use units::Labels;

use crate::{date, unread};

/// As of any document that is put.
pub const DOCUMENT_BYTES_MAX: u64 = 32 << 20;
/// Of an answer that only says why there is none.
const REFUSAL_BYTES_MAX: u64 = 16 << 10;
/// Within one origin. Browsers follow 20; a source that moved says so once or twice.
const REDIRECTS_MAX: u32 = 5;
/// Bytes of an entity tag that is remembered.
const TAG_BYTES_MAX: usize = 400;

/// One source's way out. It blocks: for threads that may.
pub(crate) struct Web {
    name: String,
    runtime: Runtime,
    client: Client,
    reach: Reach,
    /// What it is shown: our own key for it.
    headers: HeaderMap,
    timeouts: net::client::Timeouts,
}

/// What an address has.
pub(crate) enum Got {
    /// What had the mark.
    Same,
    Gone,
    Page(Page),
}

pub(crate) struct Page {
    pub bytes: Bytes,
    pub media_type: String,
    pub tag: String,
    pub modified: String,
}

impl Page {
    /// What is sent back to ask whether anything has changed.
    pub fn mark(&self) -> String {
        if self.tag.is_empty() && self.modified.is_empty() {
            return String::new();
        }
        format!("{}\n{}", self.tag, self.modified)
    }
    pub fn into_content(self) -> Content {
        Content {
            mark: self.mark(),
            modified: date::http(&self.modified),
            bytes: self.bytes.to_vec(),
            media_type: self.media_type,
            title: None,
        }
    }
}

/// The key of a source as a header; none without one.
pub(crate) fn bearer(key: Option<&str>) -> Result<HeaderMap, Report> {
    let mut headers = HeaderMap::new();
    if let Some(key) = key {
        let value = HeaderValue::from_str(&format!("Bearer {key}"));
        let mut value = value.map_err(|_| undeclared("its key cannot stand in a header"))?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    Ok(headers)
}

/// It cannot be asked as it is declared.
pub(crate) fn undeclared(why: impl Into<String>) -> Report {
    Report::new("CX0014", "the source cannot be asked as it is declared").because(why)
}

impl Web {
    pub fn new(
        name: &str,
        private: bool,
        headers: HeaderMap,
        timeouts: &manifest::Timeouts,
    ) -> Result<Web, Report> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let or = |ms: Option<u64>, or: u64| ms.map_or(Duration::from_secs(or), Duration::from_millis);
        Ok(Web {
            name: name.to_owned(),
            runtime: runtime.map_err(|e| unread(e.to_string()))?,
            client: Client::new(Config { idle_per_origin: 1, idle_total: 4, ..Config::default() }),
            reach: if private { Reach::Private } else { Reach::Public },
            headers,
            timeouts: net::client::Timeouts {
                connect: or(timeouts.connect_ms, 10),
                first_byte: or(timeouts.first_byte_ms, 30),
                idle: or(timeouts.idle_ms, 30),
                // 32 MiB at 1 Mbit a second.
                total: Some(or(timeouts.total_ms, 300)),
            },
        })
    }

    /// Whether both addresses are of one origin.
    pub fn is_of(&self, url: &str, other: &str) -> bool {
        let origin = |url: &str| Origin::parse(url, self.reach).ok().map(|origin| origin.name().clone());
        origin(url).is_some_and(|one| Some(one) == origin(other))
    }

    /// What an address has, unless that has the mark.
    ///
    /// # Errors
    /// CX0011, CX0012.
    pub fn get(&self, url: &str, mark: &str, limit: u64) -> Result<Got, Report> {
        let mut headers = self.headers.clone();
        let (tag, modified) = mark.split_once('\n').unwrap_or_default();
        for (name, value) in [(header::IF_NONE_MATCH, tag), (header::IF_MODIFIED_SINCE, modified)] {
            if let Some(value) = HeaderValue::from_str(value).ok().filter(|value| !value.is_empty()) {
                headers.insert(name, value);
            }
        }
        let (status, page) = self.ask(url, headers, REDIRECTS_MAX, limit)?;
        match status {
            StatusCode::OK => Ok(Got::Page(page)),
            StatusCode::NOT_MODIFIED if !mark.is_empty() => Ok(Got::Same),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(Got::Gone),
            status => Err(refused(status, "")),
        }
    }

    /// What an address has with these headers alone; the status is for whoever asks.
    ///
    /// # Errors
    /// CX0011, CX0012.
    pub fn get_signed(
        &self,
        url: &str,
        signed: &[(&'static str, String)],
        limit: u64,
    ) -> Result<(StatusCode, Page), Report> {
        let mut headers = HeaderMap::new();
        for (name, value) in signed {
            let value = HeaderValue::from_str(value);
            let mut value = value.map_err(|_| undeclared("its key cannot stand in a header"))?;
            value.set_sensitive(*name == "authorization" || *name == "x-amz-security-token");
            headers.insert(HeaderName::from_static(name), value);
        }
        // A signature is of one address.
        self.ask(url, headers, 0, limit)
    }

    fn ask(
        &self,
        url: &str,
        mut headers: HeaderMap,
        redirects: u32,
        limit: u64,
    ) -> Result<(StatusCode, Page), Report> {
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("bedplate/", env!("CARGO_PKG_VERSION"))),
        );
        let origin = Origin::parse(url, self.reach).map_err(|e| undeclared(e.to_string()))?;
        let clearance = self.clear(&origin)?;
        let fetch = Fetch {
            reach: self.reach,
            redirect_reach: self.reach,
            redirects,
            headers,
            timeouts: self.timeouts,
        };
        self.runtime.block_on(async {
            let got = self.client.download(&clearance, url, &fetch).await.map_err(lost)?;
            let response = got.response;
            let status = response.status;
            if response.headers.get(header::CONTENT_ENCODING).is_some_and(|value| value != "identity") {
                return Err(unread("its answer is compressed, which nobody asked for"));
            }
            let word = |name: HeaderName| -> String {
                let value = response.headers.get(name).and_then(|value| value.to_str().ok());
                value.filter(|value| value.len() <= TAG_BYTES_MAX).unwrap_or_default().to_owned()
            };
            let media_type = word(header::CONTENT_TYPE);
            let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            let (tag, modified) = (word(header::ETAG), word(header::LAST_MODIFIED));
            let limit = if status == StatusCode::OK { limit } else { REFUSAL_BYTES_MAX };
            let bytes = response.read_all(limit).await.map_err(lost)?;
            // What S3 calls a file of which it knows nothing.
            let media_type = if media_type == "binary/octet-stream" { String::new() } else { media_type };
            Ok((status, Page { bytes, media_type, tag, modified }))
        })
    }

    /// A request says nothing of anybody's documents; it opens this one origin all the same.
    fn clear(&self, origin: &Origin) -> Result<Clearance, Report> {
        let kind = match self.reach {
            Reach::Private => PlaceKind::OnPrem,
            Reach::Public => PlaceKind::External,
        };
        let place = Place::of_kind(kind, format!("source {}", self.name));
        let place = Place { destination: Some(origin.name().clone()), ..place };
        policy::admissible(&Labels::default(), &place, Purpose::Retrieval)
            .map_err(|why| undeclared(format!("it {why}")))
    }
}

/// A status that is no answer. `said`: a word of the source's own.
pub(crate) fn refused(status: StatusCode, said: &str) -> Report {
    let said: String = said.chars().filter(|c| c.is_ascii_alphanumeric()).take(60).collect();
    let said = if said.is_empty() { String::new() } else { format!(" ({said})") };
    let why = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            format!("it refuses what it was shown: its status is {}{said}", status.as_u16())
        }
        status => format!("its status is {}{said}", status.as_u16()),
    };
    unread(why)
}

fn lost(error: net::Error) -> Report {
    match error {
        net::Error::TooLarge { .. } => Report::new("CX0012", "it is too large").because(error.to_string()),
        net::Error::NotCleared { origin } => unread(format!("it leads to {origin}, which is not declared")),
        net::Error::Redirects { limit: 0 } => unread("it leads elsewhere: a bucket is asked where it is"),
        error => unread(report::chain(&error)),
    }
}
