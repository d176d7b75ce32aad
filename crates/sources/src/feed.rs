//! Feeds: what one carries, or what its entries lead to.

mod read;

use std::vec::IntoIter;

use context::source::{Item, Read, Source};
use report::Report;

use crate::web::{Got, Web};
use crate::{pages, unread};

pub(crate) use read::entries;

/// Bytes of a feed.
const FEED_BYTES_MAX: u64 = 16 << 20;

pub(crate) struct Feed {
    web: Web,
    url: String,
    /// Read what entries lead to, and not what the feed carries of it.
    follow: bool,
    left: IntoIter<Item>,
    mark: String,
}

impl Feed {
    pub fn new(web: Web, url: String, follow: bool) -> Feed {
        Feed { web, url, follow, left: Vec::new().into_iter(), mark: String::new() }
    }
}

impl Source for Feed {
    fn begin(&mut self, mark: &str) -> Result<bool, Report> {
        // A page can change while the feed that names it stays.
        let mark = if self.follow { "" } else { mark };
        let page = match self.web.get(&self.url, mark, FEED_BYTES_MAX)? {
            Got::Same => {
                self.mark = mark.to_owned();
                return Ok(false);
            }
            Got::Gone => return Err(unread("there is nothing at its address")),
            Got::Page(page) => page,
        };
        let mut items = entries(&page.bytes, &self.url)?;
        if self.follow {
            items.iter_mut().for_each(|item| item.content = None);
        } else {
            self.mark = page.mark();
        }
        self.left = items.into_iter();
        Ok(true)
    }

    fn next(&mut self) -> Result<Option<Item>, Report> {
        Ok(self.left.next())
    }

    fn read(&mut self, item: &Item, mark: &str) -> Result<Read, Report> {
        // The address is the feed's word: it opens nothing that was not declared (TRAPS X2).
        if !self.web.is_of(&item.address, &self.url) {
            return Err(Report::new("CX0012", "its link leads to another place than the feed's"));
        }
        pages::read(&self.web, &item.address, mark)
    }

    fn mark(&self) -> String {
        self.mark.clone()
    }
}
