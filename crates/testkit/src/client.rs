//! A client with hands on every byte: it can send half a request, read half an
//! answer, and leave.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// A request, to be sent on a connection of its own.
#[derive(Clone, Debug)]
pub struct Ask {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Ask {
    pub fn new(method: &str, path: &str) -> Ask {
        Ask { method: method.to_owned(), path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
    }
    pub fn get(path: &str) -> Ask {
        Ask::new("GET", path)
    }
    /// With a body of type `application/json`, whatever its bytes are.
    pub fn post(path: &str, body: impl Into<Vec<u8>>) -> Ask {
        Ask::new("POST", path).header("content-type", "application/json").body(body)
    }
    /// As [`Ask::post`].
    pub fn json(path: &str, body: &Value) -> Ask {
        Ask::post(path, body.to_string())
    }
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Ask {
        self.body = body.into();
        self
    }
    /// Replaces a header of the same name.
    pub fn header(mut self, name: &str, value: &str) -> Ask {
        self.headers.retain(|(have, _)| have != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
    /// `authorization: Bearer`.
    pub fn key(self, key: &str) -> Ask {
        self.header("authorization", &format!("Bearer {key}"))
    }

    /// Sends it and returns before the answer.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub fn open(&self, address: SocketAddr) -> Result<Open> {
        let stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let Ask { method, path, headers, body } = self;
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| name == "host") {
            head.push_str(&format!("host: {address}\r\n"));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        let mut open = Open { stream, received: Vec::new(), over: false };
        // A server may answer before it has read everything, and then stop reading.
        let _ = open.stream.write_all(head.as_bytes()).and_then(|()| open.stream.write_all(body));
        Ok(open)
    }

    /// Sends it and reads the answer to its end.
    ///
    /// # Errors
    /// If the server cannot be reached or answers without a head.
    pub fn send(&self, address: SocketAddr) -> Result<Answer> {
        self.open(address)?.rest().with_context(|| format!("{} {}", self.method, self.path))
    }
}

/// Far beyond what any answer takes: a hang ends as an error, not as a hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer as it comes. Dropping it closes the connection: the client left.
pub struct Open {
    stream: TcpStream,
    received: Vec<u8>,
    over: bool,
}

impl Open {
    /// Whether more came; false at the end.
    fn pull(&mut self) -> io::Result<bool> {
        let mut block = [0; 16 * 1024];
        let n = self.stream.read(&mut block)?;
        self.received.extend_from_slice(&block[..n]);
        self.over = n == 0;
        Ok(n > 0)
    }
    /// Reads until what came holds a text; the text of everything so far.
    ///
    /// # Errors
    /// If the answer ends before it.
    pub fn until(&mut self, text: &str) -> Result<String> {
        loop {
            let so_far = String::from_utf8_lossy(&self.received).into_owned();
            if so_far.contains(text) {
                return Ok(so_far);
            }
            if !self.pull()? {
                anyhow::bail!("the answer ended without {text:?}: {so_far}");
            }
        }
    }
    /// Reads to the end, or to where the connection breaks.
    ///
    /// # Errors
    /// If there was no head of an answer.
    pub fn rest(mut self) -> Result<Answer> {
        let broken = loop {
            match self.pull() {
                Ok(true) => {}
                Ok(false) => break false,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    anyhow::bail!("no end of the answer in {PATIENCE:?}");
                }
                Err(_) => break true,
            }
        };
        let mut answer = Answer::read(&self.received)?;
        answer.whole &= !broken;
        Ok(answer)
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// It ended as its framing says that it does: nothing was cut.
    pub whole: bool,
}

impl Answer {
    fn read(bytes: &[u8]) -> Result<Answer> {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n");
        let end = end.with_context(|| format!("no head in {:?}", String::from_utf8_lossy(bytes)))?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let rest = &bytes[end + 4..];
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|l| l.split(' ').nth(1)?.parse().ok());
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut answer =
            Answer { status: status.context("read the status")?, headers, body: String::new(), whole: true };
        let body;
        if answer.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            (body, answer.whole) = dechunk(rest);
        } else {
            body = rest.to_vec();
            let length = answer.header("content-length").and_then(|v| v.parse::<usize>().ok());
            answer.whole = length.is_none_or(|n| n == body.len());
        }
        answer.body = String::from_utf8_lossy(&body).into_owned();
        Ok(answer)
    }
    /// The first of a name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }
    /// The body as JSON; null when it is not.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
    /// The data of every event of a stream.
    pub fn events(&self) -> Vec<&str> {
        self.body.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim).collect()
    }
}

/// What the chunks hold, and whether the last one came.
fn dechunk(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    while let Some(at) = bytes.windows(2).position(|w| w == b"\r\n") {
        let size =
            std::str::from_utf8(&bytes[..at]).ok().and_then(|s| usize::from_str_radix(s.trim(), 16).ok());
        let Some(size) = size else { break };
        if size == 0 {
            return (out, true);
        }
        let rest = &bytes[at + 2..];
        out.extend_from_slice(&rest[..size.min(rest.len())]);
        bytes = rest.get(size + 2..).unwrap_or_default();
    }
    (out, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined_and_a_missing_end_is_seen() {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nX-A: b\r\n\r\n";
        let whole = Answer::read(format!("{head}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").as_bytes()).unwrap();
        assert_eq!((whole.status, whole.body.as_str(), whole.whole), (200, "abcde", true));
        assert_eq!(whole.header("x-a"), Some("b"));
        let cut = Answer::read(format!("{head}3\r\nabc\r\n2\r\nd").as_bytes()).unwrap();
        assert_eq!((cut.body.as_str(), cut.whole), ("abcd", false));
    }

    #[test]
    fn a_body_shorter_than_announced_is_not_whole() {
        let text = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 5\r\n\r\nabc";
        assert!(!Answer::read(text).unwrap().whole);
        assert!(Answer::read(b"no head").is_err());
    }
}
