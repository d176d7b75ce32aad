//! Starting and ending the programs under test.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::machine::{Pinning, runs};
use crate::{clock, wire};

/// Which side of the run a program stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The mock: shares core 1 with the generator.
    World,
    /// The system being measured: alone on core 0.
    Subject,
}

/// Starts programs pinned, logged and tied to this process.
pub struct Launcher {
    pub pinning: Pinning,
    /// Logs and generated configurations of this run.
    pub scratch: PathBuf,
    dies_with_us: bool,
}

impl Launcher {
    pub fn new(pinning: Pinning, scratch: PathBuf) -> Launcher {
        Launcher { pinning, scratch, dies_with_us: runs("setpriv") }
    }

    /// Starts `program` in its own process group. It is told to die with this
    /// process (`setpriv --pdeathsig`), so that an interrupted bench leaves no
    /// server behind; both wrappers exec, so the child's id is the program's.
    pub fn start(
        &self,
        name: &str,
        side: Side,
        program: &Path,
        shape: impl FnOnce(&mut Command),
    ) -> Result<Server> {
        let mut words: Vec<String> = Vec::new();
        if self.dies_with_us {
            words.extend(["setpriv", "--pdeathsig", "KILL"].map(str::to_owned));
        }
        if self.pinning == Pinning::Split {
            let core = if side == Side::World { "1" } else { "0" };
            words.extend(["taskset", "-c", core].map(str::to_owned));
        }
        words.push(program.display().to_string());
        let log = self.scratch.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        shape(&mut command);
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        let spawned = clock::now();
        let child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        Ok(Server { child, log, spawned })
    }
}

/// A program that is running; ended, children and all, when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    pub log: PathBuf,
    pub spawned: Instant,
}

impl Server {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `path` answers 200. Returns the time since the program was
    /// started. An error with the end of its log when it ends or stays silent.
    pub fn ready(&mut self, address: SocketAddr, path: &str, patience: Duration) -> Result<Duration> {
        while self.spawned.elapsed() < patience {
            if matches!(wire::get(address, path, Duration::from_secs(2)), Ok(200)) {
                return Ok(self.spawned.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}: {}", tail(&self.log));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        bail!("{path} did not answer 200 within {patience:?}: {}", tail(&self.log))
    }

    /// Asks it to end (SIGTERM) and waits. Returns false when it had to be
    /// killed after `patience`.
    pub fn stop(mut self, patience: Duration) -> bool {
        self.signal("TERM");
        let asked = clock::now();
        while asked.elapsed() < patience {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        false
    }

    fn signal(&self, name: &str) {
        // std can only kill the one process; a server's workers share its group.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-s", name, "--", &group]).stderr(Stdio::null()).status();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal("KILL");
        let _ = self.child.wait();
    }
}

/// The last lines of a log, for an error message.
pub fn tail(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(4)..].join(" | ");
    if last.is_empty() { "(its log is empty)".into() } else { last.chars().take(600).collect() }
}

/// A loopback address that was free a moment ago. Another program could take
/// the port in between; then the start fails and says so.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("bind a loopback port")?;
    Ok(listener.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_ends_early_is_reported_with_its_last_words() {
        let scratch = tempfile::tempdir().unwrap();
        let launcher = Launcher::new(Pinning::None, scratch.path().to_owned());
        let mut server = launcher
            .start("early", Side::World, Path::new("sh"), |c| {
                c.args(["-c", "echo no config >&2; exit 3"]);
            })
            .unwrap();
        let address = free_address().unwrap();
        let error = server.ready(address, "/", Duration::from_secs(60)).unwrap_err().to_string();
        assert!(error.contains("no config"), "{error}");
    }

    #[test]
    fn children_of_a_program_end_with_it() {
        let scratch = tempfile::tempdir().unwrap();
        let launcher = Launcher::new(Pinning::None, scratch.path().to_owned());
        let server = launcher
            .start("parent", Side::World, Path::new("sh"), |c| {
                c.args(["-c", "sleep 600 & wait"]);
            })
            .unwrap();
        let pid = server.pid();
        drop(server);
        assert!(crate::proc::usage(pid).is_err());
    }
}
