//! The keeper: extends the tree by what the store has numbered, and signs.
//!
//! Runs once a second and whenever somebody asks for a proof of something newer.
//! It signs only what continues what it signed before: at its start it rebuilds
//! the tree of the last checkpoint and compares roots, and refuses to go on if
//! they differ, because signing then would give damage our word.

use store::{AuditLog, CheckpointRow, TileRow};

use crate::checkpoint::{self, Checkpoint};
use crate::tile::{self, Path, TileNodes, Tiles, WIDTH};
use crate::tree::FullTile;
use crate::{Error, Hash, Note, Receipt, Signature, Signer, Tree, Verifier, leaf_hash, proof};

/// Leaves per checkpoint at most: what is hashed and kept before a commit. A
/// longer backlog takes several.
const STRIDE: u64 = 1 << 16;
/// Cosignatures of a checkpoint. A note must be readable with sixteen signatures
/// (the specification), of which the log's is one.
pub const COSIGNATURES_MAX: usize = 15;

/// The tree as far as it is signed, and the key that signs it.
pub struct Keeper {
    signer: Signer,
    tree: Tree,
    last: Option<Note>,
}

impl Keeper {
    /// Goes on where the last checkpoint ended.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the leaves and tiles are not those that were signed.
    pub fn open(log: &dyn AuditLog, signer: Signer) -> Result<Keeper, Error> {
        let Some(row) = log.checkpoints(1)?.into_iter().next() else {
            return Ok(Keeper { signer, tree: Tree::default(), last: None });
        };
        let note = Note::parse(&row.note)?;
        let (checkpoint, _) = checkpoint::open(&note, signer.verifier(), &[])?;
        let have = log.log_size()?;
        if have < checkpoint.size {
            let lost = checkpoint.size - have;
            return Err(Error::Damaged(format!(
                "its checkpoint covers {} leaves and {have} are there: the last {lost} are missing",
                checkpoint.size
            )));
        }
        let whole = checkpoint.size / WIDTH * WIDTH;
        let mut tree = Tree::restore(whole, |level, n| full_tile(log, level, n))?;
        for leaf in log.leaves(whole, (checkpoint.size - whole) as usize)? {
            tree.append(leaf_hash(&leaf), &mut Vec::new());
        }
        if tree.root() != checkpoint.root {
            return Err(Error::Damaged(format!(
                "the root of its first {} leaves is not the one that was signed",
                checkpoint.size
            )));
        }
        Ok(Keeper { signer, tree, last: Some(note) })
    }

    pub fn verifier(&self) -> &Verifier {
        self.signer.verifier()
    }

    /// Leaves that the last checkpoint covers.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The last checkpoint.
    pub fn note(&self) -> Option<&Note> {
        self.last.as_ref()
    }

    /// Signs what is new, if there is any (an empty log's first checkpoint counts),
    /// and keeps checkpoint and full tiles. Covers [`STRIDE`] leaves at most: call
    /// again until it returns `None`.
    pub fn publish(&mut self, log: &dyn AuditLog) -> Result<Option<Note>, Error> {
        let size = log.log_size()?.min(self.tree.size() + STRIDE);
        if size <= self.tree.size() && self.last.is_some() {
            return Ok(None);
        }
        // A copy, so that a commit that fails leaves everything as it was.
        let mut tree = self.tree.clone();
        let mut full = Vec::new();
        while tree.size() < size {
            let leaves = log.leaves(tree.size(), (size - tree.size()) as usize)?;
            if leaves.is_empty() {
                return Err(Error::Damaged(format!("leaf {} is missing", tree.size())));
            }
            leaves.iter().for_each(|leaf| tree.append(leaf_hash(leaf), &mut full));
        }
        let note = checkpoint::sign(size, tree.root(), &self.signer);
        let tiles: Vec<TileRow> = full.iter().map(row).collect();
        log.publish(&tiles, &CheckpointRow { size, note: note.to_string(), cosigned: false })?;
        self.tree = tree;
        self.last = Some(note.clone());
        Ok(Some(note))
    }

    /// What a path below `tile/` names; `None` when the last checkpoint does not
    /// cover it.
    pub fn read(&self, log: &dyn AuditLog, path: &Path) -> Result<Option<Vec<u8>>, Error> {
        if path.end().is_none_or(|end| end > self.size()) {
            return Ok(None);
        }
        match *path {
            Path::Entries { index, width } => {
                let leaves = log.leaves(index * WIDTH, usize::from(width))?;
                Ok(Some(tile::bundle(&leaves)))
            }
            Path::Hashes { level, index, width } => {
                let mut hashes = self.on(log).tile(level, index, width)?;
                hashes.truncate(usize::from(width));
                Ok(Some(hashes.iter().flat_map(|h| h.0).collect()))
            }
        }
    }

