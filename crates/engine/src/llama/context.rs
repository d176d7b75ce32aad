//! The kernel: a context of llama.cpp that computes batches of sequences.

use std::ffi::c_void;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use llama_cpp_sys_2 as sys;
use scheduler::{Caps, Kernel, Row, SeqId, StepError};

use super::calls::{self, Calls};
use super::model::path_text;
use super::{Model, guard, log};
use crate::Error;

/// A question that llama.cpp asks while it computes.
type Question<'a> = &'a (dyn Fn() -> bool + Sync + 'a);

/// Sequences of a context, at most; a constant of llama.cpp.
const SEQ_LIMIT: u32 = 256;

/// How a context is made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ContextOptions {
    pub cells: u32,
    /// At most 255: one more is used for copying.
    pub seq_max: u32,
    pub seq_len_max: u32,
    pub step_rows: u32,
    /// Rows of a step that may ask for logits; 0: as many as sequences.
    pub outputs_max: u32,
    pub threads: u32,
    /// Flash attention, or not; `None`: llama.cpp's choice.
    pub flash: Option<bool>,
}

/// A LoRA adapter. Freed with its model.
struct Adapter {
    ptr: NonNull<sys::llama_adapter_lora>,
    scale: f32,
}

/// Where the logits of a row are.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In the context, as that row of its last call.
    Context(usize),
    /// In [`LlamaKernel::kept`], from there.
    Kept(usize),
}

/// See the soundness notes of the parent module.
pub(crate) struct LlamaKernel {
    ctx: NonNull<sys::llama_context>,
    caps: Caps,
    n_vocab: usize,
    batch: Batch,
    /// Whether rows that would spoil each other's attention are computed apart.
    apart: bool,
    calls: Calls,
    /// Where each row's logits are.
    places: Vec<Place>,
    /// Logits of all calls of the last step but its last.
    kept: Vec<f32>,
    /// The question of the step that runs, null between steps. Boxed: llama.cpp
    /// keeps its address. It points at a `Question` on the stack of `step`.
    question: Box<AtomicPtr<Question<'static>>>,
    /// Adapter `n` of the scheduler is the `n - 1`th.
    adapters: Vec<Adapter>,
    adapted: u32,
    threads: u32,
    /// Freed after the context.
    model: Arc<Model>,
}

// SAFETY: a context may move between threads; it is used by one at a time (`!Sync`).
unsafe impl Send for LlamaKernel {}

impl Drop for LlamaKernel {
    fn drop(&mut self) {
        // SAFETY: made by us, freed once; the model outlives it.
        unsafe { sys::llama_free(self.ctx.as_ptr()) }
    }
}

/// The arrays of a `llama_batch`, of one length.
#[derive(Default)]
pub(super) struct Batch {
    tokens: Vec<sys::llama_token>,
    positions: Vec<sys::llama_pos>,
    counts: Vec<i32>,
    seqs: Vec<sys::llama_seq_id>,
    seq_ptrs: Vec<*mut sys::llama_seq_id>,
    wanted: Vec<i8>,
}

impl Batch {
    pub(super) fn fill<'a>(&mut self, rows: impl Iterator<Item = &'a Row>) {
        self.tokens.clear();
        self.positions.clear();
        self.counts.clear();
        self.seqs.clear();
        self.seq_ptrs.clear();
        self.wanted.clear();
        for row in rows {
            self.tokens.push(row.token as i32);
            self.positions.push(row.pos as i32);
            self.counts.push(1);
            self.seqs.push(row.seq as i32);
            self.wanted.push(i8::from(row.logits));
        }
        // Each row points at its own element; `seqs` does not grow any more.
        let base = self.seqs.as_mut_ptr();
        self.seq_ptrs.extend((0..self.seqs.len()).map(|i| base.wrapping_add(i)));
    }
    pub(super) fn raw(&mut self) -> sys::llama_batch {
        sys::llama_batch {
            n_tokens: self.tokens.len() as i32,
            token: self.tokens.as_mut_ptr(),
            embd: std::ptr::null_mut(),
            pos: self.positions.as_mut_ptr(),
            n_seq_id: self.counts.as_mut_ptr(),
            seq_id: self.seq_ptrs.as_mut_ptr(),
            logits: self.wanted.as_mut_ptr(),
        }
    }
}

