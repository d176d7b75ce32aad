//! A real S3 in a process of its own: moto of the Python registry, which verifies signatures.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

/// The server's process; it ends with its standard input.
pub struct Bucket {
    child: Child,
    stdin: Option<ChildStdin>,
    said: BufReader<ChildStdout>,
    pub url: String,
    /// `ID:SECRET` of whoever may read.
    pub key: String,
}

impl Bucket {
    /// With a bucket `handbook` in the region `eu-test-1`. `None`, aloud, where there is no moto.
    ///
    /// # Panics
    /// If Python is not there.
    pub fn start() -> Option<Bucket> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/s3/server.py");
        let mut python = Command::new("python3");
        python.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = python.spawn().expect("python3 starts");
        let stdin = child.stdin.take();
        let mut said = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        if said.read_line(&mut line).is_ok_and(|n| n == 0) {
            let _ = child.wait();
            eprintln!("SKIPPED: there is no moto (`pip install 'moto[s3,iam,server]'`)");
            return None;
        }
        let mut words = line.trim().split(' ').skip(2).map(str::to_owned);
        let (url, key) = (words.next().expect("an address"), words.next().expect("a key"));
        Some(Bucket { child, stdin, said, url, key })
    }
    /// Puts what has a text, and removes what has none.
    ///
    /// # Panics
    /// If it does not take it.
    pub fn put(&mut self, objects: &Value) {
        let stdin = self.stdin.as_mut().expect("it runs");
        writeln!(stdin, "{objects}").expect("it listens");
        let mut line = String::new();
        self.said.read_line(&mut line).expect("it answers");
        assert_eq!(line, "done\n");
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