    /// Everything that proves a leaf: against the last checkpoint that a witness
    /// has cosigned, if it covers the leaf, else against the last.
    pub fn receipt(&mut self, log: &dyn AuditLog, index: u64) -> Result<Receipt, Error> {
        while index >= self.size() && self.publish(log)?.is_some() {}
        let cosigned = log.last_cosigned()?.filter(|row| row.size > index);
        let checkpoint = match (cosigned, &self.last) {
            (Some(row), _) => Note::parse(&row.note)?,
            (None, Some(note)) => note.clone(),
            (None, None) => return Err(Error::Beyond { wanted: index, size: 0 }),
        };
        let (signed, _) = checkpoint::open(&checkpoint, self.verifier(), &[])?;
        let proof = self.inclusion(log, index, signed.size)?;
        let leaf = log.leaves(index, 1)?.into_iter().next();
        let leaf = leaf.ok_or_else(|| Error::Damaged(format!("leaf {index} is missing")))?;
        Ok(Receipt { leaf, index, proof, checkpoint })
    }

    pub fn inclusion(&self, log: &dyn AuditLog, index: u64, size: u64) -> Result<Vec<Hash>, Error> {
        self.covers(size)?;
        proof::inclusion(&TileNodes::new(self.on(log), size), index, size)
    }

    pub fn consistency(&self, log: &dyn AuditLog, from: u64, to: u64) -> Result<Vec<Hash>, Error> {
        self.covers(to)?;
        proof::consistency(&TileNodes::new(self.on(log), to), from, to)
    }

    /// Adds a witness's signature to the checkpoint of that size, after verifying
    /// it under the witness's own key. Whether to trust that key is the verifier's
    /// business, not the log's.
    pub fn cosigned(
        &mut self,
        log: &dyn AuditLog,
        size: u64,
        witness: &Verifier,
        signature: Signature,
    ) -> Result<Note, Error> {
        let row = log.checkpoints(usize::MAX)?.into_iter().find(|row| row.size == size);
        let row =
            row.ok_or_else(|| Error::format("cosignature", format!("no checkpoint has size {size}")))?;
        let mut note = Note::parse(&row.note)?;
        note.signatures.retain(|s| (&s.name, s.id) != (&signature.name, signature.id));
        if note.signatures.len() > COSIGNATURES_MAX {
            return Err(Error::format("cosignature", "the checkpoint has fifteen already"));
        }
        note.signatures.push(signature);
        let (_, cosigned) = checkpoint::open(&note, self.verifier(), std::slice::from_ref(witness))?;
        if cosigned.is_empty() {
            return Err(Error::Signature { name: witness.name().to_owned() });
        }
        log.publish(&[], &CheckpointRow { size, note: note.to_string(), cosigned: true })?;
        if self.size() == size {
            self.last = Some(note.clone());
        }
        Ok(note)
    }

    fn covers(&self, size: u64) -> Result<(), Error> {
        if size <= self.size() { Ok(()) } else { Err(Error::Beyond { wanted: size, size: self.size() }) }
    }

    fn on<'a>(&'a self, log: &'a dyn AuditLog) -> Kept<'a> {
        Kept { keeper: self, log }
    }
}

/// The tiles of a log: full ones from the store, the right edge from the tree.
struct Kept<'a> {
    keeper: &'a Keeper,
    log: &'a dyn AuditLog,
}

impl Tiles for Kept<'_> {
    fn tile(&self, level: u8, index: u64, _width: u16) -> Result<Vec<Hash>, Error> {
        if tile::width(self.keeper.size(), level, index) == WIDTH {
            return full_tile(self.log, level, index);
        }
        Ok(self.keeper.tree.partial(level).to_vec())
    }
}

fn row(tile: &FullTile) -> TileRow {
    TileRow { level: tile.level, n: tile.index, hashes: tile.hashes.iter().flat_map(|h| h.0).collect() }
}

pub(crate) fn full_tile(log: &dyn AuditLog, level: u8, n: u64) -> Result<Vec<Hash>, Error> {
    let bytes = log.tile(level, n)?;
    let hashes = bytes.and_then(|b| Hash::split(&b)).filter(|h| h.len() as u64 == WIDTH);
    hashes.ok_or_else(|| Error::Damaged(format!("tile {level}/{n} is missing or not whole")))
}

/// What a checkpoint of the store says, and whether the log signed it.
pub(crate) fn opened(row: &CheckpointRow, key: &Verifier) -> Result<Checkpoint, Error> {
    checkpoint::open(&Note::parse(&row.note)?, key, &[]).map(|(checkpoint, _)| checkpoint)
}

#[cfg(test)]
mod tests;
