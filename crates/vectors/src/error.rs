//! What goes wrong with an index, and how it is shown.

use report::Report;

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("a vector has {given} dimensions, and the index {expected}")]
    Dimensions { given: usize, expected: usize },
    #[error("number {at} of a vector is {value}")]
    NotFinite { at: usize, value: f32 },
    /// The index is to be built again; nothing is lost.
    #[error("the snapshot of an index is not taken: {0}")]
    Doubt(String),
    #[error("the snapshot of an index cannot be written: {0}")]
    Io(String),
}

impl Error {
    /// As a person is shown it.
    pub fn report(&self) -> Report {
        let (code, hint) = match self {
            Error::Dimensions { .. } | Error::NotFinite { .. } => {
                ("VX0001", "embed the question with the collection's embedder")
            }
            Error::Doubt(_) => ("VX0002", "nothing: the index is built again from the tenant's file"),
            Error::Io(_) => ("VX0003", "check the data directory's owner, mode and free space"),
        };
        Report::new(code, self.to_string()).hint(hint)
    }
}
