//! Why a body could not be read or translated.

use report::Report;

/// A small value; [`Report`] (what a client is shown) is built from it only
/// when there is somebody to show it to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// DI0001.
    #[error("byte {at}: expected {expected}")]
    Syntax { at: usize, expected: &'static str },
    /// DI0002.
    #[error("byte {at}: key {key:?} is repeated")]
    DuplicateKey { at: usize, key: String },
    /// DI0003.
    #[error("byte {at}: nested deeper than {limit} levels")]
    Depth { at: usize, limit: usize },
    /// DI0004. `got` is the value as sent, cut to 80 characters.
    #[error("{path} is {got}: expected {expected}")]
    Field { path: String, got: String, expected: String },
    /// DI0005.
    #[error("{path} is missing")]
    Missing { path: String },
    /// DI0006.
    #[error("{parameter} has no form in the {target} dialect: {because}")]
    Untranslatable { parameter: String, target: &'static str, because: String },
    /// GW0011.
    #[error("{parameter} is not what our searches do: {because}")]
    FileSearch { parameter: String, because: String },
    /// UP0004: a provider's answer, not a client's request.
    #[error("the provider's answer could not be read: {because}")]
    Upstream { because: String },
}

/// The longest piece of somebody's body that an error repeats, in characters.
const QUOTED_MAX: usize = 80;

/// A value as an error shows it.
pub(crate) fn quote(value: &str) -> String {
    match value.char_indices().nth(QUOTED_MAX) {
        Some((end, _)) => format!("{}...", &value[..end]),
        None => value.to_string(),
    }
}

impl Error {
    pub(crate) fn field(path: impl Into<String>, got: &str, expected: impl Into<String>) -> Error {
        Error::Field { path: path.into(), got: quote(got), expected: expected.into() }
    }
    pub(crate) fn missing(path: impl Into<String>) -> Error {
        Error::Missing { path: path.into() }
    }
    pub const fn code(&self) -> &'static str {
        match self {
            Error::Syntax { .. } => "DI0001",
            Error::DuplicateKey { .. } => "DI0002",
            Error::Depth { .. } => "DI0003",
            Error::Field { .. } => "DI0004",
            Error::Missing { .. } => "DI0005",
            Error::Untranslatable { .. } => "DI0006",
            Error::FileSearch { .. } => "GW0011",
            Error::Upstream { .. } => "UP0004",
        }
    }
    /// The field at fault: OpenAI's `param`.
    pub fn param(&self) -> Option<&str> {
        match self {
            Error::Field { path, .. } | Error::Missing { path } => Some(path),
            Error::Untranslatable { parameter, .. } | Error::FileSearch { parameter, .. } => Some(parameter),
            _ => None,
        }
    }
}

impl From<Error> for Report {
    fn from(error: Error) -> Report {
        let code = error.code();
        match error {
            Error::Syntax { at, expected } => Report::new(code, "the body is not valid JSON")
                .at(format!("byte {at}"))
                .because(format!("expected {expected}")),
            Error::DuplicateKey { at, key } => {
                Report::new(code, format!("the key {key:?} stands twice in one object"))
                    .at(format!("byte {at}"))
                    .hint("send each key once: readers disagree on which one counts")
            }
            Error::Depth { at, limit } => {
                Report::new(code, format!("the JSON is nested deeper than {limit} levels"))
                    .at(format!("byte {at}"))
            }
            Error::Field { path, got, expected } => {
                Report::new(code, format!("expected {expected}, got {got}")).at(path)
            }
            Error::Missing { path } => Report::new(code, "a required field is missing").at(path),
            Error::Untranslatable { parameter, target, because } => {
                Report::new(code, format!("a parameter has no form in the {target} dialect"))
                    .at(parameter)
                    .because(because)
                    .hint("leave it out, or ask for a model whose provider speaks your dialect")
            }
            Error::FileSearch { parameter, because } => {
                Report::new(code, "a collection is not searched like that").at(parameter).because(because)
            }
            Error::Upstream { because } => {
                Report::new(code, "the provider's answer could not be read").because(because)
            }
        }
    }
}
