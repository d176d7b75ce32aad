//! An MCP server as a child process: lines of JSON on its standard input and output.
//!
//! The program and its arguments come from a manifest and from nowhere else
//! (TRAPS X5). One thread owns one child and asks one thing at a time; a child
//! that is slow, silent or talks nonsense is killed, and started again for the
//! next request. It inherits no environment of ours but `PATH` and `HOME`.

use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use mcp::{Id, Message};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::http::{client_info, next_id};

/// A child process to be, or that is.
pub struct Child {
    program: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
}

struct Job {
    method: String,
    params: Value,
    within: Duration,
    answer: oneshot::Sender<Result<Value, String>>,
}

/// Requests that wait for one child.
const QUEUE: usize = 32;
/// How long the handshake may take.
const START: Duration = Duration::from_secs(20);

impl Child {
    pub fn new(program: String, arguments: Vec<String>, environment: Vec<(String, String)>) -> Child {
        Child { program, arguments, environment, jobs: Mutex::default() }
    }

    pub(super) async fn ask(&self, method: &str, params: Value, within: Duration) -> Result<Value, String> {
        let (answer, answered) = oneshot::channel();
        let job = Job { method: method.into(), params, within, answer };
        self.sender()?.try_send(job).map_err(|_| "too many requests wait for it".to_owned())?;
        let late = || format!("it did not answer within {} s", within.as_secs());
        match timeout(within.saturating_add(START), answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err("its thread ended".into()),
            Err(_) => Err(late()),
        }
    }

    fn sender(&self) -> Result<mpsc::Sender<Job>, String> {
        let mut jobs = self.jobs.lock().expect("no code panics while it holds the queue");
        if let Some(sender) = jobs.as_ref().filter(|s| !s.is_closed()) {
            return Ok(sender.clone());
        }
        let (sender, receiver) = mpsc::channel(QUEUE);
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let started = std::thread::Builder::new().name("tool-child".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                runtime.block_on(serve(command, receiver));
            }
        });
        started.map_err(|e| e.to_string())?;
        *jobs = Some(sender.clone());
        Ok(sender)
    }
}

/// Answers jobs until nobody can send any more.
async fn serve(mut command: Command, mut jobs: mpsc::Receiver<Job>) {
    let mut running: Option<Running> = None;
    while let Some(job) = jobs.recv().await {
        let result = answer(&mut command, &mut running, &job).await;
        if result.is_err() {
            // Whatever it still says would be taken for the answer to the next.
            running = None;
        }
        let _ = job.answer.send(result.and_then(|told| told.map_err(|e| format!("it says: {e}"))));
    }
}

/// What the child told, or why it is of no use any more.
async fn answer(
    command: &mut Command,
    running: &mut Option<Running>,
    job: &Job,
) -> Result<Result<Value, String>, String> {
    if running.is_none() {
        let begun = timeout(START, Running::begin(command)).await;
        *running = Some(begun.map_err(|_| "it did not start in time".to_owned())??);
    }
    let Some(child) = running.as_mut() else { return Err("it did not start".into()) };
    timeout(job.within, child.ask(&job.method, job.params.clone()))
        .await
        .map_err(|_| format!("it did not answer within {} s", job.within.as_secs()))?
}

struct Running {
    #[expect(dead_code, reason = "dropping it kills the child")]
    child: tokio::process::Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Running {
    async fn begin(command: &mut Command) -> Result<Running, String> {
        let mut child = command.spawn().map_err(|e| format!("it could not be started: {e}"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("it has no pipes".into());
        };
        let mut running = Running { child, input, output: BufReader::new(output) };
        let newest = mcp::HANDSHAKE[mcp::HANDSHAKE.len() - 1];
        let hello = json!({"protocolVersion": newest, "capabilities": {}, "clientInfo": client_info()});
        running.ask("initialize", hello).await?.map_err(|e| format!("it refused the handshake: {e}"))?;
        running.write(mcp::notification("notifications/initialized")).await?;
        Ok(running)
    }

    async fn ask(&mut self, method: &str, params: Value) -> Result<Result<Value, String>, String> {
        let id = next_id();
        self.write(mcp::request(&id, method, params)).await?;
        loop {
            let line = self.line().await?;
            match mcp::decode(&line) {
                Ok(Message::Response { id: found, result }) if found == id => {
                    return Ok(result.map_err(|e| format!("{:.300} ({})", mcp::disarm(&e.message).0, e.code)));
                }
                Ok(Message::Response { .. }) => return Err("its answer belongs to another request".into()),
                // It may ask for what we do not offer; a polite child waits for no answer.
                Ok(Message::Request { id, .. }) => self.decline(&id).await?,
                Ok(Message::Notification { .. }) => {}
                Err((_, error)) => return Err(error.message),
            }
        }
    }

    async fn decline(&mut self, id: &Id) -> Result<(), String> {
        let error = mcp::RpcError::new(mcp::METHOD_NOT_FOUND, "not offered");
        self.write(mcp::failure(Some(id), &error)).await
    }

    async fn write(&mut self, mut line: Vec<u8>) -> Result<(), String> {
        line.push(b'\n');
        self.input.write_all(&line).await.map_err(|e| format!("it does not listen: {e}"))?;
        self.input.flush().await.map_err(|e| format!("it does not listen: {e}"))
    }

    /// One line, at most a message long.
    async fn line(&mut self) -> Result<Vec<u8>, String> {
        let mut line = Vec::new();
        loop {
            let part = self.output.fill_buf().await.map_err(|e| e.to_string())?;
            if part.is_empty() {
                return Err("it ended".into());
            }
            let end = part.iter().position(|b| *b == b'\n');
            let taken = end.map_or(part.len(), |at| at + 1);
            line.extend_from_slice(&part[..taken]);
            self.output.consume(taken);
            if line.len() > mcp::MESSAGE_MAX {
                return Err("its line is too long".into());
            }
            if end.is_some() {
                return Ok(line);
            }
        }
    }
}
