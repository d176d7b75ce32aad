//! The acceptor and the workers' threads.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use runtime::{Shutdown, TaskKind};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::mpsc;

use super::connection::{Worker, serve};
use super::{Config, Handler, Running, Server};
use crate::Error;

/// Accepted connections waiting for their worker, per worker.
const HANDOVER: usize = 256;

/// Open connections per worker.
pub(super) struct Load {
    per_worker: Vec<AtomicUsize>,
    cut: AtomicUsize,
}

impl Load {
    pub(super) fn total(&self) -> usize {
        self.per_worker.iter().map(|n| n.load(Relaxed)).sum()
    }
    pub(super) fn cut(&self) -> usize {
        self.cut.load(Relaxed)
    }
    fn lightest(&self) -> usize {
        let counts = self.per_worker.iter().map(|n| n.load(Relaxed)).enumerate();
        counts.min_by_key(|(_, n)| *n).map_or(0, |(worker, _)| worker)
    }
}

/// One open connection in the [`Load`] of its worker.
pub(super) struct Open {
    load: Arc<Load>,
    worker: usize,
}

impl Open {
    fn new(load: &Arc<Load>, worker: usize) -> Open {
        load.per_worker[worker].fetch_add(1, Relaxed);
        Open { load: Arc::clone(load), worker }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.load.per_worker[self.worker].fetch_sub(1, Relaxed);
    }
}

struct Accepted {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    open: Open,
}

pub(super) fn start<H: Handler>(
    server: Server,
    shutdown: Shutdown,
    make_handler: impl Fn(usize) -> H + Send + Sync + 'static,
) -> Result<Running, Error> {
    let Server { listener, address, config } = server;
    let failed = |source| Error::Listen { address: address.to_string(), source };
    let workers = config.workers.max(1);
    let load = Arc::new(Load {
        per_worker: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
        cut: AtomicUsize::new(0),
    });
    let (config, make_handler) = (Arc::new(config), Arc::new(make_handler));
    let mut threads = Vec::with_capacity(workers + 1);
    let mut queues = Vec::with_capacity(workers);
    for worker in 0..workers {
        let (queue, accepted) = mpsc::channel(HANDOVER);
        queues.push(queue);
        let (config, make_handler) = (Arc::clone(&config), Arc::clone(&make_handler));
        let (shutdown, load) = (shutdown.clone(), Arc::clone(&load));
        let work = move || {
            let runtime = local_runtime().expect("a second runtime can be made as the first was");
            runtime.block_on(work(config, accepted, shutdown, load, move || make_handler(worker)));
        };
        threads.push(thread::Builder::new().name(format!("worker-{worker}")).spawn(work).map_err(failed)?);
    }
    let runtime_probe = local_runtime().map_err(failed)?;
    drop(runtime_probe);
    let acceptor = {
        let (load, shutdown) = (Arc::clone(&load), shutdown);
        move || {
            let runtime = local_runtime().expect("a second runtime can be made as the first was");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("the listener is non-blocking");
                tokio::select! {
                    () = accept(&listener, &queues, &load, config.max_connections) => {}
                    () = shutdown.draining() => {}
                }
            });
        }
    };
    threads.push(thread::Builder::new().name("acceptor".into()).spawn(acceptor).map_err(failed)?);
    Ok(Running { address, threads, load })
}

fn local_runtime() -> std::io::Result<LocalRuntime> {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
}

async fn accept(
    listener: &TcpListener,
    queues: &[mpsc::Sender<Accepted>],
    load: &Arc<Load>,
    max_connections: usize,
) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            // Out of file descriptors, or the client is already gone: the
            // former needs a pause, the latter does not mind one.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        if load.total() >= max_connections {
            refuse(&stream);
            continue;
        }
        let worker = load.lightest();
        let Ok(stream) = stream.into_std() else { continue };
        let accepted = Accepted { stream, peer, open: Open::new(load, worker) };
        // A full queue holds the acceptor back, and so the backlog, and so the clients.
        let _ = queues[worker].send(accepted).await;
    }
}

/// A word to a client beyond `max_connections`, so that it can tell a full server from a dead one.
fn refuse(stream: &TcpStream) {
    let body = r#"{"error":{"type":"server_error","code":"NT0002","message":"too many connections"}}"#;
    let text = format!(
        "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.try_write(text.as_bytes());
}

async fn work<H: Handler>(
    config: Arc<Config>,
    mut accepted: mpsc::Receiver<Accepted>,
    shutdown: Shutdown,
    load: Arc<Load>,
    make_handler: impl FnOnce() -> H,
) {
    let drain_timeout = config.drain_timeout;
    let worker = Rc::new(Worker::new(config, make_handler()));
    loop {
        let next = tokio::select! {
            next = accepted.recv() => next,
            () = shutdown.draining() => None,
        };
        let Some(Accepted { stream, peer, open }) = next else { break };
        let Ok(stream) = TcpStream::from_std(stream) else { continue };
        let _ = stream.set_nodelay(true);
        let worker = Rc::clone(&worker);
        runtime::spawn_local(TaskKind::Log, "connection", async move {
            serve(worker, stream, peer).await;
            drop(open);
        });
    }
    accepted.close();
    worker.drain();
    if tokio::time::timeout(drain_timeout, worker.all_closed()).await.is_err() {
        load.cut.fetch_add(worker.connections(), Relaxed);
    }
}
