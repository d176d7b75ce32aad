use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown as Half, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::StatusCode;

use policy::{Clearance, Errand};

use super::*;

const CLEARED: Clearance = Clearance::errand(Errand::OwnServer);

/// Long enough that only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(20);

struct Served {
    address: SocketAddr,
    shutdown: Shutdown,
    running: Option<Running>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.shutdown.drain("the test is over");
    }
}

fn config() -> Config {
    Config {
        workers: 2,
        drain_timeout: Duration::from_secs(10),
        ..Config::new("127.0.0.1:0".parse().expect("an address"))
    }
}

fn serve<H: Handler>(config: Config, make: impl Fn(usize) -> H + Send + Sync + 'static) -> Served {
    let server = Server::bind(config).expect("a free port");
    let shutdown = Shutdown::new();
    let running = server.start(shutdown.clone(), make).expect("the server starts");
    Served { address: running.address(), shutdown, running: Some(running) }
}

fn connect(served: &Served) -> TcpStream {
    let stream = TcpStream::connect(served.address).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("sets the timeout");
    stream
}

fn send(stream: &mut TcpStream, text: impl AsRef<[u8]>) {
    stream.write_all(text.as_ref()).expect("writes");
}

/// Reads until the bytes read end with, or contain, some text.
fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut have = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&have).contains(text) {
        match stream.read(&mut byte) {
            Ok(1) => have.push(byte[0]),
            other => panic!("{other:?} instead of {text:?} after {:?}", String::from_utf8_lossy(&have)),
        }
    }
    String::from_utf8_lossy(&have).into_owned()
}

fn read_to_end(stream: &mut TcpStream) -> String {
    let mut have = Vec::new();
    match stream.read_to_end(&mut have) {
        Err(e) if e.kind() == ErrorKind::WouldBlock => panic!("the connection stays open"),
        _ => String::from_utf8_lossy(&have).into_owned(),
    }
}

