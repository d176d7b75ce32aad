//! How much memory a model will take, before it is loaded.

use crate::value::Value;
use crate::{Error, Header};

/// What will be asked of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Tokens whose keys and values are kept, over all sequences.
    pub cells: u64,
    /// Most rows computed at once.
    pub step_rows: u64,
    /// Most rows whose logits are wanted at once: one per sequence.
    pub outputs: u64,
    /// Bytes of one key or value element: 2 for F16.
    pub kv_element_bytes: u64,
}

/// Bytes by purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Estimate {
    /// The tensors, exactly. They are mapped from the file; repacked types are copied once.
    pub weights: u64,
    /// Keys and values, exactly, for models whose every layer attends (an upper bound for others).
    pub kv: u64,
    /// An upper bound of the buffers of one step.
    pub compute: u64,
}

impl Estimate {
    pub fn total(&self) -> u64 {
        self.weights.saturating_add(self.kv).saturating_add(self.compute)
    }
}

/// The memory of a model with this room.
///
/// `kv = cells · Σ_layers (n_kv·d_k + n_kv·d_v) · element`; the loader pads
/// `cells` to 256. `compute` counts, per row of a step, the widest set of
/// activations that live together (residual, normed, gate, up and down of the
/// feed-forward; q, k, v; scores over all cells when attention is not fused)
/// in F32, and the logits.
pub fn estimate(header: &Header, room: Room) -> Result<Estimate, Error> {
    let need =
        |key: &str| header.number(key).ok_or_else(|| Error::Missing(format!("{}.{key}", header.arch())));
    let layers = need("block_count")?;
    let width = need("embedding_length")?;
    let heads = header.number("attention.head_count").unwrap_or(1).max(1);
    let d_k = header.number("attention.key_length").unwrap_or(width / heads);
    let d_v = header.number("attention.value_length").unwrap_or(width / heads);
    let cells = room.cells.next_multiple_of(256);
    let kv_heads: f64 = match header.of("attention.head_count_kv").or(header.of("attention.head_count")) {
        Some(Value::Array(a)) => a.numbers.iter().sum(),
        Some(v) => v.as_f64().unwrap_or(0.0) * layers as f64,
        None => 0.0,
    };
    let kv = product(&[cells, kv_heads as u64, d_k.saturating_add(d_v), room.kv_element_bytes]);
    let ff = match header.of("feed_forward_length") {
        Some(Value::Array(a)) => a.numbers.iter().fold(0.0f64, |m, n| m.max(*n)) as u64,
        v => v.and_then(Value::as_u64).unwrap_or(4 * width),
    };
    let row = 8 * width + 4 * ff + heads.saturating_mul(d_k + d_v) * 2 + heads.saturating_mul(cells);
    let compute = product(&[room.step_rows, row, 4])
        .saturating_add(product(&[room.outputs.min(room.step_rows), header.vocab_len(), 4, 2]))
        .saturating_add(16 << 20);
    Ok(Estimate { weights: header.weight_bytes(), kv, compute })
}

fn product(factors: &[u64]) -> u64 {
    factors.iter().fold(1u64, |p, f| p.saturating_mul(*f))
}
