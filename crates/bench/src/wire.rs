//! A blocking HTTP/1.1 client that does as little as a load generator may.
//!
//! The generator shares a core with the mock, so each of its microseconds is
//! taken from the run. A library client parses, allocates and pools; this one
//! writes bytes prepared beforehand and finds the end of the answer. It is for
//! servers this bench started, not for the world.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer that was read to its end.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    pub status: u16,
}

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    framing: Framing,
    keep_alive: bool,
}

/// One keep-alive connection that reopens itself when the server closed it
/// between two requests.
pub struct Connection {
    address: SocketAddr,
    timeout: Duration,
    stream: Option<TcpStream>,
    /// Bytes read and not yet consumed.
    buffer: Vec<u8>,
    start: usize,
    scratch: Box<[u8]>,
}

impl Connection {
    /// Connects lazily: the first exchange opens the socket. `timeout` bounds
    /// each single read and write.
    pub fn new(address: SocketAddr, timeout: Duration) -> Connection {
        let scratch = vec![0; 64 * 1024].into_boxed_slice();
        Connection { address, timeout, stream: None, buffer: Vec::new(), start: 0, scratch }
    }

    /// Sends one whole request and reads its whole answer; the body is appended
    /// to `body` where one is given. A request that met a connection the server
    /// had already closed is sent once more on a fresh one.
    pub fn exchange(&mut self, request: &[u8], body: Option<&mut Vec<u8>>) -> Result<Reply> {
        let reused = self.stream.is_some();
        let mut begun = self.begin(request);
        if reused && begun.is_err() {
            self.stream = None;
            begun = self.begin(request);
        }
        let answer = begun.and_then(|()| self.finish(body));
        if answer.is_err() {
            self.stream = None;
        }
        answer
    }

    /// Sends the request and waits for the first byte of the answer.
    fn begin(&mut self, request: &[u8]) -> Result<()> {
        if self.stream.is_none() {
            let stream = TcpStream::connect_timeout(&self.address, self.timeout)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(self.timeout))?;
            stream.set_write_timeout(Some(self.timeout))?;
            self.stream = Some(stream);
        }
        self.buffer.clear();
        self.start = 0;
        let stream = self.stream.as_mut().expect("opened just above");
        stream.write_all(request)?;
        match self.fill()? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn finish(&mut self, mut body: Option<&mut Vec<u8>>) -> Result<Reply> {
        let head = loop {
            if let Some(end) = find(&self.buffer[self.start..], b"\r\n\r\n") {
                let head = parse_head(&self.buffer[self.start..self.start + end])?;
                self.start += end + 4;
                break head;
            }
            self.need_more()?;
        };
        match head.framing {
            Framing::Length(length) => self.take(length, &mut body)?,
            Framing::Chunked => self.take_chunks(&mut body)?,
            Framing::UntilClose => while self.fill()? > 0 {},
        }
        if head.framing == Framing::UntilClose {
            let rest = self.buffer.len() - self.start;
            self.take(rest, &mut body)?;
        }
        if !head.keep_alive || head.framing == Framing::UntilClose {
            self.stream = None;
        }
        Ok(Reply { status: head.status })
    }

    fn take_chunks(&mut self, body: &mut Option<&mut Vec<u8>>) -> Result<()> {
        loop {
            let size = self.line_as_chunk_size()?;
            if size == 0 {
                while !self.take_line()?.is_empty() {}
                return Ok(());
            }
            self.take(size, body)?;
            self.take(2, &mut None)?;
        }
    }

    fn line_as_chunk_size(&mut self) -> Result<usize> {
        let line = self.take_line()?;
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let text = std::str::from_utf8(digits).map_err(|_| broken("chunk size"))?;
        usize::from_str_radix(text.trim(), 16).map_err(|_| broken("chunk size"))
    }

