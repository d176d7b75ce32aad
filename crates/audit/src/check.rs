//! The whole log, read again from its first leaf: what `audit verify` does.

use store::{AuditLog, LEAVES_MAX};

use crate::keeper::{full_tile, opened};
use crate::tree::FullTile;
use crate::{Checkpoint, Error, Hash, Leaf, Tree, Verifier, leaf_hash};

/// Problems named at most; the rest is counted.
const PROBLEMS_MAX: usize = 20;

/// What was read, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    pub leaves: u64,
    /// Leaves that stand for a request.
    pub requests: u64,
    /// Full tiles whose every hash is that of what lies below.
    pub tiles: u64,
    /// Checkpoints whose signature and root are right.
    pub checkpoints: u64,
    /// Leaves after the last checkpoint: nothing but the store's word covers them yet.
    pub unsigned: u64,
    pub root: Hash,
    pub problems: Vec<String>,
    pub problems_total: u64,
}

impl Check {
    pub fn is_sound(&self) -> bool {
        self.problems_total == 0
    }
    fn problem(&mut self, what: String) {
        self.problems_total += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(what);
        }
    }
}

/// A check in the making, fed with leaves in their order.
pub struct Checker {
    tree: Tree,
    /// By size, the largest first.
    checkpoints: Vec<Checkpoint>,
    check: Check,
}

impl Checker {
    /// `checkpoints` in any order; each is compared when its size is reached.
    pub fn new(mut checkpoints: Vec<Checkpoint>) -> Checker {
        checkpoints.sort_by_key(|checkpoint| std::cmp::Reverse(checkpoint.size));
        let mut checker = Checker { tree: Tree::default(), checkpoints, check: Check::default() };
        checker.compare();
        checker
    }

    /// The next leaf; the tiles that it completed.
    pub fn leaf(&mut self, bytes: &[u8]) -> Vec<FullTile> {
        let number = self.check.leaves;
        match Leaf::decode(bytes) {
            Ok(leaf) => self.check.requests += u64::from(leaf.request_id.is_some()),
            Err(error) => self.check.problem(format!("leaf {number}: {error}")),
        }
        self.check.leaves += 1;
        let mut full = Vec::new();
        self.tree.append(leaf_hash(bytes), &mut full);
        self.compare();
        full
    }

    /// After the last leaf.
    pub fn finish(mut self) -> Check {
        for left in std::mem::take(&mut self.checkpoints).iter().rev() {
            let missing = left.size - self.check.leaves;
            self.check.problem(format!(
                "a checkpoint covers {} leaves and {} are there: the last {missing} are missing",
                left.size, self.check.leaves
            ));
        }
        self.check.root = self.tree.root();
        self.check
    }

    fn compare(&mut self) {
        while let Some(checkpoint) = self.checkpoints.pop_if(|c| c.size <= self.tree.size()) {
            if checkpoint.root == self.tree.root() {
                self.check.checkpoints += 1;
            } else {
                let size = checkpoint.size;
                self.check
                    .problem(format!("the root of the first {size} leaves is not the one that was signed"));
            }
        }
    }
}

/// Reads a store's whole log against its tiles and checkpoints, and those
/// against the public key.
///
/// # Errors
/// When the store cannot be read at all; what is wrong with the log is in the
/// result.
pub fn check(log: &dyn AuditLog, key: &Verifier) -> Result<Check, Error> {
    let mut problems = Vec::new();
    let mut checkpoints = Vec::new();
    for row in log.checkpoints(usize::MAX)? {
        match opened(&row, key) {
            Ok(checkpoint) if checkpoint.size == row.size => checkpoints.push(checkpoint),
            Ok(_) => problems.push(format!("checkpoint {}: it speaks of another size", row.size)),
            Err(error) => problems.push(format!("checkpoint {}: {error}", row.size)),
        }
    }
    let signed = checkpoints.iter().map(|c| c.size).max().unwrap_or(0);
    let mut checker = Checker::new(checkpoints);
    problems.into_iter().for_each(|what| checker.check.problem(what));
    let size = log.log_size()?;
    while checker.check.leaves < size {
        let leaves = match log.leaves(checker.check.leaves, LEAVES_MAX) {
            Ok(leaves) if !leaves.is_empty() => leaves,
            Ok(_) => break,
            // Numbers after a gap are worth nothing: what follows is not read.
            Err(error) => {
                checker.check.problem(error.to_string());
                break;
            }
        };
        for leaf in &leaves {
            for tile in checker.leaf(leaf) {
                compare_tile(log, &tile, signed, &mut checker.check);
            }
        }
    }
    let mut check = checker.finish();
    check.unsigned = check.leaves.saturating_sub(signed);
    Ok(check)
}

/// A stored tile against the hashes of what lies below: names the leaf.
fn compare_tile(log: &dyn AuditLog, tile: &FullTile, signed: u64, check: &mut Check) {
    let end = (tile.index + 1) << (8 * (u32::from(tile.level) + 1));
    if end > signed {
        return;
    }
    match full_tile(log, tile.level, tile.index) {
        Ok(stored) if stored == tile.hashes => check.tiles += 1,
        Ok(stored) => {
            let differs = |(at, _): &(usize, _)| stored[*at] != tile.hashes[*at];
            let wrong: Vec<u64> = stored
                .iter()
                .enumerate()
                .filter(differs)
                .map(|(at, _)| tile.index * 256 + at as u64)
                .collect();
            let first = wrong.first().copied().unwrap_or_default();
            let (level, n) = (tile.level, tile.index);
            check.problem(match level {
                0 => format!(
                    "leaf {first} is not the one that was hashed ({} of its tile are not)",
                    wrong.len()
                ),
                _ => format!("tile {level}/{n} is not the one below it"),
            });
        }
        Err(error) => check.problem(error.to_string()),
    }
}
