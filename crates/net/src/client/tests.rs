use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use policy::Errand;
use testkit::provider::{Behaviour, Phase as At};
use testkit::{Hub, Provider};

use super::*;
use crate::Phase;

const CLEARED: Clearance = Clearance::errand(Errand::OwnServer);

fn client() -> Client {
    Client::new(Config::default())
}

fn chat(model: &str, stream: bool) -> Request {
    let body = format!(
        r#"{{"model":"{model}","stream":{stream},"messages":[{{"role":"user","content":"one two three"}}]}}"#
    );
    let (a, b) = body.split_at(body.len() / 2);
    let pieces = vec![Bytes::from(a.to_owned()), Bytes::new(), Bytes::from(b.to_owned())];
    Request::post(PathAndQuery::from_static("/v1/chat/completions"), HeaderMap::new(), pieces)
}

fn origin(url: &str) -> Origin {
    Origin::parse(url, Reach::Private).expect("a URL")
}

fn quick() -> Timeouts {
    let quick = Duration::from_millis(500);
    Timeouts { connect: quick, first_byte: quick, idle: quick, total: None }
}

async fn ask(client: &Client, provider: &Provider, model: &str, stream: bool) -> Result<Response, Error> {
    client.send(&CLEARED, &origin(&provider.url()), chat(model, stream), &Timeouts::default()).await
}

#[tokio::test]
async fn a_clearance_for_one_place_opens_no_other() {
    let (client, provider) = (client(), Provider::start());
    let place = |url: &str| policy::Place {
        destination: Some(origin(url).name().clone()),
        ..policy::Place::of_kind(policy::PlaceKind::External, "the provider")
    };
    let clear = |place| {
        policy::admissible(&units::Labels::default(), &place, policy::Purpose::Chat).expect("public data")
    };
    let (here, elsewhere) = (clear(place(&provider.url())), clear(place("https://elsewhere.example")));
    let to = origin(&provider.url());
    let refused = client.send(&elsewhere, &to, chat("echo", false), &Timeouts::default()).await;
    assert!(matches!(refused.err(), Some(Error::NotCleared { .. })));
    let inside = clear(policy::Place::of_kind(policy::PlaceKind::Inside, "the engine"));
    let refused = client.send(&inside, &to, chat("echo", false), &Timeouts::default()).await;
    assert!(matches!(refused.err(), Some(Error::NotCleared { .. })));
    assert!(provider.seen().is_empty(), "no byte left");
    let answer = client.send(&here, &to, chat("echo", false), &Timeouts::default()).await;
    assert_eq!(answer.expect("an answer").status, 200);
}

#[tokio::test]
async fn pieces_arrive_as_one_body_and_the_connection_is_used_again() {
    let (client, provider) = (client(), Provider::start());
    for _ in 0..3 {
        let response = ask(&client, &provider, "echo", false).await.expect("an answer");
        assert_eq!(response.status, 200);
        let body = response.read_all(10_000).await.expect("a body");
        assert!(String::from_utf8_lossy(&body).contains("echo: one two three"));
        assert_eq!(client.idle(), 1);
    }
    let seen = provider.seen();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0].header("host"), provider.url().strip_prefix("http://"));
    assert!(seen[0].header("content-length").is_some());
}

#[tokio::test]
async fn a_stream_that_is_read_to_its_end_gives_its_connection_back() {
    let (client, provider) = (client(), Provider::start());
    let mut response = ask(&client, &provider, "chunks:64", true).await.expect("an answer");
    let mut text = Vec::new();
    while let Some(part) = response.frame().await {
        text.extend_from_slice(&part.expect("a part"));
    }
    assert_eq!(String::from_utf8_lossy(&text).matches("\"content\":\"t").count(), 64);
    assert_eq!(client.idle(), 1);
}

#[tokio::test]
async fn trap_m4_dropping_an_exchange_closes_its_connection_in_every_phase() {
    let (client, provider) = (client(), std::sync::Arc::new(Provider::start()));
    let watcher = std::sync::Arc::clone(&provider);
    let arrived = tokio::task::spawn_blocking(move || watcher.wait_for("a request", |seen| !seen.is_empty()));
    tokio::select! {
        answer = ask(&client, &provider, "hang-before-head", false) => panic!("{:?}", answer.err()),
        _ = arrived => {}
    }
    drop(ask(&client, &provider, "hang-after-head", true).await.expect("a head"));
    let mut response = ask(&client, &provider, "hang-mid-stream", true).await.expect("a head");
    response.frame().await.expect("not the end").expect("a part");
    drop(response);
    for (number, phase) in [At::BeforeHead, At::AfterHead, At::MidStream].into_iter().enumerate() {
        assert_eq!(provider.wait_until_left(number), phase);
    }
    assert_eq!(client.idle(), 0);
}

