//! The command line, as a script uses it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Standard output as JSON.
    ///
    /// # Panics
    /// If it is not one JSON value.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("not JSON ({e}): {self:#?}"))
    }
    /// Itself, when it exited with this code.
    ///
    /// # Panics
    /// If it did not.
    pub fn exits(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

/// Runs the binary with arguments, variables and a standard input.
///
/// # Panics
/// If it cannot be started, or was killed by a signal.
pub fn bedplate(binary: &Path, arguments: &[&str], environment: &[(&str, &str)], stdin: &str) -> Ran {
    let mut command = Command::new(binary);
    for inherited in ["BEDPLATE_HOME", "BEDPLATE_LISTEN", "BEDPLATE_KEY", "BEDPLATE_URL", "BEDPLATE_HUB"] {
        command.env_remove(inherited);
    }
    command.args(arguments).envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start the command");
    // A command that does not read its input may be gone already.
    let _ = child.stdin.take().expect("it is piped").write_all(stdin.as_bytes());
    let output = child.wait_with_output().expect("wait for the command");
    let code = output.status.code().unwrap_or_else(|| panic!("{arguments:?} ended by {}", output.status));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { code, stdout: text(output.stdout), stderr: text(output.stderr) }
}
