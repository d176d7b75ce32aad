//! The audit log: what a leaf costs on the way to the disk, what a proof costs
//! to check, and whether anything that was changed is taken for whole.
//!
//! Appends go through the encrypted store with a record and its postings, as a
//! request's do, and each waits for its group commit; beside them stands what the
//! same disk takes for 4 KiB and `fdatasync` in the same round.

use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context, Result};
use audit::proof::{self, Nodes};
use audit::{Error, Hash, Kind, Leaf, Receipt, Signer, Tree, cosign, leaf_hash, node_hash, sign};
use store::conformance::sample;
use store::{Entry, Store};
use store_sqlite::SqliteStore;
use units::{Micros, RequestId};

use super::Options;
use crate::clock;
use crate::output::Output;
use crate::random::Random;
use crate::record::{Row, Target};
use crate::stats::{self, Summary};

/// Issue 4: durable appends and proof checks.
const APPEND_P99_MS: f64 = 1.0;
const PROOF_US: f64 = 10.0;
/// Requests in flight: one client, and a busy node.
const IN_FLIGHT: [usize; 2] = [1, 64];

pub(crate) fn run(_: &Options, output: &Output, rows: &mut Vec<Row>) -> Result<()> {
    std::fs::create_dir_all(&output.cache)?;
    appends(output, rows)?;
    let log = Log::new(if output.quick { 1 << 14 } else { 1 << 20 }, rows, output);
    checks(&log, output, rows)?;
    mutations(&log, output, rows)
}

fn row(name: String, unit: &'static str, ours: &[f64], target: Target, n: u64) -> Row {
    let ours = Summary::of(ours);
    Row { bench: "security", row: name, unit, ours, peer: None, peer_name: None, target, ratios: None, n }
}

fn appends(output: &Output, rows: &mut Vec<Row>) -> Result<()> {
    let rounds = if output.quick { 2 } else { 5 };
    for in_flight in IN_FLIGHT {
        let count = if in_flight == 1 { 500 } else { 10_000 } / if output.quick { 5 } else { 1 };
        let (mut with, mut without, mut disk) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            output.step(&format!("audit: {in_flight} in flight, round {}/{rounds}", round + 1));
            disk.push(disk_p99_ms(&output.cache, 200)?);
            with.push(append_p99_ms(&output.cache, in_flight, count, sample::settle_with_leaf)?);
            without.push(append_p99_ms(&output.cache, in_flight, count, sample::settle)?);
        }
        output.step_done();
        let name = format!("audit: append p99, durable, {in_flight} in flight");
        let target = Target::AtMost(APPEND_P99_MS);
        let mut beside_disk = row(name.clone(), "ms", &with, target, count);
        beside_disk.peer = Summary::of(&disk);
        beside_disk.peer_name = Some("4 KiB + fdatasync, p99".into());
        rows.push(beside_disk);
        let mut beside_none = row(name, "ms", &with, Target::Shown, count);
        beside_none.peer = Summary::of(&without);
        beside_none.peer_name = Some("the same without a leaf".into());
        rows.push(beside_none);
    }
    Ok(())
}

/// The 99th percentile from queueing to durable, in a new data directory.
fn append_p99_ms(home: &Path, in_flight: usize, count: u64, entry: fn(u64) -> Entry) -> Result<f64> {
    let folder = tempfile::Builder::new().prefix("audit-").tempdir_in(home).context("make a directory")?;
    let keys = seal::KeyRing::open(folder.path(), &seal::Source::File).context("make the keys")?;
    let store = SqliteStore::open(folder.path(), &keys).context("open the store")?;
    let entries: Vec<Entry> = (0..count).map(entry).collect();
    let (sender, receiver) = mpsc::channel::<(Instant, Result<(), store::Error>)>();
    let mut waits_ms = Vec::with_capacity(entries.len());
    let take = |waits_ms: &mut Vec<f64>| -> Result<()> {
        let (asked, result) = receiver.recv().context("wait for the store")?;
        result.context("append")?;
        waits_ms.push(asked.elapsed().as_secs_f64() * 1e3);
        Ok(())
    };
    for (number, entry) in entries.into_iter().enumerate() {
        if number >= in_flight {
            take(&mut waits_ms)?;
        }
        let (sender, asked) = (sender.clone(), clock::now());
        store::Ledger::append(&store, entry, Box::new(move |result| drop(sender.send((asked, result)))));
    }
    while waits_ms.len() < count as usize {
        take(&mut waits_ms)?;
    }
    store.close()?;
    stats::quantile(&mut waits_ms, 0.99).context("nothing was appended")
}

