//! Redirects, for downloads alone.

use http::uri::Uri;
use http::{HeaderMap, Method, header};
use policy::Clearance;

use super::{Client, Origin, Reach, Request, Response, Timeouts};
use crate::Error;

/// Where a chain of redirects ended, and what was said on the way.
pub struct Download {
    pub response: Response,
    /// The URL that answered.
    pub url: String,
    /// The headers of each redirect, in order: a hub states digests there.
    pub hops: Vec<HeaderMap>,
}

/// How to follow redirects.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Where the first URL may lead.
    pub reach: Reach,
    /// Where a redirect to another origin may lead.
    pub redirect_reach: Reach,
    /// At most so many.
    pub redirects: u32,
    /// Sent to every origin, but for credentials, which only the first gets.
    pub headers: HeaderMap,
    pub timeouts: Timeouts,
}

impl Default for Fetch {
    fn default() -> Fetch {
        Fetch {
            reach: Reach::Public,
            redirect_reach: Reach::Public,
            redirects: 5,
            headers: HeaderMap::new(),
            timeouts: Timeouts::default(),
        }
    }
}

pub(super) async fn get(
    client: &Client,
    clearance: &Clearance,
    method: Method,
    url: &str,
    fetch: &Fetch,
) -> Result<Download, Error> {
    let (mut origin, mut path) = Origin::split(url, fetch.reach)?;
    let mut headers = fetch.headers.clone();
    let mut hops = Vec::new();
    loop {
        let request = Request {
            method: method.clone(),
            path: path.clone(),
            headers: headers.clone(),
            body: Vec::new(),
        };
        let response = client.send(clearance, &origin, request, &fetch.timeouts).await?;
        let location = response.headers.get(header::LOCATION).filter(|_| response.status.is_redirection());
        let Some(location) = location.and_then(|value| value.to_str().ok()) else {
            return Ok(Download { response, url: format!("{origin}{path}"), hops });
        };
        if hops.len() >= fetch.redirects as usize {
            return Err(Error::Redirects { limit: fetch.redirects });
        }
        let next = absolute(location, &origin, path.path());
        let (mut to, to_path) = Origin::split(&next, fetch.redirect_reach)?;
        if to.is_same_place(&origin) {
            to = origin.clone();
        }
        // From https one does not step down to http.
        if origin.is_tls() && !to.is_tls() {
            return Err(Error::Url(next));
        }
        if to != origin {
            // A token for one host is not for the next.
            headers.remove(header::AUTHORIZATION);
            headers.remove(header::COOKIE);
        }
        hops.push(response.headers);
        (origin, path) = (to, to_path);
    }
}

fn absolute(location: &str, origin: &Origin, path: &str) -> String {
    let is_absolute = location.parse::<Uri>().is_ok_and(|uri| uri.scheme().is_some());
    if is_absolute {
        return location.to_owned();
    }
    let scheme = if origin.is_tls() { "https:" } else { "http:" };
    if location.starts_with("//") {
        return format!("{scheme}{location}");
    }
    if location.starts_with('/') {
        return format!("{origin}{location}");
    }
    let folder = path.rfind('/').map_or("/", |end| &path[..=end]);
    format!("{origin}{folder}{location}")
}
