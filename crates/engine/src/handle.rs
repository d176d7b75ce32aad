use std::path::Path;

use crate::Error;

/// How to run a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// KV cells shared by all sequences, in tokens. `None`: enough for the model's
    /// context, at most 8,192.
    pub n_ctx: Option<u32>,
    /// Most sequences (choices) computed together; 1 to 256.
    pub n_seq_max: u32,
    /// Compute threads, at least 1.
    pub threads: u32,
    /// Refuse a model whose estimate is above this.
    pub memory_max_bytes: Option<u64>,
    /// Most requests that wait; one more is refused with EN0002.
    pub queue_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        Options { n_ctx: None, n_seq_max: 32, threads, memory_max_bytes: None, queue_max: 256 }
    }
}

/// What is known about a loaded model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    pub name: String,
    pub arch: String,
    pub n_params: u64,
    pub size_bytes: u64,
    /// Longest sequence, prompt and answer, in tokens.
    pub n_ctx: u32,
    /// KV cells shared by all sequences.
    pub kv_cells: u32,
    pub n_ctx_train: u32,
    pub n_vocab: u32,
    pub n_embd: u32,
    pub has_template: bool,
    pub can_embed: bool,
    /// Whether it generates text at all: encoders do not.
    pub can_generate: bool,
    /// SHA-256 over the header, the length and samples of the weights; hex.
    pub fingerprint: String,
    pub memory: gguf::Estimate,
}

/// Where the engine stands.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Stats {
    /// Requests waiting for room.
    pub queued: u64,
    /// Choices being computed.
    pub running: u64,
    pub kv_used: u64,
    pub kv_total: u64,
    /// Prompt tokens computed since the start.
    pub prompt_tokens: u64,
    pub generated_tokens: u64,
    pub steps: u64,
    pub last_step_us: u64,
    pub busy_us: u64,
    /// Sequences that were computed again because the KV cells ran out.
    pub preempted: u64,
}

/// A loaded model. Cheap to clone; the model is freed when the last clone is dropped.
#[derive(Clone)]
pub struct Engine {}

/// One request's answer as it is computed. Dropping it cancels the request.
pub struct Generation {}

impl Engine {
    /// Checks the file's header, estimates its memory, loads it and starts its thread. Blocks.
    pub fn open(path: &Path, options: Options) -> Result<Engine, Error> {
        let _ = options;
        Err(Error::Failed(format!("{} cannot be loaded yet", path.display())))
    }
    pub fn info(&self) -> &ModelInfo {
        unreachable!("no engine can be opened yet")
    }
    /// Exact: renders the template and tokenizes.
    pub fn count_tokens(&self, _request: &chat::Request) -> Result<u32, Error> {
        unreachable!("no engine can be opened yet")
    }
    /// Validates and queues a chat.
    pub fn submit(&self, _request: &chat::Request) -> Result<Generation, Error> {
        unreachable!("no engine can be opened yet")
    }
    /// The same without the chat template: the texts of the messages, joined, are the prompt.
    pub fn complete(&self, _request: &chat::Request) -> Result<Generation, Error> {
        unreachable!("no engine can be opened yet")
    }
    /// Vectors of unit length, and the tokens of each text.
    pub fn embed(
        &self,
        _texts: Vec<String>,
    ) -> impl Future<Output = Result<Vec<(Vec<f32>, u32)>, Error>> + Send + 'static {
        async { Err(Error::Failed("no engine can be opened yet".into())) }
    }
    pub fn stats(&self) -> Stats {
        Stats::default()
    }
}

impl Generation {
    /// The next event; `None` after the last.
    pub async fn next(&mut self) -> Option<chat::Event> {
        None
    }
    pub fn prompt_tokens(&self) -> u32 {
        0
    }
    /// Engine time attributed to this request so far, in microseconds: its share of each step by tokens.
    pub fn busy_us(&self) -> u64 {
        0
    }
}

/// What the environment should hold before libgomp loads, which is before `main`:
/// `app` sets these and executes itself again when they are absent.
pub fn openmp_env() -> &'static [(&'static str, &'static str)] {
    &[("GOMP_SPINCOUNT", "2000")]
}
