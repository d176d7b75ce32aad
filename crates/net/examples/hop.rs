//! A reverse proxy in forty lines: what this crate alone costs per request.
//!
//! `hop LISTEN UPSTREAM [WORKERS]`, e.g. `hop 127.0.0.1:9200 http://127.0.0.1:9101`.
//! `cargo xtask bench gateway` measures the whole gateway; this is the part of
//! it that a change to this crate moves.

use std::rc::Rc;

use net::client::{Client, Config as ClientConfig, Origin, Reach, Request as Upstream, Timeouts};
use net::server::{Config, Cut, Request, Response, ResponseBody, Server};
use net::{Bytes, StatusCode, header};
use policy::{Clearance, Errand};
use runtime::Shutdown;

/// The server that the command line names.
const CLEARED: Clearance = Clearance::errand(Errand::OwnServer);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().and_then(|text| text.parse().ok()).expect("an address to listen on");
    let upstream = arguments.next().expect("an upstream URL");
    let mut config = Config::new(listen);
    if let Some(workers) = arguments.next() {
        config.workers = workers.parse().expect("a number of workers");
    }
    let server = Server::bind(config).expect("the address is free");
    let origin = Origin::parse(&upstream, Reach::Private).expect("a URL");
    let shutdown = Shutdown::new();
    let running = server.start(shutdown, move |_| {
        let client = Client::new(ClientConfig::default());
        let (origin, timeouts) = (origin.clone(), Rc::new(Timeouts::default()));
        move |request: Request| {
            let (client, origin, timeouts) = (client.clone(), origin.clone(), Rc::clone(&timeouts));
            async move { forward(&client, &origin, &timeouts, request).await }
        }
    });
    running.expect("the server starts").wait();
}

async fn forward(client: &Client, origin: &Origin, timeouts: &Timeouts, request: Request) -> Response {
    let path = request.uri.path_and_query().expect("a request has a path").clone();
    let mut headers = request.headers;
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::CONNECTION);
    let Ok(body) = request.body.read_all(32 << 20).await else {
        return Response::text(StatusCode::PAYLOAD_TOO_LARGE, "too large");
    };
    let outgoing = Upstream { method: request.method, path, headers, body: vec![body] };
    let mut answer = match client.send(&CLEARED, origin, outgoing, timeouts).await {
        Ok(answer) => answer,
        Err(error) => return Response::text(StatusCode::BAD_GATEWAY, error.to_string()),
    };
    let (status, mut headers) = (answer.status, std::mem::take(&mut answer.headers));
    headers.remove(header::CONNECTION);
    let is_stream =
        headers.get(header::CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"text/event-stream"));
    if !is_stream {
        let body = answer.read_all(64 << 20).await.unwrap_or_else(|_| Bytes::new());
        return Response { status, headers, body: ResponseBody::Full(body) };
    }
    headers.remove(header::CONTENT_LENGTH);
    let body = ResponseBody::write(|mut sink| async move {
        while let Some(part) = answer.frame().await {
            sink.send(part.map_err(|_| Cut)?).await;
        }
        Ok(())
    });
    Response { status, headers, body }
}
