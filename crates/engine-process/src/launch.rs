//! How an engine's process is started, and how it protects itself and others.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{DumpableBehavior, Pid, Resource, Rlimit, Signal};

/// Where engines run.
#[derive(Clone, Debug)]
pub enum Place {
    /// In this process.
    Here,
    /// In a process each.
    Child(Launch),
}

/// The program that is an engine: it calls [`crate::run`].
#[derive(Clone, Debug)]
pub struct Launch {
    pub program: PathBuf,
    /// The file's name is added, for whoever looks at the list of processes.
    pub arguments: Vec<OsString>,
    /// All that the child's environment has. The server's holds keys of
    /// providers, perhaps the master key: none of them is the engine's business.
    pub environment: Vec<(OsString, OsString)>,
}

impl Launch {
    /// This binary, also after the file was replaced by a newer one: the link
    /// names what runs, not what lies there now.
    pub fn me(argument: &str, environment: Vec<(OsString, OsString)>) -> Launch {
        Launch { program: "/proc/self/exe".into(), arguments: vec![argument.into()], environment }
    }

    /// Starts it, with the other end of the socket as its standard input.
    pub(crate) fn start(&self, model: &Path) -> io::Result<(Child, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(&self.program);
        command
            .arg0("bedplate")
            .args(&self.arguments)
            .arg(model.file_name().unwrap_or_default())
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            // A terminal's Ctrl-C is for the server, which drains; the engine ends with it.
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        Ok((command.spawn()?, ours))
    }
}

/// What the child does first. Each is a wish: where the system refuses one, the
/// engine runs without it.
pub(crate) fn settle_in() {
    // When memory runs out the engine goes, not the server with its books.
    let _ = std::fs::write("/proc/self/oom_score_adj", "500");
    // A core dump would hold prompts, in a file or in a pipe. The last: files of `/proc/self`
    // belong to root from then on.
    let _ = rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Ends this process at once: its destructors must not find the engine computing.
pub(crate) fn end_now() -> ! {
    let me: Pid = rustix::process::getpid();
    let _ = rustix::process::kill_process(me, Signal::KILL);
    std::process::abort();
}
