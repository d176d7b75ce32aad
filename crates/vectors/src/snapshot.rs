//! An index on disk, so that opening a tenant does not read every vector: in
//! frames of a mebibyte, each sealed under the tenant's key and bound to the
//! tenant, the collection, the generation, the revision, the frame's number and their count.
//!
//! ```text
//! "BPVI" | format | frames | revision | [length | sealed frame] ...
//! ```
//!
//! **Any doubt means building anew.** A frame that was changed, moved, left out or
//! taken from another file or revision does not open; what opens and does not add up is not
//! taken either. An older snapshot put in place of a newer one is no doubt: it says its own
//! revision, ids are never given twice and a chunk's vector never changes, so what it holds is
//! right, and comparing with [`store::documents::IndexRows::index_classes`] finds the rest.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use seal::{Binding, KeyRing, Purpose, TenantKeys};
use units::{CollectionId, TeamId};

use crate::kept::{self, Kept};
use crate::members::GONE as SHARED;
use crate::settled::{KeptIn, Packed, Settled};
use crate::{DenseIndex, Error, FlatIndex};

/// Bytes of an index in one frame.
pub const FRAME_BYTES: usize = 1 << 20;
/// Nonce and tag of a sealed frame.
const SEALED_MORE: usize = 28;
const MAGIC: &[u8; 4] = b"BPVI";
/// Raised when the content's layout or turbovec's changes.
const FORMAT: u32 = 3;
const HEAD_BYTES: usize = 20;
/// The largest snapshot that is read: 16 million vectors of 1,024 dimensions.
const FRAMES_MAX: u32 = 8_192;

/// Whose index a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub collection: CollectionId,
    pub generation: u32,
}

impl Place {
    /// Its file's name in the directory of tenants' files, where removing the tenant finds it.
    pub fn file_name(&self, keys: &TenantKeys) -> String {
        format!("{}.{}.{}.index", keys.team(), self.collection, self.generation)
    }
    fn row(&self, revision: u64, frame: u32, frames: u32) -> Vec<u8> {
        let mut row = self.collection.0.as_bytes().to_vec();
        row.extend_from_slice(&revision.to_le_bytes());
        for n in [self.generation, frame, frames] {
            row.extend_from_slice(&n.to_le_bytes());
        }
        row
    }
}

/// All snapshots: a directory, and the keys of those whose indexes they are of.
pub struct Snapshots {
    dir: PathBuf,
    keys: KeyRing,
}

