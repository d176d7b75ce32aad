//! Where a request may go: decided once, from configuration, never from a request.

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;
use http::uri::{PathAndQuery, Scheme, Uri};

use crate::Error;

/// Which addresses a name may resolve to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reach {
    /// Public addresses only.
    Public,
    /// Any address: its owner declared that it is inside (a vLLM in the cluster, an Ollama on this machine).
    Private,
}

/// A scheme, host and port, and what its name may resolve to. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin(Arc<Parts>);

#[derive(PartialEq, Eq, Hash)]
struct Parts {
    tls: bool,
    host: String,
    port: u16,
    reach: Reach,
    host_header: HeaderValue,
    /// `scheme://host:port`: what a clearance is compared with.
    name: Arc<str>,
}

impl Parts {
    fn new(
        scheme: &str,
        tls: bool,
        host: String,
        port: u16,
        reach: Reach,
        host_header: HeaderValue,
    ) -> Parts {
        let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
        let name = format!("{scheme}://{open}{host}{close}:{port}").into();
        Parts { tls, host, port, reach, host_header, name }
    }
}

impl Origin {
    /// Splits an absolute URL into its origin and its path.
    ///
    /// # Errors
    /// [`Error::Url`]: another scheme, no host, or a user name (a secret where none belongs).
    pub fn split(url: &str, reach: Reach) -> Result<(Origin, PathAndQuery), Error> {
        let bad = || Error::Url(shown(url));
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let tls = match uri.scheme() {
            Some(s) if *s == Scheme::HTTP => false,
            Some(s) if *s == Scheme::HTTPS => true,
            _ => return Err(bad()),
        };
        let authority = uri.authority().filter(|a| !a.as_str().contains('@')).ok_or_else(bad)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if host.is_empty() {
            return Err(bad());
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let host_header = HeaderValue::from_str(authority.as_str()).map_err(|_| bad())?;
        let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let scheme = if tls { "https" } else { "http" };
        Ok((Origin(Arc::new(Parts::new(scheme, tls, host, port, reach, host_header))), path))
    }
    /// The origin of a server that speaks another protocol than HTTP, for [`Socket::dial`](super::Socket::dial).
    pub fn other(scheme: &str, tls: bool, host: &str, port: u16, reach: Reach) -> Origin {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let no_header = HeaderValue::from_static("");
        Origin(Arc::new(Parts::new(scheme, tls, host, port, reach, no_header)))
    }
    /// The origin of a URL, without its path.
    ///
    /// # Errors
    /// As [`Origin::split`].
    pub fn parse(url: &str, reach: Reach) -> Result<Origin, Error> {
        Origin::split(url, reach).map(|(origin, _)| origin)
    }
    pub fn is_tls(&self) -> bool {
        self.0.tls
    }
    pub fn host(&self) -> &str {
        &self.0.host
    }
    pub fn port(&self) -> u16 {
        self.0.port
    }
    /// `scheme://host:port`, always with the port.
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }
    pub fn reach(&self) -> Reach {
        self.0.reach
    }
    /// Whether two origins are the same but for what they may resolve to.
    pub(crate) fn is_same_place(&self, other: &Origin) -> bool {
        (self.0.tls, self.0.port, &self.0.host) == (other.0.tls, other.0.port, &other.0.host)
    }
    pub(crate) fn host_header(&self) -> HeaderValue {
        self.0.host_header.clone()
    }
}

/// A URL as an error may show it: without what may be a password or a key.
fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.rsplit_once('@') {
        Some((_, host)) => format!("...@{}", host.chars().take(200).collect::<String>()),
        None => url.chars().take(200).collect(),
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({:?})", self.0.reach)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port() {
        let (origin, path) = Origin::split("https://API.example.com/v1?x=1", Reach::Public).expect("a URL");
        assert_eq!(origin.to_string(), "https://api.example.com:443");
        assert_eq!(path.as_str(), "/v1?x=1");
        let v6 = Origin::parse("http://[::1]:8000", Reach::Private).expect("a URL");
        assert_eq!((v6.to_string().as_str(), v6.host()), ("http://[::1]:8000", "::1"));
        for bad in ["ftp://a", "/v1", "http://", "https://user:pass@host/", "file:///etc/passwd", ""] {
            assert!(Origin::parse(bad, Reach::Public).is_err(), "{bad} was taken");
        }
        for secret in ["https://user:canary@host/", "nothttp://x?key=canary"] {
            let error = Origin::parse(secret, Reach::Public).expect_err("refused");
            assert!(!error.to_string().contains("canary"), "trap X4: {error}");
        }
    }
}