#[tokio::test]
async fn each_wait_has_its_own_timeout() {
    let (client, provider) = (client(), Provider::start());
    let phase = |error: Error| match error {
        Error::Timeout { phase, after_ms: 500 } => phase,
        other => panic!("{other:?}"),
    };
    let to = origin(&provider.url());
    let error =
        client.send(&CLEARED, &to, chat("hang-before-head", false), &quick()).await.err().expect("no answer");
    assert_eq!(phase(error), Phase::FirstByte);
    for model in ["hang-after-head", "hang-mid-stream"] {
        let mut response = client.send(&CLEARED, &to, chat(model, true), &quick()).await.expect("a head");
        let error = loop {
            match response.frame().await.expect("not the end") {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(phase(error), Phase::Idle);
        assert!(response.frame().await.is_none(), "nothing comes after an error");
    }
    // A drip is never idle, but does not last for ever either.
    let total = Timeouts { total: Some(Duration::from_millis(500)), ..Timeouts::default() };
    let dripping = client.send(&CLEARED, &to, chat("drip:20", true), &total).await.expect("a head");
    assert_eq!(phase(dripping.read_all(1 << 20).await.expect_err("too slow")), Phase::Total);
    // A server that accepts and never shakes hands.
    let mute = TcpListener::bind("127.0.0.1:0").expect("a port");
    let to = origin(&format!("https://{}", mute.local_addr().expect("an address")));
    let error = client.send(&CLEARED, &to, chat("echo", false), &quick()).await.err().expect("no handshake");
    assert!(error.nothing_was_sent());
    assert_eq!(phase(error), Phase::Connect);
}

#[tokio::test]
async fn a_peer_that_breaks_off_is_told_apart_by_how_far_it_came() {
    let (client, provider) = (client(), Provider::start());
    let head = |model: &'static str| {
        let (client, provider) = (&client, &provider);
        async move { ask(client, provider, model, false).await.err().expect("no answer") }
    };
    let before = head("cut-before-head").await;
    assert!(matches!(before, Error::Closed { before_first_byte: true, reused: false }), "{before:?}");
    let inside = head("cut-head").await;
    assert!(matches!(inside, Error::Closed { .. }), "{inside:?}");
    let other = head("not-http").await;
    assert!(matches!(other, Error::Protocol(_)), "{other:?}");
    for (model, stream) in [("cut-stream", true), ("cut-stream", false)] {
        let response = ask(&client, &provider, model, stream).await.expect("a head");
        let cut = response.read_all(1 << 20).await.expect_err("it was cut");
        assert!(matches!(cut, Error::Closed { before_first_byte: false, .. }), "{cut:?}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    let refused =
        client.send(&CLEARED, &origin(&format!("http://{nobody}")), chat("x", false), &quick()).await;
    assert!(matches!(refused, Err(Error::Connect { .. })));
    assert_eq!(client.idle(), 0);
}

#[tokio::test]
async fn a_body_over_the_limit_is_not_read() {
    let (client, provider) = (client(), Provider::start());
    let declared = ask(&client, &provider, "huge:64", false).await.expect("a head");
    let error = declared.read_all(1 << 20).await.expect_err("64 MiB");
    assert!(matches!(error, Error::TooLarge { declared: Some(_), .. }), "{error:?}");
    let chunked = ask(&client, &provider, "chunks:2000", true).await.expect("a head");
    let error = chunked.read_all(10_000).await.expect_err("more");
    assert!(matches!(error, Error::TooLarge { declared: None, .. }), "{error:?}");
    assert_eq!(client.idle(), 0);
}

#[tokio::test]
async fn a_connection_that_died_in_the_pool_costs_nothing() {
    // A server that answers one request per connection without saying that it will close.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let to = origin(&format!("http://{}", listener.local_addr().expect("an address")));
    let (closed, wait_closed) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(3) {
            let mut stream = stream.expect("a connection");
            let mut have = Vec::new();
            let mut block = [0; 1000];
            while !have.ends_with(b"}]}") {
                let n = stream.read(&mut block).expect("a request");
                have.extend_from_slice(&block[..n]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").expect("writes");
            drop(stream);
            closed.send(()).expect("the test listens");
        }
    });
    let client = client();
    let mut wait_closed = wait_closed;
    for _ in 0..3 {
        let response =
            client.send(&CLEARED, &to, chat("m", false), &Timeouts::default()).await.expect("an answer");
        assert_eq!(response.read_all(10).await.expect("a body"), "ok");
        wait_closed.recv().await.expect("the server lives");
        // Until the end of the connection has reached this runtime's poll.
        while client.idle() > 0 {
            tokio::task::yield_now().await;
            client.sweep();
        }
    }
}

#[tokio::test]
async fn the_pool_keeps_no_more_than_it_may() {
    let provider = Provider::start();
    let client = Client::new(Config { idle_per_origin: 2, ..Config::default() });
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(ask(&client, &provider, "chunks:1", true).await.expect("a head"));
    }
    for response in open {
        response.read_all(10_000).await.expect("a body");
    }
    assert_eq!(client.idle(), 2);
    drop(provider);
}

#[tokio::test]
async fn trap_x2_private_addresses_are_denied_unless_declared() {
    let provider = Provider::start();
    let port = provider.url().rsplit(':').next().expect("a port").to_owned();
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254"] {
        let to = Origin::parse(&format!("http://{host}:{port}"), Reach::Public).expect("a URL");
        let denied = client().send(&CLEARED, &to, chat("echo", false), &quick()).await;
        assert!(matches!(denied, Err(Error::Private { .. })), "{host}: {:?}", denied.err());
    }
    assert!(provider.seen().is_empty());
}

#[tokio::test]
async fn trap_x2_the_data_path_follows_no_redirect() {
    let (client, provider) = (client(), Provider::start());
    let response = ask(&client, &provider, "redirect", false).await.expect("an answer");
    assert_eq!(response.status, 307);
    assert_eq!(provider.seen().len(), 1);
}

#[tokio::test]
async fn trap_x2_each_redirect_of_a_download_is_checked_again() {
    let (hub, inside) = (Hub::start(), Hub::start());
    hub.add("org/model", "w.gguf", b"weights".to_vec());
    let url = format!("{}/org/model/resolve/main/w.gguf", hub.url());
    let mut headers = HeaderMap::new();
    headers.insert(http::header::AUTHORIZATION, http::HeaderValue::from_static("Bearer hf-canary"));
    let fetch = Fetch { reach: Reach::Private, headers, ..Fetch::default() };
    let client = client();
    let found = client.download(&CLEARED, &url, &fetch).await.expect("the file");
    assert_eq!(found.hops[0]["x-linked-size"], "7");
    assert!(found.url.contains("/cdn/org/model/w.gguf"));
    assert_eq!(found.response.read_all(100).await.expect("a body"), "weights");
    let head = client.head(&CLEARED, &url, &fetch).await.expect("the head");
    assert_eq!(head.response.headers["content-length"], "7");

    // A public hub may not send us to an inner address.
    hub.redirect_to(&inside.url());
    let denied = client.download(&CLEARED, &url, &fetch).await;
    assert!(matches!(denied, Err(Error::Private { .. })), "{:?}", denied.err());
    assert!(inside.seen().is_empty());
    // Where that is declared, the token still stays behind.
    let _ = client.download(&CLEARED, &url, &Fetch { redirect_reach: Reach::Private, ..fetch.clone() }).await;
    assert_eq!(inside.seen()[0].header("authorization"), None);
    // And a circle ends.
    hub.redirect_to(&url);
    let circle = client.download(&CLEARED, &url, &fetch).await;
    assert!(matches!(circle, Err(Error::Redirects { limit: 5 })), "{:?}", circle.err());
}

#[tokio::test]
async fn a_scripted_provider_recovers() {
    let (client, provider) = (client(), Provider::start());
    provider.script("m", [Behaviour::Status(503), Behaviour::Normal]);
    for status in [503, 200] {
        let response = ask(&client, &provider, "m", false).await.expect("an answer");
        assert_eq!(response.status, status);
        response.read_all(10_000).await.expect("a body");
    }
}
