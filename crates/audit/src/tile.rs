//! Tiles: the tree in pieces of 256 hashes, as C2SP `tlog-tiles` lays it out.
//!
//! Tile `n` of level `l` holds the hashes of whole subtrees of 256^l leaves:
//! level 0 the hashes of leaves, level 1 one hash for each full tile of level 0.
//! A full tile never changes, so it can be kept, cached and mirrored; every
//! proof is computed from a handful of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use crate::proof::Nodes;
use crate::{Error, Hash, node_hash};

/// Hashes of a full tile.
pub const WIDTH: u64 = 256;
/// Levels of a log of 2^64 leaves.
pub const LEVELS: u8 = 8;

/// What is asked for by a path below `tile/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Hashes of a level.
    Hashes { level: u8, index: u64, width: u16 },
    /// The leaves below a tile of level 0.
    Entries { index: u64, width: u16 },
}

impl Path {
    /// Reads `0/x001/234`, `1/000.p/17`, `entries/x001/234`: what comes after `tile/`.
    pub fn parse(text: &str) -> Option<Path> {
        let (level, rest) = text.split_once('/')?;
        let (digits, width) = match rest.split_once(".p/") {
            None => (rest, WIDTH as u16),
            Some((digits, width)) => (digits, decimal(width).filter(|w| (1..256).contains(w))? as u16),
        };
        let index = index(digits)?;
        match level {
            "entries" => Some(Path::Entries { index, width }),
            level => {
                let level = decimal(level).filter(|l| *l < 64)? as u8;
                Some(Path::Hashes { level, index, width })
            }
        }
    }
    /// The leaves that must be there before it can be.
    pub fn end(&self) -> Option<u64> {
        let (level, index, width) = match *self {
            Path::Hashes { level, index, width } => (level, index, width),
            Path::Entries { index, width } => (0, index, width),
        };
        let hashes = index.checked_mul(WIDTH)?.checked_add(u64::from(width))?;
        hashes.checked_mul(1u64.checked_shl(8 * u32::from(level))?)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, width) = match *self {
            Path::Hashes { level, index, width } => {
                write!(f, "{level}/")?;
                (index, width)
            }
            Path::Entries { index, width } => {
                f.write_str("entries/")?;
                (index, width)
            }
        };
        let digits = index.to_string();
        let padded = format!("{index:0width$}", width = digits.len().div_ceil(3) * 3);
        let groups = padded.len() / 3;
        for (at, group) in padded.as_bytes().chunks(3).enumerate() {
            let last = at + 1 == groups;
            let group = std::str::from_utf8(group).unwrap_or_default();
            write!(f, "{}{group}{}", if last { "" } else { "x" }, if last { "" } else { "/" })?;
        }
        if u64::from(width) < WIDTH { write!(f, ".p/{width}") } else { Ok(()) }
    }
}

