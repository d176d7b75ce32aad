//! The growing tree: what is needed to append, and nothing that is finished.

use crate::tile::{WIDTH, above};
use crate::{EMPTY_ROOT, Error, Hash, node_hash};

/// The right edge of the tree: the partial tile of each level. At most
/// 8 · 255 hashes, whatever the log's size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    partial: Vec<Vec<Hash>>,
}

/// A tile that is full and will never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullTile {
    pub level: u8,
    pub index: u64,
    pub hashes: Vec<Hash>,
}

impl Tree {
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf's hash; tiles that are full now are added to `full`.
    pub fn append(&mut self, leaf: Hash, full: &mut Vec<FullTile>) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0u8.. {
            if self.partial.len() <= usize::from(level) {
                self.partial.push(Vec::new());
            }
            let tile = &mut self.partial[usize::from(level)];
            tile.push(hash);
            if (tile.len() as u64) < WIDTH {
                return;
            }
            let hashes = std::mem::take(tile);
            hash = above(&hashes);
            let index = (self.size >> (8 * (u32::from(level) + 1))) - 1;
            full.push(FullTile { level, index, hashes });
        }
    }

    /// The root over all leaves so far.
    pub fn root(&self) -> Hash {
        // Each level's partial tile is a row of whole subtrees of falling size;
        // from the right end of the leaves up, each joins what is right of it.
        let mut root: Option<Hash> = None;
        for tile in &self.partial {
            let mut end = tile.len();
            while end > 0 {
                let width = 1 << end.trailing_zeros();
                let left = above(&tile[end - width..end]);
                root = Some(root.map_or(left, |right| node_hash(&left, &right)));
                end -= width;
            }
        }
        root.unwrap_or(EMPTY_ROOT)
    }

    /// The partial tile of a level; empty when there is none.
    pub fn partial(&self, level: u8) -> &[Hash] {
        self.partial.get(usize::from(level)).map_or(&[], Vec::as_slice)
    }

    /// The tree of the first `size` leaves, from their full tiles and the hashes
    /// of the leaves beyond: reads at most 255 tiles a level, so that a start
    /// does not hash the whole log again. `size` is what full tiles of level 0
    /// cover; later leaves are appended.
    pub fn restore(
        size: u64,
        mut full: impl FnMut(u8, u64) -> Result<Vec<Hash>, Error>,
    ) -> Result<Tree, Error> {
        debug_assert!(size.is_multiple_of(WIDTH));
        let mut tree = Tree { size, partial: vec![Vec::new()] };
        for level in 1u8.. {
            let tiles = size >> (8 * u32::from(level));
            if tiles == 0 {
                break;
            }
            // Those not yet below a full tile of this level.
            let first = tiles / WIDTH * WIDTH;
            let mut tile = Vec::with_capacity((tiles - first) as usize);
            for index in first..tiles {
                tile.push(above(&full(level - 1, index)?));
            }
            tree.partial.push(tile);
        }
        Ok(tree)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::leaf_hash;
    use crate::proof::{Nodes, root};
    use crate::tile::{TileNodes, Tiles};

    /// Full tiles as a store keeps them, and the tree that made them.
    #[derive(Default)]
    struct Kept {
        tree: Tree,
        full: BTreeMap<(u8, u64), Vec<Hash>>,
    }

    impl Kept {
        fn append(&mut self, n: u64) {
            let mut full = Vec::new();
            self.tree.append(leaf_hash(&n.to_be_bytes()), &mut full);
            for tile in full {
                assert!(self.full.insert((tile.level, tile.index), tile.hashes).is_none());
            }
        }
    }

    impl Tiles for &Kept {
        fn tile(&self, level: u8, index: u64, _: u16) -> Result<Vec<Hash>, Error> {
            let full = self.full.get(&(level, index));
            Ok(full.cloned().unwrap_or_else(|| self.tree.partial(level).to_vec()))
        }
    }

    #[test]
    fn the_edge_has_the_root_of_the_tiles_and_comes_back_from_them() {
        let mut kept = Kept::default();
        for size in 0..=66_000u64 {
            if size.is_multiple_of(997) || [255, 256, 257, 65_535, 65_536, 65_537].contains(&size) {
                let nodes = TileNodes::new(&kept, size);
                assert_eq!(kept.tree.root(), root(&nodes, size).expect("the tiles are there"), "{size}");
                let whole = size / WIDTH * WIDTH;
                let found = |level, index| Ok(kept.full[&(level, index)].clone());
                let mut restored = Tree::restore(whole, found).expect("the tiles are there");
                for n in whole..size {
                    restored.append(leaf_hash(&n.to_be_bytes()), &mut Vec::new());
                }
                assert_eq!(restored.root(), kept.tree.root(), "{size}");
                assert_eq!(restored.partial(1), kept.tree.partial(1), "{size}");
            }
            kept.append(size);
        }
    }

    #[test]
    fn a_tile_that_is_too_short_is_damage_and_no_panic() {
        struct Short;
        impl Tiles for Short {
            fn tile(&self, _: u8, _: u64, _: u16) -> Result<Vec<Hash>, Error> {
                Ok(vec![Hash::default(); 3])
            }
        }
        let nodes = TileNodes::new(Short, 1_000);
        assert!(matches!(nodes.node(0, 4), Err(Error::Damaged(_))));
        assert!(matches!(root(&nodes, 1_000), Err(Error::Damaged(_))));
    }
}
