//! The generator behind a request's seed.

/// PCG-XSH-RR 64/32: small, and the same on every machine and in every version
/// of Bedplate, which a library's generator does not promise.
/// Source: M. O'Neill, "PCG: a family of simple fast space-efficient
/// statistically good algorithms for random number generation", 2014.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
    stream: u64,
}

impl Random {
    /// `stream` gives independent sequences for one seed: the choices of a request.
    pub fn new(seed: u64, stream: u64) -> Random {
        let mut random = Random { state: 0, stream: (stream << 1) | 1 };
        random.next_u32();
        random.state = random.state.wrapping_add(seed);
        random.next_u32();
        random
    }
    pub fn next_u32(&mut self) -> u32 {
        let old = self.state;
        self.state = old.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(self.stream);
        let mixed = (((old >> 18) ^ old) >> 27) as u32;
        mixed.rotate_right((old >> 59) as u32)
    }
    /// Uniform in [0, 1), with 53 bits.
    pub fn next_unit(&mut self) -> f64 {
        let bits = (u64::from(self.next_u32()) << 32 | u64::from(self.next_u32())) >> 11;
        bits as f64 / (1u64 << 53) as f64
    }
}
