//! The real binary, as a user runs it: on a data directory, on a free port.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::client::Ask;

/// How to start it.
#[derive(Clone, Debug)]
pub struct Start {
    pub binary: PathBuf,
    pub data: PathBuf,
    /// After `serve --listen 127.0.0.1:0 --data DIR`.
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub ready_within: Duration,
    /// Whether [`Bedplate::start`] waits until it is ready.
    pub waits: bool,
}

impl Start {
    pub fn new(binary: impl Into<PathBuf>, data: impl Into<PathBuf>) -> Start {
        Start {
            binary: binary.into(),
            data: data.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            ready_within: Duration::from_secs(30),
            waits: true,
        }
    }
    pub fn arg(mut self, argument: impl Into<String>) -> Start {
        self.arguments.push(argument.into());
        self
    }
    /// It will listen and not be ready.
    pub fn unready(mut self) -> Start {
        self.waits = false;
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
    /// Starts it on a port that it chooses, and waits until `/readyz` answers 200.
    ///
    /// # Errors
    /// If it exits or is not ready in time, with what it wrote.
    pub fn start(start: Start) -> Result<Bedplate> {
        let mut command = Command::new(&start.binary);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&start.data).args(&start.arguments);
        for inherited in ["BEDPLATE_HOME", "BEDPLATE_LISTEN", "BEDPLATE_KEY", "BEDPLATE_URL", "BEDPLATE_LOG"]
        {
            command.env_remove(inherited);
        }
        let mut child = command
            .envs(start.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", start.binary.display()))?;
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Bedplate { child, address: nowhere, start, stdout, stderr };
        server.address = server.poll("said where it listens", |server| listening_on(&server.stdout()))?;
        // Who speaks TLS is asked by a test that knows its authority.
        if server.start.waits && !server.stdout().contains(" listening on https://") {
            server.poll("was ready", |server| {
                server.get("/readyz").is_ok_and(|(s, _)| s == 200).then_some(())
            })?;
        }
        Ok(server)
    }

    /// Asks until there is an answer, the process has ended, or the patience has.
    fn poll<T>(&mut self, what: &str, look: impl Fn(&Bedplate) -> Option<T>) -> Result<T> {
        let pause = Duration::from_millis(5);
        for _ in 0..self.start.ready_within.as_millis() / pause.as_millis() {
            if let Some(found) = look(self) {
                return Ok(found);
            }
            if let Some(status) = self.child.try_wait()? {
                // The collecting threads end with the pipes.
                thread::sleep(pause * 10);
                bail!("bedplate ended with {status} before it {what}:\n{}{}", self.stdout(), self.stderr());
            }
            thread::sleep(pause);
        }
        bail!("no bedplate that {what} in {:?}:\n{}{}", self.start.ready_within, self.stdout(), self.stderr())
    }

    /// The admin key that a first start prints.
    pub fn admin_key(&self) -> Option<String> {
        let is_key = |word: &&str| word.starts_with("bp-") && word.len() >= 40;
        self.stdout().split_whitespace().find(is_key).map(str::to_owned)
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
    pub fn binary(&self) -> &Path {
        &self.start.binary
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
        self.wait()
    }
    /// Waits for its end, after a [`Bedplate::signal`].
    ///
    /// # Errors
    /// If it does not end within a minute.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let pause = Duration::from_millis(10);
        for _ in 0..6_000 {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(pause);
        }
        bail!("bedplate did not end in a minute:\n{}", self.stderr())
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

/// From `bedplate 0.1.0 listening on http://127.0.0.1:4600`, or `https`.
fn listening_on(stdout: &str) -> Option<SocketAddr> {
    let line = stdout.lines().find(|line| line.contains(" listening on http"))?;
    line.rsplit("://").next()?.trim().parse().ok()
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
    let ask = headers.iter().fold(Ask::new(method, path), |ask, (name, value)| ask.header(name, value));
    let answer = ask.body(body).send(address)?;
    Ok((answer.status, answer.body))
}
