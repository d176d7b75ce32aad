//! The original vectors of an index, sealed one by one in a file beside its snapshot.
//!
//! The tenant's file has them too, and is the truth; but reading one there opens a page of it,
//! some 12 µs, and here a kilobyte, 2 µs. What cannot be read here is read there.
//!
//! ```text
//! "BPVO" | format | dimensions | instance | sealed key | part ...
//! ```
//!
//! A part is a vector in binary16, bound to its chunk, and is never moved or changed while the
//! file lives: new ones go to the end, and what is removed is written over with zeros. A snapshot
//! names the file's instance: with any other file it is doubted.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use seal::{Binding, PartsKey, Purpose, TenantKeys};
use store::documents::{AclClass, ChunkId, half};

use crate::snapshot::{Place, beside, io};
use crate::{Entry, Error};

const MAGIC: &[u8; 4] = b"BPVO";
const FORMAT: u32 = 1;
const HEAD: usize = 28 + PartsKey::SEALED;
/// No slot: the vector is in the tenant's file alone.
pub(crate) const NO_SLOT: u32 = u32::MAX;
/// Parts that are written together.
const TOGETHER: usize = 1_024;

/// See the module.
pub(crate) struct Kept {
    file: File,
    path: PathBuf,
    keys: TenantKeys,
    place: Place,
    key: PartsKey,
    pub instance: [u8; 16],
    dimensions: usize,
    /// Parts, removed ones included.
    count: u32,
}

/// Where the originals of the index with this snapshot are kept.
pub(crate) fn path_of(snapshot: &Path) -> PathBuf {
    let mut name = snapshot.file_name().unwrap_or_default().to_owned();
    name.push(".originals");
    snapshot.with_file_name(name)
}