    fn take_line(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some(end) = find(&self.buffer[self.start..], b"\r\n") {
                let line = self.buffer[self.start..self.start + end].to_vec();
                self.start += end + 2;
                return Ok(line);
            }
            self.need_more()?;
        }
    }

    /// Consumes `count` bytes, reading as many more as that needs.
    fn take(&mut self, mut count: usize, body: &mut Option<&mut Vec<u8>>) -> Result<()> {
        loop {
            let here = (self.buffer.len() - self.start).min(count);
            if let Some(body) = body {
                body.extend_from_slice(&self.buffer[self.start..self.start + here]);
            }
            self.start += here;
            count -= here;
            if count == 0 {
                return Ok(());
            }
            self.buffer.clear();
            self.start = 0;
            self.need_more()?;
        }
    }

    fn need_more(&mut self) -> Result<()> {
        match self.fill()? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn fill(&mut self) -> Result<usize> {
        let stream = self.stream.as_mut().ok_or(ErrorKind::NotConnected)?;
        let count = stream.read(&mut self.scratch)?;
        self.buffer.extend_from_slice(&self.scratch[..count]);
        Ok(count)
    }
}

fn parse_head(head: &[u8]) -> Result<Head> {
    let text = std::str::from_utf8(head).map_err(|_| broken("response head"))?;
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status =
        first.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| broken("status line"))?;
    let mut head = Head { status, framing: Framing::UntilClose, keep_alive: first.starts_with("HTTP/1.1") };
    if status == 204 || status == 304 {
        head.framing = Framing::Length(0);
    }
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") && head.framing != Framing::Chunked {
            head.framing = Framing::Length(value.parse().map_err(|_| broken("content-length"))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            head.framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case("connection") {
            head.keep_alive = !value.eq_ignore_ascii_case("close");
        }
    }
    Ok(head)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("the server sent a broken {what}"))
}

/// A complete request as bytes.
pub fn request(
    method: &str,
    path: &str,
    host: SocketAddr,
    headers: &[(String, String)],
    body: &[u8],
) -> Vec<u8> {
    let mut out = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n");
    if method == "POST" {
        out.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    out.push_str("\r\n");
    let mut bytes = out.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// One GET on a fresh connection; the status alone.
pub fn get(address: SocketAddr, path: &str, timeout: Duration) -> Result<u16> {
    let bytes = request("GET", path, address, &[], b"");
    Connection::new(address, timeout).exchange(&bytes, None).map(|reply| reply.status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Serves each script to one connection, byte by byte so that every border
    /// is a border, and returns what the client made of it.
    fn check(scripts: Vec<&'static str>, requests: usize) -> Vec<(u16, String)> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            for script in scripts {
                let (mut stream, _) = listener.accept().unwrap();
                stream.set_nodelay(true).unwrap();
                let _ = stream.read(&mut [0; 1024]);
                for byte in script.as_bytes() {
                    let _ = stream.write_all(&[*byte]);
                }
            }
        });
        let mut connection = Connection::new(address, Duration::from_secs(10));
        let bytes = request("GET", "/", address, &[], b"");
        let mut seen = Vec::new();
        for _ in 0..requests {
            let mut body = Vec::new();
            let reply = connection.exchange(&bytes, Some(&mut body)).unwrap();
            seen.push((reply.status, String::from_utf8(body).unwrap()));
        }
        server.join().unwrap();
        seen
    }

    #[test]
    fn a_body_ends_where_its_length_says() {
        assert_eq!(
            check(vec!["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"], 1),
            [(200, "hello".into())]
        );
    }

    #[test]
    fn chunks_are_joined_and_trailers_skipped() {
        let script = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nt: 1\r\n\r\n";
        assert_eq!(check(vec![script], 1), [(200, "hello".into())]);
    }

    #[test]
    fn a_body_without_a_length_ends_with_the_connection() {
        assert_eq!(check(vec!["HTTP/1.0 500 No\r\n\r\nbad"], 1), [(500, "bad".into())]);
    }

    #[test]
    fn a_connection_closed_between_requests_is_reopened_once() {
        let script = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        assert_eq!(check(vec![script, script], 2), [(200, "ok".into()), (200, "ok".into())]);
    }

    #[test]
    fn a_head_that_is_not_http_is_an_error() {
        assert!(parse_head(b"nonsense").is_err());
        assert!(parse_head(b"HTTP/1.1 200 OK\r\ncontent-length: many").is_err());
    }
}
