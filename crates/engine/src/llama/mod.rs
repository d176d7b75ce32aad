//! llama.cpp behind safe types: the only unsafe code of Bedplate.
//!
//! Why this is sound, once for all three files:
//!
//! - A [`Model`] is immutable after it is loaded, and llama.cpp documents its
//!   vocabulary functions as thread-safe, so it is `Send + Sync`. It is freed
//!   when the last `Arc` is dropped; every context holds one.
//! - A context ([`LlamaKernel`], [`Embedder`]) belongs to one thread at a time:
//!   it is `Send`, not `Sync`, and all its calls take `&mut self` or read what
//!   the last call left. Pointers that llama.cpp returns into it are only handed
//!   out as slices that borrow it, so they end before the next call.
//! - Every array passed in has the length that is passed with it, and lives for
//!   the call. What llama.cpp would answer with `GGML_ASSERT`, which ends the
//!   process, is checked here first: row counts, token and sequence numbers.
//! - A file reaches the loader only after `gguf::check_model` (see `load.rs`).
//! - C++ exceptions end at `guard.cpp`, which turns them into error codes: one
//!   that reached Rust would end the process.
//! - Callbacks are `extern "C"` functions that cannot unwind into C++. The nodes
//!   of a graph that one is shown are read within the call only.

#![expect(unsafe_code, reason = "the C interface of llama.cpp; the module docs argue soundness")]

mod calls;
mod context;
mod embedder;
mod guard;
mod importance;
mod log;
mod model;
mod quantize;

pub(crate) use context::{ContextOptions, LlamaKernel};
pub(crate) use embedder::Embedder;
pub use importance::{Importance, measure_importance};
pub use log::set_log;
pub(crate) use model::{Model, reporting};
pub use quantize::{Quantization, quantize, quantize_by, weights_of};