impl Snapshots {
    /// `dir`: that of the tenants' files, so that removing a tenant finds its snapshots.
    pub fn new(dir: &Path, keys: &KeyRing) -> Snapshots {
        Snapshots { dir: dir.to_owned(), keys: keys.clone() }
    }
    /// # Errors
    /// As [`save`].
    pub fn save(&self, team: TeamId, place: Place, index: &FlatIndex, revision: u64) -> Result<(), Error> {
        let keys = self.keys.tenant(team);
        save(&self.dir.join(place.file_name(&keys)), &keys, place, index, revision)
    }
    /// # Errors
    /// As [`load`].
    pub fn load(&self, team: TeamId, place: Place) -> Result<(FlatIndex, u64), Error> {
        let keys = self.keys.tenant(team);
        load(&self.dir.join(place.file_name(&keys)), &keys, place)
    }
    /// An empty index whose originals are kept beside where its snapshot will be.
    ///
    /// # Errors
    /// As [`FlatIndex::keeping`].
    pub fn begin(&self, team: TeamId, place: Place, dimensions: usize) -> Result<FlatIndex, Error> {
        let keys = self.keys.tenant(team);
        FlatIndex::keeping(dimensions, &self.dir.join(place.file_name(&keys)), &keys, place)
    }
    /// Removes those of a collection but of one generation; what cannot be removed is of no use
    /// to anybody.
    pub fn remove(&self, team: TeamId, collection: CollectionId, but: Option<u32>) {
        let keys = self.keys.tenant(team);
        let kept = but.map(|generation| Place { collection, generation }.file_name(&keys));
        let begin = format!("{team}.{collection}.");
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(&begin) && kept.as_ref().is_none_or(|kept| !name.starts_with(kept)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

pub(crate) fn io(path: &Path, error: std::io::Error) -> Error {
    Error::Io(format!("{}: {error}", path.display()))
}

/// Writes the index, as it is at one moment, in place of an older snapshot: beside it,
/// synced, renamed. `revision` is the collection's, which the index follows.
///
/// # Errors
/// [`Error::Io`]; the older snapshot, if any, is still there.
pub fn save(
    path: &Path,
    keys: &TenantKeys,
    place: Place,
    index: &FlatIndex,
    revision: u64,
) -> Result<(), Error> {
    let (settled, kept) = index.settled()?;
    let content = encode(index.dimensions(), &settled, kept);
    let beside = beside(path);
    let written = write(&beside, keys, place, revision, &content).and_then(|()| {
        fs::rename(&beside, path).map_err(|e| io(path, e))?;
        let dir = path.parent().unwrap_or(Path::new("."));
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(|e| io(dir, e))
    });
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

pub(crate) fn beside(path: &Path) -> PathBuf {
    // Begins with the tenant's name too: removing the tenant finds what a crash left.
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}

fn write(path: &Path, keys: &TenantKeys, place: Place, revision: u64, content: &[u8]) -> Result<(), Error> {
    let error = |e| io(path, e);
    let file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(error)?;
    let mut file = BufWriter::with_capacity(FRAME_BYTES, file);
    let frames: Vec<&[u8]> = content.chunks(FRAME_BYTES).collect();
    let count = u32::try_from(frames.len()).ok().filter(|count| *count <= FRAMES_MAX);
    let count = count.ok_or_else(|| Error::Io(format!("an index of {} frames is not kept", frames.len())))?;
    file.write_all(MAGIC).map_err(error)?;
    file.write_all(&FORMAT.to_le_bytes()).map_err(error)?;
    file.write_all(&count.to_le_bytes()).map_err(error)?;
    file.write_all(&revision.to_le_bytes()).map_err(error)?;
    for (n, frame) in (0u32..).zip(frames) {
        let row = place.row(revision, n, count);
        let binding = Binding { table: "index", row: &row, version: FORMAT };
        let sealed = keys.seal(Purpose::Documents, &binding, frame).map_err(|e| Error::Io(e.to_string()))?;
        file.write_all(&(sealed.len() as u32).to_le_bytes()).map_err(error)?;
        file.write_all(&sealed).map_err(error)?;
    }
    let file = file.into_inner().map_err(|e| error(e.into_error()))?;
    file.sync_all().map_err(error)
}

/// The index of a snapshot, with the revision that it was saved at.
///
/// # Errors
/// [`Error::Doubt`], also when there is none: it is to be built again.
pub fn load(path: &Path, keys: &TenantKeys, place: Place) -> Result<(FlatIndex, u64), Error> {
    let (content, revision) = read(path, keys, place)?;
    let doubt = || Error::Doubt("its parts do not fit together".into());
    let Content { dimensions, settled, kept } = decode(&content).ok_or_else(doubt)?;
    let kept = kept
        .map(|(instance, count)| Kept::open(&kept::path_of(path), keys, place, dimensions, instance, count));
    let index = FlatIndex::from_settled(dimensions, settled, kept.transpose()?).ok_or_else(doubt)?;
    Ok((index, revision))
}

fn read(path: &Path, keys: &TenantKeys, place: Place) -> Result<(Vec<u8>, u64), Error> {
    let doubt = |what: &str| Error::Doubt(what.to_owned());
    let file = File::open(path).map_err(|e| Error::Doubt(e.to_string()))?;
    let mut file = BufReader::with_capacity(FRAME_BYTES, file);
    let mut head = [0; HEAD_BYTES];
    file.read_exact(&mut head).map_err(|_| doubt("it has no head"))?;
    let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
    let (format, count) = (number(4), number(8));
    let revision = u64::from_le_bytes(head[12..].try_into().expect("eight bytes"));
    if head[..4] != *MAGIC || format != FORMAT || count > FRAMES_MAX {
        return Err(doubt("it is of another format"));
    }
    let mut content = Vec::new();
    let mut sealed = Vec::new();
    for n in 0..count {
        let mut length = [0; 4];
        file.read_exact(&mut length).map_err(|_| doubt("it is cut"))?;
        let length = u32::from_le_bytes(length) as usize;
        if length > FRAME_BYTES + SEALED_MORE {
            return Err(doubt("a frame is too long"));
        }
        sealed.resize(length, 0);
        file.read_exact(&mut sealed).map_err(|_| doubt("it is cut"))?;
        let row = place.row(revision, n, count);
        let binding = Binding { table: "index", row: &row, version: FORMAT };
        let frame = keys
            .unseal(Purpose::Documents, &binding, &sealed)
            .map_err(|e| Error::Doubt(format!("frame {n}: {e}")))?;
        content.extend_from_slice(&frame);
    }
    match file.read(&mut [0]) {
        Ok(0) => Ok((content, revision)),
        _ => Err(doubt("it goes on behind its last frame")),
    }
}

/// What a snapshot says.
struct Content {
    dimensions: usize,
    settled: Settled,
    kept: Option<KeptIn>,
}

/// Dimensions, count, the originals' file, ids, classes, slots, and of each segment its class or
/// [`SHARED`], its count, the length of its codes, and those.
fn encode(dimensions: usize, settled: &Settled, kept: Option<KeptIn>) -> Vec<u8> {
    let Settled { ids, classes, slots, segments } = settled;
    let codes: usize = segments.iter().map(|segment| 20 + segment.codes.len()).sum();
    let mut content = Vec::with_capacity(33 + 16 * ids.len() + codes);
    content.extend_from_slice(&(dimensions as u32).to_le_bytes());
    content.extend_from_slice(&(ids.len() as u64).to_le_bytes());
    let (instance, count) = kept.unwrap_or_default();
    content.push(u8::from(kept.is_some()));
    content.extend_from_slice(&instance);
    content.extend_from_slice(&count.to_le_bytes());
    content.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
    content.extend(classes.iter().flat_map(|class| class.to_le_bytes()));
    content.extend(slots.iter().flat_map(|slot| slot.to_le_bytes()));
    for Packed { class, count, codes } in segments {
        content.extend_from_slice(&class.unwrap_or(SHARED).to_le_bytes());
        content.extend_from_slice(&(*count as u64).to_le_bytes());
        content.extend_from_slice(&(codes.len() as u64).to_le_bytes());
        content.extend_from_slice(codes);
    }
    content
}

fn decode(content: &[u8]) -> Option<Content> {
    let (dimensions, rest) = content.split_first_chunk::<4>()?;
    let (count, rest) = rest.split_first_chunk::<8>()?;
    let (keeps, rest) = rest.split_first_chunk::<1>()?;
    let (instance, rest) = rest.split_first_chunk::<16>()?;
    let (parts, rest) = rest.split_first_chunk::<4>()?;
    let dimensions = u32::from_le_bytes(*dimensions);
    if !(1..=store::documents::DIMENSIONS_MAX).contains(&dimensions) {
        return None;
    }
    let count = usize::try_from(u64::from_le_bytes(*count)).ok()?;
    let (ids, rest) = rest.split_at_checked(count.checked_mul(8)?)?;
    let (classes, rest) = rest.split_at_checked(count.checked_mul(4)?)?;
    let (slots, mut rest) = rest.split_at_checked(count.checked_mul(4)?)?;
    let numbers = |bytes: &[u8]| bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
    let mut settled = Settled {
        ids: ids.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect(),
        classes: numbers(classes),
        slots: numbers(slots),
        segments: Vec::new(),
    };
    while !rest.is_empty() {
        let (class, more) = rest.split_first_chunk::<4>()?;
        let (count, more) = more.split_first_chunk::<8>()?;
        let (length, more) = more.split_first_chunk::<8>()?;
        let (codes, more) = more.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        let class = Some(u32::from_le_bytes(*class)).filter(|class| *class != SHARED);
        let count = usize::try_from(u64::from_le_bytes(*count)).ok()?;
        settled.segments.push(Packed { class, count, codes: codes.to_vec() });
        rest = more;
    }
    let kept = (keeps[0] == 1).then(|| (*instance, u32::from_le_bytes(*parts)));
    Some(Content { dimensions: dimensions as usize, settled, kept })
}