impl Kept {
    /// A new file without a vector, in place of an older one.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(path: &Path, keys: &TenantKeys, place: Place, dimensions: usize) -> Result<Kept, Error> {
        let instance: [u8; 16] = seal::random();
        let row = row(place, &instance);
        let (key, sealed) =
            PartsKey::make(keys, Purpose::Documents, &binding(&row)).map_err(|e| Error::Io(e.to_string()))?;
        let new = beside(path);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&new).map_err(|e| io(&new, e))?;
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&FORMAT.to_le_bytes());
        head.extend_from_slice(&(dimensions as u32).to_le_bytes());
        head.extend_from_slice(&instance);
        head.extend_from_slice(&sealed);
        let written = file.write_all_at(&head, 0).and_then(|()| fs::rename(&new, path));
        if let Err(error) = written {
            let _ = fs::remove_file(&new);
            return Err(io(path, error));
        }
        let (path, keys) = (path.to_owned(), keys.clone());
        Ok(Kept { file, path, keys, place, key, instance, dimensions, count: 0 })
    }

    /// The file that a snapshot names, with its first `count` parts.
    ///
    /// # Errors
    /// [`Error::Doubt`].
    pub fn open(
        path: &Path,
        keys: &TenantKeys,
        place: Place,
        dimensions: usize,
        instance: [u8; 16],
        count: u32,
    ) -> Result<Kept, Error> {
        let doubt = |what: String| Error::Doubt(format!("its originals: {what}"));
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(|e| doubt(e.to_string()))?;
        let mut head = [0; HEAD];
        file.read_exact_at(&mut head, 0).map_err(|e| doubt(e.to_string()))?;
        let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
        if head[..4] != *MAGIC || number(4) != FORMAT || number(8) as usize != dimensions {
            return Err(doubt("they are of another format".into()));
        }
        if head[12..28] != instance {
            return Err(doubt("they are another index's".into()));
        }
        let key = PartsKey::open(keys, Purpose::Documents, &binding(&row(place, &instance)), &head[28..])
            .map_err(|e| doubt(e.to_string()))?;
        let (path, keys) = (path.to_owned(), keys.clone());
        let kept = Kept { file, path, keys, place, key, instance, dimensions, count };
        // What came after the snapshot is put again; its parts are of chunks that may be gone.
        let length = kept.at(count);
        match kept.file.metadata().map(|m| m.len()) {
            Ok(has) if has >= length => kept.file.set_len(length).map_err(|e| doubt(e.to_string()))?,
            Ok(has) => return Err(doubt(format!("{has} bytes of {length}"))),
            Err(e) => return Err(doubt(e.to_string())),
        }
        Ok(kept)
    }

    pub fn count(&self) -> u32 {
        self.count
    }
    fn part(&self) -> usize {
        2 * self.dimensions + PartsKey::MORE
    }
    fn at(&self, slot: u32) -> u64 {
        HEAD as u64 + u64::from(slot) * self.part() as u64
    }

    /// Puts vectors behind the others; the slot of the first.
    ///
    /// # Errors
    /// [`Error::Io`], and nothing was put.
    pub fn push<'a>(&mut self, entries: impl Iterator<Item = &'a Entry>) -> Result<u32, Error> {
        let first = self.count;
        let mut next = first;
        let mut bytes = Vec::new();
        let mut entries = entries.peekable();
        while entries.peek().is_some() {
            bytes.clear();
            let from = next;
            for entry in entries.by_ref().take(TOGETHER) {
                let vector = half::encode(&entry.vector);
                self.key.seal_onto(&mut bytes, &entry.chunk.0.to_le_bytes(), &vector);
                next = next.checked_add(1).filter(|n| *n != NO_SLOT).ok_or_else(|| {
                    Error::Io(format!("{}: {from} originals are as many as are kept", self.path.display()))
                })?;
            }
            self.file.write_all_at(&bytes, self.at(from)).map_err(|e| io(&self.path, e))?;
        }
        self.count = next;
        Ok(first)
    }

    /// A chunk's vector; `None` when it cannot be read here.
    pub fn read(&self, slot: u32, chunk: u64, part: &mut Vec<u8>) -> Option<Vec<f32>> {
        if slot >= self.count {
            return None;
        }
        part.resize(self.part(), 0);
        self.file.read_exact_at(part, self.at(slot)).ok()?;
        half::decode(self.key.open_in(&chunk.to_le_bytes(), part)?)
    }

    /// A file of these alone, in this order, in place of this one.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Doubt`] when one cannot be read.
    pub fn renewed(&self, slots: &[u32], chunks: &[u64]) -> Result<Kept, Error> {
        let mut new = Kept::create(&self.path, &self.keys, self.place, self.dimensions)?;
        let mut part = Vec::new();
        for (slots, chunks) in slots.chunks(TOGETHER).zip(chunks.chunks(TOGETHER)) {
            let mut entries = Vec::with_capacity(slots.len());
            for (slot, chunk) in slots.iter().zip(chunks) {
                let vector = self.read(*slot, *chunk, &mut part);
                let vector = vector.ok_or_else(|| Error::Doubt(format!("the original of part {chunk}")))?;
                entries.push(Entry { chunk: ChunkId(*chunk), class: AclClass(0), vector });
            }
            new.push(entries.iter())?;
        }
        Ok(new)
    }

    /// Writes over a vector that was removed. One that cannot be written over stays sealed
    /// until the file is made anew.
    pub fn erase(&self, slot: u32) {
        if slot < self.count {
            let _ = self.file.write_all_at(&vec![0; self.part()], self.at(slot));
        }
    }

    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(|e| io(&self.path, e))
    }
}

fn row(place: Place, instance: &[u8; 16]) -> Vec<u8> {
    let mut row = place.collection.0.as_bytes().to_vec();
    row.extend_from_slice(&place.generation.to_le_bytes());
    row.extend_from_slice(instance);
    row
}

fn binding(row: &[u8]) -> Binding<'_> {
    Binding { table: "originals", row, version: FORMAT }
}
