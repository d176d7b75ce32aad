//! A text's terms, exactly as FTS5 makes them: it is asked.
//!
//! Its tokenizers look at one word at a time, and whatever is ASCII but no letter or digit
//! parts words for all of them. So a text is cut there, and each piece is asked for once,
//! in a table in memory, and remembered. Trigrams are three characters in a row, each
//! folded by itself: so it is asked for characters.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use rusqlite::Connection;
use store::Error;
use store::documents::Lexing;

use super::super::schema;
use crate::error::Sqlite;

/// Pieces remembered at most, about: some 5 MB. Then all are asked again.
const PIECES_MAX: usize = 50_000;
/// Bytes of a piece that is remembered: what is longer is no word that comes again.
const PIECE_BYTES_MAX: usize = 64;

/// See the module. A term is a number: 64 bits of a hash, so that two of a million are
/// the same once in thirty million collections, and no text of a term stays in memory
/// with the lists.
pub(super) struct Lexer {
    connection: Connection,
    lexing: Lexing,
    /// The number of each piece that was asked for.
    known: HashMap<Box<str>, u32>,
    /// By a piece's number: its terms, or what its character folds to.
    meant: Vec<Box<[u64]>>,
}

impl Lexer {
    pub fn open(lexing: Lexing) -> Result<Lexer, Error> {
        let connection = Connection::open_in_memory().sql()?;
        let tokenize = schema::tokenize(lexing);
        connection
            .execute_batch(&format!(
                "CREATE VIRTUAL TABLE asked USING fts5 (text, content = '', tokenize = '{tokenize}');
                 CREATE VIRTUAL TABLE said USING fts5vocab (asked, instance);"
            ))
            .sql()?;
        Ok(Lexer { connection, lexing, known: HashMap::new(), meant: Vec::new() })
    }

    /// The terms of each text in their order.
    pub fn read<'a>(&mut self, texts: impl Iterator<Item = &'a str>) -> Result<Vec<Vec<u64>>, Error> {
        if self.meant.len() > PIECES_MAX {
            self.forget();
        }
        let first = self.meant.len();
        let mut asked = Vec::new();
        let pieces: Vec<Vec<u32>> = texts.map(|text| self.pieces(text, &mut asked)).collect();
        if let Err(error) = self.ask(first, &asked) {
            self.forget();
            return Err(error);
        }
        let means = |numbers: &Vec<u32>| -> Vec<u64> {
            numbers.iter().flat_map(|number| self.meant[*number as usize].iter().copied()).collect()
        };
        Ok(match self.lexing {
            Lexing::Stemmed | Lexing::Words => pieces.iter().map(means).collect(),
            Lexing::Trigrams => {
                let threes = |folded: Vec<u64>| folded.windows(3).map(hash_of_three).collect();
                pieces.iter().map(means).map(threes).collect()
            }
        })
    }

    fn forget(&mut self) {
        self.known.clear();
        self.meant.clear();
    }

    /// The numbers of a text's pieces; those that are new are to be asked for.
    fn pieces(&mut self, text: &str, asked: &mut Vec<String>) -> Vec<u32> {
        let mut numbers = Vec::with_capacity(text.len() / 5);
        let mut piece = String::new();
        if self.lexing == Lexing::Trigrams {
            for c in text.chars() {
                piece.clear();
                piece.push(c.to_ascii_lowercase());
                numbers.push(self.number(&piece, asked));
            }
        } else {
            for part in text.split(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric()) {
                if !part.is_empty() {
                    piece.clear();
                    piece.push_str(part);
                    piece.make_ascii_lowercase();
                    numbers.push(self.number(&piece, asked));
                }
            }
        }
        numbers
    }

    fn number(&mut self, piece: &str, asked: &mut Vec<String>) -> u32 {
        if let Some(number) = self.known.get(piece) {
            return *number;
        }
        let number = self.meant.len() as u32;
        self.meant.push(Box::default());
        asked.push(piece.to_owned());
        if piece.len() <= PIECE_BYTES_MAX {
            self.known.insert(piece.into(), number);
        }
        number
    }

    /// Fills in what pieces mean, the first of which has the number `first`.
    fn ask(&mut self, first: usize, pieces: &[String]) -> Result<(), Error> {
        if pieces.is_empty() {
            return Ok(());
        }
        let trigrams = self.lexing == Lexing::Trigrams;
        // Rolled back at the end: nothing stays in the table.
        let transaction = self.connection.transaction().sql()?;
        let mut insert =
            transaction.prepare_cached("INSERT INTO asked (rowid, text) VALUES (?1, ?2)").sql()?;
        for (row, piece) in (1i64..).zip(pieces) {
            let thrice = if trigrams { piece.repeat(3) } else { String::new() };
            insert.execute((row, if trigrams { &thrice } else { piece })).sql()?;
        }
        let mut statement = transaction.prepare_cached("SELECT doc, \"offset\", term FROM said").sql()?;
        let mut rows = statement.query([]).sql()?;
        let mut said: Vec<(i64, i64, u64)> = Vec::with_capacity(pieces.len());
        while let Some(row) = rows.next().sql()? {
            let term = row.get_ref(2).sql()?.as_bytes().map_err(|e| Error::Damaged(e.to_string()))?;
            let term = if trigrams {
                let text = String::from_utf8_lossy(term);
                text.chars().next().map_or(0, u64::from)
            } else {
                hash(term)
            };
            said.push((row.get(0).sql()?, row.get(1).sql()?, term));
        }
        said.sort_unstable();
        for of_one in said.chunk_by(|a, b| a.0 == b.0) {
            let at = first + (of_one[0].0 - 1) as usize;
            let count = if trigrams { 1 } else { of_one.len() };
            self.meant[at] = of_one[..count].iter().map(|said| said.2).collect();
        }
        Ok(())
    }
}

fn hash(term: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(term);
    hasher.finish()
}

fn hash_of_three(folded: &[u64]) -> u64 {
    let mut hasher = DefaultHasher::new();
    folded.iter().for_each(|c| hasher.write_u64(*c));
    hasher.finish()
}
