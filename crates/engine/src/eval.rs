//! How far a smaller model is from the one it was made of, on a text.
//!
//! The text is read in windows that overlap, and each scored token is
//! predicted from at least half a window. Of the reference's prediction the
//! likeliest [`TOP`] tokens are kept, and all others as one bucket: 2 KB a token
//! instead of the 600 KB of a large vocabulary, so the reference is read once
//! and any number of variants beside it. Merging outcomes never raises the
//! Kullback-Leibler divergence (the data processing inequality), so the figure
//! is a lower bound of the true one; with a vocabulary of at most [`TOP`] tokens
//! it is exact.

use std::path::Path;
use std::sync::Arc;

use scheduler::{Kernel, Row, Token};

use crate::llama::{ContextOptions, LlamaKernel, Model};
use crate::worker::now;
use crate::{Error, load};

/// How many of the reference's likeliest tokens are compared one by one.
pub const TOP: usize = 256;
/// Rows of one step that ask for logits: 64 of a vocabulary of 150,000 are 38 MB.
const OUTPUTS: u32 = 64;
/// Fewer tokens of text say nothing.
const TOKENS_MIN: usize = 32;

/// How a text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Tokens of a window; at most what the model was trained for.
    pub context: u32,
    /// Tokens to score at most. The first ones of the text are taken.
    pub tokens_max: u32,
    pub threads: u32,
}

/// What one model did with the text.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    pub file_bytes: u64,
    /// e to the mean negative log-likelihood of the scored tokens.
    pub perplexity: f64,
    /// Reading the windows.
    pub prompt_tokens_per_second: f64,
    /// One token after the other, of one sequence, at the median.
    pub answer_tokens_per_second: f64,
}

/// Two models on the same text. Divergences are in nats.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    pub reference: Score,
    pub variant: Score,
    /// Mean divergence of the variant's predictions from the reference's.
    pub kl_mean: f64,
    /// All but one in a thousand predictions diverge less.
    pub kl_p999: f64,
    pub kl_max: f64,
    /// The share of predictions whose likeliest token is the same, 0 to 1.
    pub same_top: f64,
    /// Tokens that were scored.
    pub tokens: u64,
    pub context: u32,
    pub stride: u32,
    /// Tokens of the reference that were compared one by one.
    pub top: u32,
}

impl Comparison {
    /// The variant's perplexity over the reference's.
    pub fn perplexity_ratio(&self) -> f64 {
        self.variant.perplexity / self.reference.perplexity
    }
    /// The variant's bytes over the reference's.
    pub fn size_ratio(&self) -> f64 {
        self.variant.file_bytes as f64 / self.reference.file_bytes.max(1) as f64
    }
}

/// Where the windows lie.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Windows {
    /// Tokens of text in each.
    body: usize,
    stride: usize,
    count: usize,
}

impl Windows {
    /// `context` is reduced for a short text.
    fn new(tokens: usize, context: usize, tokens_max: usize) -> Windows {
        let body = context.min(tokens).max(2);
        let stride = (body / 2).max(1);
        let fit = 1 + tokens.saturating_sub(body) / stride;
        Windows { body, stride, count: fit.min((tokens_max / stride).max(1)) }
    }
    fn scored(&self) -> usize {
        self.count * self.stride
    }
}

/// A reference that has read the text.
pub struct Reference {
    text: Vec<Token>,
    windows: Windows,
    reading: Reading,
    n_vocab: usize,
    score: Score,
    top: usize,
    /// Of each scored token: the likeliest tokens, first the likeliest.
    ids: Vec<Token>,
    /// Their log-probabilities.
    logs: Vec<f32>,
    /// The log of what all others have together.
    tails: Vec<f64>,
}

