//! The local engine: llama.cpp behind a safe layer, on its own thread.
//!
//! A model file passes `gguf`'s check before the C++ loader sees it. Requests
//! are rendered by the model's own template and tokenized on the caller's
//! thread, then batched by `scheduler` on the engine's. What the engine cannot
//! do exactly as asked it refuses (EN0004); it never cuts a prompt (EN0001).
//!
//! Invariants: no request waits for another's reader; dropping a [`Generation`]
//! frees its cells within one kernel operation; the thread sleeps when there is
//! nothing to compute; usage is what was computed, by axis.

mod appraise;
mod banned;
mod caller;
mod disk;
mod error;
mod eval;
mod handle;
mod llama;
mod load;
mod measure;
mod openmp;
mod pairing;
mod parse;
mod prompt;
mod structured;
mod template;
mod threads;
mod vectors;
mod worker;

pub use appraise::{Appraisal, appraise};
pub use banned::BannedTexts;
pub use caller::Caller;
pub use error::Error;
pub use eval::{Comparison, Reading, Reference, Score, TOP};
pub use handle::{Engine, Generation, Health, KvDisks, ModelInfo, Options, Stats};
pub use llama::{Importance, Quantization, measure_importance, quantize, quantize_by, set_log, weights_of};
pub use load::kv_fingerprint_of;
pub use measure::{Measured, Meter, Workload};
pub use openmp::openmp_env;
pub use scheduler::{Standing, Tenant};
pub use worker::{Scores, Vectors};

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod rank_tests;
#[cfg(test)]
mod reuse_tests;
#[cfg(test)]
mod tests;