fn disk_p99_ms(home: &Path, count: usize) -> Result<f64> {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile_in(home)?;
    file.write_all(&[0; 4096])?;
    file.sync_all()?;
    let mut waits_ms = Vec::with_capacity(count);
    for n in 0..count {
        let start = clock::now();
        file.rewind()?;
        file.write_all(&[n as u8; 4096])?;
        file.sync_data()?;
        waits_ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    stats::quantile(&mut waits_ms, 0.99).context("nothing was synced")
}

/// A log of chats, as rows of hashes.
struct Log {
    leaves: u64,
    rows: Vec<Vec<Hash>>,
    root: Hash,
}

fn leaf(n: u64) -> Vec<u8> {
    let text = |t: &str| t.to_owned();
    Leaf {
        time: Micros(1_795_392_000_000_000 + n as i64),
        action: text("infer"),
        resource: text("small"),
        decision: text("allow: admitted: held 0.0021 USD"),
        target: text("openai/gpt-4o-mini"),
        labels: text("internal eu user"),
        tokens: vec![(text("input"), 100 + n % 50), (text("output"), 20 + n % 30)],
        cost_pico: 44_400_000,
        request: Some(leaf_hash(&n.to_be_bytes())),
        response: Some(leaf_hash(&n.to_le_bytes())),
        request_id: Some(RequestId(sample::id(n))),
        outcome: text("completed"),
        ..Leaf::default()
    }
    .encode()
}

impl Log {
    fn new(leaves: u64, rows: &mut Vec<Row>, output: &Output) -> Log {
        output.step(&format!("audit: {leaves} leaves"));
        let start = clock::now();
        let mut tree = Tree::default();
        let mut full = Vec::new();
        let mut hashes = Vec::with_capacity(leaves as usize);
        for n in 0..leaves {
            let hash = leaf_hash(&leaf(n));
            hashes.push(hash);
            tree.append(hash, &mut full);
            full.clear();
        }
        let us = start.elapsed().as_secs_f64() * 1e6 / leaves as f64;
        let name = "audit: a leaf encoded, hashed and added to the tree".to_owned();
        rows.push(row(name, "us", &[us], Target::Shown, leaves));
        let mut levels = vec![hashes];
        while let Some(last) = levels.last().filter(|row| row.len() > 1) {
            levels.push(last.as_chunks::<2>().0.iter().map(|[l, r]| node_hash(l, r)).collect());
        }
        output.step_done();
        Log { leaves, rows: levels, root: tree.root() }
    }
    fn receipt(&self, index: u64, log: &Signer, witness: &Signer) -> Result<Receipt> {
        let mut checkpoint = sign(self.leaves, self.root, log);
        let cosignature = cosign(&checkpoint, witness, 1_795_392_000);
        checkpoint.signatures.push(cosignature);
        let proof = proof::inclusion(self, index, self.leaves).context("prove")?;
        Ok(Receipt { leaf: leaf(index), index, proof, checkpoint })
    }
}

impl Nodes for Log {
    fn node(&self, level: u32, index: u64) -> Result<Hash, Error> {
        Ok(self.rows[level as usize][index as usize])
    }
}

fn signers() -> Result<(Signer, Signer)> {
    let log = Signer::new("example.com/log", Kind::Log, [1; 32]).context("a log's key")?;
    Ok((log, Signer::new("example.com/witness", Kind::Witness, [2; 32]).context("a witness's key")?))
}

fn checks(log: &Log, output: &Output, rows: &mut Vec<Row>) -> Result<()> {
    let (signer, witness) = signers()?;
    let mut random = Random::new(4);
    let count = if output.quick { 200 } else { 5_000 };
    let receipts: Vec<Receipt> = (0..count)
        .map(|_| log.receipt(random.between(0, log.leaves - 1), &signer, &witness))
        .collect::<Result<_>>()?;
    let (mut proofs, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let start = clock::now();
        for r in &receipts {
            let hash = leaf_hash(&r.leaf);
            proof::verify_inclusion(&hash, r.index, log.leaves, &r.proof, &log.root).context("verify")?;
        }
        proofs.push(start.elapsed().as_secs_f64() * 1e6 / receipts.len() as f64);
        let start = clock::now();
        for r in &receipts {
            r.verify(signer.verifier(), &[witness.verifier().clone()], 1).context("verify")?;
        }
        whole.push(start.elapsed().as_secs_f64() * 1e6 / receipts.len() as f64);
    }
    let size = log.leaves;
    let name = format!("audit: an inclusion proof checked, {size} leaves");
    rows.push(row(name, "us", &proofs, Target::AtMost(PROOF_US), receipts.len() as u64));
    let name = "audit: a receipt checked, with two signatures".to_owned();
    rows.push(row(name, "us", &whole, Target::Shown, receipts.len() as u64));
    let name = "audit: the size of a receipt".to_owned();
    let bytes = receipts[0].to_string().len() as f64;
    rows.push(row(name, "bytes", &[bytes], Target::Shown, 1));
    Ok(())
}

/// Changes receipts, in their text and in their parts, and counts what is still
/// taken for whole although it differs.
fn mutations(log: &Log, output: &Output, rows: &mut Vec<Row>) -> Result<()> {
    let (signer, witness) = signers()?;
    let trusted = [witness.verifier().clone()];
    let count: u64 = if output.quick { 20_000 } else { 1_000_000 };
    let mut random = Random::new(5);
    let mut accepted = 0u64;
    let mut whole = log.receipt(0, &signer, &witness)?;
    for n in 0..count {
        if n % 1_000 == 0 {
            output.step(&format!("audit: {n} of {count} receipts changed"));
            whole = log.receipt(random.between(0, log.leaves - 1), &signer, &witness)?;
        }
        let changed =
            if n % 2 == 0 { in_text(&whole, &mut random) } else { Some(in_parts(&whole, &mut random)) };
        let held = |r: &Receipt| r.verify(signer.verifier(), &trusted, 1).is_ok();
        accepted += u64::from(changed.is_some_and(|r| r != whole && held(&r)));
    }
    output.step_done();
    let name = "audit: changed receipts taken for whole".to_owned();
    rows.push(row(name, "receipts", &[accepted as f64], Target::AtMost(0.0), count));
    Ok(())
}

/// A byte changed, dropped or doubled; `None` when it no longer reads.
fn in_text(receipt: &Receipt, random: &mut Random) -> Option<Receipt> {
    let mut bytes = receipt.to_string().into_bytes();
    let at = random.between(0, bytes.len() as u64 - 1) as usize;
    match random.between(0, 2) {
        0 => bytes[at] ^= 1 << random.between(0, 7),
        1 => drop(bytes.remove(at)),
        _ => bytes.insert(at, bytes[at]),
    }
    Receipt::parse(&String::from_utf8(bytes).ok()?).ok()
}

/// A part changed behind the reader's back: these all read well.
fn in_parts(receipt: &Receipt, random: &mut Random) -> Receipt {
    let mut changed = receipt.clone();
    let bit = random.draw();
    let proof = changed.proof.len();
    let at = bit as usize % proof.max(1);
    match random.between(0, 7) {
        0 => changed.proof[at].0[bit as usize / 64 % 32] ^= 1 << (bit % 8),
        1 => drop(changed.proof.remove(at)),
        2 => changed.proof.insert(at, changed.proof[at]),
        3 => changed.proof.swap(at, (at + 1) % proof),
        4 => changed.index ^= 1 << (bit % 24),
        5 => {
            let at = bit as usize % changed.leaf.len();
            changed.leaf[at] ^= 1 << (bit % 8);
        }
        6 => {
            let signature = &mut changed.checkpoint.signatures[bit as usize % 2].bytes;
            let at = (bit >> 8) as usize % signature.len();
            signature[at] ^= 1 << (bit % 8);
        }
        _ => {
            // The size one more: the same root under another claim.
            changed.checkpoint.text = changed.checkpoint.text.replacen('\n', "\n1", 1);
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_change_is_made_and_refused() {
        let output = Output { json: false, quick: true, peers: "".into(), cache: "".into() };
        let mut rows = Vec::new();
        let log = Log::new(300, &mut rows, &output);
        let (signer, witness) = signers().unwrap();
        let whole = log.receipt(77, &signer, &witness).unwrap();
        assert!(whole.verify(signer.verifier(), &[witness.verifier().clone()], 1).is_ok());
        let mut random = Random::new(1);
        for _ in 0..500 {
            let changed = in_parts(&whole, &mut random);
            let held = changed.verify(signer.verifier(), &[witness.verifier().clone()], 1).is_ok();
            assert!(!held || changed == whole, "{changed:?}");
        }
    }
}
