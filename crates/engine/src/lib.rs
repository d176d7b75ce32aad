//! The local engine: llama.cpp behind a safe layer, on its own thread.
mod error;
mod handle;

pub use error::Error;
pub use handle::{Engine, Generation, ModelInfo, Options, Stats, openmp_env};
