//! The parent's side: starts a child for a document, and takes no longer than it may.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use context::parse::{Error, Format, Limits, Parsed};
use runtime::Deadline;

use crate::wire::{self, Answer, Request};

/// What a document may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Of a child's address space. The largest documents that are taken, unpacked and as
    /// text, with the binary itself, take about half.
    pub memory_bytes: u64,
    /// Of a child's processor time.
    pub cpu_seconds: u64,
    /// From the call to the answer, waiting for other documents included.
    pub wall: Duration,
    /// Children side by side; the next one waits.
    pub at_once: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { memory_bytes: 2 << 30, cpu_seconds: 30, wall: Duration::from_secs(60), at_once: 2 }
    }
}

/// The program that reads: it calls [`crate::run`].
#[derive(Clone, Debug)]
pub struct Launch {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    /// All that the child's environment has.
    pub environment: Vec<(OsString, OsString)>,
}

impl Launch {
    /// This binary, also after the file was replaced by a newer one: the link names what
    /// runs, not what lies there now.
    pub fn me(argument: &str) -> Launch {
        Launch { program: "/proc/self/exe".into(), arguments: vec![argument.into()], environment: Vec::new() }
    }
}

/// Reads documents in children. Clones share how many there may be at once.
#[derive(Clone, Debug)]
pub struct Reader {
    launch: Launch,
    bounds: Bounds,
    free: Arc<(Mutex<usize>, Condvar)>,
}

impl Reader {
    pub fn new(launch: Launch, bounds: Bounds) -> Reader {
        Reader { launch, bounds, free: Arc::new((Mutex::new(bounds.at_once.max(1)), Condvar::new())) }
    }

    /// Reads a document in a child, and waits for it: not on a thread that others wait for.
    ///
    /// # Errors
    /// Those of the format; [`Error::Reader`] when the child ended or took too long.
    pub fn read(&self, bytes: &[u8], format: Format, limits: &Limits) -> Result<Parsed, Error> {
        if bytes.len() > limits.bytes {
            return Err(Error::TooLarge { bytes: bytes.len(), max: limits.bytes });
        }
        if bytes.is_empty() {
            return Err(Error::Empty);
        }
        let deadline = Deadline::after(self.bounds.wall);
        let _slot = self.slot(deadline)?;
        let (mut child, stream) =
            self.start().map_err(|why| Error::Reader(format!("could not be started: {why}")))?;
        let request = Request { format, limits: *limits, bounds: self.bounds, bytes: bytes.len() };
        let mut stream = Timed { stream, deadline };
        let sent = stream.write_all(&wire::write_request(&request)).and_then(|()| stream.write_all(bytes));
        // Also when not all of it was taken: the child may have said why.
        let answer =
            match wire::read_answer(&mut io::BufReader::with_capacity(1 << 16, stream), format, limits) {
                Answer::Document(answer) => return answer,
                Answer::Cut(why) => sent.err().unwrap_or(why),
            };
        Err(Error::Reader(self.why(&mut child, &answer, deadline)))
    }

    fn slot(&self, deadline: Deadline) -> Result<Slot<'_>, Error> {
        let (free, freed) = &*self.free;
        let mut count = free.lock().unwrap_or_else(PoisonError::into_inner);
        while *count == 0 {
            let left = deadline.left().unwrap_or_default();
            if left.is_zero() {
                return Err(Error::Reader("was busy with other documents for too long".into()));
            }
            count = freed.wait_timeout(count, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *count -= 1;
        Ok(Slot(&self.free))
    }

    fn start(&self) -> io::Result<(Running, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(&self.launch.program);
        command
            .arg0("bedplate")
            .args(&self.launch.arguments)
            .env_clear()
            .envs(self.launch.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            // What a reader says when it fails has the document's words in it.
            .stderr(Stdio::null());
        Ok((Running(command.spawn()?), ours))
    }

    fn why(&self, child: &mut Running, error: &io::Error, deadline: Deadline) -> String {
        if deadline.is_past() || matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
            return format!("took longer than {} seconds", self.bounds.wall.as_secs());
        }
        // It said what no reader says, and may go on saying it.
        if error.kind() == io::ErrorKind::InvalidData {
            return "answered nonsense".into();
        }
        match child.end() {
            Some(status) => ended(status, &self.bounds),
            None => format!("could not be heard: {error}"),
        }
    }
}

/// How a child ended that gave no answer.
fn ended(status: ExitStatus, bounds: &Bounds) -> String {
    /// What the system sends when the time of `RLIMIT_CPU` is over.
    const SIGXCPU: i32 = 24;
    const SIGABRT: i32 = 6;
    const SIGKILL: i32 = 9;
    match status.signal() {
        Some(SIGXCPU | SIGKILL) => {
            format!(
                "was ended: it computed for {} seconds, or the system ran out of memory",
                bounds.cpu_seconds
            )
        }
        Some(SIGABRT) => {
            format!("failed over it, or needed more than {} MiB of memory", bounds.memory_bytes >> 20)
        }
        _ => format!("failed over it ({status})"),
    }
}

/// A child that does not outlive whoever waits for it.
struct Running(Child);

impl Running {
    /// How it ended by itself. Its socket is closed, so it has, or is about to.
    fn end(&mut self) -> Option<ExitStatus> {
        self.0.wait().ok()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Room for one child, given back at the end.
struct Slot<'r>(&'r (Mutex<usize>, Condvar));

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let (free, freed) = self.0;
        *free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        freed.notify_one();
    }
}

/// A socket on which nothing takes longer than is left.
struct Timed {
    stream: UnixStream,
    deadline: Deadline,
}

impl Timed {
    fn left(&self) -> io::Result<Option<Duration>> {
        match self.deadline.left() {
            Some(left) if left.is_zero() => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(left),
        }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
