//! The physical limit of decoding: how fast memory can be read.
//!
//! Decoding one token reads every weight once, so tokens per second times bytes
//! per token cannot pass what all cores together can stream. Plain reads on
//! 4 KiB pages, the same pages the weights lie on; the best of several passes,
//! because a limit is not an average.

use crate::clock;

/// Larger than any cache, small enough for a laptop.
const BYTES: usize = 1 << 30;
const PASSES: usize = 8;

/// Bytes per second that `threads` threads read together.
pub fn measure(threads: usize, bytes: usize) -> f64 {
    let threads = threads.max(1);
    // Written and not zeroed: untouched zero pages are all one page of memory.
    let memory: Vec<u64> = (0..(bytes / 8) as u64).collect();
    let share = memory.len().div_ceil(threads).max(1);
    let mut best = 0.0f64;
    for _ in 0..PASSES {
        let start = clock::now();
        let sum = std::thread::scope(|scope| {
            let parts: Vec<_> = memory.chunks(share).map(|part| scope.spawn(|| sum(part))).collect();
            parts
                .into_iter()
                .map(|part| part.join().expect("a sum does not panic"))
                .fold(0u64, u64::wrapping_add)
        });
        std::hint::black_box(sum);
        best = best.max(bytes as f64 / start.elapsed().as_secs_f64());
    }
    best
}

/// The measurement that a run reports.
pub fn of_this_machine(threads: usize) -> f64 {
    measure(threads, BYTES)
}

/// Sixteen sums side by side: one alone would wait for its own additions.
fn sum(part: &[u64]) -> u64 {
    let mut lanes = [0u64; 16];
    let blocks = part.chunks_exact(16);
    let rest = blocks.remainder();
    for block in blocks {
        for (lane, value) in lanes.iter_mut().zip(block) {
            *lane = lane.wrapping_add(*value);
        }
    }
    lanes.iter().chain(rest).fold(0, |total, value| total.wrapping_add(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_once() {
        let words: Vec<u64> = (1..=1000).collect();
        assert_eq!(sum(&words), 500_500);
        assert_eq!(sum(&[]), 0);
    }

    #[test]
    fn a_rate_comes_out_whatever_the_threads() {
        assert!(measure(3, 1 << 16) > 0.0);
        assert!(measure(0, 1 << 16) > 0.0);
    }
}
