//! A Llama in plain Rust, to check the other kernels against.
//!
//! It computes one token at a time in f32, in the order of the published
//! equations, with nothing that could be wrong in the same way as llama.cpp:
//! no batches, no cache of cells, no quantization. Slow on purpose; a quarter
//! of a million parameters take it a few milliseconds a token.
//!
//! Equations: RMSNorm (Zhang and Sennrich 2019), rotary positions on
//! neighbouring pairs (Su et al. 2021; the file format's `llama` has its rows
//! permuted so), grouped-query attention (Ainslie et al. 2023), SwiGLU (Shazeer 2020).

use std::path::Path;
use std::sync::Arc;

use gguf::{Header, Kind, Value};
use scheduler::{Caps, Kernel, Row, SeqId, StepError};

/// Rows of weights; a matrix times a vector is a dot product for each.
struct Matrix {
    width: usize,
    rows: Vec<f32>,
}

impl Matrix {
    fn row(&self, index: usize) -> &[f32] {
        &self.rows[index * self.width..][..self.width]
    }
    fn times(&self, x: &[f32]) -> Vec<f32> {
        self.rows.chunks_exact(self.width).map(|row| dot(row, x)).collect()
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

struct Layer {
    attn_norm: Vec<f32>,
    q: Matrix,
    k: Matrix,
    v: Matrix,
    o: Matrix,
    ffn_norm: Vec<f32>,
    gate: Matrix,
    up: Matrix,
    down: Matrix,
}

/// One token's keys and values in all layers, one after the other.
struct Cell {
    keys: Vec<f32>,
    values: Vec<f32>,
    /// Counted by the kernel.
    _alive: Arc<()>,
}

/// The kernel.
pub(crate) struct Oracle {
    heads: usize,
    kv_heads: usize,
    head_width: usize,
    rope_width: usize,
    rope_base: f32,
    epsilon: f32,
    embeddings: Matrix,
    layers: Vec<Layer>,
    output_norm: Vec<f32>,
    output: Option<Matrix>,
    caps: Caps,
    /// A cell may belong to several sequences.
    seqs: Vec<Vec<Arc<Cell>>>,
    alive: Arc<()>,
    logits: Vec<Option<Vec<f32>>>,
}

impl Oracle {
    /// Reads a model of architecture `llama` whose weights are all F32. Panics
    /// on any other: it is for tests, which name their files.
    pub(crate) fn open(path: &Path, caps: Caps) -> Oracle {
        let bytes = std::fs::read(path).expect("the model can be read");
        let header = Header::read(&bytes[..], bytes.len() as u64).expect("the header is sound");
        assert_eq!(header.arch(), "llama");
        let tensor = |name: &str| -> Option<Matrix> {
            let t = header.tensors.iter().find(|t| t.name == name)?;
            assert_eq!(t.kind, Kind::F32, "{name}");
            let from = (header.data_start + t.offset) as usize;
            let floats = bytes[from..from + t.bytes as usize].chunks_exact(4);
            let rows = floats.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            Some(Matrix { width: t.dims[0] as usize, rows })
        };
        let need = |name: &str| tensor(name).unwrap_or_else(|| panic!("the model has {name}"));
        let number =
            |key: &str| header.number(key).unwrap_or_else(|| panic!("the model says {key}")) as usize;
        let float = |key: &str| header.of(key).and_then(Value::as_f64);
        let layers = (0..number("block_count")).map(|n| {
            let of = |part: &str| need(&format!("blk.{n}.{part}.weight"));
            Layer {
                attn_norm: of("attn_norm").rows,
                q: of("attn_q"),
                k: of("attn_k"),
                v: of("attn_v"),
                o: of("attn_output"),
                ffn_norm: of("ffn_norm").rows,
                gate: of("ffn_gate"),
                up: of("ffn_up"),
                down: of("ffn_down"),
            }
        });
        let heads = number("attention.head_count");
        let head_width = number("embedding_length") / heads;
        Oracle {
            heads,
            kv_heads: header.number("attention.head_count_kv").map_or(heads, |n| n as usize),
            head_width,
            rope_width: header.number("rope.dimension_count").map_or(head_width, |n| n as usize),
            rope_base: float("rope.freq_base").unwrap_or(10_000.0) as f32,
            epsilon: float("attention.layer_norm_rms_epsilon").expect("the model says its epsilon") as f32,
            embeddings: need("token_embd.weight"),
            layers: layers.collect(),
            output_norm: need("output_norm.weight").rows,
            // Where there is none, the embeddings are used both ways.
            output: tensor("output.weight"),
            caps,
            seqs: (0..caps.seq_max).map(|_| Vec::new()).collect(),
            alive: Arc::new(()),
            logits: Vec::new(),
        }
    }

    /// Cells in use, over all sequences.
    pub(crate) fn used(&self) -> usize {
        Arc::strong_count(&self.alive) - 1
    }

    /// One token after those of its sequence: what comes out of the last layer.
    fn forward(&mut self, row: &Row) -> Vec<f32> {
        let (pos, width) = (row.pos as usize, self.head_width);
        let past = &self.seqs[row.seq as usize];
        let kv_width = self.kv_heads * width;
        let mut cell = Cell { keys: Vec::new(), values: Vec::new(), _alive: self.alive.clone() };
        let mut x = self.embeddings.row(row.token as usize).to_vec();
        for (n, layer) in self.layers.iter().enumerate() {
            let normed = norm(&x, &layer.attn_norm, self.epsilon);
            let (mut q, mut k) = (layer.q.times(&normed), layer.k.times(&normed));
            for head in q.chunks_exact_mut(width).chain(k.chunks_exact_mut(width)) {
                rotate(&mut head[..self.rope_width], pos, self.rope_base);
            }
            cell.keys.extend(k);
            cell.values.extend(layer.v.times(&normed));
            let mut attended = Vec::with_capacity(q.len());
            for (head, q) in q.chunks_exact(width).enumerate() {
                let at = n * kv_width + head * self.kv_heads / self.heads * width;
                let cells = || past.iter().map(|c| &**c).chain([&cell]);
                let scale = 1.0 / (width as f32).sqrt();
                let weights = softmax(cells().map(|c| dot(q, &c.keys[at..][..width]) * scale).collect());
                let mut sum = vec![0.0; width];
                for (cell, weight) in cells().zip(weights) {
                    for (sum, v) in sum.iter_mut().zip(&cell.values[at..][..width]) {
                        *sum += weight * v;
                    }
                }
                attended.extend(sum);
            }
            add(&mut x, &layer.o.times(&attended));
            let normed = norm(&x, &layer.ffn_norm, self.epsilon);
            let gate = layer.gate.times(&normed).into_iter().map(|g| g / (1.0 + (-g).exp()));
            let inner: Vec<f32> = gate.zip(layer.up.times(&normed)).map(|(g, u)| g * u).collect();
            add(&mut x, &layer.down.times(&inner));
        }
        self.seqs[row.seq as usize].push(Arc::new(cell));
        x
    }
}

fn norm(x: &[f32], weight: &[f32], epsilon: f32) -> Vec<f32> {
    let scale = 1.0 / (dot(x, x) / x.len() as f32 + epsilon).sqrt();
    x.iter().zip(weight).map(|(x, w)| x * scale * w).collect()
}

fn rotate(head: &mut [f32], pos: usize, base: f32) {
    let width = head.len() as f32;
    for (i, pair) in head.chunks_exact_mut(2).enumerate() {
        let angle = pos as f32 * base.powf(-2.0 * i as f32 / width);
        let (sin, cos) = angle.sin_cos();
        (pair[0], pair[1]) = (pair[0] * cos - pair[1] * sin, pair[0] * sin + pair[1] * cos);
    }
}

fn softmax(mut x: Vec<f32>) -> Vec<f32> {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    x.iter_mut().for_each(|x| *x = (*x - max).exp());
    let sum: f32 = x.iter().sum();
    x.iter_mut().for_each(|x| *x /= sum);
    x
}

fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

impl Kernel for Oracle {
    fn caps(&self) -> Caps {
        self.caps
    }

    fn step(&mut self, rows: &[Row], cancelled: &(dyn Fn() -> bool + Sync)) -> Result<(), StepError> {
        if self.used() + rows.len() > self.caps.cells as usize {
            return Err(StepError::NoRoom);
        }
        self.logits.clear();
        for row in rows {
            if cancelled() {
                return Err(StepError::Aborted);
            }
            if self.len(row.seq) != row.pos {
                return Err(StepError::Fatal(format!("{row:?} does not follow {}", self.len(row.seq))));
            }
            let x = self.forward(row);
            let output = self.output.as_ref().unwrap_or(&self.embeddings);
            let logits = || output.times(&norm(&x, &self.output_norm, self.epsilon));
            let logits = row.logits.then(logits);
            self.logits.push(logits);
        }
        Ok(())
    }

    fn logits(&self, row: usize) -> &[f32] {
        self.logits.get(row).and_then(Option::as_deref).unwrap_or_default()
    }

    fn share(&mut self, from: SeqId, to: SeqId, len: u32) {
        self.seqs[to as usize] = self.seqs[from as usize][..len as usize].to_vec();
    }

    fn truncate(&mut self, seq: SeqId, from: u32) -> bool {
        self.seqs[seq as usize].truncate(from as usize);
        true
    }

    fn clear(&mut self, seq: SeqId) {
        self.seqs[seq as usize].clear();
    }

    fn len(&self, seq: SeqId) -> u32 {
        self.seqs[seq as usize].len() as u32
    }

    fn save(&mut self, seq: SeqId, from: u32, to: u32) -> Option<Vec<u8>> {
        let cells = self.seqs[seq as usize].get(from as usize..to as usize)?;
        let floats = cells.iter().flat_map(|c| c.keys.iter().chain(&c.values));
        Some(floats.flat_map(|f| f.to_le_bytes()).collect())
    }

    fn restore(&mut self, seq: SeqId, from: u32, saved: &[u8]) -> bool {
        let floats: Vec<f32> =
            saved.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let half = self.layers.len() * self.kv_heads * self.head_width;
        let count = floats.len() / (2 * half);
        let whole = saved.len() == count * 8 * half;
        if !whole || self.len(seq) != from || self.used() + count > self.caps.cells as usize {
            return false;
        }
        for cell in floats.chunks_exact(2 * half) {
            let (keys, values) = (cell[..half].to_vec(), cell[half..].to_vec());
            let _alive = self.alive.clone();
            self.seqs[seq as usize].push(Arc::new(Cell { keys, values, _alive }));
        }
        true
    }
}

#[cfg(test)]
mod tests;
