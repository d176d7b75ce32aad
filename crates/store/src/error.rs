//! What goes wrong in a store, and how it is shown.

use report::Report;

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("the data directory {path} is in use by another process (pid {pid})")]
    Locked { path: String, pid: String },
    #[error("the master key does not open {path}")]
    WrongKey { path: String },
    #[error("the disk is full: {0}")]
    Full(String),
    #[error("the data directory cannot be written: {0}")]
    ReadOnly(String),
    #[error("{path} was written by a newer version (schema {found}, this binary knows {known})")]
    Newer { path: String, found: u32, known: u32 },
    #[error("stored data is damaged: {0}")]
    Damaged(String),
    #[error("{kind} \"{name}\" already exists")]
    Exists { kind: &'static str, name: String },
    #[error("no {kind} \"{name}\"")]
    Missing { kind: &'static str, name: String },
    /// What was asked for cannot be stored: the reason, for whoever asked.
    #[error("{0}")]
    Invalid(String),
    #[error("the vectors are of index generation {given}, and generation {live} is searched")]
    Stale { given: u32, live: u32 },
    #[error("{missing} chunks have no vector in index generation {generation}")]
    Incomplete { generation: u32, missing: u64 },
    #[error("the store is closed")]
    Closed,
    #[error("storage failed: {0}")]
    Io(String),
}

impl Error {
    /// As a person is shown it.
    pub fn report(&self) -> Report {
        let (code, hint) = match self {
            Error::Locked { .. } => ("ST0001", "stop that process, or start this one with another --data"),
            Error::WrongKey { .. } => ("ST0002", "give the master key that this directory was made with"),
            Error::Full(_) => ("ST0003", "free some space; the store goes on by itself"),
            Error::ReadOnly(_) => {
                ("ST0004", "make the data directory writable for the user that runs bedplate")
            }
            Error::Newer { .. } => ("ST0005", "run the newer bedplate, or restore a backup made before it"),
            Error::Damaged(_) => ("ST0006", "keep a copy of the data directory and restore a backup"),
            Error::Exists { .. } => ("ST0007", "choose another name, or change the one that exists"),
            Error::Missing { .. } => ("ST0008", "list what there is, and check the name"),
            Error::Closed => ("ST0009", "the server is stopping: send the request to another, or try again"),
            Error::Io(_) => ("ST0010", "run `bedplate doctor`"),
            Error::Invalid(_) => ("ST0011", "mend it as the message says, and send it again"),
            Error::Stale { .. } => ("ST0012", "embed the document again with the collection's embedder"),
            Error::Incomplete { .. } => {
                ("ST0013", "wait until every chunk has its vector in the new generation")
            }
        };
        Report::new(code, self.to_string()).hint(hint)
    }
}
