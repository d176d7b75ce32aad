//! Vectors: a second context on the same weights, pooled by sequence.

use std::ptr::NonNull;
use std::sync::Arc;

use llama_cpp_sys_2 as sys;
use scheduler::{Row, Token};

use super::context::Batch;
use super::{Model, guard, log};
use crate::Error;

/// See the soundness notes of the parent module.
pub(crate) struct Embedder {
    ctx: NonNull<sys::llama_context>,
    batch: Batch,
    rows_max: u32,
    /// Numbers of each text: a vector's, or those of a head.
    width: usize,
    /// Vectors are made as long as 1; what a head says is left alone.
    unit: bool,
    n_vocab: u32,
    /// Freed after the context.
    _model: Arc<Model>,
}

// SAFETY: as for `LlamaKernel`.
unsafe impl Send for Embedder {}

impl Drop for Embedder {
    fn drop(&mut self) {
        // SAFETY: made by us, freed once; the model outlives it.
        unsafe { sys::llama_free(self.ctx.as_ptr()) }
    }
}

/// Most texts in one batch.
const TEXTS_MAX: u32 = 32;
/// Rows that texts are put together to, unless one alone has more. Attention compares each row of
/// a batch with each other, those of other texts in vain: with 512 rows a twentieth of all CPU
/// more than with 128. Fewer would read the weights too often.
const ROWS_TOGETHER: usize = 128;

impl Embedder {
    /// `rows_max` is the longest text, and the most tokens computed at once:
    /// an encoder must see a text whole.
    /// `ranks`: the model pools by a head, as its file says.
    pub(crate) fn new(
        model: Arc<Model>,
        rows_max: u32,
        threads: u32,
        ranks: bool,
    ) -> Result<Embedder, Error> {
        log::begin();
        // SAFETY: plain values.
        let ctx = unsafe {
            let mut p = sys::llama_context_default_params();
            p.n_ctx = rows_max;
            p.n_batch = rows_max;
            p.n_ubatch = rows_max;
            p.n_seq_max = TEXTS_MAX;
            p.n_threads = threads as i32;
            p.n_threads_batch = threads as i32;
            p.kv_unified = true;
            p.no_perf = true;
            p.embeddings = true;
            sys::llama_init_from_model(model.as_ptr(), p)
        };
        let ctx = NonNull::new(ctx).ok_or_else(|| Error::Failed(log::reason("llama.cpp made no context")))?;
        // SAFETY: just made.
        let pooling = unsafe { sys::llama_pooling_type(ctx.as_ptr()) };
        let width = if pooling == sys::LLAMA_POOLING_TYPE_RANK { model.n_head() } else { model.n_embd() };
        let (width, n_vocab) = (width as usize, model.n_vocab());
        Ok(Embedder { ctx, batch: Batch::default(), rows_max, width, unit: !ranks, n_vocab, _model: model })
    }

    /// How many of the texts fit one batch; at least one.
    pub(crate) fn fits(&self, texts: &[Vec<Token>]) -> usize {
        let mut rows = 0;
        let fit = texts.iter().take(TEXTS_MAX as usize).take_while(|t| {
            rows += t.len();
            rows <= ROWS_TOGETHER.min(self.rows_max as usize)
        });
        fit.count().max(1)
    }

    /// One vector of length 1, or one row of the head, for each text. Texts are not empty, and fit.
    pub(crate) fn embed(&mut self, texts: &[Vec<Token>]) -> Result<Vec<Vec<f32>>, Error> {
        let mut rows = Vec::new();
        for (seq, text) in (0u32..).zip(texts) {
            rows.extend((0u32..).zip(text).map(|(pos, t)| Row { token: *t, pos, seq, logits: true }));
        }
        let fits =
            !rows.is_empty() && rows.len() <= self.rows_max as usize && texts.len() <= TEXTS_MAX as usize;
        if !fits || rows.iter().any(|r| r.token >= self.n_vocab) {
            return Err(Error::Failed(format!("{} rows cannot be a batch", rows.len())));
        }
        self.batch.fill(rows.iter());
        let batch = self.batch.raw();
        log::begin();
        // SAFETY: the context is valid; encoders have no memory, which is null then.
        // The arrays have `n_tokens` elements and live for the call.
        let code = unsafe {
            let memory = sys::llama_get_memory(self.ctx.as_ptr());
            if !memory.is_null() {
                sys::llama_memory_clear(memory, false);
            }
            guard::bedplate_decode(self.ctx.as_ptr(), &raw const batch)
        };
        if code != 0 {
            return Err(Error::Failed(log::reason(&format!("llama.cpp answered {code}"))));
        }
        (0..texts.len()).map(|seq| self.vector(seq)).collect()
    }

    fn vector(&self, seq: usize) -> Result<Vec<f32>, Error> {
        // SAFETY: the context is valid; a sequence without a vector gives null.
        let vector = unsafe { sys::llama_get_embeddings_seq(self.ctx.as_ptr(), seq as i32) };
        if vector.is_null() {
            return Err(Error::Failed("llama.cpp gave no vector".into()));
        }
        // SAFETY: what is pooled has `n_embd` values, or as many as the head has, which
        // are copied before the next call.
        let mut vector = unsafe { std::slice::from_raw_parts(vector, self.width) }.to_vec();
        if !self.unit {
            return Ok(vector);
        }
        let norm = vector.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt();
        if norm > 0.0 && norm.is_finite() {
            vector.iter_mut().for_each(|v| *v = (f64::from(*v) / norm) as f32);
        }
        Ok(vector)
    }
}
