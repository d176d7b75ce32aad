//! Pages: a list of addresses, each of which is a document.

use std::vec::IntoIter;

use context::source::{Item, Read, Source};
use report::Report;

use crate::web::{DOCUMENT_BYTES_MAX, Got, Web};

pub(crate) struct Pages {
    web: Web,
    left: IntoIter<String>,
}

impl Pages {
    pub fn new(web: Web, urls: Vec<String>) -> Pages {
        Pages { web, left: urls.into_iter() }
    }
}

impl Source for Pages {
    fn begin(&mut self, _: &str) -> Result<bool, Report> {
        Ok(true)
    }
    fn next(&mut self) -> Result<Option<Item>, Report> {
        Ok(self.left.next().map(|address| Item { address, mark: String::new(), content: None }))
    }
    fn read(&mut self, item: &Item, mark: &str) -> Result<Read, Report> {
        read(&self.web, &item.address, mark)
    }
}

/// What an address holds.
pub(crate) fn read(web: &Web, url: &str, mark: &str) -> Result<Read, Report> {
    Ok(match web.get(url, mark, DOCUMENT_BYTES_MAX)? {
        Got::Same => Read::Same,
        Got::Gone => Read::Gone,
        Got::Page(page) => Read::Content(page.into_content()),
    })
}
