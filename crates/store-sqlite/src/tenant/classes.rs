//! The tenant's lists of readers, in memory, and which of them somebody may read.
//!
//! A class never changes its meaning, so a reader's mask only ever grows by the
//! classes that came since it was made: a search asks at most the new ones.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension};
use store::Error;
use store::documents::{Acl, AclClass, Classes, Reader};

use crate::error::Sqlite;

/// Readers whose masks are kept at most; then all are made anew.
const MASKS_MAX: usize = 1_024;

#[derive(Default)]
pub(crate) struct KnownClasses(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// By number, without gaps.
    all: Vec<Acl>,
    masks: HashMap<Reader, Mask>,
}

struct Mask {
    /// How many classes it was made of.
    of: usize,
    classes: Arc<Classes>,
}

impl KnownClasses {
    pub fn open(connection: &Connection) -> Result<KnownClasses, Error> {
        let known = KnownClasses::default();
        known.refresh(connection)?;
        Ok(known)
    }
    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing here panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Learns what has been committed since.
    pub fn refresh(&self, connection: &Connection) -> Result<(), Error> {
        let from = self.known().all.len();
        let mut statement =
            connection.prepare_cached("SELECT id, acl FROM classes WHERE id >= ?1 ORDER BY id").sql()?;
        let mut rows = statement.query([from as i64]).sql()?;
        let mut new = Vec::new();
        while let Some(row) = rows.next().sql()? {
            let id: i64 = row.get(0).sql()?;
            if id != (from + new.len()) as i64 {
                return Err(Error::Damaged(format!("list of readers {} is missing", from + new.len())));
            }
            let text: String = row.get(1).sql()?;
            new.push(Acl::parse(&text).map_err(|e| Error::Damaged(format!("list of readers {id}: {e}")))?);
        }
        self.known().all.extend(new);
        Ok(())
    }
    pub fn mask(&self, reader: &Reader) -> Arc<Classes> {
        let mut known = self.known();
        let Known { all, masks } = &mut *known;
        let old = masks.get(reader);
        if let Some(mask) = old.filter(|mask| mask.of == all.len()) {
            return mask.classes.clone();
        }
        let from = old.map_or(0, |mask| mask.of);
        let before = old.into_iter().flat_map(|mask| mask.classes.iter());
        let since = (from as u32..).map(AclClass).zip(&all[from..]).filter(|(_, acl)| reader.may(acl));
        let classes = Arc::new(Classes::of(before.chain(since.map(|(class, _)| class))));
        if masks.len() >= MASKS_MAX {
            masks.clear();
        }
        masks.insert(reader.clone(), Mask { of: all.len(), classes: classes.clone() });
        classes
    }
    /// What a class stands for; `None` for one that was committed a moment ago.
    pub fn acl(&self, AclClass(n): AclClass) -> Option<Acl> {
        self.known().all.get(n as usize).cloned()
    }
}

/// The number of a list, given now if it has none. Inside a transaction.
pub(crate) fn intern(connection: &Connection, acl: &Acl) -> Result<AclClass, Error> {
    let text = acl.to_string();
    let found = connection
        .prepare_cached("SELECT id FROM classes WHERE acl = ?1")
        .sql()?
        .query_row([&text], |row| row.get(0))
        .optional()
        .sql()?;
    let id = match found {
        Some(id) => id,
        None => {
            let sql = "INSERT INTO classes SELECT coalesce(max(id) + 1, 0), ?1 FROM classes RETURNING id";
            connection.prepare_cached(sql).sql()?.query_row([&text], |row| row.get(0)).sql()?
        }
    };
    Ok(AclClass(id))
}
