//! Proofs: that a leaf is in the log, and that the log has only grown.
//!
//! Made as RFC 6962 defines them (section 2.1, by recursion on the tree) and
//! checked as RFC 9162 says (sections 2.1.3.2 and 2.1.4.2, by walking bits), so
//! that neither side inherits a mistake of the other.

use crate::{EMPTY_ROOT, Error, Hash, node_hash};

/// The longest proof of a log of 2^64 leaves: a hash per level, and one more.
pub const HASHES_MAX: usize = 64;

/// Where the hashes of whole subtrees come from.
pub trait Nodes {
    /// The hash of the 2^`level` leaves that begin at `index` · 2^`level`.
    fn node(&self, level: u32, index: u64) -> Result<Hash, Error>;
}

/// The root of the first `size` leaves.
pub fn root(nodes: &impl Nodes, size: u64) -> Result<Hash, Error> {
    if size == 0 { Ok(EMPTY_ROOT) } else { subtree(nodes, 0, size) }
}

/// That leaf `index` is among the first `size`: its siblings, from the leaf up.
pub fn inclusion(nodes: &impl Nodes, index: u64, size: u64) -> Result<Vec<Hash>, Error> {
    if index >= size {
        return Err(Error::Beyond { wanted: index, size });
    }
    let (mut low, mut high) = (0, size);
    let mut path = Vec::new();
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            path.push(subtree(nodes, middle, high)?);
            high = middle;
        } else {
            path.push(subtree(nodes, low, middle)?);
            low = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// That the first `from` leaves of a log of `to` leaves are those of the log of
/// `from` leaves. Empty when either is: nothing is consistent with everything.
pub fn consistency(nodes: &impl Nodes, from: u64, to: u64) -> Result<Vec<Hash>, Error> {
    if from > to {
        return Err(Error::Beyond { wanted: from, size: to });
    }
    if from == 0 || from == to {
        return Ok(Vec::new());
    }
    let (mut low, mut high) = (0, to);
    let mut path = Vec::new();
    // The old root is known to the verifier as long as the walk keeps to the left edge.
    let mut known = true;
    while from != high {
        let middle = low + split(high - low);
        if from <= middle {
            path.push(subtree(nodes, middle, high)?);
            high = middle;
        } else {
            path.push(subtree(nodes, low, middle)?);
            low = middle;
            known = false;
        }
    }
    if !known {
        path.push(subtree(nodes, low, high)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether the proof leads from the leaf to the root.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), Error> {
    let wrong = Err(Error::Proof { proof: "inclusion" });
    if index >= size {
        return Err(Error::Beyond { wanted: index, size });
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return wrong;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last == 0 && hash == *root { Ok(()) } else { wrong }
}

/// Whether the proof shows the log of `to` leaves to begin with that of `from`.
pub fn verify_consistency(
    from: u64,
    from_root: &Hash,
    to: u64,
    to_root: &Hash,
    proof: &[Hash],
) -> Result<(), Error> {
    let wrong = Err(Error::Proof { proof: "consistency" });
    let same = |ok| if ok { Ok(()) } else { Err(Error::Proof { proof: "consistency" }) };
    if from > to {
        return Err(Error::Beyond { wanted: from, size: to });
    }
    if from == to {
        return same(proof.is_empty() && from_root == to_root);
    }
    if from == 0 {
        return same(proof.is_empty() && *from_root == EMPTY_ROOT);
    }
    // A log of 2^k leaves is a whole subtree: its root is the first hash, unsaid.
    let (first, rest) = match (from.is_power_of_two(), proof.split_first()) {
        (true, _) => (*from_root, proof),
        (false, Some((first, rest))) => (*first, rest),
        (false, None) => return wrong,
    };
    if proof.is_empty() {
        return wrong;
    }
    let (mut at, mut last) = (from - 1, to - 1);
    while at & 1 == 1 {
        (at, last) = (at >> 1, last >> 1);
    }
    let (mut old, mut new) = (first, first);
    for hash in rest {
        if last == 0 {
            return wrong;
        }
        if at & 1 == 1 || at == last {
            old = node_hash(hash, &old);
            new = node_hash(hash, &new);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            new = node_hash(&new, hash);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    same(last == 0 && old == *from_root && new == *to_root)
}

/// The largest power of two below `n`, which is at least 2.
fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

/// The hash of leaves `low..high`; `low` is where a subtree that large begins.
fn subtree(nodes: &impl Nodes, low: u64, high: u64) -> Result<Hash, Error> {
    let n = high - low;
    if n.is_power_of_two() {
        let level = n.trailing_zeros();
        return nodes.node(level, low >> level);
    }
    let middle = low + split(n);
    Ok(node_hash(&subtree(nodes, low, middle)?, &subtree(nodes, middle, high)?))
}

#[cfg(test)]
mod tests;
