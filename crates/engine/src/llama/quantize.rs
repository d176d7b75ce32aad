//! Making a model smaller.

use std::path::Path;
use std::sync::mpsc;

use llama_cpp_sys_2 as sys;

use super::log;
use super::model::path_text;
use crate::{Error, load};

/// A target type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantization {
    Q4_0,
    Q8_0,
    Q4KM,
}

impl Quantization {
    /// Its usual name.
    pub const fn name(self) -> &'static str {
        match self {
            Quantization::Q4_0 => "Q4_0",
            Quantization::Q8_0 => "Q8_0",
            Quantization::Q4KM => "Q4_K_M",
        }
    }
    pub fn from_name(name: &str) -> Option<Quantization> {
        [Quantization::Q4_0, Quantization::Q8_0, Quantization::Q4KM]
            .into_iter()
            .find(|q| q.name().eq_ignore_ascii_case(name))
    }
}

/// Writes `output` from a model of F32 or F16 weights. Blocks; `progress` gets
/// (tensors done, all) from the calling thread.
pub fn quantize(
    input: &Path,
    output: &Path,
    target: Quantization,
    threads: u32,
    mut progress: impl FnMut(u32, u32),
) -> Result<(), Error> {
    load::read_header(input)?;
    log::init();
    let (from, to) = (path_text(input)?, path_text(output)?);
    let (sender, receiver) = mpsc::channel();
    let work = std::thread::Builder::new().name("quantize".into()).spawn(move || {
        log::PROGRESS.with(|p| *p.borrow_mut() = Some(sender));
        log::begin();
        // SAFETY: plain values; the paths are zero-terminated and live for the
        // call, which catches its own exceptions.
        let code = unsafe {
            let mut params = sys::llama_model_quantize_default_params();
            params.nthread = threads as i32;
            params.ftype = match target {
                Quantization::Q4_0 => sys::LLAMA_FTYPE_MOSTLY_Q4_0,
                Quantization::Q8_0 => sys::LLAMA_FTYPE_MOSTLY_Q8_0,
                Quantization::Q4KM => sys::LLAMA_FTYPE_MOSTLY_Q4_K_M,
            };
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
}
