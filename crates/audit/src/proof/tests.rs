//! Every proof of a small log, the vectors of RFC 6962's reference, and another
//! implementation beside ours.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use sha2::Sha256;

use super::*;
use crate::leaf_hash;

/// A log as rows of hashes, leaves first: each whole pair has one above it.
struct Plain(Vec<Vec<Hash>>);

impl Plain {
    fn new(size: u64) -> Plain {
        Plain::of((0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect())
    }
    fn of(leaves: Vec<Hash>) -> Plain {
        let mut rows = vec![leaves];
        while let Some(row) = rows.last().filter(|row| row.len() > 1) {
            rows.push(row.as_chunks::<2>().0.iter().map(|[l, r]| node_hash(l, r)).collect());
        }
        Plain(rows)
    }
    fn leaf(&self, index: u64) -> &Hash {
        &self.0[0][index as usize]
    }
    fn root(&self, size: u64) -> Hash {
        root(self, size).expect("the leaves are there")
    }
}

impl Nodes for Plain {
    fn node(&self, level: u32, index: u64) -> Result<Hash, Error> {
        Ok(self.0[level as usize][index as usize])
    }
}

const SIZE: u64 = 256;

#[test]
fn every_inclusion_proof_up_to_256_verifies_and_no_other_index_does() {
    let log = Plain::new(SIZE);
    for size in 1..=SIZE {
        let root = log.root(size);
        for index in 0..size {
            let proof = inclusion(&log, index, size).expect("it is inside");
            let leaf = log.leaf(index);
            verify_inclusion(leaf, index, size, &proof, &root).expect("it is there");
            assert!(proof.len() <= 8);
            let other = (index + 1) % size;
            if other != index {
                assert!(verify_inclusion(leaf, other, size, &proof, &root).is_err(), "{index} of {size}");
            }
        }
        assert!(inclusion(&log, size, size).is_err());
    }
}

#[test]
fn every_consistency_proof_up_to_256_verifies_and_a_changed_past_does_not() {
    let log = Plain::new(SIZE);
    let roots: Vec<Hash> = (0..=SIZE).map(|size| log.root(size)).collect();
    for to in 0..=SIZE {
        for from in 0..=to {
            let proof = consistency(&log, from, to).expect("it is inside");
            let (old, new) = (&roots[from as usize], &roots[to as usize]);
            verify_consistency(from, old, to, new, &proof).expect("the log has grown");
            let mut other = *old;
            other.0[31] ^= 1;
            assert!(verify_consistency(from, &other, to, new, &proof).is_err(), "{from} to {to}");
            let mut other = *new;
            other.0[0] ^= 1;
            // An empty log is the beginning of every other.
            let known = from > 0 || to == 0;
            assert_eq!(verify_consistency(from, old, to, &other, &proof).is_err(), known, "{from} to {to}");
            if from > 0 {
                let wrong = verify_consistency(from - 1, &roots[from as usize - 1], to, new, &proof);
                assert!(wrong.is_err() || from == 1 && proof.is_empty(), "{from} to {to}");
            }
        }
        assert!(consistency(&log, to + 1, to).is_err());
    }
}

/// The leaves and roots of the reference implementation of RFC 6962
/// (certificate-transparency-go, `merkletree` tests).
#[test]
fn the_roots_are_those_of_the_reference() {
    let leaves: [&[u8]; 8] = [
        &[],
        &[0x00],
        &[0x10],
        &[0x20, 0x21],
        &[0x30, 0x31],
        &[0x40, 0x41, 0x42, 0x43],
        &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
        &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
    ];
    let log = Plain::of(leaves.iter().map(|l| leaf_hash(l)).collect());
    let hex = |hash: Hash| hash.0.iter().map(|b| format!("{b:02x}")).collect::<String>();
    for (size, wanted) in [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(hex(log.root(size as u64)), wanted, "{size} leaves");
    }
    let inclusion: Vec<String> = inclusion(&log, 0, 8).expect("inside").into_iter().map(hex).collect();
    assert_eq!(
        inclusion,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
        ]
    );
    let consistency: Vec<String> = consistency(&log, 6, 8).expect("inside").into_iter().map(hex).collect();
    assert_eq!(
        consistency,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"
        ]
    );
}

#[test]
fn another_implementation_makes_the_same_roots_and_proofs() {
    let mut theirs = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let log = Plain::new(130);
    for n in 0..130u64 {
        theirs.push(n.to_be_bytes().to_vec());
        let size = n + 1;
        assert_eq!(theirs.root().as_bytes().as_slice(), log.root(size).0, "{size} leaves");
        for index in 0..size {
            let proof = inclusion(&log, index, size).expect("it is inside");
            let bytes: Vec<u8> = proof.iter().flat_map(|h| h.0).collect();
            assert_eq!(theirs.prove_inclusion(index as usize).as_bytes(), bytes, "{index} of {size}");
        }
        for from in 1..size {
            let proof = consistency(&log, from, size).expect("it is inside");
            let bytes: Vec<u8> = proof.iter().flat_map(|h| h.0).collect();
            let additions = (size - from) as usize;
            assert_eq!(theirs.prove_consistency(additions).as_bytes(), bytes, "{from} to {size}");
        }
    }
}

proptest! {
    /// One bit, one hash more or less, two swapped: all are refused.
    #[test]
    fn a_changed_proof_is_refused(size in 2u64..300, pick: prop::sample::Index, kind in 0..5u8, bit: usize) {
        let log = Plain::new(size);
        let index = pick.index(size as usize) as u64;
        let root = log.root(size);
        let mut leaf = *log.leaf(index);
        let mut proof = inclusion(&log, index, size).expect("it is inside");
        let before = (proof.clone(), leaf);
        let at = bit % proof.len();
        match kind {
            0 => proof[at].0[bit % 32] ^= 1 << (bit % 8),
            1 => drop(proof.remove(at)),
            2 => proof.insert(at, proof[at]),
            3 => { let other = (at + 1) % proof.len(); proof.swap(at, other) }
            _ => leaf.0[bit % 32] ^= 1 << (bit % 8),
        }
        prop_assume!((proof.clone(), leaf) != before);
        prop_assert!(verify_inclusion(&leaf, index, size, &proof, &root).is_err());
    }

    #[test]
    fn a_changed_consistency_proof_is_refused(to in 2u64..300, pick: prop::sample::Index, kind in 0..4u8, bit: usize) {
        let log = Plain::new(to);
        let from = 1 + pick.index(to as usize - 1) as u64;
        let (old, new) = (log.root(from), log.root(to));
        let mut proof = consistency(&log, from, to).expect("it is inside");
        let before = proof.clone();
        let at = bit % proof.len();
        match kind {
            0 => proof[at].0[bit % 32] ^= 1 << (bit % 8),
            1 => drop(proof.remove(at)),
            2 => proof.insert(at, proof[at]),
            _ => { let other = (at + 1) % proof.len(); proof.swap(at, other) }
        }
        prop_assume!(proof != before);
        prop_assert!(verify_consistency(from, &old, to, &new, &proof).is_err());
    }

    /// Whatever is given is answered, not panicked at.
    #[test]
    fn nothing_panics_on_sizes(index: u64, size: u64, from: u64, hashes in prop::collection::vec(any::<[u8; 32]>(), 0..70)) {
        let hashes: Vec<Hash> = hashes.into_iter().map(Hash).collect();
        let hash = Hash::default();
        prop_assert!(verify_inclusion(&hash, index, size, &hashes, &hash).is_err());
        let _ = verify_consistency(from, &hash, size, &hash, &hashes);
    }
}
