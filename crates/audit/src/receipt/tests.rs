//! Receipts that are whole, changed, and forged.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::commitment::Salt;
use crate::leaf::tests::full;
use crate::proof::Nodes;
use crate::{Kind, Signer, Tree, commit, cosign, proof, sign};

struct Leaves(Vec<Hash>);

impl Nodes for Leaves {
    fn node(&self, level: u32, index: u64) -> Result<Hash, Error> {
        if level == 0 {
            return Ok(self.0[index as usize]);
        }
        let (left, right) = (self.node(level - 1, 2 * index)?, self.node(level - 1, 2 * index + 1)?);
        Ok(crate::node_hash(&left, &right))
    }
}

fn log() -> Signer {
    Signer::new("example.com/log", Kind::Log, [1; 32]).expect("a name")
}

fn witness(n: u8) -> Signer {
    Signer::new(&format!("witness.example/{n}"), Kind::Witness, [n; 32]).expect("a name")
}

/// A receipt of leaf 7 of 13, cosigned by witness 2.
fn receipt() -> Receipt {
    let mut tree = Tree::default();
    let mut hashes = Vec::new();
    let mut leaves = Vec::new();
    for n in 0..13 {
        let mut leaf = full();
        leaf.time.0 += n;
        leaves.push(leaf.encode());
        hashes.push(leaf_hash(&leaves[n as usize]));
        tree.append(hashes[n as usize], &mut Vec::new());
    }
    let proof = proof::inclusion(&Leaves(hashes), 7, 13).expect("it is inside");
    let mut checkpoint = sign(13, tree.root(), &log());
    let cosignature = cosign(&checkpoint, &witness(2), 1_795_392_000);
    checkpoint.signatures.push(cosignature);
    Receipt { leaf: leaves[7].clone(), index: 7, proof, checkpoint }
}

#[test]
fn a_receipt_verifies_with_public_keys_alone() {
    let text = receipt().to_string();
    // Another machine: nothing but the text of the receipt and of two keys.
    let key = Verifier::parse(&log().verifier().to_string()).expect("a key");
    let witnesses = [Verifier::parse(&witness(2).verifier().to_string()).expect("a key")];
    let verified =
        Receipt::parse(&text).expect("it is one").verify(&key, &witnesses, 1).expect("it is whole");
    assert_eq!((verified.index, verified.checkpoint.size), (7, 13));
    assert_eq!(verified.cosigned, [Cosigned { witness: "witness.example/2".into(), time_s: 1_795_392_000 }]);
    assert_eq!(verified.leaf.tokens, full().tokens);
}

#[test]
fn a_receipt_needs_the_right_log_and_enough_witnesses() {
    let receipt = receipt();
    let (log, witness2) = (log(), witness(2));
    let check =
        |log: &Signer, witnesses: &[Verifier], quorum| receipt.verify(log.verifier(), witnesses, quorum);
    let trusted = [witness2.verifier().clone(), witness(3).verifier().clone()];
    assert!(check(&log, &trusted, 1).is_ok() && check(&log, &[], 0).is_ok());
    assert!(check(&log, &trusted, 2).is_err(), "the third has not seen it");
    assert!(check(&log, &[], 1).is_err());
    let stranger = Signer::new("example.com/log", Kind::Log, [9; 32]).expect("a name");
    assert!(check(&stranger, &trusted, 0).is_err(), "the same name, another key");
    let renamed = Signer::new("example.com/other", Kind::Log, [1; 32]).expect("a name");
    assert!(check(&renamed, &trusted, 0).is_err(), "the same key, another name");
    // A witness's key is no log's, whatever it signs.
    let posing = Signer::new("example.com/log", Kind::Witness, [1; 32]).expect("a name");
    assert!(check(&posing, &trusted, 0).is_err());
}

#[test]
fn the_content_may_be_destroyed_and_the_proof_stands() {
    let receipt = receipt();
    let verified = receipt.verify(log().verifier(), &[], 0).expect("it is whole");
    // With salt and bytes the commitment opens; with either one gone it says nothing.
    let salt = Salt([5; 32]);
    assert_eq!(verified.leaf.request, Some(commit(&salt, b"the prompt")));
    assert_ne!(verified.leaf.request, Some(commit(&Salt([6; 32]), b"the prompt")));
    assert_ne!(verified.leaf.request, Some(commit(&salt, b"another prompt")));
}

#[test]
fn a_receipt_is_read_as_it_is_written() {
    let receipt = receipt();
    assert_eq!(Receipt::parse(&receipt.to_string()), Ok(receipt));
}

#[test]
fn a_false_cosignature_of_a_known_witness_spoils_the_note() {
    let mut receipt = receipt();
    receipt.checkpoint.signatures[1].bytes[0] ^= 1;
    assert!(receipt.verify(log().verifier(), &[witness(2).verifier().clone()], 0).is_err());
    assert!(receipt.verify(log().verifier(), &[], 0).is_ok(), "an unknown one is passed over");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Any byte changed, dropped or doubled anywhere in the text: refused, or
    /// read as the same receipt.
    #[test]
    fn a_changed_receipt_is_refused(at: usize, to: u8, kind in 0..3u8) {
        static WHOLE: LazyLock<Receipt> = LazyLock::new(receipt);
        let whole = WHOLE.clone();
        let mut bytes = whole.to_string().into_bytes();
        let at = at % bytes.len();
        match kind {
            0 => bytes[at] = to,
            1 => drop(bytes.remove(at)),
            _ => bytes.insert(at, to),
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(changed) = Receipt::parse(&text) {
            let witnesses = [witness(2).verifier().clone()];
            if changed.verify(log().verifier(), &witnesses, 1).is_ok() {
                prop_assert_eq!(changed, whole);
            }
        }
    }
}