unsafe extern "C" fn ask(data: *mut c_void) -> bool {
    // SAFETY: `data` is the address of the kernel's boxed atomic, which outlives the context.
    let question = unsafe { &*data.cast::<AtomicPtr<Question<'static>>>() }.load(Ordering::Acquire);
    // SAFETY: not null only while `step` runs, and then it points at a live `Question`.
    !question.is_null() && unsafe { (*question)() }
}

impl LlamaKernel {
    /// Allocates the cells and the buffers of the largest step.
    pub(crate) fn new(model: Arc<Model>, options: ContextOptions) -> Result<LlamaKernel, Error> {
        let question = Box::new(AtomicPtr::<Question<'static>>::new(std::ptr::null_mut()));
        let seqs = options.seq_max.clamp(1, SEQ_LIMIT - 1) + 1;
        let wanted = if options.outputs_max == 0 { options.seq_max } else { options.outputs_max };
        let outputs = wanted.clamp(1, options.step_rows);
        log::begin();
        // SAFETY: plain values, and a callback whose data outlives the context.
        let ctx = unsafe {
            let mut p = sys::llama_context_default_params();
            p.n_ctx = options.cells;
            p.n_batch = options.step_rows;
            p.n_ubatch = options.step_rows;
            p.n_seq_max = seqs;
            // llama.cpp makes room for one of each sequence in any case, and asserts it.
            p.n_outputs_max = outputs.max(seqs);
            p.n_threads = options.threads as i32;
            p.n_threads_batch = options.threads as i32;
            p.kv_unified = true;
            p.no_perf = true;
            // A window's cells must stay, or a prefix could not be shared.
            p.swa_full = true;
            p.flash_attn_type = match options.flash {
                None => sys::LLAMA_FLASH_ATTN_TYPE_AUTO,
                Some(false) => sys::LLAMA_FLASH_ATTN_TYPE_DISABLED,
                Some(true) => sys::LLAMA_FLASH_ATTN_TYPE_ENABLED,
            };
            p.abort_callback = Some(ask);
            p.abort_callback_data = (&raw const *question).cast_mut().cast();
            sys::llama_init_from_model(model.as_ptr(), p)
        };
        let ctx = NonNull::new(ctx).ok_or_else(|| Error::Failed(log::reason("llama.cpp made no context")))?;
        // SAFETY: just made.
        let cells = unsafe { sys::llama_n_ctx(ctx.as_ptr()) };
        // Without flash attention a row's share of the work is the same in any
        // company, and a step that is not made of parts cannot be taken back.
        let apart = options.flash != Some(false) && !model.is_recurrent();
        let caps = Caps {
            seq_max: seqs - 1,
            cells,
            seq_len_max: options.seq_len_max.min(cells),
            step_rows_max: options.step_rows,
            outputs_max: outputs,
            tile_rows: if apart { calls::TILE as u32 } else { 0 },
            parts: !model.is_recurrent(),
        };
        let n_vocab = model.n_vocab() as usize;
        Ok(LlamaKernel {
            ctx,
            caps,
            n_vocab,
            batch: Batch::default(),
            apart,
            calls: Calls::default(),
            places: Vec::new(),
            kept: Vec::new(),
            question,
            adapters: Vec::new(),
            adapted: 0,
            threads: options.threads,
            model,
        })
    }

    /// Computes the calls of a step, one after the other.
    fn compute(
        &mut self,
        calls: &Calls,
        rows: &[Row],
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), StepError> {
        for range in calls.ranges() {
            let call = &calls.order[range.clone()];
            match self.decode(call.iter().map(|at| &rows[*at]), cancelled) {
                Ok(()) => {}
                Err(StepError::NoRoom) => {
                    // Nothing of the step is in, as the port promises.
                    for row in calls.order[..range.start].iter().map(|at| &rows[*at]) {
                        self.truncate(row.seq, row.pos.min(self.len(row.seq)));
                    }
                    return Err(StepError::NoRoom);
                }
                Err(other) => return Err(other),
            }
            let last = range.end == rows.len();
            for (index, at) in call.iter().enumerate().filter(|(_, at)| rows[**at].logits) {
                self.places[*at] = if last { Place::Context(index) } else { self.keep_logits(index) };
            }
        }
        Ok(())
    }

    /// One call of llama.cpp.
    fn decode<'a>(
        &mut self,
        rows: impl Iterator<Item = &'a Row>,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), StepError> {
        self.batch.fill(rows);
        let mut question: Question<'_> = cancelled;
        // The lifetime is forgotten here and enforced below: the pointer is taken
        // back before `question` goes.
        self.question.store((&raw mut question).cast(), Ordering::Release);
        let batch = self.batch.raw();
        log::begin();
        // SAFETY: the arrays have `n_tokens` elements and live for the call, after
        // which nothing computes; rows, tokens and sequences are in range.
        let code = unsafe { guard::bedplate_decode(self.ctx.as_ptr(), &raw const batch) };
        self.question.store(std::ptr::null_mut(), Ordering::Release);
        match code {
            0 => Ok(()),
            1 => Err(StepError::NoRoom),
            2 => Err(StepError::Aborted),
            code => Err(StepError::Fatal(log::reason(&format!("llama.cpp answered {code}")))),
        }
    }

    /// The logits of a row of the last call; empty where it asked for none.
    fn logits_of_call(&self, index: usize) -> &[f32] {
        let Ok(index) = i32::try_from(index) else { return &[] };
        // SAFETY: the context is valid; an index without logits gives null.
        let logits = unsafe { sys::llama_get_logits_ith(self.ctx.as_ptr(), index) };
        if logits.is_null() {
            return &[];
        }
        // SAFETY: a row has `n_vocab` values, which stay until the next step;
        // the slice borrows `self`, and a step needs it mutably.
        unsafe { std::slice::from_raw_parts(logits, self.n_vocab) }
    }

    /// Copies a row's logits out of the way of the next call.
    fn keep_logits(&mut self, index: usize) -> Place {
        let from = self.kept.len();
        let mut kept = std::mem::take(&mut self.kept);
        kept.extend_from_slice(self.logits_of_call(index));
        self.kept = kept;
        Place::Kept(from)
    }

    /// Computes the following steps with so many threads.
    pub(crate) fn set_threads(&mut self, threads: u32) {
        if threads == self.threads {
            return;
        }
        self.threads = threads;
        // SAFETY: the context is valid, and nothing computes between steps.
        unsafe { sys::llama_set_n_threads(self.ctx.as_ptr(), threads as i32, threads as i32) }
    }

    fn memory(&self) -> sys::llama_memory_t {
        // SAFETY: the context is valid.
        unsafe { sys::llama_get_memory(self.ctx.as_ptr()) }
    }
    fn known(&self, seq: SeqId) -> bool {
        seq < self.caps.seq_max
    }
    /// A sequence of our own, empty between calls: a part of another can only
    /// be written or read by way of it.
    fn scratch(&self) -> i32 {
        self.caps.seq_max as i32
    }
    fn forget_scratch(&self) {
        // SAFETY: the sequence is below `n_seq_max`.
        unsafe { sys::llama_memory_seq_rm(self.memory(), self.scratch(), -1, -1) };
    }

    /// Loads an adapter for this model; its number for [`Kernel::adapt`]. The
    /// file's header must have been checked: llama.cpp trusts it.
    pub(crate) fn add_adapter(&mut self, path: &Path, scale: f32) -> Result<u32, Error> {
        let text = path_text(path)?;
        log::begin();
        // SAFETY: the model is valid and the path is zero-terminated; null for
        // every failure, exceptions included.
        let adapter = unsafe { sys::llama_adapter_lora_init(self.model.as_ptr(), text.as_ptr()) };
        let ptr = NonNull::new(adapter)
            .ok_or_else(|| Error::Failed(log::reason("the adapter does not fit the model")))?;
        self.adapters.push(Adapter { ptr, scale });
        Ok(self.adapters.len() as u32)
    }
}

impl Kernel for LlamaKernel {
    fn caps(&self) -> Caps {
        self.caps
    }

    fn step(&mut self, rows: &[Row], cancelled: &(dyn Fn() -> bool + Sync)) -> Result<(), StepError> {
        let outputs = rows.iter().filter(|r| r.logits).count();
        let good =
            |r: &Row| self.known(r.seq) && (r.token as usize) < self.n_vocab && r.pos < self.caps.cells;
        if rows.is_empty() || rows.len() > self.caps.step_rows_max as usize || !rows.iter().all(good) {
            return Err(StepError::Fatal(format!("{} rows cannot be a step", rows.len())));
        }
        if outputs > self.caps.outputs_max as usize {
            return Err(StepError::Fatal(format!("{outputs} outputs and {} allowed", self.caps.outputs_max)));
        }
        match self.apart {
            true => self.calls.apart(rows),
            false => self.calls.whole(rows.len()),
        }
        self.places.clear();
        self.places.resize(rows.len(), Place::Context(usize::MAX));
        self.kept.clear();
        let calls = std::mem::take(&mut self.calls);
        let done = self.compute(&calls, rows, cancelled);
        self.calls = calls;
        done
    }

    fn logits(&self, row: usize) -> &[f32] {
        match self.places.get(row) {
            Some(Place::Context(at)) => self.logits_of_call(*at),
            Some(Place::Kept(from)) => self.kept.get(*from..from + self.n_vocab).unwrap_or_default(),
            None => &[],
        }
    }

    fn share(&mut self, from: SeqId, to: SeqId, len: u32) {
        if self.known(from) && self.known(to) {
            // SAFETY: both sequences are below `n_seq_max`; cells are unified, so a part may be shared.
            unsafe { sys::llama_memory_seq_cp(self.memory(), from as i32, to as i32, 0, len as i32) }
        }
    }

    fn truncate(&mut self, seq: SeqId, from: u32) -> bool {
        // SAFETY: the sequence is below `n_seq_max`.
        self.known(seq) && unsafe { sys::llama_memory_seq_rm(self.memory(), seq as i32, from as i32, -1) }
    }

    fn clear(&mut self, seq: SeqId) {
        if self.known(seq) {
            // SAFETY: the sequence is below `n_seq_max`; a whole one can always go.
            unsafe { sys::llama_memory_seq_rm(self.memory(), seq as i32, -1, -1) };
        }
    }

    fn len(&self, seq: SeqId) -> u32 {
        if !self.known(seq) {
            return 0;
        }
        // SAFETY: the sequence is below `n_seq_max`; -1 means empty.
        (unsafe { sys::llama_memory_seq_pos_max(self.memory(), seq as i32) } + 1).max(0) as u32
    }

    fn save(&mut self, seq: SeqId, from: u32, to: u32) -> Option<Vec<u8>> {
        if !self.known(seq) || from >= to || to > self.len(seq) || !self.caps.parts {
            return None;
        }
        let (memory, ctx, scratch) = (self.memory(), self.ctx.as_ptr(), self.scratch());
        // SAFETY: both sequences are below `n_seq_max`, and the buffer is as long as is said.
        let saved = unsafe {
            sys::llama_memory_seq_cp(memory, seq as i32, scratch, from as i32, to as i32);
            let size = sys::llama_state_seq_get_size(ctx, scratch);
            let mut saved = vec![0u8; size];
            let got = sys::llama_state_seq_get_data(ctx, saved.as_mut_ptr(), size, scratch);
            (got == size && size > 0).then_some(saved)
        };
        self.forget_scratch();
        saved
    }

    fn restore(&mut self, seq: SeqId, from: u32, saved: &[u8]) -> bool {
        if !self.known(seq) || self.len(seq) != from || !self.caps.parts {
            return false;
        }
        let (memory, ctx, scratch) = (self.memory(), self.ctx.as_ptr(), self.scratch());
        log::begin();
        // SAFETY: the buffer is as long as is said; llama.cpp checks what it reads
        // against its own layout and answers 0 for what does not fit, and only
        // bytes of `save` come here: those from disk were authenticated.
        let whole = unsafe {
            let read = sys::llama_state_seq_set_data(ctx, saved.as_ptr(), saved.len(), scratch);
            let first = sys::llama_memory_seq_pos_min(memory, scratch);
            read == saved.len() && read > 0 && first == from as i32
        };
        if whole {
            // SAFETY: both sequences are below `n_seq_max`.
            unsafe { sys::llama_memory_seq_cp(memory, scratch, seq as i32, from as i32, -1) };
        }
        self.forget_scratch();
        whole
    }

    fn adapt(&mut self, adapter: u32) -> Result<(), String> {
        if adapter == self.adapted {
            return Ok(());
        }
        let chosen = match adapter {
            0 => None,
            n => Some(self.adapters.get(n as usize - 1).ok_or("there is no such adapter")?),
        };
        let mut ptrs: Vec<_> = chosen.iter().map(|a| a.ptr.as_ptr()).collect();
        let mut scales: Vec<f32> = chosen.iter().map(|a| a.scale).collect();
        // SAFETY: both arrays have the length that is passed, and are copied.
        let code = unsafe {
            sys::llama_set_adapters_lora(
                self.ctx.as_ptr(),
                ptrs.as_mut_ptr(),
                ptrs.len(),
                scales.as_mut_ptr(),
            )
        };
        if code != 0 {
            return Err("llama.cpp refused the adapter".into());
        }
        self.adapted = adapter;
        Ok(())
    }
}