impl Reference {
    /// Reads the text with a model. Blocks; `progress` gets (tokens scored, all).
    ///
    /// # Errors
    /// When the model does not load, or the text has fewer than 32 tokens.
    pub fn read(
        path: &Path,
        text: &str,
        reading: Reading,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Reference, Error> {
        let trained = load::read_header(path)?.context_length().clamp(16, 1 << 20) as u32;
        let reading = Reading { context: reading.context.min(trained).max(16), ..reading };
        let mut reader = Reader::open(path, reading)?;
        // A token is rarely more than 16 bytes; what lies behind is not read.
        let text = head(text, (reading.tokens_max.max(reading.context) as usize * 2).saturating_mul(16));
        let text = reader.model.tokenize(text, false, false)?;
        if text.len() < TOKENS_MIN {
            return Err(Error::Unsupported(format!(
                "the text has {} tokens; {TOKENS_MIN} are the least",
                text.len()
            )));
        }
        let body = reading.context as usize - reader.bos.iter().count();
        let windows = Windows::new(text.len(), body, reading.tokens_max as usize);
        let top = TOP.min(reader.n_vocab);
        let (mut ids, mut logs, mut tails) = (Vec::new(), Vec::new(), Vec::new());
        let score = reader.score(&text, windows, |scored, logits, total| {
            let (likeliest, tail) = likeliest(logits, total, top);
            ids.extend(likeliest.iter().map(|(id, _)| *id));
            logs.extend(likeliest.iter().map(|(_, log)| *log as f32));
            tails.push(tail);
            progress(scored, windows.scored() as u64);
        })?;
        let n_vocab = reader.n_vocab;
        Ok(Reference { text, windows, reading, n_vocab, score, top, ids, logs, tails })
    }

    /// What the reference itself did.
    pub fn score(&self) -> &Score {
        &self.score
    }

    /// Reads the same text with another model and compares. Blocks.
    ///
    /// # Errors
    /// When the model does not load, or has another vocabulary.
    pub fn compare(
        &self,
        path: &Path,
        text: &str,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Comparison, Error> {
        load::read_header(path)?;
        let mut reader = Reader::open(path, self.reading)?;
        let other = reader.model.tokenize(head(text, text.len().min(4096)), false, false)?;
        let alike = other.iter().zip(&self.text).take(64).all(|(a, b)| a == b);
        if reader.n_vocab != self.n_vocab || !alike {
            return Err(Error::Unsupported(
                "the two models have different vocabularies, so their predictions cannot be compared".into(),
            ));
        }
        let (mut divergences, mut same, mut at) = (Vec::new(), 0u64, 0);
        let total = self.windows.scored() as u64;
        let score = reader.score(&self.text, self.windows, |scored, logits, sum| {
            let range = at * self.top..(at + 1) * self.top;
            let ids = &self.ids[range.clone()];
            same += u64::from(argmax(logits) == ids[0]);
            divergences.push(divergence(ids, &self.logs[range], self.tails[at], logits, sum));
            at += 1;
            progress(scored, total);
        })?;
        divergences.sort_by(f64::total_cmp);
        let count = divergences.len().max(1);
        let rank = (count * 999).div_ceil(1000) - 1;
        Ok(Comparison {
            reference: self.score.clone(),
            variant: score,
            kl_mean: divergences.iter().sum::<f64>() / count as f64,
            kl_p999: divergences.get(rank).copied().unwrap_or(0.0),
            kl_max: divergences.last().copied().unwrap_or(0.0),
            same_top: same as f64 / count as f64,
            tokens: count as u64,
            context: self.reading.context,
            stride: self.windows.stride as u32,
            top: self.top as u32,
        })
    }
}

/// A model loaded to read a text.
struct Reader {
    kernel: LlamaKernel,
    model: Arc<Model>,
    bos: Option<Token>,
    n_vocab: usize,
    file_bytes: u64,
}

impl Reader {
    fn open(path: &Path, reading: Reading) -> Result<Reader, Error> {
        let file_bytes = std::fs::metadata(path).map(|m| m.len()).unwrap_or(0);
        let model = Arc::new(Model::load(path)?);
        let options = ContextOptions {
            cells: reading.context,
            seq_max: 1,
            outputs_max: OUTPUTS,
            seq_len_max: reading.context,
            step_rows: load::STEP_ROWS,
            threads: reading.threads.max(1),
            ..ContextOptions::default()
        };
        let kernel = LlamaKernel::new(model.clone(), options)?;
        let (bos, n_vocab) = (model.wants_bos(), model.n_vocab() as usize);
        Ok(Reader { kernel, model, bos, n_vocab, file_bytes })
    }

    /// Reads the windows. `each` gets, for each scored token, how many there
    /// were with it, the logits that predict it and their log-sum.
    fn score(
        &mut self,
        text: &[Token],
        windows: Windows,
        mut each: impl FnMut(u64, &[f32], f64),
    ) -> Result<Score, Error> {
        let (mut surprise, mut scored, mut computed, mut us) = (0.0, 0u64, 0u64, 0u64);
        for window in 0..windows.count {
            let body = &text[window * windows.stride..][..windows.body];
            let before = self.bos.iter().count();
            // The row before each of the last `stride` tokens predicts it.
            let first = windows.body - windows.stride + before;
            let all: Vec<Token> = self.bos.iter().chain(body).copied().collect();
            let rows: Vec<Row> = (0..all.len() - 1)
                .map(|i| Row { token: all[i], pos: i as u32, seq: 0, logits: i + 1 >= first })
                .collect();
            self.kernel.clear(0);
            for rows in steps(&rows) {
                us += self.step(rows)?;
                computed += rows.len() as u64;
                for (index, row) in rows.iter().enumerate().filter(|(_, r)| r.logits) {
                    let logits = self.kernel.logits(index);
                    let target = all[row.pos as usize + 1];
                    let (Some(logit), true) = (logits.get(target as usize), logits.len() == self.n_vocab)
                    else {
                        return Err(Error::Failed("the model gave no prediction".into()));
                    };
                    let sum = log_sum(logits.iter());
                    surprise += sum - f64::from(*logit);
                    scored += 1;
                    each(scored, logits, sum);
                }
            }
        }
        Ok(Score {
            file_bytes: self.file_bytes,
            perplexity: (surprise / scored.max(1) as f64).exp(),
            prompt_tokens_per_second: computed as f64 * 1e6 / us.max(1) as f64,
            answer_tokens_per_second: self.answer(text)?,
        })
    }

    /// Tokens per second, one by one after a short prompt, as an answer is
    /// computed: of the median step, because a machine with other work to do
    /// makes some of them many times longer.
    fn answer(&mut self, text: &[Token]) -> Result<f64, Error> {
        let quarter = (self.kernel.caps().cells as usize / 4).min(text.len() / 2);
        let warm = quarter.min(8);
        let mut times = Vec::new();
        self.kernel.clear(0);
        for (i, token) in text.iter().enumerate().take((2 * quarter).min(warm + 32)) {
            let us = self.step(&[Row { token: *token, pos: i as u32, seq: 0, logits: true }])?;
            if i >= warm {
                times.push(us);
            }
        }
        times.sort_unstable();
        Ok(times.get(times.len() / 2).map_or(0.0, |us| 1e6 / (*us).max(1) as f64))
    }

    /// Microseconds of a step.
    fn step(&mut self, rows: &[Row]) -> Result<u64, Error> {
        let start = now();
        self.kernel.step(rows, &|| false).map_err(|e| Error::Failed(e.to_string()))?;
        Ok(start.elapsed().as_micros() as u64)
    }
}

/// Rows in steps of what a step takes.
fn steps(rows: &[Row]) -> Vec<&[Row]> {
    let (mut steps, mut rest) = (Vec::new(), rows);
    while !rest.is_empty() {
        let mut outputs = 0;
        let fits = |row: &&Row| {
            outputs += u32::from(row.logits);
            outputs <= OUTPUTS
        };
        let count = rest.iter().take(load::STEP_ROWS as usize).take_while(fits).count();
        let (step, after) = rest.split_at(count);
        steps.push(step);
        rest = after;
    }
    steps
}

/// The beginning of a text, of at most so many bytes.
fn head(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The log of the sum of exponentials; minus infinity of none.
fn log_sum<'a>(logits: impl Iterator<Item = &'a f32> + Clone) -> f64 {
    let max = f64::from(logits.clone().copied().fold(f32::NEG_INFINITY, f32::max));
    if max == f64::NEG_INFINITY {
        return max;
    }
    max + logits.map(|l| (f64::from(*l) - max).exp()).sum::<f64>().ln()
}

/// The first of the largest.
fn argmax(logits: &[f32]) -> Token {
    let mut best = 0;
    for (index, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = index;
        }
    }
    best as Token
}

/// The `top` likeliest tokens with their log-probabilities, the first of the
/// likeliest first, and the log of what the others have together. `total` is
/// the logits' log-sum.
fn likeliest(logits: &[f32], total: f64, top: usize) -> (Vec<(Token, f64)>, f64) {
    let mut order: Vec<Token> = (0..logits.len() as Token).collect();
    let logit = |t: &Token| logits[*t as usize];
    let falling = |a: &Token, b: &Token| logit(b).total_cmp(&logit(a)).then(a.cmp(b));
    if top < order.len() {
        order.select_nth_unstable_by(top, falling);
    }
    let (first, rest) = order.split_at_mut(top);
    first.sort_by(falling);
    let tail = log_sum(rest.iter().map(|t| &logits[*t as usize])) - total;
    (first.iter().map(|t| (*t, f64::from(logit(t)) - total)).collect(), tail)
}

/// The divergence of a prediction from the reference's, which is given as the
/// log-probabilities of `ids` and of all others together.
fn divergence(ids: &[Token], logs: &[f32], tail: f64, logits: &[f32], total: f64) -> f64 {
    let mut among = vec![false; logits.len()];
    let mut sum = 0.0;
    for (id, log) in ids.iter().zip(logs) {
        among[*id as usize] = true;
        let (p, q) = (f64::from(*log), f64::from(logits[*id as usize]) - total);
        sum += p.exp() * (p - q);
    }
    if tail > f64::NEG_INFINITY {
        let others = logits.iter().zip(&among).filter(|(_, among)| !**among).map(|(l, _)| l);
        sum += tail.exp() * (tail - (log_sum(others) - total));
    }
    // Rounding may leave less than nothing between two equal predictions.
    sum.max(0.0)
}

#[cfg(test)]
mod tests;
