//! The GGUF file, read with suspicion.
//!
//! A model file is outside input that a C++ loader will map, index and trust.
//! Loaders of this format have been exploited through counts and sizes that
//! did not fit the file (llama.cpp CVE-2025-53630 and CVE-2026-27940, Ollama
//! CVE-2026-7482; TRAPS X7). [`Header::read`] therefore walks every count,
//! length, offset and size against the length of the file *before* the loader
//! sees it, and [`check_model`] refuses the values on which the loader is known
//! to assert, which would end the whole process. What passes is also what the
//! rest of Bedplate knows about a model: names, limits, template, memory.
//!
//! [`import`] makes such a file of a Hugging Face folder, whose [`safetensors`] are read
//! with the same suspicion.
//!
//! Pure: bytes in, values out. [`write`] makes files; [`random_llama`] and its kin those
//! of tests, and of benches that need the same weights everywhere.

mod check;
mod estimate;
mod header;
pub mod import;
mod kind;
mod random;
mod random_bert;
pub mod safetensors;
mod value;
pub mod write;

pub use check::check_model;
pub use estimate::{Estimate, Room, estimate};
pub use header::{Header, Tensor};
pub use kind::Kind;
pub use random::{Shape, random_llama};
pub use random_bert::{random_embedder, random_reranker};
pub use value::{Array, Value};

#[cfg(test)]
mod tests;

/// Most metadata keys. Real models have 20-80; each costs a map entry here and one in the loader.
pub const KEYS_MAX: u64 = 16_384;
/// Most tensors. The largest published models have about 2,500 per file.
pub const TENSORS_MAX: u64 = 65_536;
/// Longest single text: 64 MiB bounds the allocation that one length can ask for.
pub const STRING_MAX: u64 = 64 << 20;
/// Longest metadata key, as the format's specification says.
pub const KEY_MAX: u64 = 65_535;
/// Longest tensor name that the loader's fixed buffer takes (`GGML_MAX_NAME` - 1).
pub const NAME_MAX: u64 = 63;
/// Most elements of one array. Vocabularies have up to 300,000 tokens and as many merges.
pub const ELEMENTS_MAX: u64 = 16 << 20;
/// Everything before the tensors. Vocabularies of 300,000 tokens take about 15 MB.
pub const HEADER_MAX: u64 = 512 << 20;

/// Why a file is not a model that may be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("not a GGUF file: it starts with {0:02x?} and not with \"GGUF\"")]
    Magic([u8; 4]),
    #[error("GGUF version {0} is not supported: 2 and 3 are")]
    Version(u32),
    #[error("the file ends at byte {have} inside {what}, which needs {need} bytes")]
    Truncated { what: &'static str, need: u64, have: u64 },
    #[error("{what} is {value}; the limit is {max}")]
    TooMany { what: &'static str, value: u64, max: u64 },
    #[error("{what} of \"{name}\" is not text")]
    NotText { what: &'static str, name: String },
    #[error("key \"{0}\" appears twice")]
    DuplicateKey(String),
    #[error("tensor \"{0}\" appears twice")]
    DuplicateTensor(String),
    #[error("key \"{key}\" has type {kind}, which the format does not have")]
    ValueKind { key: String, kind: u32 },
    #[error("alignment {0} is not a power of two from 8 to 65536")]
    Alignment(u64),
    #[error("tensor \"{name}\": {why}")]
    Tensor { name: String, why: String },
    #[error("key \"{key}\": {why}")]
    Meta { key: String, why: String },
    #[error("key \"{0}\" is missing")]
    Missing(String),
    #[error("the file could not be read: {0}")]
    Io(String),
    /// As another process said it.
    #[error("{0}")]
    Told(String),
}
