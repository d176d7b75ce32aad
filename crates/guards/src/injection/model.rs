//! The linear model: a signed byte for each bucket, a scale, a bias.
//!
//! Only additions, multiplications and divisions of IEEE numbers are used, in a
//! fixed order, so that training gives the same bytes on every machine.

use std::sync::LazyLock;

use super::features::BUCKETS;

/// `guards1\0`, scale, bias (little-endian f32), then a byte for each bucket.
const MAGIC: &[u8; 8] = b"guards1\0";
const WEIGHTS: &[u8] = include_bytes!("weights.bin");

pub struct Model {
    scale: f32,
    bias: f32,
    weights: Vec<i8>,
}

/// The weights of this version.
pub fn trained() -> &'static Model {
    static MODEL: LazyLock<Model> =
        LazyLock::new(|| Model::read(WEIGHTS).expect("a test reads the file that is built in"));
    &MODEL
}

impl Model {
    /// Rounds weights to bytes.
    pub fn quantised(weights: &[f32], bias: f32) -> Model {
        let largest = weights.iter().fold(0f32, |most, w| most.max(w.abs())).max(1e-6);
        let scale = largest / 127.0;
        Model { scale, bias, weights: weights.iter().map(|w| (w / scale).round() as i8).collect() }
    }
    pub fn read(bytes: &[u8]) -> Option<Model> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (scale, rest) = rest.split_first_chunk::<4>()?;
        let (bias, rest) = rest.split_first_chunk::<4>()?;
        let (scale, bias) = (f32::from_le_bytes(*scale), f32::from_le_bytes(*bias));
        let weights: Vec<i8> = rest.iter().map(|b| *b as i8).collect();
        (weights.len() == BUCKETS && scale.is_finite() && bias.is_finite()).then_some(Model {
            scale,
            bias,
            weights,
        })
    }
    pub fn write(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(self.scale.to_le_bytes());
        out.extend(self.bias.to_le_bytes());
        out.extend(self.weights.iter().map(|w| *w as u8));
        out
    }
    /// From 0 to 1. Each feature counts by one over the root of their number, so
    /// that short and long windows compare.
    pub fn score(&self, features: &[u16]) -> f32 {
        let sum: i32 = features.iter().map(|f| i32::from(self.weights[usize::from(*f) % BUCKETS])).sum();
        sigmoid(sum as f32 * self.scale * share(features.len()) + self.bias)
    }
}

/// What one of so many features counts. The root by Newton's steps, the same everywhere.
pub fn share(features: usize) -> f32 {
    let n = features.max(1) as f32;
    let mut root = n;
    for _ in 0..20 {
        root = 0.5 * (root + n / root);
    }
    1.0 / root
}

/// The logistic function, by arithmetic alone.
pub fn sigmoid(x: f32) -> f32 {
    let x = x.clamp(-30.0, 30.0);
    let (mut y, mut exp) = (x.abs() / 64.0, 1.0f32);
    // Taylor for a small argument, squared six times.
    let mut term = 1.0f32;
    for n in 1..8u8 {
        term *= y / f32::from(n);
        exp += term;
    }
    for _ in 0..6 {
        exp *= exp;
    }
    y = 1.0 / (1.0 + exp);
    if x >= 0.0 { 1.0 - y } else { y }
}
