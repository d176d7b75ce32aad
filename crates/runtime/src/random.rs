//! Randomness from the operating system, buffered per thread.
//!
//! An id per request and a nonce per record would each cost a `getrandom`
//! call (0.3-0.5 us here); a block of 1,000 bytes drawn at once makes it one
//! call per hundred ids. Bytes are erased as they are handed out, so a later
//! read of this memory does not reveal a key made earlier.

use std::cell::RefCell;

use ring::rand::{SecureRandom, SystemRandom};
use units::Uuid7;

const BLOCK: usize = 1000;

struct Block {
    bytes: [u8; BLOCK],
    used: usize,
}

thread_local! {
    static BLOCK_OF_THREAD: RefCell<Block> = const { RefCell::new(Block { bytes: [0; BLOCK], used: BLOCK }) };
}

/// `N` bytes fit for keys, at most 256 at a time.
///
/// # Panics
/// If the operating system has no randomness: nothing may be signed, sealed or
/// identified then, and going on would be worse than stopping.
pub fn bytes<const N: usize>() -> [u8; N] {
    const { assert!(N <= 256, "draw large amounts directly from ring") };
    BLOCK_OF_THREAD.with_borrow_mut(|block| {
        if BLOCK - block.used < N {
            SystemRandom::new().fill(&mut block.bytes).expect("the operating system provides randomness");
            block.used = 0;
        }
        let from = block.used;
        block.used += N;
        let mut out = [0; N];
        let slot = &mut block.bytes[from..from + N];
        out.copy_from_slice(slot);
        slot.fill(0);
        out
    })
}

/// A new time-ordered identifier.
pub fn new_id() -> Uuid7 {
    Uuid7::new(crate::clock::now(), bytes::<10>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_bytes_are_handed_out_twice() {
        let mut seen = BTreeSet::new();
        for _ in 0..1000 {
            assert!(seen.insert(bytes::<16>()));
        }
        assert!(!seen.contains(&[0; 16]));
    }

    #[test]
    fn ids_of_two_threads_differ() {
        let other = std::thread::spawn(|| (0..200).map(|_| new_id()).collect::<Vec<_>>());
        let mut all: BTreeSet<_> = (0..200).map(|_| new_id()).collect();
        all.extend(other.join().expect("the thread ends"));
        assert_eq!(all.len(), 400);
    }
}
