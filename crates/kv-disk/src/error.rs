//! What keeps the folder from being used at all.

use report::Report;

/// Why a folder cannot be opened. A block that cannot be read or written is
/// never an error: see [`scheduler::BlockStore`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path} cannot hold blocks of keys and values")]
    Folder { path: String, source: std::io::Error },
}

impl Error {
    /// As a person is shown it.
    pub fn report(&self) -> Report {
        Report::new("ST0004", report::chain(self)).hint("check the directory's owner and mode")
    }
}
