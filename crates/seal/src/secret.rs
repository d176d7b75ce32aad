//! Secret bytes, and where they come from.

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// 32 secret bytes. No `Debug`, no `Display`, no comparison; erased when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    pub const fn from_bytes(bytes: [u8; 32]) -> SecretKey {
        SecretKey(bytes)
    }
    /// From the operating system's generator.
    pub fn random() -> SecretKey {
        SecretKey(random())
    }
    /// The bytes themselves, for the primitive that needs them.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// `N` bytes from the operating system's generator, fit for keys.
///
/// # Panics
/// If the system has no randomness to give, which Linux answers by waiting instead.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the operating system provides randomness");
    bytes
}
