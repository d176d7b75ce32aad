//! What a collection reads by itself: the port of its sources.
//!
//! A source says what there is, one item after the other, and what each holds. How it
//! comes by that (a feed, a bucket, a query) is its own business; what becomes of it (what
//! is new, what has changed, what is gone, who may read it) is `retrieval`'s alone. So a
//! kind of source is one implementation of [`Source`], and knows no collection.
//!
//! A *mark* is what the source says of a content without showing it: an entity tag, a
//! time. The same mark saves a reading, and proves nothing: two contents are the same when
//! their hashes are.

use report::Report;
use units::Micros;

/// Items of one source at most: what is there has to be remembered until the last of
/// them came, before what is gone can be known.
pub const ITEMS_MAX: usize = 100_000;
/// Bytes of an item's address, as of any document's.
pub const ADDRESS_BYTES_MAX: usize = 2_048;
/// Bytes of a mark. A longer one is as good as none.
pub const MARK_BYTES_MAX: usize = 480;

/// Where documents come from. Its calls may wait: for threads that may.
pub trait Source {
    /// Begins to read. `mark`: what [`Source::mark`] said when all of it was read last, or
    /// nothing. `false`: nothing has changed since, and there is no more to ask.
    ///
    /// # Errors
    /// When it cannot be read; then nothing of the collection changes.
    fn begin(&mut self, mark: &str) -> Result<bool, Report>;

    /// What comes next. `None`: that was all, and what did not come is not there any more.
    ///
    /// # Errors
    /// When the rest cannot be known; then nothing is taken for gone.
    fn next(&mut self) -> Result<Option<Item>, Report>;

    /// What an item holds, unless it is what had `mark`.
    ///
    /// # Errors
    /// Of this item; the others are read on.
    fn read(&mut self, item: &Item, mark: &str) -> Result<Read, Report>;

    /// What the source says of all that it has; empty: nothing.
    fn mark(&self) -> String {
        String::new()
    }
}

/// One document of a source, before it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is known by in its collection: an address.
    pub address: String,
    /// What the source said of its content when it named it; empty: nothing.
    pub mark: String,
    /// Where the source gave it along with its name.
    pub content: Option<Content>,
}

/// What reading an item found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// What had the mark.
    Same,
    /// It went away since it was named.
    Gone,
    Content(Content),
}

/// What an item holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    pub bytes: Vec<u8>,
    /// What it is said to be; empty: nothing is said.
    pub media_type: String,
    /// What the source calls it; `None`: whatever it calls itself.
    pub title: Option<String>,
    pub modified: Option<Micros>,
    /// See [`Item::mark`].
    pub mark: String,
}
