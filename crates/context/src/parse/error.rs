//! Why a document was not read.

use report::Report;

use super::Format;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("there is nothing to read in it")]
    Empty,
    #[error("it has {bytes} bytes; {max} are read at most")]
    TooLarge { bytes: usize, max: usize },
    #[error("it is not UTF-8 from byte {at} on")]
    NotUtf8 { at: usize },
    #[error("it holds {found}, not text")]
    Binary { found: &'static str },
    #[error("it is said to be {declared} and holds {found}")]
    Disagrees { declared: &'static str, found: &'static str },
    #[error("{} is not read yet", .0.name())]
    Unsupported(Format),
    #[error("it has more than {max} paragraphs, rows or items")]
    TooManyBlocks { max: usize },
    #[error("its parts stand more than {max} deep within each other")]
    TooDeep { max: usize },
    #[error("its text has more than {max} bytes")]
    TooMuchText { max: usize },
    #[error("line {line} is not {}: {why}", .format.name())]
    Malformed { format: Format, line: usize, why: String },
    #[error("it is not {} as its makers write it: {why}", .format.name())]
    Broken { format: Format, why: String },
    #[error("it is encrypted")]
    Encrypted,
    #[error("it unpacks to more than {max} bytes")]
    Unpacks { max: usize },
    /// The process that read it ended without an answer, or had none in time.
    #[error("its reader {0}")]
    Reader(String),
}

impl Error {
    /// As a person is shown it; the caller adds which document, with [`Report::at`].
    pub fn report(&self) -> Report {
        let report = match self {
            Error::Empty
            | Error::NotUtf8 { .. }
            | Error::Binary { .. }
            | Error::Malformed { .. }
            | Error::Broken { .. }
            | Error::Encrypted => Report::new("CX0001", "the document cannot be read"),
            Error::TooLarge { .. }
            | Error::TooManyBlocks { .. }
            | Error::TooDeep { .. }
            | Error::TooMuchText { .. }
            | Error::Unpacks { .. } => Report::new("CX0002", "the document is beyond a limit"),
            Error::Unsupported(_) => Report::new("CX0003", "documents of this format are not read"),
            Error::Disagrees { .. } => {
                Report::new("CX0004", "the document is not of the format it is said to be")
            }
            Error::Reader(_) => Report::new("CX0008", "the reader of the document gave up"),
        };
        let report = report.because(self.to_string());
        match self {
            Error::NotUtf8 { .. } => report.hint("convert it: `iconv -f latin1 -t utf-8`"),
            Error::Encrypted => report.hint("take its password off, and ingest it again"),
            Error::Unsupported(Format::Pdf) => report.hint("convert it: `pdftotext -layout`"),
            Error::Unsupported(_) => report.hint("convert it: `pandoc -t markdown`"),
            _ => report,
        }
    }
}
