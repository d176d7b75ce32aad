//! `demo`: what a new user sees. Builds the release binary, starts it on a
//! fresh data directory and a free port, creates a team, a budget and a key
//! through the command line, asks two questions through two dialects, and
//! shows what they cost and why they went where they went.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::prerequisites;
use crate::shell::{cargo, command, run as run_command, show, target};

#[derive(Args)]
pub struct Demo {
    /// Stop the server at the end and delete its data.
    #[arg(long)]
    once: bool,
    /// Use this binary instead of building one.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

const READY_WITHIN: Duration = Duration::from_secs(60);

pub fn run(demo: &Demo) -> Result<()> {
    let binary = match &demo.binary {
        Some(binary) => binary.canonicalize().with_context(|| format!("find {}", binary.display()))?,
        None => {
            say("1/6", "what the build needs");
            prerequisites::for_build()?;
            say("2/6", "build the release binary (several minutes the first time)");
            run_command(
                cargo().args(["build", "--release", "-p", "bedplate"]).envs(crate::machine::engine_flags()),
            )?;
            target().join("release/bedplate")
        }
    };
    say("3/6", "start the server");
    let data = fresh_folder()?;
    let mut server = Server::start(&binary, &data)?;
    let told = tell(&server, &binary);
    if demo.once || told.is_err() {
        let stopped = server.stop();
        if demo.once {
            let _ = std::fs::remove_dir_all(&data);
        }
        told?;
        stopped?;
        println!("\nthe server is stopped and its data deleted; without --once it stays up");
        return Ok(());
    }
    println!("\nthe server stays up until Ctrl-C; its data: {}\n", data.display());
    println!("  console   {}/", server.url);
    println!("  export BEDPLATE_URL={} BEDPLATE_KEY={}", server.url, server.admin_key);
    println!("  {} chat \"What is a budget?\"", binary.display());
    println!(
        "  curl {}/v1/chat/completions -H \"authorization: Bearer $BEDPLATE_KEY\" -H 'content-type: application/json' \\\n    \
         -d '{{\"model\":\"bedplate-guide\",\"messages\":[{{\"role\":\"user\",\"content\":\"What is Bedplate?\"}}]}}'",
        server.url
    );
    let status = server.child.wait().context("wait for the server")?;
    println!("the server ended with {status}");
    Ok(())
}

/// The part between start and stop.
fn tell(server: &Server, binary: &Path) -> Result<()> {
    let admin = Cli { binary, url: &server.url, key: &server.admin_key };
    say("4/6", "a team, a budget and a key");
    admin.run(&["team", "create", "demo"])?;
    admin.run(&[
        "budget",
        "create",
        "demo-month",
        "--team",
        "demo",
        "--limit",
        "1.00",
        "--period",
        "month",
    ])?;
    let key = admin.run(&["key", "create", "demo-key", "--team", "demo"])?;
    let key = key.split_whitespace().next_back().context("read the new key")?.to_owned();

    say("5/6", "one question through the OpenAI dialect, one through the Anthropic dialect");
    let user = Cli { binary, url: &server.url, key: &key };
    let mut ids = Vec::new();
    for (dialect, question) in [("openai", "What is Bedplate?"), ("anthropic", "What is a budget?")] {
        let (answer, footer) = user.chat(&["chat", question, "--dialect", dialect, "--temperature", "0"])?;
        ensure!(answer.split_whitespace().count() >= 3, "the answer through {dialect} is empty: {answer:?}");
        ids.extend(footer.lines().find_map(|l| l.strip_prefix("bedplate explain ")).map(str::to_owned));
    }

    say("6/6", "what it cost, and why");
    admin.run(&["cost", "report", "--by", "model"])?;
    admin.run(&["cost", "check"])?;
    admin.run(&["budget", "list"])?;
    let last = ids.last().map_or("last", String::as_str);
    let explained = admin.run(&["explain", last])?;
    ensure!(explained.contains("ledger"), "the explanation shows no ledger");
    Ok(())
}

fn say(step: &str, what: &str) {
    println!("\n[{step}] {what}");
}

/// The command line, against the server.
struct Cli<'a> {
    binary: &'a Path,
    url: &'a str,
    key: &'a str,
}

