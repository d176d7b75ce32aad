//! Opening a connection: the key first, then what every connection needs.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use seal::SecretKey;
use store::Error;
use zeroize::Zeroizing;

use crate::error::{Sqlite, from_sqlite};

/// Bytes of a page. Part of the file's format: SQLCipher cannot find it out.
/// 8 and 16 KiB were no cheaper (`docs/decisions/007-one-append-per-request.md`).
pub(crate) const PAGE: u32 = 4096;

pub(crate) enum Role {
    Writer,
    Reader,
    /// The writer of a tenant's file, which grows and shrinks with its documents.
    Documents,
}

/// A connection whose key fits, or the reason why not.
pub(crate) fn connect(path: &Path, key: &SecretKey, role: &Role) -> Result<Connection, Error> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if matches!(role, Role::Writer | Role::Documents) {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let connection = Connection::open_with_flags(path, flags).sql()?;
    give_key(&connection, key)?;
    // SQLCipher writes to stderr by itself otherwise; its errors reach us as
    // results. Then the format, which decides how the first page is read.
    connection
        .execute_batch(&format!(
            "PRAGMA cipher_log_level = NONE;
             PRAGMA cipher_page_size = {PAGE};
             PRAGMA cipher_hmac_algorithm = HMAC_SHA256;"
        ))
        .sql()?;
    match connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())) {
        Ok(()) => {}
        Err(e) => return Err(first_read(path, e)),
    }
    let settings = match role {
        Role::Writer => {
            // The checkpointer moves pages back on its own time. The cache holds
            // what a commit and the books' right edges touch, which is far below
            // 2 MiB: it fills within some 4,000 requests, where one of 8 MiB went on
            // growing for 20,000 and looked like a leak for most of an hour.
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA wal_autocheckpoint = 0;
             PRAGMA journal_size_limit = 67108864;
             PRAGMA cache_size = -2048;"
        }
        Role::Documents => {
            // Vacuuming is chosen before the first page is written. The cache holds the
            // right edges of a full-text index and of the tables while chunks come in.
            "PRAGMA auto_vacuum = INCREMENTAL;
             PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA temp_store = MEMORY;
             PRAGMA wal_autocheckpoint = 0;
             PRAGMA journal_size_limit = 67108864;
             PRAGMA cache_size = -8192;"
        }
        Role::Reader => {
            "PRAGMA query_only = ON;
             PRAGMA temp_store = MEMORY;
             PRAGMA wal_autocheckpoint = 0;
             PRAGMA cache_size = -4096;"
        }
    };
    connection.execute_batch(settings).sql()?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.busy_timeout(std::time::Duration::from_secs(5)).sql()?;
    Ok(connection)
}

/// Gives SQLCipher the raw key: no derivation from a passphrase, which would
/// cost 256,000 rounds at each connection. No error of this step is passed on,
/// because it could quote the statement.
fn give_key(connection: &Connection, key: &SecretKey) -> Result<(), Error> {
    let mut sql = Zeroizing::new(String::with_capacity(96));
    sql.push_str("PRAGMA key = \"x'");
    for byte in key.expose() {
        for digit in [byte >> 4, byte & 15] {
            sql.push(char::from_digit(u32::from(digit), 16).expect("a digit is below 16"));
        }
    }
    sql.push_str("'\"");
    connection.execute_batch(&sql).map_err(|_| Error::Io("SQLCipher did not take the key".into()))
}

/// Why the first page could not be read. A page that fails its HMAC may be
/// damaged or under another key, and only the file's length can tell the two
/// apart; for whole pages the key is the likelier reason.
fn first_read(path: &Path, error: rusqlite::Error) -> Error {
    let shown = path.display().to_string();
    let length = std::fs::metadata(path).map_or(0, |m| m.len());
    match from_sqlite(error) {
        Error::Damaged(_) if !length.is_multiple_of(u64::from(PAGE)) => {
            Error::Damaged(format!("{shown} has {length} bytes, which is not a number of pages"))
        }
        Error::Damaged(_) => Error::WrongKey { path: shown },
        other => other,
    }
}
