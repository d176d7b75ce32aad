//! Speed, through the same kernel and scheduler that serve requests.

use std::path::Path;
use std::sync::Arc;

use scheduler::{Job, JobId, Kernel, Limits, Outcome, Output, Scheduler, Vocab};
use units::Micros;

use crate::llama::{ContextOptions, LlamaKernel, Model};
use crate::worker::now;
use crate::{Error, load};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// One prompt of this many tokens, in steps of 512 (llama-bench's `pp`).
    Prefill { tokens: u32 },
    /// `batch` sequences after prompts of `context` tokens each, `tokens` more of
    /// each, greedy (`tg` of llama-bench with a batch of 1, llama-batched-bench).
    Decode { batch: u32, context: u32, tokens: u32 },
}

/// One measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Tokens computed in the time.
    pub tokens: u64,
    pub us: u64,
    /// Each step's time, in microseconds.
    pub step_us: Vec<u64>,
}

impl Measured {
    pub fn tokens_per_second(&self) -> f64 {
        self.tokens as f64 * 1e6 / self.us.max(1) as f64
    }
}

/// A model loaded for measuring, on the calling thread.
pub struct Meter {
    kernel: LlamaKernel,
    vocab: Vocab,
    n_vocab: u32,
}

impl Meter {
    /// Loads a model with room for `cells` tokens and `batch_max` sequences.
    pub fn open(path: &Path, threads: u32, cells: u32, batch_max: u32) -> Result<Meter, Error> {
        load::read_header(path)?;
        let model = Arc::new(Model::load(path)?);
        let (vocab, n_vocab) = (model.pieces(), model.n_vocab());
        let options = ContextOptions {
            cells,
            seq_max: batch_max.clamp(1, 256),
            seq_len_max: cells,
            step_rows: load::STEP_ROWS,
            threads: threads.max(1),
            ..ContextOptions::default()
        };
        Ok(Meter { kernel: LlamaKernel::new(model, options)?, vocab, n_vocab })
    }

    /// Measures once, from empty cells. Run it once before, to warm up.
    pub fn run(&mut self, workload: Workload) -> Result<Measured, Error> {
        // Nothing is guessed and prompts are computed in full steps: what is
        // measured is the kernel, as its own tools do.
        let limits = Limits { guess: false, memory_bytes: 0, token_gap_us: u64::MAX, ..Limits::default() };
        let mut scheduler = Scheduler::new(self.kernel.caps(), limits);
        let (batch, prompt, max_tokens) = match workload {
            Workload::Prefill { tokens } => (1, tokens, 1),
            Workload::Decode { batch, context, tokens } => (batch, context.max(1), tokens + 1),
        };
        for id in 0..u64::from(batch) {
            // Any tokens do; different ones in each sequence.
            let token = |i: u32| (u64::from(i) * 2_654_435_761 + id * 97) % u64::from(self.n_vocab);
            let prompt = (0..prompt).map(|i| token(i) as u32).collect();
            let job = Job { max_tokens, ignore_end: true, ..Job::new(JobId(id), prompt) };
            scheduler.add(job, Micros(0));
        }
        let mut measured = Measured { tokens: 0, us: 0, step_us: Vec::new() };
        let mut outputs = Vec::new();
        loop {
            let start = now();
            let step = scheduler.step(Micros(0), &mut self.kernel, &self.vocab, &mut outputs);
            let us = start.elapsed().as_micros() as u64;
            match step.outcome {
                Outcome::Idle => break,
                Outcome::Failed(why) => return Err(Error::Failed(why)),
                Outcome::Ran | Outcome::Aborted => {}
            }
            let rows: u64 = step.rows.iter().map(|(_, n)| u64::from(*n)).sum();
            let writing = step.rows.len() == batch as usize && rows == u64::from(batch);
            let counts = match workload {
                Workload::Prefill { .. } => true,
                // The first token of each comes with its prompt; with prompts of one
                // token that step looks like writing, so tokens are counted.
                Workload::Decode { .. } => writing && outputs.len() >= 2 * batch as usize,
            };
            if counts {
                measured.tokens += rows;
                measured.us += us;
                measured.step_us.push(us);
            }
            if let Some(Output::Done { failed: Some(why), .. }) =
                outputs.iter().find(|o| matches!(o, Output::Done { failed: Some(_), .. }))
            {
                return Err(Error::Failed(why.to_string()));
            }
        }
        scheduler.drop_all_kept(&mut self.kernel);
        Ok(measured)
    }
}
