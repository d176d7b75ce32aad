//! Files over HTTP, as feeds, pages and buckets have them: entity tags, `304`, and the listing
//! of S3 (`ListObjectsV2`), which can lie, turn in a circle and never end.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::http::{Listener, Peer, Received};

/// How it behaves towards the next requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Manner {
    #[default]
    Honest,
    Hang,
    /// This and nothing else, whatever is asked.
    Says(u16, String),
    /// To another place.
    Redirect(String),
    /// A body without an end.
    Endless,
    /// It announces more than it gives, and leaves.
    Short,
    /// The listing's next page is the same page.
    Circle,
    /// The listing has always one page more, with nothing in it.
    EndlessListing,
    /// Entity tags stay as they are, whatever is put.
    StaleTags,
}

#[derive(Default)]
struct State {
    /// By their path.
    files: BTreeMap<String, File>,
    manner: Manner,
    page: usize,
    seen: Vec<Received>,
    /// The next requests for files are answered one by one, when they are let through.
    held: bool,
}

#[derive(Clone)]
struct File {
    bytes: Arc<Vec<u8>>,
    media_type: String,
    /// Without its quotes; empty: it has none.
    tag: String,
}

/// A running server; stops when dropped.
pub struct Shelf {
    listener: Listener,
    state: Arc<Mutex<State>>,
}

impl Shelf {
    /// Starts on a free port.
    ///
    /// # Panics
    /// If there is none.
    pub fn start() -> Shelf {
        let state = Arc::new(Mutex::new(State { page: 1_000, ..State::default() }));
        let serving = Arc::clone(&state);
        let listener = Listener::start(move |mut peer| {
            while let Ok(Some(request)) = peer.request() {
                if answer(&serving, &mut peer, &request).is_err() {
                    return;
                }
            }
        });
        Shelf { listener: listener.expect("a free loopback port"), state }
    }
    pub fn url(&self) -> String {
        self.listener.url()
    }
    /// Puts a file at a path (`/news/1.html`, `/bucket/a.md`).
    pub fn put(&self, path: &str, media_type: &str, text: impl Into<Vec<u8>>) {
        let bytes = text.into();
        let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
        let mut tag: String = digest.as_ref()[..8].iter().map(|b| format!("{b:02x}")).collect();
        let mut state = self.lock();
        if let Some(old) = state.files.get(path).filter(|_| state.manner == Manner::StaleTags) {
            tag.clone_from(&old.tag);
        }
        let file = File { bytes: Arc::new(bytes), media_type: media_type.into(), tag };
        state.files.insert(path.into(), file);
    }
    /// The same without an entity tag.
    pub fn put_untagged(&self, path: &str, media_type: &str, text: impl Into<Vec<u8>>) {
        let file = File { bytes: Arc::new(text.into()), media_type: media_type.into(), tag: String::new() };
        self.lock().files.insert(path.into(), file);
    }
    pub fn remove(&self, path: &str) {
        self.lock().files.remove(path);
    }
    pub fn be(&self, manner: Manner) {
        self.lock().manner = manner;
    }
    /// Objects on a page of a listing.
    pub fn page(&self, objects: usize) {
        self.lock().page = objects;
    }
    /// Holds back every file (not listings) until they are let through.
    pub fn hold(&self, held: bool) {
        self.lock().held = held;
    }
    pub fn seen(&self) -> Vec<Received> {
        self.lock().seen.clone()
    }
    /// What was asked since this was asked last, as paths with their queries.
    pub fn taken(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().seen).into_iter().map(|r| r.path).collect()
    }
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn answer(state: &Mutex<State>, peer: &mut Peer, request: &Received) -> io::Result<()> {
    locked(state).seen.push(request.clone());
    let manner = locked(state).manner.clone();
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    match manner {
        Manner::Hang => {
            peer.wait_gone();
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Manner::Says(status, body) => return peer.answer(status, &[], body),
        Manner::Redirect(to) => return peer.answer(307, &[("location", &to)], ""),
        Manner::Endless => {
            peer.start_chunked(200, &[("content-type", "text/xml")])?;
            loop {
                peer.chunk(" ".repeat(1 << 16))?;
            }
        }
        Manner::Short => {
            peer.raw("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1000\r\n\r\nonly this")?;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        _ => {}
    }
    if query.contains("list-type=2") {
        let body = listing(&locked(state), path, query, &manner);
        return peer.answer(200, &[("content-type", "application/xml")], body);
    }
    while locked(state).held {
        if peer.wait(std::time::Duration::from_millis(20)) == crate::http::Waited::Gone {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let decoded = decoded(path);
    let Some(file) = locked(state).files.get(&decoded).cloned() else {
        return peer.answer(404, &[], "<Error><Code>NoSuchKey</Code></Error>");
    };
    let tag = format!("\"{}\"", file.tag);
    if !file.tag.is_empty() && request.header("if-none-match") == Some(&tag) {
        return peer.answer(304, &[("etag", &tag)], "");
    }
    let mut headers = vec![("content-type", file.media_type.as_str())];
    if !file.tag.is_empty() {
        headers.push(("etag", &tag));
    }
    peer.answer(200, &headers, file.bytes.as_slice())
}

/// A page of the files below a path, in the order of their keys.
fn listing(state: &State, bucket: &str, query: &str, manner: &Manner) -> String {
    let field = |name: &str| -> String {
        let of = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        decoded(of.unwrap_or_default())
    };
    let (prefix, after) = (field("prefix"), field("continuation-token"));
    let under = format!("{}/", bucket.trim_end_matches('/'));
    let keys = state.files.iter().filter_map(|(path, file)| Some((path.strip_prefix(&under)?, file)));
    let behind: Vec<_> = keys.filter(|(key, _)| key.starts_with(&prefix) && *key > after.as_str()).collect();
    let page = &behind[..behind.len().min(state.page)];
    let mut body = String::from("<?xml version=\"1.0\"?><ListBucketResult><EncodingType>url</EncodingType>");
    if *manner != Manner::EndlessListing {
        for (key, file) in page {
            let key = encoded(key);
            body.push_str(&format!(
                "<Contents><Key>{key}</Key><ETag>&quot;{}&quot;</ETag><Size>{}</Size></Contents>",
                file.tag,
                file.bytes.len()
            ));
        }
    }
    let next = match (manner, page.last()) {
        (Manner::EndlessListing, _) => Some(format!("{after}x")),
        (Manner::Circle, _) => Some("again".into()),
        (_, Some((last, _))) if behind.len() > page.len() => Some((*last).to_owned()),
        _ => None,
    };
    match next {
        Some(next) => body.push_str(&format!(
            "<IsTruncated>true</IsTruncated><NextContinuationToken>{next}</NextContinuationToken>"
        )),
        None => body.push_str("<IsTruncated>false</IsTruncated>"),
    }
    body.push_str("</ListBucketResult>");
    body
}

fn encoded(text: &str) -> String {
    let byte = |b: u8| match b {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
            char::from(b).to_string()
        }
        b' ' => "+".into(),
        b => format!("%{b:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).unwrap_or_default();
        bytes.push(if byte == b'%' { (digit(rest.next()) * 16 + digit(rest.next())) as u8 } else { byte });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
