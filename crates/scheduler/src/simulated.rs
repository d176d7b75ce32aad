//! A kernel without a model: logits are a hash of the sequence so far.
//!
//! It keeps cells as llama.cpp does (shared ones count once) and refuses what
//! llama.cpp would: rows that do not follow on, sequences that do not exist,
//! more cells than there are. So a test that passes on it has kept the contract.
//! Its steps take no time, but it says how long they would have: the planner
//! runs the production scheduler against a machine that is not there.

use std::collections::{BTreeMap, HashMap};

use crate::fit::StepTime;
use crate::{Caps, Kernel, Row, SeqId, StepError, Token};

/// See the module.
#[derive(Clone, Debug)]
pub struct Simulated {
    caps: Caps,
    vocab: u32,
    /// The cells of each sequence: (cell, token).
    seqs: BTreeMap<SeqId, Vec<(u64, Token)>>,
    next_cell: u64,
    /// How many sequences see each cell.
    viewers: HashMap<u64, u32>,
    logits: Vec<Vec<f32>>,
    adapter: u32,
    /// What the next steps do instead of succeeding, and after how many rows.
    pub faults: Vec<(u32, StepError)>,
    /// Rows of each step so far.
    pub steps: Vec<u32>,
    /// What its steps cost.
    pub cost: StepTime,
    /// What its steps so far would have taken, in microseconds.
    pub elapsed_us: u64,
}

impl Simulated {
    pub fn new(caps: Caps, vocab: u32) -> Simulated {
        Simulated {
            caps,
            vocab,
            seqs: BTreeMap::new(),
            next_cell: 0,
            viewers: HashMap::new(),
            logits: Vec::new(),
            adapter: 0,
            faults: Vec::new(),
            steps: Vec::new(),
            cost: StepTime { base_us: 4000.0, row_us: 2200.0, context_us: 250.0, ..StepTime::default() },
            elapsed_us: 0,
        }
    }

    /// Cells in use; shared ones count once.
    pub fn cells_used(&self) -> usize {
        self.viewers.len()
    }

    fn append(&mut self, seq: SeqId, token: Token) {
        self.seqs.entry(seq).or_default().push((self.next_cell, token));
        self.viewers.insert(self.next_cell, 1);
        self.next_cell += 1;
    }

    fn forget(&mut self, cells: &[(u64, Token)]) {
        for (cell, _) in cells {
            if let Some(viewers) = self.viewers.get_mut(cell) {
                *viewers -= 1;
                if *viewers == 0 {
                    self.viewers.remove(cell);
                }
            }
        }
    }

    fn logits_after(&self, seq: SeqId) -> Vec<f32> {
        let mut hash = 0xcbf2_9ce4_8422_2325u64 ^ u64::from(self.adapter);
        for (_, token) in self.seqs.get(&seq).into_iter().flatten() {
            hash = (hash ^ u64::from(*token)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        (0..self.vocab)
            .map(|t| {
                let mut z = hash ^ u64::from(t).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                z = (z ^ (z >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                (z >> 40) as f32 / (1u32 << 22) as f32
            })
            .collect()
    }
}

impl Kernel for Simulated {
    fn caps(&self) -> Caps {
        self.caps
    }

    fn step(&mut self, rows: &[Row], cancelled: &(dyn Fn() -> bool + Sync)) -> Result<(), StepError> {
        let fault = if self.faults.is_empty() { None } else { Some(self.faults.remove(0)) };
        let last = fault.as_ref().map_or(rows.len(), |(rows, _)| *rows as usize).min(rows.len());
        let outputs = rows.iter().filter(|r| r.logits).count();
        if rows.is_empty()
            || rows.len() > self.caps.step_rows_max as usize
            || outputs > self.caps.outputs_max as usize
        {
            return Err(StepError::Fatal(format!("{} rows with {outputs} outputs", rows.len())));
        }
        if self.cells_used() + rows.len() > self.caps.cells as usize {
            return Err(StepError::NoRoom);
        }
        self.steps.push(rows.len() as u32);
        let context = rows.iter().map(|r| u64::from(r.pos) + 1).sum();
        self.elapsed_us += self.cost.predict(rows.len() as u32, context) as u64;
        self.logits.clear();
        for row in &rows[..last] {
            let held = self.len(row.seq);
            if row.seq >= self.caps.seq_max || row.pos != held || row.token >= self.vocab {
                return Err(StepError::Fatal(format!("{row:?} does not follow {held} tokens")));
            }
            self.append(row.seq, row.token);
            let logits = if row.logits { self.logits_after(row.seq) } else { Vec::new() };
            self.logits.push(logits);
        }
        match fault {
            Some((_, error)) => Err(error),
            None if cancelled() => Err(StepError::Aborted),
            None => Ok(()),
        }
    }

    fn logits(&self, row: usize) -> &[f32] {
        &self.logits[row]
    }

    fn share(&mut self, from: SeqId, to: SeqId, len: u32) {
        let shared = self.seqs.get(&from).map(|s| s[..len as usize].to_vec()).unwrap_or_default();
        assert!(self.len(to) == 0, "sequence {to} is not empty");
        for (cell, _) in &shared {
            *self.viewers.entry(*cell).or_default() += 1;
        }
        self.seqs.insert(to, shared);
    }

    fn truncate(&mut self, seq: SeqId, from: u32) -> bool {
        let held = self.len(seq);
        if from < held
            && let Some(cells) = self.seqs.get_mut(&seq)
        {
            let gone = cells.split_off(from as usize);
            self.forget(&gone);
        }
        true
    }

    fn clear(&mut self, seq: SeqId) {
        let gone = self.seqs.remove(&seq).unwrap_or_default();
        self.forget(&gone);
    }

    fn len(&self, seq: SeqId) -> u32 {
        self.seqs.get(&seq).map_or(0, |s| s.len() as u32)
    }

    /// The tokens, and the position and adapter they were computed at.
    fn save(&mut self, seq: SeqId, from: u32, to: u32) -> Option<Vec<u8>> {
        let cells = self.seqs.get(&seq)?.get(from as usize..to as usize)?;
        let head = [from, to - from].into_iter();
        Some(head.chain(cells.iter().map(|(_, t)| *t)).flat_map(u32::to_le_bytes).collect())
    }

    fn restore(&mut self, seq: SeqId, from: u32, saved: &[u8]) -> bool {
        let words: Vec<u32> =
            saved.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let [at, count, tokens @ ..] = &words[..] else { return false };
        let room = self.caps.cells as usize - self.cells_used();
        if *at != from || *count as usize != tokens.len() || self.len(seq) != from || tokens.len() > room {
            return false;
        }
        tokens.iter().for_each(|token| self.append(seq, *token));
        true
    }

    fn adapt(&mut self, adapter: u32) -> Result<(), String> {
        self.adapter = adapter;
        if adapter > 100 { Err(format!("there is no adapter {adapter}")) } else { Ok(()) }
    }
}
