//! What goes wrong with keys, and how it is shown.

use std::path::Path;

use report::Report;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the master key (fingerprint {found}) does not open {path}, which was made with {expected}")]
    WrongMaster { path: String, found: String, expected: String },
    #[error("{path} can be read by others (mode {mode:04o})")]
    Mode { path: String, mode: u32 },
    #[error("{path} is damaged: {what}")]
    Damaged { path: String, what: String },
    #[error("{path} is missing, and there is data that needs it")]
    Missing { path: String },
    #[error("the text given as master key is not 32 bytes in base64 or hexadecimal")]
    NotAKey,
    #[error("{path}")]
    Io { path: String, source: std::io::Error },
    #[error("a sealed value does not open: it was changed, or sealed under another name or key")]
    Sealed,
    #[error("{path} is locked by {expected}, and {given} was given")]
    OtherKind { path: String, expected: String, given: String },
    #[error("{kms} cannot be reached: {why}")]
    Unreachable { kms: String, why: String },
    #[error("{kms} refuses: {why}")]
    Refused { kms: String, why: String },
    #[error("{kms} has no {key}: it was destroyed, or never was")]
    NoKey { kms: String, key: String },
    #[error("what {kms} wrapped does not open: it was changed, or belongs elsewhere")]
    Unwrap { kms: String },
    #[error("{kms} {what}")]
    Cannot { kms: String, what: &'static str },
    #[error("the keys of tenant {tenant} were destroyed")]
    Shredded { tenant: String },
}

impl Error {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Error {
        Error::Io { path: path.display().to_string(), source }
    }
    pub(crate) fn damaged(path: &Path, what: impl Into<String>) -> Error {
        Error::Damaged { path: path.display().to_string(), what: what.into() }
    }

    /// As a person is shown it.
    pub fn report(&self) -> Report {
        let (code, hint) = match self {
            Error::WrongMaster { .. } => {
                ("SE0001", "give the master key that this directory was made with".into())
            }
            Error::Mode { path, .. } => ("SE0002", format!("if nobody else has read it: chmod 600 {path}")),
            Error::Damaged { .. } => ("SE0003", "restore the file from a backup".into()),
            Error::Missing { .. } => {
                ("SE0004", "restore the file from a backup, or use another --data".into())
            }
            Error::NotAKey => ("SE0005", "make one with: head -c 32 /dev/urandom | base64".into()),
            Error::Io { .. } => ("SE0006", "check the directory's owner, mode and free space".into()),
            Error::Sealed => ("SE0007", "put the secret again".into()),
            Error::OtherKind { expected, .. } => ("SE0008", format!("start with {expected}")),
            Error::Unreachable { .. } => (
                "SE0009",
                "nothing was changed and no key was made: mend the way to it, then try again".into(),
            ),
            Error::Refused { .. } => ("SE0010", "check its credentials and what they allow".into()),
            Error::NoKey { .. } => {
                ("SE0011", "a keyring of before the key's destruction cannot be opened any more".into())
            }
            Error::Unwrap { .. } => {
                ("SE0012", "restore `keyring` from a backup, or name the key that it was made with".into())
            }
            Error::Cannot { .. } => {
                ("SE0013", "`bedplate keys list` says what this kind of master key can do".into())
            }
            Error::Shredded { .. } => ("SE0014", "there is no way back; make another team".into()),
        };
        Report::new(code, report::chain(self)).hint(hint)
    }
}
