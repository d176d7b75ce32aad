//! The protocol of a model hub: `GET {base}/{org}/{repo}/resolve/{revision}/{file}`,
//! answered by a redirect whose headers announce the content's size
//! (`x-linked-size`), digest (`x-linked-etag`, the SHA-256 of a large file) and
//! commit, and then by the content with ranges.

use std::time::Duration;

use net::client::{Download, Fetch, Reach, Timeouts};
use net::{HeaderMap, HeaderValue, header};
use policy::{Clearance, Errand};
use report::Report;

use super::part::Part;
use super::reference::Reference;
use crate::{Failure, Progress, failure};

/// A hub, and who asks.
pub(crate) struct Hub {
    pub base: String,
    pub reach: Reach,
    /// Sent to the hub itself; never to where it redirects.
    pub token: Option<String>,
}

/// What the hub says a file is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Announced {
    pub bytes: Option<u64>,
    /// In lower-case hexadecimal.
    pub sha256: Option<String>,
    /// Guards a resumed range: another etag is another content.
    pub etag: Option<String>,
}

/// How a fetch ended early.
pub(crate) enum Broken {
    /// On the way: what arrived is kept, another try goes on from there.
    Connection(Failure),
    Final(Failure),
}

const REDIRECTS_MAX: u32 = 5;
/// A hub is asked for public files by their names.
const CLEARED: Clearance = Clearance::errand(Errand::ModelPull);

impl Hub {
    pub fn url(&self, reference: &Reference) -> String {
        let Reference { org, repo, revision, file } = reference;
        format!("{}/{org}/{repo}/resolve/{revision}/{file}", self.base.trim_end_matches('/'))
    }

    /// Asks for the head of the file.
    pub async fn announced(&self, client: &net::Client, reference: &Reference) -> Result<Announced, Failure> {
        let url = self.url(reference);
        let head = client
            .head(&CLEARED, &url, &self.how(self.headers()?))
            .await
            .map_err(|e| unreachable(&url, &e))?;
        refuse(&head, &url)?;
        // The hub's own word, in the first redirect, counts before that of the host that serves the bytes.
        let all = || head.hops.iter().chain([&head.response.headers]);
        let text = |name: &str| all().find_map(|h| h.get(name)?.to_str().ok().map(str::to_owned));
        let etag = text("x-linked-etag").or_else(|| last(&head, "etag"));
        let bare = etag.as_deref().map(|e| e.trim_start_matches("W/").trim_matches('"').to_ascii_lowercase());
        let bytes = text("x-linked-size").or_else(|| last(&head, "content-length"));
        Ok(Announced {
            bytes: bytes.and_then(|b| b.parse().ok()),
            sha256: bare.filter(|e| e.len() == 64 && e.bytes().all(|b| b.is_ascii_hexdigit())),
            etag,
        })
    }

    /// Appends to `part` what it lacks.
    pub async fn fetch(
        &self,
        client: &net::Client,
        reference: &Reference,
        announced: &Announced,
        part: &mut Part,
        progress: &mut Progress,
    ) -> Result<(), Broken> {
        let url = self.url(reference);
        let mut headers = self.headers().map_err(Broken::Final)?;
        if part.len() > 0 {
            let range = format!("bytes={}-", part.len());
            headers.insert(header::RANGE, range.parse().expect("digits are a header value"));
            // The redirect's target may not know the hub's etag: the digest at the end decides there.
            if let Some(etag) = announced.etag.as_ref().and_then(|e| HeaderValue::from_str(e).ok()) {
                headers.insert(header::IF_RANGE, etag);
            }
        }
        let got = client.download(&CLEARED, &url, &self.how(headers)).await;
        let mut got = got.map_err(|e| Broken::Connection(unreachable(&url, &e)))?;
        if let Err(failure) = refuse(&got, &url) {
            let again = got.response.status.is_server_error();
            return Err(if again { Broken::Connection(failure) } else { Broken::Final(failure) });
        }
        let on_disk = |e: std::io::Error, part: &Part| Broken::Final(failure::file("write", part.path(), &e));
        let starts_at = if got.response.status.as_u16() == 206 { range_start(&got) } else { Some(0) };
        if starts_at != Some(part.len()) {
            if starts_at != Some(0) {
                let why = Report::new("CL0008", "the hub sent another range than was asked for").at(url);
                return Err(Broken::Final(why.into()));
            }
            part.restart().map_err(|e| on_disk(e, part))?;
        }
        while let Some(frame) = got.response.frame().await {
            let frame = frame.map_err(|e| Broken::Connection(unreachable(&url, &e)))?;
            if announced.bytes.is_some_and(|total| part.len() + frame.len() as u64 > total) {
                part.restart().map_err(|e| on_disk(e, part))?;
                let why = Report::new("CL0005", "the hub sends more than it announced").at(url);
                return Err(Broken::Final(why.into()));
            }
            part.append(&frame).map_err(|e| on_disk(e, part))?;
            progress.add(frame.len() as u64);
        }
        match announced.bytes {
            Some(total) if part.len() < total => {
                let why = Report::new("CL0001", "the connection to the hub broke").at(url);
                Err(Broken::Connection(why.into()))
            }
            _ => Ok(()),
        }
    }

    fn how(&self, headers: HeaderMap) -> Fetch {
        Fetch {
            reach: self.reach,
            redirect_reach: self.reach,
            headers,
            redirects: REDIRECTS_MAX,
            timeouts: timeouts(),
        }
    }

    fn headers(&self) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("bedplate/", env!("CARGO_PKG_VERSION"))),
        );
        // Compression would make ranges and sizes those of another content.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(token) = &self.token {
            let bearer = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| Report::new("CL0010", "$HF_TOKEN has characters that a token does not have"))?;
            headers.insert(header::AUTHORIZATION, bearer);
        }
        Ok(headers)
    }
}

fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(10),
        first_byte: Duration::from_secs(60),
        idle: Duration::from_secs(60),
        total: None,
    }
}

fn last(head: &Download, name: &str) -> Option<String> {
    head.response.headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// Where a `206` begins: `content-range: bytes 100-199/200`.
fn range_start(got: &Download) -> Option<u64> {
    let range = got.response.headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn refuse(got: &Download, url: &str) -> Result<(), Failure> {
    let status = got.response.status;
    if status.is_success() {
        return Ok(());
    }
    let hint = match status.as_u16() {
        404 => "check organisation, repository, revision and file",
        401 | 403 => "a gated model needs `export HF_TOKEN=...` of somebody who accepted its terms",
        429 => "the hub wants fewer requests; try again in a few minutes",
        _ => "try again later, or name a mirror: `export BEDPLATE_HUB=https://...`",
    };
    Err(Report::new("CL0008", format!("the hub answered with status {}", status.as_u16()))
        .at(url)
        .hint(hint)
        .into())
}

fn unreachable(url: &str, error: &net::Error) -> Failure {
    Report::new("CL0001", "no answer from the hub")
        .at(url)
        .because(report::chain(error))
        .hint("what was fetched is kept; the same command goes on from there")
        .into()
}