/// A number without needless zeroes.
fn decimal(text: &str) -> Option<u64> {
    let plain = (text == "0" || !text.starts_with('0')) && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// `x001/x234/067` is 1,234,067, in no other form.
fn index(text: &str) -> Option<u64> {
    let groups = text.split('/').count();
    let mut number = 0u64;
    for (at, group) in text.split('/').enumerate() {
        let digits = if at + 1 == groups { group } else { group.strip_prefix('x')? };
        if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        if at == 0 && groups > 1 && digits == "000" {
            return None;
        }
        number = number.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    Some(number)
}

/// Tile `index` of `level` in a log of `size` leaves: how many hashes it has.
pub fn width(size: u64, level: u8, index: u64) -> u64 {
    let hashes = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
    hashes.saturating_sub(index.saturating_mul(WIDTH)).min(WIDTH)
}

/// The hash above a full tile: what it is in the level above.
pub fn above(hashes: &[Hash]) -> Hash {
    debug_assert!(hashes.len().is_power_of_two());
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row[0]
}

/// Entries as a bundle: each after its length, two bytes, big-endian.
pub fn bundle(leaves: &[Vec<u8>]) -> Vec<u8> {
    let mut bundle = Vec::with_capacity(leaves.iter().map(|l| l.len() + 2).sum());
    for leaf in leaves {
        // The store refuses longer ones.
        bundle.extend((leaf.len().min(0xffff) as u16).to_be_bytes());
        bundle.extend_from_slice(&leaf[..leaf.len().min(0xffff)]);
    }
    bundle
}

/// The entries of a bundle, all of it; at most 256.
pub fn unbundle(mut bytes: &[u8]) -> Result<Vec<&[u8]>, Error> {
    let cut = || Error::format("bundle of entries", "its end is missing");
    let mut entries = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        entries.push(rest.get(..length).ok_or_else(cut)?);
        bytes = &rest[length..];
        if entries.len() > WIDTH as usize {
            return Err(Error::format("bundle of entries", "it has more than 256"));
        }
    }
    if bytes.is_empty() { Ok(entries) } else { Err(cut()) }
}

/// Where tiles come from: a store, a server.
pub trait Tiles {
    /// At least the first `width` hashes of a tile.
    fn tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<Hash>, Error>;
}

/// Tiles by level and index.
type Seen = BTreeMap<(u8, u64), Rc<[Hash]>>;

/// The nodes of a log of a known size, from its tiles, each fetched once.
pub struct TileNodes<T> {
    tiles: T,
    size: u64,
    seen: RefCell<Seen>,
}

impl<T: Tiles> TileNodes<T> {
    pub fn new(tiles: T, size: u64) -> TileNodes<T> {
        TileNodes { tiles, size, seen: RefCell::default() }
    }
    fn tile(&self, level: u8, index: u64) -> Result<Rc<[Hash]>, Error> {
        if let Some(tile) = self.seen.borrow().get(&(level, index)) {
            return Ok(Rc::clone(tile));
        }
        let width = width(self.size, level, index);
        let mut hashes = self.tiles.tile(level, index, width as u16)?;
        if (hashes.len() as u64) < width {
            let what = format!("tile {level}/{index} has {} of {width} hashes", hashes.len());
            return Err(Error::Damaged(what));
        }
        hashes.truncate(width as usize);
        let tile: Rc<[Hash]> = hashes.into();
        self.seen.borrow_mut().insert((level, index), Rc::clone(&tile));
        Ok(tile)
    }
}

impl<T: Tiles> Nodes for TileNodes<T> {
    fn node(&self, level: u32, index: u64) -> Result<Hash, Error> {
        let (row, rest) = ((level / 8) as u8, level % 8);
        let first = index << rest;
        let tile = self.tile(row, first / WIDTH)?;
        let at = (first % WIDTH) as usize;
        let hashes = tile.get(at..at + (1 << rest)).ok_or_else(|| {
            Error::Damaged(format!("level {level} has no whole node {index} in {} leaves", self.size))
        })?;
        Ok(above(hashes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        for (path, text) in [
            (Path::Hashes { level: 0, index: 1_234_067, width: 256 }, "0/x001/x234/067"),
            (Path::Hashes { level: 1, index: 0, width: 17 }, "1/000.p/17"),
            (Path::Entries { index: 273, width: 112 }, "entries/273.p/112"),
            (Path::Entries { index: 1000, width: 256 }, "entries/x001/000"),
        ] {
            assert_eq!(path.to_string(), text);
            assert_eq!(Path::parse(text), Some(path), "{text}");
        }
        for text in [
            "",
            "0",
            "0/",
            "0/0",
            "0/00",
            "0/0000",
            "00/000",
            "64/000",
            "0/x000/000",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/01",
            "0/000.p/",
            "0/x001",
            "0/001/002",
            "0/+01",
            "-1/000",
            "entries",
            "0/x999/x999/x999/x999/x999/x999/x999/999",
            "0/000/",
            "0//000",
            "0/000.p/1/",
        ] {
            assert_eq!(Path::parse(text), None, "{text}");
        }
    }

    /// The example of the specification.
    #[test]
    fn a_tree_of_70_000_has_the_tiles_of_the_specification() {
        let widths = |level, index| width(70_000, level, index);
        assert_eq!((widths(0, 272), widths(0, 273), widths(0, 274)), (256, 112, 0));
        assert_eq!((widths(1, 0), widths(1, 1), widths(2, 0), widths(3, 0)), (256, 17, 1, 0));
        assert_eq!((width(256, 0, 0), width(256, 1, 0)), (256, 1));
        assert_eq!(width(u64::MAX, 63, 0), 0);
        assert_eq!(Path::parse("2/000.p/1").and_then(|p| p.end()), Some(65_536));
        assert_eq!(Path::parse("9/000.p/1").and_then(|p| p.end()), None, "no log is that large");
    }

    #[test]
    fn bundles_are_read_as_they_are_written() {
        let leaves = vec![vec![], vec![1], vec![7; 65_535]];
        let bytes = bundle(&leaves);
        assert_eq!(unbundle(&bytes).expect("it is whole"), leaves);
        for cut in [1, 3, bytes.len() - 1] {
            assert!(unbundle(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(unbundle(&[0; 2 * 257]).is_err());
    }
}
