//! Vectors as they are stored: IEEE 754 binary16, little-endian, two bytes a number.
//!
//! A third significant digit is what it costs, below what a 4-bit scan loses
//! and what the order of hits notices; it halves the largest part of the file.

/// The largest magnitude that is not infinite.
pub const MAX: f32 = 65_504.0;

/// Rounds to the nearest, ties to even. What is larger than [`MAX`] becomes infinite.
pub fn encode(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|x| to_bits(*x).to_le_bytes()).collect()
}

/// `None` when the bytes are no whole number of numbers.
pub fn decode(bytes: &[u8]) -> Option<Vec<f32>> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|pair| from_bits(u16::from_le_bytes(*pair))).collect())
}

fn to_bits(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return sign | 0x7e00; // NaN
    }
    if magnitude >= 0x4780_0000 {
        return sign | 0x7c00; // 65,536 and more
    }
    if magnitude < 0x3880_0000 {
        // Below 2^-14, where halves have a fixed step of 2^-24. Adding one half
        // of the step's 2^24 multiple lets the addition round, ties to even.
        let shifted = f32::from_bits(magnitude) + 0.5;
        return sign | (shifted.to_bits() - 0x3f00_0000) as u16;
    }
    // 13 bits of fraction go; the odd bit above them makes ties even. A carry
    // out of the fraction is one more in the exponent, as it should be.
    let odd = magnitude >> 13 & 1;
    sign | ((magnitude + 0x0fff + odd - 0x3800_0000) >> 13) as u16
}

fn from_bits(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let magnitude = u32::from(half & 0x7fff);
    let bits = match magnitude {
        // No exponent: a multiple of 2^-24.
        0..0x0400 => (magnitude as f32 * f32::from_bits(0x3380_0000)).to_bits(),
        0x0400..0x7c00 => (magnitude << 13) + 0x3800_0000,
        _ => magnitude << 13 | 0x7f80_0000,
    };
    f32::from_bits(sign | bits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_half_is_itself_again() {
        for half in 0..=u16::MAX {
            let x = from_bits(half);
            if x.is_nan() {
                assert!(half & 0x7fff > 0x7c00 && from_bits(to_bits(x)).is_nan(), "{half:#06x}");
            } else {
                assert_eq!(to_bits(x), half, "{x}");
            }
        }
        // IEEE 754: the smallest, the smallest normal, one, the largest.
        for (half, x) in [(0x0001, 2f32.powi(-24)), (0x0400, 2f32.powi(-14)), (0x3c00, 1.0), (0x7bff, MAX)] {
            assert_eq!(from_bits(half), x);
        }
        assert_eq!(to_bits(65_520.0), 0x7c00, "half way to what would be next");
        assert_eq!(to_bits(1.0 + 2f32.powi(-11)), 0x3c00, "a tie goes to the even one");
        assert_eq!(to_bits(1.0 + 3.0 * 2f32.powi(-11)), 0x3c02, "a tie goes to the even one");
    }

    proptest! {
        #[test]
        fn the_nearest_is_taken(x in -65_519.0f32..65_519.0) {
            let half = to_bits(x);
            let error = (from_bits(half) - x).abs();
            for near in [half.wrapping_sub(1), half.wrapping_add(1)] {
                let other = from_bits(near);
                prop_assert!(!other.is_finite() || error <= (other - x).abs(), "{x}: {half:#06x}");
            }
        }

        #[test]
        fn a_vector_comes_back(vector in proptest::collection::vec(-1f32..1.0, 0..50)) {
            let bytes = encode(&vector);
            let back = decode(&bytes).expect("whole");
            prop_assert_eq!(back.len(), vector.len());
            prop_assert!(back.iter().zip(&vector).all(|(a, b)| (a - b).abs() <= 2f32.powi(-12)));
            prop_assert_eq!(encode(&back), bytes, "once rounded it stays");
            prop_assert_eq!(decode(&[1, 2, 3]), None);
        }
    }
}
