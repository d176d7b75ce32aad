//! Feeds, pages and buckets as sources of a collection: each an implementation of
//! [`context::source::Source`] over HTTP.
//!
//! What answers is a stranger. It is asked at the one place that its manifest declares,
//! through the one hardened client, under a clearance for that origin; a redirect or a link
//! that leads to another origin is not followed. Whatever it says is bounded: the length
//! and the depth of what it lists, the number of its pages, the length and the time of each
//! content. What it writes is text, and never an address to be asked unless it is of the
//! same origin.
//!
//! Invariants: what is sent holds nothing of anybody's documents; a key goes to no other
//! origin, and is in no error; a source that says the same twice (a page's mark, an item) is
//! noticed; no sound input and no other one panics.

mod bucket;
mod date;
mod feed;
mod pages;
mod web;

#[cfg(test)]
mod tests;

use context::source::Source;
use manifest::{SourceKind, Timeouts};
use report::Report;

use web::Web;

/// Opens what is declared. Nothing is asked yet.
///
/// # Errors
/// CX0014: what is declared cannot be asked so.
pub fn open(
    name: &str,
    kind: &SourceKind,
    key: Option<&str>,
    timeouts: &Timeouts,
) -> Result<Box<dyn Source>, Report> {
    Ok(match kind {
        SourceKind::Feed(feed) => {
            let web = Web::new(name, feed.allow_private, web::bearer(key)?, timeouts)?;
            Box::new(feed::Feed::new(web, feed.url.clone(), feed.follow))
        }
        SourceKind::Pages(pages) => {
            let web = Web::new(name, pages.allow_private, web::bearer(key)?, timeouts)?;
            Box::new(pages::Pages::new(web, pages.urls.clone()))
        }
        SourceKind::Bucket(bucket) => {
            let web = Web::new(name, bucket.allow_private, net::HeaderMap::new(), timeouts)?;
            Box::new(bucket::Bucket::new(web, bucket, key)?)
        }
    })
}

/// What the fuzz target runs: whatever a source answers.
pub fn fuzz(bytes: &[u8]) {
    let _ = feed::entries(bytes, "https://example.org/feed.xml");
    let _ = bucket::listing(bytes);
}

/// The source could not be read.
pub(crate) fn unread(why: impl Into<String>) -> Report {
    Report::new("CX0011", "the source could not be read").because(why)
}
