//! Making a model smaller.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc;

use llama_cpp_sys_2 as sys;

use super::importance::{Importance, Listed};
use super::log;
use super::model::path_text;
use crate::{Error, load};

/// A target type, in the order of bits per weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quantization {
    Q4_0,
    Q4KM,
    Q5KM,
    Q6K,
    Q8_0,
    F16,
    /// As large as F16, less exact, and the fastest where the processor multiplies it (AVX-512 BF16).
    BF16,
}

impl Quantization {
    /// Those that make a model smaller by more bits or fewer, the smallest first.
    pub const ALL: [Quantization; 6] = [
        Quantization::Q4_0,
        Quantization::Q4KM,
        Quantization::Q5KM,
        Quantization::Q6K,
        Quantization::Q8_0,
        Quantization::F16,
    ];

    /// Its usual name.
    pub const fn name(self) -> &'static str {
        match self {
            Quantization::Q4_0 => "Q4_0",
            Quantization::Q4KM => "Q4_K_M",
            Quantization::Q5KM => "Q5_K_M",
            Quantization::Q6K => "Q6_K",
            Quantization::Q8_0 => "Q8_0",
            Quantization::F16 => "F16",
            Quantization::BF16 => "BF16",
        }
    }
    /// By its usual name, in any case.
    pub fn from_name(name: &str) -> Option<Quantization> {
        Quantization::ALL.into_iter().find(|q| q.name().eq_ignore_ascii_case(name))
    }
    const fn file_type(self) -> sys::llama_ftype {
        match self {
            Quantization::Q4_0 => sys::LLAMA_FTYPE_MOSTLY_Q4_0,
            Quantization::Q4KM => sys::LLAMA_FTYPE_MOSTLY_Q4_K_M,
            Quantization::Q5KM => sys::LLAMA_FTYPE_MOSTLY_Q5_K_M,
            Quantization::Q6K => sys::LLAMA_FTYPE_MOSTLY_Q6_K,
            Quantization::Q8_0 => sys::LLAMA_FTYPE_MOSTLY_Q8_0,
            Quantization::F16 => sys::LLAMA_FTYPE_MOSTLY_F16,
            Quantization::BF16 => sys::LLAMA_FTYPE_MOSTLY_BF16,
        }
    }
}

/// The element type that most of a model's weights have, such as `F16`, and
/// whether it is one of whole floats. Rounding what was rounded before would
/// lose more than either, so only those can be quantized.
///
/// # Errors
/// When the file is not a model.
pub fn weights_of(path: &Path) -> Result<(&'static str, bool), Error> {
    let header = load::read_header(path)?;
    let mut bytes = BTreeMap::<&str, u64>::new();
    for tensor in &header.tensors {
        *bytes.entry(tensor.kind.name).or_default() += tensor.bytes;
    }
    let kind = bytes.iter().max_by_key(|(_, bytes)| **bytes).map_or("F32", |(kind, _)| kind);
    let whole = bytes.keys().all(|kind| ["F32", "F16", "BF16"].contains(kind));
    Ok((kind, whole))
}

/// Writes `output` from a model of F32, F16 or BF16 weights. Blocks; `progress`
/// gets (tensors done, all) from the calling thread.
///
/// # Errors
/// When the input is not such a model, or the output cannot be written; then
/// there may be a part of it.
pub fn quantize(
    input: &Path,
    output: &Path,
    target: Quantization,
    threads: u32,
    progress: impl FnMut(u32, u32),
) -> Result<(), Error> {
    quantize_by(input, output, target, None, threads, progress)
}

/// The same, keeping those columns truer that matter more.
pub fn quantize_by(
    input: &Path,
    output: &Path,
    target: Quantization,
    importance: Option<&Importance>,
    threads: u32,
    mut progress: impl FnMut(u32, u32),
) -> Result<(), Error> {
    let (kind, whole) = weights_of(input)?;
    if !whole {
        return Err(Error::Unsupported(format!("the model's weights are {kind} already")));
    }
    log::init();
    let (from, to) = (path_text(input)?, path_text(output)?);
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        let work = std::thread::Builder::new().name("quantize".into()).spawn_scoped(scope, move || {
            log::PROGRESS.with(|p| *p.borrow_mut() = Some(sender));
            log::begin();
            let importance = importance.map(Listed::new);
            // SAFETY: plain values; the paths are zero-terminated and, like the
            // importance, live for the call, which catches its own exceptions.
            let code = unsafe {
                let mut params = sys::llama_model_quantize_default_params();
                params.nthread = threads as i32;
                params.ftype = target.file_type();
                params.imatrix = importance.as_ref().map_or(std::ptr::null(), Listed::as_ptr);
                sys::llama_model_quantize(from.as_ptr(), to.as_ptr(), &raw const params)
            };
            log::PROGRESS.with(|p| *p.borrow_mut() = None);
            if code == 0 { Ok(()) } else { Err(Error::Failed(log::reason("the model was not quantized"))) }
        });
        let work = work.map_err(|e| Error::Failed(format!("no thread could be started: {e}")))?;
        for (done, total) in receiver {
            progress(done, total);
        }
        work.join().unwrap_or_else(|_| Err(Error::Failed("the quantizing thread panicked".into())))
    })
}
