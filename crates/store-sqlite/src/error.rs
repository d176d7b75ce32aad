//! SQLite's results as the port's errors.

use rusqlite::ErrorCode;
use store::Error;

pub(crate) fn from_sqlite(error: rusqlite::Error) -> Error {
    let text = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full(text),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            Error::ReadOnly(text)
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Error::Damaged(text),
        Some(_) => Error::Io(text),
        // What a column holds is not what its table says.
        None => Error::Damaged(text),
    }
}

pub(crate) fn from_io(what: &str, error: &std::io::Error) -> Error {
    use std::io::ErrorKind as Kind;
    let text = format!("{what}: {error}");
    match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => Error::Full(text),
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Error::ReadOnly(text),
        _ => Error::Io(text),
    }
}

/// `.map_err(from_sqlite)`, shorter.
pub(crate) trait Sqlite<T> {
    fn sql(self) -> Result<T, Error>;
}

impl<T> Sqlite<T> for rusqlite::Result<T> {
    fn sql(self) -> Result<T, Error> {
        self.map_err(from_sqlite)
    }
}
