//! The element types of tensors: how many bytes a row of them takes.

/// One tensor element type: `block` elements are stored in `bytes` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub id: u32,
    pub name: &'static str,
    /// Elements per block; a row is a whole number of blocks.
    pub block: u64,
    /// Bytes per block.
    pub bytes: u64,
}

const fn kind(id: u32, name: &'static str, block: u64, bytes: u64) -> Kind {
    Kind { id, name, block, bytes }
}

/// Source: `enum ggml_type` and `ggml-common.h` of the llama.cpp that
/// llama-cpp-sys-2 0.1.161 carries. Ids that were removed there (4, 5, 31-33,
/// 36-38) are absent, so a file that uses one is refused.
#[rustfmt::skip]
const KINDS: &[Kind] = &[
    kind(0, "F32", 1, 4),
    kind(1, "F16", 1, 2),
    kind(2, "Q4_0", 32, 18),
    kind(3, "Q4_1", 32, 20),
    kind(6, "Q5_0", 32, 22),
    kind(7, "Q5_1", 32, 24),
    kind(8, "Q8_0", 32, 34),
    kind(9, "Q8_1", 32, 36),
    kind(10, "Q2_K", 256, 84),
    kind(11, "Q3_K", 256, 110),
    kind(12, "Q4_K", 256, 144),
    kind(13, "Q5_K", 256, 176),
    kind(14, "Q6_K", 256, 210),
    kind(15, "Q8_K", 256, 292),
    kind(16, "IQ2_XXS", 256, 66),
    kind(17, "IQ2_XS", 256, 74),
    kind(18, "IQ3_XXS", 256, 98),
    kind(19, "IQ1_S", 256, 50),
    kind(20, "IQ4_NL", 32, 18),
    kind(21, "IQ3_S", 256, 110),
    kind(22, "IQ2_S", 256, 82),
    kind(23, "IQ4_XS", 256, 136),
    kind(24, "I8", 1, 1),
    kind(25, "I16", 1, 2),
    kind(26, "I32", 1, 4),
    kind(27, "I64", 1, 8),
    kind(28, "F64", 1, 8),
    kind(29, "IQ1_M", 256, 56),
    kind(30, "BF16", 1, 2),
    kind(34, "TQ1_0", 256, 54),
    kind(35, "TQ2_0", 256, 66),
    kind(39, "MXFP4", 32, 17),
    kind(40, "NVFP4", 64, 36),
    kind(41, "Q1_0", 128, 18),
    kind(42, "Q2_0", 64, 18),
];

impl Kind {
    pub const F32: Kind = KINDS[0];
    pub const F16: Kind = KINDS[1];

    /// The type with that number, if the loader has it.
    pub fn from_id(id: u32) -> Option<Kind> {
        KINDS.iter().find(|k| k.id == id).copied()
    }

    /// Bytes of a tensor of these dimensions (`dims[0]` is the row), or `None`
    /// when a row is not whole blocks or the size overflows.
    pub fn size(self, dims: &[u64]) -> Option<u64> {
        let row = *dims.first()?;
        if !row.is_multiple_of(self.block) {
            return None;
        }
        let mut bytes = (row / self.block).checked_mul(self.bytes)?;
        for dim in &dims[1..] {
            bytes = bytes.checked_mul(*dim)?;
        }
        Some(bytes)
    }
}
