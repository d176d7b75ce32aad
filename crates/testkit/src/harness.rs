//! The real binary, as a user runs it: on a data directory, on a free port.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// How to start it.
#[derive(Clone, Debug)]
pub struct Start {
    pub binary: PathBuf,
    pub data: PathBuf,
    /// After `serve --data DIR --listen ADDRESS`.
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub ready_within: Duration,
}

impl Start {
    pub fn new(binary: impl Into<PathBuf>, data: impl Into<PathBuf>) -> Start {
        Start {
            binary: binary.into(),
            data: data.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            ready_within: Duration::from_secs(30),
        }
    }
    pub fn arg(mut self, argument: impl Into<String>) -> Start {
        self.arguments.push(argument.into());
        self
    }
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Start {
        self.environment.push((name.into(), value.into()));
        self
    }
}

/// A running `bedplate serve`; killed when dropped.
pub struct Bedplate {
    child: Child,
    address: SocketAddr,
    start: Start,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

impl Bedplate {
    /// Starts it and waits until `/readyz` answers 200.
    ///
    /// # Errors
    /// If it exits or is not ready in time, with what it wrote.
    pub fn start(start: Start) -> Result<Bedplate> {
        let address = free_address()?;
        let mut child = Command::new(&start.binary)
            .args(["serve", "--data"])
            .arg(&start.data)
            .args(["--listen", &address.to_string()])
            .args(&start.arguments)
            .envs(start.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", start.binary.display()))?;
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        let mut server = Bedplate { child, address, start, stdout, stderr };
        server.wait_until_ready()?;
        Ok(server)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let pause = Duration::from_millis(10);
        let tries = self.start.ready_within.as_millis() / pause.as_millis();
        for _ in 0..tries {
            if self.get("/readyz").is_ok_and(|(status, _)| status == 200) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                // The collecting threads end with the pipes.
                thread::sleep(pause);
                bail!(
                    "bedplate ended with {status} before it was ready:\n{}{}",
                    self.stdout(),
                    self.stderr()
                );
            }
            thread::sleep(pause);
        }
        bail!("bedplate was not ready in {:?}:\n{}{}", self.start.ready_within, self.stdout(), self.stderr())
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
    pub fn data(&self) -> &Path {
        &self.start.data
    }
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
    pub fn stdout(&self) -> String {
        self.stdout.lock().map(|text| text.clone()).unwrap_or_default()
    }
    pub fn stderr(&self) -> String {
        self.stderr.lock().map(|text| text.clone()).unwrap_or_default()
    }

    /// Status and body of a GET, without a key.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        request(self.address, "GET", path, &[], b"")
    }
    /// Status and body of a POST with a bearer key.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub fn post(&self, path: &str, key: &str, body: &str) -> Result<(u16, String)> {
        let bearer = format!("Bearer {key}");
        let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
        request(self.address, "POST", path, &headers, body.as_bytes())
    }

    /// `kill -9`, and waits for the corpse.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn kill(mut self) -> Result<Start> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(self.start.clone())
    }
    /// SIGTERM, then waits for the drain to end.
    ///
    /// # Errors
    /// If it cannot be signalled.
    pub fn drain(mut self) -> Result<ExitStatus> {
        self.signal("TERM")?;
        Ok(self.child.wait()?)
    }
    /// Sends a signal by name, through `kill(1)`: no unsafe code, no dependency.
    ///
    /// # Errors
    /// If `kill` fails.
    pub fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status()?;
        if !status.success() {
            bail!("kill -{name} ended with {status}");
        }
        Ok(())
    }
    /// Kills it and starts it again on the same data.
    ///
    /// # Errors
    /// As [`Bedplate::start`].
    pub fn restart(self) -> Result<Bedplate> {
        Bedplate::start(self.kill()?)
    }
}

impl Drop for Bedplate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback port that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").context("find a free port")?.local_addr()?)
}

fn collect(pipe: Option<impl std::io::Read + Send + 'static>) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&text);
    if let Some(pipe) = pipe {
        thread::spawn(move || {
            let mut lines = BufReader::new(pipe);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                if let Ok(mut text) = into.lock() {
                    text.push_str(&String::from_utf8_lossy(&line));
                }
                line.clear();
            }
        });
    }
    text
}

/// One request on its own connection, read to its end.
///
/// # Errors
/// If the connection fails or the answer is not HTTP.
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, rest) = text.split_once("\r\n\r\n").context("read the answer's head")?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).context("read the answer's status")?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Ok((status, if chunked { dechunk(rest) } else { rest.to_owned() }))
}

fn dechunk(mut text: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let n = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let Some(part) = rest.get(..n).filter(|part| !part.is_empty()) else { break };
        out.push_str(part);
        text = rest.get(n + 2..).unwrap_or_default();
    }
    out
}
