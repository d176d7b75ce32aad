//! As much HTTP/1.1 as a fake server needs, with hands on every byte.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// A request as it was read.
#[derive(Clone, Debug, Default)]
pub struct Received {
    pub method: String,
    /// With its query.
    pub path: String,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }
}

/// One accepted connection.
pub struct Peer {
    pub stream: TcpStream,
    unread: Vec<u8>,
    stop: Arc<AtomicBool>,
}

/// What [`Peer::wait`] saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waited {
    Elapsed,
    /// The client closed or reset the connection (or the server is stopping).
    Gone,
}

impl Peer {
    /// The next request; `None` when the client closed between two.
    pub fn request(&mut self) -> io::Result<Option<Received>> {
        let head_end = loop {
            if let Some(at) = self.unread.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.fill()? {
                return if self.unread.is_empty() { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        };
        let head = String::from_utf8_lossy(&self.unread[..head_end]).into_owned();
        self.unread.drain(..head_end);
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let mut received = Received {
            method: first.next().unwrap_or_default().to_owned(),
            path: first.next().unwrap_or_default().to_owned(),
            ..Received::default()
        };
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            received.headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
        if received.header("expect").is_some_and(|v| v.eq_ignore_ascii_case("100-continue")) {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if received.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            received.body = self.chunked()?;
        } else {
            let n = received.header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
            received.body = self.exactly(n)?;
        }
        Ok(Some(received))
    }

    fn chunked(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line_end = loop {
                if let Some(at) = self.unread.windows(2).position(|w| w == b"\r\n") {
                    break at;
                }
                if !self.fill()? {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            };
            let size = String::from_utf8_lossy(&self.unread[..line_end]).trim().to_owned();
            self.unread.drain(..line_end + 2);
            let n = usize::from_str_radix(&size, 16).map_err(|_| io::Error::from(ErrorKind::InvalidData))?;
            body.extend(self.exactly(n)?);
            self.exactly(2)?;
            if n == 0 {
                return Ok(body);
            }
        }
    }

    fn exactly(&mut self, n: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < n {
            if !self.fill()? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.unread.drain(..n).collect())
    }

    /// Reads some more; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        let mut block = [0; 64 * 1024];
        self.stream.set_read_timeout(Some(SLICE))?;
        loop {
            match self.stream.read(&mut block) {
                Ok(0) => return Ok(false),
                Ok(n) => {
                    self.unread.extend_from_slice(&block[..n]);
                    return Ok(true);
                }
                Err(e) if is_timeout(&e) && !self.stop.load(SeqCst) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Waits, watching the connection.
    pub fn wait(&mut self, how_long: Duration) -> Waited {
        let mut left = how_long;
        while !left.is_zero() {
            let slice = left.min(SLICE);
            if self.stop.load(SeqCst) || self.stream.set_read_timeout(Some(slice)).is_err() {
                return Waited::Gone;
            }
            let mut byte = [0];
            match self.stream.peek(&mut byte) {
                Ok(0) => return Waited::Gone,
                // Pipelined bytes: the connection lives, but can no longer be watched by peeking.
                Ok(_) => thread::sleep(slice),
                Err(e) if is_timeout(&e) => {}
                Err(_) => return Waited::Gone,
            }
            left -= slice;
        }
        Waited::Elapsed
    }

    /// Waits until the client is gone, at most a minute.
    pub fn wait_gone(&mut self) -> Waited {
        self.wait(Duration::from_secs(60))
    }

    /// Writes bytes as they are.
    pub fn raw(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// A whole response.
    pub fn answer(
        &mut self,
        status: u16,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> io::Result<()> {
        let body = body.as_ref();
        let length = body.len().to_string();
        let mut head = head(status, headers);
        head.push_str(&format!("content-length: {length}\r\n\r\n"));
        self.raw([head.as_bytes(), body].concat())
    }

    /// The head of a chunked response.
    pub fn start_chunked(&mut self, status: u16, headers: &[(&str, &str)]) -> io::Result<()> {
        let head = head(status, headers) + "transfer-encoding: chunked\r\n\r\n";
        self.raw(head)
    }
    pub fn chunk(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let bytes = bytes.as_ref();
        self.raw([format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat())
    }
    pub fn end_chunked(&mut self) -> io::Result<()> {
        self.raw("0\r\n\r\n")
    }
}

const SLICE: Duration = Duration::from_millis(50);

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn head(status: u16, headers: &[(&str, &str)]) -> String {
    let mut head = format!("HTTP/1.1 {status} Status\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head
}

/// A listener on a free loopback port, with a thread per connection. Stops when dropped.
pub struct Listener {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl Listener {
    /// Serves every connection with `serve`, which is called once per connection.
    ///
    /// # Errors
    /// If no port can be bound.
    pub fn start(serve: impl Fn(Peer) + Send + Sync + 'static) -> io::Result<Listener> {
        Listener::start_on(0, serve)
    }
    /// As [`Listener::start`], on a chosen port (0: any).
    ///
    /// # Errors
    /// If the port cannot be bound.
    pub fn start_on(port: u16, serve: impl Fn(Peer) + Send + Sync + 'static) -> io::Result<Listener> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopping, serve) = (Arc::clone(&stop), Arc::new(serve));
        thread::Builder::new().name("fake".into()).spawn(move || {
            for stream in listener.incoming() {
                if stopping.load(SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let _ = stream.set_nodelay(true);
                let peer = Peer { stream, unread: Vec::new(), stop: Arc::clone(&stopping) };
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(peer));
            }
        })?;
        Ok(Listener { address, stop })
    }
    pub fn address(&self) -> SocketAddr {
        self.address
    }
    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        // Wakes the thread that waits in `accept`.
        let _ = TcpStream::connect(self.address);
    }
}
