//! Buckets of S3 and of what speaks like it: a listing page by page, and each object.
//!
//! The listing's entity tag is a hint: objects that have theirs are not read. What it says
//! of lengths is not believed at all; what is read is bounded by itself.

mod list;
mod sign;

use std::vec::IntoIter;

use context::source::{Content, ITEMS_MAX, Item, Read, Source};
use net::StatusCode;
use report::Report;

use crate::web::{DOCUMENT_BYTES_MAX, Page, Web, refused, undeclared};
use crate::{date, unread};

pub(crate) use list::listing;
use list::{Listing, Object, error_code};
use sign::Signer;

/// Bytes of a page of 1,000 objects whose keys have 1,024 bytes, encoded at their longest.
const LISTING_BYTES_MAX: u64 = 8 << 20;
/// Pages of a listing. One that is full has 1,000 objects.
const PAGES_MAX: usize = 10 * ITEMS_MAX / 1_000;

pub(crate) struct Bucket {
    web: Web,
    /// `https://s3.example.org`
    endpoint: String,
    /// As the `host` header will have it.
    host: String,
    /// What paths begin with: the endpoint's own, and the bucket.
    base: String,
    bucket: String,
    prefix: String,
    signer: Option<Signer>,
    page: IntoIter<Object>,
    next: Next,
    pages: usize,
}

/// Which page comes next.
enum Next {
    First,
    After(String),
    None,
}

impl Bucket {
    /// `key`: `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, and a session's token behind another colon.
    pub fn new(web: Web, declared: &manifest::Bucket, key: Option<&str>) -> Result<Bucket, Report> {
        let uri: http::Uri = declared.url.parse().map_err(|_| undeclared("its address cannot be read"))?;
        let host = uri.authority().ok_or_else(|| undeclared("its address has no host"))?.to_string();
        let scheme = uri.scheme_str().unwrap_or("https");
        let signer = key.map(|key| Signer::new(key, &declared.region)).transpose()?;
        let path = uri.path().trim_end_matches('/');
        Ok(Bucket {
            web,
            endpoint: format!("{scheme}://{host}"),
            host,
            base: format!("{path}/{}", sign::encoded(&declared.bucket, true)),
            bucket: declared.bucket.clone(),
            prefix: declared.prefix.clone(),
            signer,
            page: Vec::new().into_iter(),
            next: Next::First,
            pages: 0,
        })
    }

    fn get(&self, path: &str, query: &str, limit: u64) -> Result<(StatusCode, Page), Report> {
        let now = runtime::clock::now();
        let signed = self
            .signer
            .as_ref()
            .map(|signer| signer.headers(&self.host, path, query, now))
            .unwrap_or_default();
        let question = if query.is_empty() { String::new() } else { format!("?{query}") };
        self.web.get_signed(&format!("{}{path}{question}", self.endpoint), &signed, limit)
    }

    fn list(&mut self, token: Option<&str>) -> Result<Listing, Report> {
        if self.pages == PAGES_MAX {
            let what = format!("its listing has more than {PAGES_MAX} pages");
            return Err(Report::new("CX0012", what).because("a listing without an end is none"));
        }
        self.pages += 1;
        // In the order of their names: it is what is signed.
        let mut query = String::new();
        if let Some(token) = token {
            query.push_str(&format!("continuation-token={}&", sign::encoded(token, false)));
        }
        query.push_str("encoding-type=url&list-type=2&max-keys=1000");
        if !self.prefix.is_empty() {
            query.push_str(&format!("&prefix={}", sign::encoded(&self.prefix, false)));
        }
        let (status, page) = self.get(&self.base, &query, LISTING_BYTES_MAX)?;
        if status != StatusCode::OK {
            return Err(refused(status, &error_code(&page.bytes)));
        }
        listing(&page.bytes)
    }

    fn address(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }
}

impl Source for Bucket {
    fn begin(&mut self, _: &str) -> Result<bool, Report> {
        (self.next, self.pages) = (Next::First, 0);
        Ok(true)
    }

    fn next(&mut self) -> Result<Option<Item>, Report> {
        loop {
            if let Some(object) = self.page.next() {
                let address = self.address(&object.key);
                return Ok(Some(Item { address, mark: object.tag, content: None }));
            }
            let token = match &self.next {
                Next::First => None,
                Next::After(token) => Some(token.clone()),
                Next::None => return Ok(None),
            };
            let listing = self.list(token.as_deref())?;
            self.next = match listing.next {
                None => Next::None,
                Some(next) if token.as_deref() == Some(next.as_str()) => {
                    return Err(unread("its listing goes round in a circle"));
                }
                Some(next) => Next::After(next),
            };
            // What ends like a folder is one: consoles make them so that there is something to see.
            let mut objects = listing.objects;
            objects.retain(|object| !object.key.ends_with('/'));
            if let Some(stray) = objects.iter().find(|object| !object.key.starts_with(&self.prefix)) {
                let key: String = stray.key.chars().take(60).collect();
                return Err(unread(format!("its listing names \"{key}\", which nobody asked for")));
            }
            self.page = objects.into_iter();
        }
    }

    fn read(&mut self, item: &Item, _: &str) -> Result<Read, Report> {
        let begins = self.address("");
        let key = item.address.strip_prefix(&begins).ok_or_else(|| unread("it is of another bucket"))?;
        let path = format!("{}/{}", self.base, sign::encoded(key, true));
        let (status, page) = self.get(&path, "", DOCUMENT_BYTES_MAX)?;
        match status {
            StatusCode::OK => Ok(Read::Content(Content {
                bytes: page.bytes.to_vec(),
                media_type: page.media_type,
                title: None,
                modified: date::http(&page.modified),
                mark: page.tag,
            })),
            StatusCode::NOT_FOUND if error_code(&page.bytes) != "NoSuchBucket" => Ok(Read::Gone),
            status => Err(refused(status, &error_code(&page.bytes))),
        }
    }
}
