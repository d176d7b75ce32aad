//! Why something is not what it says it is.

use report::Report;

/// An error of the store, compared by its words.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct StoreError(store::Error);

impl PartialEq for StoreError {
    fn eq(&self, other: &StoreError) -> bool {
        self.0.to_string() == other.0.to_string()
    }
}

impl Eq for StoreError {}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Error {
        match error {
            store::Error::Damaged(what) => Error::Damaged(what),
            other => Error::Store(StoreError(other)),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Bytes that are not a canonical leaf.
    #[error("not a leaf: {what} at byte {at}")]
    Leaf { what: &'static str, at: usize },
    #[error("the leaf is of version {found}; this binary knows {known}")]
    NewerLeaf { found: u64, known: u64 },
    /// Text that is not a note, checkpoint, key or receipt.
    #[error("not a {kind}: {what}")]
    Format { kind: &'static str, what: String },
    #[error("no signature by {name} verifies")]
    Signature { name: String },
    /// A proof that does not lead to the root.
    #[error("the {proof} proof does not lead to the root of the checkpoint")]
    Proof { proof: &'static str },
    #[error("{wanted} is beyond the log's {size} leaves")]
    Beyond { wanted: u64, size: u64 },
    /// Part of the log that should be there is not, or is another.
    #[error("the audit log is damaged: {0}")]
    Damaged(String),
    #[error(transparent)]
    Store(StoreError),
}

impl Error {
    pub(crate) fn format(kind: &'static str, what: impl Into<String>) -> Error {
        Error::Format { kind, what: what.into() }
    }

    /// As a person is shown it.
    pub fn report(&self) -> Report {
        let (code, hint) = match self {
            Error::Damaged(_) => ("AU0001", "run `bedplate audit verify`; keep a copy of the data directory"),
            Error::Signature { .. } | Error::Proof { .. } => {
                ("AU0002", "it was changed, or belongs to another log or key: ask for it again")
            }
            Error::Leaf { .. } | Error::Format { .. } => {
                ("AU0003", "check that the whole text was copied, every line of it")
            }
            Error::Beyond { .. } => ("AU0005", "`bedplate audit log` shows what there is"),
            Error::Store(error) => return error.0.report(),
            Error::NewerLeaf { .. } => ("AU0006", "read it with the version of bedplate that wrote it"),
        };
        Report::new(code, self.to_string()).hint(hint)
    }
}
