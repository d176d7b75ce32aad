use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::*;

/// Sends a body and reads to the end of the connection.
fn ask(provider: &Provider, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(provider.listener.address()).expect("connects");
    let request = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).expect("writes");
    stream.shutdown(std::net::Shutdown::Write).expect("half-closes");
    let mut out = Vec::new();
    let _ = stream.read_to_end(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn it_answers_each_api_and_remembers_the_requests() {
    let provider = Provider::start();
    let chat = r#"{"model":"echo","messages":[{"role":"user","content":"hi"}]}"#;
    assert!(ask(&provider, "/v1/chat/completions", chat).contains("echo: hi"));
    let message =
        r#"{"model":"echo","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"stream":true}"#;
    let events = ask(&provider, "/v1/messages", message);
    assert!(events.contains("event: message_stop") && events.contains(r#""text":"echo: ""#), "{events}");
    assert!(ask(&provider, "/v1/embeddings", r#"{"model":"e","input":"hi"}"#).contains("embedding"));
    let seen = provider.seen();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0].json()["model"], "echo");
}

#[test]
fn a_script_wins_over_the_name_until_it_is_used_up() {
    let provider = Provider::start();
    provider.script("m", [Behaviour::Status(503), Behaviour::RateLimited(3)]);
    let body = r#"{"model":"m","messages":[]}"#;
    let answers = [0, 1, 2].map(|_| ask(&provider, "/v1/chat/completions", body));
    assert!(answers[0].starts_with("HTTP/1.1 503"));
    assert!(answers[1].contains("retry-after: 3"));
    assert!(answers[2].starts_with("HTTP/1.1 200"));
}

#[test]
fn a_client_that_leaves_is_noticed() {
    let provider = Provider::start();
    let mut stream = TcpStream::connect(provider.listener.address()).expect("connects");
    let body = r#"{"model":"hang-mid-stream","stream":true,"messages":[{"role":"user","content":"a b c"}]}"#;
    let request =
        format!("POST /v1/chat/completions HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).expect("writes");
    let mut some = [0; 400];
    stream.read_exact(&mut some).expect("the first events come");
    drop(stream);
    assert_eq!(provider.wait_until_left(0), Phase::MidStream);
}