const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/// Says "started" when made and "dropped" when dropped.
struct Witness(Sender<&'static str>);

impl Witness {
    fn new(to: &Arc<Mutex<Sender<&'static str>>>) -> Witness {
        let to = to.lock().expect("not poisoned").clone();
        to.send("started").expect("the test listens");
        Witness(to)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

fn witness() -> (Arc<Mutex<Sender<&'static str>>>, Receiver<&'static str>) {
    let (to, from) = channel();
    (Arc::new(Mutex::new(to)), from)
}

fn expect(from: &Receiver<&'static str>, what: &str) {
    assert_eq!(from.recv_timeout(PATIENCE), Ok(what));
}

#[test]
fn trap_m4_a_client_that_leaves_before_the_head_drops_the_handler() {
    let (to, from) = witness();
    let served = serve(config(), move |_| {
        let to = Arc::clone(&to);
        move |_request| {
            let witness = Witness::new(&to);
            async move {
                std::future::pending::<()>().await;
                drop(witness);
                Response::text(StatusCode::OK, "")
            }
        }
    });
    let mut whole = connect(&served);
    send(&mut whole, GET);
    expect(&from, "started");
    drop(whole);
    expect(&from, "dropped");
    // A half-close counts as leaving too.
    let mut half = connect(&served);
    send(&mut half, "POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}");
    expect(&from, "started");
    half.shutdown(Half::Write).expect("half-closes");
    expect(&from, "dropped");
}

#[test]
fn trap_m4_a_client_that_leaves_inside_its_body_drops_the_handler() {
    let (to, from) = witness();
    let served = serve(config(), move |_| {
        let to = Arc::clone(&to);
        move |request: Request| {
            let witness = Witness::new(&to);
            async move {
                let body = request.body.read_all(100).await;
                drop(witness);
                Response::text(StatusCode::OK, if body.is_ok() { "whole" } else { "cut" })
            }
        }
    });
    let mut stream = connect(&served);
    send(&mut stream, "POST / HTTP/1.1\r\ncontent-length: 50\r\n\r\nhalf");
    expect(&from, "started");
    drop(stream);
    expect(&from, "dropped");
}

#[test]
fn trap_m4_a_client_that_leaves_inside_the_stream_drops_its_source() {
    let (to, from) = witness();
    let served = serve(config(), move |_| {
        let to = Arc::clone(&to);
        move |_request| {
            let to = Arc::clone(&to);
            async move {
                let body = ResponseBody::write(|mut sink| async move {
                    let witness = Witness::new(&to);
                    sink.send(Bytes::from_static(b"first")).await;
                    std::future::pending::<()>().await;
                    drop(witness);
                    Ok(())
                });
                Response::new(StatusCode::OK, body)
            }
        }
    });
    let mut stream = connect(&served);
    send(&mut stream, GET);
    expect(&from, "started");
    read_until(&mut stream, "first");
    drop(stream);
    expect(&from, "dropped");
}

#[test]
fn trap_s3_each_part_of_a_stream_leaves_before_the_next_is_made() {
    let (permit, permits) = tokio::sync::mpsc::channel::<()>(1);
    let permits = Arc::new(Mutex::new(Some(permits)));
    let served = serve(config(), move |_| {
        let permits = Arc::clone(&permits);
        move |_request| {
            let mut permits = permits.lock().expect("not poisoned").take().expect("one request");
            async move {
                let body = ResponseBody::write(|mut sink| async move {
                    for byte in b"data: drip\n\n" {
                        sink.send(Bytes::copy_from_slice(&[*byte])).await;
                        permits.recv().await;
                    }
                    Ok(())
                });
                Response::new(StatusCode::OK, body)
            }
        }
    });
    let mut stream = connect(&served);
    send(&mut stream, GET);
    read_until(&mut stream, "\r\n\r\n");
    for byte in "data: drip\n\n".chars() {
        // The part is here although its source is still waiting to make the next.
        assert_eq!(read_until(&mut stream, &format!("1\r\n{byte}\r\n")).len(), 6);
        permit.blocking_send(()).expect("the source waits");
    }
    read_until(&mut stream, "0\r\n\r\n");
}

async fn echo_length(request: Request) -> Response {
    match request.body.read_all(u64::MAX).await {
        Ok(body) => Response::text(StatusCode::OK, format!("read {}", body.len())),
        Err(Error::TooLarge { limit, .. }) => {
            Response::text(StatusCode::PAYLOAD_TOO_LARGE, format!("over {limit}"))
        }
        Err(error) => Response::text(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

#[test]
fn trap_s6_two_megabytes_pass_and_more_than_the_limit_is_told_so() {
    let limit = 4 << 20;
    let served = serve(Config { max_body_bytes: limit, ..config() }, |_| echo_length);
    let mut stream = connect(&served);
    for (length, expected) in [(2 << 20, "read 2097152"), (5 << 20, "over 4194304"), (3, "read 3")] {
        // The whole body is written before the answer is read, as client libraries do;
        // and the connection survives the refusal.
        send(&mut stream, format!("POST / HTTP/1.1\r\ncontent-length: {length}\r\n\r\n"));
        send(&mut stream, vec![b'x'; length]);
        read_until(&mut stream, expected);
    }
    let mut chunked = connect(&served);
    send(&mut chunked, "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n");
    for _ in 0..5 {
        send(&mut chunked, "100000\r\n");
        send(&mut chunked, vec![b'x'; 1 << 20]);
        send(&mut chunked, "\r\n");
    }
    send(&mut chunked, "0\r\n\r\n");
    read_until(&mut chunked, "over 4194304");
}

#[test]
fn a_refusal_reaches_a_client_that_is_still_sending() {
    let served = serve(config(), |_| |_request| async { Response::text(StatusCode::UNAUTHORIZED, "who?") });
    let mut stream = connect(&served);
    send(&mut stream, format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n", 8 << 20));
    send(&mut stream, vec![b'x'; 8 << 20]);
    assert!(read_until(&mut stream, "who?").starts_with("HTTP/1.1 401"));
}

#[test]
fn a_client_that_lets_a_wait_run_out_is_closed() {
    let short = Duration::from_millis(150);
    let config = Config { head_timeout: short, body_timeout: short, ..config() };
    let served = serve(config, |_| echo_length);
    let mut silent = connect(&served);
    let mut slow_head = connect(&served);
    send(&mut slow_head, "GET / HTTP/1.1\r\nho");
    let mut slow_body = connect(&served);
    send(&mut slow_body, "POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nabc");
    let mut idle = connect(&served);
    send(&mut idle, GET);
    assert_eq!(read_to_end(&mut silent), "");
    assert_eq!(read_to_end(&mut slow_head), "");
    assert_eq!(read_to_end(&mut slow_body), "");
    assert!(read_to_end(&mut idle).ends_with("read 0"));
}

#[test]
fn a_client_that_takes_nothing_is_closed() {
    let (to, from) = witness();
    let config = Config { write_stall_timeout: Duration::from_millis(150), ..config() };
    let served = serve(config, move |_| {
        let to = Arc::clone(&to);
        move |_request| {
            let to = Arc::clone(&to);
            async move {
                let body = ResponseBody::write(|mut sink| async move {
                    let _witness = Witness::new(&to);
                    loop {
                        sink.send(Bytes::from(vec![b'x'; 1 << 20])).await;
                    }
                });
                Response::new(StatusCode::OK, body)
            }
        }
    });
    let mut stream = connect(&served);
    send(&mut stream, GET);
    expect(&from, "started");
    expect(&from, "dropped");
}

#[test]
fn heads_are_limited_in_number_and_size() {
    let served = serve(config(), |_| echo_length);
    let many: String = (0..150).map(|i| format!("h{i}: 1\r\n")).collect();
    let large = format!("h: {}\r\n", "x".repeat(70_000));
    for headers in [many, large] {
        let mut stream = connect(&served);
        // It may be closed before all is written.
        let _ = stream.write_all(format!("GET / HTTP/1.1\r\n{headers}\r\n").as_bytes());
        let mut start = [0; 12];
        stream.read_exact(&mut start).expect("an answer");
        assert_eq!(std::str::from_utf8(&start), Ok("HTTP/1.1 431"));
    }
}

#[test]
fn a_panic_costs_its_own_request() {
    let served = serve(config(), |_| {
        |request: Request| async move {
            assert_ne!(request.path(), "/bad", "planned");
            Response::text(StatusCode::OK, "fine")
        }
    });
    let mut stream = connect(&served);
    send(&mut stream, "GET /bad HTTP/1.1\r\n\r\n");
    read_until(&mut stream, "NT0003");
    let mut next = connect(&served);
    send(&mut next, GET);
    read_until(&mut next, "fine");
}

#[test]
fn connections_spread_evenly_over_the_workers() {
    let served = serve(config(), |worker| {
        move |_request| async move { Response::text(StatusCode::OK, format!("<{worker}>")) }
    });
    let mut open = Vec::new();
    let mut counts = [0; 2];
    for _ in 0..8 {
        let mut stream = connect(&served);
        send(&mut stream, GET);
        counts[usize::from(read_until(&mut stream, ">").ends_with("<1>"))] += 1;
        open.push(stream);
    }
    assert_eq!(counts, [4, 4]);
    assert_eq!(served.running.as_ref().map(Running::connections), Some(8));
}

#[test]
fn one_connection_too_many_is_told_so() {
    let served = serve(Config { max_connections: 1, ..config() }, |_| echo_length);
    let mut first = connect(&served);
    send(&mut first, GET);
    read_until(&mut first, "read 0");
    let mut second = connect(&served);
    assert!(read_to_end(&mut second).starts_with("HTTP/1.1 503"));
}

#[test]
fn a_drain_finishes_what_was_begun_and_takes_nothing_new() {
    let (to, from) = witness();
    let (go, gone) = tokio::sync::watch::channel(false);
    let mut served = serve(Config { workers: 1, ..config() }, move |_| {
        let (to, gone) = (Arc::clone(&to), gone.clone());
        move |_request| {
            let (_witness, mut gone) = (Witness::new(&to), gone.clone());
            async move {
                gone.wait_for(|go| *go).await.expect("the test lives");
                Response::text(StatusCode::OK, "done")
            }
        }
    });
    let mut idle = connect(&served);
    let mut busy = connect(&served);
    send(&mut busy, GET);
    expect(&from, "started");
    served.shutdown.drain("test");
    assert_eq!(read_to_end(&mut idle), "");
    go.send(true).expect("the handler waits");
    let answer = read_to_end(&mut busy);
    assert!(answer.contains("done") && answer.contains("connection: close"), "{answer}");
    assert!(served.running.take().expect("running").wait(), "nothing was cut");
    assert!(TcpStream::connect(served.address).is_err());
}

#[test]
fn a_drain_ends_at_its_deadline() {
    let (to, from) = witness();
    let config = Config { drain_timeout: Duration::from_millis(100), ..config() };
    let mut served = serve(config, move |_| {
        let to = Arc::clone(&to);
        move |_request| {
            let witness = Witness::new(&to);
            async move {
                std::future::pending::<()>().await;
                drop(witness);
                Response::text(StatusCode::OK, "")
            }
        }
    });
    let mut stream = connect(&served);
    send(&mut stream, GET);
    expect(&from, "started");
    served.shutdown.drain("test");
    assert!(!served.running.take().expect("running").wait(), "a request was cut");
    expect(&from, "dropped");
}

#[test]
fn trap_m4_a_client_that_leaves_cancels_the_target_in_every_phase() {
    use crate::client::{Client, Reach, Request as Upstream};
    let provider = testkit::Provider::start();
    let origin = crate::Origin::parse(&provider.url(), Reach::Private).expect("a URL");
    let served = serve(config(), move |_| {
        let (client, origin) = (Client::new(Default::default()), origin.clone());
        move |request: Request| {
            let (client, origin) = (client.clone(), origin.clone());
            async move {
                let path = request.uri.path_and_query().expect("a path").clone();
                let body = request.body.read_all(1000).await.expect("a body");
                let upstream = Upstream::post(path, request.headers, vec![body]);
                let timeouts = crate::client::Timeouts::default();
                let mut answer =
                    client.send(&CLEARED, &origin, upstream, &timeouts).await.expect("an answer");
                let body = ResponseBody::write(|mut sink| async move {
                    while let Some(part) = answer.frame().await {
                        sink.send(part.map_err(|_| Cut)?).await;
                    }
                    Ok(())
                });
                Response::new(StatusCode::OK, body)
            }
        }
    });
    use testkit::provider::Phase;
    let phases = [
        ("hang-before-head", Phase::BeforeHead, None),
        ("hang-after-head", Phase::AfterHead, Some("\r\n\r\n")),
        ("hang-mid-stream", Phase::MidStream, Some("echo")),
    ];
    for (number, (model, phase, sign)) in phases.into_iter().enumerate() {
        let body = format!(r#"{{"model":"{model}","stream":true,"messages":[{{"content":"a b c d"}}]}}"#);
        let mut stream = connect(&served);
        let length = body.len();
        send(
            &mut stream,
            format!("POST /v1/chat/completions HTTP/1.1\r\ncontent-length: {length}\r\n\r\n{body}"),
        );
        match sign {
            Some(sign) => drop(read_until(&mut stream, sign)),
            None => drop(provider.wait_for("the request", |seen| seen.len() > number)),
        }
        drop(stream);
        assert_eq!(provider.wait_until_left(number), phase, "{model}");
    }
}

#[test]
fn it_speaks_tls_to_its_own_client() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let tls = ServerTls::open(crate::TlsFiles {
        certificate: data.join("localhost.pem"),
        key: data.join("localhost.key"),
        clients: crate::Clients::Anonymous,
    });
    let served = serve(Config { tls: Some(tls.expect("the files load")), ..config() }, |_| echo_length);
    let trust = crate::Trust::with_file(&data.join("ca.pem")).expect("the file loads");
    let client = crate::Client::new(crate::client::Config { trust, ..Default::default() });
    let url = format!("https://localhost:{}/", served.address.port());
    let (origin, path) = crate::Origin::split(&url, crate::client::Reach::Private).expect("a URL");
    let pieces = vec![Bytes::from_static(b"in "), Bytes::from_static(b"pieces")];
    let request = crate::client::Request::post(path, http::HeaderMap::new(), pieces);
    let body = block_on(async {
        let response = client.send(&CLEARED, &origin, request, &Default::default()).await.expect("an answer");
        response.read_all(100).await.expect("a body")
    });
    assert_eq!(body, "read 9");
    assert_eq!(client.idle(), 1);
    // And to nobody who does not know the authority.
    let stranger = crate::Client::new(Default::default());
    let request = crate::client::Request::get("/".parse().expect("a path"));
    let refused = block_on(stranger.send(&CLEARED, &origin, request, &Default::default()));
    assert!(matches!(refused, Err(Error::Tls { .. })), "{:?}", refused.err());
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}
