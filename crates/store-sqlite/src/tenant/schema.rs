//! The tables of a tenant's file, as the steps that made them. Full text and
//! vectors have tables per collection beside these ([`fts`], [`vectors`]), so
//! that terms are weighed within their collection, and dropping one is one statement.

use rusqlite::Connection;
use store::Error;
use store::documents::Lexing;

use crate::error::Sqlite;

/// Times are microseconds since 1970; ids 16 bytes; `n` the number by which rows
/// here name each other; `filled` how many vectors a generation has. `acl` is what searches filter by: the chunks that may be
/// found, and nothing else of them, so that a thousand lookups touch a few pages.
pub(crate) const STEPS: &[&str] = &[
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
     INSERT INTO meta VALUES ('chunk', 0);
     CREATE TABLE classes (id INTEGER PRIMARY KEY, acl TEXT NOT NULL UNIQUE) STRICT;
     CREATE TABLE collections (
         n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE, lexing INTEGER NOT NULL,
         language TEXT NOT NULL, labels TEXT NOT NULL, settings TEXT NOT NULL, live INTEGER NOT NULL,
         begun INTEGER NOT NULL, revision INTEGER NOT NULL, created INTEGER NOT NULL
     ) STRICT;
     CREATE TABLE generations (
         collection INTEGER NOT NULL, number INTEGER NOT NULL, embedder TEXT NOT NULL,
         dimensions INTEGER NOT NULL, filled INTEGER NOT NULL, PRIMARY KEY (collection, number)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE documents (
         n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, collection INTEGER NOT NULL, source TEXT NOT NULL,
         version INTEGER NOT NULL, hash BLOB NOT NULL, title TEXT NOT NULL, format TEXT NOT NULL,
         class INTEGER NOT NULL, labels TEXT NOT NULL, trust INTEGER NOT NULL, batch TEXT NOT NULL,
         modified INTEGER, created INTEGER NOT NULL, updated INTEGER NOT NULL, chunks INTEGER NOT NULL,
         bytes INTEGER NOT NULL, UNIQUE (collection, source)
     ) STRICT;
     CREATE INDEX documents_by_batch ON documents (collection, batch);
     CREATE TABLE chunks (
         id INTEGER PRIMARY KEY, document INTEGER NOT NULL, n INTEGER NOT NULL, heading TEXT NOT NULL,
         text TEXT NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL
     ) STRICT;
     CREATE INDEX chunks_by_document ON chunks (document, n);
     CREATE TABLE acl (
         collection INTEGER NOT NULL, chunk INTEGER NOT NULL, class INTEGER NOT NULL,
         PRIMARY KEY (collection, chunk)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE answers (
         n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, partition BLOB NOT NULL, key BLOB NOT NULL,
         vector BLOB NOT NULL, question TEXT NOT NULL, body BLOB NOT NULL, labels TEXT NOT NULL,
         cost_pico INTEGER NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL,
         UNIQUE (partition, key)
     ) STRICT;
     CREATE INDEX answers_by_expiry ON answers (expires);
     CREATE TABLE dependencies (
         answer INTEGER NOT NULL, document INTEGER NOT NULL, version INTEGER NOT NULL,
         PRIMARY KEY (answer, document)
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX dependencies_by_document ON dependencies (document);
     CREATE TABLE turns (
         n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, owner TEXT NOT NULL, conversation TEXT NOT NULL,
         speaker INTEGER NOT NULL, text TEXT NOT NULL, at INTEGER NOT NULL
     ) STRICT;
     CREATE INDEX turns_by_conversation ON turns (owner, conversation, n);
     CREATE VIRTUAL TABLE turns_fts USING fts5 (
         text, content = 'turns', content_rowid = 'n', tokenize = 'porter unicode61 remove_diacritics 2'
     );
     CREATE TABLE facts (
         n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, owner TEXT NOT NULL, about TEXT NOT NULL,
         relation TEXT NOT NULL, value TEXT NOT NULL, valid_from INTEGER NOT NULL, valid_to INTEGER,
         recorded INTEGER NOT NULL, ended_at INTEGER, ended_recorded INTEGER, ended_by BLOB,
         turn INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL, document INTEGER
     ) STRICT;
     CREATE INDEX facts_by_owner ON facts (owner, n);
     CREATE INDEX facts_by_turn ON facts (turn);
     CREATE INDEX facts_by_document ON facts (document);
     CREATE INDEX facts_by_end ON facts (ended_by);
     CREATE TABLE edges (
         n INTEGER PRIMARY KEY, source TEXT NOT NULL, relation TEXT NOT NULL, target TEXT NOT NULL,
         chunk INTEGER NOT NULL, valid_from INTEGER, valid_to INTEGER,
         UNIQUE (source, relation, target, chunk)
     ) STRICT;
     CREATE INDEX edges_by_target ON edges (target);
     CREATE INDEX edges_by_chunk ON edges (chunk);",
    // What was remembered before labels were is taken for what a user said.
    "ALTER TABLE turns ADD COLUMN labels TEXT NOT NULL DEFAULT 'public anywhere user';
     CREATE TABLE recollections (
         answer INTEGER NOT NULL, turn INTEGER NOT NULL, PRIMARY KEY (answer, turn)
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX recollections_by_turn ON recollections (turn);
     CREATE TABLE observations (
         n INTEGER PRIMARY KEY, answer INTEGER NOT NULL, similarity REAL NOT NULL, good INTEGER NOT NULL
     ) STRICT;
     CREATE INDEX observations_by_answer ON observations (answer, n);",
    // Nothing wrote edges before. An index of one end holds its edges in the order of their
    // numbers; what was unique by source did not, and a name in many chunks was read whole.
    "DROP TABLE edges;
     CREATE TABLE edges (
         n INTEGER PRIMARY KEY, source TEXT NOT NULL, relation TEXT NOT NULL, target TEXT NOT NULL,
         chunk INTEGER NOT NULL, valid_from INTEGER, valid_to INTEGER,
         UNIQUE (chunk, source, relation, target)
     ) STRICT;
     CREATE INDEX edges_by_source ON edges (source);
     CREATE INDEX edges_by_target ON edges (target);",
    // What a source says of contents, and what its owner keeps of a collection.
    "ALTER TABLE documents ADD COLUMN mark TEXT NOT NULL DEFAULT '';
     CREATE TABLE notes (
         collection INTEGER NOT NULL, name TEXT NOT NULL, note TEXT NOT NULL, PRIMARY KEY (collection, name)
     ) STRICT, WITHOUT ROWID;",
];

/// The name of a collection's full-text table.
pub(crate) fn fts(collection: i64) -> String {
    format!("fts_{collection}")
}

/// The name of a generation's table of vectors.
pub(crate) fn vectors(collection: i64, generation: u32) -> String {
    format!("vectors_{collection}_{generation}")
}

/// As FTS5 is told how text becomes terms.
pub(crate) const fn tokenize(lexing: Lexing) -> &'static str {
    match lexing {
        Lexing::Stemmed => "porter unicode61 remove_diacritics 2",
        Lexing::Words => "unicode61 remove_diacritics 2",
        Lexing::Trigrams => "trigram",
    }
}

/// External content: the texts stand once, in `chunks`.
pub(crate) fn create_fts(connection: &Connection, collection: i64, lexing: Lexing) -> Result<(), Error> {
    let tokenize = tokenize(lexing);
    let sql = format!(
        "CREATE VIRTUAL TABLE {} USING fts5 (
             heading, text, content = 'chunks', content_rowid = 'id', tokenize = '{tokenize}'
         )",
        fts(collection)
    );
    connection.execute_batch(&sql).sql()
}

pub(crate) fn create_vectors(connection: &Connection, collection: i64, generation: u32) -> Result<(), Error> {
    let sql = format!(
        "CREATE TABLE {} (chunk INTEGER PRIMARY KEY, vector BLOB NOT NULL) STRICT",
        vectors(collection, generation)
    );
    connection.execute_batch(&sql).sql()
}

pub(crate) fn drop_table(connection: &Connection, table: &str) -> Result<(), Error> {
    connection.execute_batch(&format!("DROP TABLE {table}")).sql()
}
