//! An index from its snapshot, and from the store's rows whatever that lacks.
//!
//! A snapshot of the store's revision is taken as it is. One of an older revision is
//! compared with the rows that the store has now, which are narrow, and brought up to
//! them. Anything else is no snapshot: damaged, of a later revision (the file was put
//! back), of other dimensions, or too far behind for comparing to pay.

use std::collections::{BTreeMap, BTreeSet};

use store::documents::{AclClass, ChunkId, Collection, IndexRow, PAGE_MAX, Tenant};
use vectors::{DenseIndex, Entry, FlatIndex, Place, Snapshots};

use crate::Error;

pub(crate) struct Made {
    pub index: FlatIndex,
    /// Vectors that the snapshot does not have as they are; `None` without a snapshot.
    pub unsaved: Option<usize>,
}

/// Which index the collection is searched by.
pub(crate) fn place(collection: &Collection) -> Place {
    Place { collection: collection.id, generation: collection.live.number }
}

/// The index of `revision`, which the store has while this runs.
pub(crate) fn make(
    tenant: &dyn Tenant,
    collection: &Collection,
    revision: u64,
    snapshots: Option<&Snapshots>,
) -> Result<Made, Error> {
    let loaded = snapshots.and_then(|snapshots| snapshots.load(tenant.team(), place(collection)).ok());
    if let Some((index, of)) = loaded
        && index.dimensions() == collection.live.dimensions as usize
    {
        if of == revision {
            return Ok(Made { index, unsaved: Some(0) });
        }
        if of < revision
            && let Some(changed) = catch_up(tenant, collection, &index)?
        {
            return Ok(Made { index, unsaved: Some(changed) });
        }
    }
    Ok(Made { index: built(tenant, collection, snapshots)?, unsaved: None })
}

/// Brings an older index up to the store's rows; how many vectors that changed. `None` when
/// most would have, or when it does not come out even: then it is of no use.
fn catch_up(tenant: &dyn Tenant, collection: &Collection, index: &FlatIndex) -> Result<Option<usize>, Error> {
    let mut held: BTreeMap<ChunkId, AclClass> = index.entries().into_iter().collect();
    let mut missing = BTreeSet::new();
    let mut moved: BTreeMap<AclClass, Vec<ChunkId>> = BTreeMap::new();
    let (mut count, mut after) = (0, None);
    loop {
        let rows = tenant.index_classes(collection.id, after, PAGE_MAX)?;
        let full = rows.len() == PAGE_MAX;
        after = rows.last().map(|row| row.0);
        count += rows.len();
        for (chunk, class) in rows {
            match held.remove(&chunk) {
                None => drop(missing.insert(chunk)),
                Some(old) if old != class => moved.entry(class).or_default().push(chunk),
                Some(_) => {}
            }
        }
        if !full {
            break;
        }
    }
    let gone: Vec<ChunkId> = held.into_keys().collect();
    let changed = gone.len() + missing.len() + moved.values().map(Vec::len).sum::<usize>();
    if missing.len() > count / 2 {
        return Ok(None);
    }
    index.remove(&gone);
    for (class, chunks) in moved {
        index.classify(&chunks, class);
    }
    // They are the newest as a rule, and lie together.
    while let Some(first) = missing.first().copied() {
        let before = first.0.checked_sub(1).map(ChunkId);
        let rows = tenant.index_rows(collection.id, collection.live.number, before, PAGE_MAX)?;
        let Some(last) = rows.last().map(|row| row.chunk) else { return Ok(None) };
        let wanted = rows.into_iter().filter(|row| missing.contains(&row.chunk));
        index.add(&wanted.map(entry).collect::<Vec<_>>())?;
        missing = missing.split_off(&ChunkId(last.0 + 1));
    }
    index.settle();
    Ok((index.len() == count).then_some(changed))
}

/// From every row. Its originals are kept where its snapshot will be; where they cannot be,
/// searches read the tenant's file.
fn built(
    tenant: &dyn Tenant,
    collection: &Collection,
    snapshots: Option<&Snapshots>,
) -> Result<FlatIndex, Error> {
    let dimensions = collection.live.dimensions as usize;
    let keeping = snapshots.and_then(|s| s.begin(tenant.team(), place(collection), dimensions).ok());
    let index = keeping.unwrap_or_else(|| FlatIndex::new(dimensions));
    let mut after = None;
    loop {
        let rows = tenant.index_rows(collection.id, collection.live.number, after, PAGE_MAX)?;
        let full = rows.len() == PAGE_MAX;
        after = rows.last().map(|row| row.chunk);
        index.add(&rows.into_iter().map(entry).collect::<Vec<_>>())?;
        if !full {
            index.settle();
            return Ok(index);
        }
    }
}

fn entry(row: IndexRow) -> Entry {
    Entry { chunk: row.chunk, class: row.class, vector: row.vector }
}