impl Cli<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        println!("$ bedplate {}", arguments.iter().map(|a| quote(a)).collect::<Vec<_>>().join(" "));
        let mut command = command(self.binary);
        command.args(arguments).env("BEDPLATE_URL", self.url).env("BEDPLATE_KEY", self.key);
        command
    }
    /// Runs it, shows and returns its standard output.
    fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.command(arguments);
        let done = command.stderr(Stdio::inherit()).output().with_context(|| show(&command))?;
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        print!("{text}");
        ensure!(done.status.success(), "`{}` ended with {}", show(&command), done.status);
        Ok(text)
    }
    /// Runs it and shows its output as it streams; standard output, then standard error.
    fn chat(&self, arguments: &[&str]) -> Result<(String, String)> {
        let mut command = self.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut answer = Vec::new();
        let mut out = child.stdout.take().context("take the output")?;
        let mut piece = [0; 256];
        loop {
            let n = out.read(&mut piece)?;
            if n == 0 {
                break;
            }
            answer.extend_from_slice(&piece[..n]);
            let mut terminal = std::io::stdout().lock();
            terminal.write_all(&piece[..n])?;
            terminal.flush()?;
        }
        let mut footer = String::new();
        child.stderr.take().context("take the speech")?.read_to_string(&mut footer)?;
        print!("{footer}");
        let status = child.wait()?;
        ensure!(status.success(), "`{}` ended with {status}", show(&command));
        Ok((String::from_utf8_lossy(&answer).into_owned(), footer))
    }
}

fn quote(word: &str) -> String {
    if word.contains(' ') { format!("\"{word}\"") } else { word.to_owned() }
}

/// A running server; killed when dropped.
struct Server {
    child: Child,
    url: String,
    admin_key: String,
}

impl Server {
    fn start(binary: &Path, data: &Path) -> Result<Server> {
        let address = TcpListener::bind("127.0.0.1:0").context("find a free port")?.local_addr()?;
        let mut serve = command(binary);
        serve.args(["serve", "--listen", &address.to_string(), "--data"]).arg(data);
        println!("$ {}", show(&serve));
        let mut child = serve
            .env_remove("BEDPLATE_LISTEN")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start the server")?;
        let (lines, seen) = channel();
        for pipe in
            [child.stdout.take().map(Pipe::Out), child.stderr.take().map(Pipe::Err)].into_iter().flatten()
        {
            let lines = lines.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    // Nobody listens any more once the key was seen; keep reading so that the server never blocks.
                    let _ = lines.send(line);
                }
            });
        }
        drop(lines);
        let mut server = Server { child, url: format!("http://{address}"), admin_key: String::new() };
        server.admin_key = admin_key(&seen)?;
        server.wait_until_ready()?;
        Ok(server)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let pause = Duration::from_millis(50);
        for _ in 0..READY_WITHIN.as_millis() / pause.as_millis() {
            let ready = format!("{}/readyz", self.url);
            if crate::shell::answers("curl", &["-fsS", "-o", "/dev/null", "--max-time", "2", &ready]) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status} before it was ready");
            }
            std::thread::sleep(pause);
        }
        bail!("the server was not ready in {READY_WITHIN:?}")
    }

    /// Asks it to drain.
    fn stop(&mut self) -> Result<()> {
        run_command(command("kill").args(["-TERM", &self.child.id().to_string()]))?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

enum Pipe {
    Out(std::process::ChildStdout),
    Err(std::process::ChildStderr),
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Pipe::Out(pipe) => pipe.read(buffer),
            Pipe::Err(pipe) => pipe.read(buffer),
        }
    }
}

/// The one-time admin key, from what the first start prints.
fn admin_key(lines: &Receiver<String>) -> Result<String> {
    let mut seen = Vec::new();
    loop {
        match lines.recv_timeout(READY_WITHIN) {
            Ok(line) => {
                println!("  | {line}");
                if let Some(key) =
                    line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).find(|w| is_key(w))
                {
                    return Ok(key.to_owned());
                }
                seen.push(line);
            }
            Err(RecvTimeoutError::Timeout) => bail!("the server printed no admin key in {READY_WITHIN:?}"),
            Err(RecvTimeoutError::Disconnected) => bail!("the server ended:\n{}", seen.join("\n")),
        }
    }
}

fn is_key(word: &str) -> bool {
    word.len() >= 40
        && word.strip_prefix("bp-").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphanumeric()))
}

fn fresh_folder() -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("bedplate-demo-{}", std::process::id()));
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("empty {}", folder.display()))?;
    }
    Ok(folder)
}
