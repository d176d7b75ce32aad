//! The client of `bench serve` and `soak`: one open loop for every server.
//!
//! Each request has a time at which it is due, whatever became of the others,
//! a connection of its own, and is timed from when it was due. One thread: the
//! servers under test compute on all cores, and a client that took a core from
//! them would be part of the result.

pub mod sse;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::{Method, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::clock;
use sse::{Event, Reader, clip};

/// A request and its place in the run.
#[derive(Clone, Debug)]
pub struct Request {
    /// When it is sent, from the start of the run.
    pub due: Duration,
    pub path: &'static str,
    pub key: Option<String>,
    pub body: String,
    /// The client hangs up this long after it asked.
    pub leaves_after: Option<Duration>,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// To its end: `[DONE]`, or a whole body with status 200.
    Whole,
    /// The client hung up, as it was told to.
    Left,
    /// Another status than 200, with the beginning of its body.
    Refused(u16, String),
    /// An error within the stream, a broken connection, or a stream without its end.
    Broken(String),
    /// No end within the patience of the run.
    Late,
}

/// What came of a request. All times count from the start of the run.
#[derive(Clone, Debug)]
pub struct Answer {
    pub due: Duration,
    /// Arrival of each event with text.
    pub texts: Vec<Duration>,
    pub ended: Duration,
    pub end: End,
    pub text_bytes: usize,
    /// By the server's own count; `None` where it gave none.
    pub completion_tokens: Option<u64>,
}

impl Answer {
    /// From when it was due to its first text.
    pub fn first_text(&self) -> Option<Duration> {
        Some(self.texts.first()?.saturating_sub(self.due))
    }

    /// Times between one text and the next, with the time the gap ended.
    pub fn gaps(&self) -> impl Iterator<Item = (Duration, Duration)> + '_ {
        self.texts.windows(2).map(|pair| (pair[1], pair[1].saturating_sub(pair[0])))
    }

    pub fn whole(&self) -> bool {
        self.end == End::Whole
    }
}

/// Sends every request when it is due and waits for all ends. Answers stand in
/// the order of the requests.
pub fn open_loop(server: SocketAddr, requests: Vec<Request>, patience: Duration) -> Result<Vec<Answer>> {
    runtime()?.block_on(async {
        let origin = clock::now();
        let mut tasks = JoinSet::new();
        for (place, request) in requests.into_iter().enumerate() {
            tasks.spawn(async move {
                tokio::time::sleep_until((origin + request.due).into()).await;
                (place, ask(server, origin, request, patience).await)
            });
        }
        let mut answers = tasks.join_all().await;
        answers.sort_by_key(|(place, _)| *place);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    })
}

/// One thread for everything that a client does.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")
}

/// Sends one request now and reads its answer to whatever end it has.
pub async fn ask(server: SocketAddr, origin: Instant, request: Request, patience: Duration) -> Answer {
    let mut answer = Answer {
        due: request.due,
        texts: Vec::new(),
        ended: Duration::ZERO,
        end: End::Late,
        text_bytes: 0,
        completion_tokens: None,
    };
    let limit = request.leaves_after.unwrap_or(patience);
    answer.end = match tokio::time::timeout(limit, exchange(server, origin, &request, &mut answer)).await {
        Ok(Ok(end)) => end,
        Ok(Err(error)) => End::Broken(format!("{error:#}")),
        Err(_) if request.leaves_after.is_some() => End::Left,
        Err(_) => End::Late,
    };
    answer.ended = origin.elapsed();
    answer
}

/// The connection lives in a task that ends with this future: dropping it, at a
/// time-out or on purpose, closes the socket.
async fn exchange(
    server: SocketAddr,
    origin: Instant,
    request: &Request,
    answer: &mut Answer,
) -> Result<End> {
    let stream = TcpStream::connect(server).await.context("connect")?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.context("begin HTTP")?;
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let response = sender.send_request(head(server, request)?).await.context("send the request")?;
    let status = response.status().as_u16();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let streamed = kind.starts_with("text/event-stream");
    let mut body = response.into_body();
    if status != 200 {
        let bytes = body.collect().await.context("read the refusal")?.to_bytes();
        return Ok(End::Refused(status, clip(&String::from_utf8_lossy(&bytes))));
    }
    if !streamed {
        answer.text_bytes = body.collect().await.context("read the answer")?.to_bytes().len();
        answer.texts.push(origin.elapsed());
        return Ok(End::Whole);
    }
    let mut reader = Reader::default();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.context("read the stream")?.into_data() else { continue };
        for event in reader.push(&data) {
            match event {
                Event::Text(bytes) => {
                    answer.texts.push(origin.elapsed());
                    answer.text_bytes += bytes;
                }
                Event::Usage { completion_tokens } => answer.completion_tokens = Some(completion_tokens),
                Event::Done => return Ok(End::Whole),
                Event::Error(text) => return Ok(End::Broken(text)),
            }
        }
    }
    Ok(End::Broken("the stream ended without [DONE]".into()))
}

fn head(server: SocketAddr, request: &Request) -> Result<hyper::Request<Full<Bytes>>> {
    let mut head = hyper::Request::builder()
        .method(Method::POST)
        .uri(request.path)
        .header(header::HOST, server.to_string())
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(key) = &request.key {
        head = head.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    head.body(Full::new(Bytes::from(request.body.clone()))).context("build the request")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

    /// Gives every connection the same script; returns the answer to one request.
    fn check(script: String, leaves_after: Option<Duration>, patience: Duration) -> Answer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let hold = script.is_empty();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(script.as_bytes());
            if hold {
                // Until the client is gone.
                while stream.read(&mut [0; 64]).is_ok_and(|n| n > 0) {}
            }
        });
        let request = Request {
            due: Duration::ZERO,
            path: "/v1/completions",
            key: Some("k".into()),
            body: "{}".into(),
            leaves_after,
        };
        let answers = open_loop(address, vec![request], patience).unwrap();
        server.join().unwrap();
        answers.into_iter().next().unwrap()
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_stream_is_read_to_its_end() {
        let data = "data: {\"choices\":[{\"text\":\"ab\"}]}\n\ndata: {\"choices\":[{\"text\":\"c\"}],\"usage\":{\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
        let answer = check(format!("{HEAD}{data}"), None, LONG);
        assert_eq!(
            (answer.end, answer.text_bytes, answer.completion_tokens, answer.texts.len()),
            (End::Whole, 3, Some(2), 2)
        );
    }

    #[test]
    fn a_stream_that_stops_in_the_middle_is_not_whole() {
        let answer = check(format!("{HEAD}data: {{\"choices\":[{{\"text\":\"ab\"}}]}}\n\n"), None, LONG);
        assert!(matches!(answer.end, End::Broken(_)), "{:?}", answer.end);
    }

    #[test]
    fn a_refusal_keeps_its_status_and_words() {
        let script = "HTTP/1.1 429 Too Many\r\ncontent-length: 4\r\nconnection: close\r\n\r\nslow";
        assert_eq!(check(script.into(), None, LONG).end, End::Refused(429, "slow".into()));
    }

    #[test]
    fn leaving_closes_the_connection_and_silence_is_late() {
        assert_eq!(check(String::new(), Some(Duration::from_millis(5)), LONG).end, End::Left);
        assert_eq!(check(String::new(), None, Duration::from_millis(5)).end, End::Late);
    }
}
