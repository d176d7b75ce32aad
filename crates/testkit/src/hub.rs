//! A model hub that speaks the resolve protocol of Hugging Face:
//! `HEAD|GET /{org}/{repo}/resolve/{revision}/{file}` answers 302 to a CDN
//! path with `x-linked-etag` (sha256) and `x-linked-size`; the CDN serves ranges.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::http::{Listener, Peer, Received};

#[derive(Default)]
struct State {
    files: HashMap<String, File>,
    cuts: Vec<usize>,
    seen: Vec<Received>,
    /// Answer ranges with the whole file, as some mirrors do.
    ignores_ranges: bool,
    redirect_to: Option<String>,
}

#[derive(Clone)]
struct File {
    bytes: Arc<Vec<u8>>,
    sha256: String,
}

/// A running hub; stops when dropped.
pub struct Hub {
    listener: Listener,
    state: Arc<Mutex<State>>,
}

impl Hub {
    /// Starts on a free port.
    ///
    /// # Panics
    /// If there is none.
    pub fn start() -> Hub {
        let state = Arc::new(Mutex::new(State::default()));
        let serving = Arc::clone(&state);
        let listener = Listener::start(move |mut peer| {
            while let Ok(Some(request)) = peer.request() {
                match serve(&serving, &mut peer, request) {
                    Ok(true) => {}
                    _ => return,
                }
            }
        });
        Hub { listener: listener.expect("a free loopback port"), state }
    }
    pub fn url(&self) -> String {
        self.listener.url()
    }
    /// Offers a file: `repo` is `org/name`.
    pub fn add(&self, repo: &str, file: &str, bytes: Vec<u8>) {
        let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
        let sha256 = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        self.lock().files.insert(format!("{repo}/{file}"), File { bytes: Arc::new(bytes), sha256 });
    }
    /// The digest of a file is announced wrongly from now on.
    pub fn lie_about(&self, repo: &str, file: &str) {
        if let Some(file) = self.lock().files.get_mut(&format!("{repo}/{file}")) {
            file.sha256 = "0".repeat(64);
        }
    }
    /// The next downloads are cut after so many bytes each.
    pub fn cut_after(&self, bytes: impl IntoIterator<Item = usize>) {
        self.lock().cuts = bytes.into_iter().collect();
    }
    pub fn ignore_ranges(&self) {
        self.lock().ignores_ranges = true;
    }
    /// Redirects go to this URL instead of the own CDN path.
    pub fn redirect_to(&self, url: &str) {
        self.lock().redirect_to = Some(url.to_owned());
    }
    pub fn seen(&self) -> Vec<Received> {
        self.lock().seen.clone()
    }
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Answers one request; whether the connection stays open.
fn serve(state: &Mutex<State>, peer: &mut Peer, request: Received) -> io::Result<bool> {
    let mut state = state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    state.seen.push(request.clone());
    let is_head = request.method == "HEAD";
    let path = request.path.split('?').next().unwrap_or_default().trim_start_matches('/').to_owned();
    if let Some(key) = path.strip_prefix("cdn/") {
        let Some(file) = state.files.get(key).cloned() else {
            return peer.answer(404, &[], "no such file").map(|()| true);
        };
        let cut = if is_head || state.cuts.is_empty() { None } else { Some(state.cuts.remove(0)) };
        let ranges = !state.ignores_ranges;
        drop(state);
        return send_file(peer, &request, &file, ranges, cut);
    }
    let parts: Vec<&str> = path.splitn(5, '/').collect();
    let found = match parts[..] {
        [org, repo, "resolve", _revision, file] => {
            let key = format!("{org}/{repo}/{file}");
            state.files.get(&key).map(|file| (key, file.clone()))
        }
        _ => None,
    };
    let Some((key, file)) = found else {
        let body = if is_head { "" } else { "Entry not found" };
        return peer.answer(404, &[("x-error-code", "EntryNotFound")], body).map(|()| true);
    };
    let location = state.redirect_to.clone().unwrap_or_else(|| format!("/cdn/{key}?signature=x"));
    drop(state);
    let (etag, size) = (format!("\"{}\"", file.sha256), file.bytes.len().to_string());
    let headers = [
        ("location", location.as_str()),
        ("x-linked-etag", etag.as_str()),
        ("x-linked-size", size.as_str()),
        ("x-repo-commit", "0123456789abcdef0123456789abcdef01234567"),
    ];
    peer.answer(302, &headers, "").map(|()| true)
}

fn send_file(
    peer: &mut Peer,
    request: &Received,
    file: &File,
    ranges: bool,
    cut: Option<usize>,
) -> io::Result<bool> {
    let size = file.bytes.len();
    let from = request
        .header("range")
        .filter(|_| ranges)
        .and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse::<usize>().ok());
    if from.is_some_and(|from| from >= size) {
        let range = format!("bytes */{size}");
        return peer.answer(416, &[("content-range", range.as_str())], "").map(|()| true);
    }
    let bytes = &file.bytes[from.unwrap_or(0)..];
    let mut head = match from {
        Some(from) => format!("HTTP/1.1 206 Partial\r\ncontent-range: bytes {from}-{}/{size}\r\n", size - 1),
        None => "HTTP/1.1 200 OK\r\n".to_owned(),
    };
    head += &format!(
        "accept-ranges: bytes\r\ncontent-type: application/octet-stream\r\netag: \"{}\"\r\ncontent-length: {}\r\n\r\n",
        file.sha256,
        bytes.len()
    );
    peer.raw(head)?;
    if request.method == "HEAD" {
        return Ok(true);
    }
    match cut.filter(|cut| *cut < bytes.len()) {
        Some(cut) => peer.raw(&bytes[..cut]).map(|()| false),
        None => peer.raw(bytes).map(|()| true),
    }
}
