//! What a model file would be, before it is loaded.
//!
//! Admission by memory and routing need a model's size and its abilities while
//! it is on disk only, so both come from the header: a few milliseconds of
//! reading, no C++.

use std::path::Path;

use crate::llama::reporting;
use crate::{Engine, Error, Options, load};

/// A checked header, and what loading the file with certain [`Options`] takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Appraisal {
    pub arch: String,
    pub n_params: u64,
    pub size_bytes: u64,
    /// Longest sequence, prompt and answer, in tokens.
    pub n_ctx: u32,
    pub can_embed: bool,
    /// Whether it scores documents for a query.
    pub can_rank: bool,
    /// Whether it generates text: what only reads it back in vectors does not.
    pub can_generate: bool,
    pub memory: gguf::Estimate,
}

/// Architectures with an encoder before their decoder, which the engine does not run.
const ENCODERS: [&str; 2] = ["t5", "t5encoder"];

/// Reads and checks the header of a model file and estimates its memory. Blocks
/// for as long as reading the header takes.
///
/// # Errors
/// What [`Engine::open`] would refuse before it loads.
pub fn appraise(path: &Path, options: &Options) -> Result<Appraisal, Error> {
    let header = load::read_header(path)?;
    let plan = load::plan(&header, options)?;
    let (can_embed, can_rank) = load::encodes(&header);
    Ok(Appraisal {
        arch: header.arch().to_owned(),
        n_params: header.parameters(),
        size_bytes: header.file_len,
        n_ctx: plan.seq_len_max,
        can_embed,
        can_rank,
        can_generate: header.causal() && !ENCODERS.contains(&header.arch()),
        memory: plan.memory,
    })
}

impl Engine {
    /// [`Engine::open`] that says how far it is: `progress` is called with 0 to 1
    /// on this thread, and ends the load with an error by returning `false`.
    pub fn open_with(
        path: &Path,
        options: Options,
        progress: impl FnMut(f32) -> bool + 'static,
    ) -> Result<Engine, Error> {
        reporting(progress, || Engine::open(path, options))
    }
}
